package engineio_test

import (
	"fmt"
	"testing"
	"time"

	"loupe/socketio/engineio"
)

var beat = engineio.Config{PingInterval: 200 * time.Millisecond, PingTimeout: 150 * time.Millisecond}

func TestPingsComeAfterPongs(t *testing.T) {
	bubble(t, func(t *testing.T) {
		h := serve(t, beat)
		w := h.OpenWebSocket()
		start := time.Now()
		for i := range 5 {
			w.Expect("2")
			time.Sleep(100 * time.Millisecond)
			w.Send("3")
			if at, want := time.Since(start), time.Duration(i+1)*300*time.Millisecond; at != want {
				t.Errorf("pong %d at %v, want %v", i, at, want)
			}
		}
	})
}

// Another packet gives the client more time for its pong, but once.
func TestOtherPacketsExtendTheWaitOnce(t *testing.T) {
	bubble(t, func(t *testing.T) {
		h := serve(t, beat)
		w := h.OpenWebSocket()
		start := time.Now()
		w.Send("4before the ping counts nothing")
		w.Expect("2")
		for range 3 {
			time.Sleep(100 * time.Millisecond)
			w.Send("4x")
		}
		w.ExpectClose()
		if took := time.Since(start); took != 500*time.Millisecond {
			t.Errorf("closed after %v, want 450ms, seen with the next write at 500ms", took)
		}
		(<-h.sessions).expectClosed(t, engineio.PingTimeout)
	})
}

func TestUnaskedPongsCountNothing(t *testing.T) {
	bubble(t, func(t *testing.T) {
		h := serve(t, beat)
		w := h.OpenWebSocket()
		start := time.Now()
		time.Sleep(190 * time.Millisecond)
		w.Send("3")
		w.Expect("2")
		if at := time.Since(start); at != 200*time.Millisecond {
			t.Errorf("ping at %v", at)
		}
	})
}

// A session that is never polled ends like one that does not answer, and a poll at that very moment is too late.
func TestUnpolledSession(t *testing.T) {
	for _, c := range []struct {
		after  time.Duration
		status int
	}{{349 * time.Millisecond, 200}, {350 * time.Millisecond, 400}, {time.Second, 400}} {
		t.Run(fmt.Sprint(c.after), func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				h := serve(t, beat)
				sid := h.Open()
				time.Sleep(c.after)
				if a := h.Poll(sid); a.Status != c.status {
					t.Errorf("status %d", a.Status)
				}
			})
		})
	}
}

// The rhythm goes on unchanged across an upgrade.
func TestPingsAcrossAnUpgrade(t *testing.T) {
	bubble(t, func(t *testing.T) {
		h := serve(t, beat)
		start := time.Now()
		sid := h.Open()
		time.Sleep(199 * time.Millisecond)
		w := h.Upgrade(sid)
		w.Expect("2")
		if at := time.Since(start); at != 200*time.Millisecond {
			t.Errorf("ping at %v", at)
		}
		w.Send("3")
		w.Expect("2")
		if at := time.Since(start); at != 400*time.Millisecond {
			t.Errorf("second ping at %v", at)
		}
		w.ExpectClose()
		if at := time.Since(start); at != 550*time.Millisecond {
			t.Errorf("closed at %v", at)
		}
	})
}
