package queuetest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"loupe/internal/queue"
)

func testGrace(t *testing.T, w world) {
	q := w.open(quick(func(c *queue.Config) { c.Concurrency = 1 }))
	enqueue(t, q, "running", "waiting")
	started, goOn := make(chan string, 2), make(chan struct{})
	stop := consume(t, q, func(ctx context.Context, job queue.Job) error {
		started <- job.ID
		select {
		case <-goOn:
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	})
	next(t, started)
	stopped := make(chan error)
	go func() { stopped <- stop() }()
	nothing(t, stopped, 50*time.Millisecond)
	close(goOn)
	if err := next(t, stopped); err != nil {
		t.Errorf("Consume: %v", err)
	}
	if r := get(t, q, "running"); r.State != queue.Completed {
		t.Errorf("the running one: %+v", r)
	}
	if r := get(t, q, "waiting"); r.State != queue.Waiting || !r.ProcessedAt.IsZero() {
		t.Errorf("the waiting one: %+v", r)
	}
}

func testAfterGrace(t *testing.T, w world) {
	config := quick(func(c *queue.Config) { c.Grace = 50 * time.Millisecond })
	q := w.open(config)
	returns := map[string]func(ctx context.Context) error{
		"cause":     context.Cause,
		"ctx.Err":   func(ctx context.Context) error { return ctx.Err() },
		"wrapped":   func(ctx context.Context) error { return fmt.Errorf("post: %w", ctx.Err()) },
		"permanent": func(ctx context.Context) error { return queue.Permanent(errTest) },
		"nil":       func(ctx context.Context) error { return nil },
	}
	started, causes := make(chan string), make(chan error, len(returns))
	for id := range returns {
		enqueue(t, q, id)
	}
	stop := consume(t, q, func(ctx context.Context, job queue.Job) error {
		started <- job.ID
		<-ctx.Done()
		causes <- context.Cause(ctx)
		return returns[job.ID](ctx)
	})
	for range returns {
		next(t, started)
	}
	if err := stop(); err != nil {
		t.Errorf("Consume: %v", err)
	}
	for range returns {
		if cause := next(t, causes); !errors.Is(cause, queue.ErrShutdown) {
			t.Errorf("cause %v", cause)
		}
	}
	for id := range returns {
		want := map[string]queue.State{"permanent": queue.FailedJob, "nil": queue.Completed}[id]
		if want == "" {
			want = queue.Waiting
		}
		if r := get(t, q, id); r.State != want || want == queue.Waiting && (r.AttemptsMade != 0 || len(r.Errors) > 0) {
			t.Errorf("%s: %+v", id, r)
		}
	}

	tries := make(chan try)
	consume(t, q, record(tries, func(queue.Job) error { return nil }))
	for range 3 {
		if again := next(t, tries); again.job.Attempt != 1 || again.job.Starts != 2 {
			t.Errorf("again: %+v", again.job)
		}
	}
}

func testStartAndStop(t *testing.T, w world) {
	q := w.open(quick(func(c *queue.Config) { c.Grace = 2 * time.Millisecond }))
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	const jobs = 120
	var mu sync.Mutex
	done := map[string]int{}
	for i := range jobs {
		enqueue(t, q, fmt.Sprintf("job-%d", i))
	}
	for len(done) < jobs { // nobody else touches it between two calls of Consume
		ctx, cancel := context.WithTimeout(t.Context(), time.Duration(random.IntN(30))*time.Millisecond)
		takes := time.Duration(random.IntN(4)) * time.Millisecond
		err := q.Consume(ctx, handler{process: func(ctx context.Context, job queue.Job) error {
			select {
			case <-ctx.Done():
				return context.Cause(ctx)
			case <-time.After(takes):
			}
			mu.Lock()
			defer mu.Unlock()
			done[job.ID]++
			return nil
		}, dead: func(_ context.Context, job queue.Job, reason string) { t.Errorf("%s is dead: %s", job.ID, reason) }})
		cancel()
		if err != nil {
			t.Fatal(err)
		}
	}
	for id, n := range done {
		if r := get(t, q, id); n != 1 || r.State != queue.Completed || r.AttemptsMade != 1 {
			t.Errorf("%s was done %d times: %+v", id, n, r)
		}
	}
}

// die has a process take n jobs and die over them.
func die(t *testing.T, w world, c queue.Config, n int) {
	t.Helper()
	q := w.open(c)
	started, release := make(chan string), make(chan struct{})
	stop := consume(t, q, func(_ context.Context, job queue.Job) error {
		started <- job.ID
		<-release // deaf to its context, and late: what it returns must not count
		return nil
	})
	for range n {
		next(t, started)
	}
	q.Cut()
	close(release)
	_ = stop() // it may well complain
}

func testWorkerDied(t *testing.T, w world) {
	config := quick(func(c *queue.Config) { c.Lease, c.Grace = 400*time.Millisecond, 10*time.Millisecond })
	enqueue(t, w.open(config), "a", "b", "c")
	die(t, w, config, 3)

	q := w.open(config)
	for _, id := range []string{"a", "b", "c"} {
		if r := get(t, q, id); r.State != queue.Active {
			t.Errorf("left behind: %+v", r)
		}
	}
	workersBecome(t, q, "jobs of one that is gone", func(workers []queue.Worker) bool {
		return len(workers) == 1 && workers[0].Connections == 0 && workers[0].Since.IsZero() && len(workers[0].Running) == 3
	})
	tries := make(chan try)
	consume(t, q, record(tries, func(queue.Job) error { return nil }))
	for range 3 {
		if again := next(t, tries); again.job.Attempt != 1 || again.job.Starts < 2 {
			t.Errorf("again: %+v, want the same attempt in a further start", again.job)
		}
	}
	for _, id := range []string{"a", "b", "c"} {
		if r := becomes(t, q, id, queue.Completed); r.AttemptsMade != 1 || len(r.Errors) != 0 {
			t.Errorf("in the end: %+v", r)
		}
	}
}

func testPoison(t *testing.T, w world) {
	config := quick(func(c *queue.Config) { c.Lease, c.Grace, c.MaxStalls = 300*time.Millisecond, 10*time.Millisecond, 2 })
	enqueue(t, w.open(config), "poison")
	for range config.MaxStalls + 1 {
		die(t, w, config, 1)
	}

	q := w.open(config)
	enqueue(t, q, "good")
	type death struct {
		job    queue.Job
		reason string
	}
	deaths, done := make(chan death, 1), make(chan string, 1)
	consumeWith(t, q, handler{
		process: func(_ context.Context, job queue.Job) error { done <- job.ID; return nil },
		dead:    func(_ context.Context, job queue.Job, reason string) { deaths <- death{job, reason} },
	})
	d := next(t, deaths)
	if d.job.ID != "poison" || string(d.job.Data) != "{}" || d.reason == "" || strings.Contains(d.reason, "%!") {
		t.Errorf("told of %+v", d)
	}
	r := becomes(t, q, "poison", queue.FailedJob)
	if len(r.Errors) == 0 || r.Errors[len(r.Errors)-1].Error == "" || r.FinishedAt.IsZero() {
		t.Errorf("dead letter %+v", r)
	}
	if id := next(t, done); id != "good" {
		t.Errorf("started %s", id)
	}
	nothing(t, deaths, 0)

	if err := q.Retry(t.Context(), "poison"); err != nil {
		t.Fatal(err)
	}
	if id := next(t, done); id != "poison" {
		t.Errorf("started %s", id)
	}
	becomes(t, q, "poison", queue.Completed)
}

// A job that kills its worker again and again does not take along those that happen to run beside it.
func testPoisonKillsNoOthers(t *testing.T, w world) {
	config := quick(func(c *queue.Config) {
		c.Lease, c.Grace, c.MaxStalls, c.Concurrency = 300*time.Millisecond, 10*time.Millisecond, 2, 4
	})
	others := []string{"a", "b", "c", "d", "e", "f", "g", "h"}
	enqueue(t, w.open(config), "poison")
	enqueue(t, w.open(config), others...)
	died := make(chan string, 1)
	deaths := 0
	for len(died) == 0 && deaths < 10 {
		q := w.open(config)
		killed, release := make(chan struct{}, 1), make(chan struct{})
		stop := consumeWith(t, q, handler{
			process: func(ctx context.Context, job queue.Job) error {
				if job.ID == "poison" {
					select { // its worker lives just so long that the others have begun
					case <-time.After(30 * time.Millisecond):
					case <-ctx.Done():
					}
					killed <- struct{}{}
					<-release
					return nil
				}
				select {
				case <-time.After(60 * time.Millisecond):
				case <-release:
					return errTest // its worker is dead
				case <-ctx.Done():
					return context.Cause(ctx)
				}
				return nil
			},
			dead: func(_ context.Context, job queue.Job, _ string) { died <- job.ID },
		})
		select {
		case <-killed:
			deaths++
			q.Cut()
			close(release)
		case id := <-died:
			died <- id
		case <-time.After(patience):
			t.Fatal("waited in vain for a death")
		}
		_ = stop() // it may well complain
	}
	if id := next(t, died); id != "poison" || deaths != config.MaxStalls+1 {
		t.Errorf("%s is dead after %d deaths", id, deaths)
	}
	q := w.open(config)
	consume(t, q, func(context.Context, queue.Job) error { return nil })
	for _, id := range others {
		if r := becomes(t, q, id, queue.Completed); r.AttemptsMade != 1 || len(r.Errors) != 0 {
			t.Errorf("in the end: %+v", r)
		}
	}
	becomes(t, q, "poison", queue.FailedJob)
}
