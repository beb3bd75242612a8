package engineio_test

import (
	"compress/gzip"
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"loupe/socketio/engineio"
	"loupe/socketio/internal/wiretest"
)

func TestPostIsAnsweredOk(t *testing.T) {
	bubble(t, func(t *testing.T) {
		h := serve(t, engineio.Config{})
		a := h.Post(h.Open(), "4x")
		expect(t, a, 200, "ok")
		if a.Header.Get("Content-Type") != "text/html" || a.Header.Get("Content-Length") != "2" || a.Header.Get("Cache-Control") != "no-store" {
			t.Errorf("headers %v", a.Header)
		}
		(<-h.sessions).expectMessage(t, "x")
	})
}

func TestSecondPollEndsTheSession(t *testing.T) {
	bubble(t, func(t *testing.T) {
		h := serve(t, engineio.Config{})
		sid := h.Open()
		first := h.poll(t, sid)
		expect(t, h.Poll(sid), 400, "")
		expect(t, <-first, 200, "1")
		expect(t, h.Poll(sid), 400, unknownSession)
		(<-h.sessions).expectClosed(t, engineio.TransportError)
	})
}

func TestSecondPostEndsTheSession(t *testing.T) {
	bubble(t, func(t *testing.T) {
		h := serve(t, engineio.Config{})
		sid := h.Open()
		r, w := io.Pipe()
		defer w.Close()
		first := make(chan int, 1)
		go func() { first <- h.postBody(t, sid, r) }()
		w.Write([]byte("4half"))
		synctest.Wait()
		expect(t, h.Post(sid, "4x"), 400, "")
		if status := <-first; status == 200 {
			t.Errorf("the first was answered %d", status)
		}
		expect(t, h.Poll(sid), 400, unknownSession)
		(<-h.sessions).expectClosed(t, engineio.TransportError)
	})
}

// postBody sends a body that comes in its own time and returns the status, 0 if the connection broke.
func (h *host) postBody(t *testing.T, sid string, body io.Reader) int {
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://server/engine.io/?EIO=4&transport=polling&sid="+sid, body)
	if err != nil {
		t.Error(err)
		return 0
	}
	resp, err := h.Client().Do(req)
	if err != nil {
		return 0
	}
	resp.Body.Close()
	return resp.StatusCode
}

func TestAbandonedPollEndsTheSession(t *testing.T) {
	bubble(t, func(t *testing.T) {
		h := serve(t, engineio.Config{})
		sid := h.Open()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		h.Do(ctx, wiretest.Request{Query: "EIO=4&transport=polling&sid=" + sid})
		(<-h.sessions).expectClosed(t, engineio.TransportError)
		expect(t, h.Poll(sid), 400, unknownSession)
	})
}

func TestBadPosts(t *testing.T) {
	for name, body := range map[string]string{
		"unknown type": "abc", "bad base64": "b!", "unpadded base64": "bAQ", "ends with a separator": "4x\x1e", "only a separator": "\x1e",
		"empty":         "",
		"not UTF-8":     "4\xff",
		"client's ping": "2",
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				h := serve(t, engineio.Config{})
				sid := h.Open()
				if a := h.Post(sid, body); a.Status != 400 && name != "client's ping" {
					t.Errorf("answer %d %q", a.Status, a.Body)
				}
				(<-h.sessions).expectClosed(t, engineio.TransportError)
				expect(t, h.Poll(sid), 400, unknownSession)
			})
		})
	}
}

// What stands before a bad packet counts.
func TestPacketsBeforeABadOneAreHandled(t *testing.T) {
	bubble(t, func(t *testing.T) {
		h := serve(t, engineio.Config{})
		sid := h.Open()
		h.Post(sid, "4one\x1exx\x1e4two")
		r := <-h.sessions
		r.expectMessage(t, "one")
		r.expectClosed(t, engineio.TransportError)
		if len(r.messages) > 0 {
			t.Error("a message after the bad packet")
		}
	})
}

func TestIgnoredPackets(t *testing.T) {
	bubble(t, func(t *testing.T) {
		h := serve(t, engineio.Config{})
		sid := h.Open()
		expect(t, h.Post(sid, "0\x1e5\x1e6\x1e3\x1e3xyz\x1e4still here"), 200, "ok")
		(<-h.sessions).expectMessage(t, "still here")
	})
}

