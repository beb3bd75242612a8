// Package sqlitestore keeps assets in the SQLite file.
package sqlitestore

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"time"

	"loupe/internal/asset"
	"loupe/internal/sqlitedb"
)

var _ asset.Store = (*Store)(nil)

// Store is an [asset.Store] on a SQLite file.
type Store struct{ db *sqlitedb.DB }

// New returns a Store on an open database.
func New(db *sqlitedb.DB) *Store { return &Store{db} }

// Create implements [asset.Store].
func (s *Store) Create(ctx context.Context, a asset.Asset, log ...asset.Entry) error {
	values, err := encode(a)
	if err != nil {
		return err
	}
	return s.db.Write(ctx, func(tx *sqlitedb.Tx) error {
		n, err := tx.Exec(ctx, createSQL, values...)
		if err != nil {
			return err
		}
		if n == 0 {
			return asset.ErrExists
		}
		return appendLog(ctx, tx, a, log)
	})
}

// Get implements [asset.Store].
func (s *Store) Get(ctx context.Context, id string) (asset.Asset, error) {
	return one(ctx, s.db, id)
}

// querier is the database or a transaction of it.
type querier interface {
	Query(ctx context.Context, scan func(sqlitedb.Row) error, query string, args ...any) (int, error)
}

func one(ctx context.Context, q querier, id string) (asset.Asset, error) {
	var a asset.Asset
	n, err := q.Query(ctx, func(row sqlitedb.Row) (err error) {
		a, err = decode(row)
		return err
	}, getSQL, id)
	if err == nil && n == 0 {
		err = asset.ErrNotFound
	}
	return a, err
}

// List implements [asset.Store].
func (s *Store) List(ctx context.Context, q asset.Query) (asset.Page, error) {
	before, beforeID := int64(math.MaxInt64), ""
	if q.Cursor != "" {
		var ok bool
		if before, beforeID, ok = sqlitedb.DecodeCursor(q.Cursor); !ok {
			return asset.Page{}, asset.ErrCursor
		}
	}
	after := int64(math.MinInt64)
	if !q.UpdatedAfter.IsZero() {
		after = q.UpdatedAfter.UnixMilli()
	}
	limit := min(max(q.Limit, 1), asset.MaxPage)
	statement, args := listSQL, []any{q.Owner, before, beforeID, string(q.Status), q.Category, after, limit + 1}
	if q.SHA256 != "" {
		statement, args = listEqualSQL, append(args, q.SHA256)
	}
	var page asset.Page
	_, err := s.db.Query(ctx, collect(&page.Items), statement, args...)
	if err == nil && len(page.Items) > limit {
		page.Items = page.Items[:limit]
		last := page.Items[limit-1]
		page.Next = sqlitedb.EncodeCursor(last.CreatedAt.UnixMilli(), last.ID)
	}
	return page, err
}

// collect returns a scan function that appends to items.
func collect(items *[]asset.Asset) func(sqlitedb.Row) error {
	return func(row sqlitedb.Row) error {
		a, err := decode(row)
		*items = append(*items, a)
		return err
	}
}

// Transition implements [asset.Store].
func (s *Store) Transition(ctx context.Context, id string, c asset.Change) (a asset.Asset, err error) {
	err = s.db.Write(ctx, func(tx *sqlitedb.Tx) error {
		if a, err = one(ctx, tx, id); err != nil {
			return err
		}
		if err := c.Apply(&a); err != nil {
			return err
		}
		if err := save(ctx, tx, a); err != nil {
			return err
		}
		return appendLog(ctx, tx, a, c.Log)
	})
	return a, err
}

// Update implements [asset.Store].
func (s *Store) Update(ctx context.Context, id, owner string, p asset.Patch) (a asset.Asset, err error) {
	err = s.db.Write(ctx, func(tx *sqlitedb.Tx) error {
		if a, err = one(ctx, tx, id); err != nil {
			return err
		}
		if a.Owner != owner {
			return asset.ErrNotFound
		}
		if err := p.Apply(&a); err != nil {
			return err
		}
		return save(ctx, tx, a)
	})
	return a, err
}

// Delete implements [asset.Store]. The timeline goes with its asset.
func (s *Store) Delete(ctx context.Context, id, owner string) (a asset.Asset, err error) {
	err = s.db.Write(ctx, func(tx *sqlitedb.Tx) error {
		n, err := tx.Query(ctx, func(row sqlitedb.Row) (err error) {
			a, err = decode(row)
			return err
		}, deleteSQL, id, owner)
		if err == nil && n == 0 {
			err = asset.ErrNotFound
		}
		return err
	})
	return a, err
}

// Unfinished implements [asset.Store].
func (s *Store) Unfinished(ctx context.Context, olderThan time.Time, after string, limit int) ([]asset.Asset, error) {
	var items []asset.Asset
	_, err := s.db.Query(ctx, collect(&items), unfinishedSQL, olderThan.UnixMilli(), after, max(limit, 0))
	return items, err
}

func save(ctx context.Context, tx *sqlitedb.Tx, a asset.Asset) error {
	values, err := encode(a)
	if err != nil {
		return err
	}
	_, err = tx.Exec(ctx, saveSQL, values...)
	return err
}

// encode returns the columns of an asset, in their order.
func encode(a asset.Asset) ([]any, error) {
	values := []any{a.ID, a.Owner, a.Category, string(a.Status)}
	for _, part := range []any{&a.Original, a.Processed, a.Analysis, a.Details} {
		text, err := json.Marshal(part)
		if err != nil {
			return nil, err
		}
		if string(text) == "null" {
			values = append(values, nil)
		} else {
			values = append(values, string(text))
		}
	}
	var duplicateOf any
	if a.DuplicateOf != "" {
		duplicateOf = a.DuplicateOf
	}
	return append(values, a.JobID, a.Run, a.CreatedAt.UnixMilli(), a.UpdatedAt.UnixMilli(), a.EventPending, duplicateOf), nil
}

// decode reads the columns of an asset, in their order.
func decode(row sqlitedb.Row) (asset.Asset, error) {
	var a asset.Asset
	var parts [4]*string
	var created, updated int64
	var duplicateOf *string
	err := row.Scan(&a.ID, &a.Owner, &a.Category, &a.Status, &parts[0], &parts[1], &parts[2], &parts[3],
		&a.JobID, &a.Run, &created, &updated, &a.EventPending, &duplicateOf)
	if err != nil {
		return a, err
	}
	if duplicateOf != nil {
		a.DuplicateOf = *duplicateOf
	}
	a.CreatedAt, a.UpdatedAt = millis(created), millis(updated)
	for i, part := range []any{&a.Original, &a.Processed, &a.Analysis, &a.Details} {
		if parts[i] == nil {
			continue
		}
		if err := json.Unmarshal([]byte(*parts[i]), part); err != nil {
			return a, fmt.Errorf("asset %s: column %d: %w", a.ID, i, err)
		}
	}
	return a, nil
}

func millis(ms int64) time.Time { return time.UnixMilli(ms).UTC() }
