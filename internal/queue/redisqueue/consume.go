package redisqueue

import (
	"context"
	"errors"
	"time"

	"loupe/bullmq"
	"loupe/internal/queue"
)

// Consume implements [queue.Queue].
func (q *Queue) Consume(ctx context.Context, h queue.Handler) error {
	worker, err := bullmq.NewWorker(q.client, queueName, q.handle(h), bullmq.WorkerConfig{
		Prefix:           q.prefix,
		Name:             queue.ProcessName(),
		Concurrency:      q.config.Concurrency,
		Lock:             q.config.Lease,
		StalledEvery:     q.config.Lease / 2, // so that a dead worker's job is taken up within two leases
		MaxStalls:        q.config.MaxStalls,
		Isolate:          true,
		Timeout:          q.config.Timeout,
		Grace:            q.config.Grace,
		RemoveOnComplete: bullmq.KeepFor(q.config.KeepDone),
		RemoveOnFail:     bullmq.KeepFor(q.config.KeepFailed),
		Hooks: bullmq.Hooks{
			Condemned: func(ctx context.Context, job *bullmq.Job, reason error) { h.Dead(ctx, q.jobOf(job), reason.Error()) },
		},
		Log: q.log,
	})
	if err != nil {
		return err
	}
	q.setWorker(worker)
	defer q.setWorker(nil)
	return worker.Run(ctx)
}

// causes are why a job's context has ended, in the words of both packages.
var causes = map[error]error{
	bullmq.ErrTimeout:   queue.ErrTimeout,
	bullmq.ErrLockLost:  queue.ErrLeaseLost,
	bullmq.ErrCancelled: queue.ErrRemoved,
	bullmq.ErrShutdown:  queue.ErrShutdown,
}

func causeOf(ctx context.Context) error {
	cause := context.Cause(ctx)
	for theirs, ours := range causes {
		if errors.Is(cause, theirs) {
			return ours
		}
	}
	return cause
}

// handle lets h do the jobs of the worker.
func (q *Queue) handle(h queue.Handler) bullmq.Handler {
	return func(outer context.Context, job *bullmq.Job) (any, error) {
		ctx, cancel := context.WithCancelCause(context.WithoutCancel(outer))
		defer cancel(nil)
		defer context.AfterFunc(outer, func() { cancel(causeOf(outer)) })()
		return nil, verdict(job.Attempt(), h.Process(ctx, q.jobOf(job)))
	}
}

// jobOf returns a job as its handler sees it.
func (q *Queue) jobOf(job *bullmq.Job) queue.Job {
	j := queue.Job{
		ID: job.ID, Data: job.Data, EnqueuedAt: job.Timestamp.UTC(), Starts: job.AttemptsStarted,
		Attempt: job.Attempt(), MaxAttempts: max(1, job.Options.Attempts),
	}
	if !j.Last() {
		j.RetryIn = q.config.BackoffAfter(j.Attempt)
	}
	return j
}

// verdict is the table of [queue.Handler] in BullMQ's terms.
func verdict(attempt int, err error) error {
	if err == nil {
		return nil
	}
	failed := &failure{attempt: attempt, at: time.Now(), err: err}
	if queue.IsPermanent(err) {
		return bullmq.Unrecoverable(failed)
	}
	if errors.Is(err, queue.ErrShutdown) {
		return bullmq.HandBack(err.Error())
	}
	if postpone, ok := errors.AsType[*queue.PostponeError](err); ok {
		switch after := min(postpone.After, queue.MaxHold); {
		case after <= 0:
			return bullmq.HandBack(err.Error())
		case postpone.Alone:
			return bullmq.DelayFor(after, err.Error())
		default:
			return bullmq.RateLimited(after)
		}
	}
	return failed
}
