package mongostore_test

import (
	"encoding/json"
	"errors"
	"reflect"
	"slices"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"loupe/internal/asset"
	"loupe/internal/asset/mongostore"
	"loupe/internal/asset/mongostore/mongotest"
)

func objectID(t *testing.T, hex string) bson.ObjectID {
	t.Helper()
	id, err := bson.ObjectIDFromHex(hex)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// world is a store, and the collection behind it as others see it.
type world struct {
	*mongostore.Store
	assets *mongo.Collection
}

func newWorld(t *testing.T, server string) world {
	t.Helper()
	uri := mongotest.Database(t, server)
	return world{open(t, uri), mongotest.Collection(t, uri)}
}

// put writes a document behind the store's back.
func (w world) put(t *testing.T, doc bson.M) {
	t.Helper()
	if _, err := w.assets.InsertOne(t.Context(), doc); err != nil {
		t.Fatal(err)
	}
}

// document returns an asset's document as extended JSON, decoded: numbers, dates and ids bear their types.
func (w world) document(t *testing.T, id any) map[string]any {
	t.Helper()
	text, err := bson.MarshalExtJSON(mongotest.Document(t, w.assets, id), true, false)
	if err != nil {
		t.Fatal(err)
	}
	var doc map[string]any
	if err := json.Unmarshal(text, &doc); err != nil {
		t.Fatal(err)
	}
	return doc
}

func (w world) finish(t *testing.T, id, jobID string, from asset.Status) asset.Asset {
	t.Helper()
	pending := true
	a, err := w.Transition(t.Context(), id, asset.Change{
		From: []asset.Status{from}, JobID: jobID, At: base.Add(time.Second), To: asset.Active,
		Processed:    &asset.Image{URL: "https://example.com/p.png"},
		Analysis:     &asset.Analysis{Brand: &asset.Field{Value: "Nike", Confidence: 1}, ProcessedAt: base.Add(time.Second)},
		EventPending: &pending,
		Log:          []asset.Entry{{At: base.Add(time.Second), Event: asset.EventFinished, Attempt: 1, Payload: json.RawMessage(`{"a":1}`)}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// The types and places that the package documentation promises.
func testDocument(t *testing.T, server string) {
	w := newWorld(t, server)
	a := fresh()
	a.Status = asset.Processing
	a.Original = asset.Image{URL: "https://example.com/o.jpg", Key: "o.jpg", Width: 3, Height: 2, Bytes: 1 << 40, MIMEType: "image/jpeg", SHA256: "ab"}
	a.Details = &asset.Details{Model: "AJ1"}
	if err := w.Create(t.Context(), a, asset.Entry{At: base, Event: asset.EventReceived, Duration: time.Second}); err != nil {
		t.Fatal(err)
	}
	w.finish(t, a.ID, a.JobID, asset.Processing)
	got := w.document(t, objectID(t, a.ID))
	delete(got["loupe"].(map[string]any), "write")
	var want map[string]any
	finished := `{"at":{"$date":{"$numberLong":"1766917801123"}},"event":"finished","attempt":{"$numberInt":"1"},"payload":"{\"a\":1}"}`
	if err := json.Unmarshal([]byte(`{
		"_id": {"$oid":"`+a.ID+`"}, "userId": {"$oid":"`+a.Owner+`"}, "category": "sneaker", "status": "active",
		"images": {
			"original": {"url":"https://example.com/o.jpg","key":"o.jpg","width":{"$numberInt":"3"},"height":{"$numberInt":"2"},
				"bytes":{"$numberLong":"1099511627776"},"mimeType":"image/jpeg","sha256":"ab"},
			"processed": {"url":"https://example.com/p.png"}
		},
		"aiMetadata": {"brand":{"value":"Nike","confidence":{"$numberDouble":"1.0"}},"processedAt":{"$date":{"$numberLong":"1766917801123"}}},
		"processingJobId": "`+a.JobID+`",
		"createdAt": {"$date":{"$numberLong":"1766917800123"}}, "updatedAt": {"$date":{"$numberLong":"1766917801123"}},
		"loupe": {
			"run": {"$numberInt":"1"}, "details": {"model":"AJ1"}, "eventPending": true,
			"timeline": [{"at":{"$date":{"$numberLong":"1766917800123"}},"event":"received","durationMs":{"$numberLong":"1000"}}, `+finished+`]
		},
		"loupeFinished": [`+finished+`]
	}`), &want); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}

	a = fresh()
	a.Owner = "auth0|Ngọc"
	if err := w.Create(t.Context(), a); err != nil {
		t.Fatal(err)
	}
	if doc := w.document(t, objectID(t, a.ID)); doc["userId"] != "auth0|Ngọc" {
		t.Errorf("an owner whose id is no ObjectId: %v", doc["userId"])
	}
}

// What a service with the seed's schema writes, and no more.
func testMongooseDocument(t *testing.T, server string) {
	w := newWorld(t, server)
	id, owner := bson.NewObjectID(), bson.NewObjectID()
	w.put(t, bson.M{
		"_id": id, "userId": owner, "category": "lego", "images": bson.M{"original": bson.M{"url": "https://example.com/1"}},
		"aiMetadata": bson.M{"brand": bson.M{"value": "LEGO", "confidence": 1}, "model": bson.M{"value": nil, "confidence": nil}},
		"createdAt":  base, "updatedAt": base, "__v": 0,
	})
	jobID := asset.JobID(id.Hex(), 1)
	want := asset.Asset{
		ID: id.Hex(), Owner: owner.Hex(), Category: "lego", Status: asset.Draft, Original: asset.Image{URL: "https://example.com/1"},
		Analysis: &asset.Analysis{Brand: &asset.Field{Value: "LEGO", Confidence: 1}},
		JobID:    jobID, Run: 1, CreatedAt: base, UpdatedAt: base,
	}
	if got, err := w.Get(t.Context(), id.Hex()); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v, %v\nwant %+v", got, err, want)
	}
	page, err := w.List(t.Context(), asset.Query{Owner: owner.Hex(), Status: asset.Draft, Limit: 1})
	if err != nil || len(page.Items) != 1 {
		t.Errorf("a draft without a status: %v, %v", page, err)
	}

	// Another run's job does not fit; the first run's does, and then Unfinished must know of it.
	start := asset.Change{From: []asset.Status{asset.Draft}, JobID: asset.JobID(id.Hex(), 2), At: base, To: asset.Processing}
	if _, err := w.Transition(t.Context(), id.Hex(), start); !errors.Is(err, asset.ErrConflict) {
		t.Errorf("run 2: %v", err)
	}
	start.JobID = jobID
	if a, err := w.Transition(t.Context(), id.Hex(), start); err != nil || a.Status != asset.Processing || a.JobID != jobID {
		t.Fatalf("started %+v, %v", a, err)
	}
	if open, err := w.Unfinished(t.Context(), base, "", 10); err != nil || len(open) != 1 {
		t.Errorf("unfinished: %v, %v", open, err)
	}
	w.finish(t, id.Hex(), jobID, asset.Processing)
	if entries, err := w.Timeline(t.Context(), asset.TimelineQuery{Owner: owner.Hex(), Limit: 10}); err != nil || len(entries) != 1 {
		t.Errorf("finished runs: %v, %v", entries, err)
	}

	// A job that a Node producer has numbered, and what follows it.
	id = bson.NewObjectID()
	w.put(t, bson.M{"_id": id, "userId": owner, "status": "failed", "processingJobId": "17", "createdAt": base, "updatedAt": base})
	retried, err := w.Transition(t.Context(), id.Hex(), asset.Change{
		From: []asset.Status{asset.Failed}, JobID: "17", To: asset.Processing, NextRun: 2,
	})
	if err != nil || retried.Run != 2 || retried.JobID != asset.JobID(id.Hex(), 2) {
		t.Errorf("retried %+v, %v", retried, err)
	}
	// A run of ours whose job id a neighbour has taken away.
	if _, err := w.assets.UpdateByID(t.Context(), id, bson.M{"$unset": bson.M{"processingJobId": ""}}); err != nil {
		t.Fatal(err)
	}
	w.finish(t, id.Hex(), retried.JobID, asset.Processing)
}

// Every write leaves every field that is not ours as it was, byte for byte.
func testUnknownFields(t *testing.T, server string) {
	w := newWorld(t, server)
	id, owner := bson.NewObjectID(), bson.NewObjectID()
	foreign := bson.D{
		{Key: "n", Value: int64(5)},
		{Key: "d", Value: 5.0},
		{Key: "i", Value: int32(5)},
		{Key: "nothing", Value: nil},
		{Key: "list", Value: bson.A{1, "two", bson.D{{Key: "three", Value: base}}}},
		{Key: "bytes", Value: []byte{0, 1, 255}},
		{Key: "id", Value: bson.NewObjectID()},
		{Key: "text", Value: "Ngọc 🦊"},
	}
	want, err := bson.Marshal(foreign)
	if err != nil {
		t.Fatal(err)
	}
	w.put(t, bson.M{
		"_id": id, "userId": owner, "category": "lego", "status": "draft", "createdAt": base, "updatedAt": base, "__v": int32(3),
		"extra":      foreign,
		"images":     bson.M{"extra": foreign, "original": bson.M{"url": "https://example.com/1", "extra": foreign}, "processed": bson.M{"extra": foreign}},
		"aiMetadata": bson.M{"extra": foreign, "brand": bson.M{"value": "b", "confidence": 1, "extra": foreign}, "model": bson.M{"value": "m", "extra": foreign}},
		"loupe":      bson.M{"extra": foreign},
	})
	check := func(after string) {
		t.Helper()
		doc := mongotest.Document(t, w.assets, id)
		for _, path := range [][]string{
			{"extra"},
			{"images", "extra"},
			{"images", "original", "extra"},
			{"images", "processed", "extra"},
			{"aiMetadata", "extra"},
			{"aiMetadata", "brand", "extra"},
			{"aiMetadata", "model", "extra"},
			{"loupe", "extra"},
		} {
			if got, _ := doc.Lookup(path...).DocumentOK(); !slices.Equal(got, want) {
				t.Errorf("%s: %v is %v", after, path, got)
			}
		}
		if v, ok := doc.Lookup("__v").Int32OK(); !ok || v != 3 {
			t.Errorf("%s: __v is %v", after, doc.Lookup("__v"))
		}
	}
	jobID := asset.JobID(id.Hex(), 1)
	_, err = w.Transition(t.Context(), id.Hex(), asset.Change{
		From: []asset.Status{asset.Draft}, JobID: jobID, To: asset.Processing, At: base, Original: &asset.Image{URL: "https://example.com/2"},
		Log: []asset.Entry{{At: base, Event: asset.EventQueued}},
	})
	if err != nil {
		t.Fatal(err)
	}
	check("after the start")
	a := w.finish(t, id.Hex(), jobID, asset.Processing)
	if a.Analysis.Model != nil {
		t.Errorf("the model of the analysis before is still there: %+v", a.Analysis)
	}
	check("after the finish")
	archived, brand := asset.Archived, "x"
	if _, err := w.Update(t.Context(), id.Hex(), owner.Hex(), asset.Patch{At: base, Status: &archived, Brand: &brand}); err != nil {
		t.Fatal(err)
	}
	check("after the owner's edit")
}

// Some write null for "nothing yet", where an update can then set nothing in it.
func testNulls(t *testing.T, server string) {
	w := newWorld(t, server)
	owner := bson.NewObjectID()
	brand := "x"
	for _, doc := range []bson.M{
		{"images": nil, "aiMetadata": nil, "loupe": nil, "processingJobId": nil},
		{"images": bson.M{"original": nil, "processed": nil}, "aiMetadata": bson.M{"brand": nil, "model": nil}, "loupe": bson.M{"details": nil}},
		{"aiMetadata": bson.M{"brand": "Nike", "error": nil}, "processingJobId": ""},
	} {
		id := bson.NewObjectID()
		doc["_id"], doc["userId"], doc["status"], doc["createdAt"], doc["updatedAt"], doc["n"] = id, owner, "processing", base, base, nil
		w.put(t, doc)
		a := w.finish(t, id.Hex(), asset.JobID(id.Hex(), 1), asset.Processing)
		if a.Status != asset.Active || a.Processed == nil || a.Analysis == nil || a.Analysis.Brand == nil || a.Analysis.Brand.Value != "Nike" {
			t.Errorf("%v became %+v", doc, a)
		}
		if a, err := w.Update(t.Context(), id.Hex(), owner.Hex(), asset.Patch{At: base, Brand: &brand}); err != nil || a.Details == nil {
			t.Errorf("%v: edited %+v, %v", doc, a, err)
		}
		if n, ok := w.document(t, id)["n"]; !ok || n != nil {
			t.Errorf("another's null became %v", n)
		}
	}
}

func testOddDocuments(t *testing.T, server string) {
	w := newWorld(t, server)
	owner := bson.NewObjectID()
	for _, odd := range []any{nil, "text", 5, 1.5, true, bson.A{bson.M{"url": 1}}, bson.M{"value": bson.M{}}, bson.M{"url": 1, "original": 1, "brand": 1, "run": "x"}, base} {
		w.put(t, bson.M{
			"userId": owner, "createdAt": base, "updatedAt": odd, "category": odd, "status": odd, "images": odd, "aiMetadata": odd,
			"processingJobId": odd, "loupe": odd, "loupeFinished": odd,
		})
	}
	page, err := w.List(t.Context(), asset.Query{Owner: owner.Hex(), Limit: 100})
	if err != nil || len(page.Items) != 9 {
		t.Fatalf("%d assets, %v", len(page.Items), err)
	}
	for _, a := range page.Items {
		if a.ID == "" || a.Run < 1 || a.JobID == "" || a.Status == "" || a.UpdatedAt.IsZero() {
			t.Errorf("read as %+v", a)
		}
		if entries, err := w.Timeline(t.Context(), asset.TimelineQuery{AssetID: a.ID}); err != nil {
			t.Errorf("timeline of %s: %v, %v", a.ID, entries, err)
		}
	}
}

// Documents without createdAt come last, on whatever page that is.
func testPagingWithoutCreatedAt(t *testing.T, server string) {
	w := newWorld(t, server)
	owner := bson.NewObjectID()
	var want []string
	for i := range 9 {
		id := bson.NewObjectID()
		doc := bson.M{"_id": id, "userId": owner}
		if i >= 4 {
			doc["createdAt"] = base.Add(time.Duration(i/2) * time.Second)
		}
		w.put(t, doc)
		want = append([]string{id.Hex()}, want...)
	}
	for limit := 1; limit < 10; limit++ {
		var got []string
		for q := (asset.Query{Owner: owner.Hex(), Limit: limit}); ; {
			page, err := w.List(t.Context(), q)
			if err != nil {
				t.Fatal(err)
			}
			for _, a := range page.Items {
				got = append(got, a.ID)
				if a.CreatedAt.IsZero() {
					t.Errorf("%s has no time at all", a.ID)
				}
			}
			if q.Cursor = page.Next; q.Cursor == "" {
				break
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("limit %d: got %v, want %v", limit, got, want)
		}
	}
}

// Ids that are no ObjectIds come before those that are, in MongoDB's order.
func testUnfinishedOrder(t *testing.T, server string) {
	w := newWorld(t, server)
	want := []string{"a", "b", "c"}
	for range 3 {
		want = append(want, asset.NewID())
	}
	slices.Sort(want[3:])
	for _, id := range want {
		a := fresh()
		a.ID, a.JobID = id, asset.JobID(id, 1)
		if err := w.Create(t.Context(), a); err != nil {
			t.Fatal(err)
		}
	}
	for limit := 1; limit < 8; limit++ {
		var got []string
		for after := ""; ; {
			page, err := w.Unfinished(t.Context(), base, after, limit)
			if err != nil {
				t.Fatal(err)
			}
			for _, a := range page {
				got, after = append(got, a.ID), a.ID
			}
			if len(page) < limit {
				break
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("limit %d: got %v, want %v", limit, got, want)
		}
	}
	if none, err := w.Unfinished(t.Context(), base, "", 0); err != nil || len(none) > 0 {
		t.Errorf("limit 0: %v, %v", none, err)
	}
}

// What nobody has submitted owes nothing, however long it lies there.
func testDrafts(t *testing.T, server string) {
	w := newWorld(t, server)
	owner := bson.NewObjectID()
	w.put(t, bson.M{"userId": owner, "status": "draft", "createdAt": base, "updatedAt": base})
	w.put(t, bson.M{"userId": owner, "status": "draft", "processingJobId": nil, "createdAt": base, "updatedAt": base})
	submitted := bson.NewObjectID()
	w.put(t, bson.M{"_id": submitted, "userId": owner, "status": "draft", "processingJobId": "17"}) // without its times, too
	open, err := w.Unfinished(t.Context(), base, "", 10)
	if err != nil || len(open) != 1 || open[0].ID != submitted.Hex() || open[0].JobID != "17" {
		t.Errorf("unfinished: %+v, %v", open, err)
	}
}

// A duplicate that is not one of the _id is no ErrExists: the asset is not there.
func testUniqueIndex(t *testing.T, server string) {
	w := newWorld(t, server)
	_, err := w.assets.Indexes().CreateOne(t.Context(), mongo.IndexModel{
		Keys: bson.D{{Key: "category", Value: 1}}, Options: options.Index().SetUnique(true),
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Create(t.Context(), fresh()); err != nil {
		t.Fatal(err)
	}
	if err := w.Create(t.Context(), fresh()); err == nil || errors.Is(err, asset.ErrExists) {
		t.Errorf("got %v", err)
	}
}

// However often an asset is retried, its document has room.
func testFinishedBound(t *testing.T, server string) {
	w := newWorld(t, server)
	a := fresh()
	var log []asset.Entry
	for i := range asset.MaxEntries + 50 {
		log = append(log, asset.Entry{At: base, Event: asset.EventFinished, Attempt: i, Payload: json.RawMessage(`1`)})
	}
	if err := w.Create(t.Context(), a, log[:10]...); err != nil {
		t.Fatal(err)
	}
	log = append(log[10:], asset.Entry{At: base, Event: asset.EventStarted})
	if _, err := w.Transition(t.Context(), a.ID, asset.Change{From: []asset.Status{asset.Draft}, JobID: a.JobID, Log: log}); err != nil {
		t.Fatal(err)
	}
	entries, err := w.Timeline(t.Context(), asset.TimelineQuery{AssetID: a.ID})
	if err != nil || len(entries) != asset.MaxEntries || entries[len(entries)-1].Attempt != asset.MaxEntries+49 {
		t.Errorf("%d entries, %v", len(entries), err)
	}
	if entries, err = w.Timeline(t.Context(), asset.TimelineQuery{AssetID: a.ID, Limit: 3}); err != nil || len(entries) != 3 {
		t.Errorf("limit 3: %v, %v", entries, err)
	}
}
