package socketio_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"loupe/socketio"
)

// recoverable is a server with recovery whose clients say who they are.
func recoverable(t *testing.T, cfg socketio.Recovery) *host {
	cfg.Window = 2 * time.Minute
	h := serve(t, socketio.Config{Recovery: cfg})
	h.Use(func(_ context.Context, hs *socketio.Handshake) error {
		var auth struct {
			User string
			Data any
		}
		json.Unmarshal(hs.Auth, &auth)
		if auth.User == "revoked" {
			return &socketio.ConnectError{Message: "revoked"}
		}
		hs.User, hs.Data = auth.User, auth.Data
		return nil
	})
	h.OnConnect(func(s *socketio.Socket) {
		if !s.Recovered() {
			s.Join("room")
		}
	})
	return h
}

// readEvent returns an event without its offset, and the offset.
func (c *remote) readEvent(t *testing.T) (event, offset string) {
	t.Helper()
	m := c.Read()
	i := strings.LastIndexByte(m, ',')
	if i < 0 || !strings.HasSuffix(m, `"]`) {
		t.Fatalf("no offset in %q", m)
	}
	return m[:i] + "]", m[i+2 : len(m)-2]
}

// comeBack connects again. It returns the events that came before the CONNECT packet.
func (h *host) comeBack(t *testing.T, auth string) (c *remote, missed []string) {
	t.Helper()
	c = &remote{WebSocket: h.OpenWebSocket()}
	c.Send("40" + auth)
	for {
		m := c.Read()
		if strings.HasPrefix(m, "40") {
			c.connected(t, m)
			return c, missed
		}
		missed = append(missed, m)
	}
}

func claim(pid, offset string) string {
	return fmt.Sprintf(`{"pid":%q,"offset":%q,"user":"u"}`, pid, offset)
}

func TestRecovery(t *testing.T) {
	bubble(t, func(t *testing.T) {
		h := recoverable(t, socketio.Recovery{})
		c := h.joinWith(t, `40{"user":"u","data":"kept"}`)
		if c.pid == "" || c.pid == c.id {
			t.Fatalf("pid %q, id %q", c.pid, c.id)
		}
		h.To("room").Emit("seen", 1)
		event, offset := c.readEvent(t)
		if event != `42["seen",1]` {
			t.Errorf("got %s", event)
		}
		c.Close()
		synctest.Wait()
		h.To("room").Emit("missed", 2)
		h.To("other").Emit("not for it")
		h.Except("room").Emit("not for it either")
		h.To("room").Volatile().Emit("volatile")
		h.To(c.id).Emit("binary", []byte("data"))
		h.Emit("for all")
		time.Sleep(time.Minute)

		back, missed := h.comeBack(t, claim(c.pid, offset))
		if back.id != c.id || back.pid != c.pid {
			t.Errorf("back as %s %s, was %s %s", back.id, back.pid, c.id, c.pid)
		}
		for i, want := range []string{`42["missed",2,`, `451-["binary",{"_placeholder":true,"num":0},`, "b:data", `42["for all",`} {
			if i >= len(missed) || !strings.HasPrefix(missed[i], want) {
				t.Fatalf("missed %q, want %q", missed, want)
			}
		}
		if len(missed) != 4 {
			t.Errorf("missed %q", missed)
		}
		s := h.Socket(back.id)
		if !s.Recovered() || s.Data() != "kept" || !slices.Equal(s.Rooms(), []string{back.id, "room"}) {
			t.Errorf("recovered %t, data %v, rooms %v", s.Recovered(), s.Data(), s.Rooms())
		}
		h.To("room").Emit("live")
		if event, _ := back.readEvent(t); event != `42["live"]` {
			t.Errorf("got %s", event)
		}
	})
}

