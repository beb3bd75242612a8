package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"testing"
)

// echo answers each line with the same, and says by which echo that was.
func echo(t *testing.T, name string) (address string) {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				for lines := bufio.NewScanner(c); lines.Scan(); {
					fmt.Fprintf(c, "%s: %s\n", name, lines.Text())
				}
			}()
		}
	}()
	return l.Addr().String()
}

// caller is a connection through a link.
type caller struct {
	net.Conn
	answers *bufio.Reader
}

func call(t *testing.T, l *link) caller {
	t.Helper()
	c, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", l.address())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return caller{c, bufio.NewReader(c)}
}

func (c caller) says(t *testing.T, line, want string) {
	t.Helper()
	fmt.Fprintln(c, line)
	if got, err := c.answers.ReadString('\n'); err != nil || got != want+"\n" {
		t.Errorf("answer %q, %v; want %q", got, err, want)
	}
}

func (c caller) gone(t *testing.T) {
	t.Helper()
	if rest, err := io.ReadAll(c); len(rest) > 0 {
		t.Errorf("still there: %q, %v", rest, err)
	}
}

func TestLink(t *testing.T) {
	t.Parallel()
	l, err := newLink(t.Context(), "a→b", echo(t, "first"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.close()
	c := call(t, l)
	c.says(t, "hello", "first: hello")

	l.lead(echo(t, "second"))
	c.says(t, "still", "first: still")
	l.cut(false)
	c.gone(t)
	c = call(t, l)
	c.says(t, "again", "second: again")

	l.hold()
	select {
	case <-l.gate():
		t.Error("a held link is open")
	default:
	}
	fmt.Fprintln(c, "wait")
	l.mend()
	c.says(t, "go on", "second: wait")

	l.cut(true)
	call(t, l).gone(t)
	l.mend()
	call(t, l).says(t, "up", "second: up")
}
