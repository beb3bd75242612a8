package engineio_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gobwas/ws"

	"loupe/socketio/engineio"
	"loupe/socketio/internal/wiretest"
)

func TestMessagesBothWays(t *testing.T) {
	bubble(t, func(t *testing.T) {
		h := serve(t, engineio.Config{})
		h.receive = echo
		w := h.OpenWebSocket()
		for _, size := range []int{0, 1, 100, 127, 128, 129, 8 << 10, 8<<10 + 1, 40_000, 70_000, 999_999} {
			s := strings.Repeat("x", size)
			w.Send("4" + s)
			w.Expect("4" + s)
			w.SendBinary([]byte(s)...)
			w.Expect("b:" + s)
		}
		w.Send("bAQIDBA==") // base64 is accepted here too
		w.Expect("b:\x01\x02\x03\x04")
		w.Send("4a\x1e4b") // no separator here
		w.Expect("4a\x1e4b")
	})
}

func TestBinaryAsText(t *testing.T) {
	bubble(t, func(t *testing.T) {
		h := serve(t, engineio.Config{})
		h.receive = echo
		w, err := h.Dial("EIO=4&transport=websocket&b64=1", nil)
		if err != nil {
			t.Fatal(err)
		}
		w.Read()
		w.SendBinary(1, 2, 3, 4)
		w.Expect("bAQIDBA==")
	})
}

func TestFragments(t *testing.T) {
	bubble(t, func(t *testing.T) {
		h := serve(t, engineio.Config{})
		h.receive = echo
		w := h.OpenWebSocket()
		w.Frame(ws.NewFrame(ws.OpText, false, []byte("4one")))
		w.Frame(ws.NewPingFrame([]byte("between")))
		w.Expect("pong:between")
		w.Frame(ws.NewFrame(ws.OpContinuation, false, nil))
		w.Frame(ws.NewPongFrame(nil))
		w.Frame(ws.NewFrame(ws.OpContinuation, true, []byte("two")))
		w.Expect("4onetwo")
		for range 10_000 { // tiny fragments cost what they carry
			w.Frame(ws.NewFrame(ws.OpText, false, []byte("4")))
			w.Frame(ws.NewFrame(ws.OpContinuation, true, nil))
			w.Expect("4")
		}
	})
}

func TestIgnoredOnWebSocket(t *testing.T) {
	bubble(t, func(t *testing.T) {
		h := serve(t, engineio.Config{})
		h.receive = echo
		w := h.OpenWebSocket()
		for _, p := range []string{"0", "5", "6", "3", "3xyz", "4still here"} {
			w.Send(p)
		}
		w.Expect("4still here")
	})
}

