package engineio

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"sync"
)

type clientPolling struct {
	url    url.URL
	cfg    DialConfig
	client *http.Client
	limit  int // of a body to the server, in bytes

	ended chan struct{} // closed by close
	mu    sync.Mutex    // one POST at a time
}

func dialClientPolling(ctx context.Context, u *url.URL, cfg DialConfig) (clientTransport, []packet, error) {
	at := *u
	switch at.Scheme {
	case "ws":
		at.Scheme = "http"
	case "wss":
		at.Scheme = "https"
	}
	t := &clientPolling{url: at, cfg: cfg, ended: make(chan struct{})}
	t.client = &http.Client{Transport: &http.Transport{
		Proxy: http.ProxyFromEnvironment, TLSClientConfig: cfg.TLS, ForceAttemptHTTP2: true,
	}}
	first, err := t.get(ctx)
	if err != nil {
		t.close()
		return nil, nil, err
	}
	return t, first, nil
}

// begin notes what the server said of the session.
func (t *clientPolling) begin(sid string, limit int) {
	q := t.url.Query()
	q.Set("sid", sid)
	t.url.RawQuery = q.Encode()
	t.limit = positive(limit, 1_000_000)
}

func (t *clientPolling) read() ([]packet, error) { return t.get(context.Background()) }

func (t *clientPolling) get(ctx context.Context) ([]packet, error) {
	body, err := t.do(ctx, http.MethodGet, nil)
	if err != nil {
		return nil, err
	}
	var ps []packet
	err = parsePayload(body, len(body)+1, func(p packet) error {
		ps = append(ps, p)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrBadServer, err)
	}
	return ps, nil
}

// write sends packets in as few requests as the server's limit allows.
func (t *clientPolling) write(ctx context.Context, ps []packet) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	for len(ps) > 0 {
		n := 1
		for n < len(ps) && len(encodePayload(ps[:n+1])) <= t.limit {
			n++
		}
		if _, err := t.do(ctx, http.MethodPost, encodePayload(ps[:n])); err != nil {
			return err
		}
		ps = ps[n:]
	}
	return nil
}

// do sends a request and returns the body of its answer. It gives up when ctx is done or the session has ended.
func (t *clientPolling) do(ctx context.Context, method string, body []byte) ([]byte, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		select {
		case <-t.ended:
			cancel()
		case <-ctx.Done():
		}
	}()
	req, err := http.NewRequestWithContext(ctx, method, t.url.String(), bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	for k, vs := range t.cfg.Header {
		req.Header[k] = vs
	}
	if method == http.MethodPost {
		req.Header.Set("Content-Type", "text/plain;charset=UTF-8")
	}
	resp, err := t.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, int64(t.cfg.MaxPayload)+1))
	switch {
	case err != nil:
		return nil, err
	case resp.StatusCode != http.StatusOK:
		return nil, &HandshakeError{Status: resp.StatusCode, Message: string(answer)}
	case len(answer) > t.cfg.MaxPayload:
		return nil, errTooBig
	}
	return answer, nil
}

func (t *clientPolling) close() {
	close(t.ended)
	t.client.CloseIdleConnections()
}
