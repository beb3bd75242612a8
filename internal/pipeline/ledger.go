package pipeline

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"loupe/internal/asset"
	"loupe/internal/failpoint"
	"loupe/internal/image"
)

// strayAge is how long after its note a picture is looked at again; if no asset has it by then, none will. It is far
// beyond the time that an upload or an attempt can take.
const strayAge = 24 * time.Hour

// note notes pictures that belong to that asset, or will, but for which it may be lost.
func (p *Pipeline) note(ctx context.Context, assetID string, keys ...string) error {
	var notes []asset.Note
	for _, key := range keys {
		if key != "" {
			notes = append(notes, asset.Note{Key: key, AssetID: assetID, At: asset.Now()})
		}
	}
	if len(notes) == 0 {
		return nil
	}
	if err := p.Ledger.Note(ctx, notes...); err != nil {
		return fmt.Errorf("note pictures of asset %s: %w", assetID, err)
	}
	return nil
}

// KeepProcessed stores a picture that an analysis of the asset has made, under a key of its own. The asset does not have
// it yet: that is noted before, unless the id can be no asset's.
func KeepProcessed(ctx context.Context, images image.Store, ledger asset.Ledger, assetID, mimeType string, r io.Reader) (image.Info, error) {
	key := image.NewProcessedKey(mimeType)
	if asset.IsID(assetID) {
		if err := ledger.Note(ctx, asset.Note{Key: key, AssetID: assetID, At: asset.Now()}); err != nil {
			return image.Info{}, fmt.Errorf("%w: note %s: %w", image.ErrStorage, key, err)
		}
	}
	failpoint.Here("processed picture noted")
	info, err := images.Put(ctx, key, r)
	failpoint.Here("processed picture stored")
	return info, err
}

// removeImage removes a picture that no asset has any more. One that stays is removed by a later sweep.
func (p *Pipeline) removeImage(ctx context.Context, key string) {
	if key == "" {
		return
	}
	err := p.Images.Delete(ctx, key)
	if err == nil {
		err = p.Ledger.Strike(ctx, key)
	}
	if err != nil {
		p.Log.WarnContext(ctx, "image left behind", "key", key, "error", err)
	}
}

// sweep looks at the pictures that were noted long ago, removes those that no asset has, and strikes the notes. Many
// processes may do so at once.
func (p *Pipeline) sweep(ctx context.Context) error {
	for {
		notes, err := p.Ledger.Noted(ctx, asset.Now().Add(-strayAge), reconcilePage)
		if err != nil || len(notes) == 0 {
			return err
		}
		var done []string
		for _, n := range notes {
			if err = p.removeStray(ctx, n); err != nil {
				// It has its turn again when it is as old again, so that one picture cannot keep the others from theirs.
				n.At = asset.Now()
				err = errors.Join(fmt.Errorf("picture %s of asset %s: %w", n.Key, n.AssetID, err), p.Ledger.Note(ctx, n))
				break
			}
			done = append(done, n.Key)
		}
		if len(done) > 0 {
			err = errors.Join(err, p.Ledger.Strike(ctx, done...))
		}
		if err != nil {
			return err
		}
	}
}

// removeStray removes a noted picture unless its asset has it.
func (p *Pipeline) removeStray(ctx context.Context, n asset.Note) error {
	a, err := p.Assets.Get(ctx, n.AssetID)
	if err != nil && !errors.Is(err, asset.ErrNotFound) {
		return err
	}
	if err == nil && (a.Original.Key == n.Key || a.Processed != nil && a.Processed.Key == n.Key) {
		return nil
	}
	if err := p.Images.Delete(ctx, n.Key); err != nil {
		return err
	}
	p.Log.InfoContext(ctx, "removed a picture without asset", "key", n.Key, "asset", n.AssetID, "noted", n.At)
	if p.Observe.Repaired != nil {
		p.Observe.Repaired("picture without asset")
	}
	return nil
}
