package socketio_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"loupe/socketio"
)

// pair connects a client and returns the server's side of it too.
func pair(t *testing.T, h *host) (*socketio.Socket, *remote) {
	t.Helper()
	sockets := make(chan *socketio.Socket, 1)
	h.OnConnect(func(s *socketio.Socket) { sockets <- s })
	c := h.join(t)
	return <-sockets, c
}

func TestArguments(t *testing.T) {
	type nested struct {
		Name string          `json:"name"`
		Data socketio.Binary `json:"data"`
		Raw  []byte          `json:"raw"`
	}
	raw := json.RawMessage(` {"b":1, "a":[1e2,"\u00e9<&>"]}`)
	bubble(t, func(t *testing.T) {
		h := serve(t, socketio.Config{})
		s, c := pair(t, h)
		for _, test := range []struct {
			args []any
			want []string
		}{
			{nil, []string{`42["e"]`}},
			{[]any{nil, true, false}, []string{`42["e",null,true,false]`}},
			{[]any{0, -1, int64(math.MaxInt64), 1.5, 1e100, uint8(7)}, []string{`42["e",0,-1,9223372036854775807,1.5,1e+100,7]`}},
			{[]any{math.NaN(), math.Inf(1)}, []string{`42["e",null,null]`}},
			{[]any{"", "é\n\x1e\"\\\x00<\xff\u2028"}, []string{"42[\"e\",\"\",\"é\\n\\u001e\\\"\\\\\\u0000<\ufffd\u2028\"]"}},
			{[]any{raw, json.RawMessage(nil)}, []string{`42["e",` + string(raw) + `,null]`}},
			{
				[]any{[]byte("hi"), socketio.Binary("ho"), []byte(nil)},
				[]string{`453-["e",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1},{"_placeholder":true,"num":2}]`, "b:hi", "b:ho", "b:"},
			},
			{
				[]any{nested{"n", socketio.Binary{1, 2}, []byte{1, 2}}, map[string]any{"x": []any{socketio.Binary{}}}},
				[]string{`452-["e",{"name":"n","data":{"_placeholder":true,"num":0},"raw":"AQI="},{"x":[{"_placeholder":true,"num":1}]}]`, "b:\x01\x02", "b:"},
			},
			{[]any{map[string]any{"_placeholder": true, "num": 0}}, []string{`42["e",{"_placeholder":true,"num":0}]`}},
			{[]any{[]string{"\nQUJD"}, json.RawMessage(`["\u000aQUJD"]`)}, []string{`42["e",["\nQUJD"],["\u000aQUJD"]]`}},
			{[]any{time.Unix(0, 0).UTC()}, []string{`42["e","1970-01-01T00:00:00Z"]`}},
		} {
			if err := s.Emit("e", test.args...); err != nil {
				t.Errorf("%v: %v", test.args, err)
				continue
			}
			c.Expect(test.want...)
		}
	})
}

func TestWhatCanNotBeSent(t *testing.T) {
	bubble(t, func(t *testing.T) {
		h := serve(t, socketio.Config{})
		s, c := pair(t, h)
		var deep any
		for range 500 {
			deep = []any{deep}
		}
		for name, test := range map[string]struct {
			event string
			args  []any
		}{
			"reserved":             {"disconnect", nil},
			"not JSON":             {"e", []any{json.RawMessage("{")}},
			"two values":           {"e", []any{json.RawMessage("1,2")}},
			"empty":                {"e", []any{json.RawMessage("")}},
			"control character":    {"e", []any{json.RawMessage("\"\x1e\"")}},
			"bad value":            {"e", []any{socketio.Value("]")}},
			"too deep":             {"e", []any{deep}},
			"too deep, raw":        {"e", []any{json.RawMessage(strings.Repeat("[", 500) + strings.Repeat("]", 500))}},
			"too many arguments":   {"e", make([]any, 1000)},
			"too many attachments": {"e", slices.Repeat([]any{[]byte{}}, 11)},
		} {
			for _, emit := range []func() error{
				func() error { return s.Emit(test.event, test.args...) },
				func() error { return s.EmitVolatile(test.event, test.args...) },
				func() error { return h.Emit(test.event, test.args...) },
				func() error { _, err := s.EmitWithAck(t.Context(), test.event, test.args...); return err },
				func() error { _, err := h.All().EmitWithAck(t.Context(), test.event, test.args...); return err },
			} {
				if err := emit(); !errors.Is(err, socketio.ErrInvalid) {
					t.Errorf("%s: %v", name, err)
				}
			}
		}
		if err := s.Emit("e", func() {}); err == nil || errors.Is(err, socketio.ErrInvalid) {
			t.Errorf("a function: %v", err)
		}
		if err := s.Emit("e", make([]any, 999)...); err != nil {
			t.Errorf("999 arguments: %v", err)
		}
		c.Read() // nothing of it all but this
	})
}

