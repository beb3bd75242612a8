package bullmq

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"sync"
	"time"
)

// run is a job of this worker, from its fetching until its outcome is stored.
type run struct {
	job    *Job
	token  string
	broken error                   // why the job cannot be run at all
	cancel context.CancelCauseFunc // of the handler's context

	// Guarded by the shift.
	renewed time.Time // when its lock was last known to be held
	ended   bool      // the handler has returned, or is not waited for any more
	lost    bool      // the lock is not ours any more
	asked   bool      // the job has the field that asks for its end
	took    time.Duration
	outcome outcome
}

// shift is one Run of a worker.
type shift struct {
	*Worker
	tokens string          // prefix of its tokens
	base   context.Context // of all handlers
	wake   chan struct{}   // for dispatch: something has changed
	idle   chan struct{}   // for watch: there are free slots and nothing is known to wait
	hints  chan string     // for renewLocks: ids of jobs that somebody wants cancelled

	mu      sync.Mutex
	running map[string]*run // by token, until the outcome is stored
	ended   []*run          // outcomes to be stored
	active  int             // handlers that run
	look    bool            // there may be jobs
	pass    bool            // what waits is for somebody else
	due     time.Time       // of the earliest delayed job that is known
	limited time.Time       // until then no job may start
	paused  bool
	closing bool
}

func newShift(ctx context.Context, w *Worker) *shift {
	return &shift{
		Worker:  w,
		tokens:  newTokenPrefix(),
		base:    context.WithoutCancel(ctx),
		wake:    make(chan struct{}, 1),
		idle:    make(chan struct{}, 1),
		hints:   make(chan string, 16),
		running: make(map[string]*run),
		look:    true,
	}
}

// signal wakes who waits for c, or who next will.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// start runs a job, unless the worker stops. The shift is locked.
func (s *shift) start(r *run) {
	s.running[r.token] = r
	ctx, cancel := context.WithCancelCause(s.base)
	r.cancel = cancel
	if s.closing {
		s.settle(r, outcome{kind: outcomeReturned, err: ErrShutdown})
		return
	}
	s.active++
	go s.work(ctx, r)
}

// condemned returns why a job fails without its handler being asked, or nil.
func (s *shift) condemned(r *run) error {
	switch {
	case r.job.DeferredFailure != "":
		return errors.New(r.job.DeferredFailure)
	case r.broken != nil:
		return r.broken
	case s.cfg.MaxStarts > 0 && r.job.AttemptsStarted > s.cfg.MaxStarts:
		return errors.New("job started more than allowable limit")
	}
	return nil
}

// work runs a job's handler, unless its end is known beforehand.
func (s *shift) work(ctx context.Context, r *run) {
	job := r.job
	began := time.Now()
	var o outcome
	defer func() { // runtime.Goexit calls it too
		if o.kind == "" {
			o = s.failure(job, errors.New("handler has ended its goroutine"))
		}
		s.end(r, o, time.Since(began))
	}()
	if job.SchedulerID != "" {
		settled := s.nextRun(ctx, job)
		defer func() {
			if err := settled(); err != nil {
				o = outcome{kind: outcomeReturned, err: err}
			}
		}()
	}
	if reason := s.condemned(r); reason != nil {
		s.cfg.Hooks.condemned(ctx, job, reason)
		o = s.failure(job, reason)
		return
	}
	if timeout := cmp.Or(job.Options.Timeout, s.cfg.Timeout); timeout > 0 {
		var stop context.CancelFunc
		ctx, stop = context.WithTimeoutCause(ctx, timeout, ErrTimeout)
		defer stop()
	}
	if s.cfg.Telemetry != nil && job.Options.TelemetryMetadata != "" && !job.Options.OmitContext {
		ctx = s.cfg.Telemetry.Extract(ctx, job.Options.TelemetryMetadata)
	}
	s.cfg.Hooks.started(ctx, job)
	value, err := s.call(ctx, job)
	o = s.judge(job, value, err, context.Cause(ctx))
}

// end takes over the outcome of a handler that has returned.
func (s *shift) end(r *run, o outcome, took time.Duration) {
	s.mu.Lock()
	if r.ended { // nobody waits for it any more
		s.mu.Unlock()
		return
	}
	s.active--
	r.took = took
	if r.lost {
		delete(s.running, r.token)
		r.ended = true
	} else {
		s.settle(r, o)
	}
	s.mu.Unlock()
	signal(s.wake)
	if r.lost {
		r.cancel(nil)
		r.outcome = outcome{kind: outcomeLost, err: o.err}
		s.cfg.Hooks.ended(r)
	}
}

// settle has the outcome of a run stored with the next call. The shift is locked.
func (s *shift) settle(r *run, o outcome) {
	o.asked = r.asked
	r.outcome, r.ended = o, true
	s.ended = append(s.ended, r)
}

// pause starts no further jobs, or does again.
func (s *shift) pause(paused bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.paused = paused
	s.look = s.look || !paused
	s.pass = s.pass || paused
	signal(s.wake)
}

// close starts no further jobs, for good. What comes back is stored.
func (s *shift) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closing = true
}

// passOn has what waits wake another worker.
func (s *shift) passOn() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pass = true
}

// left returns how many handlers run and how many runs have an outcome that is not stored.
func (s *shift) left() (active, unstored int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.active, len(s.running) - s.active
}

// cancelAll ends the contexts of all handlers.
func (s *shift) cancelAll(cause error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.running {
		r.cancel(cause)
	}
}

// giveUp gives jobs back whose handlers do not return.
func (s *shift) giveUp() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.running {
		if r.ended {
			continue
		}
		s.active--
		if r.lost {
			delete(s.running, r.token)
			r.ended = true
		} else {
			s.settle(r, outcome{kind: outcomeReturned, err: ErrShutdown})
		}
		s.cfg.Log.Error("handler goes on after its context has ended, its job is given back", "queue", s.queue, "job", r.job.ID)
	}
}

// runningIDs returns the ids of the jobs whose handlers run.
func (s *shift) runningIDs() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	ids := make([]string, 0, s.active)
	for _, r := range s.running {
		if !r.ended {
			ids = append(ids, r.job.ID)
		}
	}
	slices.Sort(ids)
	return ids
}

// unnoted is how long a job may be active before it is likely that a check for stalled jobs has noted it. One that ends
// sooner, noted nevertheless, stays noted until the next check, which finds that it is not active.
const unnoted = time.Second

// flags spares finish the work that a job does not need.
func (r *run) flags() string {
	var b [6]byte
	flags := b[:0]
	if r.job.ParentKey != "" {
		flags = append(flags, 'p')
	}
	if r.job.DeduplicationID != "" {
		flags = append(flags, 'd')
	}
	if r.job.Options.LIFO {
		flags = append(flags, 'l')
	}
	if r.outcome.asked {
		flags = append(flags, 'x')
	}
	if r.outcome.exhausted {
		flags = append(flags, 'e')
	}
	if time.Since(r.job.ProcessedOn) > unnoted {
		flags = append(flags, 's')
	}
	return string(flags)
}
