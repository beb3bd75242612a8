package migrate_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"loupe/internal/asset"
	"loupe/internal/migrate"
	"loupe/internal/queue"
)

// Everything is moved once, and passed over the second time.
func TestCopy(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const n = 13
	var all []asset.Asset
	for i := range n {
		all = append(all, w.add(t, func(a *asset.Asset) { a.Status, a.EventPending = asset.Statuses[i%6], i%2 == 0 }))
	}
	w.addJobs(t)
	before := w.dump(t)
	first := w.copied(t, w.config(), true)
	for _, a := range all {
		w.expectMoved(t, a)
	}
	if ids := w.toJobs.sorted(); !slices.Equal(ids, []string{"active-1", "dead-1", "delayed-1", "waiting-1", "waiting-2"}) {
		t.Errorf("jobs %q", ids)
	}
	if !slices.Equal(w.toJobs.order, []string{"waiting-1", "active-1", "waiting-2"}) || w.toJobs.paused {
		t.Errorf("line %q, paused %t", w.toJobs.order, w.toJobs.paused)
	}
	active, dead, delayed := w.toJobs.jobs["active-1"], w.toJobs.jobs["dead-1"], w.toJobs.jobs["delayed-1"]
	if active.Starts != 2 || active.Stalls != 1 || string(active.Data) != `{"id":  "active-1"}` {
		t.Errorf("active: %+v", active)
	}
	if dead.State != queue.FailedJob || dead.AttemptsMade != 3 || len(dead.Errors) != 1 || dead.Errors[0].Error != "no" {
		t.Errorf("dead letter: %+v", dead)
	}
	if delayed.State != queue.Delayed || delayed.Due.UnixMilli() != 4102444800000 || delayed.AttemptsMade != 1 {
		t.Errorf("delayed: %+v", delayed)
	}
	second := w.copied(t, w.config(), true)
	verified := w.verified(t, w.config(), true)
	for what, table := range map[string][2]string{
		"the first time": {first, `
KIND           SOURCE    MOVED  THERE BEFORE  MISSING  DIFFERENT
assets             13       13             0        0          0
pictures           26       26             0        0          0
jobs                4        4             0        0          0
dead letters        1        1             0        0          0
Completed jobs are left out, nothing is left to do of them: 1
`},
		"the second time": {second, `
KIND           SOURCE    MOVED  THERE BEFORE  MISSING  DIFFERENT
assets             13        0            13        0          0
pictures           26        0            26        0          0
jobs                4        0             4        0          0
dead letters        1        0             1        0          0
Completed jobs are left out, nothing is left to do of them: 1
`},
		"verified": {verified, `
KIND           SOURCE   TARGET         EQUAL  MISSING  DIFFERENT
assets             13       13            13        0          0
pictures           26       26            26        0          0
jobs                4        4             4        0          0
dead letters        1        1             1        0          0
Completed jobs are left out, nothing is left to do of them: 1
`},
	} {
		got := "\n" + table[0][max(0, strings.Index(table[0], "KIND")):] // lines of progress may come first
		if got != table[1] {
			t.Errorf("%s: got%swant%s", what, got, table[1])
		}
	}
	if w.toImages.puts != 2*n {
		t.Errorf("%d pictures sent, want %d", w.toImages.puts, 2*n)
	}
	if w.dump(t) != before {
		t.Error("the installation has changed")
	}
}

// More than a page of each.
func TestPages(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const n = 1003
	var wait sync.WaitGroup
	for i := range n {
		wait.Go(func() { // those that wait share a commit
			a := asset.Asset{ID: asset.NewID(), Owner: "o", Status: asset.Archived, CreatedAt: base, UpdatedAt: base}
			if err := w.assets.Create(t.Context(), a); err != nil {
				t.Error(err)
			}
			if err := w.jobs.Enqueue(t.Context(), fmt.Sprintf("job-%d", i), []byte("{}")); err != nil {
				t.Error(err)
			}
		})
	}
	wait.Wait()
	w.copied(t, w.config(), true)
	said := w.verified(t, w.config(), true)
	if assets, err := w.toAssets.Count(t.Context()); assets != n || len(w.toJobs.jobs) != n || err != nil {
		t.Errorf("%d assets, %d jobs, %v\n%s", assets, len(w.toJobs.jobs), err, said)
	}
}

