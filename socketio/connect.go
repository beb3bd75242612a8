package socketio

import (
	"context"
	"encoding/json"
	"errors"

	"loupe/socketio/packet"
)

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
	s.job.cancel = cancel
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
		s.job.held = appendMessages(s.job.held, p)
	}
	s.job.held = appendMessages(s.job.held, packet.EncodeConnect(packet.Connect, s.ns.name, []byte(hello)))
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
	_ = s.conn.eng.Send(s.job.held...) // an error means that the client is gone
	s.job.held = nil
}
