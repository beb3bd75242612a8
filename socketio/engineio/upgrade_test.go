package engineio_test

import (
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"loupe/socketio/engineio"
	"loupe/socketio/internal/wiretest"
)

const badRequest = `{"code":3,"message":"Bad request"}`

func TestUpgradeReleasesThePoll(t *testing.T) {
	bubble(t, func(t *testing.T) {
		h := serve(t, engineio.Config{})
		h.receive = echo
		sid := h.Open()
		polled := h.poll(t, sid)
		w := h.WebSocket(sid)
		w.Probe()
		expect(t, <-polled, 200, "6")
		w.Send("5")
		w.Send("4hello")
		w.Expect("4hello")
		if !(<-h.sessions).conn.WebSocket() {
			t.Error("not on a WebSocket")
		}
		if s := h.server.Stats(); s.Upgraded != 1 || s.WebSockets != 1 || s.Connections != 1 {
			t.Errorf("stats %+v", s)
		}
	})
}

// A poll that comes between the probe and the end of the upgrade is held for a moment, for the two race.
func TestPollDuringTheUpgrade(t *testing.T) {
	bubble(t, func(t *testing.T) {
		h := serve(t, engineio.Config{})
		sid := h.Open()
		w := h.WebSocket(sid)
		w.Probe()
		start := time.Now()
		expect(t, h.Poll(sid), 200, "6")
		if took := time.Since(start); took != 50*time.Millisecond {
			t.Errorf("held for %v", took)
		}
		polled := h.poll(t, sid)
		w.Send("5")
		expect(t, <-polled, 400, badRequest)
		expect(t, h.Poll(sid), 400, badRequest)
		expect(t, h.Post(sid, "4x"), 400, badRequest)
	})
}

func TestMessagesDuringTheUpgrade(t *testing.T) {
	bubble(t, func(t *testing.T) {
		h := serve(t, engineio.Config{})
		sid := h.Open()
		r := <-h.sessions
		w := h.WebSocket(sid)
		r.conn.Send(text("by poll"))
		w.Probe()
		expect(t, h.Poll(sid), 200, "4by poll")
		r.conn.Send(text("one"), text("two"))
		w.Send("5")
		w.Expect("4one", "4two")
	})
}

// However an upgrade goes wrong, the session works on by polling, and may try again.
func TestFailedUpgrades(t *testing.T) {
	for name, spoil := range map[string]func(*wiretest.WebSocket){
		"hangs up before the probe": func(w *wiretest.WebSocket) { w.Close() },
		"no probe":                  func(w *wiretest.WebSocket) { w.Send("4x") },
		"another probe":             func(w *wiretest.WebSocket) { w.Send("2other") },
		"upgrade without a probe":   func(w *wiretest.WebSocket) { w.Send("5") },
		"binary":                    func(w *wiretest.WebSocket) { w.SendBinary(2, 'p') },
		"a long message":            func(w *wiretest.WebSocket) { w.Send(fmt.Sprintf("2%1000d", 0)) },
		"hangs up after the probe": func(w *wiretest.WebSocket) {
			w.Probe()
			w.Close()
		},
		"something else after the probe": func(w *wiretest.WebSocket) {
			w.Probe()
			w.Send("4x")
		},
		"a second probe": func(w *wiretest.WebSocket) {
			w.Probe()
			w.Send("2probe")
		},
		"nothing": func(*wiretest.WebSocket) { time.Sleep(10*time.Second + time.Millisecond) },
		"nothing after the probe": func(w *wiretest.WebSocket) {
			w.Probe()
			time.Sleep(10*time.Second + time.Millisecond)
		},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				h := serve(t, engineio.Config{})
				h.receive = echo
				sid := h.Open()
				w := h.WebSocket(sid)
				spoil(w)
				w.ExpectClose()
				expect(t, h.Post(sid, "4on we go"), 200, "ok")
				expect(t, h.Poll(sid), 200, "4on we go")
				w = h.Upgrade(sid)
				w.Send("4at last")
				w.Expect("4at last")
			})
		})
	}
}

