package redisadapter

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/rueidis"
)

// link is the connection to Redis, as far as it holds.
type link struct {
	cfg    *Config
	outage outage
	faults faults

	client  atomic.Pointer[rueidis.Client] // nil until Redis was reached first
	suspend atomic.Bool                    // publishing failed; Redis must be asked before it is tried again
	turn    int                            // which node of a cluster was subscribed at; the subscribing goroutine's own
	cut     bool                           // what others emit may have been missed since proven; its own, too
	proven  time.Time                      // until then nothing was missed; its own, too

	mu       sync.Mutex // protects following
	byName   map[string]*Adapter
	adapters []*Adapter
	joined   int           // how many of adapters are subscribed
	changed  chan struct{} // closed when one of the others changes
	ended    bool
}

func (l *link) init(cfg *Config, stats *counters) {
	l.cfg = cfg
	l.outage = outage{log: cfg.Logger, stats: stats}
	l.byName = make(map[string]*Adapter)
	l.changed = make(chan struct{})
	l.turn = rand.IntN(1 << 20)
	if cfg.Client != nil {
		l.client.Store(&cfg.Client)
	}
}

// change wakes those that wait for a change. The lock must be held.
func (l *link) change() {
	close(l.changed)
	l.changed = make(chan struct{})
}

// add has an adapter subscribed.
func (l *link) add(a *Adapter) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, channel := range []string{a.channels.pattern, a.channels.request, a.channels.response, a.channels.own} {
		l.byName[channel] = a
	}
	l.adapters = append(l.adapters, a)
	l.change()
}

// end makes those that wait give up.
func (l *link) end() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ended = true
	l.change()
}

func (l *link) close() {
	if client := l.client.Load(); client != nil && l.cfg.Client == nil {
		(*client).Close()
	}
}

// up tells whether all adapters are subscribed.
func (l *link) up() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.joined == len(l.adapters)
}

