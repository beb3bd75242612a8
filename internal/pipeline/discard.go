package pipeline

import (
	"context"
	"errors"

	"loupe/internal/queue"
)

// maxCounted bounds what [Pipeline.CountDeadLetters] counts.
const maxCounted = 10_000

// CountDeadLetters returns how many dead letters match, and whether there are more than it has counted.
func (p *Pipeline) CountDeadLetters(ctx context.Context, f queue.Filter) (n int, more bool, err error) {
	for f.Limit, f.Cursor = replayPage, ""; ; {
		page, err := p.Jobs.DeadLetters(ctx, f)
		if err != nil {
			return 0, false, err
		}
		n += len(page.Items)
		if f.Cursor = page.Next; f.Cursor == "" || n >= maxCounted {
			return n, f.Cursor != "", nil
		}
	}
}

// Discard removes a dead letter; its asset stays failed. It returns [queue.ErrNotFound], or [queue.ErrState] if the job
// has not failed.
func (p *Pipeline) Discard(ctx context.Context, jobID string) error {
	job, err := p.Jobs.Get(ctx, jobID)
	if err != nil {
		return err
	}
	if job.State != queue.FailedJob {
		return queue.ErrState
	}
	return p.Jobs.Remove(ctx, jobID)
}

// DiscardAll discards every dead letter that matches and returns how many those were.
func (p *Pipeline) DiscardAll(ctx context.Context, f queue.Filter) (int, error) {
	ids, err := p.deadLetterIDs(ctx, f)
	if err != nil {
		return 0, err
	}
	return p.DiscardEach(ctx, ids)
}

// DiscardEach discards the dead letters of those ids and returns how many it discarded; what is none is passed over.
func (p *Pipeline) DiscardEach(ctx context.Context, ids []string) (int, error) {
	discarded := 0
	for _, id := range ids {
		switch err := p.Discard(ctx, id); {
		case err == nil:
			discarded++
		case errors.Is(err, queue.ErrNotFound), errors.Is(err, queue.ErrState):
		default:
			return discarded, err
		}
	}
	return discarded, nil
}