// Cut off after each of the steps in turn, it goes on where it was, and sends no more than what was on its way again.
func TestInterrupted(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var all []asset.Asset
	for range 20 {
		all = append(all, w.add(t, nil))
	}
	w.addJobs(t)
	before := w.dump(t)
	runs := 0
	for whole := false; !whole; runs++ {
		ctx, cancel := context.WithCancel(t.Context())
		var steps atomic.Int64
		steps.Store(int64(runs))
		step := func() error {
			if steps.Add(-1) < 0 {
				cancel()
			}
			return ctx.Err()
		}
		w.toImages.fail = func(string, int) error { return step() }
		w.toJobs.fail = func(string) error { return step() }
		var err error
		whole, err = migrate.Copy(ctx, w.config())
		cancel()
		if whole == errors.Is(err, context.Canceled) {
			t.Fatalf("run %d: whole: %t, %v\n%s", runs, whole, err, &w.out)
		}
	}
	for _, a := range all {
		w.expectMoved(t, a)
	}
	if !slices.Equal(w.toJobs.order, []string{"waiting-1", "active-1", "waiting-2"}) {
		t.Errorf("line %q", w.toJobs.order)
	}
	w.toImages.fail, w.toJobs.fail = nil, nil
	w.verified(t, w.config(), true)
	if w.dump(t) != before || runs < 5 {
		t.Errorf("%d runs; the installation has changed: %t", runs, w.dump(t) != before)
	}
}

