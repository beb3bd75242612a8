package engineio

import (
	"bytes"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"runtime"
	"strings"
	"testing"

	"github.com/gobwas/ws"
)

// Whatever is taken as a payload comes out again as the same packets.
func FuzzPayload(f *testing.F) {
	for _, seed := range []string{
		"", "4", "4hello", "4a\x1e4b", "bAQIDBA==", "4a\x1e", "\x1e", "b", "b!", "b\n", "bAQID\r\nBA==", "2probe", "3", "1", "7", "abc",
		"40{}\x1e2\x1ebAA==", strings.Repeat("4\x1e", 200),
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		const limit = 100
		var ps []packet
		each := func(p packet) error {
			ps = append(ps, p)
			return nil
		}
		err := parsePayload(body, limit, each)
		if len(ps) > limit {
			t.Fatalf("%d packets", len(ps))
		}
		if err != nil || len(ps) == 0 {
			return
		}
		first := ps
		ps = nil
		if err := parsePayload(encodePayload(first), limit, each); err != nil {
			t.Fatalf("encoded again: %v", err)
		}
		if len(ps) != len(first) {
			t.Fatalf("%d packets, again %d", len(first), len(ps))
		}
		for i, p := range ps {
			if q := first[i]; p.typ != q.typ || p.binary != q.binary || !bytes.Equal(p.data, q.data) {
				t.Fatalf("packet %d: %v, again %v", i, q, p)
			}
		}
	})
}

// script is a connection that says what it was given, in pieces.
type script struct {
	net.Conn
	say   []byte
	piece int
}

func (s *script) Read(p []byte) (int, error) {
	if len(s.say) == 0 {
		return 0, io.EOF
	}
	n := copy(p[:min(len(p), s.piece)], s.say)
	s.say = s.say[n:]
	return n, nil
}

// No bytes on a WebSocket make the reader panic, take more than the limit, or return text that is not UTF-8; and how
// the network cuts them makes no difference.
func FuzzFrames(f *testing.F) {
	frame := func(fr ws.Frame) []byte { return ws.MustCompileFrame(ws.MaskFrameWith(fr, [4]byte{1, 2, 3, 4})) }
	f.Add(frame(ws.NewTextFrame([]byte("4hello"))))
	f.Add(frame(ws.NewBinaryFrame(bytes.Repeat([]byte{7}, 300))))
	f.Add(append(frame(ws.NewFrame(ws.OpText, false, []byte("4a"))), frame(ws.NewFrame(ws.OpContinuation, true, []byte("b")))...))
	f.Add(frame(ws.NewPingFrame([]byte("x"))))
	f.Add(frame(ws.NewCloseFrame(ws.NewCloseFrameBody(1000, "bye"))))
	f.Add([]byte{0x82, 0xff, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0})
	f.Add(ws.MustCompileFrame(ws.NewTextFrame([]byte("unmasked"))))
	f.Fuzz(func(t *testing.T, stream []byte) {
		const limit = 1000
		read := func(early, piece int) (seen []string) {
			w := &websocket{conn: &script{say: bytes.Clone(stream[early:]), piece: piece}, state: ws.StateServerSide}
			if early > 0 {
				w.early = bytes.NewBuffer(bytes.Clone(stream[:early]))
			}
			for {
				kind, data, err := w.next(limit)
				if err != nil {
					_, closed := errors.AsType[*closeError](err)
					if closed {
						seen = append(seen, err.Error())
					}
					return seen
				}
				if len(data) > limit || kind == frameText && !bytes.Equal(bytes.ToValidUTF8(data, nil), data) {
					t.Fatalf("%d bytes of kind %d", len(data), kind)
				}
				seen = append(seen, string(byte('0'+kind))+string(data))
			}
		}
		whole := read(0, 1<<20)
		for _, cut := range [][2]int{{0, 1}, {0, 7}, {len(stream) / 2, 3}, {len(stream), 1}} {
			if got := read(cut[0], cut[1]); strings.Join(got, "\x00") != strings.Join(whole, "\x00") {
				t.Fatalf("cut %v: %q, whole %q", cut, got, whole)
			}
		}
	})
}

// No query makes the server panic or answer with another status than those it has.
func FuzzHandshakeQuery(f *testing.F) {
	for _, seed := range []string{
		"EIO=4&transport=polling", "EIO=4&transport=websocket", "transport=polling", "EIO=4&transport=polling&sid=AAAAAAAAAAAAAAAAAAAA",
		"EIO=4&transport=polling&j=0", "EIO=%zz", "EIO=4;transport=polling", "&&&", "EIO=4&transport=polling&b64=1", "__proto__=1&transport=polling",
	} {
		f.Add(seed, "https://a.example", false)
		f.Add(seed, "null", true)
	}
	f.Fuzz(func(t *testing.T, query, origin string, upgrade bool) {
		s := NewServer(Config{AllowedOrigins: []string{"https://a.example"}}, func(*Conn, *http.Request) (Receiver, error) { return nobody{}, nil })
		r := &http.Request{
			Method: http.MethodGet, URL: &url.URL{Path: "/engine.io/", RawQuery: query}, Host: "server", ProtoMajor: 1, ProtoMinor: 1,
			Header: http.Header{"Origin": {origin}},
		}
		if upgrade {
			r.Header.Set("Upgrade", "websocket")
		}
		w := httptest.NewRecorder()
		s.ServeHTTP(w, r)
		switch w.Code {
		case http.StatusOK, http.StatusBadRequest, http.StatusForbidden:
		default:
			t.Errorf("status %d", w.Code)
		}
		if err := s.Close(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

type nobody struct{}

func (nobody) Receive(Message) {}
func (nobody) Closed(Reason)   {}

// The memory for a payload follows what comes, not what was claimed.
func TestClaimedLengthCostsNothing(t *testing.T) { // not parallel, for it counts the memory of all
	claim := []byte{0x82, 0xff, 0, 0, 0, 0, 0x3f, 0, 0, 0, 1, 2, 3, 4, 'x'}
	w := &websocket{conn: &script{say: claim, piece: 100}, state: ws.StateServerSide}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, _, err := w.next(1 << 30)
	runtime.ReadMemStats(&after)
	if !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("error %v", err)
	}
	if took := after.TotalAlloc - before.TotalAlloc; took > 1<<20 {
		t.Errorf("took %d bytes", took)
	}
}
