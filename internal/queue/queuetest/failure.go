package queuetest

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"loupe/internal/queue"
)

// try is one attempt as the handler saw it.
type try struct {
	job queue.Job
	at  time.Time
}

// record sends what the handler sees to tries and then does what outcome says.
func record(tries chan<- try, outcome func(job queue.Job) error) func(context.Context, queue.Job) error {
	return func(_ context.Context, job queue.Job) error {
		tries <- try{job, time.Now()}
		return outcome(job)
	}
}

func testBackoff(t *testing.T, w world) {
	const backoff = 150 * time.Millisecond
	q := w.open(quick(func(c *queue.Config) { c.Backoff = backoff }))
	enqueue(t, q, "a-1")
	tries := make(chan try)
	consume(t, q, record(tries, func(job queue.Job) error {
		if job.Last() {
			return nil
		}
		return fmt.Errorf("attempt %d: %w", job.Attempt, errTest)
	}))
	before := next(t, tries)
	r := becomes(t, q, "a-1", queue.Delayed)
	if r.AttemptsMade != 1 || len(r.Errors) != 1 || r.FinishedAt.IsZero() {
		t.Errorf("after the first attempt: %+v", r)
	}
	for attempt, want := range []time.Duration{backoff, 2 * backoff} {
		now := next(t, tries)
		if before.job.RetryIn != want || now.job.Attempt != attempt+2 || now.job.Starts != attempt+2 {
			t.Errorf("%+v, then %+v; want %s between them", before.job, now.job, want)
		}
		if gap := now.at.Sub(before.at); gap < want-10*time.Millisecond { // times are cut to milliseconds
			t.Errorf("attempt %d came %s after the one before, want %s", attempt+2, gap, want)
		}
		before = now
	}
	if before.job.RetryIn != 0 || !before.job.Last() {
		t.Errorf("the last: %+v", before.job)
	}
	r = becomes(t, q, "a-1", queue.Completed)
	if r.AttemptsMade != 3 || len(r.Errors) != 2 || r.Errors[0].Attempt != 1 || r.Errors[1].Attempt != 2 ||
		!strings.Contains(r.Errors[1].Error, "attempt 2: the test wants it so") || r.Errors[1].At.Before(r.Errors[0].At) {
		t.Errorf("in the end: %+v", r)
	}
}

func testSpent(t *testing.T, w world) {
	q := w.open(quick(func(c *queue.Config) { c.Backoff = time.Millisecond }))
	enqueue(t, q, "a-1", "b-1")
	consume(t, q, func(_ context.Context, job queue.Job) error {
		if job.ID == "b-1" {
			return nil
		}
		return fmt.Errorf("attempt %d of %d", job.Attempt, job.MaxAttempts)
	})
	r := becomes(t, q, "a-1", queue.FailedJob)
	if r.AttemptsMade != 3 || len(r.Errors) != 3 || r.FinishedAt.IsZero() || string(r.Data) != "{}" {
		t.Errorf("dead letter %+v", r)
	}
	for i, e := range r.Errors {
		if e.Attempt != i+1 || e.Error != fmt.Sprintf("attempt %d of 3", i+1) || e.At.Before(r.CreatedAt) {
			t.Errorf("error %d: %+v", i, e)
		}
	}
	becomes(t, q, "b-1", queue.Completed)
}

func testPermanent(t *testing.T, w world) {
	q := w.open(quick(nil))
	enqueue(t, q, "a-1")
	consume(t, q, func(context.Context, queue.Job) error { return fmt.Errorf("no way: %w", queue.Permanent(errTest)) })
	r := becomes(t, q, "a-1", queue.FailedJob)
	if r.AttemptsMade != 1 || len(r.Errors) != 1 || r.Errors[0].Error != "no way: "+errTest.Error() {
		t.Errorf("dead letter %+v", r)
	}
}

func testPostpone(t *testing.T, w world) {
	const pause = 400 * time.Millisecond
	q := w.open(quick(func(c *queue.Config) { c.Concurrency = 1 }))
	enqueue(t, q, "a", "b", "c")
	tries := make(chan try)
	consume(t, q, record(tries, func(job queue.Job) error {
		if job.ID == "a" && job.Starts == 1 {
			return fmt.Errorf("wrapped: %w", &queue.PostponeError{After: pause, Err: errTest})
		}
		return nil
	}))
	first := next(t, tries)
	becomes(t, q, "a", queue.Waiting)
	enqueue(t, q, "d") // is no reason to begin sooner
	second := next(t, tries)
	if second.job.ID != "a" || second.job.Attempt != 1 || second.job.Starts != 2 || second.job.RetryIn != first.job.RetryIn {
		t.Errorf("after the pause: %+v, want a, unspent and first in line", second.job)
	}
	if gap := second.at.Sub(first.at); gap < pause-10*time.Millisecond {
		t.Errorf("the pause was %s, want %s", gap, pause)
	}
	var order []string
	for range 3 {
		order = append(order, next(t, tries).job.ID)
	}
	if !slices.Equal(order, []string{"b", "c", "d"}) {
		t.Errorf("then %q", order)
	}
	if r := becomes(t, q, "a", queue.Completed); r.AttemptsMade != 1 || len(r.Errors) != 0 {
		t.Errorf("in the end: %+v", r)
	}
}

