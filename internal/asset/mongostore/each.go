package mongostore

import (
	"context"

	"go.mongodb.org/mongo-driver/v2/bson"

	"loupe/internal/asset"
)

// Each calls do for those of the assets that there are, in any order, with their whole timelines. It reads them in one
// query, for whoever has many to look at, and ends with the first error of do.
func (s *Store) Each(ctx context.Context, ids []string, do func(asset.Asset, []asset.Entry) error) error {
	keys := make(bson.A, len(ids))
	for i, id := range ids {
		keys[i] = key(id)
	}
	cursor, err := s.assets.Find(ctx, bson.M{"_id": bson.M{"$in": keys}})
	if err != nil {
		return err
	}
	defer cursor.Close(ctx)
	for cursor.Next(ctx) {
		doc := document(cursor.Current)
		if err := do(doc.asset(), doc.history()); err != nil {
			return err
		}
	}
	return cursor.Err()
}
