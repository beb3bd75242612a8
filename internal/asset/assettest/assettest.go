// Package assettest is the suite that every [asset.Store] passes. A back end's test calls [Run] and nothing else decides
// whether it is one.
package assettest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"loupe/internal/asset"
)

// Run runs the suite. open returns a store for one test; stores may share a database, for each test has owners and ids
// of its own.
func Run(t *testing.T, open func(t *testing.T) asset.Store) {
	t.Helper()
	for _, c := range []struct {
		name string
		test func(t *testing.T, w *world)
	}{
		{"Create and Get", testCreate},
		{"What comes back is what was put in", testRoundTrip},
		{"List pages", testListPages},
		{"List filters", testListFilters},
		{"List refuses foreign cursors", testListCursor},
		{"Transition compares", testTransitionCompares},
		{"Transition follows the lifecycle", testLifecycle},
		{"Transition sets", testTransitionSets},
		{"Transition has one winner", testOneWinner},
		{"A new run fences the old one off", testFencing},
		{"Update", testUpdate},
		{"Update and Transition do not lose each other's writes", testNoLostUpdate},
		{"Delete", testDelete},
		{"Unfinished", testUnfinished},
		{"Timeline", testTimeline},
		{"Timeline of an owner", testMissed},
		{"Timeline is bounded", testTimelineBound},
		{"An ended context", testContext},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			c.test(t, &world{open(t), asset.NewID()})
		})
	}
}

// world is a store and an owner that nobody else uses.
type world struct {
	asset.Store
	owner string
}

// base is when the tests take place.
var base = time.Date(2025, 12, 28, 10, 30, 0, 123_000_000, time.UTC)

func (w *world) fresh() asset.Asset {
	id := asset.NewID()
	return asset.Asset{
		ID: id, Owner: w.owner, Category: "sneaker", Status: asset.Draft,
		Original: asset.Image{Key: "k.jpg", URL: "http://127.0.0.1/images/k.jpg", Width: 3, Height: 2, Bytes: 99, MIMEType: "image/jpeg", SHA256: "ab"},
		JobID:    asset.JobID(id, 1), Run: 1, CreatedAt: base, UpdatedAt: base,
	}
}

func (w *world) create(t *testing.T, change func(*asset.Asset)) asset.Asset {
	t.Helper()
	a := w.fresh()
	if change != nil {
		change(&a)
	}
	if err := w.Create(t.Context(), a); err != nil {
		t.Fatal(err)
	}
	return a
}

func in(s asset.Status) func(*asset.Asset) {
	return func(a *asset.Asset) { a.Status = s }
}

func (w *world) expect(t *testing.T, want asset.Asset) {
	t.Helper()
	got, err := w.Get(t.Context(), want.ID)
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v, %v\nwant %+v", got, err, want)
	}
}

func testCreate(t *testing.T, w *world) {
	a := w.create(t, nil)
	w.expect(t, a)
	other := w.fresh()
	other.ID = a.ID
	if err := w.Create(t.Context(), other, asset.Entry{At: base, Event: asset.EventReceived}); !errors.Is(err, asset.ErrExists) {
		t.Errorf("an id in use: %v", err)
	}
	w.expect(t, a)
	if entries, err := w.Timeline(t.Context(), asset.TimelineQuery{AssetID: a.ID}); err != nil || len(entries) > 0 {
		t.Errorf("the refused asset left %v, %v", entries, err)
	}
	for _, id := range []string{asset.NewID(), "", "not an id", "' OR 1=1 --"} {
		if _, err := w.Get(t.Context(), id); !errors.Is(err, asset.ErrNotFound) {
			t.Errorf("Get(%q): %v", id, err)
		}
	}
}

