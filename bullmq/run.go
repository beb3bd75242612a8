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
	lane   *lane
	token  string
	broken error           // why the job cannot be run at all
	ctx    context.Context // of the handler
	cancel context.CancelCauseFunc

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
	lanes  []*lane
	idle   chan struct{} // for watch: there are free slots and nothing is known to wait
	hints  chan string   // for renewLocks: ids of jobs that somebody wants cancelled

	mu      sync.Mutex
	running map[string]*run // by token, until the outcome is stored
	look    bool            // there may be jobs
	pass    bool            // what waits is for somebody else
	due     time.Time       // of the earliest delayed job that is known
	limited time.Time       // until then no job may start
	paused  bool
	closing bool
	alone   *run   // a job that runs, or is to run, with no other beside it
	begin   func() // runs it; nil: it does

	tokenCount int64
}

func newShift(ctx context.Context, w *Worker) *shift {
	s := &shift{
		Worker:  w,
		tokens:  newTokenPrefix(),
		base:    context.WithoutCancel(ctx),
		idle:    make(chan struct{}, 1),
		hints:   make(chan string, 16),
		running: make(map[string]*run),
		look:    true,
	}
	lanes := 1
	if w.cfg.Concurrency >= twoLanesFrom {
		lanes = 2
	}
	for range lanes {
		s.lanes = append(s.lanes, &lane{shift: s, wake: make(chan struct{}, 1), pace: heldAtMost})
	}
	return s
}

// share gives the lanes n slots together.
func (s *shift) share(n int) {
	for i, l := range s.lanes {
		l.slots = (n + i) / len(s.lanes)
	}
}

// resize changes the number of slots.
func (s *shift) resize(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.share(n)
	for _, l := range s.lanes {
		l.returnHeld()
	}
	s.look = true
	s.signalLanes()
}

// signalLanes has all lanes look what has changed. The shift is locked.
func (s *shift) signalLanes() {
	for _, l := range s.lanes {
		signal(l.wake)
	}
}

// hasFree tells whether a slot is free. The shift is locked.
func (s *shift) hasFree() bool {
	return slices.ContainsFunc(s.lanes, func(l *lane) bool { return l.room() > 0 })
}

// room returns how many jobs the lane may start: as many as it has free slots, less those that other lanes still run
// beyond theirs since there are fewer slots. The shift is locked.
func (d *lane) room() int {
	n := d.slots - d.active
	for _, l := range d.lanes {
		if l != d {
			n -= max(0, l.active-l.slots)
		}
	}
	return n
}

// signal wakes who waits for c, or who next will.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// fetches tells whether jobs may be fetched. The shift is locked.
func (d *lane) fetches(now time.Time) bool {
	return !d.paused && !d.closing && d.alone == nil && !now.Before(d.limited)
}

// ahead returns how many jobs may be held: as many as will have started soon if no handler is slower than those of late,
// and none where another lane's jobs would overtake them. The shift is locked.
func (d *lane) ahead(now time.Time) int {
	if !d.fetches(now) || len(d.lanes) > 1 || d.cfg.Isolate {
		return 0
	}
	return max(0, min(d.slots*int(aheadFor/d.pace), d.cfg.FetchAhead))
}

// hold takes in a job that was fetched. The shift is locked.
func (d *lane) hold(r *run) {
	d.running[r.token] = r
	d.runs++
	r.ctx, r.cancel = context.WithCancelCause(d.base)
	d.held = append(d.held, r)
}

// startHeld starts the jobs that are held as far as there are slots, unless the worker stops. The shift is locked.
func (d *lane) startHeld(now time.Time) {
	for len(d.held) > 0 && d.room() > 0 && !d.paused && !d.closing && now.Before(d.holdUntil) {
		r := d.held[0]
		d.held = d.held[1:]
		d.start(r)
	}
}

// returnHeld gives back the jobs that are held. The last goes first, for each is then the next to start. The shift is
// locked.
func (d *lane) returnHeld() {
	if len(d.held) == 0 {
		return
	}
	for _, r := range slices.Backward(d.held) {
		d.giveBack(r)
	}
	d.held, d.pass, d.pace = nil, true, max(d.pace, heldAtMost)
}

// giveBack gives back a job that has not started. The shift is locked.
func (d *lane) giveBack(r *run) {
	d.settle(r, outcome{kind: outcomeReturned, unstarted: true, err: errUnstarted})
}

// start runs a job. The shift is locked.
func (d *lane) start(r *run) {
	suspect := d.cfg.Isolate && r.job.StalledCount > 0
	if d.alone != nil && (suspect || d.begin == nil) { // it was on its way when that began
		d.giveBack(r)
		return
	}
	begin := func() {
		d.active++
		go d.work(r)
	}
	if suspect {
		d.alone, d.begin = r, begin
		d.beginAlone()
		return
	}
	begin()
}

// beginAlone runs a job that is to run alone, once no other does. The shift is locked.
func (s *shift) beginAlone() {
	if s.begin == nil || slices.ContainsFunc(s.lanes, func(l *lane) bool { return l.active > 0 }) {
		return
	}
	s.begin()
	s.begin = nil
}