func (l *link) ready(ctx context.Context) error {
	for {
		l.mu.Lock()
		ready, ended, changed := l.joined == len(l.adapters), l.ended, l.changed
		l.mu.Unlock()
		switch {
		case ended:
			return ErrClosed
		case ready:
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// reach returns the client. Unless all is known to be well it asks Redis first.
func (l *link) reach(ctx context.Context) (rueidis.Client, error) {
	client := l.client.Load()
	if client == nil {
		return nil, ErrAway
	}
	if !l.suspend.Load() && l.up() {
		return *client, nil
	}
	ctx, cancel := context.WithTimeout(ctx, l.cfg.RequestTimeout)
	defer cancel()
	// By DoMulti, as messages go: of a Redis Cluster it asks the node that they are published at, always the same one.
	if err := (*client).DoMulti(ctx, (*client).B().Ping().Build())[0].Error(); err != nil {
		return nil, err
	}
	l.suspend.Store(false)
	l.outage.end("publishing")
	return *client, nil
}

// suspect takes note of an error of the connection for publishing.
func (l *link) suspect(err error) {
	l.suspend.Store(true)
	l.outage.begin("publishing", err)
}

// subscribe receives what other servers publish, until ctx is done.
func (c *Cluster) subscribe(ctx context.Context) {
	c.link.proven = time.Now()
	for retry := (backoff{}); ; {
		subscribed, err := c.receive(ctx)
		if ctx.Err() != nil {
			return
		}
		c.link.cut = true
		c.link.outage.begin("subscriptions", err)
		if subscribed {
			retry = backoff{}
		}
		if !retry.wait(ctx) {
			return
		}
	}
}

// receive does so until the connection is lost. There is one connection for everything, so that a request and an event
// from the same server are seen in the order in which they were sent.
func (c *Cluster) receive(ctx context.Context) (subscribed bool, err error) {
	l := &c.link
	client := l.client.Load()
	if client == nil {
		made, err := rueidis.NewClient(c.cfg.Options)
		if err != nil {
			return false, err
		}
		client = &made
		l.client.Store(client)
	}
	address, node := l.node(*client)
	conn, release := node.Dedicate()
	defer release()
	defer conn.Close()
	lost := conn.SetPubSubHooks(rueidis.PubSubHooks{OnMessage: func(m rueidis.PubSubMessage) { c.dispatch(ctx, m) }})
	defer l.part()
	look := time.NewTicker(nodeLook)
	defer look.Stop()
	proof := time.NewTicker(proofEvery)
	defer proof.Stop()
	for {
		l.mu.Lock()
		fresh, changed := l.adapters[l.joined:], l.changed
		l.mu.Unlock()
		if len(fresh) > 0 {
			if err := c.join(ctx, conn, fresh); err != nil {
				return subscribed, err
			}
			subscribed = true
			l.outage.end("subscriptions")
			c.rejoined(ctx)
			continue
		}
		select {
		case <-changed:
		case <-proof.C:
			c.prove(ctx, conn)
		case err := <-lost:
			return subscribed, cmp.Or(err, ErrAway)
		case <-look.C:
			if _, there := (*client).Nodes()[address]; !there && address != "" {
				return subscribed, errReplaced
			}
		case <-ctx.Done():
			return subscribed, ctx.Err()
		}
	}
}

// proofEvery is how often the connection shows that nothing was missed: when it is lost, it is not known how long before
// that it was dead.
const proofEvery = 2 * time.Second

// prove asks for a sign of life: whatever was published before the question has arrived before the answer. Without one
// nothing is known; that the connection is lost shows elsewhere.
func (c *Cluster) prove(ctx context.Context, conn rueidis.DedicatedClient) {
	ctx, cancel := context.WithTimeout(ctx, c.cfg.RequestTimeout)
	defer cancel()
	asked := time.Now()
	if conn.Do(ctx, conn.B().Ping().Build()).Error() == nil {
		c.link.proven = asked
	}
}

// rejoined tells that what others emit arrives again.
func (c *Cluster) rejoined(ctx context.Context) {
	l := &c.link
	since := l.proven
	l.proven = time.Now()
	if !l.cut {
		return
	}
	l.cut = false
	if c.cfg.Rejoined != nil {
		c.spawn(func() { c.cfg.Rejoined(ctx, since) })
	}
}

// nodeLook is how often it is looked whether the server that was subscribed at is still one of those that messages come to.
// A master that was replaced may live on for long, and its connections with it.
const nodeLook = 200 * time.Millisecond

var errReplaced = errors.New("another server has taken the place of this one")

// node returns the server to subscribe at. Any node of a Redis Cluster will do; when one is lost it is the next's turn.
func (l *link) node(client rueidis.Client) (address string, node rueidis.Client) {
	nodes := client.Nodes()
	if len(nodes) == 0 {
		return "", client
	}
	l.turn++
	address = slices.Sorted(maps.Keys(nodes))[l.turn%len(nodes)]
	return address, nodes[address]
}

// join subscribes adapters.
func (c *Cluster) join(ctx context.Context, conn rueidis.DedicatedClient, fresh []*Adapter) error {
	var patterns, names []string
	for _, a := range fresh {
		patterns = append(patterns, a.channels.pattern)
		names = append(names, a.channels.response, a.channels.own, a.channels.request)
	}
	ctx, cancel := context.WithTimeout(ctx, c.cfg.RequestTimeout)
	defer cancel()
	if err := conn.Do(ctx, conn.B().Psubscribe().Pattern(patterns...).Build()).Error(); err != nil {
		return err
	}
	// Requests come last: who is subscribed to them is expected to answer.
	if err := conn.Do(ctx, conn.B().Subscribe().Channel(names...).Build()).Error(); err != nil {
		return err
	}
	// What Redis answers to the first of several names says nothing of the others; an answer to a PING does.
	if err := conn.Do(ctx, conn.B().Ping().Build()).Error(); err != nil {
		return err
	}
	l := &c.link
	l.mu.Lock()
	defer l.mu.Unlock()
	l.joined += len(fresh)
	l.change()
	return nil
}

// part takes note that nothing is subscribed any more.
func (l *link) part() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.joined = 0
	l.change()
}

// dispatch hands a message to the adapter that it is for. It is called for one message after the other and must not
// block.
func (c *Cluster) dispatch(ctx context.Context, m rueidis.PubSubMessage) {
	l := &c.link
	l.mu.Lock()
	a := l.byName[cmp.Or(m.Pattern, m.Channel)]
	l.mu.Unlock()
	if a == nil || a.isClosed() {
		return
	}
	var err error
	switch {
	case m.Pattern != "":
		err = a.received(m.Channel, m.Message)
	case m.Channel == a.channels.request:
		err = a.requested(ctx, m.Message)
	default:
		err = a.answered(m.Message)
	}
	if err != nil {
		c.stats.malformed.Add(1)
		l.faults.log(c.cfg.Logger, "malformed message to socket.io servers dropped", "channel", m.Channel, "error", err)
	}
}
