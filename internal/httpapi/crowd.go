package httpapi

import (
	"context"
	"sync"
	"time"

	"loupe/internal/queue"
)

const (
	crowdEvery   = time.Second // the queue is asked no more often
	crowdTimeout = time.Second // for one answer
)

// crowd knows about how many jobs there are that have not ended, without asking the queue for each upload.
type crowd struct {
	mu    sync.Mutex
	asked time.Time
	jobs  int // at that time, and the uploads since
}

// takes reports whether one more job is within the bound, and counts it. A queue that does not answer will say so itself
// when the job is to be put on it.
func (c *crowd) takes(ctx context.Context, jobs queue.Admin, bound int) bool {
	c.mu.Lock()
	ask := time.Since(c.asked) >= crowdEvery
	if ask {
		c.asked = time.Now()
	}
	c.mu.Unlock()
	if ask {
		ctx, cancel := context.WithTimeout(ctx, crowdTimeout)
		defer cancel()
		if n, err := jobs.Counts(ctx); err == nil {
			c.mu.Lock()
			c.jobs = n.Waiting + n.Paused + n.Delayed + n.Active
			c.mu.Unlock()
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.jobs >= bound {
		return false
	}
	c.jobs++
	return true
}
