package bullmq

import (
	"context"
	"errors"
	"regexp"
	"strconv"
	"time"

	"github.com/redis/rueidis"
)

var nextScript = newScript("schedule_next")

// nextRunWithin bounds one try to make the next run of a schedule. Two of them are shorter than [leaveWait].
const nextRunWithin = 2 * time.Second

// A schedule is kept alive by its jobs alone: there is always one to come, and whoever starts it makes the next. A job
// that does not would be the last, for everyone. So if Redis is away at that moment,
//
//   - the job runs nevertheless, and the next run is tried again meanwhile;
//   - the job's outcome is not stored before there is a next run: if this process dies, the job stalls and starts again;
//   - if the worker stops without having succeeded, the job is given back and starts again, its attempt unspent.
//
// Whoever starts it again finds that the present run is still this one.

// nextRun makes the run that follows a scheduled job. The function that it returns waits until that is settled; its error
// means that it could not be, and that the job has to start again.
func (s *shift) nextRun(ctx context.Context, job *Job) (settled func() error) {
	err := s.tryNextRun(ctx, job)
	if err == nil {
		return func() error { return nil }
	}
	s.cfg.Log.Warn("next job of schedule cannot be made yet, trying again", "queue", s.queue, "scheduler", job.SchedulerID, "error", err)
	done := make(chan error, 1)
	go func() { done <- s.retryNextRun(ctx, job) }()
	return func() error { return <-done }
}

// retryNextRun tries until ctx ends, and then once more.
func (s *shift) retryNextRun(ctx context.Context, job *Job) error {
	for pause := retryAfter; ; pause = min(2*pause, retryAtMost) {
		last := false
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			last = true
		}
		err := s.tryNextRun(context.WithoutCancel(ctx), job)
		closed := errors.Is(err, rueidis.ErrClosing) && clientClosed(s.base, s.client, s.keys.of(keyMeta))
		if err == nil || last || closed {
			return err
		}
	}
}

// tryNextRun makes the next run if there is to be one. If it can never be made the log tells, and the schedule is over.
func (s *shift) tryNextRun(ctx context.Context, job *Job) error {
	ctx, cancel := context.WithTimeout(ctx, nextRunWithin)
	defer cancel()
	err := s.makeNextRun(ctx, job)
	if err != nil && hopeless(err) {
		s.cfg.Log.Error("schedule ends, its next job cannot be made", "queue", s.queue, "scheduler", job.SchedulerID, "error", err)
		return nil
	}
	return err
}

// serverState is how Redis begins to refuse everything for a while, alone or, before version 7, within a script's error.
var serverState = regexp.MustCompile(`\b(BUSY|CLUSTERDOWN|LOADING|MASTERDOWN|MISCONF|NOAUTH|NOPERM|NOREPLICAS|OOM|READONLY|TRYAGAIN) `)

// hopeless tells whether an error will stay: the schedule cannot be read, or its keys are damaged.
func hopeless(err error) bool {
	var answer *rueidis.RedisError
	return errors.Is(err, errNoNextRun) || errors.As(err, &answer) && !serverState.MatchString(answer.Error())
}

// makeNextRun does nothing if the job is not its scheduler's present run: then this is not its first start, or the
// scheduler was changed or removed.
func (s *shift) makeNextRun(ctx context.Context, job *Job) error {
	scheduler, err := readScheduler(ctx, s.client, s.keys, job.SchedulerID, job.Options.Repeat)
	switch {
	case errors.Is(err, ErrSchedulerNotFound):
		return nil
	case err != nil:
		return err
	case job.ID != runID(scheduler.ID, scheduler.Next):
		return nil
	}
	r := &scheduler.Repeat
	count, option := countRun(job.Options.Repeat)
	if r.Limit > 0 && count > r.Limit {
		return nil
	}
	now := time.Now().Truncate(time.Millisecond)
	at, ok, err := r.after(scheduler.Next, now)
	if err != nil || !ok {
		return err
	}
	next := &Job{Name: job.Name, Data: job.Data, Options: job.Options}
	planRun(next, scheduler.ID, at, now, option, r.Pattern != "")
	args := runArgs(next, scheduler.ID, strconv.FormatInt(scheduler.Next.UnixMilli(), 10), at, now)
	return nextScript.run(ctx, s.client, s.keys, args...).Error()
}
