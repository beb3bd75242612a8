package engineio_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"loupe/socketio/engineio"
	"loupe/socketio/internal/wiretest"
)

// The table of errors: what Node answers, and in what order it checks.
func TestRefusedRequests(t *testing.T) {
	bubble(t, func(t *testing.T) {
		h := serve(t, engineio.Config{})
		sid := h.Open()
		onWebSocket := h.Open()
		h.Upgrade(onWebSocket)
		const (
			transport = `{"code":0,"message":"Transport unknown"}`
			method    = `{"code":2,"message":"Bad handshake method"}`
			request   = `{"code":3,"message":"Bad request"}`
			version   = `{"code":5,"message":"Unsupported protocol version"}`
		)
		for _, c := range []struct {
			name, method, query string
			status              int
			body                string
		}{
			{"no transport", "GET", "EIO=4", 400, transport},
			{"unknown transport", "GET", "EIO=4&transport=pigeon", 400, transport},
			{"the last transport counts", "GET", "EIO=4&transport=polling&transport=pigeon", 400, transport},
			{"transport before sid", "GET", "EIO=4&transport=pigeon&sid=x", 400, transport},
			{"unknown sid", "GET", "EIO=4&transport=polling&sid=x", 400, unknownSession},
			{"unknown sid before a missing upgrade", "GET", "EIO=4&transport=websocket&sid=x", 400, unknownSession},
			{"empty sid is none", "POST", "EIO=4&transport=polling&sid=", 400, method},
			{"sid before method", "POST", "EIO=4&transport=polling&sid=x", 400, unknownSession},
			{"handshake by POST", "POST", "EIO=4&transport=polling", 400, method},
			{"handshake by HEAD", "HEAD", "EIO=4&transport=polling", 400, ""},
			{"handshake by OPTIONS without CORS", "OPTIONS", "EIO=4&transport=polling", 400, method},
			{"method before version", "POST", "EIO=3&transport=polling", 400, method},
			{"websocket without an upgrade", "GET", "EIO=4&transport=websocket", 400, request},
			{"websocket without an upgrade, with sid", "GET", "EIO=4&transport=websocket&sid=" + sid, 400, request},
			{"polling on a WebSocket", "GET", "EIO=4&transport=polling&sid=" + onWebSocket, 400, request},
			{"POST on a WebSocket", "POST", "EIO=4&transport=polling&sid=" + onWebSocket, 400, request},
			{"JSONP, which Node still serves", "GET", "EIO=4&transport=polling&j=0", 400, request},
			{"version before a missing upgrade", "GET", "EIO=3&transport=websocket", 400, version},
			{"no version", "GET", "transport=polling", 400, version},
			{"version 3", "GET", "EIO=3&transport=polling", 400, version},
			{"PUT", "PUT", "EIO=4&transport=polling&sid=" + sid, 500, ""},
			{"DELETE", "DELETE", "EIO=4&transport=polling&sid=" + sid, 500, ""},
			{"OPTIONS", "OPTIONS", "EIO=4&transport=polling&sid=" + sid, 500, ""},
			{"a broken query", "GET", "EIO=4&transport=polling&sid=%zz&sid=x", 400, unknownSession},
		} {
			a, err := h.Do(t.Context(), wiretest.Request{Method: c.method, Query: c.query})
			if err != nil {
				t.Fatalf("%s: %v", c.name, err)
			}
			if a.Status != c.status || a.Body != c.body {
				t.Errorf("%s: %d %s, want %d %s", c.name, a.Status, a.Body, c.status, c.body)
			}
			if c.status == 400 && a.Header.Get("Content-Type") != "application/json" {
				t.Errorf("%s: content type %q", c.name, a.Header.Get("Content-Type"))
			}
		}
	})
}

// A refused WebSocket gets the bare message.
func TestRefusedWebSockets(t *testing.T) {
	bubble(t, func(t *testing.T) {
		h := serve(t, engineio.Config{})
		for _, c := range []struct{ query, want string }{
			{"EIO=4", "400 Transport unknown"},
			{"EIO=4&transport=polling", "400 Bad request"}, // Node answers 101 and hangs up
			{"EIO=4&transport=websocket&sid=x", "400 Session ID unknown"},
			{"EIO=3&transport=websocket", "400 Unsupported protocol version"}, // Node answers 101 and then 400
			{"transport=websocket", "400 Unsupported protocol version"},
		} {
			if _, err := h.Dial(c.query, nil); err == nil || err.Error() != c.want {
				t.Errorf("%s: %v, want %s", c.query, err, c.want)
			}
		}
		for _, header := range []http.Header{
			{"Sec-WebSocket-Key": {"short"}, "Sec-WebSocket-Version": {"13"}},
			{"Sec-WebSocket-Version": {"13"}},
			{"Sec-WebSocket-Key": {"AAAAAAAAAAAAAAAAAAAAAA=="}, "Sec-WebSocket-Version": {"8"}},
		} {
			header.Set("Upgrade", "websocket")
			header.Set("Connection", "Upgrade")
			a, err := h.Do(t.Context(), wiretest.Request{Query: "EIO=4&transport=websocket", Header: header})
			if err != nil {
				t.Fatal(err)
			}
			expect(t, a, 400, "Bad request")
		}
		if n := h.server.Stats().Refused; n != 8 {
			t.Errorf("%d requests counted as refused, want 8", n)
		}
	})
}

