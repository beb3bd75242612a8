package sqlitequeue

import (
	"context"
	"sync"
	"time"

	"loupe/internal/queue"
)

// gate is a [queue.Gate] in memory, because one process works on a file at a time. Its times are readings of the
// monotonic clock.
type gate struct {
	most    int           // jobs at once that there can be
	changed chan struct{} // of one: the consumer is to look again

	mu       sync.Mutex
	closure  queue.Closure // its Left is not used
	look     time.Time     // before then nobody gets the turn
	opens    time.Time     // when a closed gate opens by itself
	admitted int           // jobs that may pass the closed gate
	limit    int           // jobs at once, for now
}

func newGate(most int) *gate {
	return &gate{most: most, limit: most, changed: make(chan struct{}, 1)}
}

// change makes a change of the gate and tells the consumer.
func (g *gate) change(f func(now time.Time)) {
	g.mu.Lock()
	defer g.mu.Unlock()
	f(time.Now())
	select {
	case g.changed <- struct{}{}:
	default: // it will look anyway
	}
}

// slots is how many jobs may be worked on at once.
func (g *gate) slots() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.limit
}

// isClosed reports whether the gate is closed. It is locked.
func (g *gate) isClosed(now time.Time) bool {
	if g.closure.Closed() && !now.Before(g.opens) {
		g.closure, g.admitted = queue.Closure{}, 0
	}
	return g.closure.Closed()
}

// lets returns how many of n jobs may start now, and for how long the gate is shut for the others; 0: it is open.
func (g *gate) lets(n int, now time.Time) (int, time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.isClosed(now) {
		return n, 0
	}
	return min(n, g.admitted), g.opens.Sub(now)
}

// passed notes that a job has started.
func (g *gate) passed() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.admitted = max(0, g.admitted-1)
}

func (g *gate) open() {
	g.change(func(time.Time) { g.closure, g.admitted, g.look = queue.Closure{}, 0, time.Time{} })
}

// Closure implements [queue.Gate].
func (q *Queue) Closure(context.Context) (queue.Closure, error) {
	g, now := q.gate, time.Now()
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.isClosed(now) {
		return queue.Closure{}, nil
	}
	c := g.closure
	c.Left = max(0, g.look.Sub(now))
	return c, nil
}

// Claim implements [queue.Gate].
func (q *Queue) Claim(_ context.Context, lease time.Duration) (bool, error) {
	g, now := q.gate, time.Now()
	g.mu.Lock()
	defer g.mu.Unlock()
	if now.Before(g.look) {
		return false, nil
	}
	g.look = now.Add(lease)
	return true, nil
}

// Shut implements [queue.Gate].
func (q *Queue) Shut(_ context.Context, c queue.Closure) error {
	q.gate.change(func(now time.Time) {
		left := min(c.Left, queue.MaxHold)
		if c.Since = c.Since.UTC().Truncate(time.Millisecond); q.gate.isClosed(now) {
			c.Since = q.gate.closure.Since
		}
		q.gate.closure, q.gate.admitted = c, 0
		q.gate.look, q.gate.opens = now.Add(left), now.Add(left+queue.Unattended)
	})
	return nil
}

// Admit implements [queue.Gate].
func (q *Queue) Admit(_ context.Context, d time.Duration) error {
	q.gate.change(func(now time.Time) {
		if q.gate.isClosed(now) {
			d = min(d, queue.MaxHold)
			q.gate.admitted, q.gate.look, q.gate.opens = 1, now.Add(d), now.Add(d+queue.Unattended)
		}
	})
	return nil
}

// Open implements [queue.Gate].
func (q *Queue) Open(context.Context) error {
	q.gate.open()
	return nil
}

// Throttle implements [queue.Gate].
func (q *Queue) Throttle(n int) {
	q.gate.change(func(time.Time) { q.gate.limit = min(max(n, 1), q.gate.most) })
}
