package pipeline

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"loupe/internal/analyze"
	"loupe/internal/asset"
	"loupe/internal/failpoint"
	"loupe/internal/queue"
)

// Work consumes the queue until ctx ends and running jobs have drained.
func (p *Pipeline) Work(ctx context.Context) error {
	if p.Analyzer == nil {
		return errors.New("pipeline: a worker needs an analyzer")
	}
	if err := p.firstLook(ctx); err != nil {
		p.Log.WarnContext(ctx, "gate of the queue cannot be read", "error", err)
	}
	watching, stop := context.WithCancel(ctx)
	var group sync.WaitGroup
	defer group.Wait()
	defer stop()
	group.Go(func() { _ = p.WatchService(watching) }) // it returns nil
	return p.Queue.Consume(ctx, p)
}

// Causes by which the context of an attempt ends, besides those of the queue.
var errDeleted = errors.New("the asset was deleted")

// Process makes one attempt at a job. It is [queue.Handler]'s: the error says what becomes of the job.
func (p *Pipeline) Process(ctx context.Context, job queue.Job) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	p.running.add(job.ID, cancel)
	defer p.running.remove(job.ID)

	t := p.outage.beginTrial()
	a, err := p.begin(ctx, job)
	if err != nil || a == nil {
		return err
	}
	failpoint.Here("attempt begun")
	p.progress(ctx, *a, progressPayload{Status: progressAnalyzing, Attempt: job.Attempt, MaxAttempts: job.MaxAttempts})

	started := time.Now()
	result, err := p.Analyzer.Analyze(ctx, analyze.Request{
		ImageURL: a.Original.URL, Category: a.Category,
		AssetID: a.ID, JobID: job.ID, RequestID: fmt.Sprintf("%s.%d", job.ID, job.Starts),
	})
	took := time.Since(started)
	t.ended = started.Add(took)
	p.observeAttempt(ctx, err, took)
	if answers(err) {
		p.answered(ctx, job.ID, t)
	}
	failpoint.Here("photo analysed")
	if err != nil {
		p.Log.WarnContext(ctx, "attempt failed", "job", job.ID, "attempt", job.Attempt, "of", job.MaxAttempts, "took", took, "error", err)
		return p.attemptFailed(ctx, *a, job, t, err, took)
	}
	return p.succeed(ctx, *a, job, result, took)
}

// maxClaims is how often an attempt tries to begin because somebody changes its asset in between.
const maxClaims = 3

// begin makes sure that the job is still wanted and records that an attempt starts. It returns nil for a job that has
// nothing left to do: its asset is gone, belongs to somebody else, has moved on to another run, or is finished.
func (p *Pipeline) begin(ctx context.Context, job queue.Job) (*asset.Asset, error) {
	ctx, cancel := settle(ctx) // however little time the attempt has, its end must find what it belongs to
	defer cancel()
	data, err := parseJob(job.Data)
	if err != nil {
		return nil, p.refuse(ctx, job, data, err)
	}
	for range maxClaims {
		change, err := p.claim(ctx, data, job)
		if err != nil || change == nil {
			return nil, err
		}
		a, err := p.Assets.Transition(ctx, data.AssetID, *change)
		if err == nil {
			return &a, nil
		}
		if !gone(err) {
			return nil, storeTrouble(err)
		}
	}
	p.skip(ctx, job, "asset moved on")
	return nil, nil
}

// claim returns the change with which an attempt at the job begins, or nil if nothing is left to do.
func (p *Pipeline) claim(ctx context.Context, data jobData, job queue.Job) (*asset.Change, error) {
	a, err := p.Assets.Get(ctx, data.AssetID)
	switch {
	case errors.Is(err, asset.ErrNotFound):
		p.skip(ctx, job, "asset is gone")
		return nil, nil
	case err != nil:
		return nil, storeTrouble(err)
	case a.Owner != data.UserID:
		p.skip(ctx, job, "asset belongs to another user")
		return nil, nil
	case a.JobID != job.ID:
		return p.adopt(ctx, a, job)
	}

	now := asset.Now()
	change := asset.Change{
		From: []asset.Status{a.Status}, JobID: job.ID, At: now, To: asset.Processing,
	}
	if a.Status == asset.Draft { // we were faster than the one who queued it
		change.Log = []asset.Entry{{At: job.EnqueuedAt, Event: asset.EventQueued}}
	}
	if !p.outage.hasMet(job.ID) { // else a long outage would fill the timeline with beginnings
		change.Log = append(change.Log, asset.Entry{At: now, Event: asset.EventStarted, Attempt: job.Attempt})
	}
	p.observeStart(a, job)
	if a.Status.Terminal() || a.Status == asset.Archived {
		replayed, err := p.finishedBefore(ctx, a, job)
		if err != nil || !replayed {
			return nil, err
		}
		pending := false
		change.EventPending = &pending
	}
	return &change, nil
}