// What a client can do wrong, and the close code it gets.
func TestBrokenWebSockets(t *testing.T) {
	frame := func(f ws.Frame) []byte { return ws.MustCompileFrame(ws.MaskFrame(f)) }
	bits := func(f ws.Frame, rsv byte) []byte {
		f.Header.Rsv = rsv
		return frame(f)
	}
	for _, c := range []struct {
		name   string
		bytes  []byte
		code   int
		reason engineio.Reason
	}{
		{"unmasked", ws.MustCompileFrame(ws.NewTextFrame([]byte("4x"))), 1002, engineio.TransportError},
		{"RSV1", bits(ws.NewTextFrame([]byte("4x")), 4), 1002, engineio.TransportError},
		{"RSV2", bits(ws.NewTextFrame([]byte("4x")), 2), 1002, engineio.TransportError},
		{"RSV3", bits(ws.NewTextFrame([]byte("4x")), 1), 1002, engineio.TransportError},
		{"reserved opcode", frame(ws.NewFrame(3, true, nil)), 1002, engineio.TransportError},
		{"reserved control opcode", frame(ws.NewFrame(0xb, true, nil)), 1002, engineio.TransportError},
		{"long control frame", frame(ws.NewFrame(ws.OpPing, true, make([]byte, 126))), 1002, engineio.TransportError},
		{"fragmented control frame", frame(ws.NewFrame(ws.OpPing, false, nil)), 1002, engineio.TransportError},
		{"continuation of nothing", frame(ws.NewFrame(ws.OpContinuation, true, nil)), 1002, engineio.TransportError},
		{
			"message in a message", append(frame(ws.NewFrame(ws.OpText, false, []byte("4"))), frame(ws.NewTextFrame([]byte("4x")))...),
			1002, engineio.TransportError,
		},
		{"length with its first bit set", []byte{0x82, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}, 1002, engineio.TransportError},
		{"bad UTF-8", frame(ws.NewTextFrame([]byte("4\xff"))), 1007, engineio.TransportError},
		{"UTF-8 cut off", frame(ws.NewTextFrame([]byte("4\xe2\x82"))), 1007, engineio.TransportError},
		{"too long", frame(ws.NewTextFrame(bytes.Repeat([]byte("4"), 1001))), 1009, engineio.TransportError},
		{
			"too long in fragments", append(frame(ws.NewFrame(ws.OpBinary, false, make([]byte, 600))), frame(ws.NewFrame(ws.OpContinuation, true, make([]byte, 401)))...),
			1009, engineio.TransportError,
		},
		{"a huge claim", []byte{0x82, 0xff, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0}, 1009, engineio.TransportError},
		{"empty packet", frame(ws.NewTextFrame(nil)), 1005, engineio.TransportError},
		{"unknown packet", frame(ws.NewTextFrame([]byte("abc"))), 1005, engineio.TransportError},
		{"bad base64", frame(ws.NewTextFrame([]byte("b!"))), 1005, engineio.TransportError},
		{"client's ping", frame(ws.NewTextFrame([]byte("2"))), 1005, engineio.TransportError},
		{"close packet", frame(ws.NewTextFrame([]byte("1"))), 1005, engineio.TransportClose},
		{"close frame", frame(ws.NewCloseFrame(ws.NewCloseFrameBody(4711, "any"))), 4711, engineio.TransportClose},
		{"close frame without a code", frame(ws.NewCloseFrame(nil)), 1005, engineio.TransportClose},
		{"close frame with half a code", frame(ws.NewCloseFrame([]byte{3})), 1002, engineio.TransportClose},
		{"close frame with a bad code", frame(ws.NewCloseFrame(ws.NewCloseFrameBody(1005, ""))), 1002, engineio.TransportClose},
		{"close frame with bad UTF-8", frame(ws.NewCloseFrame(ws.NewCloseFrameBody(1000, "\xff"))), 1002, engineio.TransportClose},
		{"garbage", []byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n"), 1002, engineio.TransportError},
	} {
		t.Run(c.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				h := serve(t, engineio.Config{MaxPayload: 1000})
				w := h.OpenWebSocket()
				go w.Raw(c.bytes)
				_, err := w.Next()
				if got, ok := errors.AsType[wiretest.CloseError](err); !ok || int(got) != c.code {
					t.Errorf("closed with %v, want %d", err, c.code)
				}
				w.Close()
				(<-h.sessions).expectClosed(t, c.reason)
			})
		})
	}
}

// Bytes that come in one segment with the request are not lost, and bad ones do no harm.
func TestBytesBehindTheUpgradeRequest(t *testing.T) {
	request := "GET /engine.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: server\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" +
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
	for name, behind := range map[string][]byte{
		"a message": ws.MustCompileFrame(ws.MaskFrame(ws.NewTextFrame([]byte("4" + strings.Repeat("early", 100))))),
		"garbage":   {0xf5, 0x81, 0, 0, 0, 0, 0, 0, 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				h := serve(t, engineio.Config{})
				conn := h.Connect()
				defer conn.Close()
				go conn.Write(append([]byte(request), behind...))
				go bytes.NewBuffer(nil).ReadFrom(conn)
				r := <-h.sessions
				if name == "garbage" {
					r.expectClosed(t, engineio.TransportError)
					return
				}
				r.expectMessage(t, strings.Repeat("early", 100))
			})
		})
	}
}

