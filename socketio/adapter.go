package socketio

import (
	"context"
	"errors"
	"fmt"

	"loupe/socketio/engineio"
	"loupe/socketio/packet"
)

// Target selects sockets of a namespace: those in any of Rooms, or all if there are none, that are in none of Except.
type Target struct {
	Rooms  []string
	Except []string
}

// Emission is an event on its way to many sockets.
type Emission struct {
	Target
	Volatile bool
	Packet   packet.Encoded // of an event without acknowledgement id, unless it is for [Adapter.EmitWithAck]
	ID       int64          // the acknowledgement id of Packet, or [packet.NoID]
}

// Adapter carries out what concerns many sockets of a namespace. [Namespace.Local] does it for those of this process; an
// adapter that joins several processes hands what comes from the others to that one. All methods may be called
// concurrently.
type Adapter interface {
	// Emit sends an event. An error says that some process can not have got it.
	Emit(e *Emission) error
	// EmitWithAck sends an event and calls reply with the first argument of each acknowledgement, one at a time, until
	// all have come, or until ctx is done; the error is then the context's.
	EmitWithAck(ctx context.Context, e *Emission, reply func(packet.Value)) error
	// Join and Leave put sockets into rooms and take them out.
	Join(t Target, rooms []string) error
	Leave(t Target, rooms []string) error
	// Disconnect disconnects sockets, with their connections if closeConnection is set.
	Disconnect(t Target, closeConnection bool) error
	// Close ends the adapter.
	Close() error
}

// Local returns the adapter that knows the sockets of this process only.
func (ns *Namespace) Local() Adapter { return local{ns} }

// Wants tells whether an event for the room can concern this process: a socket is in it, or one that was lost and can be
// recovered may be.
func (ns *Namespace) Wants(room string) bool { return ns.history != nil || ns.rooms.has(room) }

// NextAck returns the id for the acknowledgements of an event that comes from another process.
func (ns *Namespace) NextAck() int64 { return ns.nextAck() }

type local struct{ ns *Namespace }

var _ Adapter = local{}

func (l local) Emit(e *Emission) error {
	if h := l.ns.history; h != nil {
		h.emit(e, l.ns.rooms.each)
		return nil
	}
	var room [4]engineio.Message
	messages := appendMessages(room[:0], e.Packet)
	l.ns.rooms.each(e.Target, func(s *Socket) {
		if e.Volatile {
			s.sendVolatile(messages)
		} else {
			_ = s.send(messages) // its error is of one socket, which is disconnected for it
		}
	})
	return nil
}

func (l local) EmitWithAck(ctx context.Context, e *Emission, reply func(packet.Value)) error {
	var waiting []*Socket
	l.ns.rooms.each(e.Target, func(s *Socket) { waiting = append(waiting, s) })
	answers := make(chan answer, len(waiting))
	messages := appendMessages(nil, e.Packet)
	sent := 0
	var failed error
	for _, s := range waiting {
		if err := s.expectAck(e.ID, func(a answer) { answers <- a }); err != nil {
			failed = err
			continue
		}
		sent++
		if err := s.send(messages); err != nil && s.forgetAck(e.ID) {
			answers <- answer{err: err}
		}
	}
	for range sent {
		select {
		case a := <-answers:
			if a.err != nil {
				failed = a.err
				continue
			}
			var first packet.Value
			if len(a.args) > 0 {
				first = a.args[0]
			}
			reply(first)
		case <-ctx.Done():
			for _, s := range waiting {
				s.forgetAck(e.ID)
			}
			return ctx.Err()
		}
	}
	if failed != nil && !errors.Is(failed, ErrDisconnected) {
		return fmt.Errorf("socketio: broadcast: %w", failed)
	}
	return nil
}

func (l local) Join(t Target, rooms []string) error {
	for _, s := range l.sockets(t) {
		s.Join(rooms...)
	}
	return nil
}

func (l local) Leave(t Target, rooms []string) error {
	for _, s := range l.sockets(t) {
		s.Leave(rooms...)
	}
	return nil
}

func (l local) Disconnect(t Target, closeConnection bool) error {
	for _, s := range l.sockets(t) {
		s.Disconnect(closeConnection)
	}
	return nil
}

func (l local) Close() error { return nil }

func (l local) sockets(t Target) (sockets []*Socket) {
	l.ns.rooms.each(t, func(s *Socket) { sockets = append(sockets, s) })
	return sockets
}

func appendMessages(ms []engineio.Message, p packet.Encoded) []engineio.Message {
	ms = append(ms, engineio.Message{Data: p.Text})
	for _, a := range p.Attachments {
		ms = append(ms, engineio.Message{Data: a, Binary: true})
	}
	return ms
}
