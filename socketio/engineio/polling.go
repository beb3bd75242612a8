package engineio

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"
	"unicode/utf8"
)

// polling is what a session needs only while it is on polling.
type polling struct {
	get     *pendingGet              // the request that waits for something to send
	posting bool                     // a request brings something
	body    *http.ResponseController // of that request while its body is read
	probe   *websocket               // is to replace polling
	probed  bool                     // and has shown that it works
	final   []packet                 // of a closed session: what the next request is answered
}

// pendingGet is a GET that waits. Its handler's goroutine sleeps on woken.
type pendingGet struct {
	woken   chan struct{}
	isWoken bool
	final   []packet // set at the end of the session
	late    bool     // the session had ended before this request was sent
}

// wake makes the waiting GET look again.
func (p *polling) wake() {
	if p.get != nil && !p.get.isWoken {
		p.get.isWoken = true
		close(p.get.woken)
	}
}

// endPolling ends a session on polling. It holds mu.
func (c *Conn) endPolling(e ending) {
	last := packet{typ: packetClose}
	if e.noop {
		last.typ = packetNoop
	}
	final := append(c.out, last)
	c.out, c.outBytes = nil, 0
	if c.polling.body != nil {
		c.polling.body.SetReadDeadline(time.Now()) // what it brings matters no more
		c.polling.body = nil
	}
	if c.polling.probe != nil {
		c.polling.probe.expire(0)
	}
	switch {
	case c.polling.get != nil:
		c.polling.get.final = final
		c.polling.wake()
	case e.linger:
		c.polling.final = final
		c.srv.timers.Set(&c.timer, c.srv.now()+pollLinger)
		return
	}
	c.srv.timers.Stop(&c.timer)
	c.srv.remove(c)
}

func (c *Conn) servePolling(w http.ResponseWriter, r *http.Request) *requestError {
	switch r.Method {
	case http.MethodGet:
		return c.servePoll(w, r)
	case http.MethodPost:
		return c.servePost(w, r)
	default:
		w.WriteHeader(http.StatusInternalServerError) // Node's answer
		return nil
	}
}

// servePoll answers a GET as soon as there is something to send.
func (c *Conn) servePoll(w http.ResponseWriter, r *http.Request) *requestError {
	ctl := http.NewResponseController(w)
	cfg := &c.srv.cfg
	ctl.SetWriteDeadline(time.Now().Add(cfg.PingInterval + cfg.PingTimeout + writeTimeout))

	get, refusal := c.beginPoll()
	if refusal != nil {
		return refusal
	}
	if get == nil {
		c.collide(r.Context())
		writeEmpty(w)
		return nil
	}
	select {
	case <-get.woken:
	case <-r.Context().Done():
	}
	answer, refusal := c.endPoll(r.Context(), get)
	if refusal != nil {
		return refusal
	}
	body := encodePayload(answer)
	if cfg.Compress && len(body) >= compressFrom && takesGzip(r) {
		w.Header().Set("Content-Encoding", "gzip")
		body = compress(body)
	}
	w.Header().Set("Cache-Control", "no-store")
	writeBody(w, http.StatusOK, "text/plain; charset=UTF-8", body)
	if err := ctl.Flush(); err != nil && !errors.Is(err, http.ErrNotSupported) {
		c.fault(0) // what was taken for this answer is lost
	}
	return nil
}

// beginPoll makes a GET the one that waits; it may have been woken already. It returns neither a GET nor a refusal when
// another GET waits.
func (c *Conn) beginPoll() (*pendingGet, *requestError) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.checkTimes()
	p := c.polling
	switch {
	case p == nil:
		return nil, errBadRequest // on a WebSocket by now
	case c.state == stateClosed && p.final == nil:
		return nil, errUnknownSession
	case p.get != nil:
		return nil, nil
	}
	get := &pendingGet{woken: make(chan struct{})}
	p.get = get
	switch {
	case c.state == stateClosed:
		get.final, p.final = p.final, nil
		c.srv.timers.Stop(&c.timer)
		c.srv.remove(c)
		p.wake()
	case len(c.out) > 0:
		p.wake()
	case p.probed:
		// It has come in the middle of an upgrade, which it waits for a little.
		time.AfterFunc(upgradeHold, func() {
			c.mu.Lock()
			defer c.mu.Unlock()
			if p.get == get {
				p.wake()
			}
		})
	}
	return get, nil
}

