package mongostore

import (
	"math"
	"strings"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"

	"loupe/internal/asset"
)

func TestParseCursorRefuses(t *testing.T) {
	t.Parallel()
	good := position{new(bson.DateTime(1733000000000)), "a.b"}.cursor()
	for _, cursor := range []string{
		"", "x", "====", good + "=", good + "\n", good[:len(good)-1], "MQ", // "1", without an id
		position{id: strings.Repeat("x", maxCursor)}.cursor(),
		"KzEuYQ", // "+1.a", which is not how 1 is written
	} {
		if p, ok := parseCursor(cursor); ok {
			t.Errorf("parseCursor(%q) = %+v", cursor, p)
		}
	}
}

func FuzzParseCursor(f *testing.F) {
	f.Add(position{}.cursor())
	f.Add(position{new(bson.DateTime(math.MinInt64)), "507f1f77bcf86cd799439011"}.cursor())
	f.Add(position{new(bson.DateTime(0)), "a.b\x00é"}.cursor())
	f.Add("KzEuYQ")
	f.Add("not a cursor")
	f.Fuzz(func(t *testing.T, cursor string) {
		if p, ok := parseCursor(cursor); ok && p.cursor() != cursor {
			t.Errorf("parseCursor(%q) = %+v, which has another cursor", cursor, p)
		}
	})
}

// Whatever stands in a document, it reads as an asset.
func FuzzDocument(f *testing.F) {
	for _, doc := range []any{
		bson.M{},
		bson.M{"_id": 1, "status": 5, "images": bson.A{1}, "loupe": bson.M{"timeline": bson.A{1, nil, bson.M{"at": 1}}}},
		bson.M{"_id": bson.NewObjectID(), "images": bson.M{"original": bson.M{"url": "u", "width": math.Inf(1)}}, "loupe": bson.M{"run": -1}},
		bson.M{"_id": "a", "processingJobId": "a-0099", "loupe": bson.M{"timeline": bson.A{bson.M{"event": "finished", "payload": "x"}}}},
	} {
		raw, err := bson.Marshal(doc)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
	}
	f.Add([]byte("0000\x03loupe\x00\x01\x00\x00\x000")) // shorter than it says
	f.Fuzz(func(t *testing.T, b []byte) {
		d := document(b)
		if a := d.asset(); a.Run < 1 || a.JobID == "" || a.Status == "" {
			t.Errorf("read as %+v", a)
		}
		d.position()
		merge(d.entries("loupe.timeline"), d.entries("loupeFinished"))
	})
}

func TestMerge(t *testing.T) {
	t.Parallel()
	// An entry is its attempt; finished runs are upper case.
	entries := func(text string) (list []asset.Entry) {
		for _, r := range text {
			event := asset.EventStarted
			if strings.ToUpper(string(r)) == string(r) {
				event = asset.EventFinished
			}
			list = append(list, asset.Entry{Event: event, Attempt: int(r)})
		}
		return list
	}
	long := strings.Repeat("x", asset.MaxEntries)
	for _, c := range []struct{ timeline, finished, want string }{
		{"", "", ""},
		{"abC", "C", "abC"},
		{"aBcD", "BD", "aBcD"},
		{"cD", "ABD", "ABcD"},
		{"c", "AB", "ABc"},
		{"C", "", "C"}, // as no store of ours leaves it
		{long, "A", "A" + long[1:]},
		{"y" + long, "AB", "AB" + long[2:]},
		{"B" + long[1:], "AB", "AB" + long[2:]},
		{long, strings.Repeat("A", asset.MaxEntries+1), strings.Repeat("A", asset.MaxEntries)},
	} {
		got := ""
		for _, e := range merge(entries(c.timeline), entries(c.finished)) {
			got += string(rune(e.Attempt))
		}
		if got != c.want {
			t.Errorf("%.10s… and %.10s…: got %.20s… (%d), want %.20s… (%d)", c.timeline, c.finished, got, len(got), c.want, len(c.want))
		}
	}
}
