package socketio

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"loupe/socketio/engineio"
	"loupe/socketio/internal/sid"
	"loupe/socketio/internal/timers"
	"loupe/socketio/packet"
)

// Socket is a client in a namespace. All methods may be called concurrently, and after it is disconnected: they then do
// nothing, or return [ErrDisconnected].
type Socket struct {
	id    string
	ns    *Namespace
	conn  *connection
	data  any
	rooms []membership // guarded by ns.rooms

	session   *session // nil without recovery; guarded by ns.history
	recovered bool

	// dismissed is set when the server disconnects the socket. Until its client knows, what it sends is not a fault but
	// late; so the socket stays on its connection, where the client's next one replaces it.
	dismissed atomic.Bool

	mu           sync.Mutex // protects following
	state        state
	handlers     map[string]Handler
	onDisconnect func(Reason)
	acks         map[int64]func(answer)
	expiry       *timers.Timer // nil until DisconnectAt is used
	job          *job          // nil while there is nothing to do
}

// job is what a goroutine does that connects a socket or runs its handlers. An idle socket has none, for it should cost
// little.
type job struct {
	held      []engineio.Message // the CONNECT packet and what was sent before it; nil once they left
	heldBytes int

	queue      []event
	queueBytes int
	queueFree  chan struct{} // not nil while receive waits for room; closed when there is some

	cancel context.CancelFunc // of what is being done; may be nil
	reason Reason             // once disconnected
}

type state byte

const (
	connecting state = iota // middleware runs; the client may send nothing
	opening                 // OnConnect runs; what is sent is held
	connected
	disconnected
)

func newSocket(ns *Namespace, c *connection) *Socket {
	return &Socket{id: sid.New(), ns: ns, conn: c, job: &job{}}
}

// ID names the socket among all. It is no secret: the client may show it to others.
func (s *Socket) ID() string { return s.id }

// Namespace is the namespace that the socket is in.
func (s *Socket) Namespace() *Namespace { return s.ns }

// Data is what middleware left in [Handshake.Data].
func (s *Socket) Data() any { return s.data }

// Recovered tells whether the client has come back to a socket that it had lost; see [Recovery]. Its rooms are then those
// it had, and its data too if middleware has set none.
func (s *Socket) Recovered() bool { return s.recovered }

// Join puts the socket into rooms.
func (s *Socket) Join(rooms ...string) { s.ns.rooms.join(s, rooms) }

// Leave takes the socket out of rooms.
func (s *Socket) Leave(rooms ...string) { s.ns.rooms.leaveAll(s, rooms) }

// Rooms returns the rooms that the socket is in, the one that has its id for a name first.
func (s *Socket) Rooms() []string { return s.ns.rooms.roomsOf(s) }

// To selects the other sockets that are in any of the rooms.
func (s *Socket) To(rooms ...string) Broadcast { return s.Others().To(rooms...) }

// Others selects all sockets of the namespace but this one.
func (s *Socket) Others() Broadcast { return s.ns.Except(s.id) }

// On sets the handler of an event for this socket. It replaces one set before, and [Namespace.On] for this socket. Set
// in OnConnect it misses nothing.
func (s *Socket) On(event string, h Handler) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.handlers == nil {
		s.handlers = make(map[string]Handler)
	}
	s.handlers[event] = h
}

// OnDisconnect sets what is called when the socket is disconnected, after all its handlers have returned. Set when it
// has been called for is never called; set in OnConnect it always is.
func (s *Socket) OnDisconnect(f func(Reason)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.onDisconnect = f
}

// Emit sends an event and does not wait. Of the arguments a [json.RawMessage] goes out byte for byte, a []byte, and any
// [Binary] in a larger argument, as an attachment, and all else as [json.Marshal] encodes it. They must not be changed
// afterwards. The error is [ErrDisconnected], or says what is wrong with the arguments; nil does not say that the event
// arrives.
func (s *Socket) Emit(event string, args ...any) error {
	return s.emit(false, event, args)
}

// EmitVolatile is Emit that drops the event if it can not leave at once; see [Broadcast.Volatile].
func (s *Socket) EmitVolatile(event string, args ...any) error {
	return s.emit(true, event, args)
}

