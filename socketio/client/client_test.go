package client_test

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"loupe/socketio"
	"loupe/socketio/client"
	"loupe/socketio/internal/wiretest"
)

// start serves io until the test ends and returns the URL.
func start(t *testing.T, io *socketio.Server) (url string) {
	t.Helper()
	addr, _ := wiretest.ServeTCP(t, io, wiretest.AnyPort)
	return "http://" + addr
}

var transports = []string{"websocket", "polling"}

func TestEventsAndAcks(t *testing.T) {
	t.Parallel()
	for _, transport := range transports {
		t.Run(transport, func(t *testing.T) {
			t.Parallel()
			io := socketio.NewServer(socketio.Config{})
			io.Use(func(_ context.Context, h *socketio.Handshake) error {
				h.Data = h.Auth
				return nil
			})
			io.OnConnect(func(s *socketio.Socket) {
				s.Join("all")
				s.Emit("welcome", s.Data())
			})
			io.On("add", func(_ context.Context, e *socketio.Event) {
				var a, b int
				if err := e.Bind(&a, &b); err != nil {
					t.Errorf("bind: %v", err)
				}
				e.Ack(a+b, []byte{0xff})
			})
			io.On("ask", func(ctx context.Context, e *socketio.Event) {
				io.To("all").Emit("big", strings.Repeat("é", 300_000))
			})
			url := start(t, io)

			welcome, big := make(chan string, 1), make(chan int, 1)
			ctx := wiretest.Context(t)
			c, err := client.Dial(ctx, url, client.Config{
				Transport: transport,
				Auth:      map[string]string{"token": "t"},
				Handlers: map[string]client.Handler{
					"welcome": func(args []client.Value) { welcome <- args[0].String() },
					"big": func(args []client.Value) {
						var s string
						args[0].Bind(&s)
						big <- len(s)
					},
				},
			})
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			if got := <-welcome; got != `{"token":"t"}` {
				t.Errorf("welcome with %s", got)
			}
			answer, err := c.EmitWithAck(ctx, "add", 40, 2)
			if err != nil {
				t.Fatal(err)
			}
			var sum int
			var data []byte
			if err := errors.Join(answer[0].Bind(&sum), answer[1].Bind(&data)); err != nil || sum != 42 || !slices.Equal(data, []byte{0xff}) {
				t.Errorf("answer %v, %v", answer, err)
			}
			if err := c.Emit(ctx, "ask"); err != nil {
				t.Fatal(err)
			}
			if n := <-big; n != 600_000 {
				t.Errorf("big message of %d bytes", n)
			}
		})
	}
}

func TestRefusalSaysWhy(t *testing.T) {
	t.Parallel()
	for _, transport := range transports {
		t.Run(transport, func(t *testing.T) {
			t.Parallel()
			io := socketio.NewServer(socketio.Config{})
			io.Use(func(context.Context, *socketio.Handshake) error {
				return &socketio.ConnectError{Message: "Token expired", Data: map[string]string{"code": "token_expired"}}
			})
			url := start(t, io)
			_, err := client.Dial(wiretest.Context(t), url, client.Config{Transport: transport})
			refusal, ok := errors.AsType[*client.ConnectError](err)
			if !ok {
				t.Fatalf("error %v", err)
			}
			var data struct{ Code string }
			if json.Unmarshal(refusal.Data, &data); refusal.Message != "Token expired" || data.Code != "token_expired" {
				t.Errorf("refusal %+v, data %s", refusal, refusal.Data)
			}
		})
	}
}

func TestReconnectsAfterARestart(t *testing.T) {
	t.Parallel()
	for _, transport := range transports {
		t.Run(transport, func(t *testing.T) {
			t.Parallel()
			newServer := func(name string) *socketio.Server {
				io := socketio.NewServer(socketio.Config{})
				io.OnConnect(func(s *socketio.Socket) { s.Emit("hello", name) })
				return io
			}
			addr, stop := wiretest.ServeTCP(t, newServer("first"), wiretest.AnyPort)
			heard := make(chan string, 10)
			c, err := client.Dial(wiretest.Context(t), "http://"+addr, client.Config{
				Transport:      transport,
				ReconnectDelay: 10 * time.Millisecond,
				Handlers: map[string]client.Handler{"hello": func(args []client.Value) {
					var name string
					args[0].Bind(&name)
					heard <- name
				}},
				OnConnect:    func() { heard <- "connect" },
				OnDisconnect: func(string) { heard <- "disconnect" },
			})
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			stop()
			wiretest.ServeTCP(t, newServer("second"), addr)
			// The hello of the second server and the client's own news of the connect come from different goroutines.
			got := []string{<-heard, <-heard, <-heard, <-heard}
			slices.Sort(got[2:])
			if want := []string{"first", "disconnect", "connect", "second"}; !slices.Equal(got, want) {
				t.Errorf("heard %v, want %v", got, want)
			}
		})
	}
}

func TestEndsWhenTheServerSaysSo(t *testing.T) {
	t.Parallel()
	for _, transport := range transports {
		t.Run(transport, func(t *testing.T) {
			t.Parallel()
			io := socketio.NewServer(socketio.Config{})
			io.On("go", func(_ context.Context, e *socketio.Event) { e.Socket.Disconnect(false) })
			url := start(t, io)
			ctx := wiretest.Context(t)
			c, err := client.Dial(ctx, url, client.Config{Transport: transport})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := c.EmitWithAck(ctx, "go"); !errors.Is(err, client.ErrDisconnected) {
				t.Errorf("acknowledgement: %v", err)
			}
			<-c.Done()
			if err := c.Err(); !errors.Is(err, client.ErrServerDisconnect) {
				t.Errorf("ended with %v", err)
			}
			if err := c.Emit(ctx, "more"); !errors.Is(err, client.ErrDisconnected) {
				t.Errorf("emit: %v", err)
			}
		})
	}
}

func TestDialErrors(t *testing.T) {
	t.Parallel()
	teapot := start(t, socketio.NewServer(socketio.Config{Path: "/other/"}))
	for _, transport := range transports {
		for _, url := range []string{teapot, "http://127.0.0.1:1", "http://[", "ftp://127.0.0.1"} {
			if _, err := client.Dial(wiretest.Context(t), url, client.Config{Transport: transport}); err == nil {
				t.Errorf("%s by %s: no error", url, transport)
			}
		}
	}
	if _, err := client.Dial(wiretest.Context(t), teapot, client.Config{Transport: "pigeon"}); err == nil {
		t.Error("unknown transport: no error")
	}
}
