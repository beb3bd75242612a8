package pipeline_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"loupe/internal/analyze"
	"loupe/internal/asset"
	"loupe/internal/pipeline"
	"loupe/internal/queue"
)

func failure(class analyze.Class) *analyze.Error {
	return &analyze.Error{Class: class, Message: "said the service", RetryAfter: 30 * time.Millisecond}
}

func TestPhotoBecomesActive(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.work(t)
	receipt := w.submit(t)
	a := w.untilStatus(t, receipt.AssetID, asset.Active)

	if a.Analysis.Brand.Value != "Nike" || a.Analysis.Model != nil || a.Processed.URL != known.ProcessedImageURL {
		t.Errorf("analysis %+v, processed %+v", a.Analysis, a.Processed)
	}
	want := `{"event":"asset_processed","assetId":"` + a.ID + `","status":"active","aiMetadata":{` +
		`"brand":{"value":"Nike","confidence":0.95},"model":{"value":"","confidence":0},` +
		`"colorway":{"value":"Chicago","confidence":0.82}},` +
		`"processedImageUrl":"https://example.com/processed.png","timestamp":"` +
		a.Analysis.ProcessedAt.Format("2006-01-02T15:04:05.000Z") + `"}`
	if got := w.told.of("asset_processed", a.ID); len(got) != 1 || got[0] != want {
		t.Errorf("told %v\nwant %s", got, want)
	}
	var events []string
	entries, err := w.assets.Timeline(t.Context(), asset.TimelineQuery{AssetID: a.ID})
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		events = append(events, e.Event)
	}
	if got := strings.Join(events, " "); got != "received stored queued started finished" {
		t.Errorf("timeline %s", got)
	}
	w.untilJob(t, receipt.JobID, queue.Completed)
}

func TestWhatBecomesOfAnAttempt(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		answers      []error // of the attempts, the last for ever; nil is success
		failOnOutage bool
		status       asset.Status
		asked        int
		spent        int // attempts, as the queue has it
	}{
		"success":                       {[]error{nil}, false, asset.Active, 1, 1},
		"permanent":                     {[]error{failure(analyze.Permanent)}, false, asset.Failed, 1, 1},
		"transient for ever":            {[]error{failure(analyze.Transient)}, false, asset.Failed, 3, 3},
		"transient twice":               {[]error{failure(analyze.Transient), failure(analyze.Transient), nil}, false, asset.Active, 3, 3},
		"rate limited spends nothing":   {[]error{failure(analyze.RateLimited), failure(analyze.RateLimited), failure(analyze.RateLimited), failure(analyze.RateLimited), nil}, false, asset.Active, 5, 1},
		"unavailable spends nothing":    {[]error{failure(analyze.Unavailable), nil}, false, asset.Active, 2, 1},
		"unavailable, the seed's way":   {[]error{failure(analyze.Unavailable)}, true, asset.Failed, 3, 3},
		"an error nobody has a name to": {[]error{errors.New("odd")}, false, asset.Failed, 3, 3},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, nil)
			w.FailOnOutage = c.failOnOutage
			w.ai.feels(&analyze.Error{Class: analyze.Permanent, Status: 404}) // it cannot be asked
			w.ai.answers(func(context.Context, analyze.Request) (analyze.Result, error) {
				err := c.answers[min(w.ai.questions(), len(c.answers))-1]
				if err != nil {
					return analyze.Result{}, err
				}
				return known, nil
			})
			w.work(t)
			receipt := w.submit(t)
			a := w.untilStatus(t, receipt.AssetID, c.status)
			if got := w.ai.questions(); got != c.asked {
				t.Errorf("asked %d times, want %d", got, c.asked)
			}
			job := w.untilJob(t, receipt.JobID, queue.Completed, queue.FailedJob)
			if job.AttemptsMade != c.spent {
				t.Errorf("%d attempts spent, want %d", job.AttemptsMade, c.spent)
			}
			events := w.told.of("asset_processed", a.ID)
			if len(events) != 1 || c.status == asset.Failed && strings.Contains(events[0], "said the service") {
				t.Errorf("told %v", events)
			}
		})
	}
}

