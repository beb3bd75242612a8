// Package redisadapter joins the rooms of several Socket.IO servers over Redis: what one emits to a room reaches the
// sockets in it at all of them. It speaks the protocol of the npm packages @socket.io/redis-adapter 8 (the classic one,
// not the sharded) and @socket.io/redis-emitter 5, so Node servers, Node emitters and Go servers share rooms.
//
//	cluster, err := redisadapter.New(redisadapter.Config{Options: rueidis.ClientOption{InitAddress: addresses}})
//	…
//	io := socketio.NewServer(socketio.Config{Adapter: cluster.Adapter})
//	io.To("user:1").Emit("hello") // wherever they are
//
// Everything that a [socketio.Broadcast] does then concerns the sockets of all servers, but for its Sockets method.
// [Cluster.Of] has what makes sense only between servers: listing sockets and rooms, and messages from server to server.
//
// Emitting does not wait for Redis. Local sockets get an event before it is published, and go on to get events while Redis
// is away. Connections are made again and again until they hold, at the start too; a process that was cut off misses what
// others emitted meanwhile, and what it emitted itself waits for [Config.HoldFor] at most. So each socket gets an event
// at most once.
//
// Who can publish to Redis can send anything to any client. Whatever comes from there is checked all the same: a message
// that is none is logged and dropped. Nothing goes there that is known to kill a Node server.
//
// On a Redis Cluster everything goes through every node, as it does with the classic adapter of Node: more nodes make
// rooms no faster. The recovery of a socket at another process than it was lost at is not supported.
package redisadapter

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/redis/rueidis"

	"loupe/socketio"
	"loupe/socketio/packet"
)

// Config says how a [Cluster] is reached. All servers that share rooms must have the same Prefix. A number that is zero
// or negative takes its default.
type Config struct {
	// Client is used if it is set; it is not closed. Its PipelineMultiplex should be -1, and its buffers small. Two of
	// its connections are used, one for publishing and a dedicated one.
	Client rueidis.Client
	// Options are those of the client that is made if Client is not set. Caching, retries and several connections are
	// turned off, and its buffers are 64 KiB unless they are set.
	Options rueidis.ClientOption

	// Prefix begins the name of each channel; Node's key option. Defaults to "socket.io".
	Prefix string
	// RequestTimeout is how long the answers of other servers are waited for if there is no earlier deadline, and Redis
	// itself; Node's requestsTimeout. Defaults to 5 s.
	RequestTimeout time.Duration
	// HoldFor is how long a message waits for Redis to come back before it is dropped. Defaults to 5 s.
	HoldFor time.Duration
	// MaxQueue is how many bytes may wait to be published before [ErrQueueFull]. Defaults to 16 MiB.
	MaxQueue int
	// MaxAttachments is how many binary attachments an event from another server may have; those with more are dropped,
	// because official clients break off at more than the default. Defaults to 10.
	MaxAttachments int

	// Describe returns what other servers are told of a socket's data when they list sockets, encoded as JSON. Headers,
	// cookies and the auth object are never told, unlike by Node. Defaults to nothing.
	Describe func(*socketio.Socket) any

	// Rejoined is called when what other servers emit arrives again after the connection was lost, with a time since when
	// it may not have; its ctx ends with the cluster. It runs in a goroutine of its own. Defaults to nothing.
	Rejoined func(ctx context.Context, since time.Time)

	// Logger is told once when Redis goes away and once when it is back, of malformed messages, and of panics in
	// handlers. Defaults to silence.
	Logger *slog.Logger
}

