package bullmq

import (
	"context"
	"fmt"
)

var cancelScript = newScript("cancel")

// cancelChannel has a message with the id of each job that is to be cancelled, for those who listen. It is a hint: what
// counts is the job's field, which a worker reads with each renewal of the lock.
const cancelChannel = "cancel"

// Cancel asks the worker that runs the job to end its context, with [ErrCancelled] and the reason as its cause. If the
// handler then returns an error, the job has failed for good; if not, it has completed as if nothing had been asked.
//
// Workers of this package obey at once, or if the message to them was lost, when they renew the job's lock: within half of
// [WorkerConfig.Lock]. Those of other languages do not. The error wraps [ErrState] if no worker runs the job, which can
// then be removed instead, or [ErrJobNotFound].
func (q *Queue) Cancel(ctx context.Context, id, reason string) error {
	code, err := cancelScript.run(ctx, q.client, q.keys, millisNow(), id, clip(reason, maxReason)).AsInt64()
	switch {
	case err == nil && code == codeMissing:
		err = ErrJobNotFound
	case err == nil && code == codeNotActive:
		err = ErrState
	}
	if err != nil {
		return fmt.Errorf("cancel job %s: %w", id, err)
	}
	return nil
}

// cancel ends the context of a job that runs here.
func (s *shift) cancel(id string, reason error) bool {
	cause := ErrCancelled
	if reason != nil {
		cause = fmt.Errorf("%w: %w", ErrCancelled, reason)
	}
	found := false
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.running {
		if r.job.ID == id && !r.ended {
			r.cancel(cause)
			found = true
		}
	}
	return found
}
