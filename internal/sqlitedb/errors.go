package sqlitedb

import (
	"errors"
	"fmt"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// Errors of every method. Whoever sees one logs it with its chain, which has SQLite's own words.
var (
	// ErrUnavailable: the file cannot be read or written now. The disk is full, failing or read-only, or another process
	// has kept the file locked. Nothing was changed; the same call can succeed later.
	ErrUnavailable = errors.New("database unavailable")
	// ErrCorrupt: the file is damaged. Restore it from a backup, or save what is left with `sqlite3 FILE .recover`.
	ErrCorrupt = errors.New("database is damaged")
	// ErrForeign: the file is no SQLite database, or one of another program. It was not touched.
	ErrForeign = errors.New("not a database of Loupe")
	// ErrNewer: the file was made by a newer Loupe, which is needed to open it. It was not touched.
	ErrNewer = errors.New("database was made by a newer Loupe")
	// ErrClosed: Close has been called.
	ErrClosed = errors.New("database is closed")
)

// classify puts an error of SQLite into its class, by its primary result code (https://sqlite.org/rescode.html). Others
// it leaves alone.
func classify(err error) error {
	sqliteErr, ok := errors.AsType[*sqlite.Error](err)
	if !ok || errors.Is(err, ErrUnavailable) {
		return err
	}
	if class := classOf(sqliteErr.Code()); class != nil {
		return fmt.Errorf("%w: %w", class, err)
	}
	return err
}

func classOf(code int) error {
	switch code & 0xff {
	case sqlite3.SQLITE_FULL, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM,
		sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_PROTOCOL, sqlite3.SQLITE_NOMEM, sqlite3.SQLITE_NOLFS:
		return ErrUnavailable
	case sqlite3.SQLITE_CORRUPT:
		return ErrCorrupt
	case sqlite3.SQLITE_NOTADB:
		return ErrForeign
	}
	return nil
}
