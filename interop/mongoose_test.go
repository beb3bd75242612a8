package interop

import (
	"context"
	"fmt"
	"log/slog"
	"reflect"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"loupe/internal/asset"
	"loupe/internal/asset/mongostore"
	"loupe/internal/asset/mongostore/mongotest"
	"loupe/internal/testenv"
)

// mongooseWorld is a database that Loupe's store and a Node service with Mongoose share.
type mongooseWorld struct {
	*mongostore.Store
	assets *mongo.Collection
	node   *testenv.Process
	last   int
}

func newMongooseWorld(t *testing.T, server string) *mongooseWorld {
	t.Helper()
	uri := mongotest.Database(t, server)
	node := testenv.StartNode(t, "mongoose/service.mjs", uri)
	store, err := mongostore.Open(t.Context(), uri, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	w := &mongooseWorld{Store: store, assets: mongotest.Collection(t, uri), node: node}
	t.Cleanup(func() {
		if err := store.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	node.Line(t, `{"ready":true}`)
	return w
}

func TestMongoose(t *testing.T) {
	t.Parallel()
	testenv.Need(t, testenv.Node)
	server := mongotest.Start(t)
	for name, test := range map[string]func(t *testing.T, w *mongooseWorld){
		"it takes our assets": testMongooseTakesOurs,
		"we take its assets":  testWeTakeMongoose,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, newMongooseWorld(t, server))
		})
	}
}

// photographed is when the tests take place.
var photographed = time.Date(2025, 12, 28, 10, 30, 0, 123_000_000, time.UTC)

