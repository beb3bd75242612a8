package pipeline

import (
	"context"
	"errors"
	"fmt"
	"time"

	"loupe/internal/asset"
	"loupe/internal/queue"
)

// Reconciliation in pages of this many assets.
const reconcilePage = 100

// foreverAhead is beyond all that a clock can have been ahead: an asset that was changed in the future, because a clock
// has been set back since, is not left alone until then.
const foreverAhead = 100 * 365 * 24 * time.Hour

// RunReconcile repairs at once and then every ReconcileEvery, until ctx ends. A process that starts alone knows that
// nobody works on what it finds; among others it leaves young assets alone at first, and looks again as soon as they are
// not young any more.
func (p *Pipeline) RunReconcile(ctx context.Context) error {
	next := time.NewTimer(min(p.Grace, p.ReconcileEvery))
	defer next.Stop()
	grace := time.Duration(0)
	if p.ManyProcesses {
		grace = p.Grace
	}
	for ; ; grace = p.Grace {
		if err := p.Reconcile(ctx, grace); err != nil && ctx.Err() == nil {
			p.Log.ErrorContext(ctx, "reconcile", "error", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-next.C:
			next.Reset(p.ReconcileEvery)
		case <-p.soon:
			next.Reset(min(p.Grace, p.ReconcileEvery))
		}
	}
}

// ReconcileSoon has RunReconcile look now, and again as soon as what is young now is not young any more: the queue may have
// lost its jobs, or events may not have got through.
func (p *Pipeline) ReconcileSoon() {
	select {
	case p.soon <- struct{}{}:
	default: // it will look anyway
	}
}

// Reconcile looks at every asset that still owes something and has not changed for grace, and repairs what a crash, or
// a queue that forgot, left between two steps. Clocks may differ by as much as grace: what has changed a moment ahead of
// ours is young too. Then it removes pictures that have been without an asset for strayAge.
// Many processes may do so at once.
func (p *Pipeline) Reconcile(ctx context.Context, grace time.Duration) error {
	after := ""
	for {
		now := asset.Now()
		page, err := p.Assets.Unfinished(ctx, now.Add(foreverAhead), after, reconcilePage)
		if err != nil {
			return fmt.Errorf("unfinished assets: %w", err)
		}
		for _, a := range page {
			after = a.ID
			if now.Sub(a.UpdatedAt).Abs() < grace {
				continue
			}
			if err := p.repair(ctx, a); err != nil && !gone(err) {
				return fmt.Errorf("repair asset %s: %w", a.ID, err)
			}
		}
		if len(page) < reconcilePage {
			return p.sweep(ctx)
		}
	}
}

// repair does what is missing for one asset.
func (p *Pipeline) repair(ctx context.Context, a asset.Asset) error {
	if a.Status != asset.Draft && a.Status != asset.Processing {
		p.repaired(ctx, a, "event not sent")
		return p.announceAgain(ctx, a)
	}
	job, err := p.Jobs.Get(ctx, a.JobID)
	switch {
	case errors.Is(err, queue.ErrNotFound):
		p.repaired(ctx, a, "job missing")
		return p.requeue(ctx, a)
	case err != nil:
		return err
	case job.State == queue.FailedJob:
		p.repaired(ctx, a, "dead letter without failed asset")
		return p.failRun(ctx, a.ID, a.JobID, job.AttemptsMade, sentenceSpent)
	case job.State == queue.Completed:
		return p.redo(ctx, a)
	case a.Status == asset.Draft:
		return p.markQueued(ctx, a)
	}
	return nil // the job is waiting, delayed or active: all is well
}

// requeue puts the job of an unfinished asset back on the queue. One that another program had made is replaced by ours,
// because its id need not be one that we could give.
func (p *Pipeline) requeue(ctx context.Context, a asset.Asset) error {
	if asset.RunOf(a.ID, a.JobID) == 0 {
		var err error
		a, err = p.Assets.Transition(ctx, a.ID, asset.Change{From: []asset.Status{a.Status}, JobID: a.JobID, NextRun: a.Run})
		if err != nil {
			return err
		}
	}
	if err := p.enqueue(ctx, a); err != nil {
		return err
	}
	if a.Status == asset.Draft {
		return p.markQueued(ctx, a)
	}
	return nil
}

// redo starts another run of an asset whose job is completed although it has no result. A result is recorded before its
// job is completed, so the change fails if there is one by now. It is another run because of many processes that find
// this at once only one is to have the job done.
func (p *Pipeline) redo(ctx context.Context, a asset.Asset) error {
	a, err := p.Assets.Transition(ctx, a.ID, asset.Change{From: []asset.Status{a.Status}, JobID: a.JobID, NextRun: a.Run + 1})
	if err != nil {
		return err
	}
	p.repaired(ctx, a, "job completed without a result")
	return p.requeue(ctx, a)
}

func (p *Pipeline) repaired(ctx context.Context, a asset.Asset, what string) {
	p.Log.WarnContext(ctx, "repaired", "asset", a.ID, "status", a.Status, "job", a.JobID, "was", what)
	if p.Observe.Repaired != nil {
		p.Observe.Repaired(what)
	}
}