func TestReceivedArguments(t *testing.T) {
	bubble(t, func(t *testing.T) {
		h := serve(t, socketio.Config{})
		type file struct {
			Name  string
			Parts []socketio.Binary
		}
		done := make(chan struct{})
		h.On("e", func(_ context.Context, e *socketio.Event) {
			defer close(done)
			var f file
			var b []byte
			var n, untouched int
			untouched = 7
			if err := e.Bind(&f, &b, &n, &untouched); err != nil {
				t.Error(err)
			}
			if f.Name != "n" || len(f.Parts) != 2 || string(f.Parts[0]) != "one" || string(f.Parts[1]) != "" || string(b) != "two" || n != 3 || untouched != 7 {
				t.Errorf("%+v %q %d %d", f, b, n, untouched)
			}
			if err := e.Bind(&n); err == nil {
				t.Error("an object fits into a number")
			}
			if e.Name != "e" || e.Socket == nil || e.WantsAck() {
				t.Errorf("event %+v", e)
			}
			if err := e.Ack(); err != socketio.ErrAcked {
				t.Errorf("ack: %v", err)
			}
			kept, err := json.Marshal(map[string]any{"all": e.Args})
			if err != nil || !json.Valid(kept) {
				t.Errorf("as JSON: %s %v", kept, err)
			}
		})
		c := h.join(t)
		c.Send(`453-["e",{"name":"n","parts":[{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]},{"_placeholder":true,"num":2},3]`)
		c.SendBinary([]byte("one")...)
		c.SendBinary()
		c.SendBinary([]byte("two")...)
		<-done
	})
}

func TestTyped(t *testing.T) {
	bubble(t, func(t *testing.T) {
		h := serve(t, socketio.Config{})
		type point struct{ X, Y int }
		h.On("move", socketio.Typed(func(_ context.Context, e *socketio.Event, p point) { e.Ack(p.X + p.Y) }))
		c := h.join(t)
		c.Send(`421["move",{"x":40,"y":2}]`)
		c.Expect("431[42]")
		c.Send(`422["move","elsewhere"]`)
		c.Send(`423["move"]`)
		c.Send(`424["move",{}]`)
		c.Expect("434[0]")
		if log := h.log.String(); strings.Count(log, "does not fit") != 2 {
			t.Errorf("log: %s", log)
		}
	})
}

func TestAcksFromTheServer(t *testing.T) {
	bubble(t, func(t *testing.T) {
		h := serve(t, socketio.Config{})
		h.On("twice", func(_ context.Context, e *socketio.Event) {
			if !e.WantsAck() {
				t.Error("wants no ack")
			}
			if err := e.Ack(func() {}); err == nil {
				t.Error("a function was sent")
			}
			if err := e.Ack("one", []byte{2}); err != nil {
				t.Error(err)
			}
			if err := e.Ack("again"); err != socketio.ErrAcked || e.WantsAck() {
				t.Errorf("a second time: %v", err)
			}
		})
		late := make(chan *socketio.Event, 1)
		h.On("late", func(_ context.Context, e *socketio.Event) { late <- e })
		c := h.join(t)
		c.Send(`425["twice"]`)
		c.Expect(`461-5["one",{"_placeholder":true,"num":0}]`, "b:\x02")
		c.Send(`426["late"]`)
		e := <-late
		c.Send("41")
		synctest.Wait()
		if err := e.Ack(); err != socketio.ErrDisconnected {
			t.Errorf("after the disconnect: %v", err)
		}
	})
}

