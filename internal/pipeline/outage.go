package pipeline

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"sync"
	"time"

	"loupe/internal/analyze"
	"loupe/internal/queue"
)

// While the AI service is away, the gate of the queue is shut: no process starts a job, and at growing intervals one of
// them looks whether the service is back. Every process keeps up with the gate by looking at it each second; what it last
// saw decides only how many jobs it takes on at once when the gate opens again: one, and one more with each answer.
//
//	attempt meets "unavailable" ──▶ somebody asks /health ──well──▶ it was the photo: this job alone waits, or pays
//	                                       │
//	                                      away ──▶ gate shut ──▶ look, look, … ──well──▶ gate open, slowly
//
// A service without /health is away if two jobs in a row say so, and is looked at by letting one job through.

// Why the gate is shut.
const (
	reasonUnavailable = "unavailable"
	reasonRateLimited = "rate_limited"
)

const (
	firstPause = time.Second      // to the first look; doubled with each that fails,
	lastPause  = 24 * time.Second // up to this; a quarter at most is added at random
	alonePause = time.Second      // for a job that met an unavailable service that nobody else misses
	lookLease  = 15 * time.Second // for one look, to ask /health and to say what came of it
	watchEvery = time.Second      // how often to look at the gate
	manySlots  = 1000             // jobs at once that are as good as no bound
	maxMet     = 10_000           // jobs that outage remembers; beyond it all are forgotten, which costs a photo one more free try
)

// pauseAfter is the time to the next look after some have failed.
func pauseAfter(failures int) time.Duration {
	return spread(min(firstPause<<min(failures, 10), lastPause))
}

// spread adds up to a quarter, so that not all come at once.
func spread(d time.Duration) time.Duration { return d + rand.N(d/4) }

// outage is what this process knows of the service's health.
type outage struct {
	nudged chan struct{} // of one: the gate has changed, look at it

	reading sync.Mutex // held while the gate is read and what was read is taken over
	asking  sync.Mutex // held while /health is asked because of an attempt

	mu       sync.Mutex
	gate     queue.Closure      // as last seen
	next     time.Time          // when the next look is due, if the gate is shut
	told     bool               // whether it was told that the service is down
	slots    int                // jobs at once, while coming back; 0: no bound
	asked    time.Time          // when /health was last asked because of an attempt,
	word     word               // and what came of it
	answered time.Time          // when the service last answered a job
	met      map[string]meeting // the latest of each job,
	last     meeting            // of all,
	other    meeting            // and of all but the job of last
}

// meeting is a job's meeting an unavailable service.
type meeting struct {
	job    string
	at     time.Time
	blamed bool // it was the photo
}

// Service is what is known of the AI service.
type Service struct {
	Down     bool
	Reason   string    // why, a word
	Since    time.Time // of the outage
	NextLook time.Time
	Failures int // looks that found it down
}

// Service returns what this process knows of the AI service.
func (p *Pipeline) Service() Service {
	o := &p.outage
	o.mu.Lock()
	defer o.mu.Unlock()
	return Service{Down: o.gate.Closed(), Reason: o.gate.Reason, Since: o.gate.Since, NextLook: o.next, Failures: o.gate.Failures}
}

// Notice is the event that tells apps whether the AI service is there. It is of no user in particular.
func (s Service) Notice() Event {
	now := time.Now()
	notice := struct {
		Status    string `json:"status"` // "up" or "down"
		Since     string `json:"since"`
		Timestamp string `json:"timestamp"`
	}{"up", isoMillis(now), isoMillis(now)}
	if s.Down {
		notice.Status, notice.Since = "down", isoMillis(s.Since)
	}
	payload, _ := json.Marshal(notice) // three strings can always be encoded
	return Event{Name: EventService, Payload: payload}
}

// Greeting returns what an app that connects has to know: that the AI service is down, if it is.
func (p *Pipeline) Greeting() []Event {
	if s := p.Service(); s.Down && s.Reason == reasonUnavailable {
		return []Event{s.Notice()}
	}
	return nil
}

// WatchService keeps up with the AI service until ctx ends, and looks at it when it is away and this process's turn. Work
// does so by itself; it is for processes that do not work.
func (p *Pipeline) WatchService(ctx context.Context) error {
	for ctx.Err() == nil {
		timer := time.NewTimer(p.watch(ctx))
		select {
		case <-ctx.Done():
		case <-p.outage.nudged:
		case <-timer.C:
		}
		timer.Stop()
	}
	return nil
}

// firstLook has a process that starts during an outage begin with what is known of it. One that is alone has nobody to
// know it from, and asks the service.
func (p *Pipeline) firstLook(ctx context.Context) error {
	gate, err := p.readGate(ctx)
	if err == nil && !gate.Closed() && !p.ManyProcesses && !p.FailOnOutage {
		_, err = p.suspect(ctx, time.Now(), false)
	}
	return err
}

