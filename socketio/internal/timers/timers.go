// Package timers keeps any number of deadlines on one runtime timer and no goroutine: a deadline costs one heap slot.
package timers

import (
	"sync"
	"time"
)

// Heap holds deadlines, the earliest first. The zero value is not usable; see [New].
type Heap struct {
	base time.Time

	mu      sync.Mutex
	entries []*Timer
	wake    *time.Timer
	wakeAt  time.Duration // when wake fires; meaningless while entries is empty
	stopped bool
}

// Timer is one deadline. It belongs to at most one [Heap].
type Timer struct {
	// Func is called when the deadline has passed. It must not block, for others wait behind it, and a call may still
	// come after [Heap.Stop] or [Heap.Set] if it was already due: Func must look, under its own lock, whether it is.
	Func func()

	at  time.Duration
	pos int // index in the heap plus one, 0 when not in it
}

// New returns an empty heap.
func New() *Heap {
	return &Heap{base: time.Now()}
}

// Now is the time since the heap was made; the deadlines of [Heap.Set] are on this clock.
func (h *Heap) Now() time.Duration { return time.Since(h.base) }

// Set makes at the deadline of t, whether it had one or not.
func (h *Heap) Set(t *Timer, at time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.stopped {
		return
	}
	t.at = at
	if t.pos == 0 {
		h.entries = append(h.entries, t)
		t.pos = len(h.entries)
		h.up(t.pos - 1)
	} else if !h.up(t.pos - 1) {
		h.down(t.pos - 1)
	}
	h.arm()
}

// Stop takes the deadline of t away.
func (h *Heap) Stop(t *Timer) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if t.pos != 0 {
		h.remove(t.pos - 1)
	}
}

// Close takes all deadlines away, for good.
func (h *Heap) Close() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.stopped = true
	for _, t := range h.entries {
		t.pos = 0
	}
	h.entries = nil
	if h.wake != nil {
		h.wake.Stop()
	}
}

// arm makes the runtime timer fire for the first entry. Being early is harmless and cheaper than moving it each time the
// first deadline is put off, so it only ever moves forward in time from within fire.
func (h *Heap) arm() {
	if len(h.entries) == 0 {
		return
	}
	first := h.entries[0].at
	switch {
	case h.wake == nil:
		h.wake = time.AfterFunc(first-h.Now(), h.fire)
	case h.wakeAt > first || h.wakeAt == idle:
		h.wake.Reset(first - h.Now())
	default:
		return
	}
	h.wakeAt = first
}

// idle is the wakeAt of a timer that has fired and was not armed again.
const idle = time.Duration(-1 << 63)

func (h *Heap) fire() {
	h.mu.Lock()
	now := h.Now()
	var due []*Timer
	for len(h.entries) > 0 && h.entries[0].at <= now {
		due = append(due, h.entries[0])
		h.remove(0)
	}
	h.wakeAt = idle
	if !h.stopped {
		h.arm()
	}
	h.mu.Unlock()
	for _, t := range due {
		t.Func()
	}
}

func (h *Heap) remove(i int) {
	last := len(h.entries) - 1
	h.entries[i].pos = 0
	if i != last {
		h.entries[i] = h.entries[last]
		h.entries[i].pos = i + 1
	}
	h.entries[last] = nil
	h.entries = h.entries[:last]
	if i != last && !h.up(i) {
		h.down(i)
	}
}

// up and down restore the heap's order from i on; up tells whether anything moved.
func (h *Heap) up(i int) (moved bool) {
	for i > 0 {
		parent := (i - 1) / 2
		if h.entries[parent].at <= h.entries[i].at {
			break
		}
		h.swap(i, parent)
		i, moved = parent, true
	}
	return moved
}

func (h *Heap) down(i int) {
	for {
		least := i
		for child := 2*i + 1; child <= 2*i+2 && child < len(h.entries); child++ {
			if h.entries[child].at < h.entries[least].at {
				least = child
			}
		}
		if least == i {
			return
		}
		h.swap(i, least)
		i = least
	}
}

func (h *Heap) swap(i, j int) {
	h.entries[i], h.entries[j] = h.entries[j], h.entries[i]
	h.entries[i].pos, h.entries[j].pos = i+1, j+1
}