// untilJob waits until the queue has the job in one of those states.
func (w *world) untilJob(t *testing.T, id string, states ...queue.State) queue.Record {
	t.Helper()
	for {
		job, err := w.jobs.Get(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range states {
			if job.State == s {
				return job
			}
		}
		select {
		case <-time.After(5 * time.Millisecond):
		case <-t.Context().Done():
			t.Fatalf("job %s is still %s", id, job.State)
		}
	}
}

func TestPartialWithoutFields(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.ai.answers(func(context.Context, analyze.Request) (analyze.Result, error) {
		return analyze.Result{ProcessedImageURL: "https://example.com/p.png"}, nil
	})
	w.work(t)
	a := w.untilStatus(t, w.submit(t).AssetID, asset.Partial)
	if events := w.told.of("asset_processed", a.ID); len(events) != 1 || strings.Contains(events[0], "colorway") {
		t.Errorf("told %v", events)
	}
}

func TestPoisonousPhotoIsNoOutage(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.ai.fails(failure(analyze.Unavailable)) // but /health says all is well
	w.work(t)
	a := w.untilStatus(t, w.submit(t).AssetID, asset.Failed)
	if w.ai.questions() != 4 { // one for free, then three attempts
		t.Errorf("asked %d times", w.ai.questions())
	}
	if len(w.told.of("asset_processed", a.ID)) != 1 {
		t.Error("not told once")
	}
}

func TestJobTimeout(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.ai.answers(func(ctx context.Context, _ analyze.Request) (analyze.Result, error) {
		<-ctx.Done()
		return analyze.Result{}, context.Cause(ctx)
	})
	// The queue's own suite tests that the timeout comes; here what it becomes.
	a := w.draft(t)
	ctx, cancel := context.WithTimeoutCause(t.Context(), time.Millisecond, queue.ErrTimeout)
	defer cancel()
	if err := w.Process(ctx, w.job(t, a, 3)); err == nil {
		t.Error("a timed out attempt succeeded")
	}
	if a = w.get(t, a.ID); a.Status != asset.Failed || !strings.Contains(a.Analysis.Error, "too long") {
		t.Errorf("status %s, analysis %+v", a.Status, a.Analysis)
	}
}

// draft submits a photo while no worker runs, and takes its job off the queue: the test plays the queue.
func (w *world) draft(t *testing.T) asset.Asset {
	t.Helper()
	receipt := w.submit(t)
	if err := w.jobs.Remove(t.Context(), receipt.JobID); err != nil {
		t.Fatal(err)
	}
	return w.get(t, receipt.AssetID)
}

// job is the asset's job at its nth attempt.
func (w *world) job(t *testing.T, a asset.Asset, attempt int) queue.Job {
	t.Helper()
	data, err := json.Marshal(map[string]string{
		"assetId": a.ID, "userId": a.Owner, "imageUrl": a.Original.URL, "category": a.Category,
		"createdAt": "2025-12-28T10:30:00.000Z", "more": "is ignored",
	})
	if err != nil {
		t.Fatal(err)
	}
	return queue.Job{ID: a.JobID, Data: data, Attempt: attempt, MaxAttempts: 3, Starts: attempt}
}

func TestJobsThatAreNoLongerWanted(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	for name, spoil := range map[string]func(t *testing.T, a asset.Asset, j *queue.Job){
		"asset gone": func(t *testing.T, a asset.Asset, _ *queue.Job) {
			if _, err := w.assets.Delete(t.Context(), a.ID, owner); err != nil {
				t.Fatal(err)
			}
		},
		"another's asset": func(_ *testing.T, _ asset.Asset, j *queue.Job) {
			j.Data = []byte(strings.Replace(string(j.Data), owner, "somebody", 1))
		},
		"superseded": func(t *testing.T, a asset.Asset, _ *queue.Job) { w.move(t, a, asset.Failed, 2) },
	} {
		t.Run(name, func(t *testing.T) {
			a := w.draft(t)
			job := w.job(t, a, 1)
			spoil(t, a, &job)
			before := w.ai.questions()
			if err := w.Process(t.Context(), job); err != nil {
				t.Errorf("a job that is not wanted must complete as skipped: %v", err)
			}
			if w.ai.questions() != before {
				t.Error("the AI service was asked")
			}
		})
	}
}

func TestJobWithoutItsMembers(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	a := w.draft(t)
	job := w.job(t, a, 1)
	job.Data = []byte(`{"assetId":"` + a.ID + `","userId":"` + owner + `"}`)
	err := w.Process(t.Context(), job)
	if !queue.IsPermanent(err) || !strings.Contains(err.Error(), "imageUrl, category") {
		t.Errorf("got %v", err)
	}
	if a = w.get(t, a.ID); a.Status != asset.Failed {
		t.Errorf("status %s", a.Status)
	}
}

func TestFailedJobPutBackByOthersIsReplayed(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.ai.fails(failure(analyze.Transient))
	a := w.draft(t)
	if err := w.Process(t.Context(), w.job(t, a, 3)); err == nil {
		t.Fatal("no error")
	}
	w.ai.answers(nil)
	// The same attempt again: a crash came before the queue noted the failure. It stays failed.
	if err := w.Process(t.Context(), w.job(t, a, 3)); !queue.IsPermanent(err) {
		t.Errorf("got %v, want the failure again", err)
	}
	// A further attempt: somebody, Bull Board say, has put the dead letter back.
	if err := w.Process(t.Context(), w.job(t, a, 4)); err != nil {
		t.Errorf("replay: %v", err)
	}
	if a = w.get(t, a.ID); a.Status != asset.Active || a.Analysis.Error != "" {
		t.Errorf("status %s, %+v", a.Status, a.Analysis)
	}
}

func TestDeadLetterOfACrashedWorkerFailsItsAsset(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	a := w.draft(t)
	w.Dead(t.Context(), w.job(t, a, 1), "stalled")
	if a = w.get(t, a.ID); a.Status != asset.Failed || len(w.told.of("asset_processed", a.ID)) != 1 {
		t.Errorf("status %s", a.Status)
	}
}

// Another program on the same queue, in Node perhaps, has jobs with ids of its own done.
func TestJobsOfOthersAreAdopted(t *testing.T) {
	t.Parallel()
	lost := func(t *testing.T, w *world) asset.Asset { return w.draft(t) }
	waiting := func(t *testing.T, w *world) asset.Asset {
		a := w.draft(t)
		if err := w.jobs.Enqueue(t.Context(), a.JobID, w.job(t, a, 1).Data); err != nil {
			t.Fatal(err)
		}
		return a
	}
	ended := func(status asset.Status) func(*testing.T, *world) asset.Asset {
		return func(t *testing.T, w *world) asset.Asset { return w.move(t, w.draft(t), status, 2) }
	}
	for name, c := range map[string]struct {
		before func(t *testing.T, w *world) asset.Asset
		job    string // what follows the asset's id
		run    int    // of the asset in the end; 0: nothing happens
	}{
		"one whose job is missing":              {lost, " theirs", 1},
		"one whose job waits":                   {waiting, " theirs", 0},
		"a failed one":                          {ended(asset.Failed), " theirs", 3},
		"a partial one":                         {ended(asset.Partial), " theirs", 3},
		"an active one":                         {ended(asset.Active), " theirs", 0},
		"one whose job is missing, as next run": {lost, "-2", 2},
		"one whose job waits, as next run":      {waiting, "-2", 0},
		"a failed one, as next run":             {ended(asset.Failed), "-3", 3},
		"a failed one, as a run further on":     {ended(asset.Failed), "-7", 7},
		"a failed one, as an earlier run":       {ended(asset.Failed), "-1", 0},
		"a failed one, with a time":             {ended(asset.Failed), "-1766917800000", 3},
		"an active one, as next run":            {ended(asset.Active), "-3", 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, nil)
			a := c.before(t, w)
			job := w.job(t, a, 1)
			job.ID = a.ID + c.job
			for range 2 { // the second time it is a redelivery
				if err := w.Process(t.Context(), job); err != nil {
					t.Fatal(err)
				}
			}
			now := w.get(t, a.ID)
			if c.run == 0 {
				if now.JobID != a.JobID || now.Status != a.Status || now.Run != a.Run {
					t.Errorf("became %s in run %d with job %s", now.Status, now.Run, now.JobID)
				}
				return
			}
			if now.JobID != job.ID || now.Run != c.run || now.Status != asset.Active {
				t.Errorf("became %s in run %d with job %s", now.Status, now.Run, now.JobID)
			}
			if told := w.told.of("asset_processed", a.ID); len(told) != 1 {
				t.Errorf("told %q", told)
			}
		})
	}
}