// Fresh data of the middleware replaces the old.
func TestRecoveryTakesNewData(t *testing.T) {
	bubble(t, func(t *testing.T) {
		h := recoverable(t, socketio.Recovery{})
		c := h.joinWith(t, `40{"user":"u","data":"old"}`)
		c.Close()
		synctest.Wait()
		back, _ := h.comeBack(t, `{"pid":"`+c.pid+`","user":"u","data":"new"}`)
		if s := h.Socket(back.id); back.id != c.id || s.Data() != "new" {
			t.Errorf("data %v", s.Data())
		}
	})
}

// A client that never got an event, which Node does not recover, gets all since it connected.
func TestRecoveryWithoutAnOffset(t *testing.T) {
	bubble(t, func(t *testing.T) {
		h := recoverable(t, socketio.Recovery{})
		h.Emit("before its time")
		c := h.joinWith(t, `40{"user":"u"}`)
		c.Close()
		synctest.Wait()
		h.To("room").Emit("first")
		back, missed := h.comeBack(t, `{"pid":"`+c.pid+`","user":"u"}`)
		if back.id != c.id || len(missed) != 1 || !strings.HasPrefix(missed[0], `42["first",`) {
			t.Errorf("back as %s, was %s; missed %q", back.id, c.id, missed)
		}
	})
}

func TestNoRecovery(t *testing.T) {
	for name, test := range map[string]struct {
		before func(h *host, c *remote, claim string) // instead of losing the connection
		claim  func(pid, offset string) string
	}{
		"unknown pid":      {claim: func(_, offset string) string { return claim("AAAAAAAAAAAAAAAAAAAA", offset) }},
		"pid a number":     {claim: func(_, offset string) string { return `{"pid":1,"offset":"` + offset + `","user":"u"}` }},
		"offset a number":  {claim: func(pid, _ string) string { return `{"pid":"` + pid + `","offset":1,"user":"u"}` }},
		"unknown offset":   {claim: func(pid, _ string) string { return claim(pid, "Q88Jacs") }},
		"offset to come":   {claim: func(pid, offset string) string { return claim(pid, offset+"z") }},
		"another user":     {claim: func(pid, offset string) string { return strings.Replace(claim(pid, offset), `"u"`, `"v"`, 1) }},
		"no user":          {claim: func(pid, offset string) string { return strings.Replace(claim(pid, offset), `"u"`, `""`, 1) }},
		"after a goodbye":  {before: func(_ *host, c *remote, _ string) { c.Send("41") }},
		"sent away":        {before: func(h *host, c *remote, _ string) { h.Socket(c.id).Disconnect(false) }},
		"sent away wholly": {before: func(h *host, c *remote, _ string) { h.Socket(c.id).Disconnect(true) }},
		"too late":         {before: func(_ *host, c *remote, _ string) { c.Close(); time.Sleep(2*time.Minute + time.Millisecond) }},
		"a second time": {before: func(h *host, c *remote, claim string) {
			c.Close()
			synctest.Wait()
			w := h.OpenWebSocket()
			w.Send("40" + claim)
			w.Read()
			w.Send("41")
		}},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				h := recoverable(t, socketio.Recovery{})
				c := h.joinWith(t, `40{"user":"u"}`)
				h.To("room").Emit("seen")
				_, offset := c.readEvent(t)
				auth := claim(c.pid, offset)
				if test.claim != nil {
					auth = test.claim(c.pid, offset)
				}
				if test.before != nil {
					test.before(h, c, claim(c.pid, offset))
				} else {
					c.Close()
				}
				synctest.Wait()
				h.To("room").Emit("missed")
				back, missed := h.comeBack(t, auth)
				if back.id == c.id || back.pid == c.pid || len(missed) > 0 || h.Socket(back.id).Recovered() {
					t.Errorf("recovered: id %s, missed %q", back.id, missed)
				}
			})
		})
	}
}

