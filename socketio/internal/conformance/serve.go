package main

import (
	"context"
	"encoding/json"
	"net"
	"net/http"
	"time"

	"loupe/socketio"
	"loupe/socketio/engineio"
)

// The timings that the suites expect. They do not know connectTimeout, but test three heartbeats without a CONNECT, which
// take 900 ms and more, and that the connection is closed without one, for which they wait 2 s. A busy machine needs room
// on both sides.
const (
	pingInterval   = 300 * time.Millisecond
	pingTimeout    = 200 * time.Millisecond
	connectTimeout = 1700 * time.Millisecond
)

// serve runs the servers that the suites want to meet, both on one listener, until ctx is done.
func serve(ctx context.Context, l net.Listener) error {
	echo := engineio.NewServer(engineio.Config{PingInterval: pingInterval, PingTimeout: pingTimeout},
		func(c *engineio.Conn, _ *http.Request) (engineio.Receiver, error) { return echoer{c}, nil })
	io := socketio.NewServer(socketio.Config{
		PingInterval: pingInterval, PingTimeout: pingTimeout, ConnectTimeout: connectTimeout,
	})
	greet := func(_ context.Context, h *socketio.Handshake) error {
		h.Data = h.Auth
		return nil
	}
	auth := func(s *socketio.Socket) { s.Emit("auth", s.Data().(json.RawMessage)) }
	io.Use(greet)
	io.OnConnect(auth)
	io.Of("/custom").Use(greet)
	io.Of("/custom").OnConnect(auth)
	io.On("message", func(_ context.Context, e *socketio.Event) { e.Socket.Emit("message-back", anys(e.Args)...) })
	io.On("message-with-ack", func(_ context.Context, e *socketio.Event) { e.Ack(anys(e.Args)...) })

	mux := http.NewServeMux()
	mux.Handle("/engine.io/", echo)
	mux.Handle("/socket.io/", io)
	srv := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	context.AfterFunc(ctx, func() { l.Close() })
	srv.Serve(l) // ends with the listener
	closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	if err := echo.Close(closing); err != nil {
		return err
	}
	if err := io.Close(closing); err != nil {
		return err
	}
	return srv.Shutdown(closing)
}

// echoer sends back all that comes.
type echoer struct{ conn *engineio.Conn }

func (e echoer) Receive(m engineio.Message) { e.conn.Send(m) }
func (echoer) Closed(engineio.Reason)       {}

func anys(values []socketio.Value) []any {
	out := make([]any, len(values))
	for i, v := range values {
		out[i] = v
	}
	return out
}
