package bullmq

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"runtime"
	"strconv"
	"sync"
	"time"

	"github.com/redis/rueidis"
)

// A worker talks to its queue through one script, finish: each call takes along all outcomes since the last one and asks
// for as many jobs as there are free slots. A lone outcome goes at once; while a call is under way, others gather. So a
// busy worker makes few calls, and none that says nothing.
//
// A worker of many slots has two lanes, which make such calls independently: while Redis works for one, the jobs of the
// other are decoded and run. With few slots that would only make the calls smaller.
//
// With few slots and handlers that take next to no time, calls are what takes the time. Then the one lane, if it may, asks
// for more jobs than it has slots for, and holds them: they start as slots become free, while the outcomes of those before
// them are under way. Those that cannot start within moments are given back as if they had never been fetched.
var finishScript = newScript("finish")

const (
	twoLanesFrom  = 16                   // slots
	aheadFor      = 2 * time.Millisecond // how long the jobs that a slot is to run are held, if none is slower than those of late
	heldAtMost    = 5 * time.Millisecond
	maxOutcomes   = 50                    // of one call
	maxFetched    = 50                    // jobs of one call
	retryAfter    = 50 * time.Millisecond // the first pause after a call that failed; it doubles
	retryAtMost   = 2 * time.Second
	restAtMost    = time.Minute
	limitedAtMost = time.Second      // without looking whether the rate limit was lifted
	leaveWait     = 5 * time.Second  // for handlers to return once their contexts have ended because the worker stops
	storeAtMost   = 10 * time.Second // for Redis to answer when the last outcomes are to be stored
)

// call is one call of finish.
type call struct {
	now      time.Time
	first    int64 // number of its first token
	want     int
	ahead    int // of them, jobs for which no slot is free
	outcomes []*run
	again    bool // a call like this was sent, and nobody knows whether it was carried out
	pass     bool
}

// lane is a share of a shift's slots that has calls of its own.
type lane struct {
	*shift
	wake chan struct{} // something has changed

	// Guarded by the shift.
	slots  int
	active int    // handlers that run
	runs   int    // those, and those that are held or whose outcome is not stored
	held   []*run // in the order in which they are to start
	ended  []*run // whose outcome is to be sent

	holdUntil time.Time     // when those that are held are given back
	pace      time.Duration // of the slowest handler of late

	// Used by dispatch only.
	pending *call // has failed and is to be made again
	retryAt time.Time
	retries int
	closed  bool // the client was closed: nothing can be stored any more
	args    []string
}

// dispatch runs all lanes.
func (s *shift) dispatch(ctx context.Context, end context.CancelFunc, unwatched <-chan struct{}) error {
	errs := make([]error, len(s.lanes))
	var group sync.WaitGroup
	for i, l := range s.lanes {
		group.Go(func() { errs[i] = l.dispatch(ctx, end, unwatched) })
	}
	group.Wait()
	return cmp.Or(errs...)
}

// dispatch makes calls and starts jobs until ctx has ended and all outcomes are stored. Then unwatched is closed by watch.
// When the client is closed it ends ctx itself.
func (d *lane) dispatch(ctx context.Context, end context.CancelFunc, unwatched <-chan struct{}) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for ctx.Err() == nil && !d.closed {
		now := time.Now()
		if c := d.next(now); c != nil {
			d.make(c)
			continue
		}
		timer.Reset(d.rest(now))
		select {
		case <-d.wake:
		case <-timer.C:
		case <-ctx.Done():
		}
	}
	if d.closed {
		end()
	}
	d.leave(timer, unwatched)
	if d.closed {
		return fmt.Errorf("bullmq: worker of queue %q: %w", d.queue, rueidis.ErrClosing)
	}
	return nil
}

// leave ends the lane: handlers have the grace, then [leaveWait] after their contexts have ended, and what they return is
// stored if Redis answers within [storeAtMost].
func (d *lane) leave(timer *time.Timer, unwatched <-chan struct{}) {
	d.close()
	phases := []struct {
		at    time.Time
		begin func()
	}{
		{time.Now().Add(d.cfg.Grace), func() { d.cancelAll(ErrShutdown) }},
		{time.Now().Add(d.cfg.Grace + leaveWait), d.giveUp},
	}
	var storeBy time.Time
	for {
		now := time.Now()
		for len(phases) > 0 && !now.Before(phases[0].at) {
			phases[0].begin()
			phases = phases[1:]
		}
		c := d.next(now)
		active, unstored := d.left()
		unreachable := d.retries > 0
		if active > 0 || storeBy.IsZero() {
			storeBy = now.Add(storeAtMost)
		}
		switch {
		case active+unstored == 0 && unwatched == nil && (unreachable || c == nil):
			return
		case now.After(storeBy), d.closed && active == 0:
			d.cfg.Log.Error("outcomes cannot be stored, others will run these jobs again", "queue", d.queue, "jobs", unstored)
			return
		case c != nil:
			d.make(c)
			continue
		}
		rest := min(d.rest(now), storeBy.Sub(now))
		if len(phases) > 0 {
			rest = min(rest, phases[0].at.Sub(now))
		}
		timer.Reset(rest)
		select {
		case <-d.wake:
		case <-timer.C:
		case <-unwatched:
			unwatched = nil
			d.passOn()
		}
	}
}

