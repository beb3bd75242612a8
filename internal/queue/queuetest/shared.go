package queuetest

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"loupe/internal/queue"
)

func testTwoWorkers(t *testing.T, w world) {
	const jobs = 60
	a, b := w.open(quick(nil)), w.open(quick(nil))
	started := make(chan string, 2*jobs)
	for name, q := range map[string]Instance{"a": a, "b": b} {
		consume(t, q, func(context.Context, queue.Job) error {
			started <- name
			return nil
		})
	}
	for i := range jobs {
		enqueue(t, map[bool]Instance{true: a, false: b}[i%2 == 0], fmt.Sprintf("job-%d", i))
	}
	eventually(t, "all are completed", func() bool {
		n, err := a.Counts(t.Context())
		return err == nil && n.Completed == jobs
	})
	if len(started) != jobs {
		t.Errorf("%d jobs were started %d times", jobs, len(started))
	}
}

func testSlowButAlive(t *testing.T, w world) {
	config := quick(nil)
	slow, other := w.open(config), w.open(config)
	enqueue(t, slow, "a-1")
	started, goOn := make(chan string, 10), make(chan struct{})
	consume(t, slow, func(ctx context.Context, _ queue.Job) error {
		started <- "slow"
		select {
		case <-goOn:
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	})
	next(t, started)
	consume(t, other, func(context.Context, queue.Job) error {
		started <- "other"
		return nil
	})
	nothing(t, started, 5*config.Lease/2)
	close(goOn)
	if r := becomes(t, slow, "a-1", queue.Completed); r.AttemptsMade != 1 {
		t.Errorf("in the end: %+v", r)
	}
	nothing(t, started, 0)
}

func testLeaseLost(t *testing.T, w world) {
	config := quick(func(c *queue.Config) { c.Lease, c.Grace = 300*time.Millisecond, 10*time.Millisecond })
	q := w.open(config)
	enqueue(t, q, "a-1")
	started, causes := make(chan string), make(chan error, 1)
	stop := consume(t, q, func(ctx context.Context, job queue.Job) error {
		started <- job.ID
		<-ctx.Done()
		causes <- context.Cause(ctx)
		return nil
	})
	next(t, started)
	q.Cut()
	if cause := next(t, causes); !errors.Is(cause, queue.ErrLeaseLost) {
		t.Errorf("cause %v", cause)
	}
	_ = stop() // it may well complain
}

func testPauseEverywhere(t *testing.T, w world) {
	a, b := w.open(quick(nil)), w.open(quick(nil))
	if err := a.Pause(t.Context()); err != nil {
		t.Fatal(err)
	}
	started := make(chan string, 1)
	consume(t, b, func(_ context.Context, job queue.Job) error {
		started <- job.ID
		return nil
	})
	enqueue(t, a, "a-1")
	enqueue(t, b, "b-1")
	nothing(t, started, 200*time.Millisecond)
	if err := a.Resume(t.Context()); err != nil {
		t.Fatal(err)
	}
	next(t, started)
	next(t, started)
}
