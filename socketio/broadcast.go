package socketio

import (
	"context"
	"slices"

	"loupe/socketio/packet"
)

// Broadcast is a choice of sockets of a namespace and what to do with them. It is a value: its methods return a changed
// copy, and it may be kept.
type Broadcast struct {
	ns       *Namespace
	target   Target
	volatile bool
}

// To adds the sockets of more rooms; a socket in several is still chosen once.
func (b Broadcast) To(rooms ...string) Broadcast {
	b.target.Rooms = append(slices.Clip(b.target.Rooms), rooms...)
	return b
}

// Except leaves out the sockets of these rooms.
func (b Broadcast) Except(rooms ...string) Broadcast {
	b.target.Except = append(slices.Clip(b.target.Except), rooms...)
	return b
}

// Volatile makes Emit drop the event for sockets that can not take it at this moment: on a WebSocket because something
// waits to be written, on polling because no request waits for an answer.
func (b Broadcast) Volatile() Broadcast {
	b.volatile = true
	return b
}

// Emit sends an event. The arguments are encoded once for all sockets; see [Socket.Emit] for how. It does not wait.
func (b Broadcast) Emit(event string, args ...any) error {
	p, err := packet.EncodeEvent(b.ns.name, packet.NoID, event, args, b.ns.srv.cfg.MaxAttachments)
	if err != nil {
		return err
	}
	return b.ns.adapter.Emit(&Emission{Target: b.target, Volatile: b.volatile, Packet: p, ID: packet.NoID})
}

// EmitWithAck sends an event and waits until all sockets have acknowledged it or are disconnected, or until ctx is done.
// It returns the first argument of each acknowledgement that came, also beside an error.
func (b Broadcast) EmitWithAck(ctx context.Context, event string, args ...any) ([]Value, error) {
	id := b.ns.nextAck()
	p, err := packet.EncodeEvent(b.ns.name, id, event, args, b.ns.srv.cfg.MaxAttachments)
	if err != nil {
		return nil, err
	}
	var replies []Value
	err = b.ns.adapter.EmitWithAck(ctx, &Emission{Target: b.target, Packet: p, ID: id}, func(v Value) {
		replies = append(replies, v)
	})
	return replies, err
}

// Join puts the sockets into rooms.
func (b Broadcast) Join(rooms ...string) error { return b.ns.adapter.Join(b.target, rooms) }

// Leave takes the sockets out of rooms.
func (b Broadcast) Leave(rooms ...string) error { return b.ns.adapter.Leave(b.target, rooms) }

// Disconnect disconnects the sockets; see [Socket.Disconnect].
func (b Broadcast) Disconnect(closeConnection bool) error {
	return b.ns.adapter.Disconnect(b.target, closeConnection)
}

// Sockets returns the sockets of this process.
func (b Broadcast) Sockets() []*Socket { return local{b.ns}.sockets(b.target) }