func TestAcksFromTheClient(t *testing.T) {
	bubble(t, func(t *testing.T) {
		h := serve(t, socketio.Config{MaxPendingAcks: 2})
		s, c := pair(t, h)
		answers := make(chan string, 10)
		ask := func(ctx context.Context) {
			values, err := s.EmitWithAck(ctx, "q")
			answers <- fmt.Sprint(values, err)
		}
		go ask(t.Context())
		c.Expect(`420["q"]`)
		c.Send(`4399["nobody asked"]`)
		c.Send(`43["no id"]`)
		c.Send(`461-0[1,{"_placeholder":true,"num":0}]`)
		c.SendBinary(2)
		c.Send(`430["again"]`)
		if got, want := <-answers, `[1 "\u000aAg=="] <nil>`; got != want {
			t.Errorf("answer %s, want %s", got, want)
		}

		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		go ask(ctx)
		c.Expect(`421["q"]`)
		if got, want := <-answers, "[] context deadline exceeded"; got != want {
			t.Errorf("answer %s, want %s", got, want)
		}
		c.Send("431[]") // too late

		go ask(t.Context())
		c.Expect(`422["q"]`)
		go ask(t.Context())
		c.Expect(`423["q"]`)
		ask(t.Context())
		if got, want := <-answers, "[] socketio: too many pending acknowledgements"; got != want {
			t.Errorf("answer %s, want %s", got, want)
		}
		c.Send("432")
		if got, want := <-answers, "[] <nil>"; got != want {
			t.Errorf("answer %s, want %s", got, want)
		}
		c.Close()
		if got, want := <-answers, "[] socketio: socket is disconnected"; got != want {
			t.Errorf("answer %s, want %s", got, want)
		}
		ask(t.Context())
		if got, want := <-answers, "[] socketio: socket is disconnected"; got != want {
			t.Errorf("answer %s, want %s", got, want)
		}
	})
}

// A handler that ends its goroutine, as one that fails a test does, ends its connection.
func TestGoexitInAHandler(t *testing.T) {
	bubble(t, func(t *testing.T) {
		h := serve(t, socketio.Config{})
		h.On("exit", func(context.Context, *socketio.Event) { runtime.Goexit() })
		c := h.join(t)
		c.Send(`42["exit"]`)
		c.ExpectClose()
	})
}

// A handler may wait for an acknowledgement of its own socket.
func TestAckInAHandler(t *testing.T) {
	bubble(t, func(t *testing.T) {
		h := serve(t, socketio.Config{})
		h.On("go", func(ctx context.Context, e *socketio.Event) {
			values, err := e.Socket.EmitWithAck(ctx, "q")
			e.Ack(anys(values)[0], err == nil)
		})
		c := h.join(t)
		c.Send(`427["go"]`)
		c.Expect(`420["q"]`)
		c.Send(`430["a"]`)
		c.Expect(`437["a",true]`)
	})
}

func TestDisconnectReasons(t *testing.T) {
	for _, test := range []struct {
		name   string
		end    func(*host, *socketio.Socket, *remote)
		want   socketio.Reason
		frames []string // what the client still gets
	}{
		{"client leaves the namespace", func(_ *host, _ *socketio.Socket, c *remote) { c.Send("41") }, socketio.ClientDisconnect, nil},
		{"server disconnects the socket", func(_ *host, s *socketio.Socket, _ *remote) { s.Disconnect(false) }, socketio.ServerDisconnect, []string{"41"}},
		{"server disconnects the client", func(_ *host, s *socketio.Socket, _ *remote) { s.Disconnect(true) }, socketio.ServerDisconnect, []string{"41"}},
		{"client closes", func(_ *host, _ *socketio.Socket, c *remote) { c.Send("1") }, socketio.TransportClose, nil},
		{"client is gone", func(_ *host, _ *socketio.Socket, c *remote) { c.Close() }, socketio.TransportClose, nil},
		{"engine's protocol broken", func(_ *host, _ *socketio.Socket, c *remote) { c.Send("x") }, socketio.TransportError, nil},
		{"protocol broken", func(_ *host, _ *socketio.Socket, c *remote) { c.Send("4x") }, socketio.ForcedClose, nil},
		{"no pong", func(*host, *socketio.Socket, *remote) {}, socketio.PingTimeout, []string{"2"}},
		{"a handler panics", func(_ *host, _ *socketio.Socket, c *remote) { c.Send(`42["panic"]`) }, socketio.ForcedClose, nil},
		{"server closes", func(h *host, _ *socketio.Socket, _ *remote) { go h.Close(context.Background()) }, socketio.ServerShuttingDown, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				h := serve(t, socketio.Config{})
				h.On("panic", func(context.Context, *socketio.Event) { panic("on purpose") })
				s, c := pair(t, h)
				reasons := make(chan socketio.Reason, 2)
				s.OnDisconnect(func(r socketio.Reason) { reasons <- r })
				synctest.Wait()
				test.end(h, s, c)
				c.Expect(test.frames...)
				if got := <-reasons; got != test.want {
					t.Errorf("reason %q, want %q", got, test.want)
				}
				for name, err := range map[string]error{"emit": s.Emit("x"), "volatile": s.EmitVolatile("x")} {
					if err != socketio.ErrDisconnected {
						t.Errorf("%s: %v", name, err)
					}
				}
				s.Join("room")
				s.Disconnect(true)
				synctest.Wait()
				if len(reasons) > 0 || len(s.Rooms()) > 0 || len(h.To("room").Sockets()) > 0 || h.Socket(s.ID()) != nil {
					t.Error("not quite gone")
				}
				if log := h.log.String(); (test.name == "a handler panics") != strings.Contains(log, "on purpose") {
					t.Errorf("log: %s", log)
				}
			})
		})
	}
}

