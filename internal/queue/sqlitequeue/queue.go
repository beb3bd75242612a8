// Package sqlitequeue keeps the queue in the SQLite file.
//
// Every change is one transaction, so at whatever point the process dies, each job is in exactly one state. Enqueue
// takes one. A consumer takes one per turn: it ends all jobs that have come to an end, and starts the next ones. So a
// job of a busy queue costs two transactions at most, and a lone one three; all of them share commits with whatever
// else is written to the file at that moment.
//
// An idle consumer sleeps until Enqueue, in this process, wakes it, or something is due: a delayed job, the end of a
// pause, a sweep of what is too old. Only if others use the file too (not [queue.Config].Sole) it also looks for their
// jobs now and then.
package sqlitequeue

import (
	"context"
	"crypto/rand"
	_ "embed"
	"encoding/json"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"loupe/internal/queue"
	"loupe/internal/sqlitedb"
)

var (
	_ queue.Queue = (*Queue)(nil)
	_ queue.Admin = (*Queue)(nil)
	_ queue.Gate  = (*Queue)(nil)
)

// Queue is a [queue.Queue] and its [queue.Admin] on a SQLite file.
type Queue struct {
	db     *sqlitedb.DB
	config queue.Config
	log    *slog.Logger
	worker string // who we are, in the rows of the jobs that we work on

	gate      *gate
	wake      chan struct{}             // of one: the line has become longer, or is open again
	consuming atomic.Pointer[time.Time] // since when; nil: not
}

// New returns a queue on an open database, which must stay open until Consume has returned.
func New(db *sqlitedb.DB, c queue.Config, log *slog.Logger) *Queue {
	c = c.WithDefaults()
	return &Queue{
		db: db, config: c, log: log, worker: queue.ProcessName() + " " + rand.Text(),
		gate: newGate(c.Concurrency), wake: make(chan struct{}, 1),
	}
}

//go:embed sql/enqueue.sql
var enqueueSQL string

// Enqueue implements [queue.Queue].
func (q *Queue) Enqueue(ctx context.Context, id string, data json.RawMessage) error {
	if !json.Valid(data) {
		return fmt.Errorf("enqueue %q: its data is no JSON", id)
	}
	added := 0
	err := q.db.Write(ctx, func(tx *sqlitedb.Tx) (err error) {
		added, err = tx.Exec(ctx, enqueueSQL, id, string(data), q.config.Attempts, time.Now().UnixMilli())
		return err
	})
	if err == nil && added > 0 {
		q.wakeUp()
	}
	return err
}

// wakeUp tells the consumer of this process to look at the line.
func (q *Queue) wakeUp() {
	select {
	case q.wake <- struct{}{}:
	default: // it will look anyway
	}
}
