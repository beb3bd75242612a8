package sqlitestore

import (
	"context"

	"loupe/internal/asset"
	"loupe/internal/sqlitedb"
)

// All returns up to limit assets by id, whoever owns them, beginning after the id given ("" for the first page).
func (s *Store) All(ctx context.Context, after string, limit int) ([]asset.Asset, error) {
	var items []asset.Asset
	_, err := s.db.Query(ctx, collect(&items), allSQL, after, max(limit, 0))
	return items, err
}

// Count returns how many assets there are. It looks at each.
func (s *Store) Count(ctx context.Context) (n int, err error) {
	_, err = s.db.Query(ctx, func(row sqlitedb.Row) error { return row.Scan(&n) }, "SELECT count(*) FROM assets")
	return n, err
}
