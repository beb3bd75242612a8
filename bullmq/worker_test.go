package bullmq

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/rueidis"
)

// crew is a worker that runs.
type crew struct {
	*Worker
	ends *ends
	stop func() // once or more often; returns when Run has
}

// ends collects what became of jobs.
type ends struct {
	mu  sync.Mutex
	all []string // "<id> <outcome>"
}

func (e *ends) add(job *Job, end End) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.all = append(e.all, job.ID+" "+string(end.Outcome))
}

func (e *ends) has(want ...string) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, w := range want {
		if !slices.Contains(e.all, w) {
			return false
		}
	}
	return true
}

func (e *ends) count() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return len(e.all)
}

// work runs a worker for the queue until the test ends or says stop.
func work(t testing.TB, q *Queue, cfg WorkerConfig, handler Handler) *crew {
	t.Helper()
	cfg.Prefix = q.config.Prefix
	e := new(ends)
	hook := cfg.Hooks.Ended
	cfg.Hooks.Ended = func(job *Job, end End) {
		e.add(job, end)
		if hook != nil {
			hook(job, end)
		}
	}
	cfg.Log = cmp.Or(cfg.Log, slog.New(slog.NewTextHandler(t.Output(), nil)))
	w, err := NewWorker(q.client, q.name, handler, cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := w.Run(ctx); err != nil {
			t.Error(err)
		}
	}()
	stop := func() { cancel(); <-done }
	t.Cleanup(stop)
	return &crew{w, e, stop}
}

func add(t testing.TB, q *Queue, opts JobOptions) string {
	t.Helper()
	job, err := q.Add(t.Context(), "paint", json.RawMessage(`{"colour":"red"}`), opts)
	if err != nil {
		t.Fatal(err)
	}
	return job.ID
}

// story returns the events of a job, or without an id those of none, each as its name and fields.
func story(t testing.TB, q *Queue, id string) []string {
	t.Helper()
	entries, err := do(t, q, "XRANGE", "P:events", "-", "+").AsXRange()
	if err != nil {
		t.Fatal(err)
	}
	var events []string
	for _, entry := range entries {
		if entry.FieldValues["jobId"] != id {
			continue
		}
		text := entry.FieldValues["event"]
		for _, name := range []string{"prev", "returnvalue", "failedReason", "attemptsMade"} {
			if value, ok := entry.FieldValues[name]; ok {
				text += " " + name + "=" + value
			}
		}
		events = append(events, text)
	}
	return events
}

