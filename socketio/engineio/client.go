package engineio

import (
	"cmp"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"sync"
	"time"
)

// DialConfig says how [Dial] connects. The zero value connects by WebSocket.
type DialConfig struct {
	// Transport is "websocket" or "polling". Defaults to "websocket".
	Transport string
	// Header is sent with every request. Defaults to none.
	Header http.Header
	// TLS is used for https and wss. Defaults to the system's roots.
	TLS *tls.Config
	// MaxPayload is the largest message, and the largest answer of polling, that is taken, in bytes. Defaults to 16 MiB.
	MaxPayload int
}

// HandshakeError is a server's refusal.
type HandshakeError struct {
	Status  int    // of the HTTP answer
	Message string // the answer's body, as the server wrote it
}

func (e *HandshakeError) Error() string {
	return fmt.Sprintf("engineio: server answered %d: %s", e.Status, e.Message)
}

// ErrBadServer is wrapped by the errors for answers that are not Engine.IO v4.
var ErrBadServer = errors.New("engineio: not an Engine.IO v4 server")

// ClientConn is the client's end of a session. All methods may be called concurrently.
type ClientConn struct {
	transport clientTransport
	recv      Receiver
	interval  time.Duration // in which a ping must come
	done      chan struct{}

	mu       sync.Mutex
	reason   Reason // once closed
	watchdog *time.Timer
}

// clientTransport moves packets. Read and write may be called concurrently with each other and with close, which makes
// them fail.
type clientTransport interface {
	// read returns the next packets, at least one.
	read() ([]packet, error)
	write(ctx context.Context, ps []packet) error
	close()
}

// Dial opens a session with the server at rawURL: http, https, ws or wss, the path included. The context bounds the
// dialling only. What the session receives goes to recv until [ClientConn.Close] has returned or recv.Closed was called;
// recv must not block for longer than the server's ping timeout.
func Dial(ctx context.Context, rawURL string, cfg DialConfig, recv Receiver) (*ClientConn, error) {
	u, err := url.Parse(rawURL)
	if err != nil {
		return nil, fmt.Errorf("engineio: %w", err)
	}
	cfg.Transport = cmp.Or(cfg.Transport, "websocket")
	cfg.MaxPayload = positive(cfg.MaxPayload, 16<<20)
	q := u.Query()
	q.Set("EIO", "4")
	q.Set("transport", cfg.Transport)
	u.RawQuery = q.Encode()

	var t clientTransport
	var first []packet
	switch cfg.Transport {
	case "websocket":
		t, first, err = dialClientWebSocket(ctx, u, cfg)
	case "polling":
		t, first, err = dialClientPolling(ctx, u, cfg)
	default:
		err = fmt.Errorf("engineio: unknown transport %q", cfg.Transport)
	}
	if err != nil {
		return nil, err
	}
	var hello struct {
		SID          string `json:"sid"`
		PingInterval int    `json:"pingInterval"`
		PingTimeout  int    `json:"pingTimeout"`
		MaxPayload   int    `json:"maxPayload"`
	}
	if first[0].typ != packetOpen || json.Unmarshal(first[0].data, &hello) != nil || hello.SID == "" {
		t.close()
		return nil, ErrBadServer
	}
	if p, ok := t.(*clientPolling); ok {
		p.begin(hello.SID, hello.MaxPayload)
	}
	c := &ClientConn{transport: t, recv: recv, done: make(chan struct{})}
	c.interval = time.Duration(hello.PingInterval+hello.PingTimeout) * time.Millisecond
	c.mu.Lock()
	c.watchdog = time.AfterFunc(c.interval, func() { c.end(PingTimeout) })
	c.mu.Unlock()
	go c.run(first[1:])
	return c, nil
}

// Send sends messages one after the other with none between.
func (c *ClientConn) Send(ctx context.Context, ms ...Message) error {
	ps := make([]packet, len(ms))
	for i, m := range ms {
		ps[i] = packet{typ: packetMessage, data: m.Data, binary: m.Binary}
	}
	return c.write(ctx, ps)
}

func (c *ClientConn) write(ctx context.Context, ps []packet) error {
	c.mu.Lock()
	closed := c.reason != ""
	c.mu.Unlock()
	if closed {
		return ErrClosed
	}
	if err := c.transport.write(ctx, ps); err != nil {
		c.end(TransportError)
		return fmt.Errorf("engineio: send: %w", err)
	}
	return nil
}

// Close says goodbye, ends the session and returns when the Receiver was told. The Receiver must not call it.
func (c *ClientConn) Close(ctx context.Context) {
	if c.mark(ForcedClose) {
		_ = c.transport.write(ctx, []packet{{typ: packetClose}}) // if this fails the server finds out by itself
		c.transport.close()
	}
	<-c.done
}

func (c *ClientConn) end(reason Reason) {
	if c.mark(reason) {
		c.transport.close()
	}
}

// mark makes reason that of the end, unless there is one already.
func (c *ClientConn) mark(reason Reason) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.reason != "" {
		return false
	}
	c.reason = reason
	c.watchdog.Stop()
	return true
}

func (c *ClientConn) run(ps []packet) {
	defer close(c.done)
	for {
		for _, p := range ps {
			c.handle(p)
		}
		var err error
		if ps, err = c.transport.read(); err != nil {
			c.end(TransportClose)
			break
		}
	}
	c.mu.Lock()
	reason := c.reason
	c.mu.Unlock()
	c.recv.Closed(reason)
}

func (c *ClientConn) handle(p packet) {
	switch p.typ {
	case packetMessage:
		c.recv.Receive(Message{Data: p.data, Binary: p.binary})
	case packetClose:
		c.end(TransportClose)
	case packetPing:
		c.mu.Lock()
		if c.reason == "" {
			c.watchdog.Reset(c.interval)
		}
		c.mu.Unlock()
		ctx, cancel := context.WithTimeout(context.Background(), c.interval)
		defer cancel()
		_ = c.write(ctx, []packet{{typ: packetPong}}) // an error has ended the session
	}
}
