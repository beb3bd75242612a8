package socketio

import (
	"context"
	"encoding/json"
	"errors"
	"runtime/debug"
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
	reason       Reason             // once closed
	held         []engineio.Message // the CONNECT packet and what was sent before it; nil once they left
	heldBytes    int
	handlers     map[string]Handler
	onDisconnect func(Reason)
	acks         map[int64]func(answer)

	expiry *timers.Timer // nil until DisconnectAt is used

	queue      []event
	queueBytes int
	queueFree  chan struct{} // not nil while receive waits for room; closed when there is some
	running    bool          // a goroutine connects the socket or runs handlers
	cancel     context.CancelFunc
}

type state byte

const (
	connecting state = iota // middleware runs; the client may send nothing
	opening                 // OnConnect runs; what is sent is held
	connected
	disconnected
)

// event is what waits for its handler.
type event struct {
	name string
	args []Value
	id   int64
}

func (e event) cost() int {
	n := engineio.MessageOverhead
	for _, a := range e.args {
		n += len(a)
	}
	return n
}

func newSocket(ns *Namespace, c *connection) *Socket {
	return &Socket{id: sid.New(), ns: ns, conn: c, running: true}
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
			s.heldBytes += len(m.Data) + engineio.MessageOverhead
		}
		if s.heldBytes > s.ns.srv.cfg.MaxSendBuffer {
			s.conn.eng.Close(SlowConsumer)
			return ErrDisconnected
		}
		s.held = append(s.held, ms...)
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

// connect is the beginning of a socket: middleware, OnConnect, the CONNECT packet, and then whatever the client has sent.
func (s *Socket) connect(auth json.RawMessage) {
	defer s.ns.srv.running.Done()
	ctx, cancel := context.WithTimeout(context.Background(), s.ns.srv.cfg.ConnectTimeout)
	defer cancel()
	if !s.begin(cancel) {
		return
	}
	middleware, onConnect := s.ns.connectHooks()
	h := s.conn.handshake(s.ns.name, auth)
	var err error
	sound := s.guard(func() {
		for i := 0; i < len(middleware) && err == nil; i++ {
			err = middleware[i](ctx, h)
		}
	})
	if !sound {
		return
	}
	if err == nil {
		err = ctx.Err()
	}
	if err != nil {
		s.refuse(ctx, err)
		return
	}
	if s.ns.history != nil {
		s.ns.history.begin(s, readClaim(h), h.Data)
	} else {
		s.data = h.Data
		s.enter(nil, nil)
	}
	if onConnect != nil && s.gone() == nil {
		s.guard(func() { onConnect(s) })
	}
	s.release()
	s.run()
}

// begin tells whether the socket is still wanted, and how to tell that it no longer is.
func (s *Socket) begin(cancel context.CancelFunc) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cancel = cancel
	return s.state != disconnected
}

func (s *Socket) refuse(ctx context.Context, err error) {
	s.mu.Lock()
	gone := s.state == disconnected
	s.state = disconnected
	s.mu.Unlock()
	if gone {
		return
	}
	reason, told := errors.AsType[*ConnectError](err)
	if !told {
		s.ns.srv.cfg.Logger.ErrorContext(ctx, "socket.io middleware failed", "namespace", s.ns.name, "error", err)
		reason = &ConnectError{Message: "Internal server error"}
	}
	s.conn.remove(s) // first, for the client may try again as soon as it knows
	s.conn.refuse(s.ns.name, reason)
}

// enter puts the socket into its namespace and into rooms; from then on broadcasts reach it. Before its CONNECT packet the
// client gets what it missed.
func (s *Socket) enter(missed []packet.Encoded, rooms []string) bool {
	hello := `{"sid":"` + s.id + `"}`
	if s.session != nil {
		hello = `{"sid":"` + s.id + `","pid":"` + s.session.pid + `"}`
	}
	s.mu.Lock()
	if s.state != connecting {
		s.mu.Unlock()
		return false
	}
	for _, p := range missed {
		s.held = appendMessages(s.held, p)
	}
	s.held = appendMessages(s.held, packet.EncodeConnect(packet.Connect, s.ns.name, []byte(hello)))
	s.state = opening
	s.mu.Unlock()

	// Not under mu, for a broadcast holds the rooms and then wants mu.
	s.ns.rooms.add(s)
	s.ns.rooms.join(s, rooms)
	if s.gone() != nil {
		s.ns.rooms.remove(s)
	}
	return true
}

