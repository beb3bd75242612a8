package sqlitedb

import (
	"bytes"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

func TestOpenMakesAPrivateFileAndKeepsIt(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "a b?c#d%41.db")
	db := openFile(t, path)
	makeNotes(t, db)
	if err := addNote(t, db, "kept"); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{path, path + "-wal", path + "-shm"} {
		info, err := os.Stat(name)
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v, want only its owner to read it", name, info.Mode())
		}
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if left, _ := filepath.Glob(filepath.Join(filepath.Dir(path), "*-*")); len(left) > 0 {
		t.Errorf("left after Close: %q", left)
	}
	if got := notes(t, openFile(t, path)); !slices.Equal(got, []string{"kept"}) {
		t.Errorf("notes %q", got)
	}
}

func TestEveryConnectionHasItsSettings(t *testing.T) {
	t.Parallel()
	db := openTemp(t)
	want := map[string]string{
		"journal_mode": "wal", "synchronous": "2", "foreign_keys": "1", "busy_timeout": "5000",
		"journal_size_limit": "67108864", "fullfsync": "1",
	}
	check := func(name, queryOnly string, conn *sql.Conn) {
		for pragma, value := range want {
			var got string
			if err := conn.QueryRowContext(t.Context(), "PRAGMA "+pragma).Scan(&got); err != nil || got != value {
				t.Errorf("%s: %s = %q, want %q (%v)", name, pragma, got, value, err)
			}
		}
		var got string
		if err := conn.QueryRowContext(t.Context(), "PRAGMA query_only").Scan(&got); err != nil || got != queryOnly {
			t.Errorf("%s: query_only = %q, want %q (%v)", name, got, queryOnly, err)
		}
	}
	check("writer", "0", db.conn)
	for range readers { // all at once, so that each is another connection
		conn, err := db.readers.Conn(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		check("reader", "1", conn)
	}
}

func TestOpenRefuses(t *testing.T) {
	t.Parallel()
	ours := func(t *testing.T, change func(db *sql.DB)) []byte {
		path := filepath.Join(t.TempDir(), "made.db")
		if err := openFile(t, path).Close(); err != nil {
			t.Fatal(err)
		}
		db, err := sql.Open("sqlite", path)
		if err != nil {
			t.Fatal(err)
		}
		change(db)
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
		return read(t, path)
	}
	exec := func(t *testing.T, script string) func(*sql.DB) {
		return func(db *sql.DB) {
			if _, err := db.ExecContext(t.Context(), script); err != nil {
				t.Fatal(err)
			}
		}
	}
	for name, c := range map[string]struct {
		content func(t *testing.T) []byte
		want    error
		says    string
	}{
		"text": {
			func(*testing.T) []byte { return []byte(strings.Repeat("not a database\n", 100)) },
			ErrForeign, "not a database",
		},
		"a database of another program": {
			func(t *testing.T) []byte { return ours(t, exec(t, "PRAGMA application_id = 7")) },
			ErrForeign, "marked as 0x7",
		},
		"a newer version": {
			func(t *testing.T) []byte { return ours(t, exec(t, "PRAGMA user_version = 999")) },
			ErrNewer, "version 999",
		},
		"a damaged schema": {
			func(t *testing.T) []byte {
				content := ours(t, func(*sql.DB) {})
				copy(content[100:], bytes.Repeat([]byte{0x5a}, 900)) // behind the file header, on its first page
				return content
			},
			ErrCorrupt, "malformed",
		},
		"half of a file": {
			func(t *testing.T) []byte { return ours(t, func(*sql.DB) {})[:5000] },
			ErrCorrupt, "malformed",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "loupe.db")
			content := c.content(t)
			if err := os.WriteFile(path, content, 0o600); err != nil {
				t.Fatal(err)
			}
			db, err := Open(t.Context(), path)
			if err == nil {
				t.Fatal("opened", db.Close())
			}
			if !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.says) || !strings.Contains(err.Error(), path) {
				t.Errorf("error %q, want %q, saying %q and the path", err, c.want, c.says)
			}
			if !bytes.Equal(read(t, path), content) {
				t.Error("the refused file was changed")
			}
		})
	}
}

func TestOpenWhereNoFileCanBe(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, path := range []string{dir, filepath.Join(dir, "no", "such", "directory", "loupe.db")} {
		if db, err := Open(t.Context(), path); !errors.Is(err, ErrUnavailable) {
			t.Errorf("Open(%s) = %v, %v, want ErrUnavailable", path, db, err)
		}
	}
}

func TestDamageFoundLater(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "loupe.db")
	db := openFile(t, path)
	makeNotes(t, db)
	for _, text := range []string{"a", "b"} {
		if err := addNote(t, db, strings.Repeat(text, 20_000)); err != nil {
			t.Fatal(err)
		}
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	content := read(t, path)
	for i := 4096; i < len(content); i++ {
		content[i] ^= 0xff
	}
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	db = openFile(t, path)
	_, err := db.Query(t.Context(), func(Row) error { return nil }, "SELECT text FROM notes")
	if !errors.Is(err, ErrCorrupt) {
		t.Errorf("error %v, want ErrCorrupt", err)
	}
}

func TestManyOpenANewFileAtOnce(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "loupe.db")
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			db, err := Open(t.Context(), path)
			if err != nil {
				t.Error(err)
				return
			}
			if err := db.Ping(t.Context()); err != nil {
				t.Error(err)
			}
			if err := db.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
}

func TestMigrationsAreNumberedAndExplained(t *testing.T) {
	t.Parallel()
	names, err := fs.Glob(migrations, "migrations/*.sql")
	if err != nil || len(names) == 0 {
		t.Fatal(names, err)
	}
	for i, name := range names {
		var number int
		if _, err := fmt.Sscanf(filepath.Base(name), "%04d_", &number); err != nil || number != i+1 {
			t.Errorf("%s is migration %d", name, i+1)
		}
		if script, err := migrations.ReadFile(name); err != nil || !bytes.HasPrefix(script, []byte("-- ")) {
			t.Errorf("%s does not begin with a comment (%v)", name, err)
		}
	}
}

func TestClose(t *testing.T) {
	t.Parallel()
	db := openTemp(t)
	makeNotes(t, db)
	started, goOn, written := make(chan struct{}), make(chan struct{}), make(chan error)
	go func() {
		written <- db.Write(t.Context(), func(tx *Tx) error {
			close(started)
			<-goOn
			return insertNote(t, tx, "begun before Close")
		})
	}()
	<-started
	closed := make(chan error)
	go func() { closed <- db.Close() }()
	select {
	case err := <-closed:
		t.Fatal("Close did not wait for the write", err)
	default:
	}
	close(goOn)
	if err := <-written; err != nil {
		t.Error(err)
	}
	if err := <-closed; err != nil {
		t.Error(err)
	}
	if err := db.Close(); err != nil {
		t.Error("second Close:", err)
	}
	if err := addNote(t, db, "late"); !errors.Is(err, ErrClosed) {
		t.Errorf("Write after Close: %v", err)
	}
	if _, err := db.Query(t.Context(), nil, "SELECT 1"); !errors.Is(err, ErrClosed) {
		t.Errorf("Query after Close: %v", err)
	}
	if got := notes(t, openFile(t, db.path)); len(got) != 1 {
		t.Errorf("notes %q", got)
	}
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return content
}