func (s *Socket) emit(volatile bool, event string, args []any) error {
	p, err := packet.EncodeEvent(s.ns.name, packet.NoID, event, args, s.ns.srv.cfg.MaxAttachments)
	if err != nil {
		return err
	}
	if h := s.ns.history; h != nil {
		e := &Emission{Target: Target{Rooms: []string{s.id}}, Volatile: volatile, Packet: p, ID: packet.NoID}
		h.emit(e, func(_ Target, send func(*Socket)) { send(s) })
		return s.gone()
	}
	if volatile {
		s.sendVolatile(appendMessages(nil, p))
		return s.gone()
	}
	return s.sendPacket(p)
}

// gone is [ErrDisconnected] if the socket is.
func (s *Socket) gone() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state == disconnected {
		return ErrDisconnected
	}
	return nil
}

// Disconnect takes the socket out of its namespace; its client does not come back by itself. With closeConnection set the
// connection is closed too, and with it the client's sockets in other namespaces.
func (s *Socket) Disconnect(closeConnection bool) {
	s.release()
	s.dismissed.Store(true) // before the client knows, for it may connect again at once
	if s.sendPacket(packet.EncodeDisconnect(s.ns.name)) == nil {
		s.end(ServerDisconnect)
	}
	if closeConnection {
		s.conn.eng.Close(ForcedClose)
	}
}

// DisconnectAt makes the server disconnect the socket at a time, as when the right to be here expires. The client does not
// come back by itself, so that it can get itself a new right first. It replaces a time set before; the zero time is never.
func (s *Socket) DisconnectAt(t time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	heap := s.ns.srv.timers
	if s.expiry != nil {
		heap.Stop(s.expiry)
		s.expiry = nil
	}
	if t.IsZero() || s.state == disconnected {
		return
	}
	expiry := &timers.Timer{} // a new one each time, for the old one may be firing
	expiry.Func = func() { s.expire(expiry) }
	s.expiry = expiry
	heap.Set(expiry, heap.Now()+time.Until(t))
}

func (s *Socket) expire(expiry *timers.Timer) {
	s.mu.Lock()
	current := s.expiry == expiry
	s.mu.Unlock()
	if current {
		s.Disconnect(false)
	}
}

func (s *Socket) sendPacket(p packet.Encoded) error {
	var room [4]engineio.Message
	return s.send(appendMessages(room[:0], p))
}

// send sends messages as one, or holds them until the client may know that it is connected.
func (s *Socket) send(ms []engineio.Message) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch s.state {
	case connected:
		if s.conn.eng.Send(ms...) != nil {
			return ErrDisconnected
		}
		return nil
	case opening:
		for _, m := range ms {
			s.job.heldBytes += len(m.Data) + engineio.MessageOverhead
		}
		if s.job.heldBytes > s.ns.srv.cfg.MaxSendBuffer {
			s.conn.eng.Close(SlowConsumer)
			return ErrDisconnected
		}
		s.job.held = append(s.job.held, ms...)
		return nil
	default:
		return ErrDisconnected
	}
}

func (s *Socket) sendVolatile(ms []engineio.Message) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state == connected {
		s.conn.eng.SendVolatile(ms...)
	}
}

// end disconnects the socket, once.
func (s *Socket) end(reason Reason) {
	s.mu.Lock()
	was := s.state
	if was == disconnected {
		s.mu.Unlock()
		return
	}
	s.state = disconnected
	idle := s.job == nil
	if idle { // counted now, while the connection is sure to be open
		s.job = &job{}
		s.ns.srv.running.Add(1)
	}
	j := s.job
	j.reason, j.held = reason, nil
	switch reason {
	case ClientDisconnect, TransportClose, TransportError: // what the client said before it left still counts
	default:
		j.queue, j.queueBytes = nil, 0
	}
	if j.cancel != nil {
		j.cancel()
	}
	if s.expiry != nil {
		s.ns.srv.timers.Stop(s.expiry)
	}
	j.freeReceiver()
	for id, told := range s.acks {
		delete(s.acks, id)
		told(answer{err: ErrDisconnected})
	}
	s.mu.Unlock()

	if reason != ServerDisconnect {
		s.conn.remove(s)
	}
	if was != connecting {
		rooms := s.ns.rooms.remove(s) // not under mu, see enter
		if h := s.ns.history; h != nil {
			h.end(s, rooms, reason != ServerDisconnect && reason != ClientDisconnect)
		}
	}
	if idle {
		go s.work()
	}
}