func TestPanicInOnConnect(t *testing.T) {
	bubble(t, func(t *testing.T) {
		h := serve(t, socketio.Config{})
		h.OnConnect(func(*socketio.Socket) { panic("on purpose") })
		h.Of("/mw").Use(func(context.Context, *socketio.Handshake) error { panic("on purpose") })
		for _, connect := range []string{"40", "40/mw"} {
			w := h.OpenWebSocket()
			w.Send(connect)
			w.ExpectClose()
		}
		if log := h.log.String(); strings.Count(log, "handler panicked") != 2 {
			t.Errorf("log: %s", log)
		}
	})
}

// What a client sends before it can know that it was disconnected is late, not wrong.
func TestLateEvents(t *testing.T) {
	bubble(t, func(t *testing.T) {
		h := serve(t, socketio.Config{})
		s, c := pair(t, h)
		s.Disconnect(false)
		for _, m := range []string{`42["x"]`, `431[]`, "41", `42["x"]`} {
			c.Send(m)
		}
		c.Expect("41")
		c.Send("40")
		c.connected(t, c.Read())
		if c.id == s.ID() {
			t.Error("the same id again")
		}
	})
}

func TestHandlersRunInOrder(t *testing.T) {
	bubble(t, func(t *testing.T) {
		h := serve(t, socketio.Config{})
		const n = 1000
		var got []int
		h.On("n", socketio.Typed(func(_ context.Context, _ *socketio.Event, i int) { got = append(got, i) }))
		c := h.join(t)
		for i := range n {
			c.Send(fmt.Sprintf(`42["n",%d]`, i))
		}
		synctest.Wait()
		if len(got) != n || !slices.IsSorted(got) {
			t.Errorf("%d events, sorted: %t", len(got), slices.IsSorted(got))
		}
	})
}

// A blocking handler holds up its own socket only, and neither the heartbeat nor the end of the connection.
func TestBlockingHandler(t *testing.T) {
	bubble(t, func(t *testing.T) {
		h := serve(t, socketio.Config{})
		events := make(chan string, 10)
		h.On("block", func(ctx context.Context, e *socketio.Event) {
			<-ctx.Done()
			events <- "handler"
		})
		h.OnConnect(func(s *socketio.Socket) { s.OnDisconnect(func(socketio.Reason) { events <- "disconnect" }) })
		h.Of("/other").On("x", func(_ context.Context, e *socketio.Event) { e.Ack() })
		c := h.join(t)
		c.Send(`42["block"]`)
		c.Send("40/other")
		c.Read()
		for range 10 {
			c.Expect("2")
			c.Send("3")
			c.Send(`42/other,1["x"]`)
			c.Expect("43/other,1[]")
		}
		c.Send(`42["block"]`) // is handled too, with its context done
		c.Send("41")
		for _, want := range []string{"handler", "handler", "disconnect"} {
			if got := <-events; got != want {
				t.Errorf("%s, want %s", got, want)
			}
		}
	})
}

// Events wait for a busy handler up to a bound; then the client has to.
func TestReceiveBuffer(t *testing.T) {
	bubble(t, func(t *testing.T) {
		h := serve(t, socketio.Config{MaxReceiveBuffer: 10_000})
		release := make(chan struct{})
		handled := 0
		h.On("e", func(context.Context, *socketio.Event) {
			<-release
			handled++
		})
		c := h.join(t)
		sent := make(chan struct{})
		go func() {
			defer close(sent)
			for range 100 {
				c.Send(`42["e","` + strings.Repeat("x", 1000) + `"]`)
			}
		}()
		synctest.Wait()
		select {
		case <-sent:
			t.Error("100,000 bytes were taken")
		default:
		}
		close(release)
		<-sent
		synctest.Wait()
		if handled != 100 {
			t.Errorf("%d events", handled)
		}
	})
}

