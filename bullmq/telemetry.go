package bullmq

import (
	"context"
	"time"
)

// Telemetry carries a trace from the code that adds a job to the handler that runs it, in whatever language either is
// written. BullMQ for Node stores what its OpenTelemetry package makes: a JSON object of the headers of the trace, such as
// {"traceparent":"…"}, as text. Methods are called concurrently.
type Telemetry interface {
	// Inject returns the trace of ctx as text to be stored with a job, or "" if there is none.
	Inject(ctx context.Context) string
	// Extract returns ctx with the trace of such a text. It leaves alone what it cannot read.
	Extract(ctx context.Context, metadata string) context.Context
}

// Hooks are called by a [Worker] as its jobs begin and end, for metrics and logs; each may be nil. They are called
// concurrently and hold the worker up, so they must return quickly, but for Condemned.
type Hooks struct {
	// Started is called in the handler's goroutine, with its context, before it.
	Started func(ctx context.Context, job *Job)
	// Condemned is called instead of the handler, before a job fails that may not run: its workers died too often, it
	// was started too often, or a child of it has failed. If the worker dies meanwhile it is called again elsewhere.
	Condemned func(ctx context.Context, job *Job, reason error)
	// Ended is called after what became of a job has been stored.
	Ended func(job *Job, end End)
	// Stalled is called with the id of a job that this worker found without one, and gave back to the queue.
	Stalled func(id string)
}

// End is what became of a job that a worker had started.
type End struct {
	Outcome Outcome
	Err     error         // of the handler; nil if it has completed
	Took    time.Duration // by the handler; 0 if it was not called
	Delay   time.Duration // before the job starts again; 0 for at once or never
}

// Outcome is a kind of [End].
type Outcome string

// The outcomes there are.
const (
	Completed Outcome = "completed"
	Failed    Outcome = "failed"    // for good
	Retried   Outcome = "retried"   // an attempt is spent, another follows
	Postponed Outcome = "postponed" // by [DelayFor]
	Returned  Outcome = "returned"  // by [HandBack], [RateLimited] or a shutdown
	Lost      Outcome = "lost"      // nothing was stored: the job is not the worker's any more
)

var outcomes = map[outcomeKind]Outcome{
	outcomeCompleted: Completed, outcomeFailed: Failed, outcomeRetried: Retried, outcomePostponed: Postponed,
	outcomeReturned: Returned, outcomeLimited: Returned, outcomeLost: Lost,
}

func (h *Hooks) condemned(ctx context.Context, job *Job, reason error) {
	if h.Condemned != nil {
		h.Condemned(ctx, job, reason)
	}
}

func (h *Hooks) started(ctx context.Context, job *Job) {
	if h.Started != nil {
		h.Started(ctx, job)
	}
}

func (h *Hooks) ended(r *run) {
	if h.Ended != nil {
		o := &r.outcome
		h.Ended(r.job, End{outcomes[o.kind], o.err, r.took, o.delay})
	}
}