// A connection that breaks in the middle of a frame, or stalls there.
func TestHalfAFrame(t *testing.T) {
	for _, n := range []int{0, 1, 2, 5, 6, 10} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				h := serve(t, engineio.Config{})
				whole := ws.MustCompileFrame(ws.MaskFrame(ws.NewTextFrame([]byte("4some text"))))
				broken, stalled := h.OpenWebSocket(), h.OpenWebSocket()
				first, second := <-h.sessions, <-h.sessions
				broken.Raw(whole[:n])
				broken.Close()
				first.expectClosed(t, engineio.TransportClose)
				stalled.Raw(whole[:n])
				stalled.ExpectClose()
				second.expectClosed(t, engineio.PingTimeout)
			})
		})
	}
}

func TestSubprotocolIsEchoed(t *testing.T) {
	bubble(t, func(t *testing.T) {
		h := serve(t, engineio.Config{})
		conn := h.Connect()
		defer conn.Close()
		go fmt.Fprintf(conn, "GET /engine.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: server\r\nConnection: keep-alive, Upgrade\r\n"+
			"Upgrade: WebSocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"+
			"Sec-WebSocket-Protocol: one, two\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\n")
		answer := make([]byte, 1000)
		n, err := conn.Read(answer)
		if err != nil {
			t.Fatal(err)
		}
		got := strings.ToLower(string(answer[:n]))
		if !strings.HasPrefix(got, "http/1.1 101") || !strings.Contains(got, "sec-websocket-protocol: one\r\n") || strings.Contains(got, "extensions") {
			t.Errorf("answer %q", got)
		}
	})
}

// A server that can not give its connection away refuses WebSockets and goes on.
func TestNoHijack(t *testing.T) {
	bubble(t, func(t *testing.T) {
		srv := engineio.NewServer(engineio.Config{}, func(*engineio.Conn, *http.Request) (engineio.Receiver, error) {
			return &recorder{closed: make(chan engineio.Reason, 1)}, nil
		})
		p := wiretest.Serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			srv.ServeHTTP(struct{ http.ResponseWriter }{w}, r)
		}), "/engine.io/")
		if _, err := p.Dial("EIO=4&transport=websocket", nil); err == nil {
			t.Error("accepted")
		}
		if n := srv.Stats().Connections; n != 0 {
			t.Errorf("%d sessions left", n)
		}
		if err := srv.Close(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// A client that does not read costs a bounded buffer and then its connection.
func TestSlowConsumer(t *testing.T) {
	for _, polling := range []bool{true, false} {
		t.Run(fmt.Sprintf("polling %t", polling), func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				h := serve(t, engineio.Config{MaxSendBuffer: 10_000})
				var w *wiretest.WebSocket
				if polling {
					h.Open()
				} else {
					w = h.OpenWebSocket()
				}
				r := <-h.sessions
				synctest.Wait()
				m := text(strings.Repeat("x", 1000-engineio.MessageOverhead))
				sent := 0
				var err error
				for err == nil {
					err = r.conn.Send(m)
					sent++
				}
				if err != engineio.ErrSlowConsumer || sent != 11 {
					t.Errorf("message %d: %v, want the 11th to be one too many", sent, err)
				}
				r.expectClosed(t, engineio.SlowConsumer)
				if err := r.conn.Send(m); err != engineio.ErrClosed {
					t.Errorf("after the end: %v", err)
				}
				if n := h.server.Stats().SlowConsumers; n != 1 {
					t.Errorf("%d slow consumers counted", n)
				}
				if w != nil {
					w.ExpectClose()
				}
			})
		})
	}
}

