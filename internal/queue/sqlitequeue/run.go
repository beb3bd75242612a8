package sqlitequeue

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"runtime/debug"
	"strings"
	"time"

	"loupe/internal/queue"
	"loupe/internal/sqlitedb"
)

// run is one hand-out of a job to this process.
type run struct {
	seq    int64
	job    queue.Job
	errors []queue.AttemptError // of earlier attempts
	dead   string               // not empty: the job is poison, for this reason; the handler is only told
	alone  bool                 // no other job is to run beside it
	cancel context.CancelCauseFunc
	lost   bool // somebody else has the job: what comes of this run does not count
}

// ending is what a job becomes after a run.
type ending struct {
	run     *run
	state   queue.State
	spent   int           // attempts
	failure string        // to be noted with the job; "" for none
	delay   time.Duration // until the next attempt, for queue.Delayed
	hold    time.Duration // during which no job is handed out
}

// start lets the handler work on r. Its end comes to c.ends.
func (c *consumer) start(ctx context.Context, r *run) {
	ctx, r.cancel = context.WithCancelCause(ctx)
	go func() {
		e := c.verdict(ctx, r, errors.New("the handler called runtime.Goexit"))
		defer func() {
			r.cancel(nil)
			select {
			case c.ends <- e:
			case <-c.over: // nobody waits for it any more
			}
		}()
		e = c.attempt(ctx, r)
	}()
}

// attempt calls the handler and says what becomes of the job.
func (c *consumer) attempt(ctx context.Context, r *run) ending {
	ctx, cancel := context.WithTimeoutCause(ctx, c.config.Timeout, queue.ErrTimeout)
	defer cancel()
	if r.dead != "" {
		err := guard(func() error { c.handler.Dead(ctx, r.job, r.dead); return nil })
		if err != nil {
			c.log.ErrorContext(ctx, "telling of a dead letter", "job", r.job.ID, "error", err)
		}
		return ending{run: r, state: queue.FailedJob, failure: r.dead}
	}
	return c.verdict(ctx, r, guard(func() error { return c.handler.Process(ctx, r.job) }))
}

// verdict is the table of [queue.Handler].
func (c *consumer) verdict(ctx context.Context, r *run, err error) ending {
	cause := context.Cause(ctx)
	permanent := queue.IsPermanent(err)
	if err == nil {
		return ending{run: r, state: queue.Completed, spent: 1}
	}
	if errors.Is(err, queue.ErrShutdown) || !permanent && errors.Is(cause, queue.ErrShutdown) {
		return ending{run: r, state: queue.Waiting}
	}
	if postpone, ok := errors.AsType[*queue.PostponeError](err); ok && !permanent {
		after := min(max(postpone.After, minHold), queue.MaxHold)
		if postpone.Alone {
			return ending{run: r, state: queue.Delayed, delay: after}
		}
		return ending{run: r, state: queue.Waiting, hold: after}
	}
	if errors.Is(cause, queue.ErrTimeout) && !errors.Is(err, queue.ErrTimeout) {
		err = fmt.Errorf("%w: %w", queue.ErrTimeout, err)
	}
	e := ending{run: r, state: queue.Delayed, spent: 1, failure: clip(err.Error()), delay: r.job.RetryIn}
	if permanent || r.job.Last() {
		e.state = queue.FailedJob
	}
	return e
}

// guard calls f and makes a panic an error that ends with the stack, from the function that panicked on.
func guard(f func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			stack := string(debug.Stack())
			if _, after, ok := strings.Cut(stack, "\npanic("); ok { // what comes before is about recovering
				_, after, _ = strings.Cut(after, "\n")
				_, stack, _ = strings.Cut(after, "\n")
			}
			err = fmt.Errorf("panic: %v\n\n%s", p, stack)
		}
	}()
	return f()
}

// clip cuts a text to what is kept of an error.
func clip(text string) string {
	if len(text) > queue.MaxError {
		text = text[:queue.MaxError]
	}
	return strings.ToValidUTF8(text, "") // the cut may have gone through a character
}

// errorsWith returns the errors of the job as JSON, the failure of this run included.
func (e ending) errorsWith(now time.Time) (string, error) {
	all := append(e.run.errors[:len(e.run.errors):len(e.run.errors)], queue.AttemptError{
		Attempt: e.run.job.Attempt, At: now.UTC().Truncate(time.Millisecond), Error: e.failure,
	})
	text, err := json.Marshal(all[max(0, len(all)-queue.MaxErrors):])
	return string(text), err
}

// scanRun reads seq, id, data, attempts, max_attempts, starts, stalls, created_at and errors.
func (c *consumer) scanRun(row sqlitedb.Row) (r *run, stalls int, err error) {
	r = &run{}
	var data, failures string
	var created int64
	var spent int
	err = row.Scan(&r.seq, &r.job.ID, &data, &spent, &r.job.MaxAttempts, &r.job.Starts, &stalls, &created, &failures)
	if err != nil {
		return nil, 0, err
	}
	if err := json.Unmarshal([]byte(failures), &r.errors); err != nil {
		return nil, 0, fmt.Errorf("job %q: errors: %w", r.job.ID, err)
	}
	r.job.Data, r.job.EnqueuedAt, r.job.Attempt = json.RawMessage(data), millis(created), spent+1
	if !r.job.Last() {
		r.job.RetryIn = c.config.BackoffAfter(r.job.Attempt)
	}
	return r, stalls, nil
}
