package engineio

// This is the only file that knows the WebSocket library.

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/gobwas/ws"
)

// websocket is one end of a WebSocket. One goroutine may read and one may write at a time.
//
// It keeps no buffer but a small one that holds most frames whole, so that an idle connection costs little and a usual
// frame one system call.
type websocket struct {
	conn   net.Conn
	early  *bytes.Buffer // came with the handshake; nil once it is read
	begun  *fragments    // the message whose first fragments have come
	client bool          // this end masks
	base64 bool          // the other end asked for binary messages as text
	state  ws.State

	from, to uint8 // buf[from:to] is read but not consumed
	buf      [64]byte
	head     [ws.MaxHeaderSize - 2]byte
}

// fragments are the beginning of a message.
type fragments struct {
	op   ws.OpCode
	data []byte
}

// frameKind is what came in; pongs and fragments are not told.
type frameKind byte

const (
	frameText frameKind = iota
	frameBinary
	framePing
	frameGoodbye
)

// closeError is a fault of the other end, with the code of the close frame that tells it.
type closeError struct {
	code ws.StatusCode
	err  error
}

func (e *closeError) Error() string { return e.err.Error() }
func (e *closeError) Unwrap() error { return e.err }

var (
	errTooBig      = &closeError{ws.StatusMessageTooBig, errors.New("engineio: message too big")}
	errInvalidUTF8 = &closeError{ws.StatusInvalidFramePayloadData, errors.New("engineio: text is not UTF-8")}
)

// closeCode is the code for the close frame that answers err, 0 for none.
func closeCode(err error) uint16 {
	if ce, ok := errors.AsType[*closeError](err); ok {
		return uint16(ce.code)
	}
	return 0
}

// canUpgrade tells whether acceptWebSocket would take the request, so that a refusal can still be written as HTTP.
func canUpgrade(r *http.Request) bool {
	return r.Method == http.MethodGet && r.ProtoMajor == 1 && r.ProtoMinor >= 1 && r.Host != "" &&
		len(r.Header.Get("Sec-Websocket-Key")) == 24 && r.Header.Get("Sec-Websocket-Version") == "13"
}

// acceptWebSocket answers 101 and takes the connection away from the HTTP server, whose handler must then return: only
// so are the server's buffers and the request freed.
func acceptWebSocket(w http.ResponseWriter, r *http.Request) (*websocket, error) {
	conn, rw, _, err := ws.HTTPUpgrader{
		Timeout:  writeTimeout,
		Protocol: func(string) bool { return true }, // the first one offered
	}.Upgrade(r, w)
	if err != nil {
		if conn != nil {
			conn.Close()
		}
		return nil, fmt.Errorf("engineio: websocket handshake: %w", err)
	}
	return &websocket{conn: conn, early: unread(rw.Reader), state: ws.StateServerSide}, nil
}

// dialWebSocket connects to a ws or wss URL.
func dialWebSocket(ctx context.Context, url string, header http.Header, conf *tls.Config) (*websocket, error) {
	var status int
	var reason []byte
	d := ws.Dialer{
		Header:    ws.HandshakeHeaderHTTP(header),
		TLSConfig: conf,
		OnStatusError: func(code int, _ []byte, resp io.Reader) {
			status = code
			if answer, err := http.ReadResponse(bufio.NewReader(resp), nil); err == nil {
				reason, _ = io.ReadAll(io.LimitReader(answer.Body, 1<<10))
				answer.Body.Close()
			}
		},
	}
	conn, early, _, err := d.Dial(ctx, url)
	if status != 0 {
		err = &HandshakeError{Status: status, Message: string(reason)}
	}
	if err != nil {
		if conn != nil {
			conn.Close()
		}
		return nil, err
	}
	w := &websocket{conn: conn, client: true, state: ws.StateClientSide}
	if early != nil {
		w.early = unread(early)
		ws.PutReader(early)
	}
	return w, nil
}

// unread takes out what r has read ahead, nil if that is nothing.
func unread(r *bufio.Reader) *bytes.Buffer {
	b, _ := r.Peek(r.Buffered())
	if len(b) == 0 {
		return nil
	}
	return bytes.NewBuffer(slices.Clone(b))
}

