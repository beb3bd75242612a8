package bench

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

const (
	dials      = 100             // at once
	readBuffer = 4 << 10         // of each socket, in bytes
	patience   = 3 * time.Minute // for any answer
)

// crowd is many clients. Each does as little as a client can, so that what is measured is the server.
type crowd struct {
	conns   []net.Conn
	reading sync.WaitGroup
	closing atomic.Bool

	events atomic.Int64 // received
	wanted atomic.Int64
	all    chan struct{} // gets one when as many events have come as are wanted
	failed chan error
}

// connect connects n clients, as so many users, and returns when the server has let the last one in.
func connect(b *testing.B, s peerServer, n, users int) *crowd {
	c := &crowd{conns: make([]net.Conn, n), all: make(chan struct{}, 1), failed: make(chan error, 1)}
	tokens := make([]string, users)
	for i := range tokens {
		tokens[i] = token(strconv.Itoa(i))
	}
	var next atomic.Int64
	errs := make(chan error, dials)
	for range dials {
		go func() {
			for {
				i := int(next.Add(1)) - 1
				if i >= n {
					errs <- nil
					return
				}
				if err := c.dial(i, s.addr, tokens[i%users]); err != nil {
					errs <- fmt.Errorf("client %d: %w", i, err)
					return
				}
			}
		}()
	}
	for range dials {
		if err := <-errs; err != nil {
			b.Fatal(err)
		}
	}
	return c
}

// close breaks all connections.
func (c *crowd) close(b *testing.B) {
	select {
	case err := <-c.failed:
		b.Error(err)
	default:
	}
	c.closing.Store(true)
	for _, conn := range c.conns {
		conn.Close()
	}
	c.reading.Wait()
}

// receive has the server emit, and returns when all clients have got all.
func (c *crowd) receive(b *testing.B, s peerServer, events, rooms, perRoom, rate int) {
	c.events.Store(0)
	c.wanted.Store(int64(events * perRoom))
	s.emit(b, events, rooms, rate)
	select {
	case <-c.all:
	case err := <-c.failed:
		b.Fatal(err)
	case <-time.After(patience):
		b.Fatalf("%d events came of %d", c.events.Load(), c.wanted.Load())
	}
}

// dial connects client i and leaves it reading.
func (c *crowd) dial(i int, addr, token string) error {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		return err
	}
	c.conns[i] = conn
	conn.SetDeadline(time.Now().Add(patience))
	_, err = io.WriteString(conn, "GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: "+addr+
		"\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: c3VjaCBhIG5pY2Uga2V5IQ==\r\n\r\n")
	if err != nil {
		return err
	}
	r := bufio.NewReaderSize(conn, readBuffer)
	if err := skipHead(r); err != nil {
		return err
	}
	if m, err := message(r); err != nil || m[0] != '0' {
		return fmt.Errorf("not opened: %q, %w", m, err)
	}
	if err := writeText(conn, `40{"token":"`+token+`"}`); err != nil {
		return err
	}
	if m, err := message(r); err != nil || !bytes.HasPrefix(m, []byte("40")) {
		return fmt.Errorf("not let in: %q, %w", m, err)
	}
	conn.SetDeadline(time.Time{})
	c.reading.Go(func() {
		if err := c.read(conn, r); err != nil && !c.closing.Load() {
			select {
			case c.failed <- err:
			default:
			}
		}
	})
	return nil
}

// read answers pings and counts events until the connection breaks.
func (c *crowd) read(conn net.Conn, r *bufio.Reader) error {
	for {
		m, err := message(r)
		switch {
		case err != nil:
			return err
		case m[0] == '2':
			if err := writeText(conn, "3"); err != nil {
				return err
			}
		case bytes.HasPrefix(m, []byte("42")):
			if c.events.Add(1) == c.wanted.Load() {
				c.all <- struct{}{}
			}
		default:
			return fmt.Errorf("unexpected %q", m)
		}
	}
}

// writeText sends a short message, masked by zeros.
func writeText(conn net.Conn, text string) error {
	frame := []byte{0x81}
	if len(text) < 126 {
		frame = append(frame, 0x80|byte(len(text)))
	} else {
		frame = binary.BigEndian.AppendUint16(append(frame, 0x80|126), uint16(len(text)))
	}
	_, err := conn.Write(append(append(frame, 0, 0, 0, 0), text...))
	return err
}

// skipHead reads the answer to the upgrade.
func skipHead(r *bufio.Reader) error {
	status, err := r.ReadString('\n')
	if err != nil || !strings.Contains(status, " 101 ") {
		return fmt.Errorf("not upgraded: %q, %w", status, err)
	}
	for {
		if line, err := r.ReadSlice('\n'); err != nil || len(line) <= 2 {
			return err
		}
	}
}

// message reads the text of a frame, which is valid until the next one is read.
func message(r *bufio.Reader) ([]byte, error) {
	head, err := r.Peek(2)
	if err != nil {
		return nil, err
	}
	n, from := int(head[1]), 2
	if n == 126 {
		if head, err = r.Peek(4); err != nil {
			return nil, err
		}
		n, from = int(binary.BigEndian.Uint16(head[2:])), 4
	}
	if head[0] != 0x81 || n == 0 || n == 127 {
		return nil, fmt.Errorf("unexpected frame % x", head)
	}
	frame, err := r.Peek(from + n)
	if err != nil {
		return nil, err
	}
	_, err = r.Discard(from + n)
	return frame[from:], err
}
