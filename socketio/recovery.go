package socketio

import (
	"cmp"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"loupe/socketio/engineio"
	"loupe/socketio/internal/sid"
	"loupe/socketio/packet"
)

// Recovery lets a client that lost its connection come back to its socket: with its id, its rooms and the events that it
// missed, those emitted to its rooms included. Its official clients do so by themselves; [Socket.Recovered] tells.
//
// Middleware runs all the same. The socket is given to the client only if [Handshake.User] is who it was before, and
// only once. The events are kept in memory, so a client recovers only at the process that it was connected to.
//
// To each event, except those that want an acknowledgement, one argument is added at the end, a string: the place to
// go on from. Acknowledged events are not recovered, nor volatile ones; and an acknowledged event whose last argument is
// a string makes the official clients forget their place, so that the next recovery fails.
type Recovery struct {
	// Window is how long after the loss of its connection a socket can be recovered. Node's default is two minutes.
	// Defaults to 0, no recovery.
	Window time.Duration
	// MaxSockets is how many lost sockets are kept for each namespace; the oldest goes first. Defaults to 10,000.
	MaxSockets int
	// MaxEvents and MaxBytes bound the events that are kept for each namespace; the oldest go first. Default to 10,000
	// and 16 MiB.
	MaxEvents, MaxBytes int
}

func (r Recovery) withDefaults() Recovery {
	r.MaxSockets = max(0, cmp.Or(r.MaxSockets, 10_000))
	r.MaxEvents = max(0, cmp.Or(r.MaxEvents, 10_000))
	r.MaxBytes = max(0, cmp.Or(r.MaxBytes, 16<<20))
	return r
}

// history is what a namespace remembers for recovery.
//
// Its lock is held while an event gets its number, is kept, and is queued to sockets. So each socket gets the events in
// the order of their numbers, and what it has not got when it is lost is exactly what comes after its last one.
type history struct {
	cfg   Recovery
	boot  string // begins every offset: the numbers of another process mean nothing
	start time.Time

	mu    sync.Mutex // taken before those of sockets and rooms
	kept  []keptEvent
	first int64 // number of kept[0]; the last event has the number first+len(kept)-1
	bytes int
	byPID map[string]*session
	lost  []lostSession // oldest first; may name sessions that were recovered since
	nLost int
}

type keptEvent struct {
	target Target
	packet packet.Encoded
	at     time.Duration
}

// session is the part of a socket that outlives its connection.
type session struct {
	pid    string // a secret: who knows it, and is the user, gets the socket
	id     string
	user   string
	start  int64    // number of the last event before it connected first
	last   int64    // number of the last event before it connected last, or that was queued to it since
	socket *Socket  // nil while lost
	rooms  []string // while lost
	data   any
	lostAt time.Duration
	seen   int64 // number of the last event when it was lost
}

type lostSession struct {
	session *session
	at      time.Duration
}

func newHistory(cfg Recovery) *history {
	return &history{cfg: cfg.withDefaults(), boot: sid.New()[:8], start: time.Now(), first: 1, byPID: make(map[string]*session)}
}

func (h *history) now() time.Duration { return time.Since(h.start) }

func (h *history) lastNumber() int64 { return h.first + int64(len(h.kept)) - 1 }

func (h *history) offset(number int64) string { return h.boot + strconv.FormatInt(number, 36) }

// number is the inverse of offset.
func (h *history) number(offset string) (int64, bool) {
	digits, ours := strings.CutPrefix(offset, h.boot)
	n, err := strconv.ParseInt(digits, 36, 64)
	return n, ours && err == nil && n >= 0
}

// emit keeps an event and calls send for each socket that each selects. A volatile event is not kept; but it must not
// make clients forget their place, so it repeats the last one if they would take its own last argument for one.
func (h *history) emit(e *Emission, each func(Target, func(*Socket))) {
	h.mu.Lock()
	defer h.mu.Unlock()
	p := e.Packet
	if e.Volatile {
		if p.EndsInString() {
			p = p.WithString(h.offset(h.lastNumber()))
		}
		ms := appendMessages(nil, p)
		each(e.Target, func(s *Socket) { s.sendVolatile(ms) })
		return
	}
	number := h.lastNumber() + 1
	p = p.WithString(h.offset(number))
	h.keep(keptEvent{target: e.Target, packet: p, at: h.now()})
	ms := appendMessages(nil, p)
	each(e.Target, func(s *Socket) {
		if s.send(ms) == nil {
			s.session.last = number
		}
	})
}

