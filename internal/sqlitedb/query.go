package sqlitedb

import (
	"context"
	"database/sql"
	"errors"
)

// Row is one row of a result. Scan copies its columns into dest as [sql.Rows.Scan] does; what it copies stays valid.
type Row interface {
	Scan(dest ...any) error
}

// Stop is returned by a scan function to end the rows early and without an error.
var Stop = errors.New("stop") //nolint:staticcheck // a signal, not a failure, as fs.SkipAll is

// Query reads: it calls scan for each row of the result and returns how many rows those were. It sees every write that
// has returned, and never waits for one that has not. Texts of SQL must be constants of the program, for each is kept
// prepared.
func (db *DB) Query(ctx context.Context, scan func(Row) error, query string, args ...any) (int, error) {
	db.open.RLock()
	defer db.open.RUnlock()
	if db.closed {
		return 0, ErrClosed
	}
	stmt, err := db.queryStmt(ctx, query)
	if err != nil {
		return 0, classify(err)
	}
	return each(ctx, stmt, scan, args)
}

// queryStmt returns a statement that database/sql prepares on each reading connection by itself.
func (db *DB) queryStmt(ctx context.Context, query string) (*sql.Stmt, error) {
	if stmt, ok := db.queries.Load(query); ok {
		return stmt.(*sql.Stmt), nil
	}
	stmt, err := db.readers.PrepareContext(ctx, query)
	if err != nil {
		return nil, err
	}
	if first, loaded := db.queries.LoadOrStore(query, stmt); loaded {
		return first.(*sql.Stmt), stmt.Close()
	}
	return stmt, nil
}

// Tx is the transaction of one call of Write, and is valid during it.
type Tx struct {
	db     *DB
	failed error // of the first statement that failed
}

// Exec runs a statement and returns how many rows it has changed. The end of ctx does not interrupt it, see [DB.Write].
func (tx *Tx) Exec(ctx context.Context, query string, args ...any) (int, error) {
	stmt, err := tx.stmt(ctx, query)
	if err != nil {
		return 0, err
	}
	result, err := stmt.ExecContext(context.WithoutCancel(ctx), args...)
	if err != nil {
		return 0, tx.fail(err)
	}
	changed, err := result.RowsAffected()
	return int(changed), err
}

// Query calls scan for each row of the result and returns how many rows those were. The statement may also be one that
// changes rows and returns them. The end of ctx does not interrupt it, see [DB.Write].
func (tx *Tx) Query(ctx context.Context, scan func(Row) error, query string, args ...any) (int, error) {
	stmt, err := tx.stmt(ctx, query)
	if err != nil {
		return 0, err
	}
	n, err := each(context.WithoutCancel(ctx), stmt, scan, args)
	if err != nil {
		return n, tx.fail(err)
	}
	return n, nil
}

func (tx *Tx) stmt(ctx context.Context, query string) (*sql.Stmt, error) {
	if tx.failed != nil {
		return nil, tx.failed // SQLite may have ended the transaction: what follows would stand alone
	}
	stmt, err := tx.db.prepare(context.WithoutCancel(ctx), query)
	if err != nil {
		return nil, tx.fail(err)
	}
	return stmt, nil
}

func (tx *Tx) fail(err error) error {
	tx.failed = classify(err)
	return tx.failed
}

func each(ctx context.Context, stmt *sql.Stmt, scan func(Row) error, args []any) (n int, err error) {
	rows, err := stmt.QueryContext(ctx, args...)
	if err != nil {
		return 0, classify(err)
	}
	defer rows.Close()
	for rows.Next() {
		n++
		if err := scan(rows); err != nil {
			if errors.Is(err, Stop) {
				return n, nil
			}
			return n, err
		}
	}
	return n, classify(rows.Err())
}
