package sqlitedb

import (
	"context"
	"database/sql"
	"fmt"
	"runtime/debug"
)

// maxGroup is how many writes share one commit at most, so that the first of them does not wait for ever.
const maxGroup = 256

// write is one call of Write on its way.
type write struct {
	fn       func(*Tx) error
	err      error
	panicked any
	done     chan struct{} // closed when err is final
}

// Write runs fn in a transaction and commits it. When it has returned nil, what fn did survives a power cut; when it
// has returned an error, nothing of it is left. Writes that come while others are being committed share the next
// transaction and its one fsync, each in a savepoint of its own; a lone write waits for nobody.
//
// A write whose ctx ends before its turn is not executed. Once its turn has come it runs to its end whatever becomes of
// ctx: interrupting it would undo the work of the others.
//
// fn runs on a goroutine of the database, at most once. It must be quick and must not call Write. Once a statement in it
// has failed, the whole write has. The error of fn comes back as it is; those of the database are [ErrUnavailable],
// [ErrCorrupt] and [ErrClosed].
func (db *DB) Write(ctx context.Context, fn func(tx *Tx) error) error {
	db.open.RLock()
	defer db.open.RUnlock()
	if db.closed {
		return ErrClosed
	}
	w := &write{done: make(chan struct{}), fn: func(tx *Tx) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		return fn(tx)
	}}
	select {
	case db.writes <- w:
	case <-ctx.Done():
		return ctx.Err()
	}
	<-w.done
	if w.panicked != nil {
		panic(w.panicked)
	}
	return w.err
}

// commitLoop serves writes until Close. Its ctx has no end.
func (db *DB) commitLoop(ctx context.Context) {
	defer close(db.committed)
	for w := range db.writes {
		db.commitGroup(ctx, w)
	}
}

// commitGroup runs the first write, and then all that wait by now, in one transaction.
func (db *DB) commitGroup(ctx context.Context, first *write) {
	group := []*write{first}
	err := db.exec(ctx, "BEGIN IMMEDIATE")
	for i := 0; err == nil && i < len(group); i++ {
		if err = db.runInSavepoint(ctx, group[i]); err == nil && len(group) < maxGroup {
			group = db.appendWaiting(group)
		}
	}
	if err == nil {
		err = db.exec(ctx, "COMMIT")
	}
	if err != nil {
		_ = db.exec(ctx, "ROLLBACK") // SQLite may have done so itself
	} else {
		db.stats.commits.Add(1)
	}
	for _, w := range group {
		if w.err == nil {
			w.err = err
		}
		if w.err == nil {
			db.stats.writes.Add(1)
		}
		close(w.done)
	}
}

// appendWaiting appends a write to group if one waits.
func (db *DB) appendWaiting(group []*write) []*write {
	select {
	case w, ok := <-db.writes:
		if ok {
			return append(group, w)
		}
	default:
	}
	return group
}

// runInSavepoint runs one write so that its failure leaves the others alone. It returns an error only if the whole
// transaction is lost, as can happen when the disk is full.
func (db *DB) runInSavepoint(ctx context.Context, w *write) error {
	if err := db.exec(ctx, "SAVEPOINT one"); err != nil {
		return err
	}
	w.run(&Tx{db: db})
	if w.err != nil {
		if err := db.exec(ctx, "ROLLBACK TO one"); err != nil {
			return fmt.Errorf("%w: another write ended the transaction: %w", ErrUnavailable, w.err)
		}
	}
	return db.exec(ctx, "RELEASE one")
}

// run calls fn. A panic is carried over to the goroutine that called Write, where it belongs.
func (w *write) run(tx *Tx) {
	defer func() {
		if p := recover(); p != nil {
			w.panicked = fmt.Sprintf("%v\n\nin a database write:\n%s", p, debug.Stack())
			w.err = ErrUnavailable // rolls it back
		}
	}()
	if w.err = w.fn(tx); w.err == nil {
		w.err = tx.failed
	}
}

func (db *DB) exec(ctx context.Context, query string) error {
	stmt, err := db.prepare(ctx, query)
	if err == nil {
		_, err = stmt.ExecContext(ctx)
	}
	return classify(err)
}

// prepare returns a statement of the writing connection, made on its first use. Only the goroutine of commitLoop calls
// it.
func (db *DB) prepare(ctx context.Context, query string) (*sql.Stmt, error) {
	if stmt := db.prepared[query]; stmt != nil {
		return stmt, nil
	}
	stmt, err := db.conn.PrepareContext(ctx, query)
	if err == nil {
		db.prepared[query] = stmt
	}
	return stmt, err
}
