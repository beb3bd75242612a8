package mongostore

import (
	"context"
	"errors"
	"slices"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"loupe/internal/asset"
)

// allowed returns the statuses, as they are stored, of the assets to which apply can be applied.
func allowed(apply func(*asset.Asset) error) bson.A {
	values := bson.A{}
	for _, status := range asset.Statuses {
		if apply(&asset.Asset{Status: status}) == nil {
			values = append(values, stored(status)...)
		}
	}
	return values
}

// stored returns the values of a document's status that read as status.
func stored(status asset.Status) bson.A {
	if status == asset.Draft {
		return bson.A{status, nil, ""} // nil matches what is absent, too
	}
	return bson.A{status}
}

// hasJob returns the alternatives of a document whose job id reads as jobID.
func hasJob(id, jobID string) bson.A {
	if jobID == "" {
		return bson.A{bson.M{"_id": bson.M{"$in": bson.A{}}}} // none does
	}
	alternatives := bson.A{bson.M{"processingJobId": jobID}}
	if run := asset.RunOf(id, jobID); run > 0 {
		runs := bson.A{run}
		if run == 1 {
			runs = append(runs, nil)
		}
		alternatives = append(alternatives, bson.M{
			"processingJobId": bson.M{"$in": bson.A{nil, ""}}, "loupe.run": bson.M{"$in": runs},
		})
	}
	return alternatives
}

// change edits the document that the filter selects, in one step, and returns the asset as it is then. If the filter
// selects none the error is [mongo.ErrNoDocuments].
func (s *Store) change(ctx context.Context, filter bson.M, e edit) (asset.Asset, error) {
	do := func() (bson.Raw, error) {
		return s.assets.FindOneAndUpdate(ctx, filter, e.update(), options.FindOneAndUpdate().SetReturnDocument(options.After)).Raw()
	}
	raw, err := again(ctx, do)
	if refusal, ok := errors.AsType[mongo.ServerError](err); ok && refusal.HasErrorCode(pathNotViable) {
		if err := s.makeWay(ctx, filter["_id"], e); err != nil {
			return asset.Asset{}, err
		}
		raw, err = again(ctx, do)
	}
	if err != nil {
		return asset.Asset{}, err
	}
	return document(raw).asset(), nil
}

// pathNotViable is the server's error code where a value that is no document stands in the path of a leaf.
const pathNotViable = 28

// makeWay removes what stands in the path of the edit's leaves, for example a null that somebody wrote for "nothing yet".
func (s *Store) makeWay(ctx context.Context, id any, e edit) error {
	var parents []string
	for _, leaf := range slices.Concat(e.set, e.push) {
		for i, c := range leaf.Key {
			if c == '.' {
				parents = append(parents, leaf.Key[:i])
			}
		}
	}
	slices.Sort(parents) // the outer ones first
	for _, path := range slices.Compact(parents) {
		noDocument := bson.M{"$exists": true, "$not": bson.M{"$type": "object"}}
		if _, err := s.assets.UpdateOne(ctx, bson.M{"_id": id, path: noDocument}, bson.M{"$unset": bson.M{path: ""}}); err != nil {
			return err
		}
	}
	return nil
}

// again calls do a second time if the connection broke, because not every server lets the driver repeat a write. The
// first call may have done its work all the same.
func again[T any](ctx context.Context, do func() (T, error)) (T, error) {
	v, err := do()
	if mongo.IsNetworkError(err) && !mongo.IsTimeout(err) && ctx.Err() == nil {
		return do()
	}
	return v, err
}
