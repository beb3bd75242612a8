package assettest

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"loupe/internal/asset"
)

// RunLedger runs the suite of an [asset.Ledger]. open returns one that has no notes.
func RunLedger(t *testing.T, open func(t *testing.T) asset.Ledger) {
	t.Helper()
	for _, c := range []struct {
		name string
		test func(t *testing.T, l asset.Ledger)
	}{
		{"Noted is the oldest first", testNoted},
		{"Note replaces", testNoteReplaces},
		{"Strike", testStrike},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			c.test(t, open(t))
		})
	}
}

// noteAt notes a picture some seconds after base.
func noteAt(t *testing.T, l asset.Ledger, key string, second int) asset.Note {
	t.Helper()
	n := asset.Note{Key: key, AssetID: asset.NewID(), At: base.Add(time.Duration(second) * time.Second)}
	if err := l.Note(t.Context(), n); err != nil {
		t.Fatal(err)
	}
	return n
}

func wantNoted(t *testing.T, l asset.Ledger, before time.Time, limit int, want ...asset.Note) {
	t.Helper()
	got, err := l.Noted(t.Context(), before, limit)
	if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" || err != nil {
		t.Errorf("before %s, limit %d: %v, (-want +got)\n%s", before, limit, err, diff)
	}
}

const aeon = 1000 * time.Hour // after all that the tests note

func testNoted(t *testing.T, l asset.Ledger) {
	wantNoted(t, l, base.Add(aeon), 10)
	var all []asset.Note
	for i := range 5 {
		all = append(all, noteAt(t, l, fmt.Sprint("picture ", 9-i, ".jpg"), i))
	}
	if err := l.Note(t.Context()); err != nil {
		t.Errorf("no note: %v", err)
	}
	wantNoted(t, l, base.Add(aeon), 10, all...)
	wantNoted(t, l, base.Add(aeon), 2, all[:2]...)
	wantNoted(t, l, all[3].At, 10, all[:3]...)
	wantNoted(t, l, base, 10)
	wantNoted(t, l, base.Add(aeon), 0)
}

func testNoteReplaces(t *testing.T, l asset.Ledger) {
	noteAt(t, l, "a.jpg", 1)
	b := noteAt(t, l, "b.jpg", 2)
	a := asset.Note{Key: "a.jpg", AssetID: "not 24 hex digits", At: base.Add(time.Hour)}
	c := asset.Note{Key: "c.jpg", AssetID: asset.NewID(), At: base.Add(2 * time.Hour)}
	if err := l.Note(t.Context(), a, c); err != nil {
		t.Fatal(err)
	}
	wantNoted(t, l, base.Add(aeon), 10, b, a, c)
}

func testStrike(t *testing.T, l asset.Ledger) {
	a, b, c := noteAt(t, l, "a.jpg", 1), noteAt(t, l, "b.jpg", 2), noteAt(t, l, "c.jpg", 3)
	for _, keys := range [][]string{nil, {"unknown.jpg"}} {
		if err := l.Strike(t.Context(), keys...); err != nil {
			t.Errorf("strike %q: %v", keys, err)
		}
	}
	wantNoted(t, l, base.Add(aeon), 10, a, b, c)
	for range 2 {
		if err := l.Strike(t.Context(), "a.jpg", "c.jpg"); err != nil {
			t.Error(err)
		}
		wantNoted(t, l, base.Add(aeon), 10, b)
	}
}
