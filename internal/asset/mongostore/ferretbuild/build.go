// Package ferretbuild builds the MongoDB protocol server of ../ferret for tests with thousands of assets.
//
// FerretDB makes the indexes that it is asked for, but reads the whole collection for almost every command: it looks for
// an _id only if nothing else is asked of a document, and then with an expression that is not the index's. The server
// that is built here uses its indexes on _id and userId, as a MongoDB would.
package ferretbuild

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

const module = "github.com/FerretDB/FerretDB"

// edits are what is replaced in files of the module, below this directory.
const edited = "internal/backends/sqlite"

var edits = []struct{ file, from, to string }{
	{"collection.go", `params.Filter.Len() == 1`, `params.Filter.Len() >= 1`},
	{"collection.go", `v, _ := params.Filter.Get("_id")`, `name := "_id"
		if !params.Filter.Has(name) {
			name = "userId"
		}
		v, _ := params.Filter.Get(name)`},
	{"collection.go", "(` WHERE %s = ?`, metadata.IDColumn)", "(` WHERE %s->%q = ?`, metadata.DefaultColumn, name)"},
	{"metadata/metadata.go", `"->'$._id'"`, `"->\"_id\""`},
}

// Build builds the server whose module is in the directory dir (../ferret) into the file binary, with a copy of FerretDB
// that is edited.
func Build(ctx context.Context, dir, binary string) (err error) {
	source, err := run(ctx, dir, "list", "-m", "-f", "{{.Dir}}", module)
	if err != nil {
		return err
	}
	temp, err := os.MkdirTemp("", "ferretbuild")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(temp)) }()
	copied := filepath.Join(temp, "FerretDB")
	if err := os.CopyFS(copied, os.DirFS(source)); err != nil {
		return err
	}
	for _, e := range edits {
		if err := edit(filepath.Join(copied, filepath.FromSlash(edited), filepath.FromSlash(e.file)), e.from, e.to); err != nil {
			return err
		}
	}
	for _, name := range []string{"go.mod", "go.sum"} {
		text, err := os.ReadFile(filepath.Join(dir, name))
		if err == nil {
			err = os.WriteFile(filepath.Join(temp, name), text, 0o600)
		}
		if err != nil {
			return err
		}
	}
	mod := filepath.Join(temp, "go.mod")
	if _, err := run(ctx, dir, "mod", "edit", "-replace="+module+"="+copied, mod); err != nil {
		return err
	}
	_, err = run(ctx, dir, "build", "-modfile="+mod, "-o", binary, ".")
	return err
}

// edit replaces text in a file, which must have it.
func edit(file, from, to string) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	if !strings.Contains(string(text), from) {
		return fmt.Errorf("ferretbuild: %s does not say %s", file, from)
	}
	return os.WriteFile(file, []byte(strings.ReplaceAll(string(text), from, to)), 0o600)
}

// run runs a command of go and returns what it prints, without the end of the line.
func run(ctx context.Context, dir string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir, cmd.Cancel = dir, func() error { return cmd.Process.Signal(os.Interrupt) } // it then clears up after itself
	var complaints strings.Builder
	cmd.Stderr = &complaints
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("%s in %s: %w\n%s", cmd, dir, err, &complaints)
	}
	return strings.TrimSpace(string(out)), nil
}
