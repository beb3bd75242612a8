package sqlitedb

import (
	"errors"
	"testing"

	sqlite3 "modernc.org/sqlite/lib"
)

func TestClassOf(t *testing.T) {
	t.Parallel()
	for code, want := range map[int]error{
		sqlite3.SQLITE_FULL:             ErrUnavailable,
		sqlite3.SQLITE_READONLY_DBMOVED: ErrUnavailable,
		sqlite3.SQLITE_IOERR_FSYNC:      ErrUnavailable,
		sqlite3.SQLITE_IOERR_WRITE:      ErrUnavailable,
		sqlite3.SQLITE_BUSY_SNAPSHOT:    ErrUnavailable,
		sqlite3.SQLITE_CANTOPEN_ISDIR:   ErrUnavailable,
		sqlite3.SQLITE_CORRUPT_INDEX:    ErrCorrupt,
		sqlite3.SQLITE_NOTADB:           ErrForeign,
		sqlite3.SQLITE_CONSTRAINT:       nil,
		sqlite3.SQLITE_ERROR:            nil,
	} {
		if got := classOf(code); !errors.Is(got, want) {
			t.Errorf("classOf(%d) = %v, want %v", code, got, want)
		}
	}
}
