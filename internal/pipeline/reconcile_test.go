package pipeline_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"loupe/internal/analyze"
	"loupe/internal/asset"
	"loupe/internal/image"
	"loupe/internal/pipeline"
	"loupe/internal/queue"
)

// Whatever a crash, or a queue that forgot, has left: the reconciler says what it was, and the run ends and is told.
func TestReconcile(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, newWorld func(*testing.T, func(*pipeline.Config)) *world) {
		for name, c := range map[string]struct {
			damage   func(*testing.T, *world) asset.Asset
			repaired []string
			want     asset.Status
		}{
			"nothing":                            {waiting, nil, asset.Active},
			"a draft whose job is queued":        {queuedDraft, nil, asset.Active},
			"a draft without job":                {draftWithoutJob, []string{"job missing"}, asset.Active},
			"processing without job":             {processingWithoutJob, []string{"job missing"}, asset.Active},
			"processing, its job completed":      {jobCompleted, []string{"job completed without a result"}, asset.Active},
			"processing, its job a dead letter":  {jobDead, []string{"dead letter without failed asset"}, asset.Failed},
			"a draft whose job is a dead letter": {draftJobDead, []string{"dead letter without failed asset"}, asset.Failed},
			"finished but not told":              {notTold, []string{"event not sent"}, asset.Active},
		} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				checkRepair(t, newWorld, c.damage, c.repaired, c.want)
			})
			t.Run(name+", found by many", func(t *testing.T) {
				t.Parallel()
				w := newWorld(t, nil)
				a := c.damage(t, w)
				var all sync.WaitGroup
				for range 4 {
					all.Go(func() {
						if err := w.Reconcile(t.Context(), 0); err != nil {
							t.Error(err)
						}
					})
				}
				all.Wait()
				w.wantEnd(t, a.ID, c.want)
			})
		}
	})
}

// checkRepair has damage repaired, and what is repaired counted.
func checkRepair(
	t *testing.T, newWorld func(*testing.T, func(*pipeline.Config)) *world,
	damage func(*testing.T, *world) asset.Asset, want []string, end asset.Status,
) {
	t.Helper()
	var repaired []string
	w := newWorld(t, func(c *pipeline.Config) {
		c.Observe.Repaired = func(what string) { repaired = append(repaired, what) }
	})
	a := damage(t, w)
	if err := w.Reconcile(t.Context(), time.Hour); err != nil || len(repaired) > 0 {
		t.Errorf("while somebody may be at work: repaired %q, %v", repaired, err)
	}
	if err := w.Reconcile(t.Context(), 0); err != nil || !slices.Equal(repaired, want) {
		t.Errorf("repaired %q, want %q, %v", repaired, want, err)
	}
	w.wantEnd(t, a.ID, end)
	repaired = nil
	if err := w.Reconcile(t.Context(), 0); err != nil || len(repaired) > 0 {
		t.Errorf("again: repaired %q, %v", repaired, err)
	}
}

// wantEnd has the asset's run done, and checks that it ends like that and that its owner is told.
func (w *world) wantEnd(t *testing.T, id string, want asset.Status) {
	t.Helper()
	w.work(t)
	a := w.untilStatus(t, id, want)
	told := w.told.of("asset_processed", id)
	if slices.Sort(told); len(slices.Compact(told)) != 1 {
		t.Errorf("told %q", told)
	}
	w.untilJob(t, a.JobID, queue.Completed, queue.FailedJob)
}

