package migrate

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"

	"loupe/internal/asset"
)

// record is an asset with its history.
type record struct {
	asset.Asset
	history  [sha256.Size]byte // hash of the timeline
	timeline []asset.Entry     // only of the installation's
}

// read returns the record of an asset of the installation.
func (m *mover) read(ctx context.Context, a asset.Asset) (record, error) {
	timeline, err := m.Assets.Timeline(ctx, asset.TimelineQuery{AssetID: a.ID})
	if err != nil {
		return record{}, fmt.Errorf("read the timeline of asset %s: %w", a.ID, err)
	}
	return record{a, sumTimeline(timeline), timeline}, nil
}

// find returns the records at the target of those assets that it has, by id.
func (m *mover) find(ctx context.Context, page []asset.Asset) (map[string]*record, error) {
	if m.ToAssets == nil {
		return nil, nil
	}
	ids := make([]string, len(page))
	for i, a := range page {
		ids[i] = a.ID
	}
	found := make(map[string]*record, len(page))
	err := m.ToAssets.Each(ctx, ids, func(a asset.Asset, timeline []asset.Entry) error {
		found[a.ID] = &record{Asset: a, history: sumTimeline(timeline)}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read assets of the target: %w", err)
	}
	return found, nil
}

// sumTimeline is the hash of a timeline. Of one with more entries than [asset.MaxEntries], which then are finished runs,
// not every store keeps more than the last.
func sumTimeline(timeline []asset.Entry) [sha256.Size]byte {
	type entry struct {
		asset.Entry
		Payload []byte // byte for byte, where a json.RawMessage would lose its white space
	}
	var entries []entry
	for _, e := range timeline[max(0, len(timeline)-asset.MaxEntries):] {
		entries = append(entries, entry{e, e.Payload})
	}
	return sum(entries)
}

// sum is the hash of all that v holds.
func sum(v any) [sha256.Size]byte {
	text, err := json.Marshal(v)
	if err != nil {
		text = []byte(err.Error()) // a NaN that somebody has written to the target: nothing of ours equals it
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
	return here.history == there.history && sum(here.Asset) == sum(there.Asset)
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
func (m *mover) moveAsset(ctx context.Context, here record, there *record) error {
	switch {
	case there == nil:
		return m.create(ctx, here)
	case !m.same(here, *there):
		m.differs(here.ID)
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
	switch err := m.ToAssets.Create(ctx, a, here.timeline...); {
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
	var records asset.Store = m.Assets
	if m.ToAssets != nil {
		records = m.ToAssets
	}
	_, err = records.Transition(ctx, a.ID, asset.Change{
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
func (m *mover) verifyAsset(ctx context.Context, here record, there *record) error {
	recorded := map[string]asset.Image{} // at the target
	switch {
	case there == nil:
		m.report.missing(&m.report.assets, "asset "+here.ID, "is not at the target")
	case m.same(here, *there):
		m.report.count(&m.report.assets.equal)
	default:
		m.differs(here.ID)
	}
	if m.ToImages == nil {
		return nil
	}
	if there != nil {
		for _, p := range pictures(&there.Asset) {
			recorded[p.Key] = *p
		}
	}
	for _, p := range pictures(&here.Asset) {
		now, ok := recorded[p.Key]
		if err := m.verifyPicture(ctx, here.ID, *p, !ok || m.moved(now)); err != nil {
			return err
		}
	}
	return nil
}
