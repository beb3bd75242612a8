package migrate

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"

	"loupe/internal/asset"
)

// record is an asset with all that is kept of it.
type record struct {
	asset.Asset
	timeline []asset.Entry
}

func read(ctx context.Context, from asset.Store, id string) (record, error) {
	a, err := from.Get(ctx, id)
	if err != nil {
		return record{}, fmt.Errorf("read asset %s: %w", id, err)
	}
	timeline, err := from.Timeline(ctx, asset.TimelineQuery{AssetID: id})
	if err != nil {
		return record{}, fmt.Errorf("read the timeline of asset %s: %w", id, err)
	}
	return record{a, timeline}, nil
}

// sum is the hash of all that is kept of an asset. Of a timeline with more entries than [asset.MaxEntries], which then
// are finished runs, not every store keeps more than the last.
func (r record) sum() [sha256.Size]byte {
	type entry struct {
		asset.Entry
		Payload []byte // byte for byte, where a json.RawMessage would lose its white space
	}
	var timeline []entry
	for _, e := range r.timeline[max(0, len(r.timeline)-asset.MaxEntries):] {
		timeline = append(timeline, entry{e, e.Payload})
	}
	text, err := json.Marshal(struct {
		Asset    asset.Asset
		Timeline []entry
	}{r.Asset, timeline})
	if err != nil {
		panic(err) // of plain values none comes
	}
	return sha256.Sum256(text)
}

// same reports whether the record at the target is the installation's, URLs of pictures that have moved aside.
func (m *mover) same(here, there record) bool {
	here.Asset, there.Asset = own(here.Asset), own(there.Asset)
	theirs := pictures(&there.Asset)
	for i, p := range pictures(&here.Asset) {
		if i < len(theirs) && theirs[i].Key == p.Key && m.moved(*theirs[i]) {
			theirs[i].URL = p.URL
		}
	}
	return here.sum() == there.sum()
}

// own returns an asset whose pictures can be changed.
func own(a asset.Asset) asset.Asset {
	if a.Processed != nil {
		a.Processed = new(*a.Processed)
	}
	return a
}

// pictures returns those of an asset that are in our image store.
func pictures(a *asset.Asset) []*asset.Image {
	var ours []*asset.Image
	for _, p := range []*asset.Image{&a.Original, a.Processed} {
		if p != nil && p.Key != "" {
			ours = append(ours, p)
		}
	}
	return ours
}

// moved reports whether a picture's URL is one of the target's.
func (m *mover) moved(p asset.Image) bool {
	if m.ToImages == nil {
		return false
	}
	key, ok := m.ToImages.KeyOf(p.URL)
	return ok && key == p.Key
}

// moveAsset moves one asset: its pictures, then its record.
func (m *mover) moveAsset(ctx context.Context, a asset.Asset) error {
	here, err := read(ctx, m.Assets, a.ID)
	if err != nil {
		return err
	}
	there, err := read(ctx, m.records, a.ID)
	switch {
	case errors.Is(err, asset.ErrNotFound):
		return m.create(ctx, here)
	case err != nil:
		return err
	case !m.same(here, there):
		m.differs(a.ID)
		return nil
	}
	return m.complete(ctx, there.Asset)
}

func (m *mover) differs(id string) {
	m.report.different(&m.report.assets, "asset "+id, "differs at the target: somebody has gone on with it")
}

// create moves an asset that is not at the target.
func (m *mover) create(ctx context.Context, here record) error {
	a, _, err := m.movePictures(ctx, here.Asset)
	if err != nil {
		return err
	}
	switch err := m.records.Create(ctx, a, here.timeline...); {
	case errors.Is(err, asset.ErrExists):
		m.differs(a.ID) // somebody has made it at this moment
	case err != nil:
		return fmt.Errorf("create asset %s: %w", a.ID, err)
	default:
		m.report.count(&m.report.assets.moved)
	}
	return nil
}

// complete moves the pictures of an asset that is at the target, if that is still to be done.
func (m *mover) complete(ctx context.Context, there asset.Asset) error {
	a, changed, err := m.movePictures(ctx, there)
	if err != nil {
		return err
	}
	if !changed {
		m.report.count(&m.report.assets.equal)
		return nil
	}
	_, err = m.records.Transition(ctx, a.ID, asset.Change{
		From: []asset.Status{there.Status}, JobID: there.JobID, Original: &a.Original, Processed: a.Processed,
	})
	switch {
	case errors.Is(err, asset.ErrConflict), errors.Is(err, asset.ErrNotFound):
		m.differs(a.ID)
	case err != nil:
		return fmt.Errorf("change the URLs of asset %s: %w", a.ID, err)
	default:
		m.report.count(&m.report.assets.moved)
	}
	return nil
}

// verifyAsset compares one asset and its pictures.
func (m *mover) verifyAsset(ctx context.Context, a asset.Asset) error {
	here, err := read(ctx, m.Assets, a.ID)
	if err != nil {
		return err
	}
	there, err := read(ctx, m.records, a.ID)
	switch {
	case errors.Is(err, asset.ErrNotFound):
		m.report.missing(&m.report.assets, "asset "+a.ID, "is not at the target")
	case err != nil:
		return err
	case m.same(here, there):
		m.report.count(&m.report.assets.equal)
	default:
		m.differs(a.ID)
	}
	if m.ToImages == nil {
		return nil
	}
	recorded := map[string]asset.Image{}
	for _, p := range pictures(&there.Asset) {
		recorded[p.Key] = *p
	}
	for _, p := range pictures(&a) {
		now, ok := recorded[p.Key]
		if err := m.verifyPicture(ctx, a.ID, *p, !ok || m.moved(now)); err != nil {
			return err
		}
	}
	return nil
}