func TestOctetStreamEndsTheSession(t *testing.T) {
	bubble(t, func(t *testing.T) {
		h := serve(t, engineio.Config{})
		sid := h.Open()
		a, err := h.Do(t.Context(), wiretest.Request{
			Method: "POST", Query: "EIO=4&transport=polling&sid=" + sid, Body: "4x",
			Header: http.Header{"Content-Type": {"application/octet-stream"}},
		})
		if err != nil {
			t.Fatal(err)
		}
		expect(t, a, 400, "")
		(<-h.sessions).expectClosed(t, engineio.TransportError)
	})
}

func TestLargestPost(t *testing.T) {
	bubble(t, func(t *testing.T) {
		h := serve(t, engineio.Config{MaxPayload: 1000})
		sid := h.Open()
		r := <-h.sessions
		largest := "4" + strings.Repeat("x", 999)
		expect(t, h.Post(sid, largest), 200, "ok")
		r.expectMessage(t, largest[1:])
		expect(t, h.Post(sid, largest+"x"), 413, "")
		if status := h.postBody(t, sid, io.MultiReader(strings.NewReader(largest), strings.NewReader("x"))); status != 413 {
			t.Errorf("chunked: %d", status)
		}
		expect(t, h.Post(sid, "4and on"), 200, "ok") // the session survives
		r.expectMessage(t, "and on")
	})
}

func TestPacketsPerPostAreBounded(t *testing.T) {
	bubble(t, func(t *testing.T) {
		h := serve(t, engineio.Config{MaxPackets: 100})
		sid := h.Open()
		expect(t, h.Post(sid, strings.Repeat("4\x1e", 99)+"4"), 200, "ok")
		expect(t, h.Post(sid, strings.Repeat("4\x1e", 100)+"4"), 400, "")
		(<-h.sessions).expectClosed(t, engineio.TransportError)
	})
}

// A body that never ends is given as long as a ping.
func TestSlowPost(t *testing.T) {
	bubble(t, func(t *testing.T) {
		h := serve(t, engineio.Config{})
		sid := h.Open()
		r, w := io.Pipe()
		defer w.Close()
		start := time.Now()
		if status := h.postBody(t, sid, r); status == 200 {
			t.Errorf("answered %d", status)
		}
		if took := time.Since(start); took > 45*time.Second {
			t.Errorf("took %v", took)
		}
	})
}

func TestBufferedPacketsComeTogether(t *testing.T) {
	bubble(t, func(t *testing.T) {
		h := serve(t, engineio.Config{})
		sid := h.Open()
		c := (<-h.sessions).conn
		c.Send(text("a"), engineio.Message{Data: []byte{1, 2, 3, 4}, Binary: true}, text("ü"))
		time.Sleep(25 * time.Second)
		synctest.Wait()
		expect(t, h.Poll(sid), 200, "4a\x1ebAQIDBA==\x1e4ü\x1e2")
	})
}

// The server's payloads are not bound by MaxPayload: that is what clients may send.
func TestLargeAnswer(t *testing.T) {
	bubble(t, func(t *testing.T) {
		h := serve(t, engineio.Config{MaxPayload: 10, MaxSendBuffer: 100})
		sid := h.Open()
		large := strings.Repeat("x", 3_000_000)
		(<-h.sessions).conn.Send(text(large))
		expect(t, h.Poll(sid), 200, "4"+large)
	})
}