// release tells the client that it is connected, and all that was held.
func (s *Socket) release() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state != opening {
		return
	}
	s.state = connected
	s.conn.settle()
	_ = s.conn.eng.Send(s.held...) // an error means that the client is gone
	s.held = nil
}

// receive queues an event for its handler. It waits while too many are queued, and returns false if the client may not
// send yet.
func (s *Socket) receive(e event) bool {
	s.mu.Lock()
	for s.state == connected && s.queueBytes > 0 && s.queueBytes+e.cost() > s.ns.srv.cfg.MaxReceiveBuffer {
		free := make(chan struct{})
		s.queueFree = free
		s.mu.Unlock()
		<-free
		s.mu.Lock()
	}
	defer s.mu.Unlock()
	switch s.state {
	case connecting, opening:
		return false
	case disconnected:
		return true // it could not know
	}
	s.queue = append(s.queue, e)
	s.queueBytes += e.cost()
	s.wake()
	return true
}

func (s *Socket) freeReceiver() {
	if s.queueFree != nil {
		close(s.queueFree)
		s.queueFree = nil
	}
}

// wake makes sure that a goroutine runs the handlers.
func (s *Socket) wake() {
	if !s.running {
		s.running = true
		s.ns.srv.running.Add(1)
		go s.work()
	}
}

func (s *Socket) work() {
	defer s.ns.srv.running.Done()
	s.run()
}

// run does what there is to do, one thing after the other.
func (s *Socket) run() {
	for task := s.next(); task != nil; task = s.next() {
		s.guard(task)
	}
}

// next returns what is to be done next: to handle an event or, after the last one of a disconnected socket, to call its
// OnDisconnect. It ends the context of what was done before.
func (s *Socket) next() func() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cancel != nil {
		s.cancel()
		s.cancel = nil
	}
	if len(s.queue) > 0 {
		e := s.queue[0]
		s.queue[0] = event{}
		s.queue = s.queue[1:]
		s.queueBytes -= e.cost()
		s.freeReceiver()
		return s.handling(e)
	}
	s.queue = nil
	if s.state != disconnected {
		s.running = false
		return nil
	}
	f, reason := s.onDisconnect, s.reason // running stays true: there is nothing to do after this
	s.onDisconnect = nil
	if f == nil {
		return nil
	}
	return func() { f(reason) }
}

// handling returns the call of the handler of an event, with the context for it. It holds mu.
func (s *Socket) handling(e event) func() {
	handler := s.handlers[e.name]
	if handler == nil {
		handler = s.ns.handler(e.name)
	}
	if handler == nil {
		return func() {}
	}
	ctx, cancel := context.WithCancel(context.Background())
	if s.cancel = cancel; s.state == disconnected {
		cancel()
	}
	return func() { handler(ctx, &Event{Socket: s, Name: e.name, Args: e.args, id: e.id}) }
}

// guard calls the user's code. A panic of it is logged and ends the connection, not the process.
func (s *Socket) guard(f func()) (sound bool) {
	defer func() {
		if sound {
			return
		}
		s.ns.srv.cfg.Logger.Error("socket.io handler panicked",
			"namespace", s.ns.name, "panic", recover(), "stack", string(debug.Stack()))
		s.conn.eng.Close(ForcedClose)
	}()
	f()
	return true
}

// end disconnects the socket, once.
func (s *Socket) end(reason Reason) {
	s.mu.Lock()
	was := s.state
	if was == disconnected {
		s.mu.Unlock()
		return
	}
	s.state, s.reason, s.held = disconnected, reason, nil
	switch reason {
	case ClientDisconnect, TransportClose, TransportError: // what the client said before it left still counts
	default:
		s.queue, s.queueBytes = nil, 0
	}
	if s.cancel != nil {
		s.cancel()
	}
	if s.expiry != nil {
		s.ns.srv.timers.Stop(s.expiry)
	}
	s.freeReceiver()
	for id, told := range s.acks {
		delete(s.acks, id)
		told(answer{err: ErrDisconnected})
	}
	runs := s.running
	if !runs { // counted now, while the connection is sure to be open
		s.running = true
		s.ns.srv.running.Add(1)
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
	if !runs {
		go s.work()
	}
}
