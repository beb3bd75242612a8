package pipeline

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"loupe/internal/asset"
	"loupe/internal/failpoint"
	"loupe/internal/queue"
)

// Retry submits an owner's failed or partial asset to a new run. Another owner's asset is [asset.ErrNotFound]; one that
// is neither failed nor partial is [asset.ErrConflict].
func (p *Pipeline) Retry(ctx context.Context, owner, id string) (Receipt, error) {
	before, err := p.owned(ctx, owner, id)
	if err != nil {
		return Receipt{}, err
	}
	ctx, cancel := settle(ctx)
	defer cancel()
	now, pending := asset.Now(), false
	a, err := p.Assets.Transition(ctx, id, asset.Change{
		From: []asset.Status{asset.Failed, asset.Partial}, JobID: before.JobID, At: now,
		To: asset.Processing, NextRun: before.Run + 1, EventPending: &pending,
		Log: []asset.Entry{{At: now, Event: asset.EventQueued}},
	})
	if err != nil {
		return Receipt{}, err
	}
	failpoint.Here("next run recorded")
	if err := p.enqueue(ctx, a); err != nil {
		p.undoRetry(ctx, before, a)
		return Receipt{}, err
	}
	return Receipt{a.ID, a.JobID, a.Status}, nil
}

// undoRetry puts an asset back whose new run could not be queued. If that fails too, the reconciler queues the run.
func (p *Pipeline) undoRetry(ctx context.Context, before, now asset.Asset) {
	_, err := p.Assets.Transition(ctx, now.ID, asset.Change{
		From: []asset.Status{asset.Processing}, JobID: now.JobID, At: before.UpdatedAt,
		To: before.Status, NextRun: before.Run, EventPending: &before.EventPending,
	})
	if err != nil {
		p.Log.WarnContext(ctx, "retry not taken back, the reconciler will queue it", "asset", now.ID, "error", err)
	}
}

// owned returns an asset if it belongs to owner; another's is as absent as none.
func (p *Pipeline) owned(ctx context.Context, owner, id string) (asset.Asset, error) {
	a, err := p.Assets.Get(ctx, id)
	if err == nil && a.Owner != owner {
		return asset.Asset{}, asset.ErrNotFound
	}
	return a, err
}

// Delete removes an owner's asset, its images and its job; an analysis that runs is stopped.
func (p *Pipeline) Delete(ctx context.Context, owner, id string) error {
	a, err := p.owned(ctx, owner, id)
	if err != nil {
		return err
	}
	ctx, cancel := settle(ctx)
	defer cancel()
	keys := []string{a.Original.Key}
	if a.Processed != nil {
		keys = append(keys, a.Processed.Key)
	}
	if err := p.note(ctx, id, keys...); err != nil {
		return err
	}
	if a, err = p.Assets.Delete(ctx, id, owner); err != nil {
		return err
	}
	// The asset is gone, which is what was asked. What follows is tidying: a job that stays is skipped when it comes.
	p.running.stop(a.JobID, errDeleted)
	if err := p.Jobs.Remove(ctx, a.JobID); err != nil && !errors.Is(err, queue.ErrNotFound) && !errors.Is(err, queue.ErrState) {
		p.Log.WarnContext(ctx, "job of a deleted asset left behind", "job", a.JobID, "error", err)
	}
	p.removeImage(ctx, a.Original.Key)
	if a.Processed != nil {
		p.removeImage(ctx, a.Processed.Key)
	}
	return nil
}

// Replay puts a dead letter back to work with all its attempts: its asset goes from failed to processing. It returns
// [queue.ErrNotFound], [queue.ErrState] if the job has not failed, or [ErrSuperseded] if its asset is gone or has moved
// on, so that the job could change nothing.
func (p *Pipeline) Replay(ctx context.Context, jobID string) error {
	ctx, cancel := settle(ctx)
	defer cancel()
	job, err := p.Jobs.Get(ctx, jobID)
	if err != nil {
		return err
	}
	if job.State != queue.FailedJob {
		return queue.ErrState
	}
	data, err := parseJob(job.Data)
	if err != nil {
		return fmt.Errorf("%w: %w", queue.ErrState, err)
	}
	now, pending := asset.Now(), false
	a, err := p.Assets.Transition(ctx, data.AssetID, asset.Change{
		From: []asset.Status{asset.Failed}, JobID: jobID, At: now, To: asset.Processing, EventPending: &pending,
		Log: []asset.Entry{{At: now, Event: asset.EventQueued}},
	})
	if gone(err) {
		return ErrSuperseded
	}
	if err != nil {
		return err
	}
	p.tellQueued(ctx, a)
	if err := p.Jobs.Retry(ctx, jobID); err != nil {
		// The asset is processing with a dead job: put it back, or leave that to the reconciler.
		_, undo := p.Assets.Transition(ctx, a.ID, asset.Change{
			From: []asset.Status{asset.Processing}, JobID: jobID, At: now, To: asset.Failed,
		})
		return errors.Join(err, undo)
	}
	return nil
}

// replayPage is how many dead letters are looked at in one go.
const replayPage = 100

// ReplayAll replays every dead letter that matches and returns how many it replayed; those that cannot be replayed are
// passed over.
func (p *Pipeline) ReplayAll(ctx context.Context, f queue.Filter) (int, error) {
	ids, err := p.deadLetterIDs(ctx, f)
	if err != nil {
		return 0, err
	}
	return p.ReplayEach(ctx, ids)
}

// deadLetterIDs returns the ids of all that match, before any of them is touched: that would move the pages under our
// feet.
func (p *Pipeline) deadLetterIDs(ctx context.Context, f queue.Filter) (ids []string, err error) {
	for f.Limit, f.Cursor = replayPage, ""; ; {
		page, err := p.Jobs.DeadLetters(ctx, f)
		if err != nil {
			return nil, err
		}
		for _, job := range page.Items {
			ids = append(ids, job.ID)
		}
		if f.Cursor = page.Next; f.Cursor == "" {
			return ids, nil
		}
	}
}

// ReplayEach replays the dead letters of those ids and returns how many it replayed; those that cannot be replayed are
// passed over.
func (p *Pipeline) ReplayEach(ctx context.Context, ids []string) (int, error) {
	replayed := 0
	for _, id := range ids {
		switch err := p.Replay(ctx, id); {
		case err == nil:
			replayed++
		case errors.Is(err, queue.ErrNotFound), errors.Is(err, queue.ErrState), errors.Is(err, ErrSuperseded):
		default:
			return replayed, err
		}
	}
	return replayed, nil
}

// DeadLetter is a failed job in the words of the job contract.
type DeadLetter struct {
	queue.Record
	AssetID, UserID, ImageURL, Category string
}

// DeadLetters returns one page of the failed jobs that match, newest failure first.
func (p *Pipeline) DeadLetters(ctx context.Context, f queue.Filter) (letters []DeadLetter, next string, err error) {
	page, err := p.Jobs.DeadLetters(ctx, f)
	if err != nil {
		return nil, "", err
	}
	for _, record := range page.Items {
		var data jobData
		_ = json.Unmarshal(record.Data, &data) // what can be read of a strange payload is shown, the rest stays empty
		letters = append(letters, DeadLetter{record, data.AssetID, data.UserID, data.ImageURL, data.Category})
	}
	return letters, page.Next, nil
}