// returnAlone gives back a job that has waited to run alone. The shift is locked.
func (s *shift) returnAlone() {
	if s.begin == nil {
		return
	}
	s.alone.lane.giveBack(s.alone)
	s.alone, s.begin = nil, nil
}

// forget lets a run go. The shift is locked.
func (d *lane) forget(r *run) {
	delete(d.running, r.token)
	d.runs--
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
func (d *lane) work(r *run) {
	ctx, job := r.ctx, r.job
	began := time.Now()
	var o outcome
	defer func() { // runtime.Goexit calls it too
		if o.kind == "" {
			o = d.failure(job, errors.New("handler has ended its goroutine"))
		}
		d.end(r, o, time.Since(began))
	}()
	if job.SchedulerID != "" {
		settled := d.nextRun(ctx, job)
		defer func() {
			if err := settled(); err != nil {
				o = outcome{kind: outcomeReturned, err: err}
			}
		}()
	}
	if reason := d.condemned(r); reason != nil {
		d.cfg.Hooks.condemned(ctx, job, reason)
		o = d.failure(job, reason)
		return
	}
	if cause := context.Cause(ctx); cause != nil { // it has ended while the job was held
		o = d.judge(job, nil, cause, cause)
		return
	}
	if timeout := cmp.Or(job.Options.Timeout, d.cfg.Timeout); timeout > 0 {
		var stop context.CancelFunc
		ctx, stop = context.WithTimeoutCause(ctx, timeout, ErrTimeout)
		defer stop()
	}
	if d.cfg.Telemetry != nil && job.Options.TelemetryMetadata != "" && !job.Options.OmitContext {
		ctx = d.cfg.Telemetry.Extract(ctx, job.Options.TelemetryMetadata)
	}
	d.cfg.Hooks.started(ctx, job)
	value, err := d.call(ctx, job)
	o = d.judge(job, value, err, context.Cause(ctx))
}

// end takes over the outcome of a handler that has returned.
func (d *lane) end(r *run, o outcome, took time.Duration) {
	d.mu.Lock()
	if r.ended { // nobody waits for it any more
		d.mu.Unlock()
		return
	}
	if d.active > d.slots {
		d.signalLanes() // they have had no room because of it
	}
	d.active--
	r.took = took
	d.pace = max(took, d.pace-d.pace/8)
	if o.kind == outcomeReturned || o.kind == outcomeLimited {
		d.returnHeld() // first: the job is the next to start
	}
	if r.lost {
		d.forget(r)
		r.ended = true
	} else {
		d.settle(r, o)
	}
	if d.alone == r {
		d.alone, d.look = nil, true
		d.signalLanes()
	}
	d.beginAlone()
	d.startHeld(time.Now())
	d.mu.Unlock()
	signal(d.wake)
	if r.lost {
		r.cancel(nil)
		r.outcome = outcome{kind: outcomeLost, err: o.err}
		d.cfg.Hooks.ended(r)
	}
}

// settle has the outcome of a run stored with the next call. The shift is locked.
func (d *lane) settle(r *run, o outcome) {
	o.asked = r.asked
	r.outcome, r.ended = o, true
	d.ended = append(d.ended, r)
}

// pause starts no further jobs, or does again.
func (s *shift) pause(paused bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.paused = paused
	if paused {
		s.returnAlone()
	}
	s.look = s.look || !paused
	s.pass = s.pass || paused
	s.signalLanes()
}

// close starts no further jobs, for good. What comes back is stored.
func (s *shift) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closing = true
	s.returnAlone()
}

// passOn has what waits wake another worker.
func (s *shift) passOn() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pass = true
}

// left returns how many handlers run and how many runs have an outcome that is not stored.
func (d *lane) left() (active, unstored int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.active, d.runs - d.active
}

// cancelAll ends the contexts of all handlers.
func (d *lane) cancelAll(cause error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, r := range d.running {
		if r.lane == d {
			r.cancel(cause)
		}
	}
}

// giveUp gives jobs back whose handlers do not return.
func (d *lane) giveUp() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, r := range d.running {
		if r.lane != d || r.ended {
			continue
		}
		d.active--
		if r.lost {
			d.forget(r)
			r.ended = true
		} else {
			d.settle(r, outcome{kind: outcomeReturned, err: ErrShutdown})
		}
		d.cfg.Log.Error("handler goes on after its context has ended, its job is given back", "queue", d.queue, "job", r.job.ID)
	}
}

// runningIDs returns the ids of the jobs whose handlers run.
func (s *shift) runningIDs() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	ids := make([]string, 0, len(s.running))
	for _, r := range s.running {
		if !r.ended && !slices.Contains(r.lane.held, r) {
			ids = append(ids, r.job.ID)
		}
	}
	slices.Sort(ids)
	return ids
}

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
	if r.outcome.unstarted {
		flags = append(flags, 'u')
	}
	return string(flags)
}
