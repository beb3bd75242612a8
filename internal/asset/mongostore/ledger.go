package mongostore

import (
	"context"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"loupe/internal/asset"
)

var _ asset.Ledger = (*Store)(nil)

// Note implements [asset.Ledger]. The notes stand in a collection of their own:
//
//	{_id: "0f3a….jpg", assetId: ObjectId("507f1f77bcf86cd799439011"), at: ISODate("2025-12-28T10:30:00.000Z")}
func (s *Store) Note(ctx context.Context, notes ...asset.Note) error {
	if len(notes) == 0 {
		return nil
	}
	writes := make([]mongo.WriteModel, len(notes))
	for i, n := range notes {
		writes[i] = mongo.NewReplaceOneModel().SetFilter(bson.M{"_id": n.Key}).
			SetReplacement(bson.M{"assetId": key(n.AssetID), "at": n.At}).SetUpsert(true)
	}
	_, err := again(ctx, func() (*mongo.BulkWriteResult, error) { return s.notes.BulkWrite(ctx, writes) })
	return err
}

// Noted implements [asset.Ledger].
func (s *Store) Noted(ctx context.Context, before time.Time, limit int) ([]asset.Note, error) {
	if limit < 1 {
		return nil, nil
	}
	cursor, err := s.notes.Find(ctx, bson.M{"at": bson.M{"$lt": before}},
		options.Find().SetSort(bson.M{"at": 1}).SetLimit(int64(limit)))
	if err != nil {
		return nil, err
	}
	docs, err := collect(ctx, cursor)
	notes := make([]asset.Note, len(docs))
	for i, doc := range docs {
		notes[i] = asset.Note{Key: doc.text("_id"), AssetID: doc.id("assetId"), At: doc.time("at")}
	}
	return notes, err
}

// Strike implements [asset.Ledger].
func (s *Store) Strike(ctx context.Context, keys ...string) error {
	if len(keys) == 0 {
		return nil
	}
	_, err := again(ctx, func() (*mongo.DeleteResult, error) {
		return s.notes.DeleteMany(ctx, bson.M{"_id": bson.M{"$in": keys}})
	})
	return err
}