func wantStory(t testing.TB, q *Queue, id string, want ...string) {
	t.Helper()
	if got := story(t, q, id); !slices.Equal(got, want) {
		t.Errorf("events of job %q:\n%s\nnot\n%s", id, strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func hash(t testing.TB, q *Queue, id string) map[string]string {
	t.Helper()
	m, err := do(t, q, "HGETALL", "P:"+id).AsStrMap()
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// wantFields checks fields of a job's hash; "-" is none.
func wantFields(t testing.TB, q *Queue, id string, want map[string]string) {
	t.Helper()
	got := hash(t, q, id)
	for name, value := range want {
		if v, ok := got[name]; ok && v != value || !ok && value != "-" {
			t.Errorf("field %s of job %s is %q, not %q", name, id, v, value)
		}
	}
}

// wantAtRest checks that no job is active and no lock is left.
func wantAtRest(t testing.TB, q *Queue) {
	t.Helper()
	if n, _ := do(t, q, "LLEN", "P:active").AsInt64(); n != 0 {
		t.Errorf("%d jobs are active", n)
	}
	if locks, _ := do(t, q, "KEYS", "P:*:lock").AsStrSlice(); len(locks) != 0 {
		t.Errorf("locks are left: %q", locks)
	}
}

func nothing(context.Context, *Job) (any, error) { return nil, nil }

func TestComplete(t *testing.T) {
	t.Parallel()
	q := newQueue(t, QueueConfig{})
	id := add(t, q, JobOptions{})
	w := work(t, q, WorkerConfig{Name: "ann"}, func(ctx context.Context, job *Job) (any, error) {
		var data struct{ Colour string }
		if err := job.Bind(&data); err != nil {
			return nil, err
		}
		if job.Name != "paint" || job.Attempt() != 1 || job.AttemptsStarted != 1 || job.ProcessedBy != "ann" || job.ProcessedOn.IsZero() {
			return nil, fmt.Errorf("job %+v", job)
		}
		return map[string]string{"is": data.Colour}, job.Progress(ctx, 50)
	})
	eventually(t, "the end", func() bool { return w.ends.has(id + " completed") })
	wantStory(t, q, id, "added", "waiting", "active prev=waiting", "progress", `completed prev=active returnvalue={"is":"red"}`)
	eventually(t, "drained", func() bool { return slices.Equal(story(t, q, ""), []string{"drained"}) })
	wantFields(t, q, id, map[string]string{"returnvalue": `{"is":"red"}`, "atm": "1", "ats": "1", "pb": "ann", "failedReason": "-"})
	fields := hash(t, q, id)
	if score, _ := do(t, q, "ZSCORE", "P:completed", id).AsFloat64(); fields["finishedOn"] != strconv.FormatInt(int64(score), 10) {
		t.Errorf("finished on %s, completed at %f", fields["finishedOn"], score)
	}
	wantAtRest(t, q)
}

// What a handler returns decides what becomes of its job.
func TestOutcomes(t *testing.T) {
	t.Parallel()
	boom := errors.New("boom")
	first := func(err error) func(*Job) error { // err at the first start, nothing later
		return func(job *Job) error {
			if job.AttemptsStarted == 1 {
				return err
			}
			return nil
		}
	}
	always := func(err error) func(*Job) error { return func(*Job) error { return err } }
	const begin, end = "active prev=waiting", "completed prev=active returnvalue=null"
	for name, test := range map[string]struct {
		opts   JobOptions
		handle func(*Job) error
		last   Outcome
		events []string // behind waiting
		fields map[string]string
	}{
		"one attempt": {
			JobOptions{},
			always(boom), Failed,
			[]string{begin, "failed prev=active failedReason=boom", "retries-exhausted attemptsMade=1"},
			map[string]string{"atm": "1", "ats": "1", "failedReason": "boom", "stacktrace": `["boom"]`},
		},
		"two more attempts after a pause": {
			JobOptions{Attempts: 3, Backoff: Exponential(5 * time.Millisecond)},
			func(job *Job) error { return fmt.Errorf("boom %d", job.Attempt()) }, Failed,
			[]string{
				begin, "delayed", "waiting prev=delayed", begin, "delayed", "waiting prev=delayed", begin,
				"failed prev=active failedReason=boom 3", "retries-exhausted attemptsMade=3",
			},
			map[string]string{"atm": "3", "ats": "3", "delay": "0", "failedReason": "boom 3", "stacktrace": `["boom 1","boom 2","boom 3"]`},
		},
		"another attempt at once": {
			JobOptions{Attempts: 2},
			first(boom), Completed,
			[]string{begin, "waiting prev=active", begin, end},
			map[string]string{"atm": "2", "ats": "2", "failedReason": "boom", "returnvalue": "null"},
		},
		"unrecoverable": {
			JobOptions{Attempts: 3},
			always(fmt.Errorf("step 1: %w", Unrecoverable(boom))), Failed,
			[]string{begin, "failed prev=active failedReason=step 1: boom"},
			map[string]string{"atm": "1"},
		},
		"unrecoverable at the last attempt": {
			JobOptions{Attempts: 1},
			always(Unrecoverable(nil)), Failed,
			[]string{begin, "failed prev=active failedReason=unrecoverable", "retries-exhausted attemptsMade=1"},
			nil,
		},
		"postponed": {
			JobOptions{},
			first(DelayFor(5*time.Millisecond, "not yet")), Completed,
			[]string{begin, "delayed", "waiting prev=delayed", begin, end},
			map[string]string{"atm": "1", "ats": "2", "delay": "0", "failedReason": "-"},
		},
		"handed back": {
			JobOptions{},
			first(HandBack("not me")), Completed,
			[]string{begin, "waiting prev=active", begin, end},
			map[string]string{"atm": "1", "ats": "2", "failedReason": "-"},
		},
		"handed back with a priority": {
			JobOptions{Priority: 5},
			first(HandBack("not me")), Completed,
			[]string{begin, "waiting prev=active", begin, end},
			nil,
		},
		"rate limited": {
			JobOptions{},
			first(RateLimited(20 * time.Millisecond)), Completed,
			[]string{begin, "waiting prev=active", begin, end},
			map[string]string{"atm": "1", "ats": "2"},
		},
		"panic": {
			JobOptions{},
			func(*Job) error { panic("oh") }, Failed,
			[]string{begin, "failed prev=active failedReason=panic: oh", "retries-exhausted attemptsMade=1"},
			nil,
		},
		"only the last traces": {
			JobOptions{Attempts: 3, StackTraceLimit: ptr(1)},
			func(job *Job) error { return fmt.Errorf("boom %d", job.Attempt()) }, Failed,
			[]string{
				begin, "waiting prev=active", begin, "waiting prev=active", begin,
				"failed prev=active failedReason=boom 3", "retries-exhausted attemptsMade=3",
			},
			map[string]string{"stacktrace": `["boom 3"]`},
		},
		"no strategy of that name": {
			JobOptions{Attempts: 3, Backoff: Backoff{Type: "lunar"}},
			always(boom), Failed,
			[]string{begin, `failed prev=active failedReason=no backoff strategy "lunar"; it followed: boom`},
			nil,
		},
		"a strategy that retries": {
			JobOptions{Attempts: 2, Backoff: Backoff{Type: "custom"}},
			first(boom), Completed,
			[]string{begin, "waiting prev=active", begin, end},
			nil,
		},
		"a strategy that gives up": {
			JobOptions{Attempts: 3, Backoff: Backoff{Type: "custom"}},
			always(errors.New("give up")), Failed,
			[]string{begin, "failed prev=active failedReason=give up"},
			nil,
		},
		"goexit": {
			JobOptions{},
			func(*Job) error { runtime.Goexit(); return nil }, Failed,
			[]string{begin, "failed prev=active failedReason=handler has ended its goroutine", "retries-exhausted attemptsMade=1"},
			nil,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			q := newQueue(t, QueueConfig{})
			id := add(t, q, test.opts)
			cfg := WorkerConfig{BackoffStrategies: map[string]BackoffStrategy{"custom": func(_ int, err error, _ *Job) time.Duration {
				if err.Error() == "give up" {
					return -1
				}
				return 0
			}}}
			w := work(t, q, cfg, func(_ context.Context, job *Job) (any, error) { return nil, test.handle(job) })
			eventually(t, "the end", func() bool { return w.ends.has(id + " " + string(test.last)) })
			wantStory(t, q, id, append([]string{"added", "waiting"}, test.events...)...)
			wantFields(t, q, id, test.fields)
			wantAtRest(t, q)
		})
	}
}

func TestPanicLeavesItsStack(t *testing.T) {
	t.Parallel()
	q := newQueue(t, QueueConfig{})
	id := add(t, q, JobOptions{})
	w := work(t, q, WorkerConfig{}, func(context.Context, *Job) (any, error) { panic(errors.New("oh")) })
	eventually(t, "the end", func() bool { return w.ends.has(id + " failed") })
	var traces []string
	if err := json.Unmarshal([]byte(hash(t, q, id)["stacktrace"]), &traces); err != nil || len(traces) != 1 {
		t.Fatalf("stacktrace %q: %v", traces, err)
	}
	if !strings.HasPrefix(traces[0], "panic: oh\n\ngoroutine ") || !strings.Contains(traces[0], "TestPanicLeavesItsStack") {
		t.Errorf("stack %q", traces[0])
	}
}

// Jobs start in the order of the line: the last of a LIFO first, then the first added, then by priority.
func TestOrder(t *testing.T) {
	t.Parallel()
	q := newQueue(t, QueueConfig{})
	var want []string
	p9, p2, p2b := add(t, q, JobOptions{Priority: 9}), add(t, q, JobOptions{Priority: 2}), add(t, q, JobOptions{Priority: 2})
	one, two := add(t, q, JobOptions{}), add(t, q, JobOptions{})
	lifo1, lifo2 := add(t, q, JobOptions{LIFO: true}), add(t, q, JobOptions{LIFO: true})
	want = append(want, lifo2, lifo1, one, two, p2, p2b, p9)
	var mu sync.Mutex
	var got []string
	w := work(t, q, WorkerConfig{}, func(_ context.Context, job *Job) (any, error) {
		mu.Lock()
		defer mu.Unlock()
		got = append(got, job.ID)
		return nil, nil
	})
	eventually(t, "all", func() bool { return w.ends.count() == len(want) })
	if !slices.Equal(got, want) {
		t.Errorf("order %q, not %q", got, want)
	}
}

// Of jobs that have ended those stay that the rule of the last one lets stay.
func TestKeep(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		job, worker *Keep
		left        int
	}{
		"nobody says":          {nil, nil, 5},
		"all":                  {KeepAll(), KeepNone(), 5},
		"none":                 {KeepNone(), nil, 0},
		"last two":             {KeepLast(2), nil, 2},
		"for a while":          {KeepFor(time.Hour), nil, 5},
		"one of a while":       {&Keep{Count: 1, Age: time.Hour}, nil, 1},
		"what the worker says": {nil, KeepLast(3), 3},
	} {
		for _, state := range []State{StateCompleted, StateFailed} {
			t.Run(name+"/"+string(state), func(t *testing.T) {
				t.Parallel()
				q := newQueue(t, QueueConfig{})
				for range 5 {
					add(t, q, JobOptions{RemoveOnComplete: test.job, RemoveOnFail: test.job})
				}
				w := work(t, q, WorkerConfig{RemoveOnComplete: test.worker, RemoveOnFail: test.worker}, func(context.Context, *Job) (any, error) {
					if state == StateFailed {
						return nil, errors.New("boom")
					}
					return nil, nil
				})
				eventually(t, "all", func() bool { return w.ends.count() == 5 })
				ids, _ := do(t, q, "ZRANGE", "P:"+string(state), "0", "-1").AsStrSlice()
				if len(ids) != test.left || len(ids) > 0 && ids[len(ids)-1] != "5" {
					t.Errorf("left %q, not %d", ids, test.left)
				}
				for i := range 5 {
					id := strconv.Itoa(i + 1)
					if exists := len(hash(t, q, id)) > 0; exists != slices.Contains(ids, id) {
						t.Errorf("job %s exists: %t", id, exists)
					}
				}
			})
		}
	}
}

// A job that has grown too old goes when another one ends.
func TestKeepForAge(t *testing.T) {
	t.Parallel()
	q := newQueue(t, QueueConfig{})
	for i := range 5 {
		store(t, q, "old"+strconv.Itoa(i))
		do(t, q, "ZADD", "P:completed", strconv.FormatInt(time.Now().Add(-time.Hour).UnixMilli()+int64(i), 10), "old"+strconv.Itoa(i))
	}
	id := add(t, q, JobOptions{RemoveOnComplete: &Keep{Age: time.Minute, Limit: 2}})
	w := work(t, q, WorkerConfig{}, nothing)
	eventually(t, "the end", func() bool { return w.ends.count() == 1 })
	ids, _ := do(t, q, "ZRANGE", "P:completed", "0", "-1").AsStrSlice()
	if want := []string{"old0", "old1", "old2", id}; !slices.Equal(ids, want) {
		t.Errorf("left %q, not %q", ids, want)
	}
}

func TestTimeout(t *testing.T) {
	t.Parallel()
	q := newQueue(t, QueueConfig{})
	own, workers := add(t, q, JobOptions{Timeout: 20 * time.Millisecond, Attempts: 2}), add(t, q, JobOptions{})
	w := work(t, q, WorkerConfig{Timeout: 30 * time.Millisecond}, func(ctx context.Context, job *Job) (any, error) {
		<-ctx.Done()
		if cause := context.Cause(ctx); cause != ErrTimeout {
			t.Errorf("cause %v", cause)
		}
		if job.ID == own {
			return nil, ctx.Err()
		}
		return nil, errors.New("too slow")
	})
	eventually(t, "the ends", func() bool { return w.ends.has(own+" retried", own+" failed", workers+" failed") })
	wantFields(t, q, own, map[string]string{"failedReason": "job timed out", "atm": "2"})
	wantFields(t, q, workers, map[string]string{"failedReason": "job timed out: too slow"})
}

func TestCancelLocally(t *testing.T) {
	t.Parallel()
	q := newQueue(t, QueueConfig{})
	id := add(t, q, JobOptions{Attempts: 5})
	started := make(chan struct{})
	w := work(t, q, WorkerConfig{}, func(ctx context.Context, job *Job) (any, error) {
		close(started)
		<-ctx.Done()
		if cause := context.Cause(ctx); !errors.Is(cause, ErrCancelled) {
			t.Errorf("cause %v", cause)
		}
		return nil, ctx.Err()
	})
	<-started
	if ids := w.Running(); !slices.Equal(ids, []string{id}) {
		t.Errorf("running %q", ids)
	}
	if w.Cancel("nobody", nil) {
		t.Error("a job was cancelled that does not run")
	}
	if !w.Cancel(id, errors.New("user left")) {
		t.Error("the job was not cancelled")
	}
	eventually(t, "the end", func() bool { return w.ends.has(id + " failed") })
	wantFields(t, q, id, map[string]string{"failedReason": "job cancelled: user left", "atm": "1"})
}

// A job is cancelled by any process: by a message, or else when its lock is renewed.
func TestCancelFromAnywhere(t *testing.T) {
	t.Parallel()
	for name, lock := range map[string]time.Duration{"message": time.Minute, "renewal": 400 * time.Millisecond} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			q := newQueue(t, QueueConfig{})
			id := add(t, q, JobOptions{Attempts: 5})
			started := make(chan struct{})
			w := work(t, q, WorkerConfig{Lock: lock}, func(ctx context.Context, job *Job) (any, error) {
				close(started)
				<-ctx.Done()
				return nil, ctx.Err()
			})
			<-started
			if name == "renewal" { // the message is lost
				do(t, q, "HSET", "P:"+id, "cxl", "1:user left")
			} else {
				eventually(t, "the subscription", func() bool {
					n, _ := do(t, q, "PUBSUB", "NUMSUB", "P:cancel").ToArray()
					count, _ := n[1].AsInt64()
					return count == 1
				})
				if err := q.Cancel(t.Context(), id, "user left"); err != nil {
					t.Fatal(err)
				}
			}
			eventually(t, "the end", func() bool { return w.ends.has(id + " failed") })
			wantFields(t, q, id, map[string]string{"failedReason": "job cancelled: user left", "cxl": "-"})
			if err := q.Cancel(t.Context(), id, ""); !errors.Is(err, ErrState) {
				t.Errorf("cancelling a job that has ended: %v", err)
			}
			if err := q.Cancel(t.Context(), "nobody", ""); !errors.Is(err, ErrJobNotFound) {
				t.Errorf("cancelling nobody: %v", err)
			}
		})
	}
}

