package engineio

import (
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"loupe/socketio/internal/sid"
	"loupe/socketio/internal/timers"
)

// Receiver is the user of one [Conn]. Its methods are called one at a time and in order, on a goroutine that exists only
// while there is something to tell. They may take their time: the heartbeat does not wait for them, and what comes in
// meanwhile is kept up to [Config.MaxReceiveBuffer].
type Receiver interface {
	// Receive is told of a message. Its data is the Receiver's to keep.
	Receive(Message)
	// Closed is told of the end, last of all and once.
	Closed(Reason)
}

// Conn is one session: a client, on polling or on a WebSocket. All methods may be called concurrently.
type Conn struct {
	srv    *Server
	id     string
	remote string
	kept   string   // of the handshake request: the query, then the kept headers, a line each
	recv   Receiver // set by open

	mu      sync.Mutex // protects following
	ws      *websocket // nil while on polling
	polling *polling   // nil once on a WebSocket

	state    state // the flags stand together, for they then fit into one word
	flushing bool  // a goroutine writes to ws
	pinged   bool  // a pong is due
	extended bool  // the wait for it was extended

	out      []packet      // waiting to be sent
	outBytes int           // of out and of what is being written, by cost
	wroteAt  time.Duration // last progress of the writing

	news *news // nil while there is nothing to tell recv

	timer   timers.Timer
	beatAt  time.Duration // next ping, or the end of the wait for its pong
	closeAt time.Duration // of CloseAfter; 0 is never
}

// news is what a goroutine tells the Receiver. An idle session has none, for it should cost little.
type news struct {
	messages []packet      // waiting
	bytes    int           // of messages and of what is being told, by cost
	free     chan struct{} // not nil while readers wait for room; closed when there is some
	reason   Reason        // of the end, told last
}

type state byte

const (
	stateOpening state = iota
	stateOpen
	stateClosed
)

// newConn makes a session for a handshake request, nil if it carries more than is kept, or a line break, which none from
// an HTTP server does.
func newConn(s *Server, r *http.Request) *Conn {
	lines := []string{r.URL.RawQuery}
	for _, name := range s.cfg.KeepHeaders {
		for _, v := range r.Header.Values(name) {
			lines = append(lines, name+":"+v)
		}
	}
	kept := strings.Clone(strings.Join(lines, "\n")) // the request's memory is the HTTP server's
	if len(kept) > maxKept || strings.Count(kept, "\n") >= len(lines) {
		return nil
	}
	c := &Conn{srv: s, id: sid.New(), remote: r.RemoteAddr, kept: kept}
	c.timer.Func = c.tick
	return c
}

// ID is the session's id. It is a secret: who knows it can speak for the client. Keep it out of logs.
func (c *Conn) ID() string { return c.id }

// RemoteAddr is the network address that the handshake came from, as in [http.Request]: a proxy's, if there is one.
func (c *Conn) RemoteAddr() string { return c.remote }

// Header has the headers of the handshake request that [Config.KeepHeaders] names.
func (c *Conn) Header() http.Header {
	h := make(http.Header)
	_, lines, _ := strings.Cut(c.kept, "\n")
	for line := range strings.Lines(lines) {
		name, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ":")
		h.Add(name, value)
	}
	return h
}

// Query is the query of the handshake request.
func (c *Conn) Query() url.Values {
	query, _, _ := strings.Cut(c.kept, "\n")
	values, _ := url.ParseQuery(query)
	return values
}

// WebSocket tells whether the session is on a WebSocket now; if not, it is on polling.
func (c *Conn) WebSocket() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.ws != nil
}

// Send queues messages, one after the other with none between, and returns at once. The error is [ErrClosed] or
// [ErrSlowConsumer]; nil does not say that they arrive.
func (c *Conn) Send(ms ...Message) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.state == stateClosed {
		return ErrClosed
	}
	return c.send(ms)
}

// SendVolatile is Send if the messages can leave at once: on a WebSocket when nothing waits to be written, on polling
// when a request waits for an answer. Otherwise it drops them and returns false.
func (c *Conn) SendVolatile(ms ...Message) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.state != stateOpen || len(c.out) > 0 || c.flushing || c.ws == nil && c.polling.get == nil {
		return false
	}
	return c.send(ms) == nil
}

func (c *Conn) send(ms []Message) error {
	waiting := c.outBytes
	for _, m := range ms {
		p := packet{typ: packetMessage, data: m.Data, binary: m.Binary}
		c.out = append(c.out, p)
		c.outBytes += p.cost()
	}
	if waiting > 0 && c.outBytes > c.srv.cfg.MaxSendBuffer {
		c.srv.slow.Add(1)
		c.end(SlowConsumer, ending{})
		return ErrSlowConsumer
	}
	c.wakeWriter()
	return nil
}

// enqueue adds a packet of the engine itself.
func (c *Conn) enqueue(p packet) {
	c.out = append(c.out, p)
	c.outBytes += p.cost()
	c.wakeWriter()
}

// wakeWriter sees to it that what is queued leaves.
func (c *Conn) wakeWriter() {
	switch {
	case c.state == stateOpening || len(c.out) == 0:
	case c.ws == nil:
		c.polling.wake()
	case !c.flushing:
		c.flushing = true
		c.srv.running.Add(1)
		go c.flush(c.ws)
	}
}

