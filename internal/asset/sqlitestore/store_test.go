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
	assettest.RunLedger(t, func(t *testing.T) asset.Ledger { return sqlitestore.New(open(t)) })
}

// However many assets there are: no statement reads all of them, and none sorts.
func TestStatementsUseIndexes(t *testing.T) {
	t.Parallel()
	db := open(t)
	for name, statement := range sqlitestore.Statements {
		args := make([]any, strings.Count(statement, "?")) // as many as the highest number, at least
		for i := range args {
			args[i] = 1
		}
		var plan []string
		_, err := db.Query(t.Context(), func(row sqlitedb.Row) error {
			var id, parent, unused int
			var step string
			err := row.Scan(&id, &parent, &unused, &step)
			plan = append(plan, step)
			return err
		}, "EXPLAIN QUERY PLAN "+statement, args...)
		if err != nil || len(plan) == 0 {
			t.Errorf("%s: no plan: %v", name, err)
		}
		for _, step := range plan {
			if strings.HasPrefix(step, "SCAN ") && !strings.HasSuffix(step, "USING INDEX assets_unfinished") || strings.Contains(step, "TEMP B-TREE") {
				t.Errorf("%s:\n%s", name, strings.Join(plan, "\n"))
			}
		}
	}
}
