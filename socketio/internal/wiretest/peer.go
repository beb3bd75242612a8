package wiretest

import (
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
)

// Peer speaks to a server. Its methods that return no error fail the test when the server can not be reached.
type Peer struct {
	t    *testing.T
	dial func(context.Context) (net.Conn, error)
	http *http.Client
	path string
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
