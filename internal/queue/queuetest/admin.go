package queuetest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"loupe/internal/queue"
)

func counts(t *testing.T, q Instance) queue.Counts {
	t.Helper()
	n, err := q.Counts(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func testCounts(t *testing.T, w world) {
	q := w.open(quick(func(c *queue.Config) { c.Concurrency, c.Backoff = 1, time.Hour }))
	if n := counts(t, q); n != (queue.Counts{}) {
		t.Errorf("empty: %+v", n)
	}
	enqueue(t, q, "completed-1", "failed-1", "delayed-1", "active-1", "waiting-1", "waiting-2")
	if n := counts(t, q); n.Waiting != 6 {
		t.Errorf("before: %+v", n)
	}
	eventually(t, "time passes", func() bool { return counts(t, q).OldestWaiting > 20*time.Millisecond })

	active, goOn := make(chan struct{}), make(chan struct{})
	consume(t, q, func(_ context.Context, job queue.Job) error {
		switch job.ID {
		case "failed-1":
			return queue.Permanent(errTest)
		case "delayed-1":
			return errTest
		case "active-1":
			close(active)
			<-goOn
		}
		return nil
	})
	next(t, active)
	n := counts(t, q)
	if n.OldestWaiting <= 0 || n.OldestWaiting > patience {
		t.Errorf("the oldest waits for %s", n.OldestWaiting)
	}
	n.OldestWaiting = 0
	if want := (queue.Counts{Waiting: 2, Active: 1, Completed: 1, Failed: 1, Delayed: 1}); n != want {
		t.Errorf("got %+v, want %+v", n, want)
	}
	close(goOn)
	becomes(t, q, "waiting-2", queue.Completed)
	if want := (queue.Counts{Completed: 4, Failed: 1, Delayed: 1}); counts(t, q) != want {
		t.Errorf("in the end: %+v, want %+v", counts(t, q), want)
	}
}

func testPause(t *testing.T, w world) {
	config := quick(func(c *queue.Config) { c.Concurrency = 2 })
	q := w.open(config)
	enqueue(t, q, "running")
	started, goOn := make(chan string, 2), make(chan struct{})
	work := func(_ context.Context, job queue.Job) error {
		started <- job.ID
		if job.ID == "running" {
			<-goOn
		}
		return nil
	}
	stop := consume(t, q, work)
	next(t, started)
	for range 2 { // a second time it changes nothing
		if err := q.Pause(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	enqueue(t, q, "held-1", "held-2")
	nothing(t, started, 100*time.Millisecond)
	n := counts(t, q)
	n.OldestWaiting = 0
	if want := (queue.Counts{Active: 1, Paused: 2, IsPaused: true}); n != want {
		t.Errorf("paused: %+v, want %+v", n, want)
	}
	close(goOn)
	becomes(t, q, "running", queue.Completed)
	nothing(t, started, 0)
	if err := stop(); err != nil {
		t.Error(err)
	}
	q.Cut()

	q = w.open(config)
	consume(t, q, work)
	nothing(t, started, 100*time.Millisecond)
	if n := counts(t, q); !n.IsPaused || n.Paused != 2 {
		t.Errorf("after a restart: %+v", n)
	}
	for range 2 {
		if err := q.Resume(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	becomes(t, q, "held-1", queue.Completed)
	becomes(t, q, "held-2", queue.Completed)
	if n := counts(t, q); n.IsPaused || n.Paused != 0 {
		t.Errorf("resumed: %+v", n)
	}
}

func testRetry(t *testing.T, w world) {
	q := w.open(quick(func(c *queue.Config) { c.Attempts, c.Backoff, c.Concurrency = 2, time.Millisecond, 1 }))
	enqueue(t, q, "a-1", "b-1")
	tries := make(chan try, 10)
	var mended bool
	consume(t, q, record(tries, func(job queue.Job) error {
		if job.ID == "a-1" && !mended {
			return errTest
		}
		return nil
	}))
	dead := becomes(t, q, "a-1", queue.FailedJob)
	becomes(t, q, "b-1", queue.Completed)
	for id, want := range map[string]error{"b-1": queue.ErrState, "nobody": queue.ErrNotFound} {
		if err := q.Retry(t.Context(), id); !errors.Is(err, want) {
			t.Errorf("Retry(%s): %v", id, err)
		}
	}
	if err := q.Pause(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := q.Retry(t.Context(), "a-1"); err != nil {
		t.Fatal(err)
	}
	if err := q.Retry(t.Context(), "a-1"); !errors.Is(err, queue.ErrState) {
		t.Errorf("a second time: %v", err)
	}
	r := get(t, q, "a-1")
	if r.State != queue.Waiting || r.AttemptsMade != 0 || r.MaxAttempts != 2 || string(r.Data) != string(dead.Data) || !r.CreatedAt.Equal(dead.CreatedAt) {
		t.Errorf("retried: %+v", r)
	}
	for len(tries) > 0 {
		<-tries
	}
	if err := q.Resume(t.Context()); err != nil {
		t.Fatal(err)
	}
	for attempt := 1; attempt <= 2; attempt++ {
		if again := next(t, tries); again.job.Attempt != attempt {
			t.Errorf("attempt %d: %+v", attempt, again.job)
		}
	}
	if again := becomes(t, q, "a-1", queue.FailedJob); again.AttemptsMade != 2 || len(again.Errors) < 2 {
		t.Errorf("failed again: %+v", again)
	}
	mended = true // the worker is idle, and hears of the retry through the store
	if err := q.Retry(t.Context(), "a-1"); err != nil {
		t.Fatal(err)
	}
	if r := becomes(t, q, "a-1", queue.Completed); r.AttemptsMade != 1 {
		t.Errorf("mended: %+v", r)
	}
}

func testRemove(t *testing.T, w world) {
	q := w.open(quick(func(c *queue.Config) { c.Concurrency, c.Backoff = 1, time.Hour }))
	enqueue(t, q, "completed-1", "failed-1", "delayed-1", "active-1", "waiting")
	active, goOn := make(chan struct{}), make(chan struct{})
	consume(t, q, func(_ context.Context, job queue.Job) error {
		switch job.ID {
		case "failed-1":
			return queue.Permanent(errTest)
		case "delayed-1":
			return errTest
		case "active-1":
			close(active)
			<-goOn
		}
		return nil
	})
	next(t, active)
	if err := q.Remove(t.Context(), "active-1"); !errors.Is(err, queue.ErrState) {
		t.Errorf("an active job: %v", err)
	}
	for _, id := range []string{"completed-1", "failed-1", "delayed-1", "waiting"} {
		if err := q.Remove(t.Context(), id); err != nil {
			t.Errorf("%s: %v", id, err)
		}
		if err := q.Remove(t.Context(), id); !errors.Is(err, queue.ErrNotFound) {
			t.Errorf("%s, a second time: %v", id, err)
		}
		if _, err := q.Get(t.Context(), id); !errors.Is(err, queue.ErrNotFound) {
			t.Errorf("%s is still there: %v", id, err)
		}
	}
	close(goOn)
	becomes(t, q, "active-1", queue.Completed)
	enqueue(t, q, "completed-1") // the id is free again
	becomes(t, q, "completed-1", queue.Completed)
	if want := (queue.Counts{Completed: 2}); counts(t, q) != want {
		t.Errorf("left: %+v", counts(t, q))
	}
}

// bury makes dead letters of those ids, in turn, with the data given by id.
func bury(t *testing.T, q Instance, data func(id string) string, failure func(id string) error, ids ...string) {
	t.Helper()
	for _, id := range ids {
		if err := q.Enqueue(t.Context(), id, json.RawMessage(data(id))); err != nil {
			t.Fatal(err)
		}
	}
	stop := consume(t, q, func(_ context.Context, job queue.Job) error { return queue.Permanent(failure(job.ID)) })
	for _, id := range ids {
		becomes(t, q, id, queue.FailedJob)
	}
	if err := stop(); err != nil {
		t.Fatal(err)
	}
}

func empty(string) string { return "{}" }

func testDeadLetterPages(t *testing.T, w world) {
	q := w.open(quick(nil)) // several at once, so that many fail in the same millisecond
	var want []string
	for i := range 25 {
		want = append(want, fmt.Sprintf("job-%02d", i))
	}
	if page, err := q.DeadLetters(t.Context(), queue.Filter{Limit: 10}); err != nil || len(page.Items) > 0 || page.Next != "" {
		t.Errorf("none: %+v, %v", page, err)
	}
	bury(t, q, empty, func(string) error { return errTest }, want...)
	for _, limit := range []int{1, 7, 25, 100} {
		var got []queue.Record
		for cursor := ""; ; {
			page, err := q.DeadLetters(t.Context(), queue.Filter{Limit: limit, Cursor: cursor})
			if err != nil {
				t.Fatal(err)
			}
			if len(page.Items) == 0 || len(page.Items) > limit {
				t.Fatalf("a page of %d, limit %d", len(page.Items), limit)
			}
			got = append(got, page.Items...)
			if cursor = page.Next; cursor == "" {
				break
			}
			if strings.Trim(cursor, "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-_") != "" {
				t.Errorf("cursor %q needs escaping in a URL", cursor)
			}
		}
		var ids []string
		for i, r := range got {
			if ids = append(ids, r.ID); i > 0 && r.FinishedAt.After(got[i-1].FinishedAt) {
				t.Errorf("limit %d: %s is newer than its predecessor", limit, r.ID)
			}
			if r.State != queue.FailedJob || len(r.Errors) != 1 || r.Errors[0].Error != errTest.Error() || r.AttemptsMade != 1 {
				t.Errorf("letter %+v", r)
			}
		}
		if slices.Sort(ids); !slices.Equal(ids, want) {
			t.Errorf("limit %d: %q", limit, ids)
		}
	}
}

func testDeadLetterFilter(t *testing.T, w world) {
	q := w.open(quick(nil))
	letters := map[string]struct{ data, failure string }{
		"one-1":   {`{"assetId":"A1","userId":"U1","imageUrl":"https://x/100%25_.jpg"}`, "Post: connection REFUSED"},
		"two-1":   {`{"assetId":"A2","userId":"U1"}`, "connection refused by Ngọc"},
		"three-1": {`{"assetId":"A3","userId":"U2"}`, "200 OK, but no JSON"},
		"four-1":  {`["A1","U1"]`, "strange"},
		"five-1":  {`{"assetId":1,"userId":null}`, "stranger"},
	}
	var ids []string
	for id := range letters {
		ids = append(ids, id)
	}
	bury(t, q,
		func(id string) string { return letters[id].data },
		func(id string) error { return errors.New(letters[id].failure) }, ids...)
	for _, c := range []struct {
		filter queue.Filter
		want   []string
	}{
		{queue.Filter{}, []string{"five-1", "four-1", "one-1", "three-1", "two-1"}},
		{queue.Filter{AssetID: "A1"}, []string{"one-1"}},
		{queue.Filter{AssetID: "a1"}, nil},
		{queue.Filter{UserID: "U1"}, []string{"one-1", "two-1"}},
		{queue.Filter{AssetID: "A3", UserID: "U1"}, nil},
		{queue.Filter{Text: "Connection Refused"}, []string{"one-1", "two-1"}},
		{queue.Filter{Text: "NGỌC"}, []string{"two-1"}},
		{queue.Filter{Text: "THREE"}, []string{"three-1"}},
		{queue.Filter{Text: "%25_.JPG"}, []string{"one-1"}},
		{queue.Filter{Text: "o%e"}, nil},
		{queue.Filter{Text: "n_-1"}, nil},
		{queue.Filter{Text: "refused", UserID: "U1", AssetID: "A2"}, []string{"two-1"}},
		{queue.Filter{Text: "' OR 1=1 --"}, nil},
	} {
		var got []string
		for c.filter.Limit = 1; ; { // a page at a time, so that the filter holds across pages
			page, err := q.DeadLetters(t.Context(), c.filter)
			if err != nil {
				t.Fatalf("%+v: %v", c.filter, err)
			}
			for _, r := range page.Items {
				got = append(got, r.ID)
			}
			if c.filter.Cursor = page.Next; page.Next == "" {
				break
			}
		}
		if slices.Sort(got); !slices.Equal(got, c.want) {
			t.Errorf("%+v: got %q, want %q", c.filter, got, c.want)
		}
	}
}

func testCursor(t *testing.T, w world) {
	q := w.open(quick(nil))
	bury(t, q, empty, func(string) error { return errTest }, "a-1")
	for _, cursor := range []string{"x", "!", "e30", strings.Repeat("A", 10_000), "' OR 1=1 --", "\x00"} {
		if _, err := q.DeadLetters(t.Context(), queue.Filter{Limit: 1, Cursor: cursor}); !errors.Is(err, queue.ErrCursor) {
			t.Errorf("cursor %.20q: %v", cursor, err)
		}
	}
}

func testKeepDone(t *testing.T, w world) {
	testKeep(t, w, func(c *queue.Config) { c.KeepDone = time.Second }, "done", "failed-1")
}

func testKeepFailed(t *testing.T, w world) {
	testKeep(t, w, func(c *queue.Config) { c.KeepFailed = time.Second }, "failed-1", "done")
}

// testKeep has a job of each kind and waits until one is gone and the other is not.
func testKeep(t *testing.T, w world, change func(*queue.Config), gone, kept string) {
	q := w.open(quick(change))
	enqueue(t, q, "done", "failed-1")
	work := func(_ context.Context, job queue.Job) error {
		if strings.HasPrefix(job.ID, "failed-1") {
			return queue.Permanent(errTest)
		}
		return nil
	}
	consume(t, q, work)
	ended := becomes(t, q, gone, map[string]queue.State{"done": queue.Completed, "failed-1": queue.FailedJob}[gone]).FinishedAt
	for i := 0; ; i++ {
		// An old job may be noticed only when another one of its kind ends.
		enqueue(t, q, fmt.Sprintf("%s-%d", gone, i))
		if _, err := q.Get(t.Context(), gone); errors.Is(err, queue.ErrNotFound) {
			break
		} else if err != nil || time.Since(ended) > patience {
			t.Fatalf("%s is still there: %v", gone, err)
		}
		<-time.After(200 * time.Millisecond)
	}
	if age := time.Since(ended); age < time.Second-10*time.Millisecond {
		t.Errorf("it was kept for only %s", age)
	}
	get(t, q, kept)
}
