package engineio

import (
	"context"
	"net/url"
	"sync"
	"time"
)

type clientWebSocket struct {
	ws    *websocket
	limit int
	mu    sync.Mutex // for writing
}

func dialClientWebSocket(ctx context.Context, u *url.URL, cfg DialConfig) (clientTransport, []packet, error) {
	at := *u
	switch at.Scheme {
	case "http":
		at.Scheme = "ws"
	case "https":
		at.Scheme = "wss"
	}
	ws, err := dialWebSocket(ctx, at.String(), cfg.Header, cfg.TLS)
	if err != nil {
		return nil, nil, err
	}
	t := &clientWebSocket{ws: ws, limit: cfg.MaxPayload}
	stop := context.AfterFunc(ctx, func() { ws.expire(0) })
	first, err := t.read()
	if !stop() {
		err = ctx.Err()
	}
	if err != nil {
		t.close()
		return nil, nil, err
	}
	return t, first, nil
}

func (t *clientWebSocket) read() ([]packet, error) {
	for {
		kind, data, err := t.ws.next(t.limit)
		if err != nil {
			return nil, err
		}
		switch kind {
		case frameText:
			p, err := parsePacket(data)
			return []packet{p}, err
		case frameBinary:
			return []packet{{typ: packetMessage, binary: true, data: data}}, nil
		case framePing:
			err = t.write(context.Background(), []packet{{typ: framePong, data: data}})
		case frameGoodbye:
			err = ErrClosed
		}
		if err != nil {
			return nil, err
		}
	}
}

func (t *clientWebSocket) write(ctx context.Context, ps []packet) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return err
	}
	deadline, _ := ctx.Deadline()
	t.ws.conn.SetWriteDeadline(deadline)
	stop := context.AfterFunc(ctx, func() { t.ws.conn.SetWriteDeadline(time.Now()) })
	defer stop()
	return t.ws.write(ps, func() {})
}

func (t *clientWebSocket) close() { t.ws.conn.Close() }
