package sqlitestore

import (
	"context"
	"encoding/json"
	"math"
	"time"

	"loupe/internal/asset"
	"loupe/internal/sqlitedb"
)

// Timeline implements [asset.Store].
func (s *Store) Timeline(ctx context.Context, q asset.TimelineQuery) ([]asset.Entry, error) {
	limit := q.Limit
	if limit == 0 {
		limit = math.MaxInt32
	}
	var entries []asset.Entry
	scan := func(row sqlitedb.Row) error {
		e, err := decodeEntry(row)
		entries = append(entries, e)
		return err
	}
	var err error
	if q.AssetID != "" {
		_, err = s.db.Query(ctx, scan, timelineSQL, q.AssetID, limit)
	} else {
		_, err = s.db.Query(ctx, scan, finishedSQL, q.Owner, q.Since.UnixMilli(), limit)
	}
	return entries, err
}

// appendLog appends entries to the asset's timeline and drops the oldest ones beyond its bound.
func appendLog(ctx context.Context, tx *sqlitedb.Tx, a asset.Asset, log []asset.Entry) error {
	for _, e := range log {
		var payload any
		if e.Payload != nil {
			payload = string(e.Payload)
		}
		_, err := tx.Exec(ctx, appendSQL, a.ID, a.Owner, e.At.UnixMilli(), e.Event, e.Attempt, e.Error, e.Duration.Milliseconds(), payload)
		if err != nil {
			return err
		}
	}
	if len(log) == 0 {
		return nil
	}
	_, err := tx.Exec(ctx, trimSQL, a.ID, asset.MaxEntries)
	return err
}

// decodeEntry reads at, event, attempt, error, duration_ms and payload.
func decodeEntry(row sqlitedb.Row) (asset.Entry, error) {
	var e asset.Entry
	var at, duration int64
	var payload *string
	if err := row.Scan(&at, &e.Event, &e.Attempt, &e.Error, &duration, &payload); err != nil {
		return e, err
	}
	e.At, e.Duration = millis(at), time.Duration(duration)*time.Millisecond
	if payload != nil {
		e.Payload = json.RawMessage(*payload)
	}
	return e, nil
}