// Middleware has the last word, and what it refused can still be recovered.
func TestRecoveryAsksMiddleware(t *testing.T) {
	bubble(t, func(t *testing.T) {
		h := recoverable(t, socketio.Recovery{})
		c := h.joinWith(t, `40{"user":"u"}`)
		c.Close()
		synctest.Wait()
		w := h.OpenWebSocket()
		w.Send(`40{"pid":"` + c.pid + `","user":"revoked"}`)
		w.Expect(`44{"message":"revoked"}`)
		if back, _ := h.comeBack(t, `{"pid":"`+c.pid+`","user":"u"}`); back.id != c.id {
			t.Error("not recovered")
		}
	})
}

// A client that is back before the server has noticed its loss takes its socket over.
func TestRecoveryFromALiveConnection(t *testing.T) {
	bubble(t, func(t *testing.T) {
		h := recoverable(t, socketio.Recovery{})
		c := h.joinWith(t, `40{"user":"u"}`)
		h.To("room").Emit("seen")
		_, offset := c.readEvent(t)
		h.To("room").Emit("on its way")
		thief, _ := h.comeBack(t, strings.Replace(claim(c.pid, offset), `"u"`, `"v"`, 1))
		if thief.id == c.id {
			t.Error("another user took it")
		}
		back, missed := h.comeBack(t, claim(c.pid, offset))
		if back.id != c.id || len(missed) != 1 || !strings.HasPrefix(missed[0], `42["on its way",`) {
			t.Errorf("back as %s, was %s; missed %q", back.id, c.id, missed)
		}
		c.ExpectClose()
		if n := h.Stats().Sockets; n != 2 {
			t.Errorf("%d sockets", n)
		}
	})
}

// Of many that claim the same socket one gets it.
func TestConcurrentRecovery(t *testing.T) {
	bubble(t, func(t *testing.T) {
		h := recoverable(t, socketio.Recovery{})
		c := h.joinWith(t, `40{"user":"u"}`)
		c.Close()
		synctest.Wait()
		var ws []*remote
		for range 10 {
			ws = append(ws, &remote{WebSocket: h.OpenWebSocket()})
		}
		for _, w := range ws {
			w.Send(`40{"pid":"` + c.pid + `","user":"u"}`)
		}
		synctest.Wait()
		live := 0
		for _, s := range h.All().Sockets() {
			if s.ID() == c.id {
				live++
			}
		}
		if live != 1 {
			t.Errorf("%d sockets have it", live)
		}
		for _, w := range ws {
			w.Close()
		}
	})
}

// Between the loss and the return nothing is lost, doubled or moved, however often it happens while others emit.
func TestRecoveryUnderTraffic(t *testing.T) {
	bubble(t, func(t *testing.T) {
		h := recoverable(t, socketio.Recovery{})
		const n = 3000
		done := make(chan struct{})
		c := h.joinWith(t, `40{"user":"u"}`)
		go func() {
			defer close(done)
			for i := range n {
				h.To("room").Emit("n", i)
				h.To("elsewhere").Emit("noise")
				time.Sleep(time.Millisecond)
			}
		}()
		next, offset, pid := 0, "", c.pid
		take := func(m string) {
			var got int
			if _, err := fmt.Sscanf(m, `42["n",%d,`, &got); err != nil {
				return // a ping
			}
			if got != next {
				t.Fatalf("got %d, want %d", got, next)
			}
			next++
			offset = m[strings.LastIndexByte(m, ',')+2 : len(m)-2]
		}
		for next < n {
			for range 50 {
				if next == n {
					break
				}
				take(c.Read())
			}
			c.Close()
			synctest.Wait()
			time.Sleep(time.Duration(next%7) * time.Millisecond)
			back, missed := h.comeBack(t, claim(pid, offset))
			if back.pid != pid {
				t.Fatalf("not recovered at %d", next)
			}
			for _, m := range missed {
				take(m)
			}
			c = back
		}
		<-done
	})
}

