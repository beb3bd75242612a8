package engineio_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"loupe/socketio/engineio"
	"loupe/socketio/internal/wiretest"
)

// These tests use the network: the client dials by address.

func listen(t *testing.T, cfg engineio.Config, receive func(*recorder, engineio.Message)) (url string, sessions <-chan *recorder) {
	h := newHost(cfg)
	h.receive = receive
	addr, _ := wiretest.ServeTCP(t, h.server, wiretest.AnyPort)
	return "http://" + addr + "/engine.io/", h.sessions
}

func TestClient(t *testing.T) {
	t.Parallel()
	for _, transport := range []string{"websocket", "polling"} {
		t.Run(transport, func(t *testing.T) {
			t.Parallel()
			ctx := wiretest.Context(t)
			url, sessions := listen(t, engineio.Config{PingInterval: 20 * time.Millisecond}, echo)
			if transport == "websocket" {
				url = strings.Replace(url, "http", "ws", 1)
			}
			r := newRecorder()
			c, err := engineio.Dial(ctx, url, engineio.DialConfig{Transport: transport}, r)
			if err != nil {
				t.Fatal(err)
			}
			sent := []engineio.Message{text("one"), {Data: []byte{1, 2}, Binary: true}, text(strings.Repeat("é", 400_000)), {Data: make([]byte, 100_000), Binary: true}}
			if err := c.Send(ctx, sent...); err != nil {
				t.Fatal(err)
			}
			for i, want := range sent {
				if got := <-r.messages; string(got.Data) != string(want.Data) || got.Binary != want.Binary {
					t.Errorf("message %d: %d bytes, want %d", i, len(got.Data), len(want.Data))
				}
			}
			time.Sleep(100 * time.Millisecond) // some heartbeats
			server := <-sessions
			select {
			case reason := <-server.closed:
				t.Errorf("closed for %q", reason)
			default:
			}
			c.Close(ctx)
			if got := <-r.closed; got != engineio.ForcedClose {
				t.Errorf("client closed for %q", got)
			}
			if got := <-server.closed; got != engineio.TransportClose {
				t.Errorf("server closed for %q", got)
			}
			if err := c.Send(ctx, text("x")); !errors.Is(err, engineio.ErrClosed) {
				t.Errorf("send after close: %v", err)
			}
		})
	}
}

func TestClientIsTold(t *testing.T) {
	t.Parallel()
	for _, transport := range []string{"websocket", "polling"} {
		t.Run("the server closes, "+transport, func(t *testing.T) {
			t.Parallel()
			url, sessions := listen(t, engineio.Config{}, nil)
			r := newRecorder()
			c, err := engineio.Dial(t.Context(), url, engineio.DialConfig{Transport: transport}, r)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close(t.Context())
			(<-sessions).conn.Close(engineio.ForcedClose)
			if got := <-r.closed; got != engineio.TransportClose {
				t.Errorf("closed for %q", got)
			}
		})
	}
}

// A server that says it will ping soon, and does not.
func TestClientMissesPings(t *testing.T) {
	t.Parallel()
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Has("sid") {
			<-r.Context().Done()
			return
		}
		fmt.Fprint(w, `0{"sid":"x","pingInterval":50,"pingTimeout":50}`)
	}))
	defer web.Close()
	r := newRecorder()
	c, err := engineio.Dial(t.Context(), web.URL, engineio.DialConfig{Transport: "polling"}, r)
	if err != nil {
		t.Fatal(err)
	}
	if got := <-r.closed; got != engineio.PingTimeout {
		t.Errorf("closed for %q", got)
	}
	c.Close(t.Context())
}

func TestClientMeetsOtherServers(t *testing.T) {
	t.Parallel()
	for name, answer := range map[string]http.HandlerFunc{
		"an error":        func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "no", http.StatusTeapot) },
		"another page":    func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "<html>") },
		"another packet":  func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "4x") },
		"no sid":          func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "0{}") },
		"bad JSON":        func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "0{") },
		"an endless page": func(w http.ResponseWriter, _ *http.Request) { w.Write(make([]byte, 2000)) },
	} {
		for _, transport := range []string{"websocket", "polling"} {
			t.Run(name+" by "+transport, func(t *testing.T) {
				t.Parallel()
				web := httptest.NewServer(answer)
				defer web.Close()
				_, err := engineio.Dial(t.Context(), web.URL, engineio.DialConfig{Transport: transport, MaxPayload: 1000}, newRecorder())
				if err == nil {
					t.Fatal("no error")
				}
				if refusal, ok := errors.AsType[*engineio.HandshakeError](err); name == "an error" && (!ok || refusal.Status != http.StatusTeapot || refusal.Message != "no\n") {
					t.Errorf("error %v", err)
				}
			})
		}
	}
	t.Run("silence", func(t *testing.T) {
		t.Parallel()
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		for _, transport := range []string{"websocket", "polling"} {
			ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
			_, err := engineio.Dial(ctx, "http://"+l.Addr().String(), engineio.DialConfig{Transport: transport}, newRecorder())
			cancel()
			if err == nil {
				t.Error("no error")
			}
		}
	})
}