// Another program's worker has ended the run, and told of it in its own way. What it left is taken as it is.
func TestRunsThatOthersEnded(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		status asset.Status
		asked  int
	}{
		"active: nothing is left to do":   {asset.Active, 0},
		"failed, and its job is retried":  {asset.Failed, 1},
		"partial, and its job is retried": {asset.Partial, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, nil)
			a := w.move(t, w.draft(t), c.status, 1)
			if err := w.Reconcile(t.Context(), 0); err != nil {
				t.Fatal(err)
			}
			if err := w.Process(t.Context(), w.job(t, a, 2)); err != nil {
				t.Fatal(err)
			}
			if now := w.get(t, a.ID); now.Status != asset.Active || w.ai.questions() != c.asked {
				t.Errorf("%s after %d questions", now.Status, w.ai.questions())
			}
			if told := w.told.of("asset_processed", a.ID); len(told) != c.asked {
				t.Errorf("told %q", told)
			}
		})
	}
}

// Another program notes its job in a failed asset, whose status it leaves, before the job comes.
func TestJobThatWasNotedBefore(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.ai.fails(failure(analyze.Permanent))
	a := w.draft(t)
	if err := w.Process(t.Context(), w.job(t, a, 1)); !queue.IsPermanent(err) {
		t.Fatalf("got %v", err)
	}
	w.ai.answers(nil)
	a, err := w.assets.Transition(t.Context(), a.ID, asset.Change{From: []asset.Status{asset.Failed}, JobID: a.JobID, Adopt: "17"})
	if err != nil {
		t.Fatal(err)
	}
	job := w.job(t, a, 1)
	job.EnqueuedAt = asset.Now().Add(time.Second)
	if err := w.Process(t.Context(), job); err != nil {
		t.Fatal(err)
	}
	if a = w.get(t, a.ID); a.Status != asset.Active || a.JobID != "17" {
		t.Errorf("became %s with job %s", a.Status, a.JobID)
	}
}

