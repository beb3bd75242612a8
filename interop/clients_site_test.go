package interop

import (
	"context"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"loupe/internal/testenv"
	"loupe/socketio"
)

// site is a Socket.IO server of ours in this process, and the page that browsers open. Who has the token "good" may
// connect.
type site struct {
	url     string
	io      *socketio.Server
	arrived chan *socketio.Socket // each that connects
	said    chan *socketio.Event  // each "said": what the client took the arguments for, and the arguments
	numbers chan int              // of each "number"
	upgrade chan struct{}         // no client can upgrade before this is closed

	addr string
	cfg  socketio.Config
	http *http.Server
}

const patience = 30 * time.Second // how long a test waits for what must come

var errNotIn = &socketio.ConnectError{Message: "not authorized", Data: map[string]any{"code": "E_TOKEN", "retry": []int{1, 2}}}

// openSite serves until the test ends.
func openSite(t *testing.T, cfg socketio.Config) *site {
	t.Helper()
	s := &site{
		cfg: cfg, addr: "127.0.0.1:0",
		arrived: make(chan *socketio.Socket, 100), said: make(chan *socketio.Event, 100),
		numbers: make(chan int, numbers), upgrade: make(chan struct{}),
	}
	s.begin(t)
	t.Cleanup(func() {
		if err := s.io.All().Disconnect(true); err != nil { // else the clients would come back for ever
			t.Error(err)
		}
		s.end(t)
	})
	return s
}

// begin starts the server, at the address that it had before.
func (s *site) begin(t *testing.T) {
	t.Helper()
	s.io = socketio.NewServer(s.cfg)
	s.io.Use(func(_ context.Context, h *socketio.Handshake) error {
		var auth struct{ Token string }
		if err := socketio.Value(h.Auth).Bind(&auth); err != nil {
			return err
		}
		if auth.Token != "good" {
			return errNotIn
		}
		h.User = "somebody"
		return nil
	})
	s.io.OnConnect(func(socket *socketio.Socket) {
		socket.Join("readers")
		s.arrived <- socket
	})
	s.io.On("said", func(_ context.Context, e *socketio.Event) { s.said <- e })
	s.io.On("echo", func(_ context.Context, e *socketio.Event) {
		_ = e.Ack(anys(e.Args)...) // the client says whether it came; one that has gone does not
	})
	s.io.On("number", socketio.Typed(func(_ context.Context, _ *socketio.Event, n int) { s.numbers <- n }))

	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", s.addr)
	if err != nil {
		t.Fatal(err)
	}
	s.addr = l.Addr().String()
	s.url = "http://" + s.addr
	server := s.io // a request may still be under way when the next server has begun
	mux := http.NewServeMux()
	mux.HandleFunc("/socket.io/", func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Upgrade") != "" && r.URL.Query().Has("sid") {
			select {
			case <-s.upgrade:
			case <-r.Context().Done():
				return
			}
		}
		server.ServeHTTP(w, r)
	})
	mux.Handle("/clients/", http.FileServer(http.Dir(filepath.Join(testenv.Root(), "interop"))))
	mux.Handle("/dist/", http.FileServer(http.Dir(filepath.Join(testenv.Root(), "interop/node_modules/socket.io-client"))))
	s.http = &http.Server{Handler: mux, ReadHeaderTimeout: patience}
	go s.http.Serve(l)
}

// end disconnects all and frees the port.
func (s *site) end(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), patience)
	defer cancel()
	if err := s.io.Close(ctx); err != nil {
		t.Error(err)
	}
	if err := s.http.Close(); err != nil {
		t.Error(err)
	}
}

// anys are values as arguments.
func anys[T any](values []T) []any {
	args := make([]any, len(values))
	for i, v := range values {
		args[i] = v
	}
	return args
}

// next waits for what must come from a channel.
func next[T any](t *testing.T, from <-chan T) (v T) {
	t.Helper()
	select {
	case v = <-from:
	case <-time.After(patience):
		t.Fatalf("waited in vain for a %T", v)
	}
	return v
}

// line is a way to a site, by TCP, that can be cut.
type line struct {
	url  string
	to   string
	half bool // when it is cut only the clients notice: the site's ends stay open

	mu      sync.Mutex
	cut     bool
	clients []net.Conn
	site    []net.Conn
}

// lay opens a line that lasts until the test ends.
func lay(t *testing.T, to string, half bool) *line {
	t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := &line{url: "http://" + listener.Addr().String(), to: to, half: half}
	var carried sync.WaitGroup
	carried.Go(func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			carried.Go(func() { l.carry(client) })
		}
	})
	t.Cleanup(func() {
		listener.Close()
		l.setCut(true)
		l.mu.Lock()
		closeAll(l.site)
		l.mu.Unlock()
		carried.Wait()
	})
	return l
}

// setCut cuts the line, or mends it: what was lost stays lost.
func (l *line) setCut(cut bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.cut = cut; !cut {
		return
	}
	closeAll(l.clients)
	l.clients = nil
	if !l.half {
		closeAll(l.site)
		l.site = nil
	}
}

// carry carries a connection to the site, both ways.
func (l *line) carry(client net.Conn) {
	defer client.Close()
	site, err := net.Dial("tcp", l.to)
	if err != nil {
		return
	}
	if !l.enter(client, site) {
		site.Close()
		return
	}
	var back sync.WaitGroup
	back.Go(func() {
		io.Copy(client, site)
		client.Close()
	})
	io.Copy(site, client)
	if !l.half {
		site.Close()
	}
	back.Wait()
}

// enter reports whether the line carries.
func (l *line) enter(client, site net.Conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.cut {
		return false
	}
	l.clients, l.site = append(l.clients, client), append(l.site, site)
	return true
}

func closeAll(conns []net.Conn) {
	for _, c := range conns {
		c.Close()
	}
}
