package migrate

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"

	"loupe/internal/queue"
)

// expected returns a job as it is to be at the target: what a worker had in its hands waits again.
func expected(s queue.Stored) queue.Stored {
	if s.State == queue.Active {
		s.State = queue.Waiting
	}
	return s
}

// tallyOf returns where a job counts.
func (m *mover) tallyOf(s queue.Stored) *tally {
	if s.State == queue.FailedJob {
		return &m.report.deadLetters
	}
	return &m.report.jobs
}

// pause pauses the target's queue if the installation's is paused: whoever did that does not want the jobs to start.
func (m *mover) pause(ctx context.Context) error {
	if m.ToJobs == nil {
		return nil
	}
	counts, err := m.Jobs.Counts(ctx)
	if err != nil || !counts.IsPaused {
		return err
	}
	m.report.say("the queue is paused, and will be at the target")
	return m.ToJobs.Pause(ctx)
}

// moveJob puts one job on the target's queue.
func (m *mover) moveJob(ctx context.Context, s queue.Stored) error {
	s = expected(s)
	stored, err := m.ToJobs.Restore(ctx, s)
	if err != nil {
		return err
	}
	if !stored {
		return m.verifyJob(ctx, s)
	}
	m.report.count(&m.tallyOf(s).moved)
	return nil
}

// verifyJob compares one job.
func (m *mover) verifyJob(ctx context.Context, s queue.Stored) error {
	want := expected(s)
	t, name := m.tallyOf(want), "job "+want.ID
	got, err := m.ToJobs.Get(ctx, want.ID)
	switch {
	case errors.Is(err, queue.ErrNotFound):
		m.report.missing(t, name, "is not at the target")
	case err != nil:
		return fmt.Errorf("read %s: %w", name, err)
	case sumJob(got) == sumJob(want.Record):
		m.report.count(&t.equal)
	case got.State != want.State:
		m.report.different(t, name, fmt.Sprintf("is %s at the target, not %s: somebody has gone on with it", got.State, want.State))
	default:
		m.report.different(t, name, "differs at the target: somebody has gone on with it")
	}
	return nil
}

// sumJob is the hash of all that an operator sees of a job.
func sumJob(r queue.Record) [sha256.Size]byte {
	return sum(struct {
		queue.Record
		Data   []byte // byte for byte, where a json.RawMessage would lose its white space
		Errors []queue.AttemptError
	}{r, r.Data, append([]queue.AttemptError{}, r.Errors...)})
}
