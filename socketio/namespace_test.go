package socketio_test

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"loupe/socketio"
)

// What OnConnect joins and emits, the client gets after its CONNECT packet, in order, with nothing missed in between.
func TestConnectIsOneStep(t *testing.T) {
	bubble(t, func(t *testing.T) {
		h := serve(t, socketio.Config{})
		h.OnConnect(func(s *socketio.Socket) {
			s.Emit("first")
			s.Join("room")
			h.To("room").Emit("second")
			time.Sleep(time.Second)
			h.To(s.ID()).Emit("third", []byte{1})
			s.Emit("fourth")
		})
		c := h.join(t)
		c.Expect(`42["first"]`, `42["second"]`, `451-["third",{"_placeholder":true,"num":0}]`, "b:\x01", `42["fourth"]`)
	})
}

// Waiting for an acknowledgement in OnConnect lets the client know that it is connected; its events still wait.
func TestAckInOnConnect(t *testing.T) {
	bubble(t, func(t *testing.T) {
		h := serve(t, socketio.Config{})
		h.OnConnect(func(s *socketio.Socket) {
			s.Emit("before")
			answer, err := s.EmitWithAck(context.Background(), "question")
			if err != nil || answer[0].String() != "42" {
				t.Errorf("answer %v, %v", answer, err)
			}
			s.On("event", func(_ context.Context, e *socketio.Event) { s.Emit("handled") })
		})
		c := h.join(t)
		c.Expect(`42["before"]`, `420["question"]`)
		c.Send(`42["event"]`)
		synctest.Wait()
		c.Send("430[42]")
		c.Expect(`42["handled"]`)
	})
}

func TestMiddleware(t *testing.T) {
	bubble(t, func(t *testing.T) {
		h := serve(t, socketio.Config{})
		var calls []string
		h.Use(func(_ context.Context, hs *socketio.Handshake) error {
			calls = append(calls, "first")
			if hs.Namespace != "/" || string(hs.Auth) != `{"token":"t"}` || hs.Query.Get("q") != "v" || hs.RemoteAddr == "" ||
				hs.Header.Get("Authorization") != "Bearer x" || hs.Header.Get("X-Other") != "" {
				t.Errorf("handshake %+v", hs)
			}
			hs.Data = []string{"one"}
			return nil
		})
		h.Use(func(_ context.Context, hs *socketio.Handshake) error {
			calls = append(calls, "second")
			hs.Data = append(hs.Data.([]string), "two")
			return nil
		})
		h.OnConnect(func(s *socketio.Socket) { s.Emit("data", s.Data()) })
		w, err := h.Dial("EIO=4&transport=websocket&q=v", http.Header{"Authorization": {"Bearer x"}, "X-Other": {"y"}})
		if err != nil {
			t.Fatal(err)
		}
		w.Read()
		w.Send(`40{"token":"t"}`)
		w.Read()
		w.Expect(`42["data",["one","two"]]`)
		if got := strings.Join(calls, " "); got != "first second" {
			t.Errorf("calls: %s", got)
		}
	})
}

func TestMiddlewareStopsAtTheFirstError(t *testing.T) {
	bubble(t, func(t *testing.T) {
		h := serve(t, socketio.Config{})
		h.Use(func(context.Context, *socketio.Handshake) error { return errors.New("a secret") })
		h.Use(func(context.Context, *socketio.Handshake) error {
			t.Error("called")
			return nil
		})
		h.OnConnect(func(*socketio.Socket) { t.Error("connected") })
		w := h.OpenWebSocket()
		w.Send("40")
		w.Expect(`44{"message":"Internal server error"}`)
		if log := h.log.String(); !strings.Contains(log, "a secret") {
			t.Errorf("log: %s", log)
		}
	})
}

func TestMiddlewareContext(t *testing.T) {
	for name, leave := range map[string]func(*host, *testing.T){
		"the client leaves": func(h *host, t *testing.T) {
			w := h.OpenWebSocket()
			w.Send("40")
			synctest.Wait()
			w.Close()
		},
		"it takes too long": func(h *host, t *testing.T) {
			w := h.OpenWebSocket()
			w.Send("40")
			go w.ExpectClose()
			time.Sleep(10 * time.Second)
		},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				h := serve(t, socketio.Config{ConnectTimeout: 10 * time.Second})
				done := make(chan error, 1)
				h.Use(func(ctx context.Context, _ *socketio.Handshake) error {
					<-ctx.Done()
					done <- ctx.Err()
					return nil
				})
				h.OnConnect(func(*socketio.Socket) { t.Error("connected") })
				leave(h, t)
				if err := <-done; err == nil {
					t.Error("no error")
				}
				synctest.Wait()
				if s := h.Stats(); s.Sockets != 0 {
					t.Errorf("stats %+v", s)
				}
			})
		})
	}
}

// Slow middleware of one namespace does not hold up another.
func TestNamespacesConnectIndependently(t *testing.T) {
	bubble(t, func(t *testing.T) {
		h := serve(t, socketio.Config{})
		h.Of("/slow").Use(func(context.Context, *socketio.Handshake) error {
			time.Sleep(time.Second)
			return nil
		})
		h.On("x", func(_ context.Context, e *socketio.Event) { e.Ack() })
		w := h.OpenWebSocket()
		w.Send("40/slow")
		w.Send("40")
		w.Read()
		w.Send(`421["x"]`)
		w.Expect("431[]")
		if got := w.Read(); !strings.HasPrefix(got, "40/slow,") {
			t.Errorf("got %q", got)
		}
		if h.Of("/slow").Name() != "/slow" {
			t.Error("name")
		}
	})
}