// watch looks at the gate, and at the service if that is due. It returns when to come again.
func (p *Pipeline) watch(ctx context.Context) time.Duration {
	gate, err := p.readGate(ctx)
	switch {
	case err != nil:
		p.Log.DebugContext(ctx, "gate of the queue cannot be read", "error", err)
		return watchEvery
	case !gate.Closed() && !p.ManyProcesses:
		return time.Hour // only this process shuts it
	case !gate.Closed() || p.Analyzer == nil:
		return watchEvery
	case gate.Left > 0:
		return min(gate.Left, watchEvery)
	}
	if err := p.look(ctx, gate); err != nil {
		p.Log.WarnContext(ctx, "looking at the AI service", "error", err)
		return watchEvery
	}
	return 0
}

// look asks the service whether it is back, if it is this process's turn. It ends well even if ctx has ended: the turn
// would be lost.
func (p *Pipeline) look(ctx context.Context, gate queue.Closure) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lookLease)
	defer cancel()
	mine, err := p.Gate.Claim(ctx, lookLease)
	if err != nil || !mine {
		return err
	}
	word, wait := p.health(ctx)
	p.Log.InfoContext(ctx, "looked at the AI service", "found", word, "since", gate.Since, "failures", gate.Failures)
	switch word {
	case well:
		return p.Gate.Open(ctx)
	case mute:
		return p.Gate.Admit(ctx, pauseAfter(gate.Failures))
	}
	return p.shut(ctx, reasonUnavailable, gate.Failures+1, max(wait, pauseAfter(gate.Failures+1)))
}

// shut shuts the gate, and has this process know.
func (p *Pipeline) shut(ctx context.Context, reason string, failures int, wait time.Duration) error {
	err := p.Gate.Shut(ctx, queue.Closure{Since: time.Now(), Reason: reason, Failures: failures, Left: wait})
	if err == nil {
		_, err = p.readGate(ctx)
	}
	p.nudge()
	return err
}

func (p *Pipeline) nudge() {
	select {
	case p.outage.nudged <- struct{}{}:
	default: // it will look anyway
	}
}

// readGate looks at the gate and takes over what it finds.
func (p *Pipeline) readGate(ctx context.Context) (queue.Closure, error) {
	o := &p.outage
	o.reading.Lock()
	defer o.reading.Unlock()
	gate, err := p.Gate.Closure(ctx)
	if err != nil {
		return gate, err
	}
	o.mu.Lock()
	before := o.gate
	o.gate, o.next = gate, time.Now().Add(gate.Left)
	if before.Closed() != gate.Closed() {
		o.slots = 1 // also when it opens: all others come back, too
		p.Gate.Throttle(1)
	}
	down := gate.Closed() && gate.Reason == reasonUnavailable
	tell := down && !o.told || o.told && !gate.Closed()
	o.told = down || o.told && gate.Closed()
	o.mu.Unlock()
	switch {
	case before.Closed() && !gate.Closed():
		p.Log.InfoContext(ctx, "AI service is back, jobs go on", "away", time.Since(before.Since).Round(time.Millisecond))
	case gate.Closed() && (!before.Closed() || before.Reason != gate.Reason):
		p.Log.WarnContext(ctx, "jobs wait for the AI service", "why", gate.Reason, "since", gate.Since)
	}
	if tell && p.Observe.Service != nil {
		p.Observe.Service(p.Service())
	}
	return gate, nil
}

// word is what the service says of its health.
type word string

const (
	well word = "well"
	away word = "away"
	mute word = "no health route" // it cannot be asked
	busy word = "being asked"     // another process asks
)

// health asks the service, and returns for how long it wants to be left alone.
func (p *Pipeline) health(ctx context.Context) (word, time.Duration) {
	err := p.Analyzer.Health(ctx)
	failure, classified := errors.AsType[*analyze.Error](err)
	switch {
	case err == nil:
		return well, 0
	case classified && failure.Class == analyze.Permanent:
		return mute, 0
	case classified:
		return away, failure.RetryAfter
	}
	return away, 0
}

// trial is an attempt as far as the service's health is concerned.
type trial struct {
	let   bool // it was let through the shut gate
	ended time.Time
}

// beginTrial notes how an attempt begins.
func (o *outage) beginTrial() trial {
	o.mu.Lock()
	defer o.mu.Unlock()
	return trial{let: o.gate.Closed()}
}

// answers reports whether an attempt had an answer of the service, be it a refusal.
func answers(err error) bool {
	failure, classified := errors.AsType[*analyze.Error](err)
	return err == nil ||
		classified && failure.Status != 0 && (failure.Class == analyze.Permanent || failure.Class == analyze.Transient)
}

