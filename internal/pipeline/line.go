package pipeline

import (
	"context"
	"sync"
	"time"

	"loupe/internal/queue"
)

const (
	lineEvery   = time.Second // the queue is asked no more often
	lineTimeout = time.Second // for one answer
)

// line knows about how many jobs there are, without asking the queue for each photo.
type line struct {
	mu      sync.Mutex
	asked   time.Time
	known   bool
	waiting int // at that time, and those that this process has put there since
	others  int // that have not ended
}

// length returns about how many jobs wait for their turn, and how many have not ended. Where the queue does not answer,
// known is false.
func (l *line) length(ctx context.Context, jobs queue.Admin) (waiting, unfinished int, known bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if time.Since(l.asked) >= lineEvery {
		l.asked = time.Now()
		l.mu.Unlock()
		n, err := l.ask(ctx, jobs)
		l.mu.Lock()
		l.known = err == nil
		if l.known {
			l.waiting, l.others = n.Waiting+n.Paused, n.Active+n.Delayed
		}
	}
	return l.waiting, l.waiting + l.others, l.known
}

func (l *line) ask(ctx context.Context, jobs queue.Admin) (queue.Counts, error) {
	ctx, cancel := context.WithTimeout(ctx, lineTimeout)
	defer cancel()
	return jobs.Counts(ctx)
}

// join notes that one more job waits.
func (l *line) join() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.waiting++
}

// Unfinished returns about how many jobs there are that have not ended. A queue that does not answer has none: it will say
// so itself when a job is to be put on it.
func (p *Pipeline) Unfinished(ctx context.Context) int {
	_, n, _ := p.line.length(ctx, p.Jobs)
	return n
}
