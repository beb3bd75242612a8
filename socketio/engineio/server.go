package engineio

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"loupe/socketio/internal/timers"
)

// Server is an [http.Handler] that holds Engine.IO sessions. It needs the connection itself for WebSockets, so it must
// be reached over HTTP/1.1 for those; polling works over any HTTP. All methods may be called concurrently.
type Server struct {
	cfg    Config
	accept func(*Conn, *http.Request) (Receiver, error)
	timers *timers.Heap

	// The open packet is its sid between these two.
	openPolling, openWebSocket []byte

	mu      sync.Mutex
	conns   map[string]*Conn
	closing bool
	running sync.WaitGroup // goroutines and sessions; grows only while !closing or something of it is running

	opened, upgraded, refused, slow atomic.Uint64
	websockets                      atomic.Int64
}

// NewServer returns a server that hands each new session to accept, while its handshake is being answered. Accept must
// not keep the request. An error refuses the client: it is answered 403 with the error's text, or 503 for [ErrBusy].
func NewServer(cfg Config, accept func(*Conn, *http.Request) (Receiver, error)) *Server {
	cfg = cfg.withDefaults()
	timings := `,"pingInterval":` + strconv.FormatInt(cfg.PingInterval.Milliseconds(), 10) +
		`,"pingTimeout":` + strconv.FormatInt(cfg.PingTimeout.Milliseconds(), 10) +
		`,"maxPayload":` + strconv.Itoa(cfg.MaxPayload) + `}`
	return &Server{
		cfg:           cfg,
		accept:        accept,
		timers:        timers.New(),
		openPolling:   []byte(`","upgrades":["websocket"]` + timings),
		openWebSocket: []byte(`","upgrades":[]` + timings),
		conns:         make(map[string]*Conn),
	}
}

// Stats are counts since the server was made, but for the first two, which are of now.
type Stats struct {
	Connections   int    // sessions, closed ones whose last packets are not fetched included
	WebSockets    int    // of them on a WebSocket
	Opened        uint64 // handshakes that succeeded
	Upgraded      uint64 // sessions that went from polling to WebSocket
	Refused       uint64 // requests answered with an error
	SlowConsumers uint64 // sessions closed with [SlowConsumer]
}

// Stats returns the present counts.
func (s *Server) Stats() Stats {
	s.mu.Lock()
	n := len(s.conns)
	s.mu.Unlock()
	return Stats{
		Connections: n, WebSockets: int(s.websockets.Load()), Opened: s.opened.Load(),
		Upgraded: s.upgraded.Load(), Refused: s.refused.Load(), SlowConsumers: s.slow.Load(),
	}
}

// ServeHTTP answers handshakes, polling requests and upgrades under the path of the config, and 404 elsewhere.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !strings.HasPrefix(r.URL.Path, s.cfg.Path) {
		http.NotFound(w, r)
		return
	}
	if !s.enter() {
		writeUnavailable(w, "server is shutting down")
		return
	}
	defer s.running.Done()
	if s.cors(w, r) {
		return
	}
	upgrade := isUpgrade(r)
	if err := s.route(w, r, upgrade); err != nil {
		s.refused.Add(1)
		err.write(w, upgrade)
	}
}

// route finds out what a request wants, in Node's order of checks.
func (s *Server) route(w http.ResponseWriter, r *http.Request, upgrade bool) *requestError {
	query, _ := url.ParseQuery(r.URL.RawQuery) // what of it can be parsed
	transport := last(query, "transport")
	if transport != "polling" && transport != "websocket" {
		return errUnknownTransport
	}
	if !s.originAllowed(r) {
		return errForbidden
	}
	if query.Has("j") { // JSONP
		return errBadRequest
	}
	mismatch := upgrade != (transport == "websocket") || upgrade && !canUpgrade(r)
	if id := last(query, "sid"); id != "" {
		c := s.conn(id)
		switch {
		case c == nil:
			return errUnknownSession
		case mismatch:
			return errBadRequest
		case upgrade:
			return c.serveUpgrade(w, r)
		default:
			return c.servePolling(w, r)
		}
	}
	switch {
	case r.Method != http.MethodGet:
		return errBadMethod
	case last(query, "EIO") != "4":
		return errUnsupportedVersion
	case mismatch:
		return errBadRequest
	}
	return s.handshake(w, r, upgrade, query)
}

// last returns the last value of a query key: the one that counts if there are several.
func last(query url.Values, key string) string {
	if vs := query[key]; len(vs) > 0 {
		return vs[len(vs)-1]
	}
	return ""
}

func isUpgrade(r *http.Request) bool {
	return strings.EqualFold(r.Header.Get("Upgrade"), "websocket")
}

// handshake opens a session.
func (s *Server) handshake(w http.ResponseWriter, r *http.Request, upgrade bool, query url.Values) *requestError {
	c := newConn(s, r)
	if c == nil {
		return errBadRequest
	}
	if !s.add(c) {
		s.refused.Add(1)
		writeUnavailable(w, ErrBusy.Error())
		return nil
	}
	recv, err := s.accept(c, r)
	if err != nil {
		s.remove(c)
		s.running.Done()
		if errors.Is(err, ErrBusy) {
			s.refused.Add(1)
			writeUnavailable(w, err.Error())
			return nil
		}
		return &requestError{errForbidden.code, err.Error()}
	}
	s.opened.Add(1)
	if !upgrade {
		c.open(recv, nil)
		return c.servePoll(w, r)
	}
	ws, err := acceptWebSocket(w, r)
	if err != nil { // the client is gone, or has spoken before it was its turn
		c.open(recv, nil)
		c.fault(0)
		return nil
	}
	ws.base64 = query.Has("b64")
	c.open(recv, ws)
	return nil
}

// enter counts a request in, unless the server is closing.
func (s *Server) enter() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closing {
		return false
	}
	s.running.Add(1)
	return true
}

// add takes a session in, and counts it as running until its Receiver knows of its end.
func (s *Server) add(c *Conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closing || len(s.conns) >= s.cfg.MaxConnections {
		return false
	}
	s.conns[c.id] = c
	s.running.Add(1)
	return true
}

func (s *Server) remove(c *Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, c.id)
}

func (s *Server) conn(id string) *Conn {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.conns[id]
}

// Close refuses new sessions, closes all there are, so that their clients come back to wherever the address then leads,
// and returns when no goroutine of the server is left or ctx is done. Polling requests are answered at once. It does not
// matter whether it is called before or after [http.Server.Shutdown], but that one does not close WebSockets and waits
// for polling requests, so before is quicker.
func (s *Server) Close(ctx context.Context) error {
	s.mu.Lock()
	s.closing = true
	conns := make([]*Conn, 0, len(s.conns))
	for _, c := range s.conns {
		conns = append(conns, c)
	}
	s.mu.Unlock()
	for _, c := range conns {
		c.Close(ServerShuttingDown)
	}
	done := make(chan struct{})
	go func() {
		s.running.Wait()
		s.timers.Close()
		s.mu.Lock()
		clear(s.conns) // closed ones whose last packets nobody has fetched
		s.mu.Unlock()
		close(done)
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// now is the time on the clock of the server's timers.
func (s *Server) now() time.Duration { return s.timers.Now() }
