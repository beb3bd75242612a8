package sqlitedb

import (
	"math"
	"strings"
	"testing"
)

func TestDecodeCursorRefuses(t *testing.T) {
	t.Parallel()
	good := EncodeCursor(1733000000000, "a.b")
	for _, cursor := range []string{
		"", "x", "====", good + "=", good + "\n", good[:len(good)-1], "MQ", // "1", without a key
		EncodeCursor(1, strings.Repeat("x", maxCursor)),
		"KzEuYQ", // "+1.a", which is not how 1 is written
	} {
		if at, key, ok := DecodeCursor(cursor); ok {
			t.Errorf("DecodeCursor(%q) = %d, %q", cursor, at, key)
		}
	}
}

func FuzzDecodeCursor(f *testing.F) {
	f.Add(EncodeCursor(0, ""))
	f.Add(EncodeCursor(math.MinInt64, "507f1f77bcf86cd799439011"))
	f.Add(EncodeCursor(math.MaxInt64, "a.b\x00é"))
	f.Add("KzEuYQ")
	f.Add("not a cursor")
	f.Fuzz(func(t *testing.T, cursor string) {
		if at, key, ok := DecodeCursor(cursor); ok && EncodeCursor(at, key) != cursor {
			t.Errorf("DecodeCursor(%q) = %d, %q, which has another cursor", cursor, at, key)
		}
	})
}