func TestSecondWebSocketIsTurnedAway(t *testing.T) {
	bubble(t, func(t *testing.T) {
		h := serve(t, engineio.Config{})
		h.receive = echo
		sid := h.Open()
		w := h.WebSocket(sid)
		second := h.WebSocket(sid)
		if _, err := second.Next(); err != wiretest.CloseError(1005) {
			t.Errorf("during the upgrade: %v", err)
		}
		second.Close()
		w.Probe()
		w.Send("5")
		synctest.Wait()
		third := h.WebSocket(sid)
		if _, err := third.Next(); err != wiretest.CloseError(1005) {
			t.Errorf("after the upgrade: %v", err)
		}
		third.Close()
		w.Send("4alive")
		w.Expect("4alive")
	})
}

func TestPingFrameDuringTheUpgrade(t *testing.T) {
	bubble(t, func(t *testing.T) {
		h := serve(t, engineio.Config{})
		h.receive = echo
		w := h.WebSocket(h.Open())
		w.Raw([]byte{0x89, 0x82, 0, 0, 0, 0, 'h', 'i'})
		w.Expect("pong:hi")
		w.Probe()
		w.Send("5")
		w.Send("4x")
		w.Expect("4x")
	})
}

// The session ends while it is being upgraded.
func TestCloseDuringTheUpgrade(t *testing.T) {
	bubble(t, func(t *testing.T) {
		h := serve(t, engineio.Config{})
		sid := h.Open()
		w := h.WebSocket(sid)
		w.Probe()
		r := <-h.sessions
		r.conn.Send(text("last"))
		r.conn.Close(engineio.ForcedClose)
		w.ExpectClose()
		expect(t, h.Poll(sid), 200, "4last\x1e1")
		r.expectClosed(t, engineio.ForcedClose)
	})
}

// No message is lost, doubled or moved by an upgrade under traffic.
func TestOrderAcrossAnUpgrade(t *testing.T) {
	bubble(t, func(t *testing.T) {
		const n = 10_000
		h := serve(t, engineio.Config{MaxSendBuffer: 10 << 20})
		var in []string
		h.receive = func(_ *recorder, m engineio.Message) { in = append(in, string(m.Data)) }
		sid := h.Open()
		r := <-h.sessions
		var sending sync.WaitGroup
		sending.Go(func() {
			for i := range n {
				r.conn.Send(text(fmt.Sprint(i)))
				if i%10 == 0 {
					time.Sleep(time.Millisecond)
				}
			}
		})

		var out []string
		take := func(a wiretest.Answer) {
			for _, p := range wiretest.Split(a.Body) {
				if p[0] == '4' {
					out = append(out, p[1:])
				}
			}
		}
		sent := 0
		post := func() {
			body := ""
			for range 7 {
				body += fmt.Sprintf("4%d\x1e", sent)
				sent++
			}
			expect(t, h.Post(sid, body[:len(body)-1]), 200, "ok")
		}
		for range 100 { // by polling
			post()
			take(h.Poll(sid))
		}
		w := h.WebSocket(sid)
		w.Probe()
		post()
		take(h.Poll(sid))
		w.Send("5")
		go func() {
			for ; sent < n; sent++ {
				w.Send(fmt.Sprint("4", sent))
			}
		}()
		for len(out) < n {
			if m := w.Read(); m[0] == '4' {
				out = append(out, m[1:])
			}
		}
		sending.Wait()
		synctest.Wait()
		for _, got := range [][]string{in, out} {
			if len(got) != n {
				t.Fatalf("%d messages, want %d", len(got), n)
			}
			for i, s := range got {
				if s != fmt.Sprint(i) {
					t.Fatalf("message %d is %q", i, s)
				}
			}
		}
	})
}