func testRoundTrip(t *testing.T, w *world) {
	field := func(value string) *asset.Field { return &asset.Field{Value: value, Confidence: 0.123456789} }
	hostile := "Ngọc 🦊 ' \" \\ \x00 <script> {\"$gt\":\"\"} \u2028 %"
	full := w.create(t, func(a *asset.Asset) {
		a.Status, a.Category, a.Run, a.JobID, a.EventPending = asset.Active, hostile, 7, asset.JobID(a.ID, 7), true
		a.Owner += hostile
		a.Original.URL = "https://example.com/ü?a=1&b=2"
		a.Original.Bytes = 1 << 40
		a.Processed = &asset.Image{Key: "p", URL: "https://example.com/p.png"}
		a.DuplicateOf = asset.NewID()
		a.Analysis = &asset.Analysis{
			Brand: field(hostile), Model: field("m"), Colorway: field("c"),
			ProcessedAt: base.Add(time.Millisecond), Error: hostile, FailedAt: base.Add(2 * time.Millisecond),
		}
		a.Details = &asset.Details{Brand: hostile, Model: "m"}
		a.UpdatedAt = base.Add(3 * time.Millisecond)
	})
	w.expect(t, full)
	w.expect(t, w.create(t, func(a *asset.Asset) { a.Analysis = &asset.Analysis{Colorway: field("only")} }))
}

func testListPages(t *testing.T, w *world) {
	w.create(t, func(a *asset.Asset) { a.Owner += "x" }) // not ours to see
	var want []string
	for i := range 25 { // five at each of five moments
		a := w.create(t, func(a *asset.Asset) { a.CreatedAt = base.Add(time.Duration(i/5) * time.Second) })
		want = append(want, a.ID)
	}
	for _, limit := range []int{1, 2, 5, 7, 24, 25, 26, 100} {
		var got []asset.Asset
		for cursor := ""; ; {
			page, err := w.List(t.Context(), asset.Query{Owner: w.owner, Limit: limit, Cursor: cursor})
			if err != nil {
				t.Fatal(err)
			}
			if len(page.Items) > limit {
				t.Fatalf("a page of %d, want at most %d", len(page.Items), limit)
			}
			got = append(got, page.Items...)
			if cursor = page.Next; cursor == "" {
				break
			}
			if strings.Trim(cursor, "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-_") != "" {
				t.Errorf("cursor %q needs escaping in a URL", cursor)
			}
		}
		seen := map[string]bool{}
		for i, a := range got {
			seen[a.ID] = true
			if i > 0 && a.CreatedAt.After(got[i-1].CreatedAt) {
				t.Errorf("limit %d: %d is newer than its predecessor", limit, i)
			}
		}
		if len(got) != len(want) || len(seen) != len(want) {
			t.Errorf("limit %d: %d assets, %d different, want %d", limit, len(got), len(seen), len(want))
		}
	}
	for limit, want := range map[int]int{-1: 1, 0: 1, 1000: 25} { // beyond the bounds it is the nearest of them
		if page, err := w.List(t.Context(), asset.Query{Owner: w.owner, Limit: limit}); err != nil || len(page.Items) != want {
			t.Errorf("limit %d: %d assets, %v; want %d", limit, len(page.Items), err, want)
		}
	}
	if page, err := w.List(t.Context(), asset.Query{Owner: "nobody", Limit: 10}); err != nil || len(page.Items) > 0 || page.Next != "" {
		t.Errorf("nobody has %v, %v", page, err)
	}
}

