package analyze

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"sync/atomic"
	"time"
)

const (
	maxIdleConns = 64 // connections kept for the next question

	// idleTimeout is shorter than the keep-alive of the servers usual for AI services (5 s), so that it is we who close
	// an idle connection: a question sent into one that is just being closed would cost an attempt.
	idleTimeout = 4 * time.Second

	maxHeaderBytes = 64 << 10 // of an answer
)

// Config says where the service is and how long to wait for it.
type Config struct {
	// URL is the address below which /analyze and /health are, absolute, http or https. User and password in it are sent
	// as basic authentication, a query is sent with every request. Required.
	URL string

	// Transport carries the requests; it is never asked to follow redirects. Default: an HTTP/1.1 transport of the
	// client's own, which keeps 64 connections and knows no proxy.
	Transport http.RoundTripper

	SnakeCase      bool          // send image_url instead of imageUrl. Default false.
	Timeout        time.Duration // for one question, connecting and reading the whole answer included. Default 90 s.
	ConnectTimeout time.Duration // for name, connection and TLS together. Default 5 s.
	HealthTimeout  time.Duration // for one Health. Default 10 s.
	MaxResponse    int64         // bytes of an answer's body. Default 1 MiB.
}

func (c Config) withDefaults() Config {
	c.Timeout = cmp.Or(c.Timeout, 90*time.Second)
	c.ConnectTimeout = cmp.Or(c.ConnectTimeout, 5*time.Second)
	c.HealthTimeout = cmp.Or(c.HealthTimeout, 10*time.Second)
	c.MaxResponse = cmp.Or(c.MaxResponse, 1<<20)
	if c.Transport == nil {
		c.Transport = &http.Transport{
			DialContext:            (&net.Dialer{Timeout: c.ConnectTimeout}).DialContext,
			TLSHandshakeTimeout:    c.ConnectTimeout,
			MaxIdleConns:           maxIdleConns,
			MaxIdleConnsPerHost:    maxIdleConns,
			IdleConnTimeout:        idleTimeout,
			MaxResponseHeaderBytes: maxHeaderBytes,
			DisableCompression:     true,
		}
	}
	return c
}

// Client is an [Analyzer] that asks a service by the AI contract. It is safe for concurrent use.
type Client struct {
	cfg           Config
	authorization string // "" when the URL names no user
	analyzeURL    string
	healthURL     string
}

var _ Analyzer = (*Client)(nil)

// New returns a client of the service at cfg.URL. It does not connect.
func New(cfg Config) (*Client, error) {
	if cfg.Timeout < 0 || cfg.ConnectTimeout < 0 || cfg.HealthTimeout < 0 || cfg.MaxResponse < 0 {
		return nil, errors.New("AI service: a timeout or limit is negative")
	}
	base, err := url.Parse(cfg.URL)
	if err != nil {
		return nil, errors.New("AI service: its URL cannot be read") // the cause quotes the URL, password and all
	}
	if !absoluteHTTP(base) {
		return nil, fmt.Errorf("AI service: URL %q must be absolute, like http://localhost:8000", base.Redacted())
	}
	c := &Client{cfg: cfg.withDefaults()}
	if base.User != nil {
		password, _ := base.User.Password()
		auth := http.Request{Header: http.Header{}}
		auth.SetBasicAuth(base.User.Username(), password)
		c.authorization = auth.Header.Get("Authorization")
	}
	base.User, base.Fragment = nil, ""
	c.analyzeURL = base.JoinPath("analyze").String()
	c.healthURL = base.JoinPath("health").String()
	return c, nil
}

func absoluteHTTP(u *url.URL) bool {
	return (u.Scheme == "http" || u.Scheme == "https") && u.Hostname() != ""
}

// Close closes the connections that wait for the next question. The client stays usable.
func (c *Client) Close() {
	if t, ok := c.cfg.Transport.(interface{ CloseIdleConnections() }); ok {
		t.CloseIdleConnections()
	}
}

