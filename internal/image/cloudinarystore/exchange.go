package cloudinarystore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"time"
)

// The calls.
const (
	callUpload  = "upload"
	callDestroy = "destroy"
	callFetch   = "fetch"
)

const (
	maxRetries     = 2
	maxAnswer      = 256 << 10 // bytes of an answer of the API: an ordinary one has 2 kB
	maxHeaderBytes = 64 << 10  // of an answer
	maxIdleConns   = 64

	// idleTimeout is shorter than that of load balancers (60 s and more), so that it is we who close an idle connection:
	// an upload sent into one that is just being closed is lost.
	idleTimeout = 15 * time.Second
)

// newTransport returns a transport of HTTP/1.1, where each upload has a connection of its own. It follows no redirect.
func newTransport(connectTimeout time.Duration) *http.Transport {
	return &http.Transport{
		DialContext:            (&net.Dialer{Timeout: connectTimeout}).DialContext,
		TLSHandshakeTimeout:    connectTimeout,
		MaxIdleConns:           maxIdleConns,
		MaxIdleConnsPerHost:    maxIdleConns,
		IdleConnTimeout:        idleTimeout,
		MaxResponseHeaderBytes: maxHeaderBytes,
		DisableCompression:     true, // a picture's length is wanted, and answers are short
	}
}

// An exchange is one request and its answer. It ends when its context does, or when the service makes no step in time.
type exchange struct {
	call    string
	timeout time.Duration
	timer   *time.Timer
	cancel  context.CancelCauseFunc
	givenUp func() error // why the caller wants no more of it, nil while it does
	over    func() error // why it is over, nil while it is not
}

// begin begins an exchange, under a context of its own; it is to be ended. The service's time runs.
func (s *Store) begin(outer context.Context, call string) (context.Context, *exchange) {
	ctx, cancel := context.WithCancelCause(outer)
	return ctx, &exchange{
		call: call, timeout: s.cfg.Timeout,
		timer:   time.AfterFunc(s.cfg.Timeout, func() { cancel(errTimeout) }),
		cancel:  cancel,
		givenUp: outer.Err,
		over:    func() error { return context.Cause(ctx) },
	}
}

func (x *exchange) end() {
	x.timer.Stop()
	x.cancel(nil)
}

// pause stops the service's time while others have their turn, resume starts it anew.
func (x *exchange) pause()  { x.timer.Stop() }
func (x *exchange) resume() { x.timer.Reset(x.timeout) }

var errTimeout = errors.New("no progress in time")

// failure is the error of an exchange that broke off with err.
func (x *exchange) failure(err error) error {
	if why := x.givenUp(); why != nil {
		return fmt.Errorf("cloudinary %s: %w", x.call, why)
	}
	late := errors.Is(x.over(), errTimeout)
	if late {
		err = fmt.Errorf("%w (%v)", errTimeout, x.timeout)
	}
	// A service that hangs is not asked again: that would multiply the timeout.
	return &Error{Call: x.call, Class: Unavailable, Message: err.Error(), Err: err, again: !late}
}

// ask sends a request to the API and returns the body of its answer.
func (s *Store) ask(ctx context.Context, x *exchange, contentType string, body io.Reader) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.api+x.call, body)
	if err != nil {
		return nil, x.failure(err)
	}
	req.Header.Set("Content-Type", contentType)
	resp, err := s.transport.RoundTrip(req)
	if err != nil {
		return nil, x.failure(err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	switch {
	case err != nil:
		return nil, x.failure(fmt.Errorf("answer cut short: %w", err))
	case len(answer) > maxAnswer:
		return nil, &Error{
			Call: x.call, Class: Malformed, Status: resp.StatusCode,
			Message: fmt.Sprintf("answered %d with more than %d bytes", resp.StatusCode, maxAnswer),
		}
	case resp.StatusCode != http.StatusOK:
		return nil, refusal(x.call, resp.StatusCode, resp.Header, answer)
	}
	return answer, nil
}

// retry does what try does, and does it again while that fails in a way that may pass.
func (s *Store) retry(ctx context.Context, try func() error) error {
	for wait, retries := s.cfg.Backoff, 0; ; wait, retries = 2*wait, retries+1 {
		if err := ctx.Err(); err != nil {
			return err
		}
		err := try()
		trouble, ok := errors.AsType[*Error](err)
		if !ok || !trouble.again || retries == maxRetries {
			return err
		}
		pause := time.NewTimer(wait/2 + rand.N(wait)) // not all at the same moment
		select {
		case <-ctx.Done():
			pause.Stop()
			return fmt.Errorf("%w, after %w", ctx.Err(), err)
		case <-pause.C:
		}
	}
}
