package socketio_test

import (
	"context"
	"encoding/json"
	"log/slog"
	"strings"
	"testing"
	"time"

	"loupe/socketio"
	"loupe/socketio/internal/wiretest"
)

func TestMain(m *testing.M) { wiretest.Main(m) }

var bubble = wiretest.Bubble

// host is a server in memory.
type host struct {
	*wiretest.Peer
	*socketio.Server
	log *wiretest.Log
}

func serve(t *testing.T, cfg socketio.Config) *host {
	h := &host{log: &wiretest.Log{}}
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
	c.connected(t, c.Read())
	return c
}

// connected takes the CONNECT packet.
func (c *remote) connected(t *testing.T, m string) {
	t.Helper()
	payload, found := strings.CutPrefix(m, "40")
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
