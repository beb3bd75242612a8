package mongostore_test

import (
	"context"
	"log/slog"
	"testing"

	"loupe/internal/asset"
	"loupe/internal/asset/assettest"
	"loupe/internal/asset/mongostore"
	"loupe/internal/asset/mongostore/mongotest"
)

func open(t *testing.T, uri string) *mongostore.Store {
	t.Helper()
	s, err := mongostore.Open(t.Context(), uri, slog.New(slog.DiscardHandler))
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

func TestStore(t *testing.T) {
	t.Parallel()
	uri := mongotest.Start(t)
	t.Run("suite", func(t *testing.T) {
		t.Parallel()
		assettest.Run(t, func(t *testing.T) asset.Store { return open(t, mongotest.Database(t, uri)) })
	})
}