// next returns the call to be made now, or nil.
func (d *lane) next(now time.Time) *call {
	d.mu.Lock()
	defer d.mu.Unlock()
	ahead := d.ahead(now)
	if len(d.held) > 0 && (ahead == 0 || !now.Before(d.holdUntil)) {
		d.returnHeld()
		ahead = 0
	}
	if d.pending != nil {
		if now.Before(d.retryAt) {
			return nil
		}
		return d.pending
	}
	if !d.due.IsZero() && !now.Before(d.due) {
		d.due, d.look = time.Time{}, true
	}
	free, want := 0, 0
	if d.fetches(now) {
		room := d.room() - len(d.held)
		free = max(0, min(room, maxFetched))
		want = max(0, min(room+ahead, maxFetched))
	}
	if len(d.ended) == 0 && !d.pass && (!d.look || free == 0) {
		return nil
	}
	if want > 0 {
		d.look = false // a wake-up that comes while the call is under way must not be lost
	}
	c := &call{now: now, first: d.tokenCount, want: want, ahead: want - free, pass: d.pass || d.closing}
	n := min(len(d.ended), maxOutcomes)
	c.outcomes = append(c.outcomes, d.ended[:n]...)
	d.ended = append(d.ended[:0], d.ended[n:]...)
	d.pass = false
	d.tokenCount += int64(want)
	return c
}

// rest returns for how long nothing has to be done unless something happens, and lets watch know if the worker is idle.
func (d *lane) rest(now time.Time) time.Duration {
	if d.pending != nil {
		return d.retryAt.Sub(now)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case len(d.held) > 0:
		return d.holdUntil.Sub(now)
	case d.paused || d.closing || d.alone != nil || d.room() <= 0:
		return restAtMost
	case now.Before(d.limited):
		return d.limited.Sub(now)
	}
	signal(d.idle)
	if d.due.IsZero() {
		return restAtMost
	}
	return min(d.due.Sub(now), restAtMost)
}

// make makes a call and acts on its reply. If it fails, it is pending.
func (d *lane) make(c *call) {
	reply, err := d.send(c)
	if err != nil {
		if d.retries == 0 {
			d.cfg.Log.Warn("queue cannot be reached, trying again", "queue", d.queue, "error", err)
		}
		d.closed = errors.Is(err, rueidis.ErrClosing) && clientClosed(d.base, d.client, d.keys.of(keyMeta))
		d.pending, c.again = c, true
		d.retryAt = time.Now().Add(min(retryAfter<<min(d.retries, 10), retryAtMost))
		d.retries++
		return
	}
	if d.retries > 0 {
		d.cfg.Log.Info("queue can be reached again", "queue", d.queue)
	}
	d.pending, d.retries = nil, 0
	d.stored(c, reply.codes)
	d.fetched(c, reply)
}

// reply is what finish replies.
type reply struct {
	limit time.Duration
	due   time.Time
	codes []rueidis.RedisMessage
	jobs  []rueidis.RedisMessage
}

// send runs the script. It takes no context: a call that was sent has to be waited for, and rueidis does that fastest
// where nothing can end it but the connection's own timeout.
func (d *lane) send(c *call) (r reply, err error) {
	d.args = d.appendArgs(d.args[:0], c)
	parts, err := finishScript.try(d.base, d.client, d.keys, d.args...).ToArray()
	clear(d.args)
	if err != nil {
		return r, err
	}
	if len(parts) < 3 {
		return r, fmt.Errorf("finish replied with %d parts", len(parts))
	}
	limit, err1 := parts[0].AsInt64()
	due, err2 := parts[1].AsInt64()
	codes, err3 := parts[2].ToArray()
	r.limit = time.Duration(limit) * time.Millisecond
	if due > 0 {
		r.due = time.UnixMilli(due)
	}
	r.codes, r.jobs = codes, parts[3:]
	return r, errors.Join(err1, err2, err3)
}

// appendArgs appends the arguments of finish.lua.
func (d *lane) appendArgs(args []string, c *call) []string {
	limitMax, limitPer := "", ""
	if l := d.cfg.RateLimit; l != nil {
		limitMax, limitPer = strconv.Itoa(l.Max), decimal(l.Per)
	}
	args = append(args,
		strconv.FormatInt(c.now.UnixMilli(), 10), flag(c.again), flag(c.pass), decimal(d.cfg.Lock),
		d.tokens, strconv.FormatInt(c.first, 10), strconv.Itoa(c.want), strconv.Itoa(c.ahead), d.cfg.Name,
		limitMax, limitPer, strconv.Itoa(d.cfg.MetricsPoints), strconv.Itoa(len(c.outcomes)))
	for _, r := range c.outcomes {
		args = append(args, r.job.ID)
	}
	for _, r := range c.outcomes {
		args = append(args, r.token)
	}
	for _, r := range c.outcomes {
		args = append(args, r.outcome.text)
	}
	for rest := c.outcomes; len(rest) > 0; {
		m, n := rest[0].manner(), 1
		for n < len(rest) && rest[n].manner() == m {
			n++
		}
		args, rest = m.appendArgs(args, n, c.now), rest[n:]
	}
	return args
}

