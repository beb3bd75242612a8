// Package pipeline is the way of a photo, and the only business logic there is: submit.go takes a photo in, process.go
// does the work of one job, reconcile.go repairs what a crash left between two steps, edit.go is what an owner or an
// operator does to an asset.
//
// Three rules hold everywhere here. The asset store is the truth, and a status changes only by its compare-and-set.
// Every step may be done twice. An event is a hint: a notifier that fails never fails a job.
package pipeline

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"loupe/internal/analyze"
	"loupe/internal/asset"
	"loupe/internal/image"
	"loupe/internal/queue"
)

// Config is what a [Pipeline] is made of. Assets, Ledger, Images, Queue, Jobs, Notifier and Log are required.
type Config struct {
	Assets   asset.Store
	Ledger   asset.Ledger
	Images   image.Store
	Queue    queue.Queue
	Jobs     queue.Admin
	Gate     queue.Gate // required by Work and WatchService only
	Analyzer Analyzer   // required by Work only
	Notifier Notifier
	Log      *slog.Logger

	Categories     []string      // that a photo may be of. Default sneaker, lego, camera, other.
	ImageLimits    image.Limits  // Default 10 MB, 40 megapixels.
	MaxAttempts    int           // as the queue has it, for the events told to clients. Default 3.
	FailOnOutage   bool          // an AI service that is down spends attempts, as the seed has it. Default false: jobs wait.
	ReconcileEvery time.Duration // Default 1 min.
	Grace          time.Duration // the reconciler leaves alone what has changed within it: somebody is at work. Default 15 s.
	ManyProcesses  bool          // others work on the same assets. Default false.
	Observe        Observer      // Default: nobody.
}

// Analyzer is an AI service and the way to ask whether it is well.
type Analyzer interface {
	analyze.Analyzer
	// Health returns nil if the service says it is well.
	Health(ctx context.Context) error
}

// Notifier tells an owner's open apps. It must not block for long; what it cannot deliver is lost to whoever is not
// connected, and found again in the store.
type Notifier interface {
	Notify(ctx context.Context, owner string, e Event) error
}

// Observer is told figures. Its members may be nil.
type Observer struct {
	Stored    func(took time.Duration)                             // a photo was taken in: from its first byte until it was durable
	Submitted func()                                               // a photo was accepted
	Started   func(waited time.Duration)                           // a job's first attempt began, after so long on the queue
	Attempted func(outcome string, took time.Duration)             // "ok", an analyze.Class, "timeout", "interrupted" or "store"
	Finished  func(status asset.Status, sinceUpload time.Duration) // a run ended
	Repaired  func(what string)                                    // the reconciler mended something
	Stale     func()                                               // a result came too late and changed nothing
	Service   func(s Service)                                      // the AI service went away, or is back
}

// Pipeline does the work. It is safe for concurrent use.
type Pipeline struct {
	Config

	running running
	outage  outage
	line    line
	stamps  *stamps
	soon    chan struct{} // of one: the reconciler is wanted before its turn
}

// New returns a Pipeline.
func New(c Config) *Pipeline {
	if len(c.Categories) == 0 {
		c.Categories = []string{"sneaker", "lego", "camera", "other"}
	}
	if c.MaxAttempts == 0 {
		c.MaxAttempts = 3
	}
	if c.ReconcileEvery == 0 {
		c.ReconcileEvery = time.Minute
	}
	if c.Grace == 0 {
		c.Grace = 15 * time.Second
	}
	return &Pipeline{Config: c, running: running{cancel: make(map[string]context.CancelCauseFunc)}, outage: outage{nudged: make(chan struct{}, 1)}, stamps: newStamps(), soon: make(chan struct{}, 1)}
}

// ValidCategory reports whether a photo may be of that category.
func (p *Pipeline) ValidCategory(category string) bool {
	return slices.Contains(p.Categories, category)
}

// Errors that callers tell apart. Those of the role packages come through as they are.
var (
	// ErrKeyReused: an Idempotency-Key that has come before, with another photo or category.
	ErrKeyReused = errors.New("idempotency key was used for another upload")
	// ErrSuperseded: a dead letter whose asset has moved on; replaying it would change nothing.
	ErrSuperseded = errors.New("the asset has moved on")
)

// settleTimeout bounds the writes that must follow although the one who asked is gone: the client has hung up, the job
// has timed out, the process is shutting down.
const settleTimeout = 10 * time.Second

// settle returns a context for such writes.
func settle(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), settleTimeout)
}

// jobData is the payload of the job contract.
type jobData struct {
	AssetID   string `json:"assetId"`
	UserID    string `json:"userId"`
	ImageURL  string `json:"imageUrl"`
	Category  string `json:"category"`
	CreatedAt string `json:"createdAt"`
}

// enqueue puts the job of the asset's present run on the queue. The owner is told first: a worker may be so fast that it
// tells of its beginning before Enqueue has returned.
func (p *Pipeline) enqueue(ctx context.Context, a asset.Asset) error {
	data, err := json.Marshal(jobData{
		AssetID:   a.ID,
		UserID:    a.Owner,
		ImageURL:  a.Original.URL,
		Category:  a.Category,
		CreatedAt: isoMillis(a.CreatedAt),
	})
	if err != nil {
		return err
	}
	p.tellQueued(ctx, a)
	if err := p.Queue.Enqueue(ctx, a.JobID, data); err != nil {
		return fmt.Errorf("enqueue %s: %w", a.JobID, err)
	}
	return nil
}

// running knows the jobs that this process works on, so that deleting an asset can stop its analysis.
type running struct {
	mu     sync.Mutex
	cancel map[string]context.CancelCauseFunc // by job id
}

func (r *running) add(jobID string, cancel context.CancelCauseFunc) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.cancel[jobID] = cancel
}

func (r *running) remove(jobID string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.cancel, jobID)
}

func (r *running) stop(jobID string, cause error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if cancel := r.cancel[jobID]; cancel != nil {
		cancel(cause)
	}
}
