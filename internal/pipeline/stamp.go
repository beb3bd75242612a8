package pipeline

import (
	"hash/maphash"
	"sync"
	"time"

	"loupe/internal/asset"
)

// stamps gives terminal events their times: for one owner no two are equal, and they are committed and sent in the
// order of their times. A client that says "since the last event I saw" therefore misses none: with equal or
// overtaking times it would.
type stamps struct {
	seed    maphash.Seed
	stripes [256]stamp
}

// stamp is held while an event is stamped, committed and sent.
type stamp struct {
	mu   sync.Mutex
	last time.Time
}

func newStamps() *stamps { return &stamps{seed: maphash.MakeSeed()} }

// of returns the stamp that the owner shares with a few others.
func (s *stamps) of(owner string) *stamp {
	return &s.stripes[maphash.String(s.seed, owner)%uint64(len(s.stripes))]
}

// next returns the present, or the millisecond after the last stamp if that is later.
func (s *stamp) next() time.Time {
	now := asset.Now()
	if !now.After(s.last) {
		now = s.last.Add(time.Millisecond)
	}
	s.last = now
	return now
}
