package socketio_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"loupe/socketio"
)

// group connects n clients.
func group(t *testing.T, h *host, n int) ([]*socketio.Socket, []*remote) {
	t.Helper()
	sockets, clients := make([]*socketio.Socket, n), make([]*remote, n)
	for i := range n {
		sockets[i], clients[i] = pair(t, h)
	}
	return sockets, clients
}

// heard returns which clients have the event in what comes next: each is sent an event of its own to end with.
func heard(t *testing.T, sockets []*socketio.Socket, clients []*remote, event string) string {
	t.Helper()
	var who []string
	for i, s := range sockets {
		s.Emit("end")
		times := 0
		for {
			m := clients[i].Read()
			if m == `42["end"]` {
				break
			}
			if m != `42["`+event+`"]` {
				t.Errorf("client %d got %q", i, m)
			}
			times++
		}
		if times > 1 {
			t.Errorf("client %d got it %d times", i, times)
		}
		if times > 0 {
			who = append(who, fmt.Sprint(i))
		}
	}
	return strings.Join(who, " ")
}

func TestBroadcasts(t *testing.T) {
	bubble(t, func(t *testing.T) {
		h := serve(t, socketio.Config{})
		s, c := group(t, h, 5)
		s[0].Join("a", "b")
		s[1].Join("a")
		s[2].Join("b", "b", "c")
		s[3].Join("d")
		s[3].Leave("d", "never joined")
		for name, test := range map[string]struct {
			to   socketio.Broadcast
			want string
		}{
			"all":                    {h.All(), "0 1 2 3 4"},
			"a room":                 {h.To("a"), "0 1"},
			"a socket":               {h.To(s[4].ID()), "4"},
			"two rooms, each once":   {h.To("a", "b"), "0 1 2"},
			"one room twice":         {h.To("a").To("a"), "0 1"},
			"a room and its socket":  {h.To("a", s[0].ID()), "0 1"},
			"room left":              {h.To("d"), ""},
			"no such room":           {h.To("nobody"), ""},
			"all but a room":         {h.Except("a"), "2 3 4"},
			"a room but another":     {h.To("b").Except("a"), "2"},
			"a room but a socket":    {h.To("a").Except(s[0].ID()), "1"},
			"all but rooms":          {h.Except("a", "c"), "3 4"},
			"others":                 {s[0].Others(), "1 2 3 4"},
			"others in a room":       {s[0].To("a"), "1"},
			"others in a room but c": {s[0].To("b").Except("c"), ""},
			"another socket":         {s[0].To(s[1].ID()), "1"},
		} {
			if err := test.to.Emit("e"); err != nil {
				t.Error(err)
			}
			if got := heard(t, s, c, "e"); got != test.want {
				t.Errorf("%s: heard by %q, want %q", name, got, test.want)
			}
			if got := len(test.to.Sockets()); got != len(strings.Fields(test.want)) {
				t.Errorf("%s: %d sockets", name, got)
			}
		}
	})
}

// A broadcast is a value: what is derived from it does not change it.
func TestBroadcastIsAValue(t *testing.T) {
	bubble(t, func(t *testing.T) {
		h := serve(t, socketio.Config{})
		s, c := group(t, h, 3)
		for i, room := range []string{"a", "b", "c"} {
			s[i].Join(room)
		}
		a := h.To("a")
		ab, ac := a.To("b"), a.To("c")
		ac.Volatile()
		ab.Emit("e")
		if got := heard(t, s, c, "e"); got != "0 1" {
			t.Errorf("heard by %s", got)
		}
		ac.Except("x")
		ac.Emit("e")
		if got := heard(t, s, c, "e"); got != "0 2" {
			t.Errorf("heard by %s", got)
		}
	})
}

func TestBroadcastJoinLeaveDisconnect(t *testing.T) {
	bubble(t, func(t *testing.T) {
		h := serve(t, socketio.Config{})
		s, c := group(t, h, 3)
		s[0].Join("a")
		s[1].Join("a")
		if err := errors.Join(h.To("a").Join("x", "y"), h.To(s[1].ID()).Leave("x")); err != nil {
			t.Error(err)
		}
		for i, want := range []string{"a x y", "a y", ""} {
			rooms := s[i].Rooms()
			if rooms[0] != s[i].ID() {
				t.Errorf("rooms %v", rooms)
			}
			slices.Sort(rooms[1:])
			if got := strings.Join(rooms[1:], " "); got != want {
				t.Errorf("socket %d in %q, want %q", i, got, want)
			}
		}
		if err := h.To("a").Disconnect(true); err != nil {
			t.Error(err)
		}
		for _, c := range c[:2] {
			if got := c.ExpectClose(); !slices.Equal(got, []string{"41"}) {
				t.Errorf("got %q", got)
			}
		}
		if h.Socket(s[2].ID()) != s[2] || h.Socket(s[0].ID()) != nil || s[2].Namespace() != h.Namespace {
			t.Error("the wrong ones were disconnected")
		}
	})
}

