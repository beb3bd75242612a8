package bullmq

import (
	"slices"
	"testing"
)

func at(n int64) streamID { return streamID{ms: uint64(n)} }

func TestPlaceCompare(t *testing.T) {
	t.Parallel()
	whole := streamInfo{exists: true, length: 10, added: 10, first: at(1), last: at(10)}
	for name, test := range map[string]struct {
		at     place
		before streamID
		read   int64 // so many ids up to at.last
		stream streamInfo
		lost   int64
		then   place
	}{
		"all read": {
			place{last: at(10), count: 10},
			at(8), 2, whole,
			0,
			place{last: at(10), count: 10, oldest: at(1)},
		},
		"more to read": {
			place{last: at(5), count: 5},
			at(3), 2, whole,
			0,
			place{last: at(5), count: 5, oldest: at(1)},
		},
		"a queue that never was": {
			place{},
			streamID{},
			0,
			streamInfo{},
			0,
			place{},
		},
		"deleted": {
			place{last: at(5), count: 5, oldest: at(1)},
			at(5), 0,
			streamInfo{},
			unknown,
			place{},
		},
		"dropped before they could be read": {
			place{last: at(25), count: 7},
			at(5), 2,
			streamInfo{exists: true, length: 7, added: 30, first: at(24), last: at(30)},
			18,
			place{last: at(25), count: 25, oldest: at(24)},
		},
		"dropped once read": {
			place{last: at(7), count: 7},
			at(5), 2,
			streamInfo{exists: true, length: 3, added: 10, first: at(8), last: at(10)},
			0,
			place{last: at(7), count: 7, oldest: at(8)},
		},
		"all dropped": {
			place{last: at(5), count: 5},
			at(5), 0,
			streamInfo{exists: true, added: 10, last: at(10)},
			5,
			place{last: at(10), count: 10},
		},
		"dropped before, noticed later": {
			place{last: at(10), count: 7},
			at(10), 0, whole,
			3,
			place{last: at(10), count: 10, oldest: at(1)},
		},
		"begun anew with a clock that is behind": {
			place{last: at(50), count: 50, oldest: at(1)},
			at(50), 0,
			streamInfo{exists: true, length: 2, added: 2, first: at(8), last: at(9)},
			unknown,
			place{oldest: at(8)},
		},
		"begun anew": {
			place{last: at(50), count: 50, oldest: at(1)},
			at(50), 0,
			streamInfo{exists: true, length: 2, added: 2, first: at(60), last: at(61)},
			unknown,
			place{last: at(50), count: unknown, oldest: at(60)},
		},
		"begun anew and read": {
			place{last: at(61), count: 52, oldest: at(1)},
			at(50), 2,
			streamInfo{exists: true, length: 2, added: 2, first: at(60), last: at(61)},
			unknown,
			place{last: at(61), count: 2, oldest: at(60)},
		},
		"a replica took over that had less": {
			place{last: at(12), count: 12, oldest: at(1)},
			at(12), 0, whole,
			unknown,
			place{last: at(10), count: 10, oldest: at(1)},
		},
		"resumed, nothing dropped": {
			place{last: at(5), count: unknown},
			at(5), 0, whole,
			0,
			place{last: at(5), count: unknown, oldest: at(1)},
		},
		"resumed, but that is gone": {
			place{last: at(5), count: unknown},
			at(5), 0,
			streamInfo{exists: true, length: 3, added: 10, first: at(8), last: at(10)},
			unknown,
			place{last: at(5), count: unknown, oldest: at(8)},
		},
		"resumed at the end": {
			place{last: at(10), count: unknown},
			at(10), 0,
			streamInfo{exists: true, added: 10, last: at(10)},
			0,
			place{last: at(10), count: 10},
		},
		"an old server": {
			place{last: at(25), count: unknown},
			at(5), 2,
			streamInfo{exists: true, length: 7, added: unknown, first: at(24), last: at(30)},
			unknown,
			place{last: at(25), count: unknown, oldest: at(24)},
		},
		"an old server, from the beginning": {
			place{last: at(25), count: unknown},
			streamID{},
			2,
			streamInfo{exists: true, length: 7, added: unknown, first: at(24), last: at(30)},
			0,
			place{last: at(25), count: unknown, oldest: at(24)},
		},
		"an old server, all dropped": {
			place{last: at(25), count: unknown},
			at(25), 0,
			streamInfo{exists: true, added: unknown, last: at(30)},
			unknown,
			place{last: at(30), count: unknown},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var read []Event
			for i := int64(test.at.last.ms) - test.read + 1; i <= int64(test.at.last.ms); i++ {
				read = append(read, Event{ID: at(i).String()})
			}
			p := test.at
			if lost := p.compare(test.stream, test.before, read); lost != test.lost {
				t.Errorf("%d are lost, not %d", lost, test.lost)
			}
			if p != test.then {
				t.Errorf("the place is then %v, not %v", p, test.then)
			}
		})
	}
}

// A stream is added to, trimmed, read and looked at in any order. Once it was read to its end, what was read and what
// was reported as lost is all there ever was.
func FuzzPlace(f *testing.F) {
	f.Add([]byte{9, 17, 2, 3, 8, 25, 2, 1, 2, 3})
	f.Add([]byte("any text will do, and this is one"))
	f.Fuzz(func(t *testing.T, moves []byte) {
		var kept []streamID
		var added, total, read, lost int64
		info := func() streamInfo {
			s := streamInfo{exists: true, length: int64(len(kept)), added: added, last: at(added)}
			if len(kept) > 0 {
				s.first = kept[0]
			}
			return s
		}
		p, before := place{}, streamID{}
		var batch []Event // since the last look
		fetch := func(most int) {
			before, batch = p.last, nil
			for _, id := range kept {
				if p.last.before(id) && len(batch) < most {
					batch = append(batch, Event{ID: id.String()})
				}
			}
			for _, event := range batch {
				p.read(event.streamID())
			}
			read += int64(len(batch))
		}
		look := func() {
			n := p.compare(info(), before, batch)
			if n < 0 {
				t.Fatalf("nobody knows how many are lost of %v", kept)
			}
			lost += n
			before, batch = p.last, nil
		}
		for _, move := range moves[:min(len(moves), 300)] {
			n := int(move >> 2)
			switch move & 3 {
			case 0, 1:
				for range n % 16 {
					added++
					kept = append(kept, at(added))
				}
			case 2:
				kept = slices.Delete(kept, 0, min(n, len(kept)))
			case 3:
				fetch(1 + n%8)
				if n&1 == 0 {
					look()
				}
			}
		}
		look()
		fetch(len(kept))
		look()
		if total = added; read+lost != total {
			t.Errorf("%d read and %d lost are not the %d there were", read, lost, total)
		}
	})
}