func testListFilters(t *testing.T, w *world) {
	w.create(t, in(asset.Active))
	w.create(t, in(asset.Failed))
	late := w.create(t, func(a *asset.Asset) {
		a.Status, a.Category, a.UpdatedAt = asset.Active, "lego", base.Add(time.Millisecond)
	})
	other := w.create(t, func(a *asset.Asset) {
		a.Status, a.Category, a.Original.SHA256 = asset.Archived, "camera", "cd"
	})
	for _, c := range []struct {
		query asset.Query
		want  int
	}{
		{asset.Query{}, 4},
		{asset.Query{SHA256: other.Original.SHA256}, 1},
		{asset.Query{SHA256: late.Original.SHA256}, 3},
		{asset.Query{SHA256: late.Original.SHA256, Status: asset.Active, Category: "lego"}, 1},
		{asset.Query{SHA256: "ef"}, 0},
		{asset.Query{Status: asset.Active}, 2},
		{asset.Query{Category: "lego"}, 1},
		{asset.Query{Category: "lego", Status: asset.Failed}, 0},
		{asset.Query{UpdatedAfter: base}, 1},
		{asset.Query{UpdatedAfter: base.Add(-time.Millisecond)}, 4},
		{asset.Query{UpdatedAfter: late.UpdatedAt}, 0},
	} {
		c.query.Owner, c.query.Limit = w.owner, 10
		page, err := w.List(t.Context(), c.query)
		if err != nil || len(page.Items) != c.want {
			t.Errorf("%+v: %d assets, %v; want %d", c.query, len(page.Items), err, c.want)
		}
	}
}

func testListCursor(t *testing.T, w *world) {
	w.create(t, nil)
	for _, cursor := range []string{"x", "!", "e30", strings.Repeat("A", 10_000), "' OR 1=1 --", "\x00"} {
		if _, err := w.List(t.Context(), asset.Query{Owner: w.owner, Limit: 1, Cursor: cursor}); !errors.Is(err, asset.ErrCursor) {
			t.Errorf("cursor %.20q: %v", cursor, err)
		}
	}
}

func testTransitionCompares(t *testing.T, w *world) {
	a := w.create(t, nil)
	ok := asset.Change{From: []asset.Status{asset.Draft}, JobID: a.JobID, At: base.Add(time.Second), To: asset.Processing}
	for name, spoil := range map[string]func(*asset.Change){
		"another status": func(c *asset.Change) { c.From = []asset.Status{asset.Processing, asset.Failed} },
		"no status":      func(c *asset.Change) { c.From = nil },
		"another job":    func(c *asset.Change) { c.JobID = asset.JobID(a.ID, 2) },
		"no job":         func(c *asset.Change) { c.JobID = "" },
	} {
		c := ok
		c.Log = []asset.Entry{{At: base, Event: asset.EventQueued}}
		spoil(&c)
		now, err := w.Transition(t.Context(), a.ID, c)
		if !errors.Is(err, asset.ErrConflict) || !reflect.DeepEqual(now, a) {
			t.Errorf("%s: %v with %+v, want ErrConflict with the asset as it is", name, err, now)
		}
	}
	w.expect(t, a)
	if entries, err := w.Timeline(t.Context(), asset.TimelineQuery{AssetID: a.ID}); err != nil || len(entries) > 0 {
		t.Errorf("refused changes left %v, %v", entries, err)
	}
	if _, err := w.Transition(t.Context(), asset.NewID(), ok); !errors.Is(err, asset.ErrNotFound) {
		t.Errorf("unknown asset: %v", err)
	}
	if now, err := w.Transition(t.Context(), a.ID, ok); err != nil || now.Status != asset.Processing {
		t.Errorf("%+v, %v", now, err)
	}
}

// lifecycle is the diagram of package asset, written down a second time.
var lifecycle = map[asset.Status][]asset.Status{
	asset.Draft:      {asset.Processing},
	asset.Processing: {asset.Active, asset.Partial, asset.Failed},
	asset.Active:     {asset.Archived},
	asset.Partial:    {asset.Processing},
	asset.Failed:     {asset.Processing},
	asset.Archived:   {asset.Active},
}

func testLifecycle(t *testing.T, w *world) {
	for _, from := range asset.Statuses {
		for _, to := range asset.Statuses {
			a := w.create(t, in(from))
			_, err := w.Transition(t.Context(), a.ID, asset.Change{From: []asset.Status{from}, JobID: a.JobID, At: base.Add(time.Second), To: to})
			if allowed := from == to || slices.Contains(lifecycle[from], to); allowed != (err == nil) || err != nil && !errors.Is(err, asset.ErrConflict) {
				t.Errorf("%s to %s: %v", from, to, err)
			}
		}
	}
}