func TestHandshakeAnswer(t *testing.T) {
	bubble(t, func(t *testing.T) {
		h := serve(t, engineio.Config{})
		a := h.Get("EIO=4&transport=polling&t=anything")
		sid := wiretest.SID(t, a.Body)
		expect(t, a, 200, `0{"sid":"`+sid+`","upgrades":["websocket"],"pingInterval":25000,"pingTimeout":20000,"maxPayload":1000000}`)
		for name, want := range map[string]string{
			"Content-Type": "text/plain; charset=UTF-8", "Cache-Control": "no-store", "Set-Cookie": "",
		} {
			if got := a.Header.Get(name); got != want {
				t.Errorf("%s: %q, want %q", name, got, want)
			}
		}
		other := h.Open()
		if other == sid {
			t.Error("two sessions with one sid")
		}
	})
}

func TestPaths(t *testing.T) {
	bubble(t, func(t *testing.T) {
		h := serve(t, engineio.Config{Path: "/socket.io/"})
		for path, want := range map[string]int{
			"/socket.io/": 200, "/socket.io/foo/bar": 200, "/socket.io": 404, "/socket.iox/": 404, "/": 404,
		} {
			a, err := h.At(path).Do(t.Context(), wiretest.Request{Query: "EIO=4&transport=polling"})
			if err != nil || a.Status != want {
				t.Errorf("%s: %d %v, want %d", path, a.Status, err, want)
			}
		}
	})
}

