package sqlitedb

import (
	"path/filepath"
	"testing"

	"loupe/internal/testenv"
)

func TestMain(m *testing.M) { testenv.Main(m) }

// openTemp opens a new database that is closed when the test ends.
func openTemp(t testing.TB) *DB {
	t.Helper()
	return openFile(t, filepath.Join(t.TempDir(), "loupe.db"))
}

func openFile(t testing.TB, path string) *DB {
	t.Helper()
	db, err := Open(t.Context(), path)
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

// makeNotes adds a table for tests.
func makeNotes(t testing.TB, db *DB) {
	t.Helper()
	if err := db.Write(t.Context(), func(tx *Tx) error {
		_, err := tx.Exec(t.Context(), "CREATE TABLE notes (text TEXT UNIQUE) STRICT")
		return err
	}); err != nil {
		t.Fatal(err)
	}
}

func addNote(t testing.TB, db *DB, text string) error {
	return db.Write(t.Context(), func(tx *Tx) error { return insertNote(t, tx, text) })
}

func insertNote(t testing.TB, tx *Tx, text string) error {
	_, err := tx.Exec(t.Context(), "INSERT INTO notes (text) VALUES (?)", text)
	return err
}

func notes(t testing.TB, db *DB) []string {
	t.Helper()
	var texts []string
	if _, err := db.Query(t.Context(), func(row Row) error {
		var text string
		err := row.Scan(&text)
		texts = append(texts, text)
		return err
	}, "SELECT text FROM notes ORDER BY rowid"); err != nil {
		t.Fatal(err)
	}
	return texts
}
