// Package sqlitedb is the one place where SQLite is opened. It knows how to make the file and its tables, how many
// writers share one commit, and how to read; what the rows mean is known to the stores.
//
// One connection writes and a few read. In WAL mode they do not wait for each other.
package sqlitedb

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"modernc.org/sqlite"
)

const (
	readers     = 4               // connections that read; each costs up to 2 MiB of page cache
	busyTimeout = 5 * time.Second // how long to wait for the writer of another process
	maxWAL      = 64 << 20        // bytes that the write-ahead log keeps when it is reset; it may grow beyond in between
)

// DB is an open database file. Its methods may be called from many goroutines at once.
type DB struct {
	path string

	open   sync.RWMutex // held for reading by whoever uses the database, so that Close waits for them
	closed bool

	writes    chan *write   // unbuffered: who waits here can still leave
	committed chan struct{} // closed when the last write has been committed
	writer    *sql.DB       // of one connection,
	conn      *sql.Conn     // this one
	prepared  map[string]*sql.Stmt

	readers *sql.DB
	queries sync.Map // of *sql.Stmt by their SQL

	stats struct{ writes, commits atomic.Int64 }
}

// Open opens the database file at path, makes it if there is none, and brings its tables up to date. The directory
// must exist, on a file system that can lock and share memory (no network share).
//
// Errors: [ErrForeign] for a file that is not ours, [ErrNewer] for one that a newer Loupe has written, [ErrCorrupt],
// [ErrUnavailable].
func Open(ctx context.Context, path string) (*DB, error) {
	db, err := open(ctx, path)
	if err != nil {
		return nil, fmt.Errorf("open database %s: %w", path, classify(err))
	}
	return db, nil
}

func open(ctx context.Context, path string) (*DB, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	if err := create(path); err != nil {
		return nil, err
	}
	db := &DB{
		path:      path,
		writes:    make(chan *write),
		committed: make(chan struct{}),
		prepared:  map[string]*sql.Stmt{},
	}
	if db.writer, err = pool(path, 1, "immediate", false); err != nil {
		return nil, err
	}
	if db.readers, err = pool(path, readers, "deferred", true); err != nil {
		return nil, err
	}
	if err := db.prepareFile(ctx); err != nil {
		return nil, errors.Join(err, db.closeConnections())
	}
	go db.commitLoop(context.WithoutCancel(ctx))
	return db, nil
}

// create makes an empty file that only its owner can read; SQLite gives its log the same mode. An existing file is not
// even opened: closing it again would drop the locks that another connection of this process holds on it.
func create(path string) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	return f.Close()
}

// pool returns a pool that keeps at most size connections to the file at path. Settings belong to a connection, so they
// stand in the DSN, where every new connection gets them.
func pool(path string, size int, txlock string, queryOnly bool) (*sql.DB, error) {
	params := url.Values{
		"_pragma": {
			fmt.Sprintf("busy_timeout(%d)", busyTimeout.Milliseconds()), // first: the others may have to wait already
			"synchronous(FULL)", // a commit survives a power cut,
			"fullfsync(1)",      // on macOS too
			"foreign_keys(1)",
			fmt.Sprintf("journal_size_limit(%d)", maxWAL),
			fmt.Sprintf("query_only(%t)", queryOnly),
		},
		"_txlock":   {txlock},
		"_dqs":      {"0"}, // "x" is a name, never a string
		"_error_rc": {"1"}, // no stale message of another failure
	}
	dsn := url.URL{Scheme: "file", OmitHost: true, Path: filepath.ToSlash(path), RawQuery: params.Encode()}
	connector, err := sqlite.NewConnector(dsn.String())
	if err != nil {
		return nil, err
	}
	db := sql.OpenDB(connector)
	db.SetMaxOpenConns(size)
	db.SetMaxIdleConns(size)
	return db, nil
}

// prepareFile makes sure that the file is ours before it changes anything in it.
func (db *DB) prepareFile(ctx context.Context) (err error) {
	if db.conn, err = db.writer.Conn(ctx); err != nil {
		return err
	}
	if _, _, err := checkOurs(ctx, db.conn); err != nil {
		return err
	}
	var mode string
	if err := db.conn.QueryRowContext(ctx, "PRAGMA journal_mode = WAL").Scan(&mode); err != nil {
		return err
	}
	if mode != "wal" {
		return fmt.Errorf("%w: no write-ahead log on this file system (journal mode %q)", ErrUnavailable, mode)
	}
	return migrate(ctx, db.conn)
}

// Close finishes the writes and reads that have begun and closes the file. Later calls fail with [ErrClosed].
func (db *DB) Close() error {
	db.open.Lock()
	defer db.open.Unlock()
	if db.closed {
		return nil
	}
	db.closed = true
	close(db.writes)
	<-db.committed
	if err := db.closeConnections(); err != nil {
		return fmt.Errorf("close database %s: %w", db.path, classify(err))
	}
	return nil
}

// closeConnections closes the writer last: the last connection moves the log into the file and removes it, unless one
// of its statements is still open.
func (db *DB) closeConnections() error {
	err := db.readers.Close()
	for _, stmt := range db.prepared {
		err = errors.Join(err, stmt.Close())
	}
	if db.conn != nil {
		err = errors.Join(err, db.conn.Close())
	}
	return errors.Join(err, db.writer.Close())
}

// Ping reports whether writes get through: it waits for its turn to write, and writes nothing.
func (db *DB) Ping(ctx context.Context) error {
	return db.Write(ctx, func(tx *Tx) error {
		_, err := tx.Query(ctx, func(Row) error { return nil }, "SELECT 1 FROM sqlite_schema LIMIT 1")
		return err
	})
}

// Stats are counters since Open.
type Stats struct {
	Writes  int64 // successful calls of Write
	Commits int64 // the transactions they shared
}

// Stats returns how many writes have shared how many commits.
func (db *DB) Stats() Stats {
	return Stats{Writes: db.stats.writes.Load(), Commits: db.stats.commits.Load()}
}
