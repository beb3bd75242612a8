package bullmq

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// gated is a handler that is quick for the first jobs, which teach the worker to fetch ahead, and whose next ones wait for
// a gate. It notes the order of starts and how many run at once.
type gated struct {
	quick int
	gate  chan struct{}

	mu            sync.Mutex
	started       []string
	running, most int
}

func newGated(quick int) *gated { return &gated{quick: quick, gate: make(chan struct{})} }

func (g *gated) handler(ctx context.Context, job *Job) (any, error) {
	g.mu.Lock()
	g.started = append(g.started, job.ID)
	g.running++
	g.most = max(g.most, g.running)
	wait := len(g.started) > g.quick
	g.mu.Unlock()
	defer func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		g.running--
	}()
	if wait {
		select {
		case <-g.gate:
		case <-ctx.Done():
		}
	}
	return nil, ctx.Err()
}

func (g *gated) starts() []string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Clone(g.started)
}

// addInOrder adds n jobs, all of one priority, and returns their ids in the order in which they start.
func addInOrder(t *testing.T, q *Queue, n int) []string {
	t.Helper()
	jobs, ids := make([]NewJob, n), make([]string, n)
	for i := range jobs {
		ids[i] = "job-" + strconv.Itoa(i)
		jobs[i] = NewJob{Name: "paint", Options: JobOptions{ID: ids[i], Priority: 7}}
	}
	if _, err := q.AddBulk(t.Context(), jobs); err != nil {
		t.Fatal(err)
	}
	return ids
}

// completed returns whether n jobs are.
func completed(t *testing.T, q *Queue, n int64) func() bool {
	return func() bool {
		counts, err := q.Counts(t.Context())
		return err == nil && counts[StateCompleted] == n
	}
}

// active returns how many jobs are.
func active(t *testing.T, q *Queue) int64 {
	t.Helper()
	n, err := do(t, q, "LLEN", "P:active").AsInt64()
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// While handlers are quick, jobs are fetched before there are slots for them. Never more run than there are slots, and one
// after the other they run in their order.
func TestFetchAhead(t *testing.T) {
	t.Parallel()
	const jobs = 400
	for name, test := range map[string]struct {
		cfg   WorkerConfig
		ahead bool
	}{
		"one slot":    {WorkerConfig{Concurrency: 1, FetchAhead: 20}, true},
		"five slots":  {WorkerConfig{Concurrency: 5, FetchAhead: 20}, true},
		"all":         {WorkerConfig{Concurrency: 5, FetchAhead: maxFetched}, true},
		"none":        {WorkerConfig{Concurrency: 5}, false},
		"two lanes":   {WorkerConfig{Concurrency: 20, FetchAhead: 20}, false},
		"isolated":    {WorkerConfig{Concurrency: 5, FetchAhead: 20, Isolate: true}, false},
		"with a rate": {WorkerConfig{Concurrency: 5, FetchAhead: 20, RateLimit: &RateLimit{jobs, time.Hour}}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			q := newQueue(t, QueueConfig{})
			ids := addInOrder(t, q, jobs)
			g := newGated(jobs)
			var most atomic.Int64
			w := work(t, q, test.cfg, func(ctx context.Context, job *Job) (any, error) {
				if strings.HasSuffix(job.ID, "7") {
					most.Store(max(most.Load(), active(t, q)))
				}
				return g.handler(ctx, job)
			})
			eventually(t, "all", completed(t, q, jobs))
			w.stop()
			slots := test.cfg.Concurrency
			if n := int(most.Load()); n > slots != test.ahead || n > slots+50 {
				t.Errorf("%d were active at once", n)
			}
			if g.most > slots {
				t.Errorf("%d ran at once", g.most)
			}
			if slots == 1 && !slices.Equal(g.started, ids) {
				t.Errorf("order %q, not %q", g.started, ids)
			}
			wantAtRest(t, q)
		})
	}
}

