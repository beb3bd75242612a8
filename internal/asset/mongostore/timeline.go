package mongostore

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"loupe/internal/asset"
)

// Timeline implements [asset.Store].
func (s *Store) Timeline(ctx context.Context, q asset.TimelineQuery) ([]asset.Entry, error) {
	if q.AssetID != "" {
		return s.history(ctx, q.AssetID, q.Limit)
	}
	return s.finishedSince(ctx, q)
}

// history returns what happened to one asset.
func (s *Store) history(ctx context.Context, id string, limit int) ([]asset.Entry, error) {
	raw, err := s.assets.FindOne(ctx, bson.M{"_id": key(id)},
		options.FindOne().SetProjection(bson.M{"loupe.timeline": 1, "loupeFinished": 1})).Raw()
	if errors.Is(err, mongo.ErrNoDocuments) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	entries := document(raw).history()
	if limit > 0 && len(entries) > limit {
		entries = entries[:limit]
	}
	return entries, nil
}

func (d document) history() []asset.Entry {
	return merge(d.entries("loupe.timeline"), d.entries("loupeFinished"))
}

// merge puts the finished runs that have dropped out of the timeline in front of it, and drops the oldest of the other
// entries beyond asset.MaxEntries. The timeline's own finished runs are the last ones of finished.
func merge(timeline, finished []asset.Entry) []asset.Entry {
	timeline, finished = last(timeline, asset.MaxEntries), last(finished, asset.MaxEntries)
	there := 0
	for _, e := range timeline {
		if e.Event == asset.EventFinished {
			there++
		}
	}
	entries := slices.Concat(finished[:max(0, len(finished)-there)], timeline)
	excess := len(entries) - asset.MaxEntries
	return slices.DeleteFunc(entries, func(e asset.Entry) bool {
		drop := excess > 0 && e.Event != asset.EventFinished
		if drop {
			excess--
		}
		return drop
	})
}

// last returns the last n entries.
func last(entries []asset.Entry, n int) []asset.Entry {
	return entries[max(0, len(entries)-n):]
}

// finishedSince returns the finished runs of an owner's assets.
func (s *Store) finishedSince(ctx context.Context, q asset.TimelineQuery) ([]asset.Entry, error) {
	later := bson.M{"$gt": q.Since}
	stages := bson.A{
		bson.M{"$match": bson.M{"userId": key(q.Owner), "loupeFinished.at": later}},
		bson.M{"$unwind": "$loupeFinished"},
		bson.M{"$match": bson.M{"loupeFinished.at": later}},
		bson.M{"$sort": bson.D{{Key: "loupeFinished.at", Value: 1}, {Key: "_id", Value: 1}}},
	}
	if q.Limit > 0 {
		stages = append(stages, bson.M{"$limit": q.Limit})
	}
	cursor, err := s.assets.Aggregate(ctx, append(stages, bson.M{"$project": bson.M{"loupeFinished": 1}}))
	if err != nil {
		return nil, err
	}
	docs, err := collect(ctx, cursor)
	entries := make([]asset.Entry, len(docs))
	for i, doc := range docs {
		entries[i] = doc.entry("loupeFinished.")
	}
	return entries, err
}

func (d document) entries(path string) []asset.Entry {
	array, _ := d.at(path).ArrayOK()
	values, err := array.Values()
	if err != nil {
		return nil
	}
	entries := make([]asset.Entry, len(values))
	for i, v := range values {
		doc, _ := v.DocumentOK()
		entries[i] = document(doc).entry("")
	}
	return entries
}

// entry reads an entry whose leaves have that prefix.
func (d document) entry(prefix string) asset.Entry {
	e := asset.Entry{
		At: d.time(prefix + "at"), Event: d.text(prefix + "event"), Attempt: int(d.integer(prefix + "attempt")),
		Error:    d.text(prefix + "error"),
		Duration: time.Duration(d.integer(prefix+"durationMs")) * time.Millisecond,
	}
	if payload, ok := d.at(prefix + "payload").StringValueOK(); ok {
		e.Payload = json.RawMessage(payload)
	}
	return e
}