// A clock that was an hour ahead, and has been set since, leaves no asset alone for an hour. But what has changed since the
// look began, or by a clock that is a little ahead, is young.
func TestReconcileAheadOfTheClock(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	a := w.draft(t)
	_, err := w.assets.Transition(t.Context(), a.ID, asset.Change{
		From: []asset.Status{asset.Processing}, JobID: a.JobID, At: asset.Now().Add(time.Hour),
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Reconcile(t.Context(), 2*time.Hour); err != nil {
		t.Fatal(err)
	}
	if _, err := w.jobs.Get(t.Context(), a.JobID); !errors.Is(err, queue.ErrNotFound) {
		t.Errorf("while somebody may be at work it is repaired: %v", err)
	}
	if err := w.Reconcile(t.Context(), w.Grace); err != nil {
		t.Fatal(err)
	}
	w.wantEnd(t, a.ID, asset.Active)
}

func waiting(t *testing.T, w *world) asset.Asset {
	t.Helper()
	return w.get(t, w.submit(t).AssetID)
}

// recorded is an asset whose submission ended after its first step.
func recorded(t *testing.T, w *world) asset.Asset {
	t.Helper()
	config := w.Config
	c := &cut{}
	c.left.Store(1)
	config.Assets, config.Queue = cutAssets{config.Assets, c}, cutQueue{config.Queue, c}
	if _, err := pipeline.New(config).Submit(t.Context(), owner, "sneaker", w.receive(t), ""); !errors.Is(err, errCut) {
		t.Fatalf("submit: %v", err)
	}
	page, err := w.assets.List(t.Context(), asset.Query{Owner: owner})
	if err != nil || len(page.Items) != 1 || page.Items[0].Status != asset.Draft {
		t.Fatalf("%+v, %v", page.Items, err)
	}
	return page.Items[0]
}

func draftWithoutJob(t *testing.T, w *world) asset.Asset { return recorded(t, w) }

func queuedDraft(t *testing.T, w *world) asset.Asset {
	t.Helper()
	a := recorded(t, w)
	if err := w.jobs.Enqueue(t.Context(), a.JobID, w.job(t, a, 1).Data); err != nil {
		t.Fatal(err)
	}
	return a
}

func processingWithoutJob(t *testing.T, w *world) asset.Asset { return w.draft(t) }

// ended lets a worker end the asset's job in its own way, without a word to the asset.
func ended(t *testing.T, w *world, a asset.Asset, how error, state queue.State) asset.Asset {
	t.Helper()
	stop := w.consume(t, ending{how})
	w.untilJob(t, a.JobID, state)
	stop()
	return a
}

// ending is a handler that ends every job in one way.
type ending struct{ how error }

func (e ending) Process(context.Context, queue.Job) error { return e.how }
func (e ending) Dead(context.Context, queue.Job, string)  {}

func jobCompleted(t *testing.T, w *world) asset.Asset {
	t.Helper()
	return ended(t, w, waiting(t, w), nil, queue.Completed)
}

func jobDead(t *testing.T, w *world) asset.Asset {
	t.Helper()
	return ended(t, w, waiting(t, w), queue.Permanent(errors.New("poison")), queue.FailedJob)
}

func draftJobDead(t *testing.T, w *world) asset.Asset {
	t.Helper()
	return ended(t, w, queuedDraft(t, w), queue.Permanent(errors.New("poison")), queue.FailedJob)
}

func notTold(t *testing.T, w *world) asset.Asset {
	t.Helper()
	w.told.setDown(true)
	stop := w.work(t)
	a := waiting(t, w)
	w.until(t, a.ID, "active", func(a asset.Asset) bool { return a.Status == asset.Active })
	w.untilJob(t, a.JobID, queue.Completed)
	stop()
	w.told.setDown(false)
	return a
}

// Pictures that no asset has are removed a day after they were noted, and no others.
func TestStrayPictures(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, newWorld func(*testing.T, func(*pipeline.Config)) *world) {
		w := newWorld(t, nil)
		var stray, kept []string
		keep := func(a asset.Asset) {
			kept = append(kept, a.Original.Key)
			if a.Processed != nil {
				kept = append(kept, a.Processed.Key)
			}
		}

		// Two crashes: after an upload was stored, and after its asset was recorded under an idempotency key.
		w.receive(t)
		stray = append(stray, w.pictures(t)...)
		if _, err := w.Submit(t.Context(), owner, "sneaker", w.receive(t), "a key"); err != nil {
			t.Fatal(err)
		}
		page, err := w.assets.List(t.Context(), asset.Query{Owner: owner})
		if err != nil {
			t.Fatal(err)
		}
		keep(page.Items[0])

		// An attempt whose result came to nothing, one that counts, and a run that replaces a picture.
		process := func(a asset.Asset, known bool) (processed string) {
			t.Helper()
			w.ai.answers(func(ctx context.Context, r analyze.Request) (analyze.Result, error) {
				info, err := pipeline.KeepProcessed(ctx, w.images, w.assets, r.AssetID, image.PNG, bytes.NewReader([]byte("picture")))
				processed = info.Key
				answer := analyze.Result{ProcessedImageURL: info.URL}
				if known {
					answer.Brand = &analyze.Field{Value: "Nike", Confidence: 1}
				}
				return answer, err
			})
			if err := w.Process(t.Context(), w.job(t, a, 1)); err != nil {
				t.Fatal(err)
			}
			return processed
		}
		a := w.draft(t)
		replaced := process(a, false)
		receipt, err := w.Retry(t.Context(), owner, a.ID)
		if err != nil || receipt.JobID != asset.JobID(a.ID, 2) {
			t.Fatal(receipt, err)
		}
		process(w.get(t, a.ID), true)
		stray = append(stray, replaced)
		keep(w.get(t, a.ID))

		// Assets that are deleted while a result is on its way, and while the process dies.
		b := w.draft(t)
		w.ai.answers(func(ctx context.Context, r analyze.Request) (analyze.Result, error) {
			if err := w.Delete(t.Context(), owner, b.ID); err != nil {
				t.Error(err)
			}
			info, err := pipeline.KeepProcessed(t.Context(), w.images, w.assets, r.AssetID, image.PNG, bytes.NewReader([]byte("late")))
			stray = append(stray, info.Key)
			return analyze.Result{}, err
		})
		if err := w.Process(t.Context(), w.job(t, b, 1)); err != nil {
			t.Fatal(err)
		}
		c := w.draft(t)
		process(c, true)
		c = w.get(t, c.ID)
		config := w.Config
		config.Images = dyingImages{config.Images}
		if err := pipeline.New(config).Delete(t.Context(), owner, c.ID); err != nil {
			t.Fatal(err)
		}
		stray = append(stray, c.Original.Key, c.Processed.Key)

		reconcile := func() {
			t.Helper()
			if err := w.Reconcile(t.Context(), 0); err != nil {
				t.Fatal(err)
			}
		}
		w.age(t, 23*time.Hour)
		reconcile()
		w.wantPictures(t, slices.Concat(stray, kept))
		w.age(t, 25*time.Hour)
		reconcile()
		w.wantPictures(t, kept)
		if notes, err := w.assets.Noted(t.Context(), time.Now().Add(time.Hour), 100); err != nil || len(notes) > 0 {
			t.Errorf("notes left: %v, %v", notes, err)
		}
	})
}

