package queuetest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"loupe/internal/queue"
)

func testJob(t *testing.T, w world) {
	q := w.open(quick(nil))
	data := json.RawMessage(`{"assetId": "a", "n":1.0 }`)
	before := time.Now().Add(-time.Second)
	if _, err := q.Get(t.Context(), "a-1"); !errors.Is(err, queue.ErrNotFound) {
		t.Errorf("before it is there: %v", err)
	}
	if err := q.Enqueue(t.Context(), "a-1", data); err != nil {
		t.Fatal(err)
	}
	r := get(t, q, "a-1")
	if r.ID != "a-1" || !bytes.Equal(r.Data, data) || r.State != queue.Waiting || r.AttemptsMade != 0 || r.MaxAttempts != 3 ||
		len(r.Errors) != 0 || r.CreatedAt.Before(before) || !r.ProcessedAt.IsZero() || !r.FinishedAt.IsZero() {
		t.Errorf("waiting: %+v", r)
	}

	jobs, goOn := make(chan queue.Job), make(chan struct{})
	consume(t, q, func(_ context.Context, job queue.Job) error {
		jobs <- job
		<-goOn
		return nil
	})
	job := next(t, jobs)
	if job.ID != "a-1" || !bytes.Equal(job.Data, data) || job.Attempt != 1 || job.MaxAttempts != 3 || job.Last() ||
		job.Starts != 1 || job.RetryIn != 20*time.Millisecond || !job.EnqueuedAt.Equal(r.CreatedAt) {
		t.Errorf("job: %+v", job)
	}
	if r := get(t, q, "a-1"); r.State != queue.Active || r.ProcessedAt.Before(r.CreatedAt) || !r.FinishedAt.IsZero() {
		t.Errorf("active: %+v", r)
	}
	close(goOn)
	r = becomes(t, q, "a-1", queue.Completed)
	if r.AttemptsMade != 1 || len(r.Errors) != 0 || r.FinishedAt.Before(r.ProcessedAt) || !bytes.Equal(r.Data, data) {
		t.Errorf("completed: %+v", r)
	}
}

func testOneJobPerID(t *testing.T, w world) {
	q := w.open(quick(func(c *queue.Config) { c.Attempts = 1 }))
	var runs atomic.Int32
	var wait sync.WaitGroup
	for i := range 50 {
		wait.Go(func() {
			if err := q.Enqueue(t.Context(), "good", fmt.Appendf(nil, `{"n":%d}`, i)); err != nil {
				t.Error(err)
			}
		})
	}
	wait.Wait()
	enqueue(t, q, "bad", "last")
	first := get(t, q, "good").Data
	consume(t, q, func(_ context.Context, job queue.Job) error {
		runs.Add(1)
		if job.ID == "bad" {
			return errTest
		}
		return nil
	})
	becomes(t, q, "good", queue.Completed)
	becomes(t, q, "bad", queue.FailedJob)
	enqueue(t, q, "good", "bad") // whatever their state
	enqueue(t, q, "after")
	becomes(t, q, "after", queue.Completed)
	becomes(t, q, "last", queue.Completed)
	if n := runs.Load(); n != 4 {
		t.Errorf("%d runs, want 4", n)
	}
	if r := get(t, q, "good"); r.State != queue.Completed || !bytes.Equal(r.Data, first) {
		t.Errorf("enqueued again: %+v", r)
	}
}

func testEndedContext(t *testing.T, w world) {
	q := w.open(quick(nil))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := q.Enqueue(ctx, "a-1", json.RawMessage(`{}`)); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	if _, err := q.Get(t.Context(), "a-1"); !errors.Is(err, queue.ErrNotFound) {
		t.Errorf("and yet: %v", err)
	}
}

func testNoJSON(t *testing.T, w world) {
	q := w.open(quick(nil))
	for _, data := range []string{"", "{", "text", "{} {}", "\xff"} {
		if err := q.Enqueue(t.Context(), "a-1", json.RawMessage(data)); err == nil {
			t.Errorf("Enqueue took %q", data)
		}
	}
	if _, err := q.Get(t.Context(), "a-1"); !errors.Is(err, queue.ErrNotFound) {
		t.Errorf("and yet: %v", err)
	}
}