// What somebody has gone on with stays as it is, and is named.
func TestGoneOn(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a, b, c := w.add(t, nil), w.add(t, nil), w.add(t, nil)
	w.addJobs(t)
	w.copied(t, w.config(), true)
	archived := asset.Archived
	if _, err := w.toAssets.Update(t.Context(), a.ID, a.Owner, asset.Patch{At: base, Status: &archived}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.toAssets.Transition(t.Context(), b.ID, asset.Change{
		From: []asset.Status{asset.Active}, JobID: b.JobID, Log: []asset.Entry{{At: base, Event: asset.EventQueued}},
	}); err != nil {
		t.Fatal(err)
	}
	waiting, dead := w.toJobs.jobs["waiting-1"], w.toJobs.jobs["dead-1"]
	waiting.State, dead.AttemptsMade = queue.Active, 0
	w.toJobs.jobs["waiting-1"], w.toJobs.jobs["dead-1"] = waiting, dead
	for _, said := range []string{w.copied(t, w.config(), false), w.verified(t, w.config(), false)} {
		for _, want := range []string{
			"asset " + a.ID + " differs at the target: somebody has gone on with it\n",
			"asset " + b.ID + " differs at the target: somebody has gone on with it\n",
			"job waiting-1 is active at the target, not waiting: somebody has gone on with it\n",
			"job dead-1 differs at the target: somebody has gone on with it\n",
		} {
			if !strings.Contains(said, want) {
				t.Errorf("%q is not in\n%s", want, said)
			}
		}
		if strings.Contains(said, c.ID) || strings.Count(said, "gone on") != 4 {
			t.Errorf("more is named than has changed:\n%s", said)
		}
	}
	if got, err := w.toAssets.Get(t.Context(), a.ID); got.Status != asset.Archived || err != nil {
		t.Errorf("overwritten: %+v, %v", got, err)
	}
	if w.toJobs.jobs["waiting-1"].State != queue.Active || w.toJobs.jobs["dead-1"].AttemptsMade != 0 {
		t.Error("a job was overwritten")
	}
}

// Without a target for the records they stay, with the pictures' new URLs and otherwise as they were.
func TestPicturesAlone(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var all []asset.Asset
	for range 5 {
		all = append(all, w.add(t, nil))
	}
	elsewhere := w.add(t, func(a *asset.Asset) { a.Processed = &asset.Image{URL: "https://ai.example/p.png"} })
	before := w.dump(t)
	c := w.config()
	c.ToAssets, c.ToJobs = nil, nil
	w.copied(t, c, true)
	w.copied(t, c, true)
	if w.toImages.puts != 11 {
		t.Errorf("%d pictures sent", w.toImages.puts)
	}
	if after := strings.ReplaceAll(w.dump(t), "https://pictures.example/", "http://127.0.0.1:3000/"); after != before {
		t.Errorf("more than URLs has changed:\n%s\n%s", before, after)
	}
	if got, err := w.assets.Get(t.Context(), elsewhere.ID); got.Processed.URL != "https://ai.example/p.png" || err != nil {
		t.Errorf("a picture that is not ours: %+v, %v", got.Processed, err)
	}
	w.verified(t, c, true)

	// Later the records go too, and the pictures are where they were.
	to, _ := openAssets(t)
	w.toAssets = records{to}
	c.ToAssets = w.toAssets
	w.copied(t, c, true)
	for _, a := range all {
		w.expectMoved(t, a)
	}
	if w.toImages.puts != 11 {
		t.Errorf("%d pictures sent in all", w.toImages.puts)
	}
	w.verified(t, c, true)
}

// Pictures can follow their records, as long as nobody has gone on with those.
func TestPicturesLater(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a, b := w.add(t, nil), w.add(t, nil)
	c := w.config()
	c.ToImages = nil
	w.copied(t, c, true)
	w.verified(t, c, true)
	if got, err := w.toAssets.Get(t.Context(), a.ID); got.Original.URL != a.Original.URL || err != nil {
		t.Errorf("URL %s, %v", got.Original.URL, err)
	}
	said := w.verified(t, w.config(), false)
	if !strings.Contains(said, "picture "+a.Original.Key+" of asset "+a.ID+" is not at the target\n") {
		t.Error(said)
	}
	w.copied(t, w.config(), true)
	w.expectMoved(t, a)
	w.expectMoved(t, b)
	w.verified(t, w.config(), true)
}

// A picture that is lost or is refused stays behind and is named; its record and the rest go.
func TestPicturesThatStay(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	lost, refused, fine := w.add(t, nil), w.add(t, nil), w.add(t, nil)
	if err := w.images.Delete(t.Context(), lost.Processed.Key); err != nil {
		t.Fatal(err)
	}
	w.toImages.fail = func(key string, _ int) error {
		if key == refused.Original.Key {
			return fmt.Errorf("put: %w", errRefused)
		}
		return nil
	}
	for range 2 {
		said := w.copied(t, w.config(), false)
		for _, want := range []string{
			"picture " + lost.Processed.Key + " of asset " + lost.ID + " is not in the data directory\n",
			"picture " + refused.Original.Key + " of asset " + refused.ID + " stays where it is: put: too large for us\n",
		} {
			if !strings.Contains(said, want) {
				t.Errorf("%q is not in\n%s", want, said)
			}
		}
	}
	w.expectMoved(t, fine)
	for _, a := range []asset.Asset{lost, refused} {
		got, err := w.toAssets.Get(t.Context(), a.ID)
		if err != nil {
			t.Fatal(err)
		}
		moved := got.Original.URL != a.Original.URL
		if moved != (a.ID == lost.ID) || (got.Processed.URL != a.Processed.URL) == moved {
			t.Errorf("URLs %s and %s", got.Original.URL, got.Processed.URL)
		}
	}
	said := w.verified(t, w.config(), false)
	if strings.Count(said, "picture ") != 2 || strings.Contains(said, "asset "+lost.ID+" differs") {
		t.Error(said)
	}
	w.toImages.fail = nil // the plan was upgraded
	w.copied(t, w.config(), false)
	w.expectMoved(t, refused)
}

// A picture that does not get through is sent again; in the end it is an error that names it.
func TestTransientFailure(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		a := w.add(t, nil)
		away := errors.New("connection reset")
		w.toImages.fail = func(_ string, n int) error {
			if n < 3 {
				return away
			}
			return nil
		}
		w.copied(t, w.config(), true)
		w.expectMoved(t, a)

		b := w.add(t, nil)
		w.toImages.puts, w.toImages.fail = 0, func(string, int) error { return away }
		_, err := migrate.Copy(t.Context(), w.config())
		if !errors.Is(err, away) || !strings.Contains(fmt.Sprint(err), "picture "+b.Original.Key+" of asset "+b.ID) || w.toImages.puts != 3 {
			t.Errorf("%v after %d tries", err, w.toImages.puts)
		}
		if _, err := w.toAssets.Get(t.Context(), b.ID); !errors.Is(err, asset.ErrNotFound) {
			t.Errorf("a record without its picture: %v", err)
		}
	})
}

