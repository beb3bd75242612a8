package sqlitestore_test

import (
	"slices"
	"testing"

	"loupe/internal/asset"
	"loupe/internal/asset/sqlitestore"
)

func TestAll(t *testing.T) {
	t.Parallel()
	s := sqlitestore.New(open(t))
	var want []string
	for i := range 5 {
		a := asset.Asset{ID: asset.NewID(), Owner: asset.NewID(), Status: asset.Statuses[i], CreatedAt: asset.Now(), UpdatedAt: asset.Now()}
		if err := s.Create(t.Context(), a); err != nil {
			t.Fatal(err)
		}
		want = append(want, a.ID)
	}
	slices.Sort(want)
	for limit := range 7 {
		var got []string
		for after := ""; ; {
			page, err := s.All(t.Context(), after, limit)
			if err != nil || len(page) > limit {
				t.Fatalf("page of %d after %q: %d assets, %v", limit, after, len(page), err)
			}
			for _, a := range page {
				got, after = append(got, a.ID), a.ID
			}
			if len(page) == 0 {
				break
			}
		}
		if limit > 0 && !slices.Equal(got, want) {
			t.Errorf("in pages of %d: %q, want %q", limit, got, want)
		}
	}
	if n, err := s.Count(t.Context()); n != 5 || err != nil {
		t.Errorf("Count = %d, %v", n, err)
	}
}
