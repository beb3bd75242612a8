package redisadapter

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"sync"
	"time"

	"loupe/socketio"
	"loupe/socketio/packet"
)

// Adapter is the place of one namespace of a server among those of others. All methods may be called concurrently.
type Adapter struct {
	cluster  *Cluster
	ns       *socketio.Namespace
	local    socketio.Adapter
	uid      string // names this process to the others, in this namespace
	origin   string // how broadcasts of this process begin
	channels channels

	acking  chan struct{} // holds one for each typeBroadcast of others that is not done
	closing chan struct{} // closed by Close

	mu       sync.Mutex // protects following
	calls    map[string]*call
	handlers map[string]ServerHandler
	events   []serverEvent
	running  bool // a goroutine runs handlers
}

var _ socketio.Adapter = (*Adapter)(nil)

func newAdapter(c *Cluster, ns *socketio.Namespace) *Adapter {
	uid := newID()
	return &Adapter{
		cluster:  c,
		ns:       ns,
		local:    ns.Local(),
		uid:      uid,
		origin:   string(appendOrigin(nil, uid)),
		channels: newChannels(c.cfg.Prefix, ns.Name(), uid),
		acking:   make(chan struct{}, maxAcking),
		closing:  make(chan struct{}),
		calls:    make(map[string]*call),
		handlers: make(map[string]ServerHandler),
	}
}

// Emit sends an event to local sockets and then to those of other servers. The error is [ErrQueueFull] or [ErrClosed].
func (a *Adapter) Emit(e *socketio.Emission) error {
	if err := a.local.Emit(e); err != nil {
		return err
	}
	content, err := encodeBroadcast(a.uid, a.ns.Name(), e)
	if err != nil {
		return err
	}
	return a.send(message{channel: a.channels.to(e.Rooms), content: content, volatile: e.Volatile})
}

// EmitWithAck sends an event and reports the acknowledgements of the sockets at all servers. If ctx has no deadline those
// from other servers are waited for [Config.RequestTimeout]. Beside the errors of a server alone there are [ErrAway],
// [ErrTimeout], [ErrQueueFull] and [ErrClosed]; what could be reported was, and local sockets have got the event.
func (a *Adapter) EmitWithAck(ctx context.Context, e *socketio.Emission, reply func(packet.Value)) error {
	var one sync.Mutex
	replyOne := func(v packet.Value) {
		one.Lock()
		defer one.Unlock()
		reply(v)
	}
	local := make(chan error, 1)
	go func() { local <- a.local.EmitWithAck(ctx, e, replyOne) }()

	within := a.cluster.cfg.RequestTimeout
	if deadline, ok := ctx.Deadline(); ok {
		within = max(time.Until(deadline), time.Millisecond)
	}
	var counted, expected, acked int // servers that said how many sockets have got the event; these; acknowledgements
	remote := a.exchange(ctx, within, func(id string) ([]byte, error) {
		return encodeAckRequest(a.uid, id, a.ns.Name(), e, within)
	}, func(others int, r *response) bool {
		switch r.Type {
		case typeClientCount:
			counted++
			expected += r.ClientCount
		case typeAck:
			acked++
			if v, err := ackValue(r); err == nil {
				replyOne(v)
			}
		}
		return counted == others && acked >= expected
	})
	err := cmp.Or(<-local, remote)
	if err != nil && ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}

// Join puts sockets into rooms, local ones at once.
func (a *Adapter) Join(t socketio.Target, rooms []string) error {
	if len(rooms) == 0 {
		return nil
	}
	err := a.local.Join(t, rooms)
	return errors.Join(err, a.order(typeJoin, object{"opts": wireTarget(t), "rooms": asked(rooms)}))
}

// Leave takes sockets out of rooms, local ones at once.
func (a *Adapter) Leave(t socketio.Target, rooms []string) error {
	if len(rooms) == 0 {
		return nil
	}
	err := a.local.Leave(t, rooms)
	return errors.Join(err, a.order(typeLeave, object{"opts": wireTarget(t), "rooms": asked(rooms)}))
}

// Disconnect disconnects sockets, local ones at once.
func (a *Adapter) Disconnect(t socketio.Target, closeConnection bool) error {
	err := a.local.Disconnect(t, closeConnection)
	return errors.Join(err, a.order(typeDisconnect, object{"opts": wireTarget(t), "close": closeConnection}))
}

func wireTarget(t socketio.Target) object {
	return object{"rooms": asked(t.Rooms), "except": asked(t.Except)}
}

// Close ends the adapter. The last of a cluster's adapters publishes what waits, for one second at most, and returns when
// all goroutines have ended. [socketio.Server.Close] calls it.
func (a *Adapter) Close() error {
	a.mu.Lock()
	closed := a.isClosed()
	if !closed {
		close(a.closing)
	}
	a.mu.Unlock()
	if !closed {
		a.cluster.leave()
	}
	return nil
}

func (a *Adapter) isClosed() bool {
	select {
	case <-a.closing:
		return true
	default:
		return false
	}
}

func (a *Adapter) send(m message) error {
	if a.isClosed() {
		return ErrClosed
	}
	return a.cluster.send(m)
}

// order publishes a request that wants no answer.
func (a *Adapter) order(kind int, o object) error {
	o["uid"], o["type"] = a.uid, kind
	content, err := json.Marshal(o)
	if err != nil {
		return err
	}
	return a.send(message{channel: a.channels.request, content: content})
}

// received takes a broadcast. Whether anybody here is in the room is looked up before anything is decoded.
func (a *Adapter) received(channel, msg string) error {
	if strings.HasPrefix(msg, a.origin) {
		return nil
	}
	stats := &a.cluster.stats
	stats.received.Add(1)
	if room := a.channels.room(channel); room != "" && !a.ns.Wants(room) {
		stats.foreign.Add(1)
		return nil
	}
	b, err := parseBroadcast(msg)
	if err != nil {
		return err
	}
	rooms := b.target.Rooms
	if b.namespace != a.ns.Name() || len(rooms) > 0 && !slices.ContainsFunc(rooms, a.ns.Wants) {
		stats.foreign.Add(1)
		return nil
	}
	p, err := eventPacket(a.ns.Name(), packet.NoID, b.data, a.cluster.cfg.MaxAttachments)
	if err != nil {
		return err
	}
	return a.local.Emit(&socketio.Emission{Target: b.target, Volatile: b.volatile, Packet: p, ID: packet.NoID})
}
