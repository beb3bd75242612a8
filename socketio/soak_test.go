package socketio_test

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"loupe/socketio"
	"loupe/socketio/internal/wiretest"
)

var (
	soakTime    = flag.Duration("soak", time.Second, "how long the soak test runs")
	soakSockets = flag.Int("soak.sockets", 100, "how many clients it has")
)

// Clients on a real network that connect, emit, drop in all sorts of ways and come back, while the server emits to them.
// Nobody gets an answer that is not his, nothing gets stuck, and at the end nothing is left.
func TestSoak(t *testing.T) {
	t.Parallel()
	io := socketio.NewServer(socketio.Config{
		PingInterval: 300 * time.Millisecond, PingTimeout: 2 * time.Second, MaxSendBuffer: 100_000, ConnectTimeout: 2 * time.Second,
		Recovery: socketio.Recovery{Window: time.Second, MaxEvents: 1000},
	})
	io.Use(func(_ context.Context, h *socketio.Handshake) error {
		if rand.IntN(20) == 0 {
			return &socketio.ConnectError{Message: "not you"}
		}
		return nil
	})
	io.OnConnect(func(s *socketio.Socket) {
		s.Join("all", fmt.Sprint("room", rand.IntN(10)))
		s.OnDisconnect(func(socketio.Reason) { s.Join("too late") })
		if rand.IntN(10) == 0 {
			s.DisconnectAt(time.Now().Add(50 * time.Millisecond))
		}
	})
	io.On("echo", func(_ context.Context, e *socketio.Event) { e.Ack(anys(e.Args)...) })
	io.On("move", func(_ context.Context, e *socketio.Event) {
		e.Socket.Leave("room1")
		e.Socket.Join("room2")
		e.Socket.To("room2").Emit("moved", e.Socket.ID())
	})

	addr, end := wiretest.ServeTCP(t, io, wiretest.AnyPort)
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	stop, cancel := context.WithTimeout(t.Context(), *soakTime)
	defer cancel()
	var clients sync.WaitGroup
	var rounds atomic.Int64
	for i := range *soakSockets {
		clients.Go(func() {
			s := &soaker{t: t, rng: rand.New(rand.NewPCG(seed, uint64(i)))}
			s.Peer = wiretest.NewPeer(t, wiretest.TCP(addr), "/socket.io/")
			for stop.Err() == nil {
				s.round(stop)
				rounds.Add(1)
			}
		})
	}
	clients.Go(func() {
		for i := 0; stop.Err() == nil; i++ {
			io.To(fmt.Sprint("room", i%10)).Emit("news", i, strings.Repeat("x", i%500))
			io.All().Volatile().Emit("gossip", "x")
			if i%50 == 0 {
				ctx, cancel := context.WithTimeout(stop, 10*time.Millisecond)
				io.To("all").EmitWithAck(ctx, "poll")
				cancel()
				io.To("room3").Disconnect(i%100 == 0)
			}
			time.Sleep(time.Millisecond)
		}
	})
	clients.Wait()
	end()
	if s := io.Stats(); s.Connections != 0 || s.WebSockets != 0 || s.Sockets != 0 {
		t.Errorf("left: %+v", s)
	}
	t.Logf("%d rounds", rounds.Load())
}

// soaker is one client of the soak test.
type soaker struct {
	*wiretest.Peer
	t           *testing.T
	rng         *rand.Rand
	pid, offset string
	next        int
}

// round is one connection. That the network, or the server, ends it is part of the game; a wrong answer is not.
func (s *soaker) round(stop context.Context) {
	w, err := s.connect()
	if err != nil {
		return
	}
	defer w.Close()
	w.Conn.SetDeadline(time.Now().Add(10 * time.Second))
	auth := map[string]string{"pid": s.pid}
	if s.offset != "" {
		auth["offset"] = s.offset
	}
	b, _ := json.Marshal(auth)
	w.Send("40" + string(b))
	waiting := map[string]string{}
	for range s.rng.IntN(30) {
		if s.rng.IntN(3) == 0 {
			s.next++
			id, word := fmt.Sprint(s.next), fmt.Sprintf("%q", strings.Repeat("w", s.rng.IntN(300)))
			waiting[id] = word
			w.Send("42" + id + `["echo",` + word + "]")
			w.Send(`42["move"]`)
		}
		m, err := w.Next()
		if err != nil || stop.Err() != nil || strings.HasPrefix(m, "41") || strings.HasPrefix(m, "44") {
			return
		}
		s.take(w, m, waiting)
	}
	switch s.rng.IntN(5) {
	case 0:
		w.Send("41")
	case 1:
		w.Send("1")
		w.Next()
	case 2:
		w.Raw([]byte{0x81, 0xfe, 0x01})
	case 3:
		if c, ok := w.Conn.(*net.TCPConn); ok {
			c.SetLinger(0) // a reset
		}
	case 4:
		time.Sleep(time.Duration(s.rng.IntN(100)) * time.Millisecond) // reads nothing meanwhile
	}
}

// connect opens a session by one of the ways there are.
func (s *soaker) connect() (*wiretest.WebSocket, error) {
	if s.rng.IntN(2) == 0 {
		w, err := s.Dial("EIO=4&transport=websocket", nil)
		if err == nil {
			_, err = w.Next()
		}
		return w, err
	}
	a, err := s.Do(s.t.Context(), wiretest.Request{Query: "EIO=4&transport=polling"})
	if err != nil || a.Status != 200 {
		return nil, fmt.Errorf("polling: %d %w", a.Status, err)
	}
	sid := wiretest.SID(s.t, a.Body)
	switch s.rng.IntN(4) {
	case 0: // gives a poll up
		ctx, cancel := context.WithTimeout(s.t.Context(), time.Millisecond)
		defer cancel()
		s.Do(ctx, wiretest.Request{Query: "EIO=4&transport=polling&sid=" + sid})
	case 1: // says nothing more
		return nil, context.Canceled
	}
	w, err := s.Dial("EIO=4&transport=websocket&sid="+sid, nil)
	if err != nil {
		return nil, err
	}
	w.Send("2probe")
	if m, err := w.Next(); err != nil || m != "3probe" {
		w.Close()
		return nil, fmt.Errorf("probe answered %q: %w", m, err)
	}
	w.Send("5")
	return w, nil
}

func (s *soaker) take(w *wiretest.WebSocket, m string, waiting map[string]string) {
	switch {
	case m == "2":
		w.Send("3")
	case strings.HasPrefix(m, "40"):
		var hello struct{ PID string }
		if err := json.Unmarshal([]byte(m[2:]), &hello); err != nil {
			s.t.Errorf("connect: %q", m)
		}
		if s.pid != hello.PID {
			s.pid, s.offset = hello.PID, ""
		}
	case strings.HasPrefix(m, "43"):
		id, rest, _ := strings.Cut(m[2:], "[")
		if want := waiting[id] + "]"; rest != want {
			s.t.Errorf("answer %s to %s", m, want)
		}
		delete(waiting, id)
	case strings.HasPrefix(m, `42["news"`):
		s.offset = m[strings.LastIndexByte(m, ',')+2 : len(m)-2]
	}
}