// decimal is d in ms.
func decimal(d time.Duration) string { return strconv.FormatInt(d.Milliseconds(), 10) }

func flag(on bool) string {
	if on {
		return "1"
	}
	return ""
}

// What finish replies of an outcome. Others are 0 or more.
const (
	codeMissing         = -1
	codeNoLock          = -2
	codeNotActive       = -3
	codePendingChildren = -4
	codeOtherLock       = -6
	codeFailedChildren  = -9
	codeWrongType       = -100
)

// Why a job that its handler has completed failed nevertheless.
var (
	errPendingChildren = errors.New("job has children that have not finished")
	errFailedChildren  = errors.New("job has children that have failed")
)

// stored lets the runs go whose outcomes were stored, or cannot be.
func (d *lane) stored(c *call, codes []rueidis.RedisMessage) {
	for i, r := range c.outcomes {
		code := int64(codeWrongType)
		if i < len(codes) {
			code, _ = codes[i].AsInt64()
		}
		switch code {
		case codePendingChildren:
			d.restore(r, d.retry(r.job, errPendingChildren))
			continue
		case codeFailedChildren:
			d.restore(r, d.failure(r.job, errFailedChildren))
			continue
		}
		d.mu.Lock()
		d.forget(r)
		d.mu.Unlock()
		r.cancel(nil)
		switch {
		case code == 0:
		case code > 0:
			d.cfg.Log.Warn("job has ended, but its parent or the next of its deduplication cannot be told", "queue", d.queue, "job", r.job.ID)
		default:
			d.dropped(r, code)
			continue
		}
		d.cfg.Hooks.ended(r)
	}
}

// restore has another outcome stored for a job than the one that Redis refused.
func (d *lane) restore(r *run, o outcome) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.settle(r, o)
}

// dropped tells of an outcome that could not be stored.
func (d *lane) dropped(r *run, code int64) {
	why := map[int64]string{
		codeMissing: "it was removed", codeNoLock: "its lock has expired", codeOtherLock: "another worker has it",
		codeNotActive: "it is no longer active", codeWrongType: "its keys are damaged",
	}[code]
	d.cfg.Log.Warn("outcome of job dropped", "queue", d.queue, "job", r.job.ID, "outcome", string(r.outcome.kind), "why", why, "code", code)
	r.outcome.kind = outcomeLost
	d.cfg.Hooks.ended(r)
}

// fetched starts the jobs of a reply.
func (d *lane) fetched(c *call, r reply) {
	runs := make([]*run, 0, len(r.jobs))
	for _, msg := range r.jobs {
		if run := d.decode(msg, c); run != nil {
			runs = append(runs, run)
		}
	}
	d.mu.Lock()
	if c.want > 0 && (len(r.jobs) >= c.want-c.ahead || r.limit > 0) {
		d.look = true
	}
	if r.limit > 0 {
		d.limited = time.Now().Add(min(r.limit, limitedAtMost))
	}
	if !r.due.IsZero() && (d.due.IsZero() || r.due.Before(d.due)) {
		d.due = r.due
	}
	for _, run := range runs {
		d.hold(run)
	}
	now := time.Now()
	d.holdUntil = now.Add(heldAtMost)
	d.startHeld(now)
	if d.look {
		d.signalLanes()
	}
	d.mu.Unlock()
	if len(runs) > 0 {
		runtime.Gosched() // handlers that have next to nothing to do end before the next call, and together
	}
}

// decode reads a job that was fetched: the fields and values of its hash, its id and its token. It returns nil if the
// reply is not what the script makes.
func (d *lane) decode(msg rueidis.RedisMessage, c *call) *run {
	parts, err := msg.ToArray()
	if err != nil || len(parts) < 2 {
		d.cfg.Log.Error("finish replied with something that is no job", "queue", d.queue, "parts", len(parts))
		return nil
	}
	fields := len(parts) - 2
	id, err1 := parts[fields].ToString()
	token, err2 := parts[fields+1].ToString()
	if err := errors.Join(err1, err2); err != nil {
		d.cfg.Log.Error("finish replied with a job without an id", "queue", d.queue, "error", err)
		return nil
	}
	r := &run{job: newJob(d.client, d.keys, id), lane: d, token: token, renewed: c.now}
	for i := 0; i+1 < fields; i += 2 {
		name, err1 := parts[i].ToString()
		value, err2 := parts[i+1].ToString()
		if err := errors.Join(err1, err2, r.job.setField(name, value)); err != nil && r.broken == nil {
			r.broken = err
		}
	}
	r.job.ProcessedOn, r.job.ProcessedBy = c.now, d.cfg.Name
	return r
}