func testTransitionSets(t *testing.T, w *world) {
	a := w.create(t, in(asset.Processing))
	yes, no := true, false
	at := base.Add(time.Minute)
	change := func(c asset.Change) asset.Asset {
		t.Helper()
		c.From, c.JobID = []asset.Status{a.Status}, a.JobID
		now, err := w.Transition(t.Context(), a.ID, c)
		if err != nil {
			t.Fatal(err)
		}
		w.expect(t, now)
		return now
	}
	first := a
	a = change(asset.Change{At: at})
	first.UpdatedAt = at
	if !reflect.DeepEqual(a, first) {
		t.Errorf("a change of nothing but the time made %+v", a)
	}
	if a = change(asset.Change{EventPending: &yes}); !a.EventPending || !a.UpdatedAt.Equal(at) {
		t.Errorf("pending, without a time: %+v", a)
	}
	a = change(asset.Change{
		At: at, To: asset.Failed, Analysis: &asset.Analysis{Error: "no", FailedAt: at}, Processed: &asset.Image{URL: "https://x/y"},
		Original: &asset.Image{URL: "https://x/o"}, EventPending: &no,
	})
	if a.Status != asset.Failed || a.Analysis.Error != "no" || a.Processed.URL != "https://x/y" || a.Original.URL != "https://x/o" || a.EventPending {
		t.Errorf("got %+v", a)
	}
	if a = change(asset.Change{At: at, To: asset.Processing, NextRun: 2}); a.Run != 2 || a.JobID != asset.JobID(a.ID, 2) || a.Analysis == nil {
		t.Errorf("next run: %+v", a)
	}
	if a = change(asset.Change{At: at, Adopt: "17"}); a.Run != 2 || a.JobID != "17" {
		t.Errorf("another's job: %+v", a)
	}
	if a = change(asset.Change{At: at, NextRun: 3, Adopt: "another's"}); a.Run != 3 || a.JobID != "another's" {
		t.Errorf("another's job, next run: %+v", a)
	}
	if a = change(asset.Change{At: at, Analysis: &asset.Analysis{Brand: &asset.Field{Value: "b"}}, To: asset.Active}); a.Analysis.Error != "" || a.Analysis.Brand == nil {
		t.Errorf("an analysis replaces the one before: %+v", a.Analysis)
	}
}

func testOneWinner(t *testing.T, w *world) {
	a := w.create(t, in(asset.Processing))
	var won atomic.Int32
	var wait sync.WaitGroup
	for i := range 1000 {
		wait.Go(func() {
			to := []asset.Status{asset.Active, asset.Partial, asset.Failed}[i%3]
			_, err := w.Transition(t.Context(), a.ID, asset.Change{
				From: []asset.Status{asset.Processing}, JobID: a.JobID, At: base.Add(time.Duration(i) * time.Second), To: to,
				Log: []asset.Entry{{At: base, Event: asset.EventFinished, Payload: json.RawMessage(`{}`)}},
			})
			switch {
			case err == nil:
				won.Add(1)
			case !errors.Is(err, asset.ErrConflict):
				t.Error(err)
			}
		})
	}
	wait.Wait()
	entries, err := w.Timeline(t.Context(), asset.TimelineQuery{AssetID: a.ID})
	if won.Load() != 1 || err != nil || len(entries) != 1 {
		t.Errorf("%d winners, %d entries, %v", won.Load(), len(entries), err)
	}
}

