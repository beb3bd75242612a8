package socketio

import (
	"context"
	"errors"
	"net/http"
	"sync"

	"loupe/socketio/engineio"
	"loupe/socketio/internal/timers"
)

// Server is an [http.Handler] that speaks Socket.IO under [Config.Path]. It is also its own main namespace, "/". All
// methods may be called concurrently.
type Server struct {
	*Namespace // "/"

	cfg     Config
	engine  *engineio.Server
	running sync.WaitGroup // goroutines of sockets; each is begun while its connection is open
	timers  *timers.Heap   // of sockets
	pending pending

	mu         sync.RWMutex
	namespaces map[string]*Namespace
}

// NewServer returns a server. It costs nothing until it is used; then [Server.Close] must end it.
func NewServer(cfg Config) *Server {
	s := &Server{cfg: cfg.withDefaults(), timers: timers.New(), namespaces: make(map[string]*Namespace)}
	s.pending.byAddr = make(map[string]int)
	s.engine = engineio.NewServer(s.cfg.engine(), s.accept)
	s.Namespace = s.Of("/")
	return s
}

// Of returns the namespace of a name, which begins with a slash, and makes it if it is new. Clients can connect only to
// namespaces that were made here.
func (s *Server) Of(name string) *Namespace {
	s.mu.Lock()
	defer s.mu.Unlock()
	ns := s.namespaces[name]
	if ns == nil {
		ns = newNamespace(s, name)
		s.namespaces[name] = ns
	}
	return ns
}

func (s *Server) namespace(name string) *Namespace {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.namespaces[name]
}

// ServeHTTP answers the requests of clients under the path of the config, and 404 elsewhere. WebSockets need HTTP/1.1.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.engine.ServeHTTP(w, r) }

func (s *Server) accept(eng *engineio.Conn, _ *http.Request) (engineio.Receiver, error) {
	c := &connection{srv: s, eng: eng}
	if !s.pending.add(eng.RemoteAddr(), s.cfg.MaxPending, s.cfg.MaxPendingPerAddr) {
		return nil, engineio.ErrBusy
	}
	c.decoder.MaxAttachments = s.cfg.MaxAttachments
	eng.CloseAfter(s.cfg.ConnectTimeout)
	return c, nil
}

// Close disconnects all clients in such a way that they come back by themselves, refuses new ones, and returns when all
// handlers have returned and all goroutines have ended, or with the context's error when ctx is done. The contexts of
// handlers end at once. [http.Server.Shutdown] does not do that; call Close before it.
func (s *Server) Close(ctx context.Context) error {
	if err := s.engine.Close(ctx); err != nil {
		return err
	}
	done := make(chan struct{})
	go func() {
		s.running.Wait()
		close(done)
	}()
	select {
	case <-done:
	case <-ctx.Done():
		return ctx.Err()
	}
	s.timers.Close()
	s.mu.RLock()
	defer s.mu.RUnlock()
	var err error
	for _, ns := range s.namespaces {
		err = errors.Join(err, ns.adapter.Close())
	}
	return err
}

// Stats are counts since the server was made, but for Connections, WebSockets and Sockets, which are of now.
type Stats struct {
	engineio.Stats
	Sockets int // in all namespaces
}

// Stats returns the present counts.
func (s *Server) Stats() Stats {
	stats := Stats{Stats: s.engine.Stats()}
	s.mu.RLock()
	defer s.mu.RUnlock()
	for _, ns := range s.namespaces {
		stats.Sockets += ns.rooms.count()
	}
	return stats
}
