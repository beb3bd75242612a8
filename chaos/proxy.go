package main

import (
	"context"
	"net"
	"sync"
	"time"
)

// link is a TCP proxy between two parts that can be cut and held.
type link struct {
	name     string
	listener net.Listener
	busy     sync.Mutex // held by whoever disturbs it

	mu     sync.Mutex
	target string        // host:port, may change
	open   chan struct{} // closed while bytes may pass
	down   bool          // new connections are closed at once
	conns  map[net.Conn]bool

	pipes sync.WaitGroup
}

// dialTimeout bounds the connecting to a link's target.
const dialTimeout = 2 * time.Second

// newLink returns a link to a target, which listens on a port of its own until it is closed.
func newLink(ctx context.Context, name, target string) (*link, error) {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	l := &link{name: name, listener: listener, target: target, open: make(chan struct{}), conns: make(map[net.Conn]bool)}
	close(l.open)
	l.pipes.Go(func() { l.serve(ctx) })
	return l, nil
}

// address is where the link listens, host:port.
func (l *link) address() string { return l.listener.Addr().String() }

// lead changes where new connections go.
func (l *link) lead(target string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.target = target
}

// cut breaks all connections. While down, new ones are closed at once.
func (l *link) cut(down bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.down = down
	for c := range l.conns {
		c.Close()
	}
}

// mend lets everything pass again.
func (l *link) mend() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.down = false
	select {
	case <-l.open:
	default:
		close(l.open)
	}
}

// hold keeps back every byte until mend; connections stay open.
func (l *link) hold() {
	l.mu.Lock()
	defer l.mu.Unlock()
	select {
	case <-l.open:
		l.open = make(chan struct{})
	default:
	}
}

// gate is closed as soon as bytes may pass.
func (l *link) gate() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.open
}

// close ends the link and all its connections.
func (l *link) close() {
	l.listener.Close()
	l.mend()
	l.cut(true)
	l.pipes.Wait()
}

func (l *link) serve(ctx context.Context) {
	for {
		near, err := l.listener.Accept()
		if err != nil {
			return
		}
		l.pipes.Go(func() { l.carry(ctx, near) })
	}
}

// carry takes one connection to the target and back.
func (l *link) carry(ctx context.Context, near net.Conn) {
	defer near.Close()
	target, ok := l.take(near)
	defer l.drop(near)
	if !ok {
		return
	}
	far, err := (&net.Dialer{Timeout: dialTimeout}).DialContext(ctx, "tcp", target)
	if err != nil {
		return
	}
	defer far.Close()
	_, ok = l.take(far)
	defer l.drop(far)
	if !ok {
		return
	}
	var back sync.WaitGroup
	back.Go(func() { l.pour(near, far) })
	l.pour(far, near)
	back.Wait()
}

// take adds a connection to those that can be cut, unless the link is down.
func (l *link) take(c net.Conn) (target string, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.conns[c] = true
	return l.target, !l.down
}

func (l *link) drop(c net.Conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.conns, c)
}

// pour copies until either end fails, and then ends both: a half-closed connection would hide a cut.
func (l *link) pour(to, from net.Conn) {
	defer to.Close()
	defer from.Close()
	buffer := make([]byte, 32<<10)
	for {
		n, err := from.Read(buffer)
		<-l.gate()
		if n > 0 {
			if _, err := to.Write(buffer[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return // io.EOF or a cut: both end here
		}
	}
}
