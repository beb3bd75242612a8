package socketio

import (
	"context"

	"loupe/socketio/packet"
)

// answer is an acknowledgement, or why there will be none.
type answer struct {
	args []Value
	err  error
}

// nextAck returns an id for an acknowledgement. A broadcast uses one for all its sockets.
func (ns *Namespace) nextAck() int64 { return (ns.lastAck.Add(1) - 1) & packet.MaxID }

// EmitWithAck sends an event and waits for the client to acknowledge it. It returns the arguments of the acknowledgement,
// or the error of [Socket.Emit], [ErrTooManyAcks], [ErrDisconnected] if the socket is disconnected meanwhile, or the
// context's; without a deadline in ctx it waits as long as the client stays. It may be called in a handler.
func (s *Socket) EmitWithAck(ctx context.Context, event string, args ...any) ([]Value, error) {
	id := s.ns.nextAck()
	p, err := packet.EncodeEvent(s.ns.name, id, event, args, s.ns.srv.cfg.MaxAttachments)
	if err != nil {
		return nil, err
	}
	answers := make(chan answer, 1)
	if err := s.expectAck(id, func(a answer) { answers <- a }); err != nil {
		return nil, err
	}
	defer s.forgetAck(id)
	s.release()
	if err := s.sendPacket(p); err != nil {
		return nil, err
	}
	select {
	case a := <-answers:
		return a.args, a.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// expectAck registers what is told of the acknowledgement with the id. It is called once, and must not block.
func (s *Socket) expectAck(id int64, told func(answer)) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.state == disconnected:
		return ErrDisconnected
	case len(s.acks) >= s.ns.srv.cfg.MaxPendingAcks:
		return ErrTooManyAcks
	}
	if s.acks == nil {
		s.acks = make(map[int64]func(answer))
	}
	s.acks[id] = told
	return nil
}

// forgetAck tells whether the acknowledgement was still expected.
func (s *Socket) forgetAck(id int64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, expected := s.acks[id]
	delete(s.acks, id)
	return expected
}

// acknowledged takes an acknowledgement from the client. One that nobody waits for is ignored.
func (s *Socket) acknowledged(id int64, args []Value) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if told := s.acks[id]; told != nil {
		delete(s.acks, id)
		told(answer{args: args})
	}
}