// Whatever is not as in the installation is found, and left as it is.
func TestVerify(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := t.Context()
	var all []asset.Asset
	for range 6 {
		all = append(all, w.add(t, nil))
	}
	w.addJobs(t)
	w.copied(t, w.config(), true)

	gone, cut, other, spaced := all[0], all[1], all[2], all[3]
	if _, err := w.toAssets.Delete(ctx, gone.ID, gone.Owner); err != nil {
		t.Fatal(err)
	}
	if err := w.toImages.Delete(ctx, cut.Original.Key); err != nil {
		t.Fatal(err)
	}
	if _, err := w.toImages.Put(ctx, other.Processed.Key, strings.NewReader("picture")); err != nil {
		t.Fatal(err)
	}
	w.exec(t, "UPDATE asset_events SET payload = replace(payload, '  ', ' ') WHERE asset_id = ?", spaced.ID)
	delete(w.toJobs.jobs, "dead-1")
	delayed := w.toJobs.jobs["delayed-1"]
	delayed.Data = []byte(`{"id": "delayed-1"}`)
	w.toJobs.jobs["delayed-1"] = delayed
	w.exec(t, "INSERT INTO jobs (id, data, max_attempts, created_at, queued_at) VALUES ('late-1', '{}', 3, 1, 1)")

	said := w.verified(t, w.config(), false)
	for _, want := range []string{
		"asset " + gone.ID + " is not at the target\n",
		"asset " + spaced.ID + " differs at the target: somebody has gone on with it\n",
		"picture " + cut.Original.Key + " of asset " + cut.ID + " is not at the target\n",
		"picture " + other.Processed.Key + " of asset " + other.ID + " is another one at the target\n",
		"job dead-1 is not at the target\n",
		"job late-1 is not at the target\n",
		"job delayed-1 differs at the target: somebody has gone on with it\n",
		`
KIND           SOURCE   TARGET         EQUAL  MISSING  DIFFERENT
assets              6        5             4        1          1
pictures           12       11            10        1          1
jobs                5        4             3        1          1
dead letters        1        0             0        1          0
`,
	} {
		if !strings.Contains(said, want) {
			t.Errorf("%q is not in\n%s", want, said)
		}
	}
	if again := w.verified(t, w.config(), false); len(again) != len(said) {
		t.Errorf("looking has changed something:\n%s", again)
	}
}

func TestPaused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.addJobs(t)
	if err := w.jobs.Pause(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.verified(t, w.config(), false)
	if w.toJobs.paused {
		t.Error("verifying has paused the queue")
	}
	if said := w.copied(t, w.config(), true); !w.toJobs.paused || !strings.HasPrefix(said, "the queue is paused, and will be at the target\n") {
		t.Errorf("paused: %t\n%s", w.toJobs.paused, said)
	}
}

// With a target for the queue alone nothing else is looked at.
func TestJobsAlone(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.add(t, nil)
	w.addJobs(t)
	c := w.config()
	c.ToAssets, c.ToImages, c.Images = nil, nil, nil
	w.copied(t, c, true)
	w.verified(t, c, true)
	if _, err := w.toAssets.Count(t.Context()); err != nil || len(w.toJobs.jobs) != 5 || w.toImages.puts != 0 {
		t.Errorf("%d jobs, %d pictures, %v", len(w.toJobs.jobs), w.toImages.puts, err)
	}
}
