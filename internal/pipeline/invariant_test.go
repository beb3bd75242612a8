package pipeline_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"loupe/internal/analyze"
	"loupe/internal/asset"
	"loupe/internal/pipeline"
	"loupe/internal/queue"
)

// cut stands between the pipeline and its back ends and fails every call from the nth on, as a crash would: what came
// before is durable, what comes after never happened.
type cut struct {
	left atomic.Int64
}

var errCut = errors.New("the process is dead")

func (c *cut) dead() bool { return c.left.Add(-1) < 0 }

type cutAssets struct {
	asset.Store
	*cut
}

func (s cutAssets) Create(ctx context.Context, a asset.Asset, log ...asset.Entry) error {
	if s.dead() {
		return errCut
	}
	return s.Store.Create(ctx, a, log...)
}

func (s cutAssets) Transition(ctx context.Context, id string, c asset.Change) (asset.Asset, error) {
	if s.dead() {
		return asset.Asset{}, errCut
	}
	return s.Store.Transition(ctx, id, c)
}

func (s cutAssets) Delete(ctx context.Context, id, owner string) (asset.Asset, error) {
	if s.dead() {
		return asset.Asset{}, errCut
	}
	return s.Store.Delete(ctx, id, owner)
}

type cutQueue struct {
	queue.Queue
	*cut
}

func (q cutQueue) Enqueue(ctx context.Context, id string, data json.RawMessage) error {
	if q.dead() {
		return errCut
	}
	return q.Queue.Enqueue(ctx, id, data)
}

type cutNotifier struct {
	pipeline.Notifier
	*cut
}

func (n cutNotifier) Notify(ctx context.Context, owner string, e pipeline.Event) error {
	if n.dead() {
		return errCut
	}
	return n.Notifier.Notify(ctx, owner, e)
}

// Every asset that exists after a crash anywhere in submit or process ends in a terminal state, and its event is told,
// once somebody reconciles and works.
func TestInvariant1AcceptedMeansFinished(t *testing.T) {
	t.Parallel()
	for steps := range 9 {
		t.Run(fmt.Sprintf("crash after %d steps", steps), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, nil)
			c := &cut{}
			c.left.Store(int64(steps))
			dying := *w
			config := w.Config
			config.Assets, config.Queue = cutAssets{config.Assets, c}, cutQueue{config.Queue, c}
			config.Notifier = cutNotifier{config.Notifier, c}
			dying.Pipeline = pipeline.New(config)

			receipt, err := dying.Submit(t.Context(), owner, "sneaker", w.receive(t), "")
			accepted := err == nil
			if accepted {
				_ = dying.Process(t.Context(), w.job(t, w.get(t, receipt.AssetID), 1))
			}

			// A new process on the same back ends.
			if err := w.Reconcile(t.Context(), 0); err != nil {
				t.Fatal(err)
			}
			w.work(t)
			page, err := w.assets.List(t.Context(), asset.Query{Owner: owner, Limit: 10})
			if err != nil {
				t.Fatal(err)
			}
			if accepted && len(page.Items) != 1 {
				t.Fatalf("accepted, but %d assets", len(page.Items))
			}
			for _, a := range page.Items {
				w.untilStatus(t, a.ID, asset.Active)
				if len(w.told.of("asset_processed", a.ID)) == 0 {
					t.Error("finished but never told")
				}
			}
		})
	}
}

// The queue is lost altogether: the asset store rebuilds it.
func TestInvariant1QueueCanBeRebuilt(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	var drafts []asset.Asset
	for range 5 {
		drafts = append(drafts, w.draft(t))
	}
	if err := w.Reconcile(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	w.work(t)
	for _, a := range drafts {
		w.untilStatus(t, a.ID, asset.Active)
	}
}

func TestInvariant2LateResultChangesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	a := w.draft(t)
	release := make(chan struct{})
	started := make(chan struct{})
	w.ai.answers(func(ctx context.Context, _ analyze.Request) (analyze.Result, error) {
		close(started)
		<-release
		return analyze.Result{Brand: &analyze.Field{Value: "too late", Confidence: 1}}, nil
	})
	late := make(chan error, 1)
	go func() { late <- w.Process(t.Context(), w.job(t, a, 1)) }()
	<-started

	// While that worker hangs, the job is given to another, which finishes it.
	w.ai.answers(nil)
	if err := w.Process(t.Context(), w.job(t, a, 1)); err != nil {
		t.Fatal(err)
	}
	close(release)
	if err := <-late; err != nil {
		t.Errorf("the late worker: %v", err)
	}
	if got := w.get(t, a.ID); got.Analysis.Brand.Value != "Nike" || len(w.told.of("asset_processed", a.ID)) != 1 {
		t.Errorf("brand %q, told %d times", got.Analysis.Brand.Value, len(w.told.of("asset_processed", a.ID)))
	}
}

