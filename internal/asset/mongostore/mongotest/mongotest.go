// Package mongotest gives tests a MongoDB protocol server, and databases of their own on it.
package mongotest

import (
	"context"
	"crypto/rand"
	"net/url"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"loupe/internal/asset/mongostore/ferretbuild"
	"loupe/internal/testenv"
)

// ServerVar names the environment variable with the URI of a real server to test on: mongodb://, one host, no TLS.
const ServerVar = "LOUPE_TEST_MONGODB_URI"

// Start builds and starts the server of ../ferret and returns its URI. It ends with the test. Building takes some
// seconds (the first time ever a minute or two), so tests that can share a server should.
func Start(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	binary := filepath.Join(dir, "ferret")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", binary, ".")
	build.Dir = ferretDir()
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build %s: %v\n%s", build.Dir, err, out)
	}
	return start(t, binary)
}

// StartForMany is [Start] for tests with thousands of assets: the server uses its indexes, see package ferretbuild.
func StartForMany(t testing.TB) string {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "ferret")
	if err := ferretbuild.Build(t.Context(), ferretDir(), binary); err != nil {
		t.Fatal(err)
	}
	return start(t, binary)
}

func start(t testing.TB, binary string) string {
	t.Helper()
	// Not with t.Context, which ends before the cleanups, and they drop databases.
	return testenv.Start(t, exec.Command(binary, t.TempDir())).Line(t, "mongodb://")
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
