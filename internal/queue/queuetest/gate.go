package queuetest

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"loupe/internal/queue"
)

// gateOf returns the queue as a gate.
func gateOf(t *testing.T, q Instance) queue.Gate {
	t.Helper()
	g, ok := q.Queue.(queue.Gate)
	if !ok {
		t.Fatal("the queue has no gate")
	}
	return g
}

func shutGate(t *testing.T, g queue.Gate, left time.Duration) {
	t.Helper()
	if err := g.Shut(t.Context(), queue.Closure{Since: time.Now(), Reason: "test", Left: left}); err != nil {
		t.Fatal(err)
	}
}

func closure(t *testing.T, g queue.Gate) queue.Closure {
	t.Helper()
	c, err := g.Closure(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func claim(t *testing.T, g queue.Gate, lease time.Duration) bool {
	t.Helper()
	won, err := g.Claim(t.Context(), lease)
	if err != nil {
		t.Fatal(err)
	}
	return won
}

func testGate(t *testing.T, w world) {
	q := w.open(quick(func(c *queue.Config) { c.Concurrency = 3 }))
	g := gateOf(t, q)
	if c := closure(t, g); c != (queue.Closure{}) {
		t.Errorf("at first: %+v", c)
	}
	started := make(chan string, 10)
	consume(t, q, func(_ context.Context, job queue.Job) error {
		started <- job.ID
		return nil
	})
	before := time.Now()
	shutGate(t, g, time.Hour)
	c := closure(t, g)
	if !c.Closed() || c.Reason != "test" || c.Failures != 0 || c.Since.Sub(before).Abs() > time.Minute ||
		c.Left > queue.MaxHold || c.Left < queue.MaxHold-time.Minute {
		t.Errorf("closed: %+v", c)
	}
	enqueue(t, q, "a", "b", "c")
	nothing(t, started, 200*time.Millisecond)

	again := queue.Closure{Since: time.Now().Add(time.Hour), Reason: "still", Failures: 7, Left: time.Minute}
	if err := g.Shut(t.Context(), again); err != nil {
		t.Fatal(err)
	}
	if now := closure(t, g); now.Since != c.Since || now.Reason != "still" || now.Failures != 7 || now.Left > time.Minute {
		t.Errorf("closed again: %+v, was %+v", now, c)
	}
	if err := g.Admit(t.Context(), time.Minute); err != nil {
		t.Fatal(err)
	}
	if id := next(t, started); id != "a" {
		t.Errorf("admitted %s", id)
	}
	nothing(t, started, 200*time.Millisecond)
	if now := closure(t, g); now.Since != c.Since || now.Failures != 7 {
		t.Errorf("with one admitted: %+v", now)
	}

	if err := g.Open(t.Context()); err != nil {
		t.Fatal(err)
	}
	if c := closure(t, g); c.Closed() {
		t.Errorf("open: %+v", c)
	}
	next(t, started)
	next(t, started)

	if err := g.Admit(t.Context(), time.Minute); err != nil {
		t.Fatal(err)
	}
	enqueue(t, q, "d", "e")
	next(t, started)
	next(t, started) // admitting one through an open gate shuts it to nobody

	shutGate(t, g, time.Minute)
	enqueue(t, q, "f")
	nothing(t, started, 100*time.Millisecond)
	if err := q.Resume(t.Context()); err != nil { // an operator knows better
		t.Fatal(err)
	}
	next(t, started)
	if c := closure(t, g); c.Closed() {
		t.Errorf("after Resume: %+v", c)
	}
}

func testGateTurn(t *testing.T, w world) {
	g := gateOf(t, w.open(quick(nil)))
	if !claim(t, g, time.Minute) || claim(t, g, time.Minute) {
		t.Error("of an open gate the turn is to be had, once")
	}
	if err := g.Open(t.Context()); err != nil {
		t.Fatal(err)
	}
	const left = 200 * time.Millisecond
	if !claim(t, g, left) {
		t.Error("a turn that was given back is not to be had")
	}
	eventually(t, "the lease of somebody who says nothing more is over", func() bool { return claim(t, g, time.Minute) })
	closed := time.Now()
	shutGate(t, g, left)
	eventually(t, "the time for the next look", func() bool { return claim(t, g, time.Minute) })
	if waited := time.Since(closed); waited < left-10*time.Millisecond {
		t.Errorf("the turn was to be had after %s, before %s", waited, left)
	}
	if c := closure(t, g); !c.Closed() || c.Left <= left {
		t.Errorf("while somebody looks: %+v", c)
	}
}

func testThrottle(t *testing.T, w world) {
	const most = 4
	q := w.open(quick(func(c *queue.Config) { c.Concurrency = most }))
	g := gateOf(t, q)
	g.Throttle(0) // before anybody works
	var running atomic.Int32
	end := make(chan struct{})
	defer close(end)
	consume(t, q, func(context.Context, queue.Job) error {
		running.Add(1)
		defer running.Add(-1)
		<-end
		return nil
	})
	for i := range 3 * most {
		enqueue(t, q, fmt.Sprintf("job-%d", i))
	}
	for _, n := range []int{1, 2, 10 * most} {
		g.Throttle(n)
		eventually(t, fmt.Sprintf("%d run", min(n, most)), func() bool { return running.Load() == int32(min(n, most)) })
		nothing(t, make(chan int), 50*time.Millisecond)
		if got := running.Load(); got != int32(min(n, most)) {
			t.Errorf("%d run, want %d", got, min(n, most))
		}
	}
}

// The gate is one for all processes.
func testGateEverywhere(t *testing.T, w world) {
	config := quick(func(c *queue.Config) { c.Concurrency = 3 })
	a, b := w.open(config), w.open(config)
	started := make(chan string, 20)
	work := func(q Instance) {
		consume(t, q, func(_ context.Context, job queue.Job) error {
			started <- job.ID
			return nil
		})
	}
	work(a)
	shutGate(t, gateOf(t, b), 300*time.Millisecond)
	for i := range 9 {
		enqueue(t, a, fmt.Sprintf("job-%d", i))
	}
	work(b)
	c := w.open(config) // a process that is started in the middle
	work(c)
	if known := closure(t, gateOf(t, c)); !known.Closed() {
		t.Errorf("a new process knows %+v", known)
	}
	nothing(t, started, 200*time.Millisecond)

	turns := 0
	for range 40 {
		for _, q := range []Instance{a, b, c} {
			if claim(t, gateOf(t, q), time.Minute) {
				turns++
			}
		}
		nothing(t, started, 10*time.Millisecond)
	}
	if turns != 1 {
		t.Errorf("%d got the turn", turns)
	}
	if err := gateOf(t, a).Admit(t.Context(), time.Minute); err != nil {
		t.Fatal(err)
	}
	next(t, started)
	nothing(t, started, 1500*time.Millisecond) // longer than anybody sleeps who was held back
	if err := gateOf(t, b).Open(t.Context()); err != nil {
		t.Fatal(err)
	}
	for range 8 {
		next(t, started)
	}
}

// A job that is postponed alone lets the others pass.
func testPostponeAlone(t *testing.T, w world) {
	const after = 300 * time.Millisecond
	q := w.open(quick(func(c *queue.Config) { c.Concurrency = 1 }))
	enqueue(t, q, "a", "b")
	tries := make(chan try)
	consume(t, q, record(tries, func(job queue.Job) error {
		if job.ID == "a" && job.Starts == 1 {
			return &queue.PostponeError{After: after, Alone: true, Err: errTest}
		}
		return nil
	}))
	first, second, third := next(t, tries), next(t, tries), next(t, tries)
	if first.job.ID != "a" || second.job.ID != "b" || third.job.ID != "a" || third.job.Attempt != 1 || third.job.Starts != 2 {
		t.Errorf("started %+v, %+v, %+v", first.job, second.job, third.job)
	}
	if gap := third.at.Sub(first.at); gap < after-10*time.Millisecond {
		t.Errorf("it came again after %s, want %s", gap, after)
	}
	if r := becomes(t, q, "a", queue.Completed); r.AttemptsMade != 1 || len(r.Errors) != 0 {
		t.Errorf("in the end: %+v", r)
	}
}
