package sqlitequeue_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"loupe/internal/queue"
	"loupe/internal/sqlitedb"
)

// Every job once, in the order of the line, with what only the file knows of it.
func TestAll(t *testing.T) {
	t.Parallel()
	q, db := open(t, queue.Config{Attempts: 2})
	for _, id := range []string{"dead", "delayed", "done", "active", "waiting"} {
		enqueue(t, q, id)
	}
	due := time.Now().Add(time.Hour).UnixMilli()
	for id, change := range map[string]string{
		"dead":    `state = 'failed', at = 5, attempts = 2, starts = 3, errors = '[{"attempt": 1, "at": "2025-12-28T10:30:00Z", "error": "no"}]'`,
		"delayed": fmt.Sprintf("state = 'delayed', at = %d, attempts = 1, starts = 1", due),
		"done":    "state = 'completed', at = 6, attempts = 1, starts = 1",
		"active":  "state = 'active', worker = 'w', starts = 4, stalls = 3",
	} {
		if err := db.Write(t.Context(), func(tx *sqlitedb.Tx) error {
			_, err := tx.Exec(t.Context(), "UPDATE jobs SET "+change+" WHERE id = '"+id+"'")
			return err
		}); err != nil {
			t.Fatal(err)
		}
	}

	var all []queue.Stored
	for after := ""; ; after = all[len(all)-1].ID {
		page, err := q.All(t.Context(), after, 2)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, page...)
		if len(page) < 2 {
			break
		}
	}
	var got []string
	for _, s := range all {
		got = append(got, fmt.Sprintf("%s %s %d of %d, %d starts, %d stalls, %d errors, due %d",
			s.ID, s.State, s.AttemptsMade, s.MaxAttempts, s.Starts, s.Stalls, len(s.Errors), max(0, s.Due.UnixMilli())))
		record, err := q.Get(t.Context(), s.ID)
		if err != nil || fmt.Sprint(record) != fmt.Sprint(s.Record) {
			t.Errorf("%+v, but Get returns %+v, %v", s.Record, record, err)
		}
	}
	want := []string{
		"dead failed 2 of 2, 3 starts, 0 stalls, 1 errors, due 0",
		fmt.Sprintf("delayed delayed 1 of 2, 1 starts, 0 stalls, 0 errors, due %d", due),
		"done completed 1 of 2, 1 starts, 0 stalls, 0 errors, due 0",
		"active active 0 of 2, 4 starts, 3 stalls, 0 errors, due 0",
		"waiting waiting 0 of 2, 0 starts, 0 stalls, 0 errors, due 0",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%q, want\n%q", got, want)
	}
}
