package pipeline_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"loupe/internal/analyze"
	"loupe/internal/asset"
	"loupe/internal/image"
	"loupe/internal/pipeline"
	"loupe/internal/queue"
)

func TestRetryRunsAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.ai.fails(failure(analyze.Permanent))
	w.work(t)
	first := w.submit(t)
	w.untilStatus(t, first.AssetID, asset.Failed)
	w.ai.answers(nil)

	if _, err := w.Retry(t.Context(), "another user", first.AssetID); !errors.Is(err, asset.ErrNotFound) {
		t.Errorf("another user's retry: %v", err)
	}
	second, err := w.Retry(t.Context(), owner, first.AssetID)
	if err != nil || second.JobID != asset.JobID(first.AssetID, 2) {
		t.Fatalf("%+v, %v", second, err)
	}
	w.untilStatus(t, first.AssetID, asset.Active)
	if _, err := w.Retry(t.Context(), owner, first.AssetID); !errors.Is(err, asset.ErrConflict) {
		t.Errorf("retry of an active asset: %v", err)
	}
	if err := w.Replay(t.Context(), first.JobID); !errors.Is(err, pipeline.ErrSuperseded) {
		t.Errorf("replay of a superseded job: %v", err)
	}
	if n := len(w.told.of("asset_processed", first.AssetID)); n != 2 {
		t.Errorf("told %d times, want each run once", n)
	}
}

func TestRetryThatCannotBeQueuedIsTakenBack(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.ai.fails(failure(analyze.Permanent))
	a := w.draft(t)
	_ = w.Process(t.Context(), w.job(t, a, 1))

	config := w.Config
	config.Queue = cutQueue{config.Queue, &cut{}}
	if _, err := pipeline.New(config).Retry(t.Context(), owner, a.ID); !errors.Is(err, errCut) {
		t.Errorf("got %v", err)
	}
	if got := w.get(t, a.ID); got.Status != asset.Failed || got.Run != 1 || got.JobID != a.JobID {
		t.Errorf("left %s in run %d", got.Status, got.Run)
	}
}

func TestReplay(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.ai.fails(failure(analyze.Transient))
	w.work(t)
	var ids []string
	for range 3 {
		ids = append(ids, w.submit(t).AssetID)
	}
	for _, id := range ids {
		w.untilStatus(t, id, asset.Failed)
		w.untilJob(t, asset.JobID(id, 1), queue.FailedJob)
	}
	letters, _, err := w.DeadLetters(t.Context(), queue.Filter{Limit: 10})
	if err != nil || len(letters) != 3 || letters[0].UserID != owner || len(letters[0].Errors) != 3 {
		t.Fatalf("%+v, %v", letters, err)
	}
	w.ai.answers(nil)
	if n, err := w.ReplayAll(t.Context(), queue.Filter{Text: "no such text"}); n != 0 || err != nil {
		t.Errorf("replayed %d, %v", n, err)
	}
	if n, err := w.ReplayAll(t.Context(), queue.Filter{Text: "SAID THE service"}); n != 3 || err != nil {
		t.Errorf("replayed %d, %v", n, err)
	}
	for _, id := range ids {
		w.untilStatus(t, id, asset.Active)
	}
	if err := w.Replay(t.Context(), asset.JobID(ids[0], 1)); !errors.Is(err, queue.ErrState) {
		t.Errorf("replay of a completed job: %v", err)
	}
	if err := w.Replay(t.Context(), "unknown-1"); !errors.Is(err, queue.ErrNotFound) {
		t.Errorf("replay of an unknown job: %v", err)
	}
}

func TestDeleteTakesEverythingAlong(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	receipt := w.submit(t)
	key := w.get(t, receipt.AssetID).Original.Key
	if err := w.Delete(t.Context(), "another user", receipt.AssetID); !errors.Is(err, asset.ErrNotFound) {
		t.Errorf("another user's delete: %v", err)
	}
	if err := w.Delete(t.Context(), owner, receipt.AssetID); err != nil {
		t.Fatal(err)
	}
	if _, err := w.jobs.Get(t.Context(), receipt.JobID); !errors.Is(err, queue.ErrNotFound) {
		t.Errorf("the job is still there: %v", err)
	}
	if _, _, err := w.images.Open(t.Context(), key); !errors.Is(err, image.ErrNotFound) {
		t.Errorf("the image is still there: %v", err)
	}
}

func TestDeleteStopsARunningAnalysis(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	started, deleted := make(chan struct{}), make(chan struct{})
	w.ai.answers(func(ctx context.Context, _ analyze.Request) (analyze.Result, error) {
		close(started)
		<-ctx.Done()
		<-deleted // a job that has ended by then is deleted along with its asset
		return analyze.Result{}, context.Cause(ctx)
	})
	w.work(t)
	receipt := w.submit(t)
	<-started
	if err := w.Delete(t.Context(), owner, receipt.AssetID); err != nil {
		t.Fatal(err)
	}
	close(deleted)
	w.untilJob(t, receipt.JobID, queue.Completed)
	if len(w.told.of("asset_processed", receipt.AssetID)) != 0 {
		t.Error("a deleted asset was announced")
	}
}

func TestRefusedSubmissionLeavesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	for steps := range 2 { // create fails; enqueue fails
		c := &cut{}
		c.left.Store(int64(steps))
		config := w.Config
		config.Queue = cutQueue{config.Queue, c}
		if steps == 0 {
			config.Assets = cutAssets{config.Assets, c}
		} else {
			c.left.Store(0)
		}
		if _, err := pipeline.New(config).Submit(t.Context(), owner, "sneaker", w.receive(t), ""); !errors.Is(err, errCut) {
			t.Errorf("got %v", err)
		}
	}
	page, err := w.assets.List(t.Context(), asset.Query{Owner: owner, Limit: 10})
	if err != nil || len(page.Items) != 0 {
		t.Errorf("%d assets left, %v", len(page.Items), err)
	}
	left := 0
	err = filepath.WalkDir(w.imageDir, func(path string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			left++
		}
		return err
	})
	if err != nil || left != 0 {
		t.Errorf("%d files left, %v", left, err)
	}
}