// adopt returns the change by which an asset takes a job as its own that another program has put on the queue, or nil if
// that has no business with it: the job is of a run that is over, or the asset has a job that goes on, or a result.
func (p *Pipeline) adopt(ctx context.Context, a asset.Asset, job queue.Job) (*asset.Change, error) {
	run := asset.RunOf(a.ID, job.ID) // 0: the id says none
	pending, now := false, asset.Now()
	change := asset.Change{
		From: []asset.Status{a.Status}, JobID: a.JobID, At: now, To: asset.Processing, EventPending: &pending,
		NextRun: run, Adopt: job.ID,
		Log: []asset.Entry{{At: job.EnqueuedAt, Event: asset.EventQueued}, {At: now, Event: asset.EventStarted, Attempt: job.Attempt}},
	}
	wanted := run == 0 || run > a.Run
	switch a.Status {
	case asset.Failed, asset.Partial:
		change.NextRun = max(run, a.Run+1)
	case asset.Draft, asset.Processing:
		present, err := p.Jobs.Get(ctx, a.JobID)
		if err != nil && !errors.Is(err, queue.ErrNotFound) {
			return nil, storeTrouble(err)
		}
		wanted = wanted && (err != nil || present.State == queue.Completed || present.State == queue.FailedJob)
	default:
		wanted = false
	}
	if !wanted {
		p.skip(ctx, job, "superseded by "+a.JobID)
		return nil, nil
	}
	return &change, nil
}

// finishedBefore decides about a job whose run has ended already. Mostly a crash came between the end of the run and
// the queue's note of it: the event is told again and the job ends as it did. But if the run has no result and the job
// was put on the queue since, or comes with another attempt than the one it ended in, or was ended by another program,
// then somebody wants it done again (by Bull Board, say): it is replayed.
func (p *Pipeline) finishedBefore(ctx context.Context, a asset.Asset, job queue.Job) (replayed bool, err error) {
	failure := ""
	if a.Status == asset.Failed || a.Status == asset.Partial {
		entries, err := p.Assets.Timeline(ctx, asset.TimelineQuery{AssetID: a.ID})
		if err != nil {
			return false, storeTrouble(err)
		}
		end := lastFinished(sinceQueued(entries))
		if end == nil || end.Attempt != job.Attempt || job.EnqueuedAt.After(end.At) {
			return true, nil
		}
		failure = end.Error
	}
	if a.EventPending {
		if err := p.announceAgain(ctx, a); err != nil {
			return false, storeTrouble(err)
		}
	}
	if a.Status == asset.Failed {
		return false, queue.Permanent(errors.New(failure))
	}
	p.skip(ctx, job, "already "+string(a.Status))
	return false, nil
}

func (p *Pipeline) skip(ctx context.Context, job queue.Job, why string) {
	p.Log.InfoContext(ctx, "job skipped", "job", job.ID, "reason", why)
	if p.Observe.Stale != nil {
		p.Observe.Stale()
	}
}

// refuse ends a job whose payload is not the contract's. If it names its asset well enough, the asset fails with it.
func (p *Pipeline) refuse(ctx context.Context, job queue.Job, data jobData, reason error) error {
	if a, err := p.Assets.Get(ctx, data.AssetID); err == nil && a.JobID == job.ID && a.Owner == data.UserID {
		if err := p.fail(ctx, a, job.Attempt, sentenceRefused, 0); err != nil {
			return err
		}
	}
	return queue.Permanent(reason)
}

// parseJob reads a payload. Members too many are ignored; a missing one is an error that names it.
func parseJob(raw json.RawMessage) (jobData, error) {
	var data jobData
	if err := json.Unmarshal(raw, &data); err != nil {
		return data, fmt.Errorf("job data is not the contract's: %w", err)
	}
	var missing []string
	for _, member := range []struct{ name, value string }{
		{"assetId", data.AssetID}, {"userId", data.UserID}, {"imageUrl", data.ImageURL}, {"category", data.Category},
	} {
		if member.value == "" {
			missing = append(missing, member.name)
		}
	}
	if len(missing) > 0 {
		return data, fmt.Errorf("job data lacks %s", strings.Join(missing, ", "))
	}
	return data, nil
}

