package engineio

// arm sets the timer to whatever is due first. It holds mu.
func (c *Conn) arm() {
	at := c.beatAt
	if c.closeAt != 0 {
		at = min(at, c.closeAt)
	}
	c.srv.timers.Set(&c.timer, at)
}

// tick does what is due.
func (c *Conn) tick() {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.srv.now()
	if c.state == stateClosed {
		c.srv.remove(c) // a polling session whose last packets nobody has fetched
		return
	}
	c.checkTimes()
	if c.state == stateOpen && now >= c.beatAt && !c.pinged {
		c.ping()
	}
	if c.state == stateOpen {
		c.arm()
	}
}

// checkTimes closes the session if its time is over. Requests call it too, so that one which comes at the very moment
// does not depend on the timer.
func (c *Conn) checkTimes() {
	if c.state != stateOpen {
		return
	}
	now, cfg := c.srv.now(), &c.srv.cfg
	switch {
	case c.closeAt != 0 && now >= c.closeAt:
		c.end(ForcedServerClose, ending{flush: true, goodbye: true, linger: true})
	case now < c.beatAt || !c.pinged:
	case c.news != nil && c.news.free != nil:
		c.beatAt = now + cfg.PingTimeout // the pong may be there, but it is the Receiver that is behind
	default:
		c.end(PingTimeout, ending{goodbye: true})
	}
}

// ping asks for a sign of life. The wait for it counts from when the ping was due, however late this is.
func (c *Conn) ping() {
	now, cfg := c.srv.now(), &c.srv.cfg
	if c.flushing && now-c.wroteAt > cfg.PingInterval+cfg.PingTimeout {
		c.srv.slow.Add(1)
		c.end(SlowConsumer, ending{}) // it says it is alive but takes nothing
		return
	}
	c.pinged, c.extended = true, false
	c.beatAt += cfg.PingTimeout
	c.enqueue(packet{typ: packetPing})
}

// handle takes a packet from the client, whichever way it came. It returns false when no more are wanted.
func (c *Conn) handle(p packet) bool {
	switch p.typ {
	case packetMessage:
		c.alive(false)
		c.deliver(p)
		return true
	case packetPong:
		c.alive(true)
		return true
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	switch p.typ {
	case packetClose:
		c.end(TransportClose, ending{goodbye: true, linger: true, noop: true})
	case packetPing:
		c.end(TransportError, ending{goodbye: true}) // only the server pings
	}
	return c.state == stateOpen
}

// alive notes that something came from the client. A pong starts the next interval; anything else gives it more time
// for the pong, once per ping.
func (c *Conn) alive(pong bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.state != stateOpen || !c.pinged || !pong && c.extended {
		return
	}
	if pong {
		c.pinged = false
		c.beatAt = c.srv.now() + c.srv.cfg.PingInterval
	} else {
		c.extended = true
		c.beatAt = c.srv.now() + c.srv.cfg.PingTimeout
	}
	c.arm()
}
