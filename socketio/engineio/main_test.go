package engineio_test

import (
	"context"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"loupe/socketio/engineio"
	"loupe/socketio/internal/wiretest"
)

func TestMain(m *testing.M) { wiretest.Main(m) }

var bubble = wiretest.Bubble

// recorder is a Receiver that keeps what it is told. Its channels are large enough never to block it.
type recorder struct {
	conn     *engineio.Conn
	messages chan engineio.Message
	closed   chan engineio.Reason
	receive  func(engineio.Message) // instead of keeping the message
}

func (r *recorder) Receive(m engineio.Message) {
	if r.receive != nil {
		r.receive(m)
		return
	}
	r.messages <- m
}

func (r *recorder) Closed(reason engineio.Reason) { r.closed <- reason }

// host is a server whose sessions are handed to the test.
type host struct {
	*wiretest.Peer
	server   *engineio.Server
	sessions chan *recorder
	receive  func(*recorder, engineio.Message)
}

func newRecorder() *recorder {
	return &recorder{messages: make(chan engineio.Message, 20_000), closed: make(chan engineio.Reason, 2)}
}

func newHost(cfg engineio.Config) *host {
	h := &host{sessions: make(chan *recorder, 1000)}
	h.server = engineio.NewServer(cfg, func(c *engineio.Conn, _ *http.Request) (engineio.Receiver, error) {
		r := newRecorder()
		r.conn = c
		if h.receive != nil {
			r.receive = func(m engineio.Message) { h.receive(r, m) }
		}
		h.sessions <- r
		return r, nil
	})
	return h
}

// serve serves in memory.
func serve(t *testing.T, cfg engineio.Config) *host {
	h := newHost(cfg)
	path := cfg.Path
	if path == "" {
		path = "/engine.io/"
	}
	h.Peer = wiretest.Serve(t, h.server, path)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := h.server.Close(ctx); err != nil {
			t.Errorf("closing the server: %v", err)
		}
		if n := h.server.Stats().Connections; n != 0 {
			t.Errorf("%d sessions left", n)
		}
	})
	return h
}

func echo(r *recorder, m engineio.Message) { r.conn.Send(m) }

func (r *recorder) expectClosed(t *testing.T, want engineio.Reason) {
	t.Helper()
	if got := <-r.closed; got != want {
		t.Errorf("closed for %q, want %q", got, want)
	}
	synctest.Wait()
	select {
	case again := <-r.closed:
		t.Errorf("closed again for %q", again)
	default:
	}
}

func (r *recorder) expectMessage(t *testing.T, want string) {
	t.Helper()
	if got := string((<-r.messages).Data); got != want {
		t.Errorf("received %q, want %q", got, want)
	}
}

// poll starts a GET and returns where its answer will come.
func (h *host) poll(t *testing.T, sid string) <-chan wiretest.Answer {
	answers := make(chan wiretest.Answer, 1)
	go func() {
		a, err := h.Do(t.Context(), wiretest.Request{Query: "EIO=4&transport=polling&sid=" + sid})
		if err != nil {
			a.Body = err.Error()
		}
		answers <- a
	}()
	synctest.Wait()
	return answers
}

func expect(t *testing.T, a wiretest.Answer, status int, body string) {
	t.Helper()
	if a.Status != status || a.Body != body {
		t.Errorf("answer %d %.200q, want %d %.200q", a.Status, a.Body, status, body)
	}
}

const unknownSession = `{"code":1,"message":"Session ID unknown"}`

func text(s string) engineio.Message { return engineio.Message{Data: []byte(s)} }