// next returns the next message or control frame. Data is the caller's.
func (w *websocket) next(limit int) (frameKind, []byte, error) {
	for {
		if w.from == w.to && w.early == nil {
			// An idle connection waits here, where the stack is shallow.
			if err := w.fill(); err != nil {
				return 0, nil, err
			}
		}
		h, err := ws.ReadHeaderBuffer(w, w.head[:])
		if err == nil {
			err = ws.CheckHeader(h, w.state)
		}
		if err != nil {
			return 0, nil, protocolError(err)
		}
		if h.OpCode.IsControl() {
			data, err := w.payload(nil, h)
			if err != nil {
				return 0, nil, err
			}
			switch h.OpCode {
			case ws.OpPing:
				return framePing, data, nil
			case ws.OpClose:
				return frameGoodbye, data, nil
			}
			continue
		}
		m := fragments{op: h.OpCode}
		if h.OpCode == ws.OpContinuation {
			m = *w.begun
		}
		if h.Length > int64(limit-len(m.data)) {
			return 0, nil, errTooBig
		}
		if m.data, err = w.payload(m.data, h); err != nil {
			return 0, nil, err
		}
		if !h.Fin {
			w.begun, w.state = &fragments{m.op, m.data}, w.state.Set(ws.StateFragmented)
			continue
		}
		w.begun, w.state = nil, w.state.Clear(ws.StateFragmented)
		if m.op == ws.OpBinary {
			return frameBinary, m.data, nil
		}
		if !utf8.Valid(m.data) {
			return 0, nil, errInvalidUTF8
		}
		return frameText, m.data, nil
	}
}

func protocolError(err error) error {
	_, isProtocol := errors.AsType[ws.ProtocolError](err)
	if isProtocol || errors.Is(err, ws.ErrHeaderLengthMSB) || errors.Is(err, ws.ErrHeaderLengthUnexpected) {
		return &closeError{ws.StatusProtocolError, err}
	}
	return err
}

// growStep is how far memory for a payload runs ahead of what has come of it: the declared length is only a claim.
const growStep = 32 << 10

// payload appends the payload of a frame to dst.
func (w *websocket) payload(dst []byte, h ws.Header) ([]byte, error) {
	start := len(dst)
	for left := int(h.Length); left > 0; {
		n := min(left, growStep)
		dst = slices.Grow(dst, n)[:len(dst)+n]
		if _, err := io.ReadFull(w, dst[len(dst)-n:]); err != nil {
			return nil, err
		}
		left -= n
	}
	if h.Masked {
		ws.Cipher(dst[start:], h.Mask, 0)
	}
	return dst, nil
}

// Read reads from the buffers before it reads from the connection.
func (w *websocket) Read(p []byte) (int, error) {
	if w.early != nil {
		n, _ := w.early.Read(p)
		if w.early.Len() == 0 {
			w.early = nil
		}
		return n, nil
	}
	if w.from == w.to {
		if len(p) >= len(w.buf) {
			return w.conn.Read(p)
		}
		if err := w.fill(); err != nil {
			return 0, err
		}
	}
	n := copy(p, w.buf[w.from:w.to])
	w.from += uint8(n)
	return n, nil
}

func (w *websocket) fill() error {
	n, err := w.conn.Read(w.buf[:])
	w.from, w.to = 0, uint8(n)
	if n > 0 {
		return nil
	}
	return err
}

// writeBuffers hold what is being written; a connection has one only then.
var writeBuffers = sync.Pool{New: func() any { return new(writeBuffer) }}

type writeBuffer [8 << 10]byte

// write sends packets, as many as fit in each system call. It calls progress after each.
func (w *websocket) write(ps []packet, progress func()) error {
	room := writeBuffers.Get().(*writeBuffer)
	defer writeBuffers.Put(room)
	out := &frameWriter{conn: w.conn, buf: room[:0], progress: progress}
	for _, p := range ps {
		op, prefix, data := w.frame(p)
		h := ws.Header{Fin: true, OpCode: op, Length: int64(len(prefix) + len(data)), Masked: w.client}
		if w.client {
			rand.Read(h.Mask[:])
		}
		out.begin(h)
		out.append(prefix, h, 0)
		out.append(data, h, len(prefix))
	}
	out.flush()
	return out.err
}