// A volatile event that ends in a string repeats the last place, or the client would lose it.
func TestVolatileEventsKeepThePlace(t *testing.T) {
	bubble(t, func(t *testing.T) {
		h := recoverable(t, socketio.Recovery{})
		c := h.joinWith(t, `40{"user":"u"}`)
		h.To("room").Emit("seen")
		_, offset := c.readEvent(t)
		synctest.Wait()
		h.To("room").Volatile().Emit("v", "text")
		if event, again := c.readEvent(t); event != `42["v","text"]` || again != offset {
			t.Errorf("event %s, offset %s, want %s", event, again, offset)
		}
		synctest.Wait()
		h.Socket(c.id).EmitVolatile("v", 1)
		c.Expect(`42["v",1]`)
	})
}

func TestAcknowledgedEventsAreNotKept(t *testing.T) {
	bubble(t, func(t *testing.T) {
		h := recoverable(t, socketio.Recovery{})
		c := h.joinWith(t, `40{"user":"u"}`)
		go h.Socket(c.id).EmitWithAck(t.Context(), "q", 1)
		c.Expect(`420["q",1]`)
		c.Close()
		synctest.Wait()
		back, missed := h.comeBack(t, `{"pid":"`+c.pid+`","user":"u"}`)
		if back.id != c.id || len(missed) != 0 {
			t.Errorf("missed %q", missed)
		}
	})
}

// What is kept is bounded in number, in bytes and in time; a socket that may have missed more is not recovered.
func TestRecoveryBounds(t *testing.T) {
	for name, test := range map[string]struct {
		cfg       socketio.Recovery
		others    int // events for others while it is away
		size      int
		recovered bool
	}{
		"enough":      {socketio.Recovery{MaxEvents: 100}, 99, 0, true},
		"many events": {socketio.Recovery{MaxEvents: 100}, 101, 0, false},
		"many bytes":  {socketio.Recovery{MaxBytes: 10_000}, 20, 1000, false},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				h := recoverable(t, test.cfg)
				c := h.joinWith(t, `40{"user":"u"}`)
				h.To("room").Emit("seen")
				_, offset := c.readEvent(t)
				for range 200 { // long ago, and for others: the client has missed nothing of them
					h.To("others").Emit("e", strings.Repeat("x", test.size))
				}
				c.Close()
				synctest.Wait()
				for range test.others {
					h.To("others").Emit("e", strings.Repeat("x", test.size))
				}
				back, _ := h.comeBack(t, claim(c.pid, offset))
				if got := back.id == c.id; got != test.recovered {
					t.Errorf("recovered: %t", got)
				}
			})
		})
	}
	t.Run("many sockets", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			h := recoverable(t, socketio.Recovery{MaxSockets: 3})
			var lost []*remote
			for range 5 {
				c := h.joinWith(t, `40{"user":"u"}`)
				c.Close()
				synctest.Wait()
				lost = append(lost, c)
			}
			var back []bool
			for _, c := range lost {
				b, _ := h.comeBack(t, `{"pid":"`+c.pid+`","user":"u"}`)
				back = append(back, b.id == c.id)
			}
			if want := []bool{false, false, true, true, true}; !slices.Equal(back, want) {
				t.Errorf("recovered %v, want %v", back, want)
			}
		})
	})
}

func TestEmitToALostSocket(t *testing.T) {
	bubble(t, func(t *testing.T) {
		h := recoverable(t, socketio.Recovery{})
		c := h.joinWith(t, `40{"user":"u"}`)
		s := h.Socket(c.id)
		c.Close()
		synctest.Wait()
		if err := s.Emit("kept all the same"); !errors.Is(err, socketio.ErrDisconnected) {
			t.Errorf("error %v", err)
		}
		_, missed := h.comeBack(t, `{"pid":"`+c.pid+`","user":"u"}`)
		if len(missed) != 1 {
			t.Errorf("missed %q", missed)
		}
	})
}
