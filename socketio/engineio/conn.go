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
	query  string
	header http.Header
	recv   Receiver // set by open

	mu      sync.Mutex // protects following
	reason  Reason     // once closed
	ws      *websocket // nil while on polling
	polling *polling   // nil once on a WebSocket

	state    state // the flags stand together, for they then fit into one word
	flushing bool  // a goroutine writes to ws
	draining bool  // a goroutine tells recv
	pinged   bool  // a pong is due
	extended bool  // the wait for it was extended

	out      []packet      // waiting to be sent
	outBytes int           // of out and of what is being written, by cost
	wroteAt  time.Duration // last progress of the writing

	in      []packet      // waiting for recv; only messages
	inBytes int           // of in and of what is being told, by cost
	inFree  chan struct{} // not nil while readers wait for room; closed when there is some

	timer   timers.Timer
	beatAt  time.Duration // next ping, or the end of the wait for its pong
	closeAt time.Duration // of CloseAfter; 0 is never
}

type state byte

const (
	stateOpening state = iota
	stateOpen
	stateClosed
)

// newConn makes a session for a handshake request, nil if it carries more than is kept.
func newConn(s *Server, r *http.Request) *Conn {
	c := &Conn{srv: s, id: sid.New(), remote: r.RemoteAddr, query: strings.Clone(r.URL.RawQuery)}
	kept := len(c.query)
	for _, name := range s.cfg.KeepHeaders {
		values := r.Header.Values(name)
		if len(values) == 0 {
			continue
		}
		if c.header == nil {
			c.header = make(http.Header)
		}
		for _, v := range values {
			kept += len(name) + len(v)
			c.header.Add(name, strings.Clone(v))
		}
	}
	if kept > maxKept {
		return nil
	}
	c.timer.Func = c.tick
	return c
}

// ID is the session's id. It is a secret: who knows it can speak for the client. Keep it out of logs.
func (c *Conn) ID() string { return c.id }

// RemoteAddr is the network address that the handshake came from, as in [http.Request]: a proxy's, if there is one.
func (c *Conn) RemoteAddr() string { return c.remote }

// Header has the headers of the handshake request that [Config.KeepHeaders] names. It must not be changed.
func (c *Conn) Header() http.Header { return c.header }

// Query is the query of the handshake request.
func (c *Conn) Query() url.Values {
	q, _ := url.ParseQuery(c.query)
	return q
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
		c.state = stateOpen
		c.end(c.reason, ending{goodbye: true})
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
		c.state, c.reason = stateClosed, reason
		return
	}
	c.state, c.reason = stateClosed, reason
	if !e.flush {
		c.out, c.outBytes = nil, 0
	}
	if !reason.clients() {
		c.in, c.inBytes = nil, 0
	}
	c.freeReader()
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
	c.tell()
}

// deliver hands a message to the Receiver. It blocks while too many wait.
func (c *Conn) deliver(p packet) {
	c.mu.Lock()
	for c.state == stateOpen && c.inBytes > 0 && c.inBytes+p.cost() > c.srv.cfg.MaxReceiveBuffer {
		if c.inFree == nil {
			c.inFree = make(chan struct{})
		}
		free := c.inFree
		c.mu.Unlock()
		<-free
		c.mu.Lock()
	}
	defer c.mu.Unlock()
	if c.state != stateOpen {
		return
	}
	c.in = append(c.in, p)
	c.inBytes += p.cost()
	c.tell()
}

// freeReader wakes those who wait for room.
func (c *Conn) freeReader() {
	if c.inFree != nil {
		close(c.inFree)
		c.inFree = nil
	}
}

// tell makes sure that a goroutine tells the Receiver.
func (c *Conn) tell() {
	if !c.draining {
		c.draining = true
		c.srv.running.Add(1)
		go c.drain()
	}
}

// drain tells the Receiver all there is to tell.
func (c *Conn) drain() {
	defer c.srv.running.Done()
	c.mu.Lock()
	defer c.mu.Unlock()
	for len(c.in) > 0 {
		batch := c.in
		c.in = nil
		for _, p := range batch {
			c.mu.Unlock()
			c.recv.Receive(Message{Data: p.data, Binary: p.binary})
			c.mu.Lock()
			c.inBytes = max(0, c.inBytes-p.cost())
			c.freeReader()
			if c.state == stateClosed && !c.reason.clients() {
				break
			}
		}
	}
	if c.state != stateClosed {
		c.draining = false
		return
	}
	reason := c.reason // draining stays true: there is nothing to tell after this
	c.mu.Unlock()
	c.recv.Closed(reason)
	c.srv.running.Done()
	c.mu.Lock()
}
