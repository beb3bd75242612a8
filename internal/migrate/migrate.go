// Package migrate moves an embedded installation, a database file and a directory of pictures, to services.
//
// It goes the way of a photo, so that wherever it is cut off nothing at the target leads nowhere:
//
//	the pictures of an asset ──▶ its record, which has their new URLs      and so on, by id
//	when all assets are there: the jobs, in the order of the line
//
// No note is kept of how far it has come, because the target says it: what is there and equal is passed over. What is
// there and differs, somebody has gone on with, and it stays as it is. The installation is only read, but for the URLs
// in its records where those stay and their pictures go.
package migrate

import (
	"context"
	"fmt"
	"io"

	"golang.org/x/sync/errgroup"

	"loupe/internal/asset"
	"loupe/internal/image"
	"loupe/internal/queue"
)

// What is held in memory at once.
const (
	pageSize = 500 // assets or jobs that are read in one go, assets of the target with one timeline at a time
	atOnce   = 8   // assets that are on their way
)

// Config says what goes where. Assets, Images, Jobs and Out are required.
type Config struct {
	// The installation. Nobody else may work on it meanwhile.
	Assets Records
	Images image.Store
	Jobs   Line

	// The services. What has none stays where it is; default none.
	ToAssets Store
	ToImages image.Store
	ToJobs   Queue

	// Refused reports whether an error of ToImages says that it will never take this picture, which then stays behind
	// while the rest goes on. Default: no error does.
	Refused func(error) bool

	Out io.Writer // for progress, for what is not as it should be, and a table at the end
}

// Records are the assets of the installation.
type Records interface {
	asset.Store
	All(ctx context.Context, after string, limit int) ([]asset.Asset, error)
	Count(ctx context.Context) (int, error)
}

// Store takes assets in.
type Store interface {
	asset.Store
	// Each calls do for those of the assets that there are, in any order, with their whole timelines.
	Each(ctx context.Context, ids []string, do func(asset.Asset, []asset.Entry) error) error
}

// Line is the queue of the installation.
type Line interface {
	All(ctx context.Context, after string, limit int) ([]queue.Stored, error)
	Counts(ctx context.Context) (queue.Counts, error)
}

// Queue takes jobs in as they were elsewhere.
type Queue interface {
	// Restore reports whether it has stored the job; it has not if there is one with its id, in whatever state.
	Restore(ctx context.Context, s queue.Stored) (bool, error)
	Get(ctx context.Context, id string) (queue.Record, error)
	Pause(ctx context.Context) error
}

// mover is one run of Copy or Verify.
type mover struct {
	Config
	report *report
}

func newMover(c Config) *mover {
	if c.Refused == nil {
		c.Refused = func(error) bool { return false }
	}
	return &mover{c, newReport(c.Out)}
}

// Copy moves everything that is not at the target yet, and reports whether all of it is there and equal then. An error
// has ended it early; calling it again goes on.
func Copy(ctx context.Context, c Config) (whole bool, err error) {
	m := newMover(c)
	if err := m.eachAsset(ctx, m.moveAsset); err != nil {
		return false, err
	}
	if err := m.pause(ctx); err != nil {
		return false, err
	}
	if err := m.eachJob(ctx, m.moveJob); err != nil {
		return false, err
	}
	return m.report.end("MOVED", "THERE BEFORE", func(t *tally) (int, int) { return t.moved, t.equal }), nil
}

// Verify compares everything with what is at the target, pictures by their SHA-256, and reports whether all of it is
// there and equal. It changes nothing.
func Verify(ctx context.Context, c Config) (whole bool, err error) {
	m := newMover(c)
	if err := m.eachAsset(ctx, m.verifyAsset); err != nil {
		return false, err
	}
	if err := m.eachJob(ctx, m.verifyJob); err != nil {
		return false, err
	}
	return m.report.end("TARGET", "EQUAL", func(t *tally) (int, int) { return t.source() - t.missing, t.equal }), nil
}

// eachAsset calls do for every asset, if they or their pictures have a target, with what there is of it at the target:
// several at once.
func (m *mover) eachAsset(ctx context.Context, do func(ctx context.Context, here record, there *record) error) error {
	if m.ToAssets == nil && m.ToImages == nil {
		return nil
	}
	total, err := m.Assets.Count(ctx)
	if err != nil {
		return fmt.Errorf("count assets: %w", err)
	}
	m.report.assets.total = total
	for after := ""; ; {
		page, err := m.Assets.All(ctx, after, pageSize)
		if err != nil || len(page) == 0 {
			return err
		}
		there, err := m.find(ctx, page)
		if err != nil {
			return err
		}
		group, ctx := errgroup.WithContext(ctx)
		group.SetLimit(atOnce)
		for _, a := range page {
			group.Go(func() error {
				defer m.report.progress()
				here, err := m.read(ctx, a)
				if err != nil {
					return err
				}
				if m.ToAssets == nil {
					return do(ctx, here, &here)
				}
				return do(ctx, here, there[a.ID])
			})
		}
		if err := group.Wait(); err != nil {
			return err
		}
		after = page[len(page)-1].ID
	}
}

// eachJob calls do for every job but the completed ones, which have nothing left to move, one after the other.
func (m *mover) eachJob(ctx context.Context, do func(context.Context, queue.Stored) error) error {
	if m.ToJobs == nil {
		return nil
	}
	counts, err := m.Jobs.Counts(ctx)
	if err != nil {
		return fmt.Errorf("count jobs: %w", err)
	}
	m.report.jobs.total = counts.Waiting + counts.Paused + counts.Active + counts.Delayed
	m.report.deadLetters.total = counts.Failed
	m.report.completed = counts.Completed
	for after := ""; ; {
		page, err := m.Jobs.All(ctx, after, pageSize)
		if err != nil || len(page) == 0 {
			return err
		}
		for _, s := range page {
			if s.State != queue.Completed {
				err = do(ctx, s)
			}
			if m.report.progress(); err != nil {
				return err
			}
		}
		after = page[len(page)-1].ID
	}
}