// What users are told of a failure: a sentence, never the service's words or a stack.
const (
	sentenceRefused   = "The photo could not be analysed."
	sentenceSpent     = "The analysis failed. You can try again."
	sentenceTimeout   = "The analysis took too long. You can try again."
	sentencePoisonous = "The analysis was interrupted too often. You can try again."
)

// attemptFailed decides what becomes of a failed attempt, by the class of its error.
func (p *Pipeline) attemptFailed(ctx context.Context, a asset.Asset, job queue.Job, t trial, err error, took time.Duration) error {
	if errors.Is(context.Cause(ctx), queue.ErrLeaseLost) {
		p.skip(ctx, job, "given to another worker while its analysis ran")
		return queue.ErrLeaseLost
	}
	sentence := sentenceSpent
	if failure, ok := errors.AsType[*analyze.Error](err); ok {
		switch {
		case failure.Class == analyze.Permanent:
			if err := p.fail(ctx, a, job.Attempt, sentenceRefused, took); err != nil {
				return err
			}
			return queue.Permanent(err)
		case failure.Class == analyze.RateLimited:
			return p.rateLimited(ctx, failure.RetryAfter, err)
		case p.FailOnOutage: // anything else spends an attempt
		case failure.Class == analyze.Unavailable, t.let && failure.Status == 0:
			if blame, back := p.unavailable(ctx, job, t, err); !blame {
				return back
			}
		}
	} else {
		switch cause := context.Cause(ctx); {
		case errors.Is(cause, errDeleted), errors.Is(cause, queue.ErrRemoved):
			p.skip(ctx, job, "asset was deleted while its analysis ran")
			return nil
		case errors.Is(cause, queue.ErrTimeout):
			sentence = sentenceTimeout
		case cause != nil: // shutting down
			return cause
		}
	}

	if job.Last() {
		if err := p.fail(ctx, a, job.Attempt, sentence, took); err != nil {
			return err
		}
		return err
	}
	p.retrying(ctx, a, job, sentence, took)
	return err
}

// retrying tells timeline and owner that another attempt follows. It is a courtesy: if it fails nothing is lost.
func (p *Pipeline) retrying(ctx context.Context, a asset.Asset, job queue.Job, sentence string, took time.Duration) {
	ctx, cancel := settle(ctx)
	defer cancel()
	now := asset.Now()
	_, err := p.Assets.Transition(ctx, a.ID, asset.Change{
		From: []asset.Status{asset.Processing}, JobID: a.JobID, At: now,
		Log: []asset.Entry{{At: now, Event: asset.EventRetrying, Attempt: job.Attempt, Error: sentence, Duration: took}},
	})
	if err != nil {
		p.Log.DebugContext(ctx, "retry not noted", "asset", a.ID, "error", err)
	}
	failpoint.Here("retry recorded")
	p.progress(ctx, a, progressPayload{
		Status: progressRetrying, Attempt: job.Attempt, MaxAttempts: job.MaxAttempts, RetryAt: isoMillis(now.Add(job.RetryIn)),
	})
}

// succeed records a result: active if anything is known, partial if there is only a picture.
func (p *Pipeline) succeed(ctx context.Context, a asset.Asset, job queue.Job, r analyze.Result, took time.Duration) error {
	an := asset.Analysis{Brand: field(r.Brand), Model: field(r.Model), Colorway: field(r.Colorway)}
	status := asset.Partial
	if an.Known() {
		status = asset.Active
	}
	var processed *asset.Image
	if r.ProcessedImageURL != "" {
		processed = &asset.Image{URL: r.ProcessedImageURL}
		processed.Key, _ = p.Images.KeyOf(r.ProcessedImageURL)
	}
	err := p.finish(ctx, a, ending{status: status, analysis: an, processed: processed, attempt: job.Attempt, took: took})
	if err == nil || !gone(err) {
		return err
	}
	p.skip(ctx, job, "result came too late")
	if processed != nil && errors.Is(err, asset.ErrNotFound) {
		settled, cancel := settle(ctx)
		defer cancel()
		p.removeImage(settled, processed.Key)
	}
	return nil
}

func field(f *analyze.Field) *asset.Field {
	if f == nil {
		return nil
	}
	return &asset.Field{Value: f.Value, Confidence: f.Confidence}
}

