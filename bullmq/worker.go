package bullmq

import (
	"cmp"
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/redis/rueidis"
)

// Handler does the work of one job. Its context ends when the job's time is up ([ErrTimeout]), the job was cancelled
// ([ErrCancelled]), its lock was lost ([ErrLockLost]) or the worker stops and has no more patience ([ErrShutdown]);
// context.Cause tells which. A handler that goes on nevertheless keeps its slot.
//
// With a nil error the job has completed, and the value is kept with it as JSON. An error spends an attempt: the job is
// tried again after its backoff while it has attempts left, or else has failed. The errors of [Unrecoverable], [DelayFor],
// [HandBack] and [RateLimited], wrapped or not, mean something else. A panic is an error with a stack.
//
// The message of an error is kept as why the job failed, and added to its stack traces; an error that has a method
// StackTrace() string is there with that text.
type Handler func(ctx context.Context, job *Job) (any, error)

// WorkerConfig adjusts a [Worker]. The zero value suits most.
type WorkerConfig struct {
	// Prefix begins all keys of the queue. Defaults to "bull".
	Prefix string

	// Name is noted in each job that the worker starts, and listed with the queue's workers. Defaults to none.
	Name string

	// Concurrency is how many jobs run at once, 1 to [MaxConcurrency]. Defaults to 1.
	Concurrency int

	// FetchAhead is how many jobs at most, of 50, are fetched before there are slots for them. It makes a worker of few
	// slots and quick handlers some times as fast, for the next jobs start without asking Redis. It is done only with a
	// Concurrency below 16 and while handlers take less than 2 ms; not where a rate or a global concurrency bounds the
	// queue, nor with Isolate. Such a job is active, and its [Job.ProcessedOn] and its event are up to a few ms early; if
	// it does not start within 5 ms it is given back, which does not count as a start. If the worker is killed, it has
	// stalled like those that ran. Defaults to 0, none.
	FetchAhead int

	// Lock is for how long a job stays the worker's own after the worker was last heard of, at least 100 ms. The lock of a
	// running job is renewed well before. Defaults to 30 s.
	Lock time.Duration

	// StalledEvery is how often it is looked, once for all workers of the queue, for jobs whose worker is gone; at least
	// 100 ms. Defaults to 30 s.
	StalledEvery time.Duration

	// MaxStalls is how often a job may lose its worker before it fails; negative is never. Defaults to 1.
	MaxStalls int

	// Isolate has a job that has lost its worker before run alone in its worker, so that one which kills its worker takes
	// no others along. Those that are fetched beside it may be given back. Defaults to false.
	Isolate bool

	// MaxStarts fails a job that was started more often, however those attempts ended; 0 is no bound. Defaults to 0.
	MaxStarts int

	// Timeout ends the context of each attempt of a job that has no timeout of its own; 0 is never. Defaults to 0.
	Timeout time.Duration

	// Grace is for how long running jobs may go on after the worker was stopped, before their contexts end; negative is
	// not at all. Defaults to 30 s.
	Grace time.Duration

	// RateLimit bounds how many jobs all workers of the queue start within a time. A rate set for the queue wins.
	// Defaults to nil, no bound.
	RateLimit *RateLimit

	// RemoveOnComplete and RemoveOnFail say which finished jobs stay in the queue if the jobs themselves say nothing.
	// Default to nil, all.
	RemoveOnComplete, RemoveOnFail *Keep

	// BackoffStrategies are the pauses that jobs may name in their option Backoff, besides "fixed" and "exponential". A job
	// that names another one fails for good when it would be tried again. Defaults to nil.
	BackoffStrategies map[string]BackoffStrategy

	// MetricsPoints is for how many minutes the counts of completed and failed jobs are kept; 0 counts nothing, at most
	// [MaxMetricsPoints]. Defaults to 0.
	MetricsPoints int

	// DrainDelay is how long an idle worker sleeps before it looks for jobs without having been woken, 10 ms at least; it
	// only matters where another process died with a wake-up in its hands. Defaults to 5 s.
	DrainDelay time.Duration

	// Hooks are called as jobs begin and end. Defaults to none.
	Hooks Hooks

	// Telemetry gives the trace in which a job was added to its handler. Defaults to nil, none.
	Telemetry Telemetry

	// Log is told what no caller is there to be told, such as a lost connection. Defaults to nil, nobody.
	Log *slog.Logger
}

// RateLimit lets at most Max jobs start within each Per.
type RateLimit struct {
	Max int
	Per time.Duration
}

// Bounds of what a worker can be asked for.
const (
	MaxConcurrency   = 100_000
	MaxMetricsPoints = 100_000 // about ten weeks
)

// withDefaults returns c with what it leaves open.
func (c WorkerConfig) withDefaults() WorkerConfig {
	c.Prefix = cmp.Or(c.Prefix, DefaultPrefix)
	c.Concurrency = cmp.Or(c.Concurrency, 1)
	c.Lock = cmp.Or(c.Lock, 30*time.Second)
	c.StalledEvery = cmp.Or(c.StalledEvery, 30*time.Second)
	c.MaxStalls = max(0, cmp.Or(c.MaxStalls, 1))
	c.Grace = max(0, cmp.Or(c.Grace, 30*time.Second))
	c.DrainDelay = cmp.Or(c.DrainDelay, 5*time.Second)
	c.Log = cmp.Or(c.Log, slog.New(slog.DiscardHandler))
	return c
}

