package analyze_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"loupe/internal/analyze"
)

const nike = `{"brand": {"value": "Nike", "confidence": 0.95}}`

// answers starts a service that gives the same answer to everything.
func answers(t *testing.T, status int, header, body string) *analyze.Client {
	t.Helper()
	return serve(t, func(w http.ResponseWriter, _ *http.Request) {
		if name, value, ok := strings.Cut(header, ": "); ok {
			w.Header().Set(name, value)
		}
		w.WriteHeader(status)
		fmt.Fprint(w, body)
	})
}

func serve(t *testing.T, h http.HandlerFunc) *analyze.Client {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return client(t, analyze.Config{URL: s.URL})
}

func client(t *testing.T, cfg analyze.Config) *analyze.Client {
	t.Helper()
	c, err := analyze.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// failed returns the classified error of err, and fails the test if it is another.
func failed(t *testing.T, err error) *analyze.Error {
	t.Helper()
	var e *analyze.Error
	if !errors.As(err, &e) {
		t.Fatalf("got %v, want an *analyze.Error", err)
	}
	return e
}

func TestQuestion(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		base      string
		snakeCase bool
		target    string
		body      string
	}{
		"camel": {target: "/analyze", body: `{"imageUrl":"https://x/a.jpg?b=1&c=\"2\"","category":"sneaker"}`},
		"snake": {target: "/analyze", body: `{"image_url":"https://x/a.jpg?b=1&c=\"2\"","category":"sneaker"}`, snakeCase: true},
		"path":  {base: "/v1/ai/?key=k", target: "/v1/ai/analyze?key=k", body: `{"imageUrl":"https://x/a.jpg?b=1&c=\"2\"","category":"sneaker"}`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var got *http.Request
			var body []byte
			s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				got = r
				body, _ = io.ReadAll(r.Body)
				fmt.Fprint(w, nike)
			}))
			defer s.Close()
			withUser := strings.Replace(s.URL, "http://", "http://ai:pa%20ss@", 1)
			c := client(t, analyze.Config{URL: withUser + tt.base, SnakeCase: tt.snakeCase})
			_, err := c.Analyze(t.Context(), analyze.Request{
				ImageURL: `https://x/a.jpg?b=1&c="2"`, Category: "sneaker", AssetID: "507f1f77bcf86cd799439011", JobID: "job\r\n1é",
			})
			if err != nil {
				t.Fatal(err)
			}
			if got.Method != "POST" || got.RequestURI != tt.target {
				t.Errorf("asked %s %s, want POST %s", got.Method, got.RequestURI, tt.target)
			}
			if string(body) != tt.body {
				t.Errorf("body %s, want %s", body, tt.body)
			}
			for name, want := range map[string]string{
				"Content-Type": "application/json", "X-Asset-Id": "507f1f77bcf86cd799439011", "X-Job-Id": "job??1?", "X-Request-Id": "",
			} {
				if got.Header.Get(name) != want {
					t.Errorf("%s is %q, want %q", name, got.Header.Get(name), want)
				}
			}
			if user, password, _ := got.BasicAuth(); user != "ai" || password != "pa ss" {
				t.Errorf("basic authentication %q %q", user, password)
			}
		})
	}
}

func TestTraceparent(t *testing.T) {
	t.Parallel()
	var seen []string
	c := client(t, analyze.Config{URL: "http://ai", Transport: analyze.HandlerTransport(http.HandlerFunc(
		func(w http.ResponseWriter, r *http.Request) {
			seen = append(seen, r.Header.Get("traceparent"))
			fmt.Fprint(w, nike)
		}))})
	for _, id := range []string{"a", "a", "b"} {
		if _, err := c.Analyze(t.Context(), analyze.Request{AssetID: id}); err != nil {
			t.Fatal(err)
		}
	}
	form := regexp.MustCompile(`^00-([0-9a-f]{32})-([0-9a-f]{16})-01$`)
	var traces, spans []string
	for _, s := range seen {
		m := form.FindStringSubmatch(s)
		if m == nil {
			t.Fatalf("traceparent %q", s)
		}
		traces, spans = append(traces, m[1]), append(spans, m[2])
	}
	sum := sha256.Sum256([]byte("a"))
	if traces[0] != fmt.Sprintf("%x", sum[:16]) || traces[0] != traces[1] || traces[0] == traces[2] {
		t.Errorf("traces %v must be those of the assets a, a, b", traces)
	}
	if spans[0] == spans[1] {
		t.Errorf("two attempts share span %s", spans[0])
	}
}