// fail ends a run as failed. That the asset has moved on is no error.
func (p *Pipeline) fail(ctx context.Context, a asset.Asset, attempt int, sentence string, took time.Duration) error {
	err := p.finish(ctx, a, ending{status: asset.Failed, analysis: asset.Analysis{Error: sentence}, attempt: attempt, took: took})
	if gone(err) {
		return nil
	}
	return err
}

// ending is how a run ends.
type ending struct {
	status    asset.Status
	analysis  asset.Analysis
	processed *asset.Image
	attempt   int
	took      time.Duration
}

// finish ends the asset's run by one compare-and-set and announces it. An [asset.ErrConflict] or [asset.ErrNotFound]
// comes through: somebody else has moved the asset on, and nothing was changed.
func (p *Pipeline) finish(ctx context.Context, a asset.Asset, e ending) error {
	ctx, cancel := settle(ctx) // the attempt's own time may be over, its result counts nevertheless
	defer cancel()

	stamp := p.stamps.of(a.Owner)
	stamp.mu.Lock()
	defer stamp.mu.Unlock()
	at := stamp.next()

	if e.status == asset.Failed {
		e.analysis.FailedAt = at
	} else {
		e.analysis.ProcessedAt = at
	}
	processedURL := ""
	if e.processed != nil {
		processedURL = e.processed.URL
		if earlier := a.Processed; earlier != nil && earlier.Key != e.processed.Key {
			if err := p.note(ctx, a.ID, earlier.Key); err != nil {
				return storeTrouble(err)
			}
		}
	}
	payload, err := processedEvent(a.ID, e.status, &e.analysis, processedURL, at)
	if err != nil {
		return err
	}
	pending := true
	done, err := p.Assets.Transition(ctx, a.ID, asset.Change{
		From: []asset.Status{asset.Processing}, JobID: a.JobID, At: at, To: e.status,
		Analysis: &e.analysis, Processed: e.processed, EventPending: &pending,
		Log: []asset.Entry{{
			At: at, Event: asset.EventFinished, Attempt: e.attempt, Error: e.analysis.Error, Duration: e.took, Payload: payload,
		}},
	})
	if gone(err) {
		return err
	}
	if err != nil {
		return storeTrouble(err)
	}
	failpoint.Here("result recorded")
	if p.Observe.Finished != nil {
		p.Observe.Finished(done.Status, at.Sub(a.CreatedAt))
	}
	p.announce(ctx, done, payload)
	return nil
}

// storePause is how long dispatch waits when the asset store does not answer: without it no job can be begun or ended.
const storePause = 5 * time.Second

// storeTrouble gives a job back unspent because the asset store failed, which is not the photo's fault.
func storeTrouble(err error) error {
	return &queue.PostponeError{After: storePause, Err: fmt.Errorf("asset store: %w", err)}
}

// Dead fails the asset of a job whose worker died too often. It is [queue.Handler]'s.
func (p *Pipeline) Dead(ctx context.Context, job queue.Job, reason string) {
	data, err := parseJob(job.Data)
	if err == nil {
		err = p.failRun(ctx, data.AssetID, job.ID, job.Attempt, sentencePoisonous)
	}
	if err != nil {
		p.Log.ErrorContext(ctx, "dead letter without failed asset, the reconciler will see to it",
			"job", job.ID, "reason", reason, "error", err)
	}
}

// failRun fails the run that belongs to a dead letter, if it still goes on.
func (p *Pipeline) failRun(ctx context.Context, assetID, jobID string, attempt int, sentence string) error {
	a, err := p.Assets.Get(ctx, assetID)
	if errors.Is(err, asset.ErrNotFound) || err == nil && a.JobID != jobID {
		return nil
	}
	if err != nil {
		return err
	}
	if a.Status == asset.Draft {
		if err := p.markQueued(ctx, a); err != nil {
			return err
		}
	}
	return p.fail(ctx, a, attempt, sentence, 0)
}

func (p *Pipeline) observeAttempt(ctx context.Context, err error, took time.Duration) {
	if p.Observe.Attempted == nil {
		return
	}
	outcome := "ok"
	if failure, ok := errors.AsType[*analyze.Error](err); ok {
		outcome = string(failure.Class)
	} else if errors.Is(context.Cause(ctx), queue.ErrTimeout) {
		outcome = "timeout"
	} else if err != nil {
		outcome = "interrupted"
	}
	p.Observe.Attempted(outcome, took)
}
