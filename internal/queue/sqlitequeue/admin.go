package sqlitequeue

import (
	"context"
	_ "embed"
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"time"

	"loupe/internal/queue"
	"loupe/internal/sqlitedb"
)

//go:embed sql/counts.sql
var countsSQL string

// Counts implements [queue.Admin].
func (q *Queue) Counts(ctx context.Context) (queue.Counts, error) {
	var n queue.Counts
	var oldest int64
	_, err := q.db.Query(ctx, func(row sqlitedb.Row) error {
		return row.Scan(&n.Waiting, &n.Active, &n.Completed, &n.Failed, &n.Delayed, &n.IsPaused, &oldest)
	}, countsSQL)
	if oldest > 0 {
		n.OldestWaiting = max(0, time.Since(time.UnixMilli(oldest)))
	}
	if n.IsPaused {
		n.Paused, n.Waiting = n.Waiting, 0
	}
	return n, err
}

//go:embed sql/get.sql
var getSQL string

// Get implements [queue.Admin].
func (q *Queue) Get(ctx context.Context, id string) (r queue.Record, err error) {
	n, err := q.db.Query(ctx, func(row sqlitedb.Row) error {
		r, _, err = scanRecord(row)
		return err
	}, getSQL, id)
	if err == nil && n == 0 {
		err = queue.ErrNotFound
	}
	return r, err
}

//go:embed sql/dead_letters.sql
var deadLettersSQL string

// DeadLetters implements [queue.Admin]. It reads on until the page is full, so a filter that matches little costs a look
// at every dead letter there is.
func (q *Queue) DeadLetters(ctx context.Context, f queue.Filter) (queue.Page, error) {
	at, seq := int64(math.MaxInt64), int64(math.MaxInt64)
	if f.Cursor != "" {
		var err error
		if at, seq, err = decodeCursor(f.Cursor); err != nil {
			return queue.Page{}, err
		}
	}
	limit := min(max(f.Limit, 1), queue.MaxPage)
	var page queue.Page
	var lastSeq int64
	_, err := q.db.Query(ctx, func(row sqlitedb.Row) error {
		r, seq, err := scanRecord(row)
		if err != nil || !f.Matches(r) {
			return err
		}
		if len(page.Items) == limit {
			page.Next = sqlitedb.EncodeCursor(page.Items[limit-1].FinishedAt.UnixMilli(), strconv.FormatInt(lastSeq, 10))
			return sqlitedb.Stop
		}
		page.Items, lastSeq = append(page.Items, r), seq
		return nil
	}, deadLettersSQL, at, seq)
	return page, err
}

func decodeCursor(cursor string) (at, seq int64, err error) {
	at, key, ok := sqlitedb.DecodeCursor(cursor)
	if ok {
		seq, err = strconv.ParseInt(key, 10, 64)
	}
	if !ok || err != nil {
		return 0, 0, queue.ErrCursor
	}
	return at, seq, nil
}

//go:embed sql/retry.sql
var retrySQL string

// Retry implements [queue.Admin].
func (q *Queue) Retry(ctx context.Context, id string) error {
	err := q.changeOne(ctx, id, retrySQL, id, time.Now().UnixMilli())
	if err == nil {
		q.wakeUp()
	}
	return err
}

// Remove implements [queue.Admin].
func (q *Queue) Remove(ctx context.Context, id string) error {
	return q.changeOne(ctx, id, "DELETE FROM jobs WHERE id = ? AND state <> 'active'", id)
}

// changeOne runs a statement that changes the job, or none if the job is not there or not in a state for that.
func (q *Queue) changeOne(ctx context.Context, id, query string, args ...any) error {
	return q.db.Write(ctx, func(tx *sqlitedb.Tx) error {
		changed, err := tx.Exec(ctx, query, args...)
		if err != nil || changed > 0 {
			return err
		}
		there, err := tx.Query(ctx, func(sqlitedb.Row) error { return nil }, "SELECT 1 FROM jobs WHERE id = ?", id)
		switch {
		case err != nil:
			return err
		case there == 0:
			return queue.ErrNotFound
		}
		return queue.ErrState
	})
}

// Pause implements [queue.Admin].
func (q *Queue) Pause(ctx context.Context) error {
	return q.setGate(ctx, "UPDATE queue_gate SET paused = 1")
}

// Resume implements [queue.Admin]. It also ends a hold that a handler has asked for, and opens the gate.
func (q *Queue) Resume(ctx context.Context) error {
	q.gate.open()
	err := q.setGate(ctx, "UPDATE queue_gate SET paused = 0, held_until = 0")
	if err == nil {
		q.wakeUp()
	}
	return err
}

func (q *Queue) setGate(ctx context.Context, query string) error {
	return q.db.Write(ctx, func(tx *sqlitedb.Tx) error {
		_, err := tx.Exec(ctx, query)
		return err
	})
}

// scanRecord reads id, data, state, at, attempts, max_attempts, created_at, processed_at, errors and seq.
func scanRecord(row sqlitedb.Row) (r queue.Record, seq int64, err error) {
	var data, failures string
	var at, created, processed int64
	if err := row.Scan(&r.ID, &data, &r.State, &at, &r.AttemptsMade, &r.MaxAttempts, &created, &processed, &failures, &seq); err != nil {
		return r, 0, err
	}
	if err := json.Unmarshal([]byte(failures), &r.Errors); err != nil {
		return r, 0, fmt.Errorf("job %q: errors: %w", r.ID, err)
	}
	r.Data, r.CreatedAt, r.ProcessedAt = json.RawMessage(data), millis(created), millis(processed)
	switch n := len(r.Errors); {
	case r.State == queue.Completed, r.State == queue.FailedJob:
		r.FinishedAt = millis(at)
	case n > 0:
		r.FinishedAt = r.Errors[n-1].At
	}
	return r, seq, nil
}

// millis returns the time of a column; 0 is the zero time.
func millis(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}