func (c *WorkerConfig) validate() error {
	switch {
	case c.Concurrency < 1 || c.Concurrency > MaxConcurrency:
		return fmt.Errorf("concurrency %d is not within 1 and %d", c.Concurrency, MaxConcurrency)
	case c.FetchAhead < 0 || c.FetchAhead > maxFetched:
		return fmt.Errorf("fetch ahead %d is not within 0 and %d", c.FetchAhead, maxFetched)
	case c.Lock < 100*time.Millisecond:
		return fmt.Errorf("lock %s is shorter than 100ms", c.Lock)
	case c.StalledEvery < 100*time.Millisecond:
		return fmt.Errorf("stalled every %s is shorter than 100ms", c.StalledEvery)
	case c.MaxStarts < 0:
		return fmt.Errorf("max starts %d is negative", c.MaxStarts)
	case c.Timeout < 0:
		return fmt.Errorf("timeout %s is negative", c.Timeout)
	case c.RateLimit != nil && (c.RateLimit.Max < 1 || c.RateLimit.Per < time.Millisecond):
		return fmt.Errorf("rate limit of %d within %s: needs 1 and 1ms at least", c.RateLimit.Max, c.RateLimit.Per)
	case c.MetricsPoints < 0 || c.MetricsPoints > MaxMetricsPoints:
		return fmt.Errorf("metrics points %d are not within 0 and %d", c.MetricsPoints, MaxMetricsPoints)
	case c.DrainDelay < 10*time.Millisecond:
		return fmt.Errorf("drain delay %s is shorter than 10ms", c.DrainDelay)
	}
	return nil
}

// Worker runs the jobs of one queue. Its methods may be called concurrently.
type Worker struct {
	client  rueidis.Client
	keys    keys
	queue   string
	handler Handler
	cfg     WorkerConfig

	mu     sync.Mutex
	paused bool
	slots  int    // jobs at once, for now
	shift  *shift // while Run runs
}

// NewWorker returns a worker for the queue with this name; it does nothing before [Worker.Run]. The client stays the
// caller's and must be open until Run has returned; the worker takes one connection of its own from it.
func NewWorker(client rueidis.Client, queue string, handler Handler, cfg WorkerConfig) (*Worker, error) {
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, fmt.Errorf("bullmq: worker of queue %q: %w", queue, err)
	}
	if handler == nil {
		return nil, fmt.Errorf("bullmq: worker of queue %q: needs a handler", queue)
	}
	k, err := keysFor(client, cfg.Prefix, queue)
	if err != nil {
		return nil, err
	}
	return &Worker{client: client, keys: k, queue: queue, handler: handler, cfg: cfg, slots: cfg.Concurrency}, nil
}

// Run runs jobs until ctx ends. It then starts none, lets those that run end within [WorkerConfig.Grace], ends the contexts
// of the rest and gives those back to the queue, their attempts unspent. When it returns, all outcomes have been stored
// and nothing of it is left running, but for handlers that have ignored the end of their context for [leaveWait].
//
// Whatever happens to Redis, Run tries again; the log tells. An error means that the worker runs already, or that the
// client was closed.
func (w *Worker) Run(ctx context.Context) error {
	s := newShift(ctx, w)
	w.mu.Lock()
	if w.shift != nil {
		w.mu.Unlock()
		return fmt.Errorf("bullmq: worker of queue %q runs already", w.queue)
	}
	w.shift, s.paused = s, w.paused
	s.share(w.slots)
	w.mu.Unlock()
	defer func() {
		w.mu.Lock()
		w.shift = nil
		w.mu.Unlock()
	}()

	ctx, end := context.WithCancel(ctx)
	var group sync.WaitGroup
	defer group.Wait()
	defer end()
	unwatched := make(chan struct{})
	group.Go(func() { s.watch(ctx); close(unwatched) })
	group.Go(func() { s.checkStalled(ctx) })
	renewing, stop := context.WithCancel(s.base)
	defer stop()
	group.Go(func() { s.renewLocks(renewing) })
	return s.dispatch(ctx, end, unwatched)
}

// Pause has this worker start no further jobs; those that run go on. Others of the queue are not concerned.
func (w *Worker) Pause() { w.pause(true) }

// Resume ends [Worker.Pause].
func (w *Worker) Resume() { w.pause(false) }

func (w *Worker) pause(paused bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.paused = paused
	if w.shift != nil {
		w.shift.pause(paused)
	}
}

// SetConcurrency has at most n jobs run at once from now on, 1 to [WorkerConfig.Concurrency]; beyond, the nearest of them.
// Running jobs go on, even if they are more.
func (w *Worker) SetConcurrency(n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.slots = min(max(n, 1), w.cfg.Concurrency)
	if w.shift != nil {
		w.shift.resize(w.slots)
	}
}

// Running returns the ids of the jobs whose handlers run.
func (w *Worker) Running() []string {
	if s := w.current(); s != nil {
		return s.runningIDs()
	}
	return nil
}

// Cancel ends the context of a job that this worker runs, with [ErrCancelled] and the reason as its cause, and reports
// whether there is one. If the handler then returns an error, the job has failed for good. [Queue.Cancel] reaches jobs of
// all workers.
func (w *Worker) Cancel(id string, reason error) bool {
	s := w.current()
	return s != nil && s.cancel(id, reason)
}

func (w *Worker) current() *shift {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.shift
}

// newTokenPrefix begins the tokens of one run of a worker, as a random UUID does in Node.
func newTokenPrefix() string {
	var b [16]byte
	rand.Read(b[:]) // it never fails
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x:", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}
