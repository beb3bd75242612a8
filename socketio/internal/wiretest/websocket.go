package wiretest

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"testing"

	"github.com/gobwas/ws"
)

// WebSocket is the client's end of a WebSocket.
type WebSocket struct {
	t    *testing.T
	Conn net.Conn
	in   io.Reader
}

// Dial opens a WebSocket with the query; the error is the server's refusal.
func (p *Peer) Dial(query string, header http.Header) (*WebSocket, error) {
	var status int
	var body []byte
	d := ws.Dialer{
		NetDial: func(ctx context.Context, _, _ string) (net.Conn, error) { return p.dial(ctx) },
		Header:  ws.HandshakeHeaderHTTP(header),
		OnStatusError: func(code int, _ []byte, r io.Reader) {
			status = code
			if resp, err := http.ReadResponse(bufio.NewReader(r), nil); err == nil {
				body, _ = io.ReadAll(resp.Body)
				resp.Body.Close()
			}
		},
	}
	conn, br, _, err := d.Dial(p.t.Context(), "ws://server"+p.path+"?"+query)
	if status != 0 {
		return nil, fmt.Errorf("%d %s", status, body)
	}
	if err != nil {
		return nil, err
	}
	w := &WebSocket{t: p.t, Conn: conn, in: conn}
	if br != nil {
		early, _ := br.Peek(br.Buffered())
		w.in = io.MultiReader(bytes.NewReader(bytes.Clone(early)), conn)
		ws.PutReader(br)
	}
	p.t.Cleanup(func() { conn.Close() })
	return w, nil
}

// WebSocket opens a WebSocket for a session, or for a new one if sid is empty.
func (p *Peer) WebSocket(sid string) *WebSocket {
	p.t.Helper()
	query := "EIO=4&transport=websocket"
	if sid != "" {
		query += "&sid=" + sid
	}
	w, err := p.Dial(query, nil)
	if err != nil {
		p.t.Fatalf("websocket: %v", err)
	}
	return w
}

// OpenWebSocket opens a session on a WebSocket, its open packet read.
func (p *Peer) OpenWebSocket() *WebSocket {
	p.t.Helper()
	w := p.WebSocket("")
	SID(p.t, w.Read())
	return w
}

// Upgrade puts a session on a WebSocket.
func (p *Peer) Upgrade(sid string) *WebSocket {
	p.t.Helper()
	w := p.WebSocket(sid)
	w.Probe()
	w.Send("5")
	return w
}

// Probe begins an upgrade.
func (w *WebSocket) Probe() {
	w.t.Helper()
	w.Send("2probe")
	w.Expect("3probe")
}

// Send sends a text message.
func (w *WebSocket) Send(text string) { w.Frame(ws.NewTextFrame([]byte(text))) }

// SendBinary sends a binary message.
func (w *WebSocket) SendBinary(data ...byte) { w.Frame(ws.NewBinaryFrame(data)) }

// Frame sends a frame, masked.
func (w *WebSocket) Frame(f ws.Frame) { w.Raw(ws.MustCompileFrame(ws.MaskFrame(f))) }

// Raw sends bytes. That the server has hung up is not an error here: what it said last is still to be read.
func (w *WebSocket) Raw(b []byte) { w.Conn.Write(b) }

// ErrClosed is what Next returns at the end of the stream.
var ErrClosed = errors.New("closed")

// CloseError is the server's close frame; its code is 1005 if it had none.
type CloseError int

func (e CloseError) Error() string { return fmt.Sprintf("closed with %d", int(e)) }

// Next returns the next message; a binary one as "b:" and its bytes.
func (w *WebSocket) Next() (string, error) {
	for {
		f, err := ws.ReadFrame(w.in) //nolint:staticcheck // what it does not bound comes from our own server
		if err != nil {
			return "", ErrClosed
		}
		switch f.Header.OpCode {
		case ws.OpText:
			return string(f.Payload), nil
		case ws.OpBinary:
			return "b:" + string(f.Payload), nil
		case ws.OpPong:
			return "pong:" + string(f.Payload), nil
		case ws.OpClose:
			code, _ := ws.ParseCloseFrameData(f.Payload)
			if code.Empty() {
				code = 1005
			}
			w.Conn.Close() // as a well-behaved client does
			return "", CloseError(code)
		}
	}
}

// Read returns the next message and fails the test if there is none.
func (w *WebSocket) Read() string {
	w.t.Helper()
	m, err := w.Next()
	if err != nil {
		w.t.Fatalf("no message: %v", err)
	}
	return m
}

// Expect reads messages and fails the test if they are others.
func (w *WebSocket) Expect(want ...string) {
	w.t.Helper()
	for _, want := range want {
		if got := w.Read(); got != want {
			w.t.Fatalf("got %.200q, want %.200q", got, want)
		}
	}
}

// ExpectClose reads on until the connection is closed and returns the messages before that.
func (w *WebSocket) ExpectClose() (messages []string) {
	w.t.Helper()
	for {
		m, err := w.Next()
		if err != nil {
			return messages
		}
		messages = append(messages, m)
	}
}

// Close hangs up without a goodbye.
func (w *WebSocket) Close() { w.Conn.Close() }
