package socketio

import (
	"context"
	"sync/atomic"

	"loupe/socketio/packet"
)

// Value is an argument of a received event or acknowledgement: JSON, decoded by its Bind method. See [packet.Value].
type Value = packet.Value

// Binary is binary data anywhere in an argument. See [packet.Binary].
type Binary = packet.Binary

// Handler handles an event. The handlers of one socket are called one after the other, in the order of its events; those
// of different sockets at the same time. The context ends when the handler returns or the socket disconnects.
//
// A handler that blocks holds up only the later events of its own socket. One that panics is logged and its client's
// connection is closed.
type Handler func(ctx context.Context, e *Event)

// Typed makes a handler of a function that wants the event's first argument decoded. An event whose argument does not
// fit, or that has none, is logged at debug level and dropped.
func Typed[T any](f func(ctx context.Context, e *Event, arg T)) Handler {
	return func(ctx context.Context, e *Event) {
		var arg T
		if err := e.Bind(&arg); err != nil || len(e.Args) == 0 {
			e.Socket.ns.srv.cfg.Logger.DebugContext(ctx, "socket.io event does not fit", "event", e.Name, "error", err)
			return
		}
		f(ctx, e, arg)
	}
}

// Event is an event that a client has emitted.
type Event struct {
	Socket *Socket
	Name   string
	Args   []Value

	id    int64
	acked atomic.Bool
}

// Bind decodes the arguments into the variables that dst points to, in order. Those without an argument are left alone.
func (e *Event) Bind(dst ...any) error {
	for i := range min(len(dst), len(e.Args)) {
		if err := e.Args[i].Bind(dst[i]); err != nil {
			return err
		}
	}
	return nil
}

// WantsAck tells whether the client waits for an acknowledgement.
func (e *Event) WantsAck() bool { return e.id != packet.NoID && !e.acked.Load() }

// Ack acknowledges the event. The arguments are sent as with [Socket.Emit]. It returns [ErrAcked] unless
// [Event.WantsAck].
func (e *Event) Ack(args ...any) error {
	if e.id == packet.NoID || e.acked.Swap(true) {
		return ErrAcked
	}
	s := e.Socket
	p, err := packet.EncodeAck(s.ns.name, e.id, args, s.ns.srv.cfg.MaxAttachments)
	if err != nil {
		e.acked.Store(false)
		return err
	}
	return s.sendPacket(p)
}
