package queuetest

import (
	"context"
	"encoding/json"
	"slices"
	"testing"
	"time"

	"loupe/internal/queue"
)

// workersBecome waits until the workers are as wanted.
func workersBecome(t *testing.T, q Instance, what string, wanted func([]queue.Worker) bool) (workers []queue.Worker) {
	t.Helper()
	eventually(t, what, func() bool {
		var err error
		if workers, err = q.Workers(t.Context()); err != nil {
			t.Fatal(err)
		}
		return wanted(workers)
	})
	return workers
}

func testWorkers(t *testing.T, w world) {
	q := w.open(quick(func(c *queue.Config) { c.Concurrency = 2 }))
	nobody := func(workers []queue.Worker) bool { return len(workers) == 0 }
	workersBecome(t, q, "nobody works", nobody)

	before := time.Now().Add(-2 * time.Second) // connections are known by the second
	for id, data := range map[string]string{"a-1": `{"assetId":"A"}`, "b-1": `["no asset"]`} {
		if err := q.Enqueue(t.Context(), id, json.RawMessage(data)); err != nil {
			t.Fatal(err)
		}
	}
	started, goOn := make(chan string), make(chan struct{})
	failed := false
	stop := consume(t, q, func(_ context.Context, job queue.Job) error {
		if job.ID == "b-1" && !failed {
			failed = true
			return errTest
		}
		started <- job.ID
		<-goOn
		return nil
	})
	next(t, started)
	next(t, started)
	working := workersBecome(t, q, "one works on both", func(workers []queue.Worker) bool {
		return len(workers) == 1 && workers[0].Connections == 1 && len(workers[0].Running) == 2
	})[0]
	if working.Name != queue.ProcessName() || working.Since.Before(before) || working.Since.After(time.Now().Add(time.Second)) {
		t.Errorf("worker %+v", working)
	}
	for _, job := range working.Running {
		want := map[string]queue.Running{
			"a-1": {ID: "a-1", AssetID: "A", Attempt: 1}, "b-1": {ID: "b-1", Attempt: 2},
		}[job.ID]
		if job.StartedAt.Before(before) || job.StartedAt.After(time.Now().Add(time.Second)) {
			t.Errorf("%s started at %s", job.ID, job.StartedAt)
		}
		if job.StartedAt = (time.Time{}); job != want {
			t.Errorf("got %+v, want %+v", job, want)
		}
	}
	if !slices.IsSortedFunc(working.Running, func(a, b queue.Running) int { return a.StartedAt.Compare(b.StartedAt) }) {
		t.Errorf("not in the order of their start: %+v", working.Running)
	}
	close(goOn)
	workersBecome(t, q, "one is idle", func(workers []queue.Worker) bool {
		return len(workers) == 1 && len(workers[0].Running) == 0
	})
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	workersBecome(t, q, "nobody works any more", nobody)
}