// open starts the session, on polling if ws is nil.
func (c *Conn) open(recv Receiver, ws *websocket) {
	c.mu.Lock()
	defer c.mu.Unlock()
	hello := packet{typ: packetOpen}
	hello.data = append(hello.data, `{"sid":"`...)
	hello.data = append(hello.data, c.id...)
	if ws == nil {
		hello.data = append(hello.data, c.srv.openPolling...)
		c.polling = &polling{}
	} else {
		hello.data = append(hello.data, c.srv.openWebSocket...)
		c.attach(ws)
	}
	c.recv = recv
	if c.state == stateClosed { // the server was closed meanwhile
		reason := c.news.reason
		c.state, c.news = stateOpen, nil
		c.end(reason, ending{goodbye: true})
		return
	}
	c.state = stateOpen
	c.out = append([]packet{hello}, c.out...)
	c.outBytes += hello.cost()
	c.beatAt = c.srv.now() + c.srv.cfg.PingInterval
	c.arm()
	c.wakeWriter()
}

// attach puts the session on a WebSocket and starts to read from it.
func (c *Conn) attach(ws *websocket) {
	c.ws, c.polling = ws, nil
	c.srv.websockets.Add(1)
	c.srv.running.Add(1)
	go c.read(ws)
}

// Close ends the session for a reason of the server's. What was sent before is still delivered if the client takes it
// soon: within 2 s on a WebSocket; on polling with the next request, if that comes within 30 s and the server runs.
func (c *Conn) Close(reason Reason) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.end(reason, ending{flush: true, goodbye: true, linger: reason != ServerShuttingDown})
}

// CloseAfter closes the session with [ForcedServerClose] after d, unless it is called again before; 0 is never.
func (c *Conn) CloseAfter(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closeAt = 0; d > 0 {
		c.closeAt = c.srv.now() + d
	}
	if c.state == stateOpen {
		c.arm()
	}
}

// ending says how a session ends.
type ending struct {
	flush   bool   // what is queued is still to be written
	goodbye bool   // a WebSocket ends with a close frame
	code    uint16 // of that frame, 0 for none
	linger  bool   // polling waits for the request that fetches the last packets
	noop    bool   // the last of them is a noop instead of a close: the client closed the session and knows
}

// end closes the session, once. It holds mu and blocks on nothing.
func (c *Conn) end(reason Reason, e ending) {
	switch c.state {
	case stateClosed:
		return
	case stateOpening: // open will see it
		c.state, c.news = stateClosed, &news{reason: reason}
		return
	}
	c.state = stateClosed
	if !e.flush {
		c.out, c.outBytes = nil, 0
	}
	n := c.tell()
	n.reason = reason
	if !reason.clients() {
		n.messages, n.bytes = nil, 0
	}
	n.freeReaders()
	if c.ws != nil {
		c.srv.timers.Stop(&c.timer)
		c.srv.remove(c)
		c.srv.websockets.Add(-1)
		if e.goodbye {
			c.ws.expire(closeLinger)
			c.enqueue(goodbye(e.code))
		} else {
			c.ws.expire(0)
		}
	} else {
		c.endPolling(e)
	}
}

// deliver hands a message to the Receiver. It blocks while too many wait.
func (c *Conn) deliver(p packet) {
	c.mu.Lock()
	for c.state == stateOpen && c.news != nil && c.news.bytes > 0 && c.news.bytes+p.cost() > c.srv.cfg.MaxReceiveBuffer {
		if c.news.free == nil {
			c.news.free = make(chan struct{})
		}
		free := c.news.free
		c.mu.Unlock()
		<-free
		c.mu.Lock()
	}
	defer c.mu.Unlock()
	if c.state != stateOpen {
		return
	}
	n := c.tell()
	n.messages = append(n.messages, p)
	n.bytes += p.cost()
}

// freeReaders wakes those who wait for room.
func (n *news) freeReaders() {
	if n.free != nil {
		close(n.free)
		n.free = nil
	}
}

// tell makes sure that a goroutine tells the Receiver what is added to the news before mu is let go.
func (c *Conn) tell() *news {
	if c.news == nil {
		c.news = &news{}
		c.srv.running.Add(1)
		go c.drain(c.news)
	}
	return c.news
}

// drain tells the Receiver all there is to tell.
func (c *Conn) drain(n *news) {
	defer c.srv.running.Done()
	c.mu.Lock()
	defer c.mu.Unlock()
	for len(n.messages) > 0 {
		batch := n.messages
		n.messages = nil
		for _, p := range batch {
			c.mu.Unlock()
			c.recv.Receive(Message{Data: p.data, Binary: p.binary})
			c.mu.Lock()
			n.bytes = max(0, n.bytes-p.cost())
			n.freeReaders()
			if c.state == stateClosed && !n.reason.clients() {
				break
			}
		}
	}
	if c.state != stateClosed {
		c.news = nil
		return
	}
	reason := n.reason // the news stay: there are none after this
	c.mu.Unlock()
	c.recv.Closed(reason)
	c.srv.running.Done()
	c.mu.Lock()
}