func TestBroadcastWithAck(t *testing.T) {
	bubble(t, func(t *testing.T) {
		h := serve(t, socketio.Config{MaxPendingAcks: 1})
		s, c := group(t, h, 3)
		type result struct {
			values []socketio.Value
			err    error
		}
		results := make(chan result, 1)
		ask := func(b socketio.Broadcast, timeout time.Duration) {
			go func() {
				ctx, cancel := context.WithTimeout(t.Context(), timeout)
				defer cancel()
				values, err := b.EmitWithAck(ctx, "q")
				results <- result{values, err}
			}()
			synctest.Wait()
		}
		check := func(wantErr error, want ...string) {
			t.Helper()
			r := <-results
			got := []string{}
			for _, v := range r.values {
				got = append(got, v.String())
			}
			slices.Sort(got)
			if !slices.Equal(got, want) || !errors.Is(r.err, wantErr) {
				t.Errorf("answers %q, %v; want %q, %v", got, r.err, want, wantErr)
			}
		}
		ask(h.All(), time.Second)
		for i, c := range c {
			c.Expect(`420["q"]`)
			c.Send(fmt.Sprintf("430[%d,\"more\"]", i))
		}
		check(nil, "0", "1", "2")

		ask(h.All(), time.Second) // one does not answer
		for _, c := range c {
			c.Expect(`421["q"]`)
		}
		c[0].Send("431[0]")
		c[2].Send("431[]")
		check(context.DeadlineExceeded, "", "0")

		ask(h.All(), time.Second) // one leaves, which is an answer of a kind
		for _, c := range c {
			c.Expect(`422["q"]`)
		}
		c[0].Send("432[0]")
		c[1].Send("432[1]")
		c[2].Send("41")
		check(nil, "0", "1")

		ask(h.To("nobody"), time.Second)
		check(nil)

		go s[0].EmitWithAck(t.Context(), "q") // and now it can wait for no more
		c[0].Expect(`424["q"]`)
		ask(h.All(), time.Second)
		c[1].Expect(`425["q"]`)
		c[1].Send("435[1]")
		check(socketio.ErrTooManyAcks, "1")
		c[0].Send("434[]")
	})
}

// The registry of rooms does the same as a plain map of sets, whatever happens in whatever order.
func TestRoomsAgainstAModel(t *testing.T) {
	bubble(t, func(t *testing.T) {
		h := serve(t, socketio.Config{})
		const n = 8
		s, _ := group(t, h, n)
		rooms := []string{"a", "b", "c", "d", "e"}
		model := make([]map[string]bool, n)
		for i := range model {
			model[i] = map[string]bool{}
		}
		rng := rand.New(rand.NewPCG(1, 2))
		for range 5000 {
			i, room := rng.IntN(n), rooms[rng.IntN(len(rooms))]
			switch op := rng.IntN(100); {
			case op < 50 && model[i] != nil:
				s[i].Join(room, room)
				model[i][room] = true
			case op < 98 && model[i] != nil:
				s[i].Leave(room)
				delete(model[i], room)
			case op == 99:
				s[i].Disconnect(true)
				synctest.Wait()
				s[i], _ = pair(t, h)
				model[i] = map[string]bool{}
			}
			for _, room := range rooms {
				want := 0
				for i := range s {
					if model[i][room] {
						want++
					}
				}
				if got := h.To(room).Sockets(); len(got) != want {
					t.Fatalf("room %s has %d sockets, want %d", room, len(got), want)
				}
			}
			for i := range s {
				got := s[i].Rooms()[1:]
				if len(got) != len(model[i]) || slices.ContainsFunc(got, func(r string) bool { return !model[i][r] }) {
					t.Fatalf("socket %d in %v, want %v", i, got, model[i])
				}
			}
		}
	})
}

// After many connections nothing is left of them.
func TestNothingIsLeft(t *testing.T) {
	bubble(t, func(t *testing.T) {
		h := serve(t, socketio.Config{})
		h.OnConnect(func(s *socketio.Socket) {
			s.Join("all", "room of "+s.ID())
			s.OnDisconnect(func(socketio.Reason) { s.Join("too late") })
		})
		for i := range 1000 {
			c := h.join(t)
			switch i % 3 {
			case 0:
				c.Send("41")
				c.Close()
			case 1:
				c.Close()
			default:
				c.Send("1")
				c.ExpectClose()
			}
		}
		synctest.Wait()
		if s := h.Stats(); s.Connections != 0 || s.Sockets != 0 || len(h.All().Sockets()) != 0 || len(h.To("all", "too late").Sockets()) != 0 {
			t.Errorf("left: %+v", s)
		}
	})
}
