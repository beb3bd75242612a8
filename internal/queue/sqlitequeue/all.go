package sqlitequeue

import (
	"context"
	_ "embed"

	"loupe/internal/queue"
	"loupe/internal/sqlitedb"
)

//go:embed sql/all.sql
var allSQL string

// All returns up to limit jobs in the order of the line, in whatever state, beginning after the job of the id given (""
// for the first page). It is for moving them while nobody works on the queue: a job that is taken off the line meanwhile
// is no place to go on from.
func (q *Queue) All(ctx context.Context, after string, limit int) ([]queue.Stored, error) {
	var jobs []queue.Stored
	_, err := q.db.Query(ctx, func(row sqlitedb.Row) (err error) {
		var s queue.Stored
		var at int64
		if s.Record, _, err = scanRecord(wider{row, []any{&s.Starts, &s.Stalls, &at}}); err != nil {
			return err
		}
		if s.State == queue.Delayed {
			s.Due = millis(at)
		}
		jobs = append(jobs, s)
		return nil
	}, allSQL, after, max(limit, 0))
	return jobs, err
}

// wider is a row with more columns than its reader asks for.
type wider struct {
	sqlitedb.Row
	more []any
}

func (w wider) Scan(dest ...any) error { return w.Row.Scan(append(dest, w.more...)...) }
