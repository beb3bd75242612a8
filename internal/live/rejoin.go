package live

import (
	"context"
	"time"

	"loupe/internal/pipeline"
	"loupe/socketio"
)

// Rejoined gives the sockets of this process what others may have sent in vain since that moment, while its link to them
// was cut: from the store, the very bytes. What a socket has got already it gets again.
func (s *Server) Rejoined(ctx context.Context, since time.Time) {
	byOwner := make(map[string][]*socketio.Socket)
	for _, socket := range s.io.All().Sockets() {
		owner := socket.Data().(*client).user.ID
		byOwner[owner] = append(byOwner[owner], socket)
	}
	for owner, sockets := range byOwner {
		if ctx.Err() != nil {
			return
		}
		s.resend(ctx, owner, sockets, since)
	}
	s.Log.InfoContext(ctx, "sent again what was missed while cut off", "owners", len(byOwner), "since", since)
}

func (s *Server) resend(ctx context.Context, owner string, sockets []*socketio.Socket, since time.Time) {
	ctx, cancel := context.WithTimeout(ctx, missedTimeout)
	defer cancel()
	err := s.Missed(ctx, owner, since, func(events []pipeline.Event, complete bool) {
		for _, socket := range sockets {
			if !complete {
				s.resync(socket, owner, since)
			}
			send(socket, events)
		}
	})
	if err != nil {
		s.Log.WarnContext(ctx, "missed events not found", "owner", owner, "error", err)
		for _, socket := range sockets {
			s.resync(socket, owner, since)
		}
	}
}
