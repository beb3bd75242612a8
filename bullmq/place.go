package bullmq

import (
	"strconv"
	"strings"
)

// streamID is the id of an entry of a stream; that of an older entry is smaller.
type streamID struct{ ms, n uint64 }

// parseStreamID reads `<ms>-<n>` or `<ms>`.
func parseStreamID(s string) (id streamID, ok bool) {
	ms, n, both := strings.Cut(s, "-")
	var err error
	if id.ms, err = strconv.ParseUint(ms, 10, 64); err == nil && both {
		id.n, err = strconv.ParseUint(n, 10, 64)
	}
	return id, err == nil
}

func (id streamID) String() string {
	return strconv.FormatUint(id.ms, 10) + "-" + strconv.FormatUint(id.n, 10)
}

func (id streamID) next() streamID { return streamID{id.ms, id.n + 1} }

func (id streamID) before(other streamID) bool {
	return id.ms < other.ms || id.ms == other.ms && id.n < other.n
}

// unknown is a number that nobody can tell.
const unknown = -1

// streamInfo is what the server says of a stream. The zero value is one that does not exist.
type streamInfo struct {
	exists bool
	length int64    // entries that are there
	added  int64    // entries that were ever added; unknown to servers older than Redis 7
	first  streamID // of the oldest entry that is there, zero if none is
	last   streamID // of the last entry that was ever added
}

// place is how far a stream was read. The zero value is the beginning of one that is yet to come.
type place struct {
	last   streamID // id of the last entry read
	count  int64    // entries ever added up to that one, or unknown
	oldest streamID // what streamInfo.first was when the server was last asked
}

// begin is the place to read a stream from: behind the entry `from`, or behind all there are.
func begin(s streamInfo, from string) place {
	if from == "" {
		return place{last: s.last, count: s.added, oldest: s.first}
	}
	p := place{count: unknown, oldest: s.first}
	p.last, _ = parseStreamID(from)
	if p.last == (streamID{}) && s.added != unknown {
		p.count = s.added - s.length // what was dropped already is not asked for
	}
	return p
}

// read moves p behind an entry that was read.
func (p *place) read(id streamID) {
	p.last = id
	if p.count != unknown {
		p.count++
	}
}

// compare returns how many entries were lost before they could be read, by what the server said after the entries `read`
// were read, which are the last ones up to p; the one before them was `before`. If the stream was begun anew, p goes back
// to its beginning.
//
// Entries are dropped at the old end of a stream only. So of all those ever added the first, added - length of them, are
// not there; whichever of these was not read is lost.
func (p *place) compare(s streamInfo, before streamID, read []Event) (lost int64) {
	oldest := p.oldest
	p.oldest = s.first
	switch {
	case !s.exists:
		if p.last != (streamID{}) {
			lost = unknown // it may have gone with an end that was not read
		}
		*p = place{}
		return lost
	case s.last.before(p.last) && s.length > 0 && s.first.before(oldest.next()):
		// It begins where it did and has lost its end: a server has taken over that had not got all of it. What was added
		// there instead may be behind p.
		p.last, p.count = s.last, s.added
		return unknown
	case s.last.before(p.last):
		*p = place{oldest: s.first} // it was begun anew, by a clock that is behind
		return unknown
	case p.count == unknown || s.added == unknown:
		if before != (streamID{}) && before != s.last && before.before(s.first) || s.length == 0 && p.last != s.last {
			lost = unknown // the entry before those read was dropped: perhaps the next one too
		}
	case s.added < p.count:
		lost, p.count = unknown, unknown // it was begun anew, with ids behind p
	case s.last == p.last:
		lost = s.added - p.count
	default:
		gone := s.added - s.length
		for _, event := range read {
			if s.length == 0 || event.streamID().before(s.first) {
				gone-- // since it was read
			}
		}
		lost = max(gone-(p.count-int64(len(read))), 0)
		p.count += lost
	}
	if s.length == 0 || s.last == p.last {
		p.last, p.count = s.last, s.added
	}
	return lost
}
