package client

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"

	"loupe/socketio/engineio"
	"loupe/socketio/packet"
)

const (
	// maxAttachments is how many attachments a packet may have, in or out.
	maxAttachments = 256
	// maxPendingAcks is how many acknowledgements may be waited for at once.
	maxPendingAcks = 10_000
)

// session is one connection of a client, from its CONNECT on. It is the Receiver of the engine's session.
type session struct {
	client    *Client
	eng       *engineio.ClientConn
	decoder   packet.Decoder
	connected chan error    // gets one value
	ended     chan struct{} // closed at the end

	mu      sync.Mutex // protects following
	acks    map[int64]chan []Value
	lastAck int64
	told    bool   // connected has got its value
	why     string // the session ended
	gone    bool   // because the server said so
}

func newSession(c *Client) *session {
	return &session{
		client:    c,
		decoder:   packet.Decoder{MaxAttachments: maxAttachments},
		connected: make(chan error, 1),
		ended:     make(chan struct{}),
		acks:      make(map[int64]chan []Value),
	}
}

func (s *session) send(ctx context.Context, p packet.Encoded) error {
	ms := []engineio.Message{{Data: p.Text}}
	for _, a := range p.Attachments {
		ms = append(ms, engineio.Message{Data: a, Binary: true})
	}
	if err := s.eng.Send(ctx, ms...); err != nil {
		return fmt.Errorf("%w: %w", ErrDisconnected, err)
	}
	return nil
}

func (s *session) waitConnected(ctx context.Context) error {
	select {
	case err := <-s.connected:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Receive takes what the server sent.
func (s *session) Receive(m engineio.Message) {
	decode := s.decoder.Text
	if m.Binary {
		decode = s.decoder.Binary
	}
	p, complete, err := decode(m.Data)
	switch {
	case err != nil:
		s.end(err.Error(), false)
	case complete && p.Namespace == s.client.cfg.Namespace:
		s.handle(p)
	}
}

func (s *session) handle(p packet.Packet) {
	switch p.Type {
	case packet.Connect:
		s.tellConnected(nil)
	case packet.ConnectError:
		refusal := &ConnectError{}
		if json.Unmarshal(p.Data, refusal) != nil { // protocol v4 sends a string
			_ = json.Unmarshal(p.Data, &refusal.Message) // if it is no text either, there is no message
		}
		s.tellConnected(refusal)
	case packet.Disconnect:
		s.end("server namespace disconnect", true)
	case packet.Event:
		s.event(p)
	case packet.Ack:
		s.mu.Lock()
		defer s.mu.Unlock()
		if answer := s.acks[p.ID]; answer != nil {
			delete(s.acks, p.ID)
			answer <- p.Args
		}
	}
}

// event queues the call of a handler.
func (s *session) event(p packet.Packet) {
	c := s.client
	handler := c.cfg.Handlers[p.Name]
	if handler == nil && c.cfg.Any != nil {
		handler = func(args []Value) { c.cfg.Any(p.Name, args) }
	}
	if handler == nil {
		return
	}
	select {
	case c.tasks <- func() { handler(p.Args) }:
	case <-s.ended:
	}
}

func (s *session) expectAck() (int64, <-chan []Value, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.acks) >= maxPendingAcks {
		return 0, nil, fmt.Errorf("socket.io: %d acknowledgements are pending", len(s.acks))
	}
	id := s.lastAck
	s.lastAck++
	answer := make(chan []Value, 1)
	s.acks[id] = answer
	return id, answer, nil
}

func (s *session) forgetAck(id int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.acks, id)
}

func (s *session) tellConnected(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.told {
		s.told = true
		s.connected <- err
	}
}

// Closed is told by the engine of the end of the connection.
func (s *session) Closed(reason engineio.Reason) { s.end(string(reason), false) }

// end ends the session, once.
func (s *session) end(why string, byServer bool) {
	s.tellConnected(fmt.Errorf("%w: %s", ErrDisconnected, why))
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.why == "" {
		s.why, s.gone = why, byServer
		close(s.ended)
	}
}

func (s *session) reason() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.why
}

func (s *session) dismissed() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.gone
}
