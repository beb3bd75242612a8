package sqlitestore_test

import (
	"path/filepath"
	"strings"
	"testing"

	"loupe/internal/asset"
	"loupe/internal/asset/assettest"
	"loupe/internal/asset/sqlitestore"
	"loupe/internal/sqlitedb"
	"loupe/internal/testenv"
)

func TestMain(m *testing.M) { testenv.Main(m) }

func open(t *testing.T) *sqlitedb.DB {
	t.Helper()
	db, err := sqlitedb.Open(t.Context(), filepath.Join(t.TempDir(), "loupe.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

func TestSuite(t *testing.T) {
	t.Parallel()
	assettest.Run(t, func(t *testing.T) asset.Store { return sqlitestore.New(open(t)) })
}

// What is asked often must not read whole tables.
func TestQueriesUseIndexes(t *testing.T) {
	t.Parallel()
	db := open(t)
	for query, index := range map[string]string{
		`SELECT id FROM assets WHERE owner = 'x' AND (created_at, id) < (1, '') ORDER BY created_at DESC, id DESC LIMIT 1`:                     "assets_of_owner",
		`SELECT id FROM assets WHERE (status IN ('draft', 'processing') OR event_pending) AND updated_at <= 1 AND id > '' ORDER BY id LIMIT 1`: "assets_unfinished",
		`SELECT at FROM asset_events WHERE event = 'finished' AND owner = 'x' AND at > 1 ORDER BY at, seq LIMIT 1`:                             "asset_events_finished",
		`SELECT at FROM asset_events WHERE asset_id = 'x' ORDER BY seq`:                                                                        "asset_events_of_asset",
	} {
		var plan strings.Builder
		_, err := db.Query(t.Context(), func(row sqlitedb.Row) error {
			var id, parent, unused int
			var detail string
			err := row.Scan(&id, &parent, &unused, &detail)
			plan.WriteString(detail + "\n")
			return err
		}, "EXPLAIN QUERY PLAN "+query)
		if err != nil || !strings.Contains(plan.String(), index) || strings.Contains(plan.String(), "TEMP B-TREE") {
			t.Errorf("%s\nplan: %s %v", query, plan.String(), err)
		}
	}
}