func TestStatuses(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		status     int
		header     string
		body       string
		class      analyze.Class
		message    string
		retryAfter time.Duration
	}{
		{status: 400, body: `{"error":{"code":"bad","message":"no such category"}}`, class: analyze.Permanent, message: "no such category"},
		{status: 401, body: `{"error":"who are you?"}`, class: analyze.Permanent, message: "who are you?"},
		{status: 403, class: analyze.Permanent, message: "answered 403 Forbidden"},
		{status: 404, body: "404 page not found\n", class: analyze.Permanent, message: "404 page not found"},
		{status: 409, class: analyze.Permanent, message: "answered 409 Conflict"},
		{status: 410, class: analyze.Permanent, message: "answered 410 Gone"},
		{status: 413, class: analyze.Permanent, message: "answered 413 Request Entity Too Large"},
		{status: 415, class: analyze.Permanent, message: "answered 415 Unsupported Media Type"},
		{status: 418, class: analyze.Permanent, message: "answered 418 I'm a teapot"},
		{status: 422, body: `{"detail":"unprocessable_image"}`, class: analyze.Permanent, message: "unprocessable_image"},
		{
			status: 422, class: analyze.Permanent, message: "body.image_url: Field required; body.x.0: Extra inputs are not permitted",
			body: `{"detail":[{"type":"missing","loc":["body","image_url"],"msg":"Field required"},
				{"loc":["body","x",0],"msg":"Extra inputs are not permitted"}]}`,
		},
		{status: 499, class: analyze.Permanent, message: "answered 499"},

		{status: 408, class: analyze.Transient, message: "answered 408 Request Timeout"},
		{status: 425, class: analyze.Transient, message: "answered 425 Too Early"},
		{status: 500, body: `{"error":{"message":""},"detail":null}`, class: analyze.Transient, message: `{"error":{"message":""},"detail":null}`},
		{status: 500, body: "\x1b[2J\x00Traceback:\r\n\toops \xff", class: analyze.Transient, message: "[2J Traceback: oops"},
		{status: 500, body: strings.Repeat("é", 300), class: analyze.Transient, message: strings.Repeat("é", 200)},
		{status: 500, body: `{"error":"` + strings.Repeat("é", 600) + `"}`, class: analyze.Transient, message: strings.Repeat("é", 500)},
		{status: 501, class: analyze.Transient, message: "answered 501 Not Implemented"},
		{status: 599, class: analyze.Transient, message: "answered 599"},

		{status: 429, class: analyze.RateLimited, message: "answered 429 Too Many Requests", retryAfter: 30 * time.Second},
		{status: 429, header: "Retry-After: soon", class: analyze.RateLimited, message: "answered 429 Too Many Requests", retryAfter: 30 * time.Second},
		{status: 429, header: "Retry-After: 7", body: `{"error":"slow down"}`, class: analyze.RateLimited, message: "slow down", retryAfter: 7 * time.Second},
		{status: 503, header: "Retry-After: 0", class: analyze.RateLimited, message: "answered 503 Service Unavailable", retryAfter: time.Second},
		{status: 503, header: "Retry-After: 86400", class: analyze.RateLimited, message: "answered 503 Service Unavailable", retryAfter: 5 * time.Minute},

		{status: 502, body: "<html>Bad Gateway</html>", class: analyze.Unavailable, message: "<html>Bad Gateway</html>"},
		{status: 502, header: "Retry-After: 7", class: analyze.Unavailable, message: "answered 502 Bad Gateway"},
		{status: 503, class: analyze.Unavailable, message: "answered 503 Service Unavailable"},
		{status: 503, header: "Retry-After: soon", class: analyze.Unavailable, message: "answered 503 Service Unavailable"},
		{status: 504, class: analyze.Unavailable, message: "answered 504 Gateway Timeout"},

		{status: 204, class: analyze.Permanent, message: "answered 204 No Content, not 200"},
		{status: 202, body: nike, class: analyze.Permanent, message: "answered 202 Accepted, not 200"},
		{
			status: 301, header: "Location: http://elsewhere/", class: analyze.Permanent,
			message: "answered 301 Moved Permanently to http://elsewhere/; redirects are not followed, configure the final address",
		},
		{
			status: 307, header: "Location: %zz", class: analyze.Permanent,
			message: "answered 307 Temporary Redirect to %zz; redirects are not followed, configure the final address",
		},
	} {
		t.Run(fmt.Sprint(tt.status, " ", tt.header), func(t *testing.T) {
			t.Parallel()
			_, err := answers(t, tt.status, tt.header, tt.body).Analyze(t.Context(), analyze.Request{})
			want := &analyze.Error{Class: tt.class, Status: tt.status, Message: tt.message, RetryAfter: tt.retryAfter}
			if diff := cmp.Diff(want, failed(t, err)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestRawAnswers speaks TCP itself: what a service that dies, or is none, sends.
func TestRawAnswers(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		answer  string
		reset   bool
		class   analyze.Class // "" for success
		status  int
		message string
	}{
		"closed without a word":   {class: analyze.Transient, message: "no answer: EOF"},
		"reset without a word":    {reset: true, class: analyze.Transient, message: "no answer: "},
		"no HTTP":                 {answer: "SSH-2.0-OpenSSH_9\r\n", class: analyze.Transient, message: "no answer: net/http: HTTP/1.x transport connection broken: malformed HTTP"},
		"cut in the head":         {answer: "HTTP/1.1 200 OK\r\nContent-Le", class: analyze.Transient, message: "no answer: net/http"},
		"cut in a sized body":     {answer: "HTTP/1.1 200 OK\r\nContent-Length: 60\r\n\r\n" + nike, class: analyze.Transient, message: "answer broke off: unexpected EOF"},
		"reset in a sized body":   {answer: "HTTP/1.1 200 OK\r\nContent-Length: 60\r\n\r\n" + nike, reset: true, class: analyze.Transient, message: "answer broke off: "},
		"cut in a chunk":          {answer: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nff\r\n" + nike, class: analyze.Transient, message: "answer broke off: unexpected EOF"},
		"cut in an unsized body":  {answer: "HTTP/1.1 200 OK\r\n\r\n" + nike[:20], class: analyze.Transient, status: 200, message: "answer broke off"},
		"cut before the body":     {answer: "HTTP/1.1 200 OK\r\n\r\n", class: analyze.Transient, status: 200, message: "answer broke off"},
		"whole unsized body":      {answer: "HTTP/1.1 200 OK\r\n\r\n" + nike},
		"truncated by the sender": {answer: "HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n" + nike[:20], class: analyze.Permanent, status: 200, message: "invalid answer: JSON ends too early"},
		"cut words of a refusal":  {answer: "HTTP/1.1 422 No\r\nContent-Length: 60\r\n\r\nblurred", class: analyze.Permanent, status: 422, message: "blurred"},
		"endless header":          {answer: "HTTP/1.1 200 OK\r\nX: " + strings.Repeat("x", 80<<10), class: analyze.Transient, message: "no answer: net/http"},
		"too large by its length": {answer: "HTTP/1.1 200 OK\r\nContent-Length: 1048577\r\n\r\n", class: analyze.Permanent, status: 200, message: "invalid answer: larger than 1048576 bytes"},
		"too large by its bytes":  {answer: "HTTP/1.1 200 OK\r\n\r\n" + strings.Repeat(" ", 1<<20) + "x", class: analyze.Permanent, status: 200, message: "invalid answer: larger than 1048576 bytes"},
		"as large as may be":      {answer: "HTTP/1.1 200 OK\r\n\r\n" + strings.Repeat(" ", 1<<20-len(nike)) + nike},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := client(t, analyze.Config{URL: "http://" + listen(t, func(conn net.Conn) {
				fmt.Fprint(conn, tt.answer)
				if tt.reset {
					_ = conn.(*net.TCPConn).SetLinger(0)
				}
			})})
			_, err := c.Analyze(t.Context(), analyze.Request{})
			if tt.class == "" {
				if err != nil {
					t.Fatal(err)
				}
				return
			}
			e := failed(t, err)
			if e.Class != tt.class || e.Status != tt.status || !strings.HasPrefix(e.Message, tt.message) {
				t.Errorf("got %s, status %d, %q; want %s, status %d, %q…", e.Class, e.Status, e.Message, tt.class, tt.status, tt.message)
			}
		})
	}
}

// listen accepts connections, reads one request from each, lets answer write to it, and closes it.
func listen(t *testing.T, answer func(net.Conn)) (address string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			buf := make([]byte, 4096)
			for got := ""; !strings.HasSuffix(got, "}"); {
				n, err := conn.Read(buf)
				if err != nil {
					break
				}
				got += string(buf[:n])
			}
			answer(conn)
			conn.Close()
		}
	}()
	return l.Addr().String()
}

