package pipeline

import (
	"context"
	"sync"
	"time"

	"loupe/internal/queue"
)

// Pauses while the AI service cannot be reached: the first, doubled with each further one, up to the last.
const (
	firstPause = time.Second
	lastPause  = 30 * time.Second
)

// maxMet bounds the jobs that outage remembers; beyond it all are forgotten, which costs a photo one more free try.
const maxMet = 10_000

// outage remembers since when the AI service has been away, and which jobs noticed.
type outage struct {
	mu       sync.Mutex
	pauses   int
	until    time.Time            // end of the present pause
	answered time.Time            // when the service last answered a job
	met      map[string]time.Time // when a job last met an unavailable service, by job id
}

// pause returns how long to wait before the next job. Jobs that fail side by side share one pause.
func (o *outage) pause() time.Duration {
	o.mu.Lock()
	defer o.mu.Unlock()
	now := time.Now()
	if left := o.until.Sub(now); left > 0 {
		return left
	}
	d := min(firstPause<<min(o.pauses, 10), lastPause)
	o.pauses++
	o.until = now.Add(d)
	return d
}

// over notes that the service has answered a job.
func (o *outage) over(jobID string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.pauses, o.until, o.answered = 0, time.Time{}, time.Now()
	delete(o.met, jobID)
}

// meet notes that a job met an unavailable service; again reports whether it had met one before, and alone whether
// the service has answered others since.
func (o *outage) meet(jobID string) (again, alone bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	before, again := o.met[jobID]
	if o.met == nil || len(o.met) >= maxMet {
		o.met = make(map[string]time.Time)
	}
	o.met[jobID] = time.Now()
	return again, again && o.answered.After(before)
}

// hasMet reports whether the job has met an unavailable service.
func (o *outage) hasMet(jobID string) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	_, met := o.met[jobID]
	return met
}

// blamesPhoto tells a photo on which the service breaks from a service that is away: the job has met "unavailable"
// before, and meanwhile the service answers others or says that it is well.
func (p *Pipeline) blamesPhoto(ctx context.Context, job queue.Job) bool {
	again, alone := p.outage.meet(job.ID)
	return alone || again && p.Analyzer.Health(ctx) == nil
}
