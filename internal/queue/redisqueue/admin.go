package redisqueue

import (
	"context"
	"errors"
	"fmt"
	"time"

	"loupe/bullmq"
	"loupe/internal/queue"
)

// states are BullMQ's in the words of package queue.
var states = map[bullmq.State]queue.State{
	bullmq.StateWaiting:         queue.Waiting,
	bullmq.StatePrioritized:     queue.Waiting,
	bullmq.StateWaitingChildren: queue.Waiting,
	bullmq.StateActive:          queue.Active,
	bullmq.StateDelayed:         queue.Delayed,
	bullmq.StateCompleted:       queue.Completed,
	bullmq.StateFailed:          queue.FailedJob,
}

// Counts implements [queue.Admin].
func (q *Queue) Counts(ctx context.Context) (queue.Counts, error) {
	by, err := q.jobs.Counts(ctx)
	if err != nil {
		return queue.Counts{}, err
	}
	var n queue.Counts
	for state, count := range by {
		switch states[state] {
		case queue.Waiting:
			n.Waiting += int(count)
		case queue.Active:
			n.Active += int(count)
		case queue.Delayed:
			n.Delayed += int(count)
		case queue.Completed:
			n.Completed += int(count)
		case queue.FailedJob:
			n.Failed += int(count)
		}
	}
	if n.IsPaused, err = q.jobs.IsPaused(ctx); err != nil {
		return queue.Counts{}, err
	}
	if n.Waiting > 0 {
		next, err := q.jobs.Jobs(ctx, bullmq.Range{States: []bullmq.State{bullmq.StateWaiting}, End: 0, Ascending: true})
		if err != nil {
			return queue.Counts{}, err
		}
		for _, job := range next {
			n.OldestWaiting = max(n.OldestWaiting, time.Since(job.Timestamp))
		}
	}
	if n.IsPaused {
		n.Paused, n.Waiting = n.Waiting, 0
	}
	return n, nil
}

// Get implements [queue.Admin]. A job that is stored but stands in no list is not found: it would never run.
func (q *Queue) Get(ctx context.Context, id string) (queue.Record, error) {
	job, state, err := q.jobs.Inspect(ctx, id)
	if err != nil {
		return queue.Record{}, translate(err)
	}
	known, ok := states[state]
	if !ok {
		return queue.Record{}, queue.ErrNotFound
	}
	return recordOf(job, known), nil
}

func recordOf(job *bullmq.Job, state queue.State) queue.Record {
	r := queue.Record{
		ID: job.ID, Data: job.Data, State: state, AttemptsMade: job.AttemptsMade, MaxAttempts: max(1, job.Options.Attempts),
		Errors: attemptErrors(job), CreatedAt: utc(job.Timestamp), ProcessedAt: utc(job.ProcessedOn), FinishedAt: utc(job.FinishedOn),
	}
	if n := len(r.Errors); r.FinishedAt.IsZero() && n > 0 {
		r.FinishedAt = r.Errors[n-1].At
	}
	return r
}

func utc(t time.Time) time.Time {
	if t.IsZero() {
		return t
	}
	return t.UTC()
}

// deadLetterPage is how many failed jobs are read at a time.
const deadLetterPage = 100

// DeadLetters implements [queue.Admin]. It reads on until the page is full, so a filter that matches little costs a look
// at every dead letter there is.
func (q *Queue) DeadLetters(ctx context.Context, f queue.Filter) (queue.Page, error) {
	from, err := bullmq.ParseCursor(f.Cursor)
	if err != nil {
		return queue.Page{}, fmt.Errorf("%w: %w", queue.ErrCursor, err)
	}
	limit := min(max(f.Limit, 1), queue.MaxPage)
	var page queue.Page
	var last bullmq.Cursor
	for {
		jobs, err := q.jobs.Finished(ctx, bullmq.StateFailed, from, deadLetterPage)
		if err != nil {
			return queue.Page{}, err
		}
		for _, job := range jobs {
			r := recordOf(job, queue.FailedJob)
			if !f.Matches(r) {
				continue
			}
			if len(page.Items) == limit {
				page.Next = last.String()
				return page, nil
			}
			page.Items, last = append(page.Items, r), bullmq.CursorAfter(job)
		}
		if len(jobs) == 0 {
			return page, nil
		}
		from = bullmq.CursorAfter(jobs[len(jobs)-1])
	}
}

// Retry implements [queue.Admin].
func (q *Queue) Retry(ctx context.Context, id string) error {
	return translate(q.jobs.Retry(ctx, id, bullmq.RetryOptions{ResetAttempts: true}))
}

// Remove implements [queue.Admin]. The worker of an active job is asked to stop.
func (q *Queue) Remove(ctx context.Context, id string) error {
	err := translate(q.jobs.Remove(ctx, id, bullmq.RemoveOptions{}))
	if errors.Is(err, queue.ErrState) {
		if err := q.jobs.Cancel(ctx, id, queue.ErrRemoved.Error()); err != nil && !errors.Is(err, bullmq.ErrJobNotFound) {
			return err
		}
	}
	return err
}

// translate puts an error into the words of package queue.
func translate(err error) error {
	switch {
	case errors.Is(err, bullmq.ErrJobNotFound):
		return queue.ErrNotFound
	case errors.Is(err, bullmq.ErrState), errors.Is(err, bullmq.ErrLocked):
		return queue.ErrState
	}
	return err
}

// Pause implements [queue.Admin].
func (q *Queue) Pause(ctx context.Context) error { return q.jobs.Pause(ctx) }

// Resume implements [queue.Admin]. It also ends a hold that a handler has asked for, and opens the gate.
func (q *Queue) Resume(ctx context.Context) error {
	return errors.Join(q.Open(ctx), q.jobs.RemoveRateLimit(ctx), q.jobs.Resume(ctx))
}
