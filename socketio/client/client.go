// Package client is a small Socket.IO v4 client: one namespace over WebSocket or polling, events and acknowledgements
// both ways, reconnecting by itself.
//
//	c, err := client.Dial(ctx, "http://127.0.0.1:3000", client.Config{
//		Auth:     map[string]string{"token": token},
//		Handlers: map[string]client.Handler{"news": func(args []client.Value) { … }},
//	})
//	…
//	defer c.Close()
//	answer, err := c.EmitWithAck(ctx, "question", 42)
//
// It does not upgrade from polling to WebSocket; it uses the transport it is told to.
package client

import (
	"cmp"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"sync"
	"time"

	"loupe/socketio/engineio"
	"loupe/socketio/packet"
)

// Value is an argument of an event or acknowledgement; its Bind method decodes it.
type Value = packet.Value

// Binary is binary data anywhere in an argument.
type Binary = packet.Binary

// Handler handles an event. Handlers are called one after the other, in the order of the events. While one blocks, and
// 1,024 events wait, the server is not heard; so it must not take longer than the server's ping timeout.
type Handler func(args []Value)

// Config says how [Dial] connects. The zero value connects to the main namespace by WebSocket without auth.
type Config struct {
	// Namespace is the namespace to connect to. Defaults to "/".
	Namespace string
	// Path is where the server listens, used when the URL has no path. Defaults to "/socket.io/".
	Path string
	// Transport is "websocket" or "polling". Defaults to "websocket".
	Transport string
	// Auth is sent as the auth object at each connect, as [json.Marshal] encodes it. A func() any is called for it each
	// time. Defaults to none.
	Auth any
	// Header is sent with every HTTP request. Defaults to none.
	Header http.Header
	// TLS is used for https and wss. Defaults to the system's roots.
	TLS *tls.Config

	// Handlers are those of the events by their names. Set here, they miss nothing.
	Handlers map[string]Handler
	// Any is called for events without a handler. Defaults to ignoring them.
	Any func(event string, args []Value)
	// OnConnect is called after each reconnect, OnDisconnect after each loss of the connection; both like handlers.
	OnConnect    func()
	OnDisconnect func(reason string)

	// NoReconnect makes the client end when the connection is lost.
	NoReconnect bool
	// ReconnectDelay is the mean wait before the first attempt to reconnect; it doubles with each up to
	// ReconnectDelayMax. The waits are spread by half. Default to 1 s and 5 s.
	ReconnectDelay, ReconnectDelayMax time.Duration
	// ConnectTimeout bounds each attempt to reconnect. Defaults to 20 s.
	ConnectTimeout time.Duration
}

func (c Config) withDefaults() Config {
	c.Namespace = cmp.Or(c.Namespace, "/")
	c.Path = cmp.Or(c.Path, "/socket.io/")
	c.ReconnectDelay = cmp.Or(c.ReconnectDelay, time.Second)
	c.ReconnectDelayMax = max(c.ReconnectDelay, cmp.Or(c.ReconnectDelayMax, 5*time.Second))
	c.ConnectTimeout = cmp.Or(c.ConnectTimeout, 20*time.Second)
	return c
}

// ConnectError is the server's refusal to let the client into the namespace.
type ConnectError struct {
	Message string          `json:"message"`
	Data    json.RawMessage `json:"data"` // nil if the server sent none
}

func (e *ConnectError) Error() string { return "socket.io: connect: " + e.Message }

var (
	// ErrDisconnected is returned by sending while there is no connection, and by waiting for an acknowledgement when
	// the connection is lost.
	ErrDisconnected = errors.New("socket.io: not connected")
	// ErrServerDisconnect is why a client has ended that the server told to go.
	ErrServerDisconnect = errors.New("socket.io: disconnected by the server")
	// ErrClosed is why a client has ended that was closed.
	ErrClosed = errors.New("socket.io: client is closed")
)

// Client is a client in a namespace. All methods may be called concurrently.
type Client struct {
	url    string
	cfg    Config
	cancel context.CancelFunc
	tasks  chan func() // for the goroutine that calls handlers
	done   chan struct{}

	mu      sync.Mutex // protects following
	session *session   // nil while there is no connection
	err     error      // once ended
}

// maxTasks is how many events may wait for handlers.
const maxTasks = 1024

// Dial connects to the server at rawURL, http, https, ws or wss. It returns when the client is in the namespace, or a
// [ConnectError] if the server refuses it. The context bounds the dialling only; [Client.Close] ends the client.
func Dial(ctx context.Context, rawURL string, cfg Config) (*Client, error) {
	cfg = cfg.withDefaults()
	u, err := url.Parse(rawURL)
	if err != nil {
		return nil, fmt.Errorf("socket.io: %w", err)
	}
	if u.Path == "" || u.Path == "/" {
		u.Path = cfg.Path
	}
	c := &Client{url: u.String(), cfg: cfg, tasks: make(chan func(), maxTasks), done: make(chan struct{})}
	life, cancel := context.WithCancel(context.WithoutCancel(ctx))
	c.cancel = cancel
	var handlers sync.WaitGroup
	handlers.Go(func() {
		for task := range c.tasks {
			task()
		}
	})
	s, err := c.connect(ctx)
	if err != nil {
		cancel()
		close(c.tasks)
		handlers.Wait()
		return nil, err
	}
	go func() {
		defer close(c.done)
		defer cancel()
		err := c.run(life, s)
		close(c.tasks)
		handlers.Wait()
		c.mu.Lock()
		defer c.mu.Unlock()
		c.err = err
	}()
	return c, nil
}