// With a global concurrency, or a limit set by hand, nothing is fetched ahead.
func TestFetchAheadBounded(t *testing.T) {
	t.Parallel()
	for name, bound := range map[string]func(*Queue) error{
		"concurrency": func(q *Queue) error { return q.SetGlobalConcurrency(t.Context(), 3) },
		"rate":        func(q *Queue) error { return q.SetGlobalRateLimit(t.Context(), RateLimit{300, time.Hour}) },
		"by hand":     func(q *Queue) error { return q.RateLimitAfter(t.Context(), 300, time.Hour) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			q := newQueue(t, QueueConfig{})
			addInOrder(t, q, 300)
			if err := bound(q); err != nil {
				t.Fatal(err)
			}
			var most atomic.Int64
			work(t, q, WorkerConfig{Concurrency: 3, FetchAhead: 20}, func(_ context.Context, job *Job) (any, error) {
				if strings.HasSuffix(job.ID, "7") {
					most.Store(max(most.Load(), active(t, q)))
				}
				return nil, nil
			})
			eventually(t, "all", completed(t, q, 300))
			if most.Load() > 3 {
				t.Errorf("%d were active at once", most.Load())
			}
		})
	}
}

// When a handler becomes slow, what was fetched ahead goes back to where it was, as if it had never been fetched.
func TestSlowHandlerGivesBack(t *testing.T) {
	t.Parallel()
	const jobs, quick = 200, 150
	q := newQueue(t, QueueConfig{})
	ids := addInOrder(t, q, jobs)
	g := newGated(quick)
	w := work(t, q, WorkerConfig{FetchAhead: 20}, g.handler)
	eventually(t, "the slow one", func() bool { return len(g.starts()) == quick+1 })
	eventually(t, "the others to be back", func() bool {
		n, err := q.Count(t.Context())
		return err == nil && active(t, q) == 1 && n == jobs-quick-1
	})
	if got := w.Running(); !slices.Equal(got, ids[quick:quick+1]) {
		t.Errorf("running %q", got)
	}
	waiting, err := q.IDs(t.Context(), Range{States: []State{StatePrioritized}, End: -1, Ascending: true})
	if err != nil || !slices.Equal(waiting, ids[quick+1:]) {
		t.Errorf("waiting %q, not %q: %v", waiting, ids[quick+1:], err)
	}
	back := 0
	for _, id := range ids[quick+1:] {
		if w.ends.has(id + " returned") {
			back++
			wantFields(t, q, id, map[string]string{"ats": "0", "atm": "-"})
		}
	}
	if back == 0 {
		t.Error("nothing was given back")
	}
	close(g.gate)
	eventually(t, "all", func() bool { return w.ends.count() == jobs+back })
	if !slices.Equal(g.started, ids) {
		t.Errorf("order %q, not %q", g.started, ids)
	}
	for _, id := range ids {
		wantFields(t, q, id, map[string]string{"ats": "1", "atm": "1"})
	}
}

// holding returns the lane of a worker that does not run, with one slot, which is taken, and with jobs a, b and c held.
func holding(t *testing.T, handler Handler, hooks Hooks) *lane {
	t.Helper()
	client := newClient(t)
	w, err := NewWorker(client, "mail", handler, WorkerConfig{FetchAhead: 20, Hooks: hooks})
	if err != nil {
		t.Fatal(err)
	}
	s := newShift(t.Context(), w)
	s.share(1)
	l := s.lanes[0]
	l.active, l.runs = 1, 1
	l.pace, l.holdUntil = time.Microsecond, time.Now().Add(time.Hour)
	for _, id := range []string{"a", "b", "c"} {
		l.hold(&run{job: newJob(client, w.keys, id), lane: l, token: id})
	}
	return l
}