func (c Config) withDefaults() Config {
	c.Prefix = cmp.Or(c.Prefix, "socket.io")
	if c.RequestTimeout <= 0 {
		c.RequestTimeout = 5 * time.Second
	}
	if c.HoldFor <= 0 {
		c.HoldFor = 5 * time.Second
	}
	if c.MaxQueue <= 0 {
		c.MaxQueue = 16 << 20
	}
	if c.MaxAttachments <= 0 {
		c.MaxAttachments = packet.DefaultMaxAttachments
	}
	if c.Describe == nil {
		c.Describe = func(*socketio.Socket) any { return struct{}{} }
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	const buffer = 64 << 10
	o := &c.Options
	o.DisableCache, o.DisableRetry, o.PipelineMultiplex = true, true, -1
	o.ReadBufferEachConn = cmp.Or(o.ReadBufferEachConn, buffer)
	o.WriteBufferEachConn = cmp.Or(o.WriteBufferEachConn, buffer)
	return c
}

var (
	// ErrQueueFull is returned when [Config.MaxQueue] bytes wait to be published; local sockets have got the event.
	ErrQueueFull = errors.New("redisadapter: queue is full")
	// ErrAway is returned by what needs an answer while Redis is not connected.
	ErrAway = errors.New("redisadapter: Redis is away")
	// ErrTimeout is returned when some servers have not answered in time; what the others said is returned beside it.
	ErrTimeout = errors.New("redisadapter: not all servers have answered in time")
	// ErrLost is returned by [Cluster.Confirm] when Redis has not taken all.
	ErrLost = errors.New("redisadapter: not all that was emitted has reached Redis")
	// ErrClosed is returned after the server is closed.
	ErrClosed = errors.New("redisadapter: closed")
)

// Cluster is the place of one [socketio.Server] among those that share a Redis. All methods may be called concurrently.
type Cluster struct {
	cfg   Config
	stats counters
	queue queue
	link  link

	mu       sync.Mutex // protects following
	adapters map[string]*Adapter
	open     int // adapters that are not closed
	cancel   context.CancelFunc
	closed   bool
	running  sync.WaitGroup
}

// New returns a cluster. It does not connect before [Cluster.Adapter] is called. The error says what is wrong with the
// config.
func New(cfg Config) (*Cluster, error) {
	if cfg.Client == nil && len(cfg.Options.InitAddress) == 0 {
		return nil, errors.New("redisadapter: config has neither Client nor Options.InitAddress")
	}
	c := &Cluster{cfg: cfg.withDefaults(), adapters: make(map[string]*Adapter)}
	c.queue.init(c.cfg.MaxQueue)
	c.link.init(&c.cfg, &c.stats)
	return c, nil
}

// Adapter makes the adapter of a namespace: it is what [socketio.Config] wants for its Adapter. [socketio.Server.Close]
// ends it, and with the last one all that the cluster has running. A cluster can have one server only; Adapter panics if a
// second one has a namespace of the same name.
func (c *Cluster) Adapter(ns *socketio.Namespace) socketio.Adapter {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return ns.Local()
	}
	if c.adapters[ns.Name()] != nil {
		panic("redisadapter: second adapter for namespace " + ns.Name())
	}
	a := newAdapter(c, ns)
	c.adapters[ns.Name()] = a
	c.open++
	if c.cancel == nil {
		ctx, cancel := context.WithCancel(context.Background())
		c.cancel = cancel
		c.running.Go(func() { c.subscribe(ctx) })
		c.running.Go(func() { c.publish(ctx) })
	}
	c.link.add(a)
	return a
}

// Of returns the adapter of a namespace, nil if the server has no such namespace.
func (c *Cluster) Of(namespace string) *Adapter {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.adapters[namespace]
}

// Ready waits until what other servers emit arrives in all namespaces that there are.
func (c *Cluster) Ready(ctx context.Context) error { return c.link.ready(ctx) }

// Confirm calls emit, which emits something, and waits until Redis has taken that for the other servers. Local sockets
// have got it all the same. The error is that of emit, [ErrAway] at once while Redis is known to be away, the one of ctx,
// or [ErrLost] if something was lost meanwhile, be it of emit or of somebody else.
func (c *Cluster) Confirm(ctx context.Context, emit func() error) error {
	before := c.stats.lost()
	if err := emit(); err != nil {
		return err
	}
	if c.link.suspend.Load() || !c.link.up() {
		return ErrAway
	}
	m := message{at: time.Now(), taken: make(chan struct{})}
	if err := c.queue.add(m); err != nil {
		return err
	}
	select {
	case <-m.taken:
	case <-ctx.Done():
		return ctx.Err()
	}
	if c.stats.lost() != before {
		return ErrLost
	}
	return nil
}

// spawn runs f in a goroutine that Close waits for; not after the end.
func (c *Cluster) spawn(f func()) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return false
	}
	c.running.Go(f)
	return true
}

// leave is called once for each adapter that is closed.
func (c *Cluster) leave() {
	c.mu.Lock()
	c.open--
	last := c.open == 0
	if last {
		c.closed = true
	}
	c.mu.Unlock()
	if last {
		c.link.end()
		c.cancel()
		c.running.Wait()
		c.link.close()
	}
}