func testHostile(t *testing.T, w world) {
	q := w.open(quick(nil))
	jobs := map[string]string{
		"it's \"quoted\"; DROP TABLE jobs --": `{}`,
		"Ngọc 🦊 %_*?[a]":                      `"\u0000 \ud83e\udd8a 🦊"`,
		"{curly}":                             `[` + strings.Repeat(`{"a":`, 50) + `null` + strings.Repeat(`}`, 50) + `]`,
		"long-" + strings.Repeat("x", 200):    `{"text":"` + strings.Repeat("é", 50_000) + `"}`,
		"spaces":                              " {\n\t\"a\" : 1.00 , \"b\": 1e400 } ",
	}
	for id, data := range jobs {
		if err := q.Enqueue(t.Context(), id, json.RawMessage(data)); err != nil {
			t.Fatalf("%q: %v", id, err)
		}
	}
	seen := make(chan queue.Job, len(jobs))
	consume(t, q, func(_ context.Context, job queue.Job) error {
		seen <- job
		return nil
	})
	for range jobs {
		job := next(t, seen)
		if string(job.Data) != jobs[job.ID] {
			t.Errorf("%q came with %.100q", job.ID, job.Data)
		}
		if r := becomes(t, q, job.ID, queue.Completed); string(r.Data) != jobs[job.ID] {
			t.Errorf("%q is recorded with %.100q", job.ID, r.Data)
		}
	}
}

func testFirstInFirstOut(t *testing.T, w world) {
	q := w.open(quick(func(c *queue.Config) { c.Concurrency = 1 }))
	var want, got []string
	for i := range 40 {
		want = append(want, fmt.Sprintf("job-%d", i*7919%40)) // not in the order of their names
	}
	enqueue(t, q, want[:20]...)
	done := make(chan string)
	consume(t, q, func(_ context.Context, job queue.Job) error {
		done <- job.ID
		return nil
	})
	enqueue(t, q, want[20:]...)
	for range want {
		got = append(got, next(t, done))
	}
	if !slices.Equal(got, want) {
		t.Errorf("started  %q\nenqueued %q", got, want)
	}
}

func testConcurrency(t *testing.T, w world) {
	const limit, jobs = 3, 21
	q := w.open(quick(func(c *queue.Config) { c.Concurrency = limit }))
	for i := range jobs {
		enqueue(t, q, fmt.Sprintf("job-%d", i))
	}
	var running atomic.Int32
	started, goOn := make(chan string, jobs), make(chan struct{})
	consume(t, q, func(_ context.Context, job queue.Job) error {
		if n := running.Add(1); n > limit {
			t.Errorf("%d at once", n)
		}
		started <- job.ID
		<-goOn
		running.Add(-1)
		return nil
	})
	for range limit {
		next(t, started) // all of them before one ends
	}
	nothing(t, started, 50*time.Millisecond)
	close(goOn)
	for range jobs - limit {
		next(t, started)
	}
	eventually(t, "all are completed", func() bool {
		n, err := q.Counts(t.Context())
		return err == nil && n.Completed == jobs
	})
}

// testStartsAtOnce asserts only that nobody polls: what is aimed at is 10 ms.
func testStartsAtOnce(t *testing.T, w world) {
	q := w.open(quick(nil))
	started := make(chan time.Time)
	consume(t, q, func(context.Context, queue.Job) error {
		started <- time.Now()
		return nil
	})
	var waits []time.Duration
	for i := range 31 {
		enqueue(t, q, fmt.Sprintf("job-%d", i))
		returned := time.Now()
		waits = append(waits, next(t, started).Sub(returned))
	}
	slices.Sort(waits)
	t.Logf("from Enqueue to start: median %s, most %s", waits[len(waits)/2], waits[len(waits)-1])
	if median := waits[len(waits)/2]; median > 100*time.Millisecond {
		t.Errorf("median %s", median)
	}
}