// A client that answers pings it can not have read is found out too.
func TestStalledReaderThatPongs(t *testing.T) {
	bubble(t, func(t *testing.T) {
		h := serve(t, engineio.Config{})
		w := h.OpenWebSocket()
		r := <-h.sessions
		r.conn.Send(text(strings.Repeat("x", 100_000)))
		start := time.Now()
		for range 10 {
			time.Sleep(26 * time.Second)
			w.Conn.SetWriteDeadline(time.Now().Add(time.Second))
			w.Send("3")
		}
		r.expectClosed(t, engineio.SlowConsumer)
		if took := time.Since(start); took > 300*time.Second {
			t.Errorf("took %v", took)
		}
	})
}

// A large message on a slow line is no reason to close, as long as it moves.
func TestSlowButAlive(t *testing.T) {
	bubble(t, func(t *testing.T) {
		h := serve(t, engineio.Config{})
		w := h.OpenWebSocket()
		r := <-h.sessions
		const size = 400_000
		r.conn.Send(text(strings.Repeat("x", size)))
		got, buf := 0, make([]byte, 8<<10)
		for got < size {
			n, err := w.Conn.Read(buf)
			if err != nil {
				t.Fatalf("after %d bytes: %v", got, err)
			}
			got += n
			time.Sleep(2 * time.Second)
			w.Send("3") // the ping is behind the message
		}
	})
}

// While the Receiver is busy the heartbeat goes on, and what comes is kept in order and within bounds.
func TestBusyReceiver(t *testing.T) {
	bubble(t, func(t *testing.T) {
		h := serve(t, engineio.Config{MaxReceiveBuffer: 10_000})
		release := make(chan struct{})
		var got []string
		h.receive = func(_ *recorder, m engineio.Message) {
			<-release
			got = append(got, string(m.Data[:3]))
		}
		w := h.OpenWebSocket()
		r := <-h.sessions
		sent := make(chan struct{})
		go func() {
			defer close(sent)
			for i := range 100 {
				w.Send(fmt.Sprintf("4%03d%s", i, strings.Repeat("x", 1000)))
			}
		}()
		w.Expect("2")
		time.Sleep(45 * time.Second) // the answer to the ping does not get through, but nobody is to blame
		select {
		case <-sent:
			t.Error("100,000 bytes were taken")
		default:
		}
		close(release)
		<-sent
		synctest.Wait()
		if len(got) != 100 || got[0] != "000" || got[99] != "099" {
			t.Errorf("%d messages: %v", len(got), got)
		}
		w.Send("3")
		r.conn.Close(engineio.ForcedClose)
		r.expectClosed(t, engineio.ForcedClose)
	})
}

// A busy Receiver that takes little does not disturb the heartbeat at all.
func TestHeartbeatBesideABlockedReceiver(t *testing.T) {
	bubble(t, func(t *testing.T) {
		h := serve(t, engineio.Config{})
		release := make(chan struct{})
		h.receive = func(*recorder, engineio.Message) { <-release }
		w := h.OpenWebSocket()
		w.Send("4block")
		for range 10 {
			w.Expect("2")
			w.Send("3")
		}
		close(release)
	})
}

func TestCloseOnWebSocket(t *testing.T) {
	bubble(t, func(t *testing.T) {
		h := serve(t, engineio.Config{})
		w := h.OpenWebSocket()
		r := <-h.sessions
		for i := range 100 {
			r.conn.Send(text(fmt.Sprint(i)))
		}
		r.conn.Close(engineio.ForcedClose)
		r.conn.Close(engineio.ServerShuttingDown) // the first reason stays
		r.expectClosed(t, engineio.ForcedClose)
		for i := range 100 { // all that was sent before still comes
			w.Expect(fmt.Sprint("4", i))
		}
		if _, err := w.Next(); err != wiretest.CloseError(1005) {
			t.Errorf("closed with %v", err)
		}
	})
}

// A client that does not take the goodbye is given two seconds.
func TestCloseWithoutAnswer(t *testing.T) {
	bubble(t, func(t *testing.T) {
		h := serve(t, engineio.Config{})
		h.OpenWebSocket()
		(<-h.sessions).conn.Close(engineio.ForcedClose)
		start := time.Now()
		if err := h.server.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(start); took > 2*time.Second {
			t.Errorf("took %v", took)
		}
	})
}

