package sqlitedb

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// whileBusy runs f while the database is in the middle of a write, and returns when that write has ended.
func whileBusy(t *testing.T, db *DB, f func()) {
	t.Helper()
	started, goOn, done := make(chan struct{}), make(chan struct{}), make(chan error)
	go func() {
		done <- db.Write(t.Context(), func(*Tx) error {
			close(started)
			<-goOn
			return nil
		})
	}()
	<-started
	f()
	close(goOn)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

func TestWritesShareACommitAndFailAlone(t *testing.T) {
	t.Parallel()
	db := openTemp(t)
	makeNotes(t, db)
	if err := addNote(t, db, "taken"); err != nil {
		t.Fatal(err)
	}
	refused := errors.New("refused")
	writes := []func(tx *Tx) error{
		func(tx *Tx) error { return insertNote(t, tx, "a") },
		func(tx *Tx) error { return errors.Join(insertNote(t, tx, "b"), refused) },
		func(tx *Tx) error { return insertNote(t, tx, "taken") },
		func(tx *Tx) error { _ = insertNote(t, tx, "taken"); _ = insertNote(t, tx, "c"); return nil },
		func(tx *Tx) error { return insertNote(t, tx, "d") },
	}
	before := db.Stats()
	errs := make([]error, len(writes))
	var wg sync.WaitGroup
	var begun sync.WaitGroup
	whileBusy(t, db, func() {
		for i, write := range writes {
			begun.Add(1)
			wg.Go(func() {
				begun.Done()
				errs[i] = db.Write(t.Context(), write)
			})
		}
		begun.Wait()
	})
	wg.Wait()
	if errs[0] != nil || errs[4] != nil {
		t.Errorf("undisturbed writes: %v, %v", errs[0], errs[4])
	}
	if !errors.Is(errs[1], refused) {
		t.Errorf("error of the function: %v", errs[1])
	}
	if errs[2] == nil || errs[3] == nil {
		t.Errorf("failed statements, returned and swallowed: %v, %v", errs[2], errs[3])
	}
	got := notes(t, db)
	slices.Sort(got)
	if !slices.Equal(got, []string{"a", "d", "taken"}) {
		t.Errorf("notes %q", got)
	}
	if after := db.Stats(); after.Writes-before.Writes != 3 { // a, d and the busy one
		t.Errorf("%d writes counted", after.Writes-before.Writes)
	}
}

func TestAGroupIsBounded(t *testing.T) {
	t.Parallel()
	db := openTemp(t)
	makeNotes(t, db)
	before := db.Stats()
	var wg sync.WaitGroup
	const writers = 2*maxGroup + 10
	whileBusy(t, db, func() {
		var begun sync.WaitGroup
		for i := range writers {
			begun.Add(1)
			wg.Go(func() {
				begun.Done()
				if err := addNote(t, db, fmt.Sprint(i)); err != nil {
					t.Error(err)
				}
			})
		}
		begun.Wait()
	})
	wg.Wait()
	after := db.Stats()
	if writes, commits := after.Writes-before.Writes, after.Commits-before.Commits; writes != writers+1 || commits < 3 || commits > writers/4 {
		t.Errorf("%d writes in %d commits, want %d in at least 3 and not many more", writes, commits, writers+1)
	}
	if got := notes(t, db); len(got) != writers {
		t.Errorf("%d notes, want %d", len(got), writers)
	}
}

func TestAWriteThatNobodyWaitsForIsNotExecuted(t *testing.T) {
	t.Parallel()
	db := openTemp(t)
	ctx, cancel := context.WithCancel(t.Context())
	executed := false
	whileBusy(t, db, func() {
		left := make(chan error)
		go func() { left <- db.Write(ctx, func(*Tx) error { executed = true; return nil }) }()
		cancel()
		if err := <-left; !errors.Is(err, context.Canceled) { // while the database is still busy
			t.Errorf("error %v", err)
		}
	})
	if err := db.Write(ctx, func(*Tx) error { executed = true; return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	if executed {
		t.Error("executed")
	}
}

func TestAWriteIsNotInterrupted(t *testing.T) {
	t.Parallel()
	db := openTemp(t)
	makeNotes(t, db)
	ctx, cancel := context.WithCancel(t.Context())
	err := db.Write(ctx, func(tx *Tx) error {
		cancel()
		_, err := tx.Exec(ctx, "INSERT INTO notes (text) VALUES (?)", "whole")
		return err
	})
	if got := notes(t, db); err != nil || !slices.Equal(got, []string{"whole"}) {
		t.Errorf("notes %q, error %v", got, err)
	}
}

func TestAPanicComesBackToTheCaller(t *testing.T) {
	t.Parallel()
	db := openTemp(t)
	makeNotes(t, db)
	func() {
		defer func() {
			if p := fmt.Sprint(recover()); !strings.Contains(p, "oops") || !strings.Contains(p, "TestAPanicComesBack") {
				t.Errorf("recovered %s", p)
			}
		}()
		err := db.Write(t.Context(), func(tx *Tx) error {
			if err := insertNote(t, tx, "undone"); err != nil {
				return err
			}
			panic("oops")
		})
		t.Error("no panic", err)
	}()
	if err := addNote(t, db, "next"); err != nil {
		t.Fatal(err)
	}
	if got := notes(t, db); !slices.Equal(got, []string{"next"}) {
		t.Errorf("notes %q", got)
	}
}

// A statement can end the whole transaction, as SQLite itself does when a full disk leaves it no other way.
func TestALostTransactionFailsAllItsWrites(t *testing.T) {
	t.Parallel()
	db := openTemp(t)
	makeNotes(t, db)
	lost := errors.New("lost")
	for range 1000 {
		culprit := make(chan error)
		innocent := db.Write(t.Context(), func(tx *Tx) error {
			begun := make(chan struct{})
			go func() {
				close(begun)
				culprit <- db.Write(t.Context(), func(tx *Tx) error {
					_, err := tx.Exec(t.Context(), "ROLLBACK")
					return errors.Join(err, lost)
				})
			}()
			<-begun
			return insertNote(t, tx, "innocent")
		})
		if err := <-culprit; !errors.Is(err, lost) {
			t.Fatalf("error of the culprit: %v", err)
		}
		if innocent == nil { // the culprit came too late to be in its group
			if err := db.Write(t.Context(), func(tx *Tx) error {
				n, err := tx.Exec(t.Context(), "DELETE FROM notes")
				if n != 1 {
					t.Errorf("%d notes deleted", n)
				}
				return err
			}); err != nil {
				t.Fatal(err)
			}
			continue
		}
		if got := notes(t, db); !errors.Is(innocent, ErrUnavailable) || len(got) != 0 {
			t.Errorf("error of the innocent: %v, notes %q", innocent, got)
		}
		if err := addNote(t, db, "next"); err != nil {
			t.Error("the next write:", err)
		}
		return
	}
	t.Fatal("the two never met in one group")
}

func TestUnavailable(t *testing.T) {
	t.Parallel()
	pragma := func(t *testing.T, db *DB, text string) {
		if _, err := db.conn.ExecContext(t.Context(), "PRAGMA "+text); err != nil { // idle between two writes
			t.Fatal(err)
		}
	}
	for name, c := range map[string]struct{ on, off string }{
		"full":      {"max_page_count = 1", "max_page_count = 1000000"}, // SQLite takes the size that the file has
		"read-only": {"query_only = 1", "query_only = 0"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := openTemp(t)
			makeNotes(t, db)
			pragma(t, db, c.on)
			text := strings.Repeat("x", 100_000)
			if err := addNote(t, db, text); !errors.Is(err, ErrUnavailable) {
				t.Errorf("error %v, want ErrUnavailable", err)
			}
			if got := notes(t, db); len(got) != 0 {
				t.Errorf("%d notes", len(got))
			}
			pragma(t, db, c.off)
			if err := addNote(t, db, text); err != nil {
				t.Errorf("after the trouble: %v", err)
			}
		})
	}
	t.Run("locked by another process", func(t *testing.T) {
		t.Parallel()
		db := openTemp(t)
		pragma(t, db, "busy_timeout = 20")
		makeNotes(t, db)
		other := openFile(t, db.path)
		whileBusy(t, other, func() {
			if err := addNote(t, db, "x"); !errors.Is(err, ErrUnavailable) {
				t.Errorf("error %v, want ErrUnavailable", err)
			}
			if got := notes(t, db); len(got) != 0 {
				t.Errorf("notes %q", got)
			}
		})
		if err := addNote(t, db, "x"); err != nil {
			t.Errorf("after the trouble: %v", err)
		}
	})
}

func TestQuery(t *testing.T) {
	t.Parallel()
	db := openTemp(t)
	makeNotes(t, db)
	for _, text := range []string{"", "a\x00b", "O'Brien; DROP TABLE notes --", "ảnh 📷"} {
		if err := addNote(t, db, text); err != nil {
			t.Fatal(err)
		}
	}
	if got := notes(t, db); !slices.Equal(got, []string{"", "a\x00b", "O'Brien; DROP TABLE notes --", "ảnh 📷"}) {
		t.Errorf("notes %q", got)
	}
	seen := 0
	n, err := db.Query(t.Context(), func(Row) error {
		if seen++; seen == 2 {
			return Stop
		}
		return nil
	}, "SELECT text FROM notes")
	if n != 2 || seen != 2 || err != nil {
		t.Errorf("stopped after %d rows, %d told, error %v", seen, n, err)
	}
	refused := errors.New("refused")
	if _, err := db.Query(t.Context(), func(Row) error { return refused }, "SELECT text FROM notes"); !errors.Is(err, refused) {
		t.Errorf("error %v", err)
	}
	if _, err := db.Query(t.Context(), nil, "DELETE FROM notes"); !errors.Is(err, ErrUnavailable) {
		t.Errorf("a query that writes: %v", err)
	}
	if err := db.Write(t.Context(), func(tx *Tx) error {
		if err := insertNote(t, tx, "not yet"); err != nil {
			return err
		}
		if got := notes(t, db); len(got) != 4 {
			t.Errorf("a reader sees %q before the commit", got)
		}
		n, err := tx.Query(t.Context(), func(Row) error { return nil }, "DELETE FROM notes RETURNING text")
		if n != 5 {
			t.Errorf("%d rows deleted", n)
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	if got := notes(t, db); len(got) != 0 {
		t.Errorf("notes %q", got)
	}
}

func TestQueryEndsWithItsContext(t *testing.T) {
	t.Parallel()
	db := openTemp(t)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	_, err := db.Query(ctx, func(Row) error { return nil },
		"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n")
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error %v", err)
	}
	if err := addNote(t, db, "x"); err == nil || errors.Is(err, ErrUnavailable) {
		t.Errorf("a table that is not there: %v", err)
	}
}
