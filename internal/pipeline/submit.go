package pipeline

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"time"

	"loupe/internal/asset"
	"loupe/internal/failpoint"
	"loupe/internal/image"
)

// Photo is an image that has been taken in but belongs to no asset yet: it is followed by [Pipeline.Submit] or
// [Pipeline.Forget].
type Photo struct {
	image    asset.Image
	assetID  string // that it was noted for
	received time.Time
	stored   time.Time
}

// Receive takes a photo in: the stream r goes through the intake into the image store, and is durable there when
// Receive returns. The errors are those of [image.NewReader], of the image store, and of r.
func (p *Pipeline) Receive(ctx context.Context, r io.Reader) (Photo, error) {
	received := asset.Now()
	picture, err := image.NewReader(r, p.ImageLimits)
	if err != nil {
		return Photo{}, err
	}
	key, assetID := image.NewKey(picture.MIMEType()), asset.NewID()
	if err := p.note(ctx, assetID, key); err != nil {
		return Photo{}, err
	}
	failpoint.Here("photo noted")
	info, err := p.Images.Put(ctx, key, picture)
	if err != nil {
		return Photo{}, err
	}
	failpoint.Here("photo stored")
	meta, stored := picture.Meta(), asset.Now()
	if p.Observe.Stored != nil {
		p.Observe.Stored(stored.Sub(received))
	}
	return Photo{
		image: asset.Image{
			Key: info.Key, URL: info.URL, Width: meta.Width, Height: meta.Height,
			Bytes: meta.Bytes, MIMEType: meta.MIMEType, SHA256: meta.SHA256,
		},
		assetID:  assetID,
		received: received,
		stored:   stored,
	}, nil
}

// Forget removes a photo that will not be submitted.
func (p *Pipeline) Forget(ctx context.Context, photo Photo) {
	ctx, cancel := settle(ctx)
	defer cancel()
	p.removeImage(ctx, photo.image.Key)
}

// Receipt is what a submission is answered with.
type Receipt struct {
	AssetID string
	JobID   string
	Status  asset.Status
}

// Submit makes an asset of a received photo and queues its analysis. When it returns, image, asset and job are durable.
// When it fails nothing of the upload remains, except under an idempotency key: there a draft may stay, to be finished
// by the same upload sent again or by the reconciler.
//
// With an idempotency key (may be empty) the same upload sent again by the same owner within [KeyLifetime] returns the
// receipt of the first; another photo or category under that key is [ErrKeyReused].
func (p *Pipeline) Submit(ctx context.Context, owner, category string, photo Photo, key string) (Receipt, error) {
	// The client may hang up from here on: what it has sent is whole, and half a submission helps nobody.
	ctx, cancel := settle(ctx)
	defer cancel()

	now := asset.Now()
	if now.Sub(photo.received) > strayAge/2 { // the machine has slept, and the picture may be taken for a stray
		p.removeImage(ctx, photo.image.Key)
		return Receipt{}, fmt.Errorf("%w: photo was received at %s", image.ErrStorage, photo.received)
	}
	a := asset.Asset{
		ID: photo.assetID, Owner: owner, Category: category, Status: asset.Draft,
		Original: photo.image, Run: 1, CreatedAt: now, UpdatedAt: now,
	}
	a.DuplicateOf = p.duplicate(ctx, a)
	existing, err := p.create(ctx, &a, photo, key)
	if err != nil {
		p.removeImage(ctx, photo.image.Key)
		return Receipt{}, err
	}
	if existing {
		p.removeImage(ctx, photo.image.Key)
		if a.Status != asset.Draft {
			return Receipt{a.ID, a.JobID, asset.Processing}, nil
		}
	}

	failpoint.Here("asset recorded")
	if err := p.enqueue(ctx, a); err != nil {
		if key == "" {
			p.undoCreate(ctx, a)
		}
		return Receipt{}, err
	}
	failpoint.Here("job queued")
	if err := p.markQueued(ctx, a); err != nil {
		// The worker or the reconciler will do it: the job is on the queue.
		p.Log.WarnContext(ctx, "asset queued but still a draft", "asset", a.ID, "error", err)
	}
	failpoint.Here("asset submitted")
	if p.Observe.Submitted != nil && !existing {
		p.Observe.Submitted()
	}
	return Receipt{a.ID, a.JobID, asset.Processing}, nil
}