// A request to cancel is for one attempt: it does not reach the next.
func TestCancelIsForOneAttempt(t *testing.T) {
	t.Parallel()
	q := newQueue(t, QueueConfig{})
	id := add(t, q, JobOptions{})
	do(t, q, "HSET", "P:"+id, "cxl", "1:late", "ats", "1")
	w := work(t, q, WorkerConfig{Lock: 200 * time.Millisecond}, func(ctx context.Context, job *Job) (any, error) {
		select {
		case <-ctx.Done():
		case <-time.After(300 * time.Millisecond):
		}
		return nil, context.Cause(ctx)
	})
	eventually(t, "the end", func() bool { return w.ends.has(id + " completed") })
}

func TestPauseLocally(t *testing.T) {
	t.Parallel()
	q := newQueue(t, QueueConfig{})
	w := work(t, q, WorkerConfig{DrainDelay: time.Minute}, nothing)
	first := add(t, q, JobOptions{})
	eventually(t, "the first", func() bool { return w.ends.has(first + " completed") })
	w.Pause()
	second := add(t, q, JobOptions{})
	other := work(t, q, WorkerConfig{DrainDelay: time.Minute}, nothing)
	eventually(t, "the second, by another", func() bool { return other.ends.has(second + " completed") })
	other.stop()
	third := add(t, q, JobOptions{})
	if state, err := q.State(t.Context(), third); err != nil || state != StateWaiting {
		t.Errorf("state %q: %v", state, err)
	}
	w.Resume()
	eventually(t, "the third", func() bool { return w.ends.has(third + " completed") })
}

