package mongostore_test

import (
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/url"
	"sync"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"loupe/internal/asset"
	"loupe/internal/asset/mongostore/mongotest"
)

// line is a connection to a server that can be made to break.
type line struct {
	url.URL

	mu     sync.Mutex
	breaks string // the command at which it breaks, once; then ""
	when   moment
}

// moment is when a line breaks.
type moment int

const (
	never         moment = iota
	beforeCommand        // the server never hears of it
	beforeAnswer         // the server has done it
)

// newLine returns a line to the server that uri names, as another URI.
func newLine(t *testing.T, uri string) *line {
	t.Helper()
	u, err := url.Parse(uri)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := u.Host
	u.Host = l.Addr().String()
	query := u.Query()
	query.Set("directConnection", "true")
	u.RawQuery = query.Encode()
	out := &line{URL: *u}
	var wait sync.WaitGroup
	wait.Go(func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			wait.Go(func() {
				defer client.Close()
				if up, err := net.Dial("tcp", server); err == nil {
					defer up.Close()
					out.pass(client, up)
				}
			})
		}
	})
	t.Cleanup(func() { l.Close(); wait.Wait() })
	return out
}

// breakAt makes the line break at the next such command; it returns a function that reports whether it has.
func (l *line) breakAt(command string, when moment) (broke func() bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.breaks, l.when = command, when
	return func() bool {
		l.mu.Lock()
		defer l.mu.Unlock()
		return l.breaks == ""
	}
}

func (l *line) pass(client, server net.Conn) {
	for {
		command, err := message(client)
		if err != nil {
			return
		}
		cut := l.cuts(command)
		if cut == beforeCommand {
			return
		}
		if _, err := server.Write(command); err != nil {
			return
		}
		answer, err := message(server)
		if err != nil || cut == beforeAnswer {
			return
		}
		if _, err := client.Write(answer); err != nil {
			return
		}
	}
}

// cuts returns when the line breaks at this message.
func (l *line) cuts(msg []byte) moment {
	const header, flagsAndKind = 16, 5
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(msg) < header+flagsAndKind || l.breaks == "" {
		return never
	}
	first, err := bson.Raw(msg[header+flagsAndKind:]).IndexErr(0)
	if err != nil || first.Key() != l.breaks {
		return never
	}
	l.breaks = ""
	return l.when
}

func message(r io.Reader) ([]byte, error) {
	var length [4]byte
	if _, err := io.ReadFull(r, length[:]); err != nil {
		return nil, err
	}
	msg := make([]byte, binary.LittleEndian.Uint32(length[:]))
	copy(msg, length[:])
	_, err := io.ReadFull(r, msg[4:])
	return msg, err
}

// Where the server cannot tell a repeated write from a new one, the store can: what was done once is done once, and is
// no conflict.
func testLostAnswer(t *testing.T, server string) {
	for name, when := range map[string]moment{"command": beforeCommand, "answer": beforeAnswer} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			line := newLine(t, mongotest.Database(t, server))
			s := open(t, line.String())
			during := func(command string, do func() error) {
				t.Helper()
				broke := line.breakAt(command, when)
				if err := do(); err != nil || !broke() {
					t.Errorf("%v; the line broke at %s: %t", err, command, broke())
				}
			}
			a := fresh()
			during("insert", func() error { return s.Create(t.Context(), a, asset.Entry{At: base, Event: asset.EventReceived}) })
			if err := s.Create(t.Context(), a); !errors.Is(err, asset.ErrExists) {
				t.Errorf("create again: %v", err)
			}

			transition := func(c asset.Change) error {
				_, err := s.Transition(t.Context(), a.ID, c)
				return err
			}
			start := asset.Change{
				From: []asset.Status{asset.Draft}, JobID: a.JobID, At: base.Add(time.Second), To: asset.Processing,
				Log: []asset.Entry{{At: base, Event: asset.EventQueued}},
			}
			during("findAndModify", func() error { return transition(start) })
			if err := transition(start); !errors.Is(err, asset.ErrConflict) {
				t.Errorf("start again: %v", err)
			}
			note := asset.Change{From: []asset.Status{asset.Processing}, JobID: a.JobID, Log: []asset.Entry{{At: base, Event: asset.EventStarted}}}
			during("findAndModify", func() error { return transition(note) }) // its compare would hold a second time
			if entries, err := s.Timeline(t.Context(), asset.TimelineQuery{AssetID: a.ID}); err != nil || len(entries) != 3 {
				t.Errorf("timeline: %v, %v", entries, err)
			}
			during("findAndModify", func() error {
				_, err := s.Update(t.Context(), a.ID, a.Owner, asset.Patch{At: base, Brand: &name})
				return err
			})
			during("find", func() error {
				_, err := s.Get(t.Context(), a.ID)
				return err
			})
		})
	}
}