func TestInvariant3RepeatedEventIsTheSame(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	a := w.draft(t)
	w.told.setDown(true)
	if err := w.Process(t.Context(), w.job(t, a, 1)); err != nil {
		t.Fatalf("invariant 8: a failing notifier failed the job: %v", err)
	}
	if a = w.get(t, a.ID); !a.EventPending {
		t.Fatal("the event was not told, but is not pending")
	}
	w.told.setDown(false)
	if err := w.Process(t.Context(), w.job(t, a, 1)); err != nil { // the queue delivers it again
		t.Fatal(err)
	}
	if err := w.Reconcile(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	var missed []pipeline.Event
	err := w.Missed(t.Context(), owner, a.CreatedAt, func(events []pipeline.Event, complete bool) { missed = events })
	if err != nil || len(missed) != 1 {
		t.Fatalf("missed %v, %v", missed, err)
	}
	told := w.told.of("asset_processed", a.ID)
	if len(told) != 1 || told[0] != string(missed[0].Payload) {
		t.Errorf("told %v, missed %s", told, missed[0].Payload)
	}
}

func TestInvariant5OneJobPerRun(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.work(t)
	photo := w.receive(t)
	const key = "the same upload"
	receipts := make([]pipeline.Receipt, 50)
	var wait sync.WaitGroup
	for i := range receipts {
		again := photo
		if i > 0 {
			again = w.receive(t)
		}
		wait.Go(func() {
			var err error
			if receipts[i], err = w.Submit(t.Context(), owner, "sneaker", again, key); err != nil {
				t.Error(err)
			}
		})
	}
	wait.Wait()
	w.untilStatus(t, receipts[0].AssetID, asset.Active)
	for _, r := range receipts {
		if r != receipts[0] {
			t.Fatalf("receipts differ: %+v, %+v", r, receipts[0])
		}
	}
	if w.ai.questions() != 1 || len(w.told.of("asset_processed", receipts[0].AssetID)) != 1 {
		t.Errorf("%d analyses", w.ai.questions())
	}
	if _, err := w.Submit(t.Context(), owner, "lego", w.receive(t), key); !errors.Is(err, pipeline.ErrKeyReused) {
		t.Errorf("the key with another category: %v", err)
	}
	if _, err := w.Submit(t.Context(), "another user", "lego", w.receive(t), key); err != nil {
		t.Errorf("the key of another user: %v", err)
	}
}

func TestInvariant6OutageBurnsNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.ai.feels(failure(analyze.Unavailable))
	w.ai.fails(failure(analyze.Unavailable))
	w.work(t)
	var ids []string
	for range 20 {
		ids = append(ids, w.submit(t).AssetID)
	}
	for !w.Service().Down {
		<-time.After(5 * time.Millisecond)
	}
	if n := w.ai.questions(); n > 8 { // at most those that were under way, twice
		t.Errorf("asked %d times during the outage", n)
	}
	w.ai.answers(nil)
	w.ai.feels(nil)
	for _, id := range ids {
		w.untilStatus(t, id, asset.Active)
		job := w.untilJob(t, asset.JobID(id, 1), queue.Completed)
		if len(job.Errors) != 0 {
			t.Errorf("job %s has errors %v", job.ID, job.Errors)
		}
	}
}

func TestInvariant9ShutdownHandsBack(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	started := make(chan struct{}, 10)
	w.ai.answers(func(ctx context.Context, _ analyze.Request) (analyze.Result, error) {
		started <- struct{}{}
		<-ctx.Done()
		return analyze.Result{}, context.Cause(ctx)
	})
	stop := w.work(t)
	receipt := w.submit(t)
	<-started
	stop()
	job, err := w.jobs.Get(t.Context(), receipt.JobID)
	if err != nil || job.State != queue.Waiting || job.AttemptsMade != 0 {
		t.Fatalf("job %+v, %v", job, err)
	}
	w.ai.answers(nil)
	w.work(t)
	w.untilStatus(t, receipt.AssetID, asset.Active)
}

// Another process stamps an event, and commits it only while a socket is given what it has missed: with an earlier time
// than the latest it is given.
func TestMissedFindsWhatOtherProcessesCommitLate(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(c *pipeline.Config) { c.ManyProcesses = true })
	early, late := w.draft(t), w.draft(t)
	stamped := asset.Now()
	if err := w.Process(t.Context(), w.job(t, early, 1)); err != nil {
		t.Fatal(err)
	}
	var told []string
	err := w.Missed(t.Context(), owner, asset.Now(), func(events []pipeline.Event, complete bool) {
		if len(told) == 0 {
			_, err := w.assets.Transition(t.Context(), late.ID, asset.Change{
				From: []asset.Status{asset.Draft, asset.Processing}, JobID: late.JobID, To: asset.Processing,
				Log: []asset.Entry{{At: stamped, Event: asset.EventFinished, Payload: json.RawMessage(`"late"`)}},
			})
			if err != nil || !complete {
				t.Errorf("complete %v, %v", complete, err)
			}
		}
		for _, e := range events {
			told = append(told, string(e.Payload))
		}
	})
	want := append(w.told.of("asset_processed", early.ID), `"late"`)
	if err != nil || !slices.Equal(told, want) {
		t.Errorf("told %q, want %q, %v", told, want, err)
	}
}

func TestMissedAsksForResync(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	called := false
	err := w.Missed(t.Context(), owner, time.Now().Add(-8*24*time.Hour), func(events []pipeline.Event, complete bool) {
		called = true
		if complete || len(events) > 0 {
			t.Errorf("got %d events, complete %v", len(events), complete)
		}
	})
	if err != nil || !called {
		t.Error(err)
	}
}

func TestEventsOfAnOwnerAreOrdered(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.work(t)
	var ids []string
	for range 30 {
		ids = append(ids, w.submit(t).AssetID)
	}
	for _, id := range ids {
		w.untilStatus(t, id, asset.Active)
	}
	last := ""
	w.told.mu.Lock()
	defer w.told.mu.Unlock()
	for _, e := range w.told.events {
		if e.Name != pipeline.EventProcessed {
			continue
		}
		_, at, _ := strings.Cut(string(e.Payload), `"timestamp":`)
		if at <= last {
			t.Errorf("event at %s was sent after one at %s", at, last)
		}
		last = at
	}
}
