package socketio

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"sync/atomic"
)

// Namespace is a part of a server that clients connect to on their own, with its own middleware, handlers and rooms. All
// methods may be called concurrently; what is registered holds for clients that connect later.
type Namespace struct {
	srv     *Server
	name    string
	adapter Adapter
	rooms   registry
	history *history // nil without recovery
	lastAck atomic.Int64

	mu         sync.RWMutex
	middleware []func(context.Context, *Handshake) error
	handlers   map[string]Handler
	onConnect  func(*Socket)
}

func newNamespace(s *Server, name string) *Namespace {
	ns := &Namespace{srv: s, name: name, handlers: make(map[string]Handler)}
	ns.rooms.init()
	if s.cfg.Recovery.Window > 0 {
		ns.history = newHistory(s.cfg.Recovery)
	}
	ns.adapter = s.cfg.Adapter(ns)
	return ns
}

// Name is the namespace's name, with its slash.
func (ns *Namespace) Name() string { return ns.name }

// Handshake is what a client brings when it connects to a namespace, and what middleware makes of it.
type Handshake struct {
	Namespace  string
	Auth       json.RawMessage // the client's auth object; {} if it has none
	Header     http.Header     // of its first request, those that [Config.KeepHeaders] names
	Query      url.Values      // of its first request
	RemoteAddr string          // where that came from, as in [http.Request]

	// Data is set by middleware; [Socket.Data] returns it. The rest of the handshake is dropped after the connect, so
	// whatever is needed later must be in here.
	Data any
	// User is set by middleware that knows who the client is. Only the same user can recover the socket; see [Recovery].
	User string
}

// Use adds middleware: it is called for each client that wants to connect, in the order of adding, before the socket
// exists. An error refuses the client: a [ConnectError] tells it what and why, any other is logged and hidden from it.
// The context ends when the client goes away or after [Config.ConnectTimeout].
func (ns *Namespace) Use(middleware func(ctx context.Context, h *Handshake) error) {
	ns.mu.Lock()
	defer ns.mu.Unlock()
	ns.middleware = append(slices.Clip(ns.middleware), middleware)
}

// OnConnect sets what is called with each new socket, before its client learns that it is connected: rooms joined here
// miss nothing that is emitted from then on, and events emitted here arrive right after the connect, in order. The
// client's events wait until it has returned, so it must not wait for them; waiting for an acknowledgement is allowed.
func (ns *Namespace) OnConnect(f func(*Socket)) {
	ns.mu.Lock()
	defer ns.mu.Unlock()
	ns.onConnect = f
}

// On sets the handler of an event for all sockets that do not set their own. It replaces one set before.
func (ns *Namespace) On(event string, h Handler) {
	ns.mu.Lock()
	defer ns.mu.Unlock()
	ns.handlers[event] = h
}

func (ns *Namespace) handler(event string) Handler {
	ns.mu.RLock()
	defer ns.mu.RUnlock()
	return ns.handlers[event]
}

func (ns *Namespace) connectHooks() ([]func(context.Context, *Handshake) error, func(*Socket)) {
	ns.mu.RLock()
	defer ns.mu.RUnlock()
	return ns.middleware, ns.onConnect
}

// Socket returns the connected socket of this process that has the id, or nil.
func (ns *Namespace) Socket(id string) *Socket { return ns.rooms.socket(id) }

// To selects the sockets that are in any of the rooms. Every socket is also in a room that has its id for a name.
func (ns *Namespace) To(rooms ...string) Broadcast { return Broadcast{ns: ns}.To(rooms...) }

// Except selects all sockets that are in none of the rooms.
func (ns *Namespace) Except(rooms ...string) Broadcast { return Broadcast{ns: ns}.Except(rooms...) }

// Emit sends an event to all sockets.
func (ns *Namespace) Emit(event string, args ...any) error {
	return Broadcast{ns: ns}.Emit(event, args...)
}

// All selects all sockets.
func (ns *Namespace) All() Broadcast { return Broadcast{ns: ns} }