// Analyze asks the service about one photo.
func (c *Client) Analyze(ctx context.Context, r Request) (Result, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.analyzeURL, bytes.NewReader(encode(r, c.cfg.SnakeCase)))
	if err != nil {
		return Result{}, fmt.Errorf("ask AI service: %w", err)
	}
	setHeaders(req.Header, r)
	a, err := c.exchange(ctx, c.cfg.Timeout, req)
	if err != nil {
		return Result{}, err
	}
	return a.result()
}

// Health asks GET /health and returns nil when the service answers with a 2xx. Everything else is an [*Error] as of
// [Client.Analyze]; one with status 404 comes from a service that has no such route.
func (c *Client) Health(ctx context.Context) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.healthURL, nil)
	if err != nil {
		return fmt.Errorf("ask AI service: %w", err)
	}
	a, err := c.exchange(ctx, c.cfg.HealthTimeout, req)
	if err != nil {
		return err
	}
	if a.status < 200 || a.status > 299 {
		return a.refusal()
	}
	return nil
}

// What ends an exchange early.
var (
	errConnectTimeout = errors.New("no connection in time")
	errTimeout        = errors.New("no answer in time")
)

// exchange sends req and reads the whole answer. Whatever prevents that becomes an [*Error], except the end of ctx.
func (c *Client) exchange(ctx context.Context, timeout time.Duration, req *http.Request) (answer, error) {
	bounded, stop := context.WithTimeoutCause(ctx, timeout, errTimeout)
	defer stop()
	bounded, cancel := context.WithCancelCause(bounded)
	defer cancel(nil)

	// A transport that reports no connections, such as that of HandlerTransport, is never connecting.
	var connecting atomic.Bool
	late := time.AfterFunc(c.cfg.ConnectTimeout, func() {
		if connecting.Load() {
			cancel(errConnectTimeout)
		}
	})
	defer late.Stop()
	bounded = httptrace.WithClientTrace(bounded, &httptrace.ClientTrace{
		GetConn: func(string) {
			connecting.Store(true)
			late.Reset(c.cfg.ConnectTimeout) // it may come a second time, when a kept connection turned out to be dead
		},
		GotConn: func(httptrace.GotConnInfo) { connecting.Store(false) },
	})
	fail := func(what string, err error) error {
		if ctx.Err() != nil {
			return fmt.Errorf("ask AI service: %w", context.Cause(ctx))
		}
		class := Transient
		switch cause := context.Cause(bounded); {
		case errors.Is(cause, errConnectTimeout) || connecting.Load():
			class, what = Unavailable, "no connection"
			if cause != nil {
				err = fmt.Errorf("%w (%v)", errConnectTimeout, c.cfg.ConnectTimeout)
			}
		case errors.Is(cause, errTimeout):
			err = fmt.Errorf("%w (%v)", errTimeout, timeout)
		}
		return &Error{Class: class, Message: printable(what+": "+err.Error(), maxMessage), Err: err}
	}

	if c.authorization != "" {
		req.Header.Set("Authorization", c.authorization)
	}
	resp, err := c.cfg.Transport.RoundTrip(req.WithContext(bounded))
	if err != nil {
		return answer{}, fail("no answer", err)
	}
	defer resp.Body.Close()
	a := answer{status: resp.StatusCode, header: resp.Header, limit: c.cfg.MaxResponse}
	// Without a length only the end of the connection ends the body, and that is how a crash looks, too.
	a.openEnded = resp.ContentLength < 0 && len(resp.TransferEncoding) == 0
	if resp.ContentLength > a.limit {
		a.tooLarge = true
		return a, nil
	}
	a.body, err = io.ReadAll(io.LimitReader(resp.Body, a.limit+1))
	if int64(len(a.body)) > a.limit {
		a.body, a.tooLarge = a.body[:a.limit], true
	}
	// A failure is known by its status: its words may be cut short.
	if err != nil && (a.status == http.StatusOK || ctx.Err() != nil) {
		return answer{}, fail("answer broke off", err)
	}
	return a, nil
}
