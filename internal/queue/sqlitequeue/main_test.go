package sqlitequeue_test

import (
	"log/slog"
	"path/filepath"
	"testing"

	"loupe/internal/queue"
	"loupe/internal/queue/queuetest"
	"loupe/internal/queue/sqlitequeue"
	"loupe/internal/sqlitedb"
	"loupe/internal/testenv"
)

func TestMain(m *testing.M) { testenv.Main(m) }

// openDB opens a database that is closed when the test ends.
func openDB(t testing.TB, path string) *sqlitedb.DB {
	t.Helper()
	db, err := sqlitedb.Open(t.Context(), path)
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

func logTo(t testing.TB) *slog.Logger { return slog.New(slog.NewTextHandler(t.Output(), nil)) }

// newStore is [queuetest.Harness].New: each queue has the file open for itself, as if in a process of its own.
func newStore(change func(*queue.Config)) func(t *testing.T) func(queue.Config) queuetest.Instance {
	return func(t *testing.T) func(queue.Config) queuetest.Instance {
		path := filepath.Join(t.TempDir(), "loupe.db")
		return func(c queue.Config) queuetest.Instance {
			change(&c)
			db := openDB(t, path)
			q := sqlitequeue.New(db, c, logTo(t))
			return queuetest.Instance{Queue: q, Admin: q, Cut: func() {
				if err := db.Close(); err != nil {
					t.Error(err)
				}
			}}
		}
	}
}

func TestSuite(t *testing.T) {
	t.Parallel()
	queuetest.Run(t, queuetest.Harness{New: newStore(func(*queue.Config) {}), Bubble: true})
}

func TestSuiteAlone(t *testing.T) {
	t.Parallel()
	queuetest.Run(t, queuetest.Harness{New: newStore(func(c *queue.Config) { c.Sole = true }), Alone: true, Bubble: true})
}