// A worker that stops lets handlers end, and gives back what does not end in time.
func TestStop(t *testing.T) {
	t.Parallel()
	q := newQueue(t, QueueConfig{})
	quick, slow := add(t, q, JobOptions{}), add(t, q, JobOptions{})
	waiting := add(t, q, JobOptions{})
	var started sync.WaitGroup
	started.Add(2)
	finish := make(chan struct{})
	w := work(t, q, WorkerConfig{Concurrency: 2, Grace: 100 * time.Millisecond}, func(ctx context.Context, job *Job) (any, error) {
		started.Done()
		if job.ID == quick {
			<-finish
			return nil, ctx.Err()
		}
		<-ctx.Done()
		if cause := context.Cause(ctx); cause != ErrShutdown {
			t.Errorf("cause %v", cause)
		}
		return nil, ctx.Err()
	})
	started.Wait()
	go w.stop()
	eventually(t, "the stop to begin", func() bool {
		s := w.current()
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.closing
	})
	close(finish)
	w.stop()
	if !w.ends.has(quick+" completed", slow+" returned") {
		t.Errorf("ends %q", w.ends.all)
	}
	wantFields(t, q, slow, map[string]string{"ats": "1", "atm": "-"})
	if ids, _ := do(t, q, "LRANGE", "P:wait", "0", "-1").AsStrSlice(); !slices.Equal(ids, []string{waiting, slow}) {
		t.Errorf("waiting %q", ids)
	}
	if n, _ := do(t, q, "EXISTS", "P:marker").AsInt64(); n != 1 {
		t.Error("nobody is told of the jobs that wait")
	}
	wantAtRest(t, q)
}