// answered notes that the service has answered a job: one more may be started at once, while coming back.
func (p *Pipeline) answered(ctx context.Context, jobID string, t trial) {
	o := &p.outage
	o.mu.Lock()
	o.answered = time.Now()
	delete(o.met, jobID)
	shut := o.gate.Closed()
	if o.slots > 0 && !shut {
		if o.slots++; o.slots > manySlots {
			o.slots = 0
		}
		p.Gate.Throttle(cmp.Or(o.slots, manySlots))
	}
	o.mu.Unlock()
	if !t.let || !shut {
		return
	}
	ctx, cancel := settle(ctx)
	defer cancel()
	err := p.Gate.Open(ctx)
	if err == nil {
		_, err = p.readGate(ctx)
	}
	if err != nil {
		p.Log.WarnContext(ctx, "AI service is back, but the gate of the queue is not open", "error", err)
	}
}

// rateLimited gives a job back whose attempt the service has refused until later.
func (p *Pipeline) rateLimited(ctx context.Context, wait time.Duration, cause error) error {
	ctx, cancel := settle(ctx)
	defer cancel()
	if err := p.shut(ctx, reasonRateLimited, 0, wait); err != nil {
		p.Log.WarnContext(ctx, "gate of the queue cannot be shut", "error", err)
		return &queue.PostponeError{After: wait, Err: cause}
	}
	return &queue.PostponeError{Err: cause}
}

// unavailable decides about a job that met an unavailable service: it is given back, unless its photo is to blame.
//
// A photo on which the service breaks looks like an outage. Its job is to blame if it has met "unavailable" before, and
// the service now says that it is well; or cannot be asked, but has answered others since and has failed nobody else.
func (p *Pipeline) unavailable(ctx context.Context, job queue.Job, t trial, cause error) (blame bool, back *queue.PostponeError) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lookLease)
	defer cancel()
	back = &queue.PostponeError{Err: cause}
	alone := &queue.PostponeError{Err: cause, Alone: true, After: spread(alonePause)}
	again, alike := p.outage.meet(job.ID)
	if t.let {
		// The look was in vain. The next one is for another job, if there is one: this one's photo may be the very reason.
		gate, err := p.readGate(ctx)
		if err == nil && gate.Closed() {
			wait := pauseAfter(gate.Failures + 1)
			alone.After += wait
			err = p.shut(ctx, reasonUnavailable, gate.Failures+1, wait)
		}
		if err != nil {
			p.Log.WarnContext(ctx, "gate of the queue cannot be shut", "error", err)
		}
		return false, alone
	}
	word, err := p.suspect(ctx, t.ended, alike)
	switch {
	case err != nil:
		p.Log.WarnContext(ctx, "AI service unavailable, and the gate of the queue does not answer", "error", err)
		return false, alone
	case word == well && (again || job.Starts > job.Attempt), word == mute && again && !alike:
		p.outage.blame(job.ID)
		return true, nil
	case word == away:
		return false, back
	}
	return false, alone
}

// suspect finds out whether the service is away, and shuts the gate if so. Attempts that fail side by side ask once.
// Where the service cannot be asked it is away if that was seen twice.
func (p *Pipeline) suspect(ctx context.Context, failed time.Time, twice bool) (word, error) {
	o := &p.outage
	o.asking.Lock()
	defer o.asking.Unlock()
	if o.asked.After(failed) && o.word != mute { // after all who failed beside it
		return o.word, nil
	}
	gate, err := p.readGate(ctx)
	if err != nil || gate.Closed() {
		return away, err
	}
	mine, err := p.Gate.Claim(ctx, lookLease)
	if err != nil || !mine {
		return busy, err
	}
	asked := time.Now()
	word, wait := p.health(ctx)
	if word == away || word == mute && twice {
		err = p.shut(ctx, reasonUnavailable, 0, max(wait, pauseAfter(0)))
		word = away
	} else {
		err = p.Gate.Open(ctx)
	}
	o.asked, o.word = asked, word
	return word, err
}

// meet notes that a job met an unavailable service. again reports whether it had before, and alike whether that fits an
// outage: nobody had an answer since then, or another job met one, too. Once blamed, a photo needs another job for that.
func (o *outage) meet(jobID string) (again, alike bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	before, again := o.met[jobID]
	if o.met == nil || len(o.met) >= maxMet {
		o.met = make(map[string]meeting)
	}
	if o.last.job != jobID {
		o.other = o.last
	}
	o.last = meeting{jobID, time.Now(), before.blamed}
	o.met[jobID] = o.last
	if again && (before.blamed || o.answered.After(before.at)) {
		return true, o.other.at.After(before.at)
	}
	return again, again || o.other.at.After(o.answered)
}

// blame notes that it was the photo.
func (o *outage) blame(jobID string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if m, met := o.met[jobID]; met {
		m.blamed = true
		o.met[jobID] = m
	}
}

// hasMet reports whether the job has met an unavailable service.
func (o *outage) hasMet(jobID string) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	_, met := o.met[jobID]
	return met
}