func TestCloseAfter(t *testing.T) {
	bubble(t, func(t *testing.T) {
		h := serve(t, engineio.Config{})
		w := h.OpenWebSocket()
		r := <-h.sessions
		start := time.Now()
		r.conn.CloseAfter(time.Second)
		r.conn.CloseAfter(0)
		r.conn.CloseAfter(2 * time.Second)
		w.ExpectClose()
		if took := time.Since(start); took != 2*time.Second {
			t.Errorf("took %v", took)
		}
		r.expectClosed(t, engineio.ForcedServerClose)
	})
}

func TestVolatile(t *testing.T) {
	bubble(t, func(t *testing.T) {
		h := serve(t, engineio.Config{})
		sid := h.Open()
		polling := <-h.sessions
		if polling.conn.SendVolatile(text("dropped")) {
			t.Error("sent though no poll waits")
		}
		polled := h.poll(t, sid)
		if !polling.conn.SendVolatile(text("taken")) || polling.conn.SendVolatile(text("dropped")) {
			t.Error("one is to be sent and one dropped")
		}
		expect(t, <-polled, 200, "4taken")

		w := h.OpenWebSocket()
		r := <-h.sessions
		synctest.Wait()
		if !r.conn.SendVolatile(text("taken")) || r.conn.SendVolatile(text("dropped")) {
			t.Error("one is to be sent and one dropped")
		}
		r.conn.Send(text("kept"))
		w.Expect("4taken", "4kept")
		r.conn.Close(engineio.ForcedClose)
		if r.conn.SendVolatile(text("dropped")) {
			t.Error("sent on a closed session")
		}
	})
}

// Messages sent as one have none between, however many send.
func TestSendIsAtomic(t *testing.T) {
	bubble(t, func(t *testing.T) {
		h := serve(t, engineio.Config{})
		w := h.OpenWebSocket()
		r := <-h.sessions
		for i := range 10 {
			go func() {
				for range 50 {
					r.conn.Send(text(fmt.Sprint(i)), engineio.Message{Data: []byte(fmt.Sprint(i)), Binary: true})
				}
			}()
		}
		for range 500 {
			head := w.Read()
			w.Expect("b:" + head[1:])
		}
	})
}

func TestServerClose(t *testing.T) {
	bubble(t, func(t *testing.T) {
		h := serve(t, engineio.Config{})
		h.receive = echo
		sid, idle := h.Open(), h.Open()
		polled := h.poll(t, sid)
		w := h.OpenWebSocket()
		probing := h.WebSocket(h.Open())
		probing.Send("2probe")
		r, body := net.Pipe()
		defer body.Close()
		go h.postBody(t, h.Open(), r)
		body.Write([]byte("4half"))
		synctest.Wait()
		gone := make(chan []string, 1)
		go func() { gone <- w.ExpectClose() }()
		go probing.ExpectClose()

		start := time.Now()
		if err := h.server.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(start); took != 0 {
			t.Errorf("took %v", took)
		}
		expect(t, <-polled, 200, "1")
		if ms := <-gone; len(ms) > 0 {
			t.Errorf("got %q", ms)
		}
		for range 5 {
			(<-h.sessions).expectClosed(t, engineio.ServerShuttingDown)
		}
		expect(t, h.Poll(idle), 503, "server is shutting down")
		if _, err := h.Dial("EIO=4&transport=websocket", nil); err == nil {
			t.Error("a new session")
		}
		if err := h.server.Close(t.Context()); err != nil {
			t.Errorf("a second time: %v", err)
		}
	})
}

// Close gives up waiting when its context ends.
func TestServerCloseWithABlockedReceiver(t *testing.T) {
	bubble(t, func(t *testing.T) {
		h := serve(t, engineio.Config{})
		release := make(chan struct{})
		h.receive = func(*recorder, engineio.Message) { <-release }
		w := h.OpenWebSocket()
		w.Send("4block")
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := h.server.Close(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("closed with %v", err)
		}
		close(release)
	})
}
