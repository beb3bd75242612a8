package redisqueue

import (
	"context"
	"errors"
	"fmt"

	"loupe/bullmq"
	"loupe/internal/queue"
)

// restorable are the states in which a job can be put here.
var restorable = map[queue.State]bullmq.State{
	queue.Waiting: bullmq.StateWaiting, queue.Delayed: bullmq.StateDelayed, queue.FailedJob: bullmq.StateFailed,
}

// Restore puts a waiting, delayed or failed job of another queue here as it was there, a waiting one at the end of the
// line, and reports whether it has: a job with that id, in whatever state, makes it do nothing.
func (q *Queue) Restore(ctx context.Context, s queue.Stored) (bool, error) {
	state, ok := restorable[s.State]
	if !ok {
		return false, fmt.Errorf("restore job %s in state %s: %w", s.ID, s.State, queue.ErrState)
	}
	options := q.options(s.ID)
	options.Attempts, options.Timestamp = s.MaxAttempts, s.CreatedAt
	job := bullmq.SavedJob{
		NewJob: bullmq.NewJob{Name: jobName, Data: s.Data, Options: options},
		State:  state, Due: s.Due, ProcessedOn: s.ProcessedAt, FinishedOn: s.FinishedAt,
		AttemptsMade: s.AttemptsMade, AttemptsStarted: s.Starts, StalledCount: s.Stalls,
	}
	for _, e := range s.Errors {
		f := failure{attempt: e.Attempt, at: e.At, err: errors.New(e.Error)}
		job.FailedReason, job.Stacktrace = f.Error(), append(job.Stacktrace, f.StackTrace())
	}
	err := q.jobs.Restore(ctx, job)
	if errors.Is(err, bullmq.ErrJobExists) {
		return false, nil
	}
	return err == nil, err
}