// What is held is given back at once, the last first, when it is not to start soon.
func TestHeldIsGivenBack(t *testing.T) {
	t.Parallel()
	ends := func(kind outcomeKind) func(*lane, *run) {
		return func(l *lane, r *run) { l.end(r, outcome{kind: kind}, 0) }
	}
	for name, test := range map[string]struct {
		happens func(l *lane, running *run)
		back    string
	}{
		"pause":              {func(l *lane, _ *run) { l.pause(true) }, "cba"},
		"stop":               {func(l *lane, _ *run) { l.close() }, "cba"},
		"resize":             {func(l *lane, _ *run) { l.resize(1) }, "cba"},
		"limit":              {func(l *lane, _ *run) { l.limited = time.Now().Add(time.Minute) }, "cba"},
		"handler goes on":    {func(l *lane, _ *run) { l.holdUntil = time.Now() }, "cba"},
		"handler was slow":   {func(l *lane, r *run) { l.end(r, outcome{kind: outcomeCompleted}, aheadFor+1) }, "xcb"}, // a has started
		"handler hands back": {ends(outcomeReturned), "cbax"},
		"handler limits":     {ends(outcomeLimited), "cbax"},
	} {
		release := make(chan struct{})
		l := holding(t, func(context.Context, *Job) (any, error) { <-release; return nil, nil }, Hooks{})
		l.look = false
		if c := l.next(time.Now()); c != nil || len(l.held) != 3 {
			t.Errorf("%s: call %+v and %d held before", name, c, len(l.held))
		}
		test.happens(l, &run{job: newJob(l.client, l.keys, "x"), lane: l, cancel: func(error) {}})
		c := l.next(time.Now())
		if c == nil {
			t.Fatalf("%s: no call", name)
		}
		got := ""
		for _, r := range c.outcomes {
			got += r.job.ID
			if r.outcome.unstarted != (r.job.ID != "x") {
				t.Errorf("%s: %s was not started: %t", name, r.job.ID, r.outcome.unstarted)
			}
		}
		if got != test.back || !c.pass || c.ahead > 0 || len(l.held) > 0 {
			t.Errorf("%s: outcomes of %q, not %q; call %+v, %d held", name, got, test.back, c, len(l.held))
		}
		close(release)
		eventually(t, "the handler to end", func() bool { active, _ := l.left(); return active == 0 || got == "cba" })
	}
}

// While Redis is away nothing that was held for too long starts any more.
func TestHeldWhileRedisIsAway(t *testing.T) {
	t.Parallel()
	l := holding(t, func(context.Context, *Job) (any, error) { t.Error("started"); return nil, nil }, Hooks{})
	l.holdUntil, l.pending, l.retryAt = time.Now(), new(call), time.Now().Add(time.Hour)
	l.end(&run{job: newJob(l.client, l.keys, "x"), lane: l}, outcome{kind: outcomeCompleted}, 0)
	if c := l.next(time.Now()); c != nil || len(l.held) > 0 || len(l.ended) != 4 {
		t.Errorf("call %+v, %d held, %d ended", c, len(l.held), len(l.ended))
	}
}

// A job that is cancelled or lost while it is held never reaches the handler.
func TestHeldIsDropped(t *testing.T) {
	t.Parallel()
	called, told := make(chan string, 3), make(chan End, 1)
	l := holding(t, func(_ context.Context, job *Job) (any, error) { called <- job.ID; return nil, nil },
		Hooks{Ended: func(_ *Job, end End) { told <- end }})
	cancelled, lost := l.held[0], l.held[1]
	if !l.cancel("a", nil) {
		t.Error("a is not there to be cancelled")
	}
	l.mu.Lock()
	lost.lost = true
	lost.cancel(ErrLockLost)
	l.active = 0
	l.startHeld(time.Now())
	l.mu.Unlock()
	if id := <-called; id != "c" {
		t.Errorf("the handler was called with %s", id)
	}
	if end := <-told; end.Outcome != Lost {
		t.Errorf("b has ended as %s", end.Outcome)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if o := cancelled.outcome; o.kind != outcomeFailed || !errors.Is(o.err, ErrCancelled) {
		t.Errorf("a: %s, %v", o.kind, o.err)
	}
}