// frameWriter gathers small frames and passes large ones on. After an error it does nothing.
type frameWriter struct {
	conn     net.Conn
	buf      appender
	head     [ws.MaxHeaderSize]byte
	progress func()
	err      error
}

// appender is a buffer within its capacity; writing to it does not fail.
type appender []byte

func (a *appender) Write(p []byte) (int, error) {
	*a = append(*a, p...)
	return len(p), nil
}

// begin starts a frame; one that would not fit behind the others starts an empty buffer.
func (o *frameWriter) begin(h ws.Header) {
	if len(o.buf)+ws.MaxHeaderSize+int(h.Length) > cap(o.buf) {
		o.flush()
	}
	_ = ws.WriteHeaderBuffer(&o.buf, h, o.head[:]) // a length that fits in memory is valid
}

// append adds data that starts at offset in the payload of h.
func (o *frameWriter) append(data []byte, h ws.Header, offset int) {
	if !h.Masked && len(data) > cap(o.buf)-len(o.buf) {
		o.flush()
		for len(data) > 0 && o.err == nil {
			n := min(len(data), writeChunk)
			o.send(data[:n])
			data = data[n:]
		}
		return
	}
	for len(data) > 0 && o.err == nil {
		if len(o.buf) == cap(o.buf) {
			o.flush()
		}
		start, n := len(o.buf), min(len(data), cap(o.buf)-len(o.buf))
		o.buf = append(o.buf, data[:n]...)
		if h.Masked {
			ws.Cipher(o.buf[start:], h.Mask, offset)
		}
		data, offset = data[n:], offset+n
	}
}

func (o *frameWriter) flush() {
	if len(o.buf) > 0 && o.err == nil {
		o.send(o.buf)
	}
	o.buf = o.buf[:0]
}

func (o *frameWriter) send(b []byte) {
	_, o.err = o.conn.Write(b)
	o.progress()
}

// writeChunk is the most that is handed to the connection at once, so that progress shows.
const writeChunk = 32 << 10

// frame is how a packet stands on a WebSocket: its type if it is text, then its data.
func (w *websocket) frame(p packet) (op ws.OpCode, prefix, data []byte) {
	switch {
	case p.typ == framePong:
		return ws.OpPong, nil, p.data
	case p.typ == frameClose:
		return ws.OpClose, nil, p.data
	case p.binary && w.base64:
		return ws.OpText, nil, p.appendText(nil)
	case p.binary:
		return ws.OpBinary, nil, p.data
	default:
		return ws.OpText, prefixes[p.typ : p.typ+1], p.data
	}
}

// prefixes has each packet type at its own index, for slices of it that cost no memory.
var prefixes = func() []byte {
	b := make([]byte, 256)
	for i := range b {
		b[i] = byte(i)
	}
	return b
}()

// goodbye is the close frame with a code; 0 is a frame without one, which the other end sees as 1005.
func goodbye(code uint16) packet {
	p := packet{typ: frameClose}
	if code != 0 {
		p.data = binary.BigEndian.AppendUint16(nil, code)
	}
	return p
}

// answerCode is the code that answers a close frame with the given data: its own, if it is a good one.
func answerCode(data []byte) uint16 {
	if len(data) == 0 {
		return 0
	}
	code, reason := ws.ParseCloseFrameData(data)
	if ws.CheckCloseFrameData(code, reason) != nil {
		code = ws.StatusProtocolError
	}
	return uint16(code)
}

// halfClose ends the writing side, so that the other end sees the end of the stream after all that was written.
func (w *websocket) halfClose() {
	if c, ok := w.conn.(interface{ CloseWrite() error }); ok {
		_ = c.CloseWrite() // it closes altogether soon
	}
}

// expire makes all reading and writing fail after d.
func (w *websocket) expire(d time.Duration) { w.conn.SetDeadline(time.Now().Add(d)) }

// keep undoes expire.
func (w *websocket) keep() { w.conn.SetDeadline(time.Time{}) }

// drain reads until the other end is done or the deadline has passed, then frees the connection. Closing with bytes
// unread would make the system reset the connection and lose what was written last.
func (w *websocket) drain() {
	_, _ = io.Copy(io.Discard, w.conn)
	w.conn.Close()
}