func TestAcceptCanRefuse(t *testing.T) {
	bubble(t, func(t *testing.T) {
		srv := engineio.NewServer(engineio.Config{}, func(*engineio.Conn, *http.Request) (engineio.Receiver, error) {
			return nil, errors.New("not today")
		})
		p := wiretest.Serve(t, srv, "/engine.io/")
		expect(t, p.Get("EIO=4&transport=polling"), 403, `{"code":4,"message":"not today"}`)
		if _, err := p.Dial("EIO=4&transport=websocket", nil); err == nil || err.Error() != "400 not today" {
			t.Errorf("websocket: %v", err)
		}
		if n := srv.Stats().Connections; n != 0 {
			t.Errorf("%d sessions left", n)
		}
		if err := srv.Close(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// What a session keeps of its first request.
func TestKeptOfTheRequest(t *testing.T) {
	bubble(t, func(t *testing.T) {
		h := serve(t, engineio.Config{KeepHeaders: []string{"x-kept"}})
		ask := func(query string, header http.Header) int {
			a, err := h.Do(t.Context(), wiretest.Request{Query: query, Header: header})
			if err != nil {
				t.Fatal(err)
			}
			return a.Status
		}
		ask("EIO=4&transport=polling&a=1&a=2", http.Header{"X-Kept": {"k", "l"}, "X-Other": {"o"}})
		c := (<-h.sessions).conn
		if got := c.Header(); len(got) != 1 || strings.Join(got.Values("X-Kept"), " ") != "k l" {
			t.Errorf("header %v", got)
		}
		if got := c.Query()["a"]; strings.Join(got, " ") != "1 2" {
			t.Errorf("query %v", got)
		}
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/engine.io/?EIO=4&transport=polling", nil)
		r.Header["X-Kept"] = []string{"k\nX-Forged: f"} // as only the server's own code could do it
		w := httptest.NewRecorder()
		if h.server.ServeHTTP(w, r); w.Code != 400 {
			t.Errorf("a header of two lines: %d", w.Code)
		}
		if c.RemoteAddr() == "" || c.WebSocket() {
			t.Errorf("remote %q, on a WebSocket: %t", c.RemoteAddr(), c.WebSocket())
		}
		if status := ask("EIO=4&transport=polling&a="+strings.Repeat("x", 16<<10), nil); status != 400 {
			t.Errorf("a long query: %d", status)
		}
		if status := ask("EIO=4&transport=polling", http.Header{"X-Kept": {strings.Repeat("x", 16<<10)}}); status != 400 {
			t.Errorf("a long header: %d", status)
		}
		if status := ask("EIO=4&transport=polling", http.Header{"X-Other": {strings.Repeat("x", 16<<10)}}); status != 200 {
			t.Errorf("a long header that is not kept: %d", status)
		}
	})
}

func TestMaxConnections(t *testing.T) {
	bubble(t, func(t *testing.T) {
		h := serve(t, engineio.Config{MaxConnections: 2})
		h.Open()
		w := h.OpenWebSocket()
		expect(t, h.Get("EIO=4&transport=polling"), 503, "too many connections")
		if _, err := h.Dial("EIO=4&transport=websocket", nil); err == nil {
			t.Error("a third connection")
		}
		w.Send("1")
		w.ExpectClose()
		h.Open()
	})
}

func TestOrigins(t *testing.T) {
	bubble(t, func(t *testing.T) {
		h := serve(t, engineio.Config{AllowedOrigins: []string{"https://app.example", "http://localhost:8080/"}})
		for origin, allowed := range map[string]bool{
			"":                         true, // no browser, or the same origin
			"https://app.example":      true,
			"HTTPS://APP.example":      true,
			"http://localhost:8080":    true,
			"http://server":            true, // the server's own
			"https://app.example.evil": false,
			"https://evil.example":     false,
			"http://app.example":       false,
			"null":                     false,
			"://":                      false,
		} {
			header := http.Header{}
			if origin != "" {
				header.Set("Origin", origin)
			}
			a, err := h.Do(t.Context(), wiretest.Request{Query: "EIO=4&transport=polling", Header: header})
			if err != nil {
				t.Fatal(err)
			}
			if want := map[bool]int{true: 200, false: 403}[allowed]; a.Status != want {
				t.Errorf("%q by polling: %d, want %d", origin, a.Status, want)
			}
			if !allowed && a.Body != `{"code":4,"message":"Forbidden"}` {
				t.Errorf("%q: %s", origin, a.Body)
			}
			w, err := h.Dial("EIO=4&transport=websocket", header)
			if (err == nil) != allowed {
				t.Errorf("%q by WebSocket: %v", origin, err)
			}
			if w != nil {
				w.Close()
			}
		}
	})
}

func TestCORSHeaders(t *testing.T) {
	for _, c := range []struct {
		name   string
		cfg    engineio.Config
		origin string
		want   map[string]string // of every answer
	}{
		{"off", engineio.Config{}, "http://server", map[string]string{}},
		{
			"listed",
			engineio.Config{AllowedOrigins: []string{"https://a.example"}},
			"https://a.example",
			map[string]string{"Access-Control-Allow-Origin": "https://a.example", "Vary": "Origin"},
		},
		{
			"listed, credentials",
			engineio.Config{AllowedOrigins: []string{"https://a.example"}, AllowCredentials: true},
			"https://a.example",
			map[string]string{
				"Access-Control-Allow-Origin": "https://a.example", "Access-Control-Allow-Credentials": "true", "Vary": "Origin",
			},
		},
		{
			"not listed",
			engineio.Config{AllowedOrigins: []string{"https://a.example"}, AllowCredentials: true},
			"https://b.example",
			map[string]string{"Vary": "Origin"},
		},
		{
			"any, never with credentials",
			engineio.Config{AllowedOrigins: []string{"*"}, AllowCredentials: true},
			"https://b.example",
			map[string]string{"Access-Control-Allow-Origin": "*"},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				h := serve(t, c.cfg)
				for _, r := range []wiretest.Request{
					{Query: "EIO=4&transport=polling"},
					{Query: "EIO=4&transport=pigeon"}, // errors carry them too
					{Method: "OPTIONS", Query: "EIO=4&transport=polling"},
				} {
					r.Header = http.Header{"Origin": {c.origin}}
					a, err := h.Do(t.Context(), r)
					if err != nil {
						t.Fatal(err)
					}
					for _, name := range []string{"Access-Control-Allow-Origin", "Access-Control-Allow-Credentials", "Vary"} {
						if got := a.Header.Get(name); got != c.want[name] {
							t.Errorf("%s %s: %s: %q, want %q", r.Method, r.Query, name, got, c.want[name])
						}
					}
				}
			})
		})
	}
}

func TestPreflight(t *testing.T) {
	bubble(t, func(t *testing.T) {
		h := serve(t, engineio.Config{AllowedOrigins: []string{"https://a.example"}})
		a, err := h.Do(t.Context(), wiretest.Request{Method: "OPTIONS", Header: http.Header{
			"Origin": {"https://a.example"}, "Access-Control-Request-Headers": {"x-one, x-two"},
		}})
		if err != nil {
			t.Fatal(err)
		}
		expect(t, a, 204, "")
		for name, want := range map[string]string{
			"Access-Control-Allow-Methods": "GET,POST", "Access-Control-Allow-Headers": "x-one, x-two",
		} {
			if got := a.Header.Get(name); got != want {
				t.Errorf("%s: %q, want %q", name, got, want)
			}
		}
		if got := strings.Join(a.Header.Values("Vary"), ","); got != "Origin,Access-Control-Request-Headers" {
			t.Errorf("Vary: %q", got)
		}
	})
}