func TestCloseByTheServer(t *testing.T) {
	t.Run("with a poll waiting", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			h := serve(t, engineio.Config{})
			sid := h.Open()
			r, polled := <-h.sessions, h.poll(t, sid)
			r.conn.Close(engineio.ForcedClose)
			expect(t, <-polled, 200, "1")
			r.expectClosed(t, engineio.ForcedClose)
			expect(t, h.Poll(sid), 400, unknownSession)
		})
	})
	t.Run("without", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			h := serve(t, engineio.Config{})
			sid := h.Open()
			r := <-h.sessions
			r.conn.Send(text("last"))
			r.conn.Close(engineio.ForcedClose)
			r.expectClosed(t, engineio.ForcedClose)
			if err := r.conn.Send(text("too late")); err != engineio.ErrClosed {
				t.Errorf("send: %v", err)
			}
			expect(t, h.Post(sid, "4x"), 400, unknownSession)
			time.Sleep(29 * time.Second)
			expect(t, h.Poll(sid), 200, "4last\x1e1") // Node needs two polls for this
			expect(t, h.Poll(sid), 400, unknownSession)
		})
	})
	t.Run("and nobody polls", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			h := serve(t, engineio.Config{})
			sid := h.Open()
			(<-h.sessions).conn.Close(engineio.ForcedClose)
			time.Sleep(30*time.Second + time.Millisecond)
			expect(t, h.Poll(sid), 400, unknownSession)
		})
	})
}

func TestCloseByTheClient(t *testing.T) {
	bubble(t, func(t *testing.T) {
		h := serve(t, engineio.Config{})
		sid := h.Open()
		r, polled := <-h.sessions, h.poll(t, sid)
		expect(t, h.Post(sid, "4bye\x1e1\x1e4ignored"), 200, "ok")
		expect(t, <-polled, 200, "6")
		r.expectMessage(t, "bye")
		r.expectClosed(t, engineio.TransportClose)
		if len(r.messages) > 0 {
			t.Error("a message after the close")
		}
		expect(t, h.Poll(sid), 400, unknownSession)
	})
}

// The client is free to poll again as soon as it has given a poll up, which may be before the server notices.
func TestPollAfterAnAbandonedOneThatIsNoticedLate(t *testing.T) {
	bubble(t, func(t *testing.T) {
		h := serve(t, engineio.Config{})
		sid := h.Open()
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		abandoned := make(chan error, 1)
		go func() {
			_, err := h.Do(ctx, wiretest.Request{Query: "EIO=4&transport=polling&sid=" + sid})
			abandoned <- err
		}()
		synctest.Wait()
		time.AfterFunc(time.Millisecond, cancel)
		expect(t, h.Poll(sid), 400, "")
		if err := <-abandoned; err == nil {
			t.Error("the first was answered")
		}
		(<-h.sessions).expectClosed(t, engineio.TransportError)
		expect(t, h.Poll(sid), 400, unknownSession)
	})
}

// Two polls can change places on their way through the server. One that the client has given up is then not the second.
func TestAbandonedPollThatComesLate(t *testing.T) {
	bubble(t, func(t *testing.T) {
		h := serve(t, engineio.Config{})
		sid := h.Open()
		polled := h.poll(t, sid)
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		h.Do(ctx, wiretest.Request{Query: "EIO=4&transport=polling&sid=" + sid})
		expect(t, <-polled, 400, unknownSession)
		(<-h.sessions).expectClosed(t, engineio.TransportError)
	})
}

func TestCompression(t *testing.T) {
	bubble(t, func(t *testing.T) {
		h := serve(t, engineio.Config{Compress: true})
		sid := h.Open()
		c := (<-h.sessions).conn
		for _, test := range []struct {
			size       int
			accept     string
			compressed bool
		}{
			{1023, "gzip, deflate", true}, {1022, "gzip, deflate", false}, {5000, "", false}, {5000, "br, GZIP;q=0.5", true}, {5000, "gzip;q=0", false},
		} {
			m := strings.Repeat("x", test.size)
			c.Send(text(m))
			a, err := h.Do(t.Context(), wiretest.Request{
				Query: "EIO=4&transport=polling&sid=" + sid, Header: http.Header{"Accept-Encoding": {test.accept}},
			})
			if err != nil {
				t.Fatal(err)
			}
			body := a.Body
			if got := a.Header.Get("Content-Encoding") == "gzip"; got != test.compressed {
				t.Errorf("%d bytes for %q: compressed %t", test.size, test.accept, got)
			} else if got {
				z, err := gzip.NewReader(strings.NewReader(a.Body))
				if err != nil {
					t.Fatal(err)
				}
				b, err := io.ReadAll(z)
				if err != nil {
					t.Fatal(err)
				}
				body = string(b)
			}
			if body != "4"+m {
				t.Errorf("%d bytes for %q: got %d", test.size, test.accept, len(body))
			}
		}
	})
}
