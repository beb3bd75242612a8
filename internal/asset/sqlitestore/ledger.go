package sqlitestore

import (
	"context"
	"time"

	"loupe/internal/asset"
	"loupe/internal/sqlitedb"
)

var _ asset.Ledger = (*Store)(nil)

// Note implements [asset.Ledger].
func (s *Store) Note(ctx context.Context, notes ...asset.Note) error {
	return s.db.Write(ctx, func(tx *sqlitedb.Tx) error {
		for _, n := range notes {
			if _, err := tx.Exec(ctx, noteSQL, n.Key, n.AssetID, n.At.UnixMilli()); err != nil {
				return err
			}
		}
		return nil
	})
}

// Noted implements [asset.Ledger].
func (s *Store) Noted(ctx context.Context, before time.Time, limit int) ([]asset.Note, error) {
	var notes []asset.Note
	_, err := s.db.Query(ctx, func(row sqlitedb.Row) error {
		var n asset.Note
		var at int64
		err := row.Scan(&n.Key, &n.AssetID, &at)
		n.At = millis(at)
		notes = append(notes, n)
		return err
	}, notedSQL, before.UnixMilli(), max(limit, 0))
	return notes, err
}

// Strike implements [asset.Ledger].
func (s *Store) Strike(ctx context.Context, keys ...string) error {
	return s.db.Write(ctx, func(tx *sqlitedb.Tx) error {
		for _, key := range keys {
			if _, err := tx.Exec(ctx, strikeSQL, key); err != nil {
				return err
			}
		}
		return nil
	})
}