func TestUnavailable(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed := l.Addr().String()
	l.Close()
	silent, err := net.Listen("tcp", "127.0.0.1:0") // accepts by its backlog, never shakes hands
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	plain := httptest.NewServer(http.NotFoundHandler())
	defer plain.Close()
	untrusted := httptest.NewUnstartedServer(http.NotFoundHandler())
	untrusted.Config.ErrorLog = discardLog()
	untrusted.StartTLS()
	defer untrusted.Close()

	for name, tt := range map[string]struct {
		cfg     analyze.Config
		message string
	}{
		"connection refused": {analyze.Config{URL: "http://" + closed}, "connection refused"},
		"no such name":       {analyze.Config{URL: "http://ai.invalid"}, "ai.invalid"},
		"TLS silence":        {analyze.Config{URL: "https://" + silent.Addr().String(), ConnectTimeout: 50 * time.Millisecond}, "time"}, // ours or that of the TLS handshake
		"TLS to plain HTTP":  {analyze.Config{URL: strings.Replace(plain.URL, "http", "https", 1)}, "does not look like a TLS handshake"},
		"unknown authority":  {analyze.Config{URL: untrusted.URL}, "certificate"},
	} {
		t.Run(name, func(t *testing.T) {
			c := client(t, tt.cfg)
			_, err := c.Analyze(t.Context(), analyze.Request{})
			for _, err := range []error{err, c.Health(t.Context())} {
				e := failed(t, err)
				if e.Class != analyze.Unavailable || e.Status != 0 || e.Err == nil ||
					!strings.HasPrefix(e.Message, "no connection: ") || !strings.Contains(e.Message, tt.message) {
					t.Errorf("got %s %q, want unavailable, no connection: …%s…", e.Class, e.Message, tt.message)
				}
			}
		})
	}
}