func TestSlowConsumer(t *testing.T) {
	bubble(t, func(t *testing.T) {
		h := serve(t, socketio.Config{MaxSendBuffer: 10_000})
		s, c := pair(t, h)
		reasons := make(chan socketio.Reason, 1)
		s.OnDisconnect(func(r socketio.Reason) { reasons <- r })
		for s.Emit("e", strings.Repeat("x", 1000)) == nil {
		}
		if got := <-reasons; got != socketio.SlowConsumer {
			t.Errorf("reason %q", got)
		}
		if n := h.Stats().SlowConsumers; n != 1 {
			t.Errorf("%d slow consumers", n)
		}
		c.ExpectClose()
	})
}

// What OnConnect emits is bounded too.
func TestSlowConsumerWhileConnecting(t *testing.T) {
	bubble(t, func(t *testing.T) {
		h := serve(t, socketio.Config{MaxSendBuffer: 10_000})
		errs := make(chan error, 1)
		h.OnConnect(func(s *socketio.Socket) {
			for {
				if err := s.Emit("e", strings.Repeat("x", 1000)); err != nil {
					errs <- err
					return
				}
			}
		})
		w := h.OpenWebSocket()
		w.Send("40")
		if err := <-errs; err != socketio.ErrDisconnected {
			t.Errorf("error %v", err)
		}
		w.ExpectClose()
	})
}

func TestVolatile(t *testing.T) {
	bubble(t, func(t *testing.T) {
		h := serve(t, socketio.Config{})
		sid := h.Open()
		sockets := make(chan *socketio.Socket, 1)
		h.OnConnect(func(s *socketio.Socket) { sockets <- s })
		h.Post(sid, "40")
		s := <-sockets
		synctest.Wait()
		h.Poll(sid)
		s.EmitVolatile("dropped")
		h.To(s.ID()).Volatile().Emit("dropped")
		s.Emit("kept")
		if a := h.Poll(sid); a.Body != `42["kept"]` {
			t.Errorf("polled %q", a.Body)
		}
		polled := make(chan string, 1)
		go func() { polled <- h.Poll(sid).Body }()
		synctest.Wait()
		h.All().Volatile().Emit("taken")
		if got := <-polled; got != `42["taken"]` {
			t.Errorf("polled %q", got)
		}
	})
}

func TestDisconnectAt(t *testing.T) {
	bubble(t, func(t *testing.T) {
		h := serve(t, socketio.Config{})
		s, c := pair(t, h)
		start := time.Now()
		s.DisconnectAt(start.Add(time.Second))
		s.DisconnectAt(time.Time{})
		s.DisconnectAt(start.Add(3 * time.Second))
		s.DisconnectAt(start.Add(2 * time.Second))
		c.Expect("41")
		if took := time.Since(start); took != 2*time.Second {
			t.Errorf("took %v", took)
		}
		c.Send("40") // the connection stays
		c.connected(t, c.Read())
		s.DisconnectAt(time.Now().Add(time.Second)) // does nothing any more
	})
}

// The connection of a socket disconnected for a past time ends at once, and one whose client left is forgotten.
func TestDisconnectAtEdges(t *testing.T) {
	bubble(t, func(t *testing.T) {
		h := serve(t, socketio.Config{})
		s, c := pair(t, h)
		s.DisconnectAt(time.Now().Add(-time.Second))
		c.Expect("41")
		s, c = pair(t, h)
		s.DisconnectAt(time.Now().Add(time.Second))
		c.Close()
		time.Sleep(2 * time.Second)
	})
}

func TestOriginOfAPage(t *testing.T) {
	bubble(t, func(t *testing.T) {
		h := serve(t, socketio.Config{AllowedOrigins: []string{"https://app.example"}})
		for origin, allowed := range map[string]bool{"https://app.example": true, "https://evil.example": false} {
			_, err := h.Dial("EIO=4&transport=websocket", http.Header{"Origin": {origin}})
			if (err == nil) != allowed {
				t.Errorf("%s: %v", origin, err)
			}
		}
	})
}