// A picture that cannot be removed does not keep the others from their turn, and has its own again.
func TestStrayPictureThatStays(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	for range 3 {
		w.receive(t)
	}
	w.age(t, 25*time.Hour)
	config := w.Config
	config.Images = dyingImages{config.Images}
	if err := pipeline.New(config).Reconcile(t.Context(), 0); !errors.Is(err, errCut) {
		t.Errorf("reconcile: %v", err)
	}
	if err := w.Reconcile(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	if left := w.pictures(t); len(left) != 1 {
		t.Errorf("%d pictures left", len(left))
	}
	w.age(t, 25*time.Hour)
	if err := w.Reconcile(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	w.wantPictures(t, nil)
}

// dyingImages are an image store before whose removals the process dies.
type dyingImages struct{ image.Store }

func (dyingImages) Delete(context.Context, string) error { return errCut }

// age makes all notes on pictures as old as that.
func (w *world) age(t *testing.T, by time.Duration) {
	t.Helper()
	notes, err := w.assets.Noted(t.Context(), time.Now().Add(time.Hour), 100)
	if err != nil {
		t.Fatal(err)
	}
	for i := range notes {
		notes[i].At = asset.Now().Add(-by)
	}
	if err := w.assets.Note(t.Context(), notes...); err != nil {
		t.Fatal(err)
	}
}

// pictures returns the keys of the pictures that there are.
func (w *world) pictures(t *testing.T) (keys []string) {
	t.Helper()
	files, err := os.ReadDir(w.imageDir)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if !f.IsDir() {
			keys = append(keys, f.Name())
		}
	}
	return keys
}

func (w *world) wantPictures(t *testing.T, want []string) {
	t.Helper()
	slices.Sort(want)
	if got := w.pictures(t); !slices.Equal(got, want) {
		t.Errorf("there are the pictures %q, want %q", got, want)
	}
}
