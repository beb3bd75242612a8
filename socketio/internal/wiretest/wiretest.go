// Package wiretest lets tests speak to a server byte by byte over connections in memory, so that they can run in a
// [testing/synctest] bubble, where hours pass in no time.
package wiretest

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gobwas/ws"
)

// Main runs the tests of a package and fails if goroutines are left behind, unless it is fuzzing, which has its own.
func Main(m *testing.M) {
	before := runtime.NumGoroutine()
	code := m.Run()
	if f := flag.Lookup("test.fuzz"); f != nil && f.Value.String() != "" {
		os.Exit(code)
	}
	for end := time.Now().Add(2 * time.Second); code == 0 && runtime.NumGoroutine() > before; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			stacks := make([]byte, 1<<20)
			fmt.Fprintf(os.Stderr, "goroutines left:\n%s\n", stacks[:runtime.Stack(stacks, true)])
			code = 1
		}
	}
	os.Exit(code)
}

// Listener accepts connections in memory. The address does not matter.
type Listener struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

// NewListener returns a listener that nobody has dialled yet.
func NewListener() *Listener {
	return &Listener{conns: make(chan net.Conn), closed: make(chan struct{})}
}

// Accept implements [net.Listener].
func (l *Listener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

// Close implements [net.Listener].
func (l *Listener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

// Addr implements [net.Listener]; nobody can dial it.
func (l *Listener) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1} }