func testFencing(t *testing.T, w *world) {
	a := w.create(t, in(asset.Failed))
	retried, err := w.Transition(t.Context(), a.ID, asset.Change{
		From: []asset.Status{asset.Failed}, JobID: a.JobID, At: base.Add(time.Second), To: asset.Processing, NextRun: 2,
	})
	if err != nil {
		t.Fatal(err)
	}
	late := asset.Change{From: []asset.Status{asset.Processing}, JobID: a.JobID, At: base.Add(2 * time.Second), To: asset.Active}
	if _, err := w.Transition(t.Context(), a.ID, late); !errors.Is(err, asset.ErrConflict) {
		t.Errorf("the result of run 1 in run 2: %v", err)
	}
	w.expect(t, retried)
}

func testUpdate(t *testing.T, w *world) {
	a := w.create(t, in(asset.Active))
	text := func(s string) *string { return &s }
	archived, active, failed := asset.Archived, asset.Active, asset.Failed
	at := base.Add(time.Hour)

	if _, err := w.Update(t.Context(), a.ID, "another", asset.Patch{At: at, Category: text("lego")}); !errors.Is(err, asset.ErrNotFound) {
		t.Errorf("another owner: %v", err)
	}
	if _, err := w.Update(t.Context(), asset.NewID(), w.owner, asset.Patch{At: at}); !errors.Is(err, asset.ErrNotFound) {
		t.Errorf("unknown asset: %v", err)
	}
	if _, err := w.Update(t.Context(), a.ID, w.owner, asset.Patch{At: at, Category: text("lego"), Status: &failed}); !errors.Is(err, asset.ErrConflict) {
		t.Errorf("to failed: %v", err)
	}
	w.expect(t, a)

	want := a
	want.Category, want.Details, want.UpdatedAt = "lego", &asset.Details{Brand: "Nike", Model: "AJ1"}, at
	got, err := w.Update(t.Context(), a.ID, w.owner, asset.Patch{At: at, Category: text("lego"), Brand: text("Nike"), Model: text("AJ1")})
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v", got, err)
	}
	want.Details = &asset.Details{Model: "AJ1", Colorway: "Chicago"}
	want.Status = asset.Archived
	if _, err = w.Update(t.Context(), a.ID, w.owner, asset.Patch{At: at, Brand: text(""), Colorway: text("Chicago"), Status: &archived}); err != nil {
		t.Error(err)
	}
	w.expect(t, want)
	want.Details, want.Status = nil, asset.Active
	if _, err = w.Update(t.Context(), a.ID, w.owner, asset.Patch{At: at, Model: text(""), Colorway: text(""), Status: &active}); err != nil {
		t.Error(err)
	}
	w.expect(t, want)

	for _, from := range asset.Statuses {
		for _, to := range []asset.Status{asset.Active, asset.Archived} {
			b := w.create(t, in(from))
			_, err := w.Update(t.Context(), b.ID, w.owner, asset.Patch{At: at, Status: &to})
			allowed := from == to || from == asset.Active && to == asset.Archived || from == asset.Archived && to == asset.Active
			if allowed != (err == nil) || err != nil && !errors.Is(err, asset.ErrConflict) {
				t.Errorf("owner moves %s to %s: %v", from, to, err)
			}
		}
	}
}