// duplicate returns the owner's latest asset with the same photo, "" if there is none. It is a courtesy: whatever is wrong
// with it, the photo is taken.
func (p *Pipeline) duplicate(ctx context.Context, a asset.Asset) string {
	page, err := p.Assets.List(ctx, asset.Query{Owner: a.Owner, SHA256: a.Original.SHA256, Limit: 1})
	if err != nil {
		p.Log.WarnContext(ctx, "duplicates not looked for", "error", err)
	}
	if len(page.Items) == 0 {
		return ""
	}
	return page.Items[0].ID
}

// KeyLifetime is how long an idempotency key stands for its upload.
const KeyLifetime = 24 * time.Hour

// create records the asset as a draft. With an idempotency key the asset's id is made of owner and key, so that of many
// equal uploads at once exactly one is created; for the others a becomes that asset and existing is true.
func (p *Pipeline) create(ctx context.Context, a *asset.Asset, photo Photo, key string) (existing bool, err error) {
	for generation := 0; ; generation++ {
		if key != "" {
			a.ID = keyedID(a.Owner, key, generation)
			if err := p.note(ctx, a.ID, photo.image.Key); err != nil {
				return false, err
			}
			failpoint.Here("photo noted for a key")
		}
		a.JobID = asset.JobID(a.ID, a.Run)
		err := p.Assets.Create(ctx, *a,
			asset.Entry{At: photo.received, Event: asset.EventReceived},
			asset.Entry{At: photo.stored, Event: asset.EventStored, Duration: photo.stored.Sub(photo.received)})
		if key == "" || !errors.Is(err, asset.ErrExists) {
			return false, err
		}
		earlier, err := p.Assets.Get(ctx, a.ID)
		if errors.Is(err, asset.ErrNotFound) {
			continue // deleted in between
		}
		if err != nil {
			return false, err
		}
		if a.CreatedAt.Sub(earlier.CreatedAt) > KeyLifetime {
			continue // the key has lived; the next generation has another id
		}
		if earlier.Original.SHA256 != photo.image.SHA256 || earlier.Category != a.Category {
			return false, ErrKeyReused
		}
		*a = earlier
		return true, nil
	}
}

// keyedID returns the asset id that owner and idempotency key stand for.
func keyedID(owner, key string, generation int) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%d %q %q", generation, owner, key))
	return hex.EncodeToString(sum[:12])
}

func (p *Pipeline) undoCreate(ctx context.Context, a asset.Asset) {
	if _, err := p.Assets.Delete(ctx, a.ID, a.Owner); err != nil {
		// The draft stays and the reconciler will finish it: better twice than never.
		p.Log.WarnContext(ctx, "draft left behind", "asset", a.ID, "error", err)
		return
	}
	p.removeImage(ctx, a.Original.Key)
}

// markQueued moves a draft on to processing. That a worker was faster is no error.
func (p *Pipeline) markQueued(ctx context.Context, a asset.Asset) error {
	now := asset.Now()
	_, err := p.Assets.Transition(ctx, a.ID, asset.Change{
		From: []asset.Status{asset.Draft}, JobID: a.JobID, At: now, To: asset.Processing,
		Log: []asset.Entry{{At: now, Event: asset.EventQueued}},
	})
	if gone(err) {
		return nil
	}
	return err
}

// gone reports whether err says that somebody else has moved the asset on or deleted it.
func gone(err error) bool {
	return errors.Is(err, asset.ErrConflict) || errors.Is(err, asset.ErrNotFound)
}
