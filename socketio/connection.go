package socketio

import (
	"encoding/json"
	"net"
	"slices"
	"sync"

	"loupe/socketio/engineio"
	"loupe/socketio/packet"
)

// connection is one Engine.IO session and the sockets that its client has on it, one for each namespace.
type connection struct {
	srv     *Server
	eng     *engineio.Conn
	decoder packet.Decoder // used by Receive only, which is called one at a time

	mu      sync.Mutex // protects following
	sockets []*Socket  // those that are connecting included, and those the server disconnected
	settled bool       // has been in a namespace, or is closed; then it is not pending
	closed  bool
}

// settle takes the connection out of the pending ones, once.
func (c *connection) settle() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.settled {
		c.settled = true
		c.srv.pending.remove(c.eng.RemoteAddr())
		c.eng.CloseAfter(0)
	}
}

// pending counts the connections that are not in a namespace yet.
type pending struct {
	mu     sync.Mutex
	total  int
	byAddr map[string]int
}

func (p *pending) add(remote string, limit, limitPerAddr int) bool {
	addr := hostOf(remote)
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.total >= limit || p.byAddr[addr] >= limitPerAddr {
		return false
	}
	p.total++
	p.byAddr[addr]++
	return true
}

func (p *pending) remove(remote string) {
	addr := hostOf(remote)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.total--
	if p.byAddr[addr]--; p.byAddr[addr] == 0 {
		delete(p.byAddr, addr)
	}
}

func hostOf(remote string) string {
	if host, _, err := net.SplitHostPort(remote); err == nil {
		return host
	}
	return remote
}

// Receive takes what the client sent. Whatever breaks the protocol ends the connection, as with Node.
func (c *connection) Receive(m engineio.Message) {
	decode := c.decoder.Text
	if m.Binary {
		decode = c.decoder.Binary
	}
	p, complete, err := decode(m.Data)
	if err == nil && !complete {
		return
	}
	if err != nil || !c.handle(p) {
		c.eng.Close(ForcedClose)
	}
}

// handle returns false for what a client may not send now.
func (c *connection) handle(p packet.Packet) bool {
	if p.Type == packet.Connect {
		return c.connect(p)
	}
	s := c.socket(p.Namespace)
	if s == nil {
		return false
	}
	switch p.Type {
	case packet.Event:
		return s.receive(event{name: p.Name, args: p.Args, id: p.ID})
	case packet.Ack:
		s.acknowledged(p.ID, p.Args)
		return true
	case packet.Disconnect:
		s.end(ClientDisconnect)
		return true
	}
	return false
}

func (c *connection) connect(p packet.Packet) bool {
	ns := c.srv.namespace(p.Namespace)
	if ns == nil {
		c.refuse(p.Namespace, &ConnectError{Message: "Invalid namespace"})
		return true
	}
	s := newSocket(ns, c)
	c.mu.Lock()
	defer c.mu.Unlock()
	old := c.find(p.Namespace)
	switch {
	case c.closed, old >= 0 && !c.sockets[old].dismissed.Load():
		return false
	case old >= 0:
		c.sockets[old] = s
	default:
		c.sockets = append(c.sockets, s)
	}
	c.srv.running.Add(1)
	go s.connect(p.Data)
	return true
}

func (c *connection) refuse(namespace string, reason *ConnectError) {
	p := packet.EncodeConnect(packet.ConnectError, namespace, reason.payload())
	_ = c.eng.Send(engineio.Message{Data: p.Text}) // an error means that the client is gone
}

func (c *connection) find(namespace string) int {
	return slices.IndexFunc(c.sockets, func(s *Socket) bool { return s.ns.name == namespace })
}

func (c *connection) socket(namespace string) *Socket {
	c.mu.Lock()
	defer c.mu.Unlock()
	if i := c.find(namespace); i >= 0 {
		return c.sockets[i]
	}
	return nil
}

func (c *connection) remove(s *Socket) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if i := slices.Index(c.sockets, s); i >= 0 {
		c.sockets = slices.Delete(c.sockets, i, i+1)
	}
}

// Closed ends all sockets.
func (c *connection) Closed(reason Reason) {
	c.mu.Lock()
	c.closed = true
	sockets := slices.Clone(c.sockets)
	c.mu.Unlock()
	c.settle()
	for _, s := range sockets {
		s.end(reason)
	}
}

func (c *connection) handshake(namespace string, auth json.RawMessage) *Handshake {
	if auth == nil {
		auth = json.RawMessage("{}")
	}
	return &Handshake{
		Namespace:  namespace,
		Auth:       auth,
		Header:     c.eng.Header(),
		Query:      c.eng.Query(),
		RemoteAddr: c.eng.RemoteAddr(),
	}
}
