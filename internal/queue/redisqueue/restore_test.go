package redisqueue_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"loupe/internal/queue"
	"loupe/internal/queue/redisqueue"
	"loupe/internal/testenv"
)

// A job of another queue is the same here, as far as [queue.Admin] sees it.
func TestRestore(t *testing.T) {
	t.Parallel()
	q := open(t, testenv.StartRedis(t), testenv.Prefix(t), queue.Config{}).Queue.(*redisqueue.Queue)
	at := time.Date(2025, 12, 28, 10, 30, 0, 123_000_000, time.UTC)
	var failures []queue.AttemptError
	for i := range queue.MaxErrors {
		failures = append(failures, queue.AttemptError{
			Attempt: i%3 + 1, At: at.Add(time.Duration(i) * time.Second), Error: fmt.Sprintf("ü <%d>\n    at attempt 9 (no time)", i),
		})
	}
	restore := func(t *testing.T, s queue.Stored) bool {
		t.Helper()
		stored, err := q.Restore(t.Context(), s)
		if err != nil {
			t.Fatal(err)
		}
		return stored
	}
	stored := func(id string, state queue.State) queue.Stored {
		return queue.Stored{Starts: 5, Stalls: 2, Record: queue.Record{
			ID: id, Data: json.RawMessage(`{"assetId": "x",  "n": 1.0}`), State: state, AttemptsMade: 2, MaxAttempts: 4,
			Errors: failures, CreatedAt: at, ProcessedAt: at.Add(time.Minute), FinishedAt: failures[len(failures)-1].At,
		}}
	}
	for _, state := range []queue.State{queue.Waiting, queue.Delayed, queue.FailedJob} {
		want := stored("a-"+string(state), state)
		switch state {
		case queue.Delayed:
			want.Due = time.Now().Add(time.Hour)
		case queue.FailedJob:
			want.FinishedAt = at.Add(2 * time.Hour)
		}
		if !restore(t, want) {
			t.Errorf("%s: not restored", state)
		}
		other := want
		other.State, other.AttemptsMade = queue.Waiting, 0
		if restore(t, other) {
			t.Errorf("%s: restored twice", state)
		}
		got, err := q.Get(t.Context(), want.ID)
		if diff := cmp.Diff(want.Record, got); diff != "" || err != nil {
			t.Errorf("%s: %v, (-want +got)\n%s", state, err, diff)
		}
	}
	fresh := queue.Stored{Record: queue.Record{
		ID: "b-1", Data: json.RawMessage(`{}`), State: queue.Waiting, MaxAttempts: 3, CreatedAt: at,
		Errors: []queue.AttemptError{},
	}}
	if !restore(t, fresh) {
		t.Error("a job that nobody has tried is not restored")
	}
	if got, err := q.Get(t.Context(), fresh.ID); err != nil || !cmp.Equal(fresh.Record, got) {
		t.Errorf("fresh: %+v, %v", got, err)
	}
	for _, state := range []queue.State{queue.Active, queue.Completed} {
		if _, err := q.Restore(t.Context(), stored("c-1", state)); !errors.Is(err, queue.ErrState) {
			t.Errorf("%s: %v", state, err)
		}
	}
	page, err := q.DeadLetters(t.Context(), queue.Filter{Limit: 10})
	if err != nil || len(page.Items) != 1 || page.Items[0].ID != "a-failed" {
		t.Errorf("dead letters %+v, %v", page, err)
	}
	if err := q.Retry(t.Context(), "a-failed"); err != nil {
		t.Fatal(err)
	}
	if n, err := q.Counts(t.Context()); err != nil || n.Waiting != 3 || n.Delayed != 1 || n.Failed != 0 {
		t.Errorf("counts after a retry: %+v, %v", n, err)
	}
}
