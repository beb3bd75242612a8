package sqlitequeue

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"loupe/internal/queue"
)

const (
	lookEvery  = 500 * time.Millisecond // how often to look for what other processes have put in the line, unless Sole
	retryEvery = time.Second            // how long to wait after the database has failed
	stopWait   = 5 * time.Second        // for handlers to return, after the grace period has cancelled them
	minHold    = 10 * time.Millisecond  // a job that is given back is not handed out again at once
)

// consumer is one call of Consume. Only its own goroutine touches what it knows; runs tell it of their end over a
// channel.
type consumer struct {
	q       *Queue
	config  queue.Config
	handler queue.Handler
	log     *slog.Logger

	running map[*run]bool // every run whose end is not in the database yet
	ended   []ending      // what is to be written in the next turn
	ends    chan ending
	over    chan struct{} // closed when nobody listens to ends any more

	foreign  map[handOut]sighting // active jobs of other workers
	suspects []int64              // jobs whose worker died, that we have given back: each runs alone the next time
	stuck    bool                 // the last turn failed

	// When what is due next. These are readings of the monotonic clock: setting the clock changes no lease.
	renewAt, renewed    time.Time // the next and the last renewal of our leases
	reclaimAt, sweepAt  time.Time
	lookAt              time.Time
	stopped             time.Time // when the context of Consume ended; zero before
	cancelled, forsaken bool      // the grace period is over; so is the patience after it
}

// handOut names one hand-out of a job.
type handOut struct{ seq, starts int64 }

// Consume implements [queue.Queue]. Each Queue is consumed once at a time.
func (q *Queue) Consume(ctx context.Context, h queue.Handler) error {
	now := time.Now().UTC()
	if !q.consuming.CompareAndSwap(nil, &now) {
		return errors.New("sqlitequeue: this queue is being consumed already")
	}
	defer q.consuming.Store(nil)
	c := &consumer{
		q: q, config: q.config, handler: h, log: q.log,
		running: map[*run]bool{}, ends: make(chan ending), over: make(chan struct{}),
	}
	defer close(c.over)
	return c.loop(ctx)
}

// loop takes turns: whenever something has happened or is due, one transaction.
func (c *consumer) loop(ctx context.Context) error {
	running := context.WithoutCancel(ctx) // a run ends by its own causes, and its end is always written
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		c.stopInSteps(ctx)
		due, err := c.takeTurn(running)
		c.report(ctx, err)
		if c.finished(err) {
			return err
		}

		timer.Reset(time.Until(due))
		select {
		case <-c.untilStop(ctx):
		case e := <-c.ends:
			c.ended = append(c.ended, e)
		case <-c.untilWoken():
		case <-c.q.gate.changed:
		case <-timer.C:
		}
	}
}

// finished reports whether a consumer that was stopped has nothing left to do, or nothing left that it can.
func (c *consumer) finished(err error) bool {
	if c.stopped.IsZero() {
		return false
	}
	allReturned := len(c.running) == len(c.ended)
	return len(c.running) == 0 || c.forsaken || c.cancelled && allReturned && err != nil
}

// report logs the first failure of a row, and its end.
func (c *consumer) report(ctx context.Context, err error) {
	switch stuck := err != nil; {
	case stuck && !c.stuck:
		c.log.ErrorContext(ctx, "queue is stuck", "error", err)
	case !stuck && c.stuck:
		c.log.InfoContext(ctx, "queue goes on")
	}
	c.stuck = err != nil
}

// untilStop returns a channel that closes when the consumer is to stop, or nil if it knows.
func (c *consumer) untilStop(ctx context.Context) <-chan struct{} {
	if c.stopped.IsZero() {
		return ctx.Done()
	}
	return nil
}

// untilWoken returns the channel of the queue's wake-up calls, or nil if there is no use for them now.
func (c *consumer) untilWoken() <-chan struct{} {
	if c.free() > 0 && c.stopped.IsZero() {
		return c.q.wake
	}
	return nil
}

// free is how many more jobs can be worked on.
func (c *consumer) free() int { return c.q.gate.slots() - len(c.running) + len(c.ended) }

// stopInSteps does what is due of the end: take no more, cancel after the grace period, give up on handlers that do not
// even return then.
func (c *consumer) stopInSteps(ctx context.Context) {
	if ctx.Err() == nil {
		return
	}
	now := time.Now()
	if c.stopped.IsZero() {
		c.stopped = now
	}
	if !c.cancelled && now.Sub(c.stopped) >= c.config.Grace {
		c.cancelled = true
		for r := range c.running {
			r.cancel(queue.ErrShutdown)
		}
	}
	if !c.forsaken && now.Sub(c.stopped) >= c.config.Grace+stopWait {
		c.forsaken = true
		for r := range c.running {
			if !r.lost && !c.hasEnded(r) {
				c.log.ErrorContext(ctx, "handler does not return, its job is given back", "job", r.job.ID)
				c.ended = append(c.ended, ending{run: r, state: queue.Waiting})
			}
		}
	}
}

func (c *consumer) hasEnded(r *run) bool {
	for _, e := range c.ended {
		if e.run == r {
			return true
		}
	}
	return false
}

// collect takes in what has ended by now, and drops what does not count.
func (c *consumer) collect() {
	for {
		select {
		case e := <-c.ends:
			c.ended = append(c.ended, e)
			continue
		default:
		}
		break
	}
	kept := c.ended[:0]
	for _, e := range c.ended {
		if e.run.lost {
			delete(c.running, e.run)
		} else {
			kept = append(kept, e)
		}
	}
	c.ended = kept
}

// lose stops work on jobs that are not ours any more.
func (c *consumer) lose(ctx context.Context, lost []*run) {
	for _, r := range lost {
		c.log.WarnContext(ctx, "job was given to another worker", "job", r.job.ID, "start", r.job.Starts)
		r.lost = true
		r.cancel(queue.ErrLeaseLost)
	}
}
