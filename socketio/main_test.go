package socketio_test

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"loupe/socketio"
	"loupe/socketio/internal/wiretest"
)

func TestMain(m *testing.M) { wiretest.Main(m) }

// bubble runs a test in which time costs nothing and which fails if a goroutine is left.
func bubble(t *testing.T, f func(*testing.T)) {
	t.Helper()
	t.Parallel()
	synctest.Test(t, f)
}

// host is a server in memory.
type host struct {
	*wiretest.Peer
	*socketio.Server
	log *logged
}

// logged is a log that can be read while it is written.
type logged struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

func serve(t *testing.T, cfg socketio.Config) *host {
	h := &host{log: &logged{}}
	cfg.Logger = slog.New(slog.NewTextHandler(h.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	h.Server = socketio.NewServer(cfg)
	h.Peer = wiretest.Serve(t, h.Server, "/socket.io/")
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := h.Close(ctx); err != nil {
			t.Errorf("closing the server: %v", err)
		}
		if s := h.Stats(); s.Connections != 0 || s.Sockets != 0 {
			t.Errorf("left: %+v", s)
		}
	})
	return h
}

// join opens a WebSocket and connects it to the main namespace.
func (h *host) join(t *testing.T) *remote {
	t.Helper()
	return h.joinWith(t, "40")
}

// remote is a client in the main namespace.
type remote struct {
	*wiretest.WebSocket
	id, pid string
}

func (h *host) joinWith(t *testing.T, connect string) *remote {
	t.Helper()
	c := &remote{WebSocket: h.OpenWebSocket()}
	c.Send(connect)
	c.expectConnect(t)
	return c
}

func (c *remote) expectConnect(t *testing.T) {
	t.Helper()
	payload, found := strings.CutPrefix(c.Read(), "40")
	var hello struct{ SID, PID string }
	if err := json.Unmarshal([]byte(payload), &hello); err != nil || !found || hello.SID == "" {
		t.Fatalf("connected with %q: %v", payload, err)
	}
	c.id, c.pid = hello.SID, hello.PID
}

func anys(values []socketio.Value) []any {
	out := make([]any, len(values))
	for i, v := range values {
		out[i] = v
	}
	return out
}
