package bullmq

import (
	"context"
	"errors"
	"testing"
)

type traced struct{ error }

func (t traced) StackTrace() string { return t.Error() + "\n    at a line of ours" }

func TestJudgeKeepsTheTraceOfAnError(t *testing.T) {
	t.Parallel()
	w := &Worker{}
	o := w.judge(&Job{}, nil, Unrecoverable(traced{errors.New("broken")}), ErrShutdown)
	if o.kind != outcomeFailed || o.text != "broken" || o.traces != `["broken\n    at a line of ours"]` {
		t.Errorf("got %+v", o)
	}
}

// A job that may not run is told to the hook before it fails.
func TestCondemned(t *testing.T) {
	t.Parallel()
	q := newQueue(t, QueueConfig{})
	job, err := q.Add(t.Context(), "n", nil, JobOptions{Attempts: 3})
	if err != nil {
		t.Fatal(err)
	}
	do(t, q, "HSET", "P:"+job.ID, fieldDeferredFailure, "too often")
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var told string
	w, err := NewWorker(q.client, q.name, func(context.Context, *Job) (any, error) {
		t.Error("it ran")
		return nil, nil
	}, WorkerConfig{Prefix: q.config.Prefix, Hooks: Hooks{
		Condemned: func(ctx context.Context, job *Job, reason error) {
			state, err := q.State(ctx, job.ID)
			told = string(state) + ": " + reason.Error()
			if err != nil {
				t.Error(err)
			}
		},
		Ended: func(*Job, End) { stop() },
	}})
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Run(ctx); err != nil || told != "active: too often" {
		t.Errorf("told %q, %v", told, err)
	}
	if state, err := q.State(t.Context(), job.ID); err != nil || state != StateFailed {
		t.Errorf("it is %s, %v", state, err)
	}
}