// Done is closed when the client has ended for good and all handlers have returned; [Client.Err] then says why.
func (c *Client) Done() <-chan struct{} { return c.done }

// Err is nil until the client has ended: by [Client.Close], by the server, which is [ErrServerDisconnect] or at a
// reconnect a [ConnectError], or by the loss of the connection if it is not to reconnect.
func (c *Client) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// Close leaves the namespace, ends the client and returns when its handlers have. No handler may call it.
func (c *Client) Close() error {
	c.cancel()
	<-c.done
	return nil
}

// Emit sends an event. Of its arguments a [json.RawMessage] goes out byte for byte and a []byte as an attachment; the
// rest as [json.Marshal] encodes it. It returns [ErrDisconnected] while there is no connection: nothing is kept for
// later.
func (c *Client) Emit(ctx context.Context, event string, args ...any) error {
	s, err := c.current()
	if err != nil {
		return err
	}
	p, err := packet.EncodeEvent(c.cfg.Namespace, packet.NoID, event, args, maxAttachments)
	if err != nil {
		return err
	}
	return s.send(ctx, p)
}

// EmitWithAck sends an event and waits for the arguments of the acknowledgement, until ctx is done or the connection is
// lost.
func (c *Client) EmitWithAck(ctx context.Context, event string, args ...any) ([]Value, error) {
	s, err := c.current()
	if err != nil {
		return nil, err
	}
	id, answer, err := s.expectAck()
	if err != nil {
		return nil, err
	}
	defer s.forgetAck(id)
	p, err := packet.EncodeEvent(c.cfg.Namespace, id, event, args, maxAttachments)
	if err != nil {
		return nil, err
	}
	if err := s.send(ctx, p); err != nil {
		return nil, err
	}
	select {
	case args := <-answer:
		return args, nil
	case <-s.ended:
		return nil, ErrDisconnected
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (c *Client) current() (*session, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.session == nil {
		return nil, ErrDisconnected
	}
	return c.session, nil
}

// run stays with the connection, and with those after it, until the client ends.
func (c *Client) run(ctx context.Context, s *session) error {
	for {
		select {
		case <-s.ended:
		case <-ctx.Done():
			c.leave(s, true)
			return ErrClosed
		}
		c.leave(s, false)
		if f, reason := c.cfg.OnDisconnect, s.reason(); f != nil {
			c.tasks <- func() { f(reason) }
		}
		switch {
		case s.dismissed():
			return ErrServerDisconnect
		case c.cfg.NoReconnect:
			return fmt.Errorf("%w: %s", ErrDisconnected, s.reason())
		}
		var err error
		if s, err = c.reconnect(ctx); err != nil {
			return err
		}
		if f := c.cfg.OnConnect; f != nil {
			c.tasks <- f
		}
	}
}

// reconnect tries until it succeeds, the server refuses the client, or ctx is done.
func (c *Client) reconnect(ctx context.Context) (*session, error) {
	for delay := c.cfg.ReconnectDelay; ; delay = min(2*delay, c.cfg.ReconnectDelayMax) {
		wait := time.NewTimer(time.Duration((0.5 + rand.Float64()) * float64(delay)))
		select {
		case <-wait.C:
		case <-ctx.Done():
			wait.Stop()
			return nil, ErrClosed
		}
		attempt, cancel := context.WithTimeout(ctx, c.cfg.ConnectTimeout)
		s, err := c.connect(attempt)
		cancel()
		if err == nil {
			return s, nil
		}
		if _, refused := errors.AsType[*ConnectError](err); refused {
			return nil, err
		}
	}
}

// connect opens a session and enters the namespace.
func (c *Client) connect(ctx context.Context) (*session, error) {
	auth := c.cfg.Auth
	if f, ok := auth.(func() any); ok {
		auth = f()
	}
	var payload []byte
	if auth != nil {
		var err error
		if payload, err = json.Marshal(auth); err != nil {
			return nil, fmt.Errorf("socket.io: auth: %w", err)
		}
	}
	s := newSession(c)
	eng, err := engineio.Dial(ctx, c.url, engineio.DialConfig{
		Transport: c.cfg.Transport, Header: c.cfg.Header, TLS: c.cfg.TLS,
	}, s)
	if err != nil {
		return nil, fmt.Errorf("socket.io: dial: %w", err)
	}
	s.eng = eng
	if err = s.send(ctx, packet.EncodeConnect(packet.Connect, c.cfg.Namespace, payload)); err == nil {
		err = s.waitConnected(ctx)
	}
	if err != nil {
		eng.Close(ctx)
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.session = s
	return s, nil
}

// leaveTimeout bounds the goodbye.
const leaveTimeout = 2 * time.Second

// leave ends a session. When it returns, nothing more comes from it.
func (c *Client) leave(s *session, goodbye bool) {
	c.mu.Lock()
	c.session = nil
	c.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), leaveTimeout)
	defer cancel()
	if goodbye {
		_ = s.send(ctx, packet.EncodeDisconnect(c.cfg.Namespace)) // if it fails the server finds out by itself
	}
	s.eng.Close(ctx)
	s.end("client is closed", false)
}