func TestTimeouts(t *testing.T) {
	t.Parallel()
	wait := func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }
	drip := func(w http.ResponseWriter, r *http.Request) {
		for tick := time.NewTicker(time.Second); ; {
			select {
			case <-tick.C:
				fmt.Fprint(w, " ")
			case <-r.Context().Done():
				return
			}
		}
	}
	for name, tt := range map[string]struct {
		transport http.RoundTripper
		after     time.Duration
		class     analyze.Class
		message   string
	}{
		"no answer":      {analyze.HandlerTransport(http.HandlerFunc(wait)), 90 * time.Second, analyze.Transient, "no answer: no answer in time (1m30s)"},
		"endless answer": {analyze.HandlerTransport(http.HandlerFunc(drip)), 90 * time.Second, analyze.Transient, "answer broke off: no answer in time (1m30s)"},
		"no connection": {&http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}}, 5 * time.Second, analyze.Unavailable, "no connection: no connection in time (5s)"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				c := client(t, analyze.Config{URL: "http://ai", Transport: tt.transport})
				start := time.Now()
				_, err := c.Analyze(t.Context(), analyze.Request{})
				if took := time.Since(start); took != tt.after {
					t.Errorf("took %v, want %v", took, tt.after)
				}
				if e := failed(t, err); e.Class != tt.class || e.Message != tt.message {
					t.Errorf("got %s %q, want %s %q", e.Class, e.Message, tt.class, tt.message)
				}
			})
		})
	}
}