// A worker stops however much there is to do.
func TestStopWhileBusy(t *testing.T) {
	t.Parallel()
	q := newQueue(t, QueueConfig{})
	addMany(t, q, 5000)
	var runs atomic.Int32
	some := make(chan struct{})
	w := work(t, q, WorkerConfig{Concurrency: 10}, func(context.Context, *Job) (any, error) {
		if runs.Add(1) == 100 {
			close(some)
		}
		return nil, nil
	})
	<-some
	w.stop()
	if n, _ := do(t, q, "LLEN", "P:wait").AsInt64(); n < 1000 {
		t.Errorf("only %d jobs still wait", n)
	}
	wantAtRest(t, q)
}

// A handler that does not return keeps neither the worker nor its job.
func TestStopWithAHandlerThatGoesOn(t *testing.T) {
	t.Parallel()
	q := newQueue(t, QueueConfig{})
	id := add(t, q, JobOptions{})
	started, release := make(chan struct{}), make(chan struct{})
	w := work(t, q, WorkerConfig{Grace: -1}, func(context.Context, *Job) (any, error) {
		close(started)
		<-release
		return nil, nil
	})
	<-started
	w.stop()
	close(release)
	if !w.ends.has(id + " returned") {
		t.Errorf("ends %q", w.ends.all)
	}
	wantAtRest(t, q)
}

// An idle worker has a connection that is listed by its name; it is gone when the worker has stopped.
func TestConnectionHasAName(t *testing.T) {
	t.Parallel()
	q := newQueue(t, QueueConfig{})
	named := func() int {
		list, _ := do(t, q, "CLIENT", "LIST").ToString()
		return strings.Count(list, " name="+q.config.Prefix+":bWFpbA==:w:ann ")
	}
	w := work(t, q, WorkerConfig{Name: "ann"}, nothing)
	eventually(t, "the connection", func() bool { return named() == 1 })
	w.stop()
	eventually(t, "its end", func() bool { return named() == 0 })
}

// Of several idle workers each job wakes one.
func TestSleepingWorkersWake(t *testing.T) {
	t.Parallel()
	q := newQueue(t, QueueConfig{})
	var workers []*crew
	hold := make(chan struct{})
	for range 4 {
		workers = append(workers, work(t, q, WorkerConfig{DrainDelay: time.Minute}, func(context.Context, *Job) (any, error) { <-hold; return nil, nil }))
	}
	eventually(t, "sleep", func() bool { return blocked(t, q) == 4 })
	for range 4 {
		add(t, q, JobOptions{})
	}
	eventually(t, "all to work", func() bool {
		return !slices.ContainsFunc(workers, func(w *crew) bool { return len(w.Running()) != 1 })
	})
	close(hold)
}

// blocked returns how many workers of the queue sleep.
func blocked(t testing.TB, q *Queue) int {
	list, err := do(t, q, "CLIENT", "LIST").ToString()
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for line := range strings.Lines(list) {
		if strings.Contains(line, " name="+q.config.Prefix+":") && strings.Contains(line, " cmd=bzpopmin ") {
			n++
		}
	}
	return n
}

// A delayed job starts when it is due, not when Redis next looks at its clock.
func TestDelayedStartIsExact(t *testing.T) {
	t.Parallel()
	q := newQueue(t, QueueConfig{})
	late := make(chan time.Duration, 20)
	w := work(t, q, WorkerConfig{DrainDelay: time.Minute, Concurrency: 20}, func(_ context.Context, job *Job) (any, error) {
		late <- time.Since(job.Timestamp.Add(job.Options.Delay))
		return nil, nil
	})
	for i := range 20 {
		add(t, q, JobOptions{Delay: time.Duration(20+13*i) * time.Millisecond})
	}
	eventually(t, "all", func() bool { return w.ends.count() == 20 })
	close(late)
	var all []time.Duration
	for d := range late {
		if d < -time.Millisecond {
			t.Errorf("a job started %s early", -d)
		}
		all = append(all, d)
	}
	slices.Sort(all)
	if t.Logf("late by %s", all); all[len(all)/2] > 20*time.Millisecond {
		t.Errorf("half of the jobs were late by %s or more", all[len(all)/2])
	}
}

// Who knows of a delayed job and is busy when it is due does not keep the others from it.
func TestDelayedJobWithABusyWorker(t *testing.T) {
	t.Parallel()
	q := newQueue(t, QueueConfig{})
	hold := make(chan struct{})
	defer close(hold)
	handler := func(_ context.Context, job *Job) (any, error) {
		if job.Name != "paint" {
			<-hold
		}
		return nil, nil
	}
	a := work(t, q, WorkerConfig{DrainDelay: time.Minute}, handler)
	eventually(t, "sleep", func() bool { return blocked(t, q) == 1 })
	id := add(t, q, JobOptions{Delay: 300 * time.Millisecond})
	eventually(t, "the news of it", func() bool { n, _ := do(t, q, "EXISTS", "P:marker").AsInt64(); return n == 0 })
	if _, err := q.Add(t.Context(), "block", nil, JobOptions{}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "a to be busy", func() bool { return len(a.Running()) == 1 })
	b := work(t, q, WorkerConfig{DrainDelay: time.Minute}, handler)
	eventually(t, "the delayed job", func() bool { return b.ends.has(id + " completed") })
}

