package bullmq

import (
	"context"
	"fmt"
	"math"
	"strconv"
	"time"
)

var retryScript = newScript("retry")

// RetryOptions say how a finished job is to run once more.
type RetryOptions struct {
	State         State // the job must be in: StateFailed or StateCompleted. Defaults to StateFailed
	ResetAttempts bool  // give the job all its attempts again, else only one. Defaults to false
}

// RetryFilter selects finished jobs. The zero value is all that have failed by the time of the call.
type RetryFilter struct {
	RetryOptions
	Before time.Time       // that finished at this time or earlier. Defaults to now, and is no later
	Name   string          // of this name. Defaults to any
	Match  func(*Job) bool // of which this is true; it is called once for each. Defaults to any
}

// Retry puts a finished job at the end of the line again, or behind those of its priority. It keeps the errors of its
// attempts. The error is [ErrJobNotFound], or [ErrState] if the job is not in the state of the options.
func (q *Queue) Retry(ctx context.Context, id string, o RetryOptions) error {
	codes, err := q.retry(ctx, o, id)
	return codeError("retry", id, codes, err)
}

// RetryAll retries the jobs that match, those that finished first before the others, and returns how many. It does so in
// steps of some hundred: after an error those before it have been retried.
func (q *Queue) RetryAll(ctx context.Context, f RetryFilter) (int, error) {
	if err := f.validate(); err != nil {
		return 0, err
	}
	retried := 0
	before := time.Now() // not later, or what fails again meanwhile would be retried for ever
	if !f.Before.IsZero() && f.Before.Before(before) {
		before = f.Before
	}
	for from := (Cursor{at: math.MinInt64}); ; {
		ids, next, err := q.finishedSince(ctx, f.state(), from, before)
		if err != nil {
			return retried, fmt.Errorf("retry jobs of queue %s: %w", q.name, err)
		}
		if len(ids) == 0 {
			return retried, nil
		}
		from = next
		if ids, err = q.matching(ctx, f, ids); err != nil {
			return retried, fmt.Errorf("retry jobs of queue %s: %w", q.name, err)
		}
		if len(ids) == 0 {
			continue
		}
		codes, err := q.retry(ctx, f.RetryOptions, ids...)
		if err != nil {
			return retried, fmt.Errorf("retry jobs of queue %s: %w", q.name, err)
		}
		retried += done(codes)
	}
}

func (o RetryOptions) state() State {
	if o.State == "" {
		return StateFailed
	}
	return o.State
}

func (o RetryOptions) validate() error {
	if s := o.state(); s != StateFailed && s != StateCompleted {
		return fmt.Errorf("no job finishes in state %q", s)
	}
	return nil
}

// retry retries jobs and returns a code for each.
func (q *Queue) retry(ctx context.Context, o RetryOptions, ids ...string) ([]int64, error) {
	if err := o.validate(); err != nil {
		return nil, err
	}
	return q.codes(ctx, retryScript, ids, string(o.state()), flag(o.ResetAttempts))
}

// matching returns the ids of those jobs that the filter's Name and Match let through.
func (q *Queue) matching(ctx context.Context, f RetryFilter, ids []string) ([]string, error) {
	if f.Name == "" && f.Match == nil {
		return ids, nil
	}
	jobs, err := q.load(ctx, ids)
	if err != nil {
		return nil, err
	}
	matching := ids[:0]
	for _, job := range jobs {
		if (f.Name == "" || job.Name == f.Name) && (f.Match == nil || f.Match(job)) {
			matching = append(matching, job.ID)
		}
	}
	return matching, nil
}

// finishedSince returns some ids of finished jobs after a place, the one that finished first coming first, and the place
// after them. Those of one ms are in the order of their bytes.
func (q *Queue) finishedSince(ctx context.Context, state State, after Cursor, before time.Time) (ids []string, next Cursor, err error) {
	lowest := "-inf"
	if after.at != math.MinInt64 {
		lowest = strconv.FormatInt(after.at, 10)
	}
	for offset := int64(0); ; offset += finishedAtOnce {
		members, err := q.client.Do(ctx, q.client.B().Zrangebyscore().Key(q.keys.of(string(state))).
			Min(lowest).Max(strconv.FormatInt(before.UnixMilli(), 10)).Withscores().Limit(offset, finishedAtOnce).Build()).AsZScores()
		if err != nil {
			return nil, Cursor{}, err
		}
		for _, m := range members {
			if at := int64(m.Score); at > after.at || m.Member > after.id {
				ids, next = append(ids, m.Member), Cursor{at, m.Member}
			}
		}
		if len(ids) > 0 || len(members) < finishedAtOnce {
			return ids, next, nil
		}
	}
}
