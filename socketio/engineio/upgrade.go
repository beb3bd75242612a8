package engineio

import (
	"bytes"
	"net/http"
)

// The upgrade, on a WebSocket that names the session:
//
//	client                    server
//	2probe          ───────▶
//	                ◀───────  6 to the polling request that waits, and 3probe
//	(polling ends)
//	5               ───────▶  from here on all goes over the WebSocket
//
// Anything else ends that WebSocket only; the session stays on polling and may try again.

var (
	probe    = []byte("2probe")
	upgraded = []byte("5")
)

// serveUpgrade takes a WebSocket for a session that exists. If it has one already the new one is closed, but not
// refused: Node does so and clients of the browser could not tell a refusal from a broken line.
func (c *Conn) serveUpgrade(w http.ResponseWriter, r *http.Request) *requestError {
	ws, err := acceptWebSocket(w, r)
	if err != nil {
		return nil // the client is gone
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.srv.running.Add(1) // counted in by the request until here
	if c.state != stateOpen || c.polling == nil || c.polling.probe != nil {
		go c.turnAway(ws)
		return nil
	}
	c.polling.probe = ws
	ws.expire(c.srv.cfg.UpgradeTimeout)
	go c.upgrade(ws, c.polling)
	return nil
}

func (c *Conn) upgrade(ws *websocket, p *polling) {
	ok := c.expect(ws, probe) && c.answerProbe(ws, p) && c.expect(ws, upgraded) && c.finishUpgrade(ws)
	if ok {
		c.srv.running.Done()
		return
	}
	c.mu.Lock()
	p.probe, p.probed = nil, false
	c.mu.Unlock()
	c.turnAway(ws)
}

// expect waits for one text frame.
func (c *Conn) expect(ws *websocket, text []byte) bool {
	for {
		kind, data, err := ws.next(len(probe))
		switch {
		case err != nil:
			return false
		case kind == framePing:
			if ws.write([]packet{{typ: framePong, data: data}}, func() {}) != nil {
				return false
			}
		default:
			return kind == frameText && bytes.Equal(data, text)
		}
	}
}

func (c *Conn) answerProbe(ws *websocket, p *polling) bool {
	c.mu.Lock()
	p.probed = true // before the client knows, for its next request may be quick
	p.wake()
	c.mu.Unlock()
	return ws.write([]packet{{typ: packetPong, data: probe[1:]}}, func() {}) == nil
}

func (c *Conn) finishUpgrade(ws *websocket) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.state != stateOpen {
		return false
	}
	c.polling.wake() // a request that came in spite of the upgrade; it is told so
	ws.keep()
	c.attach(ws)
	c.srv.upgraded.Add(1)
	c.wakeWriter()
	return true
}

// turnAway closes a WebSocket that belongs to no session.
func (c *Conn) turnAway(ws *websocket) {
	defer c.srv.running.Done()
	ws.expire(closeLinger)
	_ = ws.write([]packet{goodbye(0)}, func() {})
	ws.halfClose()
	ws.drain()
}