func TestGlobalConcurrency(t *testing.T) {
	t.Parallel()
	q := newQueue(t, QueueConfig{})
	do(t, q, "HSET", "P:meta", "concurrency", "1")
	for range 10 {
		add(t, q, JobOptions{})
	}
	var running, most atomic.Int32
	handler := func(context.Context, *Job) (any, error) {
		n := running.Add(1)
		for old := most.Load(); n > old && !most.CompareAndSwap(old, n); old = most.Load() {
		}
		<-time.After(2 * time.Millisecond)
		running.Add(-1)
		return nil, nil
	}
	a := work(t, q, WorkerConfig{Concurrency: 3, DrainDelay: time.Minute}, handler)
	b := work(t, q, WorkerConfig{Concurrency: 3, DrainDelay: time.Minute}, handler)
	eventually(t, "all", func() bool { return a.ends.count()+b.ends.count() == 10 })
	if most.Load() != 1 {
		t.Errorf("%d ran at once", most.Load())
	}
}

// The slot that a stopping worker frees is taken by another at once.
func TestGlobalConcurrencyPassesOn(t *testing.T) {
	t.Parallel()
	q := newQueue(t, QueueConfig{})
	do(t, q, "HSET", "P:meta", "concurrency", "1")
	first := add(t, q, JobOptions{})
	hold := make(chan struct{})
	a := work(t, q, WorkerConfig{DrainDelay: time.Minute}, func(context.Context, *Job) (any, error) { <-hold; return nil, nil })
	eventually(t, "the first to run", func() bool { return slices.Equal(a.Running(), []string{first}) })
	b := work(t, q, WorkerConfig{DrainDelay: time.Minute}, nothing)
	second := add(t, q, JobOptions{})
	eventually(t, "sleep", func() bool { return blocked(t, q) == 1 })
	go close(hold)
	a.stop()
	eventually(t, "the second", func() bool { return b.ends.has(second + " completed") })
}

func TestRateLimit(t *testing.T) {
	t.Parallel()
	q := newQueue(t, QueueConfig{})
	for range 6 {
		add(t, q, JobOptions{})
	}
	starts := make(chan time.Time, 6)
	const per = 200 * time.Millisecond
	w := work(t, q, WorkerConfig{Concurrency: 3, RateLimit: &RateLimit{2, per}, DrainDelay: time.Minute}, func(context.Context, *Job) (any, error) {
		starts <- time.Now()
		return nil, nil
	})
	eventually(t, "all", func() bool { return w.ends.count() == 6 })
	var all []time.Time
	for range 6 {
		all = append(all, <-starts)
	}
	slices.SortFunc(all, time.Time.Compare)
	for i := 2; i < 6; i++ {
		if gap := all[i].Sub(all[i-2]); gap < per*8/10 {
			t.Errorf("three jobs started within %s", gap)
		}
	}
	if took := all[5].Sub(all[0]); took > 2*time.Second {
		t.Errorf("it took %s", took)
	}
}

func TestMaxStarts(t *testing.T) {
	t.Parallel()
	q := newQueue(t, QueueConfig{})
	id := add(t, q, JobOptions{Attempts: 9})
	w := work(t, q, WorkerConfig{MaxStarts: 2}, func(context.Context, *Job) (any, error) { return nil, HandBack("never") })
	eventually(t, "the end", func() bool { return w.ends.has(id + " failed") })
	wantFields(t, q, id, map[string]string{"ats": "3", "atm": "1", "failedReason": "job started more than allowable limit"})
}

func TestMetrics(t *testing.T) {
	t.Parallel()
	q := newQueue(t, QueueConfig{})
	w := work(t, q, WorkerConfig{MetricsPoints: 5}, func(_ context.Context, job *Job) (any, error) {
		if job.ID == "2" {
			return nil, errors.New("boom")
		}
		return nil, nil
	})
	run := func() {
		t.Helper()
		n := w.ends.count()
		add(t, q, JobOptions{})
		eventually(t, "the end", func() bool { return w.ends.count() > n })
	}
	run()
	run()
	run()
	want := func(state, count, prev string, points ...string) {
		t.Helper()
		values, _ := do(t, q, "HMGET", "P:metrics:"+state, "count", "prevCount").AsStrSlice()
		data, _ := do(t, q, "LRANGE", "P:metrics:"+state+":data", "0", "-1").AsStrSlice()
		if !slices.Equal(values, []string{count, prev}) || !slices.Equal(data, points) {
			t.Errorf("%s: count and previous %q, points %q", state, values, data)
		}
	}
	want("completed", "2", "0")
	want("failed", "1", "0")
	do(t, q, "HSET", "P:metrics:completed", "prevTS", strconv.FormatInt(time.Now().Add(-3*time.Minute).UnixMilli(), 10))
	run()
	want("completed", "3", "2", "0", "0", "2")
	do(t, q, "HSET", "P:metrics:completed", "prevTS", strconv.FormatInt(time.Now().Add(-time.Hour).UnixMilli(), 10))
	run()
	want("completed", "4", "3", "0", "0", "0", "0", "1")
}

func TestTelemetryReachesTheHandler(t *testing.T) {
	t.Parallel()
	q := newQueue(t, QueueConfig{})
	with, without := add(t, q, JobOptions{TelemetryMetadata: "trace 7"}), add(t, q, JobOptions{TelemetryMetadata: "trace 8", OmitContext: true})
	seen := make(chan string, 2)
	w := work(t, q, WorkerConfig{Telemetry: tracer{}}, func(ctx context.Context, job *Job) (any, error) {
		trace, _ := ctx.Value(tracer{}).(string)
		seen <- job.ID + " " + trace
		return nil, nil
	})
	eventually(t, "all", func() bool { return w.ends.count() == 2 })
	if a, b := <-seen, <-seen; a != with+" trace 7" || b != without+" " {
		t.Errorf("seen %q, %q", a, b)
	}
}