func (h *history) keep(e keptEvent) {
	h.kept = append(h.kept, e)
	h.bytes += e.size()
	for len(h.kept) > 0 && (len(h.kept) > h.cfg.MaxEvents || h.bytes > h.cfg.MaxBytes || e.at-h.kept[0].at > h.cfg.Window) {
		h.bytes -= h.kept[0].size()
		h.kept[0] = keptEvent{}
		h.kept = h.kept[1:]
		h.first++
	}
}

func (e keptEvent) size() int { return e.packet.Len() + engineio.MessageOverhead }

// begin gives a socket a session, a new one or the one that its client comes back for, and lets it enter its namespace.
func (h *history) begin(s *Socket, claim claim, data any) {
	if old := h.holder(claim); old != nil {
		// The client is back before its loss was noticed here.
		old.conn.eng.Close(TransportClose)
		old.end(TransportClose)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	s.data = data
	var missed []packet.Encoded
	lost := h.byPID[claim.PID]
	if lost != nil && lost.socket == nil && lost.user == claim.user && h.now()-lost.lostAt <= h.cfg.Window {
		missed, s.recovered = h.missed(lost, claim.Offset)
	}
	if s.recovered {
		s.id, s.session = lost.id, lost
		if data == nil {
			s.data = lost.data
		}
	} else {
		s.session = &session{pid: sid.New(), id: s.id, user: claim.user, start: h.lastNumber()}
	}
	if !s.enter(missed, s.session.rooms) {
		return // and the lost session stays lost
	}
	if s.recovered {
		h.nLost--
		lost.rooms, lost.data = nil, nil
	} else {
		h.byPID[s.session.pid] = s.session
	}
	s.session.last, s.session.socket = h.lastNumber(), s
}

// claim is how a client asks for its socket back.
type claim struct {
	PID    string  `json:"pid"`
	Offset *string `json:"offset"` // nil if it never got an event
	user   string
}

// readClaim finds the claim in an auth object; one that is not well-formed is none.
func readClaim(h *Handshake) claim {
	var c claim
	if json.Unmarshal(h.Auth, &c) != nil {
		c = claim{}
	}
	c.user = h.User
	return c
}

// holder is the socket that still has the claimed session.
func (h *history) holder(c claim) *Socket {
	h.mu.Lock()
	defer h.mu.Unlock()
	if session := h.byPID[c.PID]; session != nil && session.user == c.user {
		return session.socket
	}
	return nil
}

// missed returns the events that the client of a lost socket has not got, and false if they are not all known any more.
func (h *history) missed(session *session, offset *string) ([]packet.Encoded, bool) {
	var from int64
	if offset != nil {
		n, ok := h.number(*offset)
		if !ok || n > session.last {
			return nil, false
		}
		from = max(n, session.start) // an earlier place is that of a socket before this one
	} else {
		from = session.start
	}
	if from == session.last {
		from = session.seen // it got all that there was; the events since its last one were for others
	}
	if from < h.first-1 {
		return nil, false
	}
	var missed []packet.Encoded
	for _, e := range h.kept[from-(h.first-1):] {
		if session.wants(e.target) {
			missed = append(missed, e.packet)
		}
	}
	return missed, true
}

func (session *session) wants(t Target) bool {
	in := func(room string) bool { return room == session.id || slices.Contains(session.rooms, room) }
	return (len(t.Rooms) == 0 || slices.ContainsFunc(t.Rooms, in)) && !slices.ContainsFunc(t.Except, in)
}

// end notes that a socket has ended: for good, or so that its client may come back.
func (h *history) end(s *Socket, rooms []string, recoverable bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	session := s.session
	if session.socket = nil; !recoverable {
		delete(h.byPID, session.pid)
		return
	}
	session.rooms, session.data = rooms, s.data
	session.lostAt, session.seen = h.now(), h.lastNumber()
	h.lost = append(h.lost, lostSession{session, session.lostAt})
	h.nLost++
	for len(h.lost) > 0 {
		oldest := h.lost[0]
		current := oldest.session.socket == nil && oldest.session.lostAt == oldest.at
		if current && h.nLost <= h.cfg.MaxSockets && h.now()-oldest.at <= h.cfg.Window {
			break
		}
		if current {
			delete(h.byPID, oldest.session.pid)
			h.nLost--
		}
		h.lost[0] = lostSession{}
		h.lost = h.lost[1:]
	}
}