// finish ends the present run of an asset as our worker does.
func (w *mongooseWorld) finish(t *testing.T, a asset.Asset) asset.Asset {
	t.Helper()
	pending, at := true, photographed.Add(time.Minute)
	a, err := w.Transition(t.Context(), a.ID, asset.Change{
		From: []asset.Status{asset.Processing}, JobID: a.JobID, At: at, To: asset.Active, EventPending: &pending,
		Processed: &asset.Image{URL: "https://example.com/p.png"},
		Analysis: &asset.Analysis{
			Brand: &asset.Field{Value: "Nike", Confidence: 0.95}, Model: &asset.Field{Value: "AJ1", Confidence: 1}, ProcessedAt: at,
		},
		Log: []asset.Entry{{At: at, Event: asset.EventFinished, Attempt: 1, Payload: []byte(`{"event":"asset_processed"}`)}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// lookup returns what stands at a path of what Mongoose sees.
func lookup(doc any, path ...string) any {
	for _, name := range path {
		switch inner := doc.(type) {
		case bson.M:
			doc = inner[name]
		case bson.D:
			doc = nil
			for _, e := range inner {
				if e.Key == name {
					doc = e.Value
				}
			}
		default:
			return nil
		}
	}
	return doc
}

func expectAt(t *testing.T, doc bson.M, want any, path ...string) {
	t.Helper()
	if got := lookup(doc, path...); !reflect.DeepEqual(got, want) {
		t.Errorf("%v is %v (%T), want %v (%T)", path, got, got, want, want)
	}
}

// do has the Node service do something and returns what it answers.
func (w *mongooseWorld) do(t *testing.T, action string, arguments bson.M) bson.M {
	t.Helper()
	w.last++
	arguments["id"], arguments["do"] = w.last, action
	line, err := bson.MarshalExtJSON(arguments, false, false)
	if err != nil {
		t.Fatal(err)
	}
	w.node.Say(t, string(line))
	var answer struct {
		Value bson.M
		Error string
	}
	text := w.node.Line(t, fmt.Sprintf(`{"done":{"$numberInt":"%d"}`, w.last))
	if err := bson.UnmarshalExtJSON([]byte(text), true, &answer); err != nil || answer.Error != "" {
		t.Fatalf("%s: %v %s", action, err, answer.Error)
	}
	return answer.Value
}

// An asset of ours is a whole document to Mongoose, and what its service changes is no matter to us.
func testMongooseTakesOurs(t *testing.T, w *mongooseWorld) {
	id, owner := asset.NewID(), asset.NewID()
	a := asset.Asset{
		ID: id, Owner: owner, Category: "sneaker", Status: asset.Processing, JobID: asset.JobID(id, 1), Run: 1,
		Original:  asset.Image{Key: "o.jpg", URL: "https://example.com/o.jpg", Width: 3024, Height: 4032, Bytes: 2481152, MIMEType: "image/jpeg"},
		CreatedAt: photographed, UpdatedAt: photographed,
	}
	if err := w.Create(t.Context(), a, asset.Entry{At: photographed, Event: asset.EventReceived}); err != nil {
		t.Fatal(err)
	}
	w.do(t, "load", bson.M{"asset": id}) // and while Node holds it …
	a = w.finish(t, a)
	saved := w.do(t, "save", bson.M{"fields": bson.M{"category": "other", "notes": bson.M{"shelf": 3}}, "tag": "grail"})
	expectAt(t, saved, "processing", "status") // … as Node had read it, and did not write

	seen := w.do(t, "load", bson.M{"asset": id})
	objectID := func(hex string) bson.ObjectID {
		oid, err := bson.ObjectIDFromHex(hex)
		if err != nil {
			t.Fatal(err)
		}
		return oid
	}
	expectAt(t, seen, objectID(id), "_id")
	expectAt(t, seen, objectID(owner), "userId")
	expectAt(t, seen, "active", "status")
	expectAt(t, seen, "other", "category")
	expectAt(t, seen, "https://example.com/o.jpg", "images", "original", "url")
	expectAt(t, seen, "https://example.com/p.png", "images", "processed", "url")
	expectAt(t, seen, "Nike", "aiMetadata", "brand", "value")
	expectAt(t, seen, 0.95, "aiMetadata", "brand", "confidence")
	expectAt(t, seen, "AJ1", "aiMetadata", "model", "value")
	expectAt(t, seen, nil, "aiMetadata", "colorway", "value")
	expectAt(t, seen, nil, "aiMetadata", "error")
	expectAt(t, seen, a.JobID, "processingJobId")
	expectAt(t, seen, bson.NewDateTimeFromTime(photographed), "createdAt")
	expectAt(t, seen, bson.A{"grail"}, "tags")
	expectAt(t, w.do(t, "find", bson.M{"owner": owner, "status": "active"}), bson.A{id}, "ids")

	// Loupe goes on: what Node changed holds, what Node knows nothing of is all there.
	got, err := w.Get(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	if !got.UpdatedAt.After(a.UpdatedAt) {
		t.Errorf("Mongoose's save is not in updatedAt: %s", got.UpdatedAt)
	}
	a.Category, a.UpdatedAt = "other", got.UpdatedAt
	if !reflect.DeepEqual(got, a) {
		t.Errorf("got  %+v\nwant %+v", got, a)
	}
	sent, archived, brand := false, asset.Archived, "Jordan"
	if _, err := w.Transition(t.Context(), id, asset.Change{From: []asset.Status{asset.Active}, JobID: a.JobID, EventPending: &sent}); err != nil {
		t.Error(err)
	}
	if _, err := w.Update(t.Context(), id, owner, asset.Patch{At: asset.Now(), Status: &archived, Brand: &brand}); err != nil {
		t.Error(err)
	}
	entries, err := w.Timeline(t.Context(), asset.TimelineQuery{AssetID: id})
	if err != nil || len(entries) != 2 || string(entries[1].Payload) != `{"event":"asset_processed"}` {
		t.Errorf("timeline %v, %v", entries, err)
	}
	seen = w.do(t, "load", bson.M{"asset": id})
	expectAt(t, seen, "archived", "status")
	expectAt(t, seen, bson.A{"grail"}, "tags")
	expectAt(t, seen, int32(3), "notes", "shelf")

	// Node takes it out of the archive, and fails it by hand; then its owner retries it with us.
	w.do(t, "save", bson.M{"fields": bson.M{"status": "failed", "aiMetadata.error": "by hand"}})
	if got, err = w.Get(t.Context(), id); err != nil || got.Status != asset.Failed || got.Analysis.Error != "by hand" {
		t.Errorf("failed by Node: %+v, %v", got, err)
	}
	got, err = w.Transition(t.Context(), id, asset.Change{
		From: []asset.Status{asset.Failed}, JobID: a.JobID, At: asset.Now(), To: asset.Processing, NextRun: 2,
	})
	if err != nil || got.JobID != asset.JobID(id, 2) {
		t.Fatalf("retried %+v, %v", got, err)
	}
	w.finish(t, got)
	seen = w.do(t, "load", bson.M{"asset": id})
	expectAt(t, seen, "active", "status")
	expectAt(t, seen, nil, "aiMetadata", "error")
	expectAt(t, seen, asset.JobID(id, 2), "processingJobId")
}

// An asset that Mongoose made goes the way of ours, and keeps what is not ours byte for byte.
func testWeTakeMongoose(t *testing.T, w *mongooseWorld) {
	owner := asset.NewID()
	receipt := bson.Binary{Data: []byte{0, 1, 255}}
	made := w.do(t, "create", bson.M{"fields": bson.M{
		"userId": owner, "category": "lego", "images": bson.M{"original": bson.M{"url": "https://example.com/7740.jpg"}},
		"tags": bson.A{"train"}, "receipt": receipt, "notes": bson.M{"box": nil, "bought": photographed, "pieces": int64(1) << 40, "ratio": 1.0},
	}})
	oid := lookup(made, "_id").(bson.ObjectID)
	id := oid.Hex()
	w.do(t, "load", bson.M{"asset": id})
	w.do(t, "save", bson.M{"fields": bson.M{"category": "other"}, "tag": "12V"})
	foreign := func() map[string]string {
		doc, fields := mongotest.Document(t, w.assets, oid), map[string]string{}
		for _, name := range []string{"__v", "tags", "receipt", "notes"} {
			value, err := doc.LookupErr(name)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			fields[name] = value.Type.String() + string(value.Value)
		}
		return fields
	}
	before := foreign()

	// A draft of theirs is left alone until a job for it comes.
	if open, err := w.Unfinished(t.Context(), asset.Now().Add(time.Hour), "", 10); err != nil || len(open) > 0 {
		t.Errorf("unfinished: %v, %v", open, err)
	}
	a, err := w.Get(t.Context(), id)
	if err != nil || a.Owner != owner || a.Status != asset.Draft || a.Run != 1 || a.Category != "other" || a.Original.URL != "https://example.com/7740.jpg" {
		t.Fatalf("read as %+v, %v", a, err)
	}
	a, err = w.Transition(t.Context(), id, asset.Change{
		From: []asset.Status{asset.Draft}, JobID: a.JobID, At: asset.Now(), To: asset.Processing,
		Log: []asset.Entry{{At: photographed, Event: asset.EventQueued}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if open, err := w.Unfinished(t.Context(), asset.Now().Add(time.Hour), "", 10); err != nil || len(open) != 1 {
		t.Errorf("unfinished once it is ours: %v, %v", open, err)
	}
	a = w.finish(t, a)
	brand := "LEGO"
	if _, err := w.Update(t.Context(), id, owner, asset.Patch{At: asset.Now(), Brand: &brand}); err != nil {
		t.Fatal(err)
	}
	if after := foreign(); !reflect.DeepEqual(after, before) {
		t.Errorf("before %q\nafter  %q", before, after)
	}

	// And Node can go on as if nobody else had been there: its versioned arrays, its list.
	seen := w.do(t, "load", bson.M{"asset": id})
	expectAt(t, seen, "active", "status")
	expectAt(t, seen, "Nike", "aiMetadata", "brand", "value")
	expectAt(t, seen, receipt, "receipt")
	seen = w.do(t, "save", bson.M{"fields": bson.M{}, "tag": "7740"})
	expectAt(t, seen, bson.A{"train", "12V", "7740"}, "tags")
	page, err := w.List(t.Context(), asset.Query{Owner: owner, Status: asset.Active, Limit: 10})
	if err != nil || len(page.Items) != 1 || page.Items[0].Details == nil || page.Items[0].JobID != a.JobID {
		t.Errorf("listed %+v, %v", page, err)
	}
}
