package mongostore_test

import (
	"context"
	"log/slog"
	"os"
	"testing"
	"time"

	"loupe/internal/asset"
	"loupe/internal/asset/assettest"
	"loupe/internal/asset/mongostore"
	"loupe/internal/asset/mongostore/mongotest"
	"loupe/internal/testenv"
)

func TestMain(m *testing.M) { testenv.Main(m) }

// base is when the tests take place.
var base = time.Date(2025, 12, 28, 10, 30, 0, 123_000_000, time.UTC)

// TestStore runs what needs a server, each test in a database of its own.
func TestStore(t *testing.T) {
	t.Parallel()
	servers := map[string]string{"FerretDB": mongotest.Start(t)}
	if uri := os.Getenv(mongotest.ServerVar); uri != "" {
		servers["real"] = uri
	}
	for server, uri := range servers {
		for name, test := range map[string]func(t *testing.T, uri string){
			"suite": func(t *testing.T, uri string) {
				assettest.Run(t, func(t *testing.T) asset.Store { return open(t, mongotest.Database(t, uri)) })
				assettest.RunLedger(t, func(t *testing.T) asset.Ledger { return open(t, mongotest.Database(t, uri)) })
			},
			"the document":                     testDocument,
			"a Mongoose document":              testMongooseDocument,
			"many at once":                     testEach,
			"unknown fields stay":              testUnknownFields,
			"nulls in the way":                 testNulls,
			"an odd document breaks no page":   testOddDocuments,
			"paging without createdAt":         testPagingWithoutCreatedAt,
			"unfinished with ids of two types": testUnfinishedOrder,
			"another's drafts are its own":     testDrafts,
			"a neighbour's unique index":       testUniqueIndex,
			"finished runs are bounded":        testFinishedBound,
			"indexes":                          testIndexes,
			"an index under another name":      testIndexOtherName,
			"an index in the way":              testIndexInTheWay,
			"many start at once":               testIndexesAtOnce,
			"a lost answer":                    testLostAnswer,
			"a refused login":                  testRefusedLogin,
		} {
			t.Run(server+"/"+name, func(t *testing.T) {
				t.Parallel()
				test(t, uri)
			})
		}
	}
}

func open(t *testing.T, uri string) *mongostore.Store {
	t.Helper()
	return openLogging(t, uri, slog.DiscardHandler)
}

func openLogging(t *testing.T, uri string, log slog.Handler) *mongostore.Store {
	t.Helper()
	s, err := mongostore.Open(t.Context(), uri, slog.New(log))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return s
}

// fresh returns a draft that is nobody's but this test's.
func fresh() asset.Asset {
	id := asset.NewID()
	return asset.Asset{
		ID: id, Owner: asset.NewID(), Category: "sneaker", Status: asset.Draft,
		Original: asset.Image{URL: "https://example.com/o.jpg"}, JobID: asset.JobID(id, 1), Run: 1, CreatedAt: base, UpdatedAt: base,
	}
}