type tracer struct{}

func (tracer) Inject(context.Context) string { return "" }
func (tracer) Extract(ctx context.Context, metadata string) context.Context {
	return context.WithValue(ctx, tracer{}, metadata)
}

func TestWorkerRunsOnce(t *testing.T) {
	t.Parallel()
	q := newQueue(t, QueueConfig{})
	w := work(t, q, WorkerConfig{}, nothing)
	id := add(t, q, JobOptions{})
	eventually(t, "a job", func() bool { return w.ends.has(id + " completed") })
	if err := w.Run(t.Context()); err == nil {
		t.Error("it ran twice")
	}
	w.stop()
	id = add(t, q, JobOptions{})
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- w.Run(ctx) }()
	eventually(t, "a job of the second run", func() bool { return w.ends.has(id + " completed") })
	stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// A context that never ends is one as good as others; then only the client's end ends the worker.
func TestWorkerUntilItsClientIsClosed(t *testing.T) {
	t.Parallel()
	q := newQueue(t, QueueConfig{})
	client := connect(t, sharedRedis.start(t))
	id := add(t, q, JobOptions{})
	done := make(chan string, 1)
	w, err := NewWorker(client, q.name, nothing, WorkerConfig{Prefix: q.config.Prefix, Hooks: Hooks{Ended: func(job *Job, _ End) { done <- job.ID }}})
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error)
	go func() { ended <- w.Run(context.Background()) }()
	if got := <-done; got != id {
		t.Errorf("job %s has ended", got)
	}
	client.Close()
	add(t, q, JobOptions{})
	if err := <-ended; !errors.Is(err, rueidis.ErrClosing) {
		t.Errorf("Run: %v", err)
	}
}

// A server that may evict jobs is told of.
func TestWorkerWarnsOfEviction(t *testing.T) {
	t.Parallel()
	for policy, warned := range map[string]bool{"noeviction": false, "allkeys-lru": true} {
		q := own(t, startOwnRedis(t, "--maxmemory-policy", policy).addr())
		var log lockedBuffer
		w := work(t, q, WorkerConfig{Log: slog.New(slog.NewTextHandler(&log, nil))}, nothing)
		id := add(t, q, JobOptions{})
		eventually(t, "the end", func() bool { return w.ends.has(id + " completed") })
		w.stop()
		if got := strings.Count(log.String(), "maxmemory-policy"); (got == 1) != warned || got > 1 {
			t.Errorf("%s: warned %d times:\n%s", policy, got, log.String())
		}
	}
}

// lockedBuffer collects what several goroutines write.
type lockedBuffer struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// Without a rate anywhere a limit that was set by hand holds, for all workers, until it is lifted.
func TestRateLimitByHand(t *testing.T) {
	t.Parallel()
	q := newQueue(t, QueueConfig{})
	id := add(t, q, JobOptions{})
	handler := func(_ context.Context, job *Job) (any, error) {
		if job.ID == "1" && job.AttemptsStarted == 1 {
			return nil, RateLimited(time.Hour)
		}
		return nil, nil
	}
	a, b := work(t, q, WorkerConfig{}, handler), work(t, q, WorkerConfig{}, handler)
	eventually(t, "the limit", func() bool { return a.ends.has(id+" returned") || b.ends.has(id+" returned") })
	other := add(t, q, JobOptions{})
	for range 50 {
		<-time.After(time.Millisecond)
		if a.ends.count()+b.ends.count() != 1 {
			t.Fatalf("ends %q, %q", a.ends.all, b.ends.all)
		}
	}
	if err := q.RemoveRateLimit(t.Context()); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the ends", func() bool { return a.ends.count()+b.ends.count() == 3 })
	if state, err := q.State(t.Context(), other); err != nil || state != StateCompleted {
		t.Errorf("state %s, %v", state, err)
	}
}

// Of a limit set by hand some jobs can be let off: all workers together start so many and no more.
func TestRateLimitAfter(t *testing.T) {
	t.Parallel()
	q := newQueue(t, QueueConfig{})
	if err := q.RateLimitAfter(t.Context(), 3, time.Hour); err != nil {
		t.Fatal(err)
	}
	for range 9 {
		add(t, q, JobOptions{})
	}
	a := work(t, q, WorkerConfig{Concurrency: 2}, nothing)
	b := work(t, q, WorkerConfig{Concurrency: 20, RateLimit: &RateLimit{1, time.Hour}}, nothing) // its own counts for nothing now
	eventually(t, "three", func() bool { return a.ends.count()+b.ends.count() >= 3 })
	for range 50 {
		<-time.After(time.Millisecond)
		if n := a.ends.count() + b.ends.count(); n != 3 {
			t.Fatalf("%d have started, want 3", n)
		}
	}
	if err := q.RateLimitAfter(t.Context(), 1, time.Hour); err != nil {
		t.Fatal(err)
	}
	eventually(t, "one more", func() bool { return a.ends.count()+b.ends.count() == 4 })
	b.stop()
	if err := q.RemoveRateLimit(t.Context()); err != nil {
		t.Fatal(err)
	}
	eventually(t, "all", func() bool { return a.ends.count()+b.ends.count() == 9 })
}

