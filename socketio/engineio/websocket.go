package engineio

// read is the life of a session on a WebSocket: the one goroutine it has while nothing happens. It must stay shallow,
// for a stack that has grown once does not shrink below twice its first size.
func (c *Conn) read(ws *websocket) {
	defer c.srv.running.Done()
	for {
		kind, data, err := ws.next(c.srv.cfg.MaxPayload)
		if err != nil {
			c.lost(err)
			break
		}
		if !c.frame(kind, data) {
			break
		}
	}
	ws.drain()
}

// frame takes what came on the WebSocket. It returns false at the end.
func (c *Conn) frame(kind frameKind, data []byte) bool {
	switch kind {
	case frameBinary:
		return c.handle(packet{typ: packetMessage, binary: true, data: data})
	case frameText:
		p, err := parsePacket(data)
		if err != nil {
			c.fault(0)
			return false
		}
		return c.handle(p)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if kind == framePing && c.state == stateOpen {
		c.enqueue(packet{typ: framePong, data: data})
	} else if kind == frameGoodbye {
		c.end(TransportClose, ending{goodbye: true, code: answerCode(data)})
	}
	return c.state == stateOpen
}

// lost ends the session when reading has failed.
func (c *Conn) lost(err error) {
	if code := closeCode(err); code != 0 {
		c.fault(code)
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.end(TransportClose, ending{})
}

// fault ends the session because the client broke the protocol.
func (c *Conn) fault(code uint16) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.end(TransportError, ending{goodbye: true, code: code})
}

// flush writes what is queued, until nothing is.
func (c *Conn) flush(ws *websocket) {
	defer c.srv.running.Done()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.wroteAt = c.srv.now()
	var spare []packet
	for len(c.out) > 0 {
		batch, size := c.out, 0
		c.out = spare
		for _, p := range batch {
			size += p.cost()
		}
		c.mu.Unlock()
		err := ws.write(batch, c.progress)
		ended := err != nil || batch[len(batch)-1].typ == frameClose
		if ended {
			ws.halfClose()
		}
		clear(batch)
		spare = batch[:0]
		c.mu.Lock()
		c.outBytes = max(0, c.outBytes-size)
		if err != nil {
			c.end(TransportClose, ending{})
		}
		if ended {
			return // flushing stays true: nothing may be written any more
		}
	}
	c.flushing, c.out = false, nil
}

func (c *Conn) progress() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.wroteAt = c.srv.now()
}