func testHandedBack(t *testing.T, w world) {
	q := w.open(quick(func(c *queue.Config) { c.Concurrency = 1 }))
	enqueue(t, q, "a", "b")
	tries := make(chan try)
	consume(t, q, record(tries, func(job queue.Job) error {
		if job.ID == "a" && job.Starts == 1 {
			return fmt.Errorf("not now: %w", queue.ErrShutdown)
		}
		return nil
	}))
	next(t, tries)
	if again := next(t, tries); again.job.ID != "a" || again.job.Attempt != 1 || again.job.Starts != 2 {
		t.Errorf("then %+v, want a, unspent and first in line", again.job)
	}
	if last := next(t, tries); last.job.ID != "b" {
		t.Errorf("then %+v, want b", last.job)
	}
}

func testTimeout(t *testing.T, w world) {
	q := w.open(quick(func(c *queue.Config) { c.Timeout, c.Attempts, c.Backoff = 100*time.Millisecond, 2, time.Millisecond }))
	enqueue(t, q, "a-1")
	causes := make(chan error, 2)
	consume(t, q, func(ctx context.Context, _ queue.Job) error {
		<-ctx.Done()
		causes <- context.Cause(ctx)
		return ctx.Err()
	})
	for range 2 {
		if cause := next(t, causes); !errors.Is(cause, queue.ErrTimeout) {
			t.Errorf("cause %v", cause)
		}
	}
	r := becomes(t, q, "a-1", queue.FailedJob)
	if r.AttemptsMade != 2 || len(r.Errors) != 2 || !strings.Contains(r.Errors[1].Error, queue.ErrTimeout.Error()) {
		t.Errorf("dead letter %+v", r)
	}
}

//go:noinline
func panicForTheTest(text string) { panic(text) }

func testPanic(t *testing.T, w world) {
	q := w.open(quick(func(c *queue.Config) { c.Attempts = 1 }))
	enqueue(t, q, "a-1", "long-1", "b-1")
	consume(t, q, func(_ context.Context, job queue.Job) error {
		switch job.ID {
		case "a-1":
			panicForTheTest("oops")
		case "long-1":
			panicForTheTest(strings.Repeat("oops", queue.MaxError))
		}
		return nil
	})
	r := becomes(t, q, "a-1", queue.FailedJob)
	if r.AttemptsMade != 1 || len(r.Errors) != 1 {
		t.Fatalf("dead letter %+v", r)
	}
	if text := r.Errors[0].Error; !strings.Contains(text, "panic: oops") || !strings.Contains(text, "panicForTheTest") || len(text) > queue.MaxError {
		t.Errorf("error %q", text)
	}
	if r := becomes(t, q, "long-1", queue.FailedJob); len(r.Errors) != 1 || len(r.Errors[0].Error) > queue.MaxError {
		t.Errorf("dead letter %+v", r)
	}
	becomes(t, q, "b-1", queue.Completed)
}

func testGoexit(t *testing.T, w world) {
	q := w.open(quick(func(c *queue.Config) { c.Attempts, c.Concurrency = 1, 1 }))
	enqueue(t, q, "a-1", "b-1")
	consume(t, q, func(_ context.Context, job queue.Job) error {
		if job.ID == "a-1" {
			runtime.Goexit()
		}
		return nil
	})
	if r := becomes(t, q, "a-1", queue.FailedJob); len(r.Errors) != 1 || r.Errors[0].Error == "" {
		t.Errorf("dead letter %+v", r)
	}
	becomes(t, q, "b-1", queue.Completed)
}

func testErrorsAreBounded(t *testing.T, w world) {
	q := w.open(quick(func(c *queue.Config) { c.Attempts = 1 }))
	enqueue(t, q, "a-1")
	consume(t, q, func(context.Context, queue.Job) error {
		return errors.New("x" + strings.Repeat("é", 5_000) + "\xff")
	})
	for range queue.MaxErrors + 2 {
		becomes(t, q, "a-1", queue.FailedJob)
		if err := q.Retry(t.Context(), "a-1"); err != nil {
			t.Fatal(err)
		}
	}
	r := becomes(t, q, "a-1", queue.FailedJob)
	if len(r.Errors) == 0 || len(r.Errors) > queue.MaxErrors {
		t.Fatalf("%d errors", len(r.Errors))
	}
	for _, e := range r.Errors {
		if n := len(e.Error); n > queue.MaxError || n < queue.MaxError/2 || !utf8.ValidString(e.Error) {
			t.Errorf("%d bytes, valid: %t", n, utf8.ValidString(e.Error))
		}
	}
}

func testDelayOutlives(t *testing.T, w world) {
	const backoff = 300 * time.Millisecond
	config := quick(func(c *queue.Config) { c.Backoff = backoff })
	q := w.open(config)
	enqueue(t, q, "a-1")
	tries := make(chan try, 1)
	stop := consume(t, q, record(tries, func(queue.Job) error { return errTest }))
	first := next(t, tries)
	becomes(t, q, "a-1", queue.Delayed)
	if err := stop(); err != nil {
		t.Error(err)
	}
	q.Cut()

	q = w.open(config)
	consume(t, q, record(tries, func(queue.Job) error { return nil }))
	if second := next(t, tries); second.at.Sub(first.at) < backoff-10*time.Millisecond || second.job.Attempt != 2 {
		t.Errorf("%+v came %s after the first", second.job, second.at.Sub(first.at))
	}
	becomes(t, q, "a-1", queue.Completed)
}