// A job that has lost its worker before runs with no other beside it, whatever the others do.
func TestIsolate(t *testing.T) {
	t.Parallel()
	for _, slots := range []int{4, 40} {
		q := newQueue(t, QueueConfig{})
		suspects := map[string]bool{}
		const jobs = 60
		for i := range jobs {
			id := add(t, q, JobOptions{})
			if i%9 < 2 {
				suspects[id] = true
				do(t, q, "HSET", "P:"+id, "stc", "1")
			}
		}
		var mu sync.Mutex
		running := map[string]bool{}
		handler := func(_ context.Context, job *Job) (any, error) {
			mu.Lock()
			running[job.ID] = true
			for id := range running {
				if len(running) > 1 && suspects[id] {
					t.Errorf("%d jobs run beside %s", len(running)-1, id)
				}
			}
			mu.Unlock()
			<-time.After(time.Millisecond)
			mu.Lock()
			defer mu.Unlock()
			delete(running, job.ID)
			return nil, nil
		}
		w := work(t, q, WorkerConfig{Concurrency: slots, Isolate: true}, handler)
		eventually(t, "all", func() bool {
			n, err := q.Counts(t.Context())
			return err == nil && n[StateCompleted] == jobs
		})
		w.stop()
		wantAtRest(t, q)
	}
}

// What waits to run alone is given back when the worker pauses or stops.
func TestIsolatedIsGivenBack(t *testing.T) {
	t.Parallel()
	for name, stop := range map[string]func(*crew){"pause": func(w *crew) { w.Pause() }, "stop": func(w *crew) { go w.stop() }} {
		q := newQueue(t, QueueConfig{})
		first, suspect := add(t, q, JobOptions{}), add(t, q, JobOptions{})
		do(t, q, "HSET", "P:"+suspect, "stc", "1")
		goOn := make(chan struct{})
		w := work(t, q, WorkerConfig{Concurrency: 2, Isolate: true}, func(context.Context, *Job) (any, error) {
			<-goOn
			return nil, nil
		})
		eventually(t, name+": both are taken", func() bool { return len(w.Running()) == 2 })
		stop(w)
		eventually(t, name+": one is back", func() bool {
			state, err := q.State(t.Context(), suspect)
			return err == nil && state == StateWaiting
		})
		close(goOn)
		eventually(t, name+": the end", func() bool { return w.ends.has(first + " completed") })
		if w.ends.has(suspect + " completed") {
			t.Errorf("%s: the suspect has run", name)
		}
	}
}

func TestSetConcurrency(t *testing.T) {
	t.Parallel()
	for _, most := range []int{4, 40} { // in one lane, in two
		q := newQueue(t, QueueConfig{})
		for range 3 * most {
			add(t, q, JobOptions{})
		}
		var mu sync.Mutex
		var running int
		end := make(chan struct{})
		w := work(t, q, WorkerConfig{Concurrency: most}, func(context.Context, *Job) (any, error) {
			count := func(n int) {
				mu.Lock()
				defer mu.Unlock()
				running += n
			}
			count(1)
			defer count(-1)
			<-end
			return nil, nil
		})
		now := func(n int) bool {
			mu.Lock()
			defer mu.Unlock()
			return running == n
		}
		eventually(t, "all slots", func() bool { return now(most) })
		w.SetConcurrency(1)
		for range most - 1 {
			end <- struct{}{}
		}
		eventually(t, "one", func() bool { return now(1) })
		end <- struct{}{}
		eventually(t, "another one", func() bool { return now(1) && w.ends.count() == most })
		w.SetConcurrency(3)
		eventually(t, "three", func() bool { return now(3) })
		w.SetConcurrency(0)
		w.SetConcurrency(10 * most)
		eventually(t, "all slots again", func() bool { return now(most) })
		close(end)
		eventually(t, "the end", func() bool { return w.ends.count() == 3*most })
	}
}

// A lane starts nothing while the other still runs more than its share of fewer slots.
func TestSetConcurrencyOfLanes(t *testing.T) {
	t.Parallel()
	client := newClient(t)
	w, err := NewWorker(client, "mail", nothing, WorkerConfig{Concurrency: 40})
	if err != nil {
		t.Fatal(err)
	}
	s := newShift(t.Context(), w)
	s.share(40)
	full, empty := s.lanes[0], s.lanes[1]
	var runs []*run
	for id := range 20 {
		r := &run{job: newJob(client, w.keys, strconv.Itoa(id)), lane: full, token: strconv.Itoa(id)}
		full.hold(r)
		runs = append(runs, r)
	}
	full.held, full.active = nil, len(runs)
	s.resize(1)
	if full.slots != 0 || empty.slots != 1 {
		t.Fatalf("slots %d and %d", full.slots, empty.slots)
	}
	for _, r := range runs {
		<-empty.wake
		if c := empty.next(time.Now()); c != nil {
			t.Fatalf("wants %d with %d running beside it", c.want, full.active)
		}
		full.end(r, outcome{kind: outcomeCompleted}, time.Second)
	}
	<-empty.wake
	if c := empty.next(time.Now()); c == nil || c.want != 1 {
		t.Fatalf("with nothing running: %+v", c)
	}
}

func TestWorkerRefuses(t *testing.T) {
	t.Parallel()
	client := newClient(t)
	for name, cfg := range map[string]WorkerConfig{
		"concurrency":   {Concurrency: -1},
		"lock":          {Lock: time.Millisecond},
		"stalled every": {StalledEvery: time.Millisecond},
		"max starts":    {MaxStarts: -1},
		"timeout":       {Timeout: -1},
		"rate":          {RateLimit: &RateLimit{}},
		"metrics":       {MetricsPoints: -1},
		"drain delay":   {DrainDelay: time.Microsecond},
	} {
		if _, err := NewWorker(client, "mail", nothing, cfg); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	if _, err := NewWorker(client, "mail", nil, WorkerConfig{}); err == nil {
		t.Error("no handler: accepted")
	}
	if _, err := NewWorker(client, "ma:il", nothing, WorkerConfig{}); err == nil {
		t.Error("a colon: accepted")
	}
}