func testNoLostUpdate(t *testing.T, w *world) {
	a := w.create(t, in(asset.Processing))
	var wait sync.WaitGroup
	for i := range 50 {
		wait.Go(func() {
			brand := fmt.Sprint("brand ", i)
			if _, err := w.Update(t.Context(), a.ID, w.owner, asset.Patch{At: base, Brand: &brand}); err != nil {
				t.Error(err)
			}
		})
		wait.Go(func() {
			_, err := w.Transition(t.Context(), a.ID, asset.Change{
				From: []asset.Status{asset.Processing}, JobID: a.JobID, Log: []asset.Entry{{At: base, Event: asset.EventStarted, Attempt: i + 1}},
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	wait.Go(func() {
		_, err := w.Transition(t.Context(), a.ID, asset.Change{
			From: []asset.Status{asset.Processing}, JobID: a.JobID, Processed: &asset.Image{URL: "https://x/y"},
		})
		if err != nil {
			t.Error(err)
		}
	})
	wait.Wait()
	got, err := w.Get(t.Context(), a.ID)
	if err != nil || got.Details == nil || got.Processed == nil {
		t.Errorf("lost: %+v, %v", got, err)
	}
	if entries, err := w.Timeline(t.Context(), asset.TimelineQuery{AssetID: a.ID}); err != nil || len(entries) != 50 {
		t.Errorf("%d entries, %v", len(entries), err)
	}
}

func testDelete(t *testing.T, w *world) {
	a := w.create(t, nil)
	entry := asset.Entry{At: base, Event: asset.EventFinished, Payload: json.RawMessage(`{}`)}
	if _, err := w.Transition(t.Context(), a.ID, asset.Change{From: []asset.Status{asset.Draft}, JobID: a.JobID, Log: []asset.Entry{entry}}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Delete(t.Context(), a.ID, "another"); !errors.Is(err, asset.ErrNotFound) {
		t.Errorf("another owner: %v", err)
	}
	w.expect(t, a)
	was, err := w.Delete(t.Context(), a.ID, w.owner)
	if err != nil || !reflect.DeepEqual(was, a) {
		t.Errorf("deleted %+v, %v", was, err)
	}
	if _, err := w.Get(t.Context(), a.ID); !errors.Is(err, asset.ErrNotFound) {
		t.Errorf("after the delete: %v", err)
	}
	if _, err := w.Delete(t.Context(), a.ID, w.owner); !errors.Is(err, asset.ErrNotFound) {
		t.Errorf("a second time: %v", err)
	}
	for _, q := range []asset.TimelineQuery{{AssetID: a.ID}, {Owner: w.owner, Limit: 10}} {
		if entries, err := w.Timeline(t.Context(), q); err != nil || len(entries) > 0 {
			t.Errorf("the timeline stayed: %v, %v", entries, err)
		}
	}
	if err := w.Create(t.Context(), a); err != nil {
		t.Errorf("the id is free again: %v", err)
	}
}

func testUnfinished(t *testing.T, w *world) {
	var want []string
	add := func(change func(*asset.Asset)) { want = append(want, w.create(t, change).ID) }
	for range 5 {
		add(in(asset.Draft))
		add(in(asset.Processing))
		add(func(a *asset.Asset) { a.Status, a.EventPending = asset.Active, true })
		w.create(t, in(asset.Active))
		w.create(t, in(asset.Archived))
		w.create(t, func(a *asset.Asset) { a.UpdatedAt = base.Add(time.Millisecond) }) // too young
	}
	slices.Sort(want)
	for _, limit := range []int{1, 4, 100} {
		var got []string
		for after := ""; ; {
			page, err := w.Unfinished(t.Context(), base, after, limit)
			if err != nil {
				t.Fatal(err)
			}
			if len(page) > limit {
				t.Fatalf("a page of %d, want at most %d", len(page), limit)
			}
			for _, a := range page {
				if a.Owner == w.owner { // the store may be shared
					got = append(got, a.ID)
				}
				after = a.ID
			}
			if len(page) < limit {
				break
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("limit %d: got %v, want %v", limit, got, want)
		}
	}
}

func testTimeline(t *testing.T, w *world) {
	want := []asset.Entry{
		{At: base, Event: asset.EventReceived},
		{At: base, Event: asset.EventStored, Duration: 120 * time.Millisecond},
		{At: base.Add(-time.Second), Event: asset.EventRetrying, Attempt: 2, Error: "Ngọc ' \" \\", Duration: time.Hour},
		{At: base, Event: asset.EventFinished, Attempt: 3, Payload: json.RawMessage(`{"b":1, "a" : "\u2028é","n":1.0}`)},
	}
	a := w.fresh()
	if err := w.Create(t.Context(), a, want[:2]...); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Transition(t.Context(), a.ID, asset.Change{From: []asset.Status{asset.Draft}, JobID: a.JobID, Log: want[2:]}); err != nil {
		t.Fatal(err)
	}
	got, err := w.Timeline(t.Context(), asset.TimelineQuery{AssetID: a.ID})
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got  %v, %v\nwant %v: in the order of writing, the payload byte for byte", got, err, want)
	}
	if got, err := w.Timeline(t.Context(), asset.TimelineQuery{AssetID: asset.NewID()}); err != nil || len(got) > 0 {
		t.Errorf("an unknown asset has %v, %v", got, err)
	}
}

func testMissed(t *testing.T, w *world) {
	foreign := w.fresh()
	foreign.Owner += "x"
	if err := w.Create(t.Context(), foreign, asset.Entry{At: base.Add(time.Millisecond), Event: asset.EventFinished, Payload: json.RawMessage(`"foreign"`)}); err != nil {
		t.Fatal(err)
	}
	for i := range 10 {
		a := w.fresh()
		err := w.Create(t.Context(), a,
			asset.Entry{At: base, Event: asset.EventReceived},
			asset.Entry{At: base.Add(time.Duration(9-i) * time.Millisecond), Event: asset.EventFinished, Payload: json.RawMessage(fmt.Sprint(9 - i))})
		if err != nil {
			t.Fatal(err)
		}
	}
	payloads := func(since time.Time, limit int) string {
		t.Helper()
		entries, err := w.Timeline(t.Context(), asset.TimelineQuery{Owner: w.owner, Since: since, Limit: limit})
		if err != nil {
			t.Fatal(err)
		}
		text := ""
		for _, e := range entries {
			text += string(e.Payload)
		}
		return text
	}
	for _, c := range []struct {
		since time.Time
		limit int
		want  string
	}{
		{base.Add(-time.Millisecond), 100, "0123456789"},
		{base, 100, "123456789"},
		{base.Add(6 * time.Millisecond), 100, "789"},
		{base.Add(9 * time.Millisecond), 100, ""},
		{base, 3, "123"},
	} {
		if got := payloads(c.since, c.limit); got != c.want {
			t.Errorf("since %s, limit %d: got %q, want %q", c.since, c.limit, got, c.want)
		}
	}
	if entries, err := w.Timeline(t.Context(), asset.TimelineQuery{Owner: "nobody", Limit: 10}); err != nil || len(entries) > 0 {
		t.Errorf("nobody has missed %v, %v", entries, err)
	}
}

func testTimelineBound(t *testing.T, w *world) {
	a := w.fresh()
	if err := w.Create(t.Context(), a, asset.Entry{At: base, Event: asset.EventFinished, Payload: json.RawMessage(`"kept"`)}); err != nil {
		t.Fatal(err)
	}
	for i := 0; i < asset.MaxEntries+20; i += 10 {
		var log []asset.Entry
		for j := range 10 {
			log = append(log, asset.Entry{At: base, Event: asset.EventStarted, Attempt: i + j})
		}
		if _, err := w.Transition(t.Context(), a.ID, asset.Change{From: []asset.Status{asset.Draft}, JobID: a.JobID, Log: log}); err != nil {
			t.Fatal(err)
		}
	}
	entries, err := w.Timeline(t.Context(), asset.TimelineQuery{AssetID: a.ID})
	if err != nil || len(entries) != asset.MaxEntries {
		t.Fatalf("%d entries, %v; want %d", len(entries), err, asset.MaxEntries)
	}
	if entries[0].Event != asset.EventFinished || entries[len(entries)-1].Attempt != asset.MaxEntries+19 {
		t.Errorf("kept from %+v to %+v", entries[0], entries[len(entries)-1])
	}
}

func testContext(t *testing.T, w *world) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	a := w.fresh()
	if err := w.Create(ctx, a); err == nil {
		t.Error("created under an ended context")
	}
	if _, err := w.Get(t.Context(), a.ID); !errors.Is(err, asset.ErrNotFound) {
		t.Errorf("and it is there: %v", err)
	}
}