func TestCancelled(t *testing.T) {
	t.Parallel()
	mine := errors.New("shutting down")
	for name, h := range map[string]func(cancel func()) http.HandlerFunc{
		"before the answer": func(cancel func()) http.HandlerFunc {
			return func(_ http.ResponseWriter, r *http.Request) {
				cancel()
				<-r.Context().Done()
			}
		},
		"in mid-answer": func(cancel func()) http.HandlerFunc {
			return func(w http.ResponseWriter, r *http.Request) {
				fmt.Fprint(w, nike[:20])
				w.(http.Flusher).Flush()
				cancel()
				<-r.Context().Done()
			}
		},
		"in the words of a refusal": func(cancel func()) http.HandlerFunc {
			return func(w http.ResponseWriter, r *http.Request) {
				w.WriteHeader(422)
				w.(http.Flusher).Flush()
				cancel()
				<-r.Context().Done()
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithCancelCause(t.Context())
			handler := func(w http.ResponseWriter, r *http.Request) {
				_, _ = io.Copy(io.Discard, r.Body) // a server notices that its client is gone only after that
				h(func() { cancel(mine) })(w, r)
			}
			for _, c := range []*analyze.Client{
				serve(t, handler),
				client(t, analyze.Config{URL: "http://ai", Transport: analyze.HandlerTransport(http.HandlerFunc(handler))}),
			} {
				_, err := c.Analyze(ctx, analyze.Request{})
				if e := (*analyze.Error)(nil); !errors.Is(err, mine) || errors.As(err, &e) {
					t.Errorf("got %v, want the cause without a class", err)
				}
			}
		})
	}
}

func TestHealth(t *testing.T) {
	t.Parallel()
	var asked atomic.Value
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		asked.Store(r.Method + " " + r.URL.Path)
		w.WriteHeader(204)
	})
	if err := c.Health(t.Context()); err != nil || asked.Load() != "GET /health" {
		t.Errorf("asked %v, got %v", asked.Load(), err)
	}
	if e := failed(t, answers(t, 404, "", "").Health(t.Context())); e.Status != 404 {
		t.Errorf("got %+v, want status 404", e)
	}
	if e := failed(t, answers(t, 503, "", "").Health(t.Context())); e.Class != analyze.Unavailable {
		t.Errorf("got %+v, want unavailable", e)
	}
}

func TestConnectionIsReused(t *testing.T) {
	t.Parallel()
	var fails atomic.Bool
	c := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		if fails.Load() {
			w.WriteHeader(500)
			fmt.Fprint(w, strings.Repeat("x", 100<<10))
			return
		}
		fmt.Fprint(w, nike)
	})
	var reused []bool
	ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{
		GotConn: func(i httptrace.GotConnInfo) { reused = append(reused, i.Reused) },
	})
	for i := range 3 {
		fails.Store(i == 1)
		if _, err := c.Analyze(ctx, analyze.Request{}); (err != nil) != (i == 1) {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff([]bool{false, true, true}, reused); diff != "" {
		t.Error(diff)
	}
}

func TestNewRefuses(t *testing.T) {
	t.Parallel()
	for _, u := range []string{"", "localhost:8000", "/analyze", "ftp://ai", "http://", "http://:80", "http://u:secret@ai:port", "//u:secret@ai"} {
		_, err := analyze.New(analyze.Config{URL: u})
		if err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("URL %q: got %v", u, err)
		}
	}
	if _, err := analyze.New(analyze.Config{URL: "http://ai", Timeout: -1}); err == nil {
		t.Error("a negative timeout was accepted")
	}
}
