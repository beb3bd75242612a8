package bullmq

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"
)

var restoreScript = newScript("restore")

// ErrJobExists says that a job has that id already, in whatever state.
var ErrJobExists = errors.New("job exists already")

// SavedJob is a job of another queue, or of another kind of queue, as it was there.
type SavedJob struct {
	NewJob // with an Options.ID, and without a Delay, Deduplication or Parent

	State State     // StateWaiting (one with a priority is then prioritized), StateDelayed or StateFailed
	Due   time.Time // when a delayed job is to start

	ProcessedOn time.Time // when its last attempt began; zero: none has
	FinishedOn  time.Time // when it failed for good; needed for StateFailed

	AttemptsMade    int // attempts that have ended and were counted
	AttemptsStarted int // attempts begun, with those that were not counted
	StalledCount    int // times its worker was lost

	FailedReason string   // of the last attempt that failed
	Stacktrace   []string // one text for each failed attempt, oldest first
}

// Restore stores a job as it was elsewhere, in the state that it had there: a waiting one at the end of the line. The
// event `failed` is not repeated. The error is [ErrJobExists] if there is a job of its id, which stays as it is; so what
// was interrupted can be done again.
func (q *Queue) Restore(ctx context.Context, saved SavedJob) error {
	args, err := q.restoreArgs(ctx, saved)
	if err != nil {
		return fmt.Errorf("restore job %.40q: %w", saved.Options.ID, err)
	}
	stored, err := restoreScript.run(ctx, q.client, q.keys, args...).AsBool()
	if err == nil && !stored {
		err = ErrJobExists
	}
	if err != nil {
		return fmt.Errorf("restore job %s: %w", saved.Options.ID, err)
	}
	return nil
}

// restoreArgs checks a job and returns what the script is told.
func (q *Queue) restoreArgs(ctx context.Context, saved SavedJob) ([]string, error) {
	if err := saved.validate(); err != nil {
		return nil, err
	}
	asItWas := &Queue{client: q.client, keys: q.keys} // without the defaults and the trace of jobs that are new
	a, err := asItWas.prepare(ctx, saved.NewJob)
	if err != nil {
		return nil, err
	}
	job, at := a.job, time.UnixMilli(0)
	switch saved.State {
	case StateDelayed:
		at, job.Delay = saved.Due, max(saved.Due.Sub(job.Timestamp), 0)
	case StateFailed:
		at = saved.FinishedOn
	}
	args := []string{
		millisNow(), job.ID, string(saved.State), milliseconds(at), strconv.Itoa(job.Priority), job.Name,
		fieldData, string(job.Data), fieldOpts, string(appendOptions(nil, &job.Options)),
		fieldTimestamp, milliseconds(job.Timestamp), fieldDelay, decimal(job.Delay), fieldPriority, strconv.Itoa(job.Priority),
	}
	for _, field := range []struct {
		name, value string
		absent      bool
	}{
		{fieldProcessedOn, milliseconds(saved.ProcessedOn), saved.ProcessedOn.IsZero()},
		{fieldFinishedOn, milliseconds(saved.FinishedOn), saved.State != StateFailed},
		{fieldAttempts, strconv.Itoa(saved.AttemptsMade), saved.AttemptsMade == 0},
		{fieldStarts, strconv.Itoa(saved.AttemptsStarted), saved.AttemptsStarted == 0},
		{fieldStalls, strconv.Itoa(saved.StalledCount), saved.StalledCount == 0},
		{fieldFailedReason, clip(saved.FailedReason, maxReason), saved.FailedReason == ""},
		{fieldStacktrace, saved.traces(), len(saved.Stacktrace) == 0},
	} {
		if !field.absent {
			args = append(args, field.name, field.value)
		}
	}
	return args, nil
}

// validate returns what is wrong with the job, for whoever has saved it.
func (s *SavedJob) validate() error {
	switch o := &s.Options; {
	case o.ID == "":
		return errors.New("needs its id")
	case o.Delay != 0 || o.Deduplication != nil || o.Parent != nil:
		return errors.New("a delay, a deduplication id or a parent cannot be restored")
	case s.AttemptsMade < 0 || s.AttemptsStarted < 0 || s.StalledCount < 0:
		return errors.New("a negative count")
	}
	switch s.State {
	case StateWaiting:
		return nil
	case StateDelayed:
		if s.Due.UnixMilli() <= 0 {
			return errors.New("is delayed, but until when is not said")
		}
		return nil
	case StateFailed:
		if s.FinishedOn.UnixMilli() <= 0 {
			return errors.New("has failed, but when is not said")
		}
		return nil
	}
	return fmt.Errorf("cannot be restored in state %q", s.State)
}

// traces returns the stacktrace as JSON, within the bounds of what a worker keeps.
func (s *SavedJob) traces() string {
	b := []byte{'['}
	for i, text := range s.Stacktrace[max(0, len(s.Stacktrace)-maxTraces):] {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendText(b, clip(text, maxTrace))
	}
	return string(append(b, ']'))
}

func milliseconds(t time.Time) string { return strconv.FormatInt(t.UnixMilli(), 10) }
