package wiretest

import (
	"context"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"
)

// Listener accepts connections in memory. The address does not matter.
type Listener struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

// NewListener returns a listener that nobody has dialled yet.
func NewListener() *Listener {
	return &Listener{conns: make(chan net.Conn), closed: make(chan struct{})}
}

// Accept implements [net.Listener].
func (l *Listener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

// Close implements [net.Listener].
func (l *Listener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

// Addr implements [net.Listener]; nobody can dial it.
func (l *Listener) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1} }

// Dial connects to the listener.
func (l *Listener) Dial(ctx context.Context) (net.Conn, error) {
	here, there := net.Pipe()
	select {
	case l.conns <- there:
		return here, nil
	case <-l.closed:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Serve serves h in memory until the test ends and returns a peer for the server's path.
func Serve(t *testing.T, h http.Handler, path string) *Peer {
	l := NewListener()
	t.Cleanup(serve(h, l))
	return NewPeer(t, l.Dial, path)
}

func serve(h http.Handler, l net.Listener) (stop func()) {
	srv := &http.Server{Handler: h}
	done := make(chan struct{})
	go func() {
		defer close(done)
		srv.Serve(l)
	}()
	return func() {
		srv.Close()
		<-done
	}
}

// AnyPort is an address for [ServeTCP].
const AnyPort = "127.0.0.1:0"

// Server is one of ours.
type Server interface {
	http.Handler
	Close(context.Context) error
}

// ServeTCP serves s on the network until the test ends, or stop is called. It returns the address.
func ServeTCP(t *testing.T, s Server, addr string) (at string, stop func()) {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	hangUp := serve(s, l)
	stop = sync.OnceFunc(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), 20*time.Second)
		defer cancel()
		if err := s.Close(ctx); err != nil {
			t.Errorf("closing the server: %v", err)
		}
		hangUp()
	})
	t.Cleanup(stop)
	return l.Addr().String(), stop
}

// TCP dials an address, for [NewPeer].
func TCP(addr string) func(context.Context) (net.Conn, error) {
	return func(ctx context.Context) (net.Conn, error) { return (&net.Dialer{}).DialContext(ctx, "tcp", addr) }
}
