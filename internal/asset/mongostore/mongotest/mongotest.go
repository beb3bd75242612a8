// Package mongotest gives tests a MongoDB protocol server, and databases of their own on it.
package mongotest

import (
	"context"
	"crypto/rand"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"loupe/internal/testenv"
)

// ServerVar names the environment variable with the URI of a real server to test on: mongodb://, one host, no TLS.
const ServerVar = "LOUPE_TEST_MONGODB_URI"

// Start builds and starts the server of ../ferret and returns its URI. It ends with the test. Building takes some
// seconds (the first time ever a minute or two), so tests that can share a server should.
func Start(t testing.TB) string {
	t.Helper()
	return start(t)
}

// StartForMany is [Start] for tests with thousands of assets. FerretDB makes the indexes that it is asked for, but reads
// the whole collection for almost every command: it looks for an _id only if nothing else is asked of a document, and then
// with an expression that is not the index's. The server here uses its indexes on _id and userId, as a MongoDB would.
func StartForMany(t testing.TB) string {
	t.Helper()
	const module = "github.com/FerretDB/FerretDB"
	dir := t.TempDir()
	copied := filepath.Join(dir, "FerretDB")
	check := func(err error) {
		if err != nil {
			t.Helper()
			t.Fatal(err)
		}
	}
	edit := func(file, from, to string) {
		t.Helper()
		file = filepath.Join(copied, "internal", "backends", "sqlite", file)
		text, err := os.ReadFile(file)
		check(err)
		if !strings.Contains(string(text), from) {
			t.Fatalf("%s does not say %s", file, from)
		}
		check(os.WriteFile(file, []byte(strings.ReplaceAll(string(text), from, to)), 0o600))
	}
	check(os.CopyFS(copied, os.DirFS(ferret(t, "list", "-m", "-f", "{{.Dir}}", module))))
	edit("collection.go", `params.Filter.Len() == 1`, `params.Filter.Len() >= 1`)
	edit("collection.go", `v, _ := params.Filter.Get("_id")`, `name := "_id"
		if !params.Filter.Has(name) {
			name = "userId"
		}
		v, _ := params.Filter.Get(name)`)
	edit("collection.go", "(` WHERE %s = ?`, metadata.IDColumn)", "(` WHERE %s->%q = ?`, metadata.DefaultColumn, name)")
	edit("metadata/metadata.go", `"->'$._id'"`, `"->\"_id\""`)

	mod := filepath.Join(dir, "go.mod")
	for _, name := range []string{"go.mod", "go.sum"} {
		text, err := os.ReadFile(filepath.Join(ferretDir(), name))
		check(err)
		check(os.WriteFile(filepath.Join(dir, name), text, 0o600))
	}
	ferret(t, "mod", "edit", "-replace="+module+"="+copied, mod)
	return start(t, "-modfile="+mod)
}

func start(t testing.TB, flags ...string) string {
	t.Helper()
	dir := t.TempDir()
	binary, data := filepath.Join(dir, "ferret"), filepath.Join(dir, "data")
	ferret(t, slices.Concat([]string{"build", "-o", binary}, flags)...)
	if err := os.Mkdir(data, 0o700); err != nil {
		t.Fatal(err)
	}
	// Not with t.Context, which ends before the cleanups, and they drop databases.
	return testenv.Start(t, exec.Command(binary, data)).Line(t, "mongodb://")
}

// ferret runs a command of go in the module of the server and returns what it prints, in one line.
func ferret(t testing.TB, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", args...)
	cmd.Dir = ferretDir()
	var complaints strings.Builder
	cmd.Stderr = &complaints
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s in %s: %v\n%s", cmd, cmd.Dir, err, &complaints)
	}
	return strings.TrimSpace(string(out))
}

func ferretDir() string {
	return filepath.Join(testenv.Root(), "internal", "asset", "mongostore", "ferret")
}

// dropTimeout bounds the dropping of a test's database.
const dropTimeout = 10 * time.Second

// Database returns the URI of a fresh database on the server that uri names. It is dropped when the test ends.
func Database(t testing.TB, uri string) string {
	t.Helper()
	u, err := url.Parse(uri)
	if err != nil {
		t.Fatal(err)
	}
	if query := u.Query(); u.Path != "" && u.Path != "/" && u.User != nil && !query.Has("authSource") {
		query.Set("authSource", strings.TrimPrefix(u.Path, "/")) // else it would follow the path
		u.RawQuery = query.Encode()
	}
	u.Path = "/loupe_test_" + rand.Text()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), dropTimeout)
		defer cancel()
		if err := Collection(t, u.String()).Database().Drop(ctx); err != nil {
			t.Errorf("drop %s: %v", u.Path, err)
		}
	})
	return u.String()
}

// Collection returns the assets of the database that uri names, for a look past the store, or behind its back.
func Collection(t testing.TB, uri string) *mongo.Collection {
	t.Helper()
	u, err := url.Parse(uri)
	if err != nil {
		t.Fatal(err)
	}
	client, err := mongo.Connect(options.Client().ApplyURI(uri))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := client.Disconnect(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return client.Database(strings.TrimPrefix(u.Path, "/")).Collection("assets")
}

// Document returns the document of an asset, or fails the test.
func Document(t testing.TB, assets *mongo.Collection, id any) bson.Raw {
	t.Helper()
	raw, err := assets.FindOne(t.Context(), bson.M{"_id": id}).Raw()
	if err != nil {
		t.Fatalf("document %v: %v", id, err)
	}
	return raw
}