// collide ends the session because of a second GET. The one that waits is answered that it is over; or, if this one turns
// out to have been given up by the client and only seems to have come second, that the session is unknown.
func (c *Conn) collide(ctx context.Context) {
	select {
	case <-ctx.Done():
	case <-time.After(collisionHold):
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if p := c.polling; p != nil && p.get != nil {
		p.get.late = ctx.Err() != nil
	}
	c.end(TransportError, ending{})
}

// endPoll takes what the GET that waited is answered.
func (c *Conn) endPoll(ctx context.Context, get *pendingGet) ([]packet, *requestError) {
	c.mu.Lock()
	defer c.mu.Unlock()
	p := c.polling
	switch {
	case get.late:
		return nil, errUnknownSession
	case get.final != nil:
		return get.final, nil
	case p == nil:
		return nil, errBadRequest // the upgrade was quicker
	}
	p.get = nil
	switch {
	case ctx.Err() != nil: // the client gave the request up, so it may have lost what was sent
		c.end(TransportError, ending{})
		return nil, errUnknownSession
	case len(c.out) == 0: // woken for the upgrade
		return []packet{{typ: packetNoop}}, nil
	}
	answer := c.out
	c.out, c.outBytes = nil, 0
	return answer, nil
}

// servePost takes the packets that a POST brings.
func (c *Conn) servePost(w http.ResponseWriter, r *http.Request) *requestError {
	ctl := http.NewResponseController(w)
	cfg := &c.srv.cfg
	c.mu.Lock()
	c.checkTimes()
	p := c.polling
	switch {
	case p == nil:
		c.mu.Unlock()
		return errBadRequest
	case c.state == stateClosed:
		c.mu.Unlock()
		return errUnknownSession
	case p.posting, strings.HasPrefix(r.Header.Get("Content-Type"), "application/octet-stream"):
		c.end(TransportError, ending{})
		c.mu.Unlock()
		writeEmpty(w)
		return nil
	}
	p.posting, p.body = true, ctl
	ctl.SetReadDeadline(time.Now().Add(cfg.PingInterval + cfg.PingTimeout))
	c.mu.Unlock()

	body, err := readBody(r, cfg.MaxPayload)

	c.mu.Lock()
	if p.body == nil { // its deadline is over, which the HTTP server takes for the end of the connection
		w.Header().Set("Connection", "close")
	}
	p.body = nil
	c.mu.Unlock()

	valid := err == nil && c.takePayload(body)

	c.mu.Lock()
	p.posting = false
	if !valid && !errors.Is(err, errTooBig) {
		c.end(TransportError, ending{})
	}
	c.mu.Unlock()

	switch {
	case errors.Is(err, errTooBig):
		w.Header().Set("Connection", "close")
		w.WriteHeader(http.StatusRequestEntityTooLarge)
	case !valid:
		writeEmpty(w)
	default:
		w.Header().Set("Cache-Control", "no-store")
		writeBody(w, http.StatusOK, "text/html", []byte("ok"))
	}
	return nil
}

// takePayload handles the packets of a POST and tells whether it was a good one.
func (c *Conn) takePayload(body []byte) bool {
	if !utf8.Valid(body) {
		return false
	}
	err := parsePayload(body, c.srv.cfg.MaxPackets, func(p packet) error {
		if !c.handle(p) {
			return ErrClosed
		}
		return nil
	})
	return err == nil || errors.Is(err, ErrClosed)
}

// readBody reads a request's body of at most limit bytes; its declared length is not trusted with memory.
func readBody(r *http.Request, limit int) ([]byte, error) {
	if r.ContentLength > int64(limit) {
		return nil, errTooBig
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, int64(limit)+1))
	if err == nil && len(body) > limit {
		err = errTooBig
	}
	return body, err
}

// writeEmpty answers a request that broke the rules of polling.
func writeEmpty(w http.ResponseWriter) { w.WriteHeader(http.StatusBadRequest) }

// takesGzip tells whether a request accepts gzip. Refusing it by a weight of zero is seen only as browsers would write it.
func takesGzip(r *http.Request) bool {
	for coding := range strings.SplitSeq(r.Header.Get("Accept-Encoding"), ",") {
		name, weight, _ := strings.Cut(strings.TrimSpace(coding), ";")
		if strings.EqualFold(name, "gzip") && strings.TrimSpace(weight) != "q=0" {
			return true
		}
	}
	return false
}

var compressors = sync.Pool{New: func() any {
	z, _ := gzip.NewWriterLevel(nil, gzip.BestSpeed) // the level is valid
	return z
}}

func compress(body []byte) []byte {
	z := compressors.Get().(*gzip.Writer)
	defer compressors.Put(z)
	var out bytes.Buffer
	z.Reset(&out)
	_, _ = z.Write(body) // a bytes.Buffer does not fail
	_ = z.Close()
	return out.Bytes()
}