func TestConnectTimeout(t *testing.T) {
	bubble(t, func(t *testing.T) {
		h := serve(t, socketio.Config{ConnectTimeout: time.Second})
		h.Of("/refuse").Use(func(context.Context, *socketio.Handshake) error { return &socketio.ConnectError{Message: "no"} })
		start := time.Now()
		silent, refused := h.OpenWebSocket(), h.OpenWebSocket()
		refused.Send("40/refuse")
		refused.Read()
		sid := h.Open()
		settled := h.join(t)
		settled.Send("41") // having been in a namespace is enough
		silent.ExpectClose()
		refused.ExpectClose()
		if took := time.Since(start); took != time.Second {
			t.Errorf("took %v", took)
		}
		if a := h.Poll(sid); a.Body != "1" {
			t.Errorf("polled %d %q", a.Status, a.Body)
		}
		time.Sleep(time.Second)
		settled.Send("40")
		settled.connected(t, settled.Read())
	})
}

func TestPendingConnectionsAreBounded(t *testing.T) {
	bubble(t, func(t *testing.T) {
		h := serve(t, socketio.Config{MaxPending: 3, ConnectTimeout: time.Second})
		c := h.join(t)
		for range 3 {
			h.Open()
		}
		if a := h.Get("EIO=4&transport=polling"); a.Status != 503 {
			t.Errorf("a fourth: %d", a.Status)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		h.Open()
		c.Send(`42["still here"]`)
	})
	t.Run("by address", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			h := serve(t, socketio.Config{MaxPendingPerAddr: 2})
			h.Open()
			h.Open()
			if a := h.Get("EIO=4&transport=polling"); a.Status != 503 {
				t.Errorf("a third: %d", a.Status)
			}
		})
	})
}

// 10,000 handshakes without a CONNECT are gone after the timeout.
func TestHandshakeFlood(t *testing.T) { // not parallel, for it measures memory
	synctest.Test(t, func(t *testing.T) {
		h := serve(t, socketio.Config{})
		before := heap()
		for range 10_000 {
			h.Open()
		}
		if n := h.Stats().Connections; n != 10_000 {
			t.Errorf("%d connections", n)
		}
		if a := h.Get("EIO=4&transport=polling"); a.Status != 503 {
			t.Errorf("one more: %d", a.Status)
		}
		during := heap()
		time.Sleep(45*time.Second + 30*time.Second) // the timeout, and for the goodbye to be fetched
		synctest.Wait()
		t.Logf("%d KiB before, %d with the handshakes, %d after", before>>10, during>>10, heap()>>10)
		if n := h.Stats().Connections; n != 0 {
			t.Errorf("%d connections left", n)
		}
	})
}

// Names of namespaces that do not exist leave nothing behind.
func TestNamespaceFlood(t *testing.T) {
	bubble(t, func(t *testing.T) {
		h := serve(t, socketio.Config{})
		c := h.join(t)
		for range 2000 {
			c.Send("40/nope,")
			c.Expect(`44/nope,{"message":"Invalid namespace"}`)
		}
		if n := h.Stats().Sockets; n != 1 {
			t.Errorf("%d sockets", n)
		}
	})
}

func TestStats(t *testing.T) {
	bubble(t, func(t *testing.T) {
		h := serve(t, socketio.Config{})
		c := h.join(t)
		c.Send("40/nope")
		c.Read()
		h.Of("/adm")
		c.Send("40/adm")
		c.Read()
		h.Open()
		h.Get("EIO=3&transport=polling")
		s := h.Stats()
		if s.Connections != 2 || s.WebSockets != 1 || s.Sockets != 2 || s.Opened != 2 || s.Refused != 1 {
			t.Errorf("stats %+v", s)
		}
	})
}

// Closing the server says no goodbye to sockets, so that clients come back; handlers are told and waited for.
func TestServerClose(t *testing.T) {
	bubble(t, func(t *testing.T) {
		h := serve(t, socketio.Config{})
		var events []string
		h.OnConnect(func(s *socketio.Socket) {
			s.OnDisconnect(func(r socketio.Reason) { events = append(events, string(r)) })
		})
		h.On("work", func(ctx context.Context, e *socketio.Event) {
			<-ctx.Done()
			time.Sleep(time.Second)
			events = append(events, "worked")
		})
		c := h.join(t)
		c.Send(`42["work"]`)
		synctest.Wait()
		gone := make(chan []string, 1)
		go func() { gone <- c.ExpectClose() }()
		if err := h.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		if ms := <-gone; len(ms) > 0 {
			t.Errorf("got %q", ms)
		}
		if want := []string{"worked", "server shutting down"}; !slices.Equal(events, want) {
			t.Errorf("events %q, want %q", events, want)
		}
	})
}

func TestServerCloseGivesUp(t *testing.T) {
	bubble(t, func(t *testing.T) {
		h := serve(t, socketio.Config{})
		release := make(chan struct{})
		h.On("work", func(context.Context, *socketio.Event) { <-release })
		c := h.join(t)
		c.Send(`42["work"]`)
		synctest.Wait()
		go c.ExpectClose()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := h.Close(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("closed with %v", err)
		}
		close(release)
	})
}