func TestLostJobsOfOthersAreReplaced(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	a := w.draft(t)
	a, err := w.assets.Transition(t.Context(), a.ID, asset.Change{
		From: []asset.Status{asset.Processing}, JobID: a.JobID, Adopt: "17",
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Reconcile(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	now := w.get(t, a.ID)
	if now.JobID != asset.JobID(a.ID, 1) {
		t.Errorf("job %s", now.JobID)
	}
	if job, err := w.jobs.Get(t.Context(), now.JobID); err != nil || job.State != queue.Waiting {
		t.Errorf("%+v, %v", job, err)
	}
}

// The program that has made the job notes it in the asset just when an attempt begins.
func TestJobThatIsNotedMeanwhile(t *testing.T) {
	t.Parallel()
	noting := &notingStore{}
	w := newWorld(t, func(c *pipeline.Config) { noting.Store, c.Assets = c.Assets, noting })
	a := w.draft(t)
	noting.jobID.Store("17")
	job := w.job(t, a, 1)
	job.ID = "17"
	if err := w.Process(t.Context(), job); err != nil {
		t.Fatal(err)
	}
	if a = w.get(t, a.ID); a.Status != asset.Active || a.JobID != "17" {
		t.Errorf("became %s with job %s", a.Status, a.JobID)
	}
}

// notingStore notes a job, if there is one, after the next Get.
type notingStore struct {
	asset.Store
	jobID atomic.Value
}

func (s *notingStore) Get(ctx context.Context, id string) (asset.Asset, error) {
	a, err := s.Store.Get(ctx, id)
	if jobID, _ := s.jobID.Swap("").(string); jobID != "" && err == nil {
		_, err = s.Transition(ctx, id, asset.Change{From: []asset.Status{a.Status}, JobID: a.JobID, Adopt: jobID})
	}
	return a, err
}

// move has an asset's present run end so, as another program's worker would, and then stand at that run.
func (w *world) move(t *testing.T, a asset.Asset, status asset.Status, run int) asset.Asset {
	t.Helper()
	a, err := w.assets.Transition(t.Context(), a.ID, asset.Change{
		From: []asset.Status{asset.Processing}, JobID: a.JobID, To: status, NextRun: run,
	})
	if err != nil {
		t.Fatal(err)
	}
	return a
}
