package sqlitedb

import (
	"context"
	"database/sql"
	"embed"
	"fmt"
	"io/fs"
)

// applicationID marks our files (https://sqlite.org/pragma.html#pragma_application_id): "loup" in ASCII.
const applicationID = 0x6c6f7570

// The tables of all our stores. A file has the version of the last migration that it has seen, counted from 1; one that
// has been released is never changed.
//
//go:embed migrations/*.sql
var migrations embed.FS

// queryer is a connection or a transaction.
type queryer interface {
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// checkOurs returns the version of the file and the names of the migrations there are. It changes nothing.
func checkOurs(ctx context.Context, q queryer) (version int, names []string, err error) {
	var id int
	var empty bool
	// One statement, for one view: another process may be making the file.
	err = q.QueryRowContext(ctx, `SELECT application_id, user_version, NOT EXISTS (SELECT 1 FROM sqlite_schema)
		FROM pragma_application_id, pragma_user_version`).Scan(&id, &version, &empty)
	if err != nil {
		return 0, nil, err
	}
	if isNew := empty && id == 0 && version == 0; id != applicationID && !isNew {
		return 0, nil, fmt.Errorf("%w: it is marked as %#x, not as %#x", ErrForeign, id, applicationID)
	}
	if names, err = fs.Glob(migrations, "migrations/*.sql"); err != nil { // sorted, by their numbers
		return 0, nil, err
	}
	if version > len(names) {
		return 0, nil, fmt.Errorf("%w: it has version %d, this program knows those up to %d", ErrNewer, version, len(names))
	}
	return version, names, nil
}

// migrate runs the migrations that the file has not seen, all or none of them. Of several processes that open a new
// file at once, one does it and the others wait.
func migrate(ctx context.Context, conn *sql.Conn) error {
	tx, err := conn.BeginTx(ctx, nil) // immediate: nobody else changes the version now
	if err != nil {
		return err
	}
	defer tx.Rollback() //nolint:errcheck // after Commit it has nothing to do
	version, names, err := checkOurs(ctx, tx)
	if err != nil || version == len(names) {
		return err
	}
	for _, name := range names[version:] {
		script, err := migrations.ReadFile(name)
		if err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, string(script)); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	marks := fmt.Sprintf("PRAGMA user_version = %d; PRAGMA application_id = %d", len(names), applicationID)
	if _, err := tx.ExecContext(ctx, marks); err != nil {
		return err
	}
	return tx.Commit()
}
