package main

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"sync"
)

// turns passes commands on to a server, one at a time.
type turns struct {
	server string // host and port
	mu     sync.Mutex
}

// serve takes connections until the listener is closed, and returns when all have ended. They end with ctx.
func (t *turns) serve(ctx context.Context, l net.Listener) {
	var wait sync.WaitGroup
	defer wait.Wait()
	for {
		client, err := l.Accept()
		if err != nil {
			return
		}
		wait.Go(func() {
			defer client.Close()
			defer context.AfterFunc(ctx, func() { client.Close() })()
			t.pass(ctx, client) // how it ends, the client sees
		})
	}
}

// pass carries one connection's commands to a connection of their own, and the answers back.
func (t *turns) pass(ctx context.Context, client net.Conn) error {
	server, err := new(net.Dialer).DialContext(ctx, "tcp", t.server)
	if err != nil {
		return err
	}
	defer server.Close()
	for {
		command, err := readMessage(client)
		if err != nil {
			return err
		}
		answer, err := t.take(server, command)
		if err != nil {
			return err
		}
		if _, err := client.Write(answer); err != nil {
			return err
		}
	}
}

// take returns the server's answer to one command. There always is one: our tests write nothing unacknowledged.
func (t *turns) take(server net.Conn, command []byte) ([]byte, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if _, err := server.Write(command); err != nil {
		return nil, err
	}
	return readMessage(server)
}

const (
	lengthSize = 4
	maxMessage = 48_000_000 // as MongoDB has it
)

// readMessage reads a message of the MongoDB protocol: its length, in which the length itself counts, then the rest.
func readMessage(r io.Reader) ([]byte, error) {
	var length [lengthSize]byte
	if _, err := io.ReadFull(r, length[:]); err != nil {
		return nil, err
	}
	n := binary.LittleEndian.Uint32(length[:])
	if n < lengthSize || n > maxMessage {
		return nil, fmt.Errorf("a message of %d bytes", n)
	}
	message := make([]byte, n)
	copy(message, length[:])
	_, err := io.ReadFull(r, message[lengthSize:])
	return message, err
}