// Dial connects to the listener.
func (l *Listener) Dial(ctx context.Context) (net.Conn, error) {
	here, there := net.Pipe()
	select {
	case l.conns <- there:
		return here, nil
	case <-l.closed:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Peer speaks to a server. Its methods that return no error fail the test when the server can not be reached.
type Peer struct {
	t    *testing.T
	dial func(context.Context) (net.Conn, error)
	http *http.Client
	path string
}

// Serve serves h in memory until the test ends and returns a peer for the server's path.
func Serve(t *testing.T, h http.Handler, path string) *Peer {
	l := NewListener()
	srv := &http.Server{Handler: h}
	done := make(chan struct{})
	go func() {
		defer close(done)
		srv.Serve(l)
	}()
	t.Cleanup(func() {
		srv.Close()
		<-done
	})
	return NewPeer(t, l.Dial, path)
}

// NewPeer returns a peer for the path of the server that dial connects to.
func NewPeer(t *testing.T, dial func(context.Context) (net.Conn, error), path string) *Peer {
	p := &Peer{t: t, dial: dial, path: path}
	tr := &http.Transport{
		DialContext:        func(ctx context.Context, _, _ string) (net.Conn, error) { return dial(ctx) },
		DisableCompression: true,
	}
	p.http = &http.Client{Transport: tr}
	t.Cleanup(tr.CloseIdleConnections)
	return p
}

// Answer is what an HTTP request got.
type Answer struct {
	Status int
	Body   string
	Header http.Header
}

// Request describes an HTTP request; the zero values are a GET without body or headers.
type Request struct {
	Method string
	Query  string // with the EIO and transport parameters, if they are wanted
	Body   string
	Header http.Header
}

// Do sends a request and waits for the answer. It may be called from any goroutine.
func (p *Peer) Do(ctx context.Context, r Request) (Answer, error) {
	var body io.Reader = http.NoBody
	if r.Body != "" {
		body = strings.NewReader(r.Body)
	}
	req, err := http.NewRequestWithContext(ctx, r.Method, "http://server"+p.path+"?"+r.Query, body)
	if err != nil {
		return Answer{}, err
	}
	for k, vs := range r.Header {
		req.Header[k] = vs
	}
	if host := r.Header.Get("Host"); host != "" {
		req.Host = host
	}
	resp, err := p.http.Do(req)
	if err != nil {
		return Answer{}, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return Answer{resp.StatusCode, string(b), resp.Header}, err
}

func (p *Peer) must(r Request) Answer {
	p.t.Helper()
	a, err := p.Do(p.t.Context(), r)
	if err != nil {
		p.t.Fatalf("%s ?%s: %v", r.Method, r.Query, err)
	}
	return a
}

// Get sends a GET with the query.
func (p *Peer) Get(query string) Answer {
	p.t.Helper()
	return p.must(Request{Query: query})
}

// Poll sends a GET for the session.
func (p *Peer) Poll(sid string) Answer {
	p.t.Helper()
	return p.Get("EIO=4&transport=polling&sid=" + sid)
}

// Post sends a body for the session.
func (p *Peer) Post(sid, body string) Answer {
	p.t.Helper()
	return p.must(Request{
		Method: http.MethodPost, Query: "EIO=4&transport=polling&sid=" + sid, Body: body,
		Header: http.Header{"Content-Type": {"text/plain;charset=UTF-8"}},
	})
}

// Open opens a session on polling and returns its sid.
func (p *Peer) Open() (sid string) {
	p.t.Helper()
	return SID(p.t, p.Get("EIO=4&transport=polling").Body)
}

// SID takes the sid out of an open packet.
func SID(t *testing.T, open string) string {
	t.Helper()
	_, rest, found := strings.Cut(open, `0{"sid":"`)
	if !found || len(rest) < 20 {
		t.Fatalf("not an open packet: %q", open)
	}
	return rest[:20]
}

// WebSocket is the client's end of a WebSocket.
type WebSocket struct {
	t    *testing.T
	Conn net.Conn
	in   io.Reader
}

// Dial opens a WebSocket with the query; the error is the server's refusal.
func (p *Peer) Dial(query string, header http.Header) (*WebSocket, error) {
	var status int
	var body []byte
	d := ws.Dialer{
		NetDial: func(ctx context.Context, _, _ string) (net.Conn, error) { return p.dial(ctx) },
		Header:  ws.HandshakeHeaderHTTP(header),
		OnStatusError: func(code int, _ []byte, r io.Reader) {
			status = code
			if resp, err := http.ReadResponse(bufio.NewReader(r), nil); err == nil {
				body, _ = io.ReadAll(resp.Body)
				resp.Body.Close()
			}
		},
	}
	conn, br, _, err := d.Dial(p.t.Context(), "ws://server"+p.path+"?"+query)
	if status != 0 {
		return nil, fmt.Errorf("%d %s", status, body)
	}
	if err != nil {
		return nil, err
	}
	w := &WebSocket{t: p.t, Conn: conn, in: conn}
	if br != nil {
		early, _ := br.Peek(br.Buffered())
		w.in = io.MultiReader(bytes.NewReader(bytes.Clone(early)), conn)
		ws.PutReader(br)
	}
	p.t.Cleanup(func() { conn.Close() })
	return w, nil
}

// WebSocket opens a WebSocket for a session, or for a new one if sid is empty.
func (p *Peer) WebSocket(sid string) *WebSocket {
	p.t.Helper()
	query := "EIO=4&transport=websocket"
	if sid != "" {
		query += "&sid=" + sid
	}
	w, err := p.Dial(query, nil)
	if err != nil {
		p.t.Fatalf("websocket: %v", err)
	}
	return w
}

// OpenWebSocket opens a session on a WebSocket, its open packet read.
func (p *Peer) OpenWebSocket() *WebSocket {
	p.t.Helper()
	w := p.WebSocket("")
	SID(p.t, w.Read())
	return w
}

// Upgrade puts a session on a WebSocket.
func (p *Peer) Upgrade(sid string) *WebSocket {
	p.t.Helper()
	w := p.WebSocket(sid)
	w.Send("2probe")
	w.Expect("3probe")
	w.Send("5")
	return w
}

// Send sends a text message.
func (w *WebSocket) Send(text string) { w.Frame(ws.NewTextFrame([]byte(text))) }

// SendBinary sends a binary message.
func (w *WebSocket) SendBinary(data ...byte) { w.Frame(ws.NewBinaryFrame(data)) }

// Frame sends a frame, masked.
func (w *WebSocket) Frame(f ws.Frame) { w.Raw(ws.MustCompileFrame(ws.MaskFrame(f))) }

// Raw sends bytes. That the server has hung up is not an error here: what it said last is still to be read.
func (w *WebSocket) Raw(b []byte) { w.Conn.Write(b) }

// ErrClosed is what Next returns at the end of the stream.
var ErrClosed = errors.New("closed")

// CloseError is the server's close frame; its code is 1005 if it had none.
type CloseError int

func (e CloseError) Error() string { return fmt.Sprintf("closed with %d", int(e)) }

// Next returns the next message; a binary one as "b:" and its bytes.
func (w *WebSocket) Next() (string, error) {
	for {
		f, err := ws.ReadFrame(w.in) //nolint:staticcheck // what it does not bound comes from our own server
		if err != nil {
			return "", ErrClosed
		}
		switch f.Header.OpCode {
		case ws.OpText:
			return string(f.Payload), nil
		case ws.OpBinary:
			return "b:" + string(f.Payload), nil
		case ws.OpPong:
			return "pong:" + string(f.Payload), nil
		case ws.OpClose:
			code, _ := ws.ParseCloseFrameData(f.Payload)
			if code.Empty() {
				code = 1005
			}
			w.Conn.Close() // as a well-behaved client does
			return "", CloseError(code)
		}
	}
}

// Read returns the next message and fails the test if there is none.
func (w *WebSocket) Read() string {
	w.t.Helper()
	m, err := w.Next()
	if err != nil {
		w.t.Fatalf("no message: %v", err)
	}
	return m
}

// Expect reads messages and fails the test if they are others.
func (w *WebSocket) Expect(want ...string) {
	w.t.Helper()
	for _, want := range want {
		if got := w.Read(); got != want {
			w.t.Fatalf("got %.200q, want %.200q", got, want)
		}
	}
}

// ExpectClose reads on until the connection is closed and returns the messages before that.
func (w *WebSocket) ExpectClose() (messages []string) {
	w.t.Helper()
	for {
		m, err := w.Next()
		if err != nil {
			return messages
		}
		messages = append(messages, m)
	}
}

// Close hangs up without a goodbye.
func (w *WebSocket) Close() { w.Conn.Close() }

// At returns a peer for another path of the same server.
func (p *Peer) At(path string) *Peer {
	other := *p
	other.path = path
	return &other
}

// Client is the HTTP client that reaches the server, at any URL.
func (p *Peer) Client() *http.Client { return p.http }

// Connect opens a bare connection to the server.
func (p *Peer) Connect() net.Conn {
	p.t.Helper()
	c, err := p.dial(p.t.Context())
	if err != nil {
		p.t.Fatal(err)
	}
	return c
}

// Split takes the packets of a polling payload apart.
func Split(payload string) []string { return strings.Split(payload, "\x1e") }
