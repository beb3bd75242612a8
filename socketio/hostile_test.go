package socketio_test

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/gobwas/ws"

	"loupe/socketio"
	"loupe/socketio/internal/wiretest"
)

// The inputs that other Socket.IO and WebSocket servers have died of, by their CVE, on a WebSocket and, where there is
// such a way, by polling. The server closes the connection, or answers, and serves the next client as before.
//
// Not here: CVE-2026-45736, a disclosure of uninitialised memory, which Go does not have; CVE-2023-31125, whose request
// is not public; CVE-2023-30591, which is of an application. CVE-2022-21676 is tested in package engineio.
func TestKnownAttacks(t *testing.T) {
	header := func(name string, value ...string) http.Header { return http.Header{name: value} }
	many := http.Header{}
	for i := range 5000 {
		many.Set(fmt.Sprintf("X-%d", i), "x")
	}
	for name, attack := range map[string]func(t *testing.T, h *host){
		"CVE-2026-69185": inputs(`450-["x"]`, "b:x", "b:x", "b:x"),
		"CVE-2026-33151": inputs(`45999999-["x"]`, "b:x", "b:x"),
		"CVE-2026-48804": inputs(`4510-["x"]`, "b:x", `4510-["x"]`, "b:x"),
		"CVE-2024-38355": inputs(`42["error","x"]`, `42["error",{"toString":1}]`, `42["uncaughtException"]`),
		"CVE-2023-32695": inputs(`42[{"toString":"x"}]`),
		"CVE-2022-2421":  inputs(`451-["x",{"_placeholder":true,"num":"splice"}]`, "b:x"),
		"CVE-2020-36049": inputs(`42["x",` + strings.Repeat(`"`, 900_000)),
		"CVE-2020-36048": func(t *testing.T, h *host) {
			sid := h.Open()
			if a := h.Post(sid, strings.Repeat("4", 5_000_000)); a.Status != 413 {
				t.Errorf("POST: %d", a.Status)
			}
			w := h.join(t)
			go w.Send("4" + strings.Repeat("x", 5_000_000))
			w.ExpectClose()
		},
		"CVE-2026-48779": func(t *testing.T, h *host) {
			w := h.join(t)
			go func() {
				w.Frame(ws.NewFrame(ws.OpText, false, []byte("4")))
				fragment := ws.MustCompileFrame(ws.MaskFrame(ws.NewFrame(ws.OpContinuation, false, []byte("x"))))
				flood := bytes.Repeat(fragment, 1000)
				for range 100 {
					w.Raw(flood)
				}
				w.Close()
			}()
			w.ExpectClose()
		},
		"CVE-2024-37890": func(t *testing.T, h *host) {
			if w, err := h.Dial("EIO=4&transport=websocket", many); err == nil {
				w.Close()
			}
		},
		"CVE-2021-32640": func(t *testing.T, h *host) {
			if w, err := h.Dial("EIO=4&transport=websocket", header("Sec-WebSocket-Protocol", "a"+strings.Repeat(" ", 50_000)+"b")); err == nil {
				w.Close()
			}
		},
		"CVE-2020-28481": func(t *testing.T, h *host) {
			a, err := h.Do(t.Context(), wiretest.Request{Query: "EIO=4&transport=polling", Header: header("Origin", "https://evil.example")})
			if err != nil || a.Status != 403 || a.Header.Get("Access-Control-Allow-Origin") != "" {
				t.Errorf("%d %v %v", a.Status, a.Header, err)
			}
		},
		"CVE-2022-41940": func(t *testing.T, h *host) {
			for _, query := range []string{"EIO=4&transport=websocket&sid=x", "EIO=3&transport=websocket", "EIO=4&transport=websocket", "EIO=4"} {
				c := h.Connect()
				fmt.Fprintf(c, "GET /socket.io/?%s HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"+
					"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n", query)
				c.(*net.TCPConn).SetLinger(0)
				c.Close()
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := &host{Server: socketio.NewServer(socketio.Config{})}
			addr, _ := wiretest.ServeTCP(t, h.Server, wiretest.AnyPort)
			h.Peer = wiretest.NewPeer(t, wiretest.TCP(addr), "/socket.io/")
			h.On("x", func(_ context.Context, e *socketio.Event) { e.Ack(anys(e.Args)...) })
			attack(t, h)
			w := h.join(t)
			w.Send(`421["x","alive"]`)
			w.Expect(`431["alive"]`)
			w.Close()
		})
	}
}

// inputs sends messages on a connected WebSocket, and all in one body by polling; binary ones begin with "b:".
func inputs(messages ...string) func(*testing.T, *host) {
	return func(t *testing.T, h *host) {
		w := h.join(t)
		go func() {
			for _, m := range messages {
				if data, binary := strings.CutPrefix(m, "b:"); binary {
					w.SendBinary([]byte(data)...)
				} else {
					w.Send(m)
				}
			}
			w.Send("1")
		}()
		w.ExpectClose()

		sid := h.Open()
		h.Post(sid, "40")
		body := []string{}
		for _, m := range messages {
			if strings.HasPrefix(m, "b:") {
				m = "beA=="
			}
			body = append(body, m)
		}
		h.Post(sid, strings.Join(body, "\x1e"))
	}
}

// heap is the size of what is reachable, in bytes.
func heap() int {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int(m.HeapAlloc)
}

// Attachments that never become complete are bounded, and gone with the connection.
func TestIncompletePacketsAreBounded(t *testing.T) { // not parallel, for it measures memory
	synctest.Test(t, func(t *testing.T) {
		h := serve(t, socketio.Config{})
		before := heap()
		var ws []*remote
		for range 20 {
			w := h.join(t)
			w.Send(`4510-["x"]`)
			for range 9 {
				w.SendBinary(make([]byte, 100_000)...)
			}
			ws = append(ws, w)
		}
		synctest.Wait()
		during := heap()
		for _, w := range ws {
			w.Close()
		}
		synctest.Wait()
		after := heap()
		t.Logf("%d KiB before, %d with 18,000,000 bytes pending, %d after", before>>10, during>>10, after>>10)
		if during-before > 30_000_000 || after-before > 2_000_000 {
			t.Error("too much")
		}
	})
}

// Clients that read nothing cost their buffers and then their connections, however much is emitted.
func TestStalledReadersAreBounded(t *testing.T) { // not parallel, for it measures memory
	synctest.Test(t, func(t *testing.T) {
		const limit = 100_000
		h := serve(t, socketio.Config{MaxSendBuffer: limit})
		h.OnConnect(func(s *socketio.Socket) { s.Join("room") })
		for range 20 {
			h.join(t)
		}
		before, most := heap(), 0
		for i := range 2000 {
			h.To("room").Emit("e", strings.Repeat("x", 1000), i)
			if i%100 == 0 {
				most = max(most, heap())
			}
		}
		synctest.Wait()
		after := heap()
		t.Logf("%d KiB before, %d at most, %d after 40,000,000 bytes", before>>10, most>>10, after>>10)
		if s := h.Stats(); s.Sockets != 0 || s.SlowConsumers != 20 {
			t.Errorf("stats %+v", s)
		}
		if most-before > 20*limit+2_000_000 || after-before > 2_000_000 {
			t.Error("too much")
		}
	})
}
