package builtin

import (
	"context"
	"slices"
	"sync"
)

// budget shares out the memory that decoding may take, first come first served, so that many photos at once wait for each
// other instead of adding up. A photo that needs more than there is takes everything, and is alone.
type budget struct {
	size int64

	mu      sync.Mutex // guards what follows
	free    int64
	waiting []*claim
}

// claim is a part of the budget.
type claim struct {
	budget  *budget
	bytes   int64
	granted chan struct{} // closed when bytes have been taken from free
}

func newBudget(size int64) *budget { return &budget{size: size, free: size} }

// claim waits for its turn and takes so many bytes. The caller releases them.
func (b *budget) claim(ctx context.Context, bytes int64) (*claim, error) {
	c := &claim{budget: b, bytes: min(bytes, b.size), granted: make(chan struct{})}
	b.mu.Lock()
	b.waiting = append(b.waiting, c)
	b.grant()
	b.mu.Unlock()
	select {
	case <-c.granted:
		return c, nil
	case <-ctx.Done():
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if i := slices.Index(b.waiting, c); i >= 0 {
		b.waiting = slices.Delete(b.waiting, i, i+1)
		c.bytes = 0
	}
	b.free += c.bytes // granted just now
	b.grant()
	return nil, context.Cause(ctx)
}

// shrink gives back all but so many bytes.
func (c *claim) shrink(bytes int64) {
	b := c.budget
	b.mu.Lock()
	defer b.mu.Unlock()
	if bytes < c.bytes {
		b.free += c.bytes - bytes
		c.bytes = bytes
		b.grant()
	}
}

func (c *claim) release() { c.shrink(0) }

// grant serves those who wait, in order, as far as the budget reaches. The caller holds mu.
func (b *budget) grant() {
	for len(b.waiting) > 0 && b.waiting[0].bytes <= b.free {
		b.free -= b.waiting[0].bytes
		close(b.waiting[0].granted)
		b.waiting = slices.Delete(b.waiting, 0, 1)
	}
}
