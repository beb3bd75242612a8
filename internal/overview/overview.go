// Package overview keeps what the console shows of the recent past: how deep the queue was, which is the same whoever
// looks, and how this process fared. All of it is in memory, bounded, and gone with the process.
package overview

import (
	"context"
	"slices"
	"sync"
	"time"

	"loupe/internal/queue"
)

// How far back, and how finely.
const (
	Span        = time.Hour       // of samples and of what is counted by the minute
	SampleEvery = 5 * time.Second // of the depth of the queue
	StageSpan   = 15 * time.Minute
	MaxTimes    = 1000 // durations kept of each stage, the latest

	maxSamples = int(Span / SampleEvery)
	minutes    = int64(Span / time.Minute)
)

// Config is what a [Recorder] is made with. Counts is required.
type Config struct {
	Counts func(ctx context.Context) (queue.Counts, error) // asked for each sample, with a deadline
}

// Recorder records. Its methods may be called concurrently.
type Recorder struct {
	counts func(ctx context.Context) (queue.Counts, error)

	mu      sync.Mutex
	samples ring[Sample]
	stages  map[Stage]*ring[timed]
	minutes map[int64]*minute // by minutes since 1970
	since   time.Time         // when recording began
}

// New returns a recorder.
func New(c Config) *Recorder {
	return &Recorder{
		counts: c.Counts, samples: ring[Sample]{max: maxSamples}, stages: map[Stage]*ring[timed]{},
		minutes: map[int64]*minute{}, since: time.Now(),
	}
}

// Sample is how deep the queue was.
type Sample struct {
	At time.Time
	queue.Counts
}

// Run takes samples until ctx ends. One that the queue does not answer is left out.
func (r *Recorder) Run(ctx context.Context) error {
	tick := time.NewTicker(SampleEvery)
	defer tick.Stop()
	for {
		r.sample(ctx)
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

func (r *Recorder) sample(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, SampleEvery)
	defer cancel()
	counts, err := r.counts(ctx)
	if err != nil {
		return // the gap tells it, and readiness why
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.samples.add(Sample{time.Now().UTC().Truncate(time.Millisecond), counts})
}

// Samples returns the samples taken after a moment, oldest first.
func (r *Recorder) Samples(after time.Time) []Sample {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := r.samples.list()
	for i := range all {
		if all[i].At.After(after) {
			return all[i:]
		}
	}
	return nil
}

// Stage is a part of a photo's way.
type Stage string

// The stages, in the order of the way.
const (
	Receive  Stage = "receive"  // from the first byte until the photo is stored
	Wait     Stage = "wait"     // in the queue, before the first attempt
	Analysis Stage = "analysis" // one attempt at the AI service, good or bad
	Total    Stage = "total"    // from the upload to the end of the run
)

// Stages are all of them.
var Stages = []Stage{Receive, Wait, Analysis, Total}

type timed struct {
	at   time.Time
	took time.Duration
}

// Took notes how long a stage took.
func (r *Recorder) Took(stage Stage, d time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.stages[stage] == nil {
		r.stages[stage] = &ring[timed]{max: MaxTimes}
	}
	r.stages[stage].add(timed{time.Now(), d})
}

// Times are the durations of a stage within [StageSpan], at most the latest [MaxTimes].
type Times struct {
	Stage    Stage
	Count    int
	P50, P95 time.Duration // half and nineteen of twenty took no longer; 0 when there is none
}

// Times returns those of each stage.
func (r *Recorder) Times() []Times {
	r.mu.Lock()
	defer r.mu.Unlock()
	from := time.Now().Add(-StageSpan)
	all := make([]Times, len(Stages))
	for i, stage := range Stages {
		var took []time.Duration
		if times := r.stages[stage]; times != nil {
			for _, t := range times.list() {
				if t.at.After(from) {
					took = append(took, t.took)
				}
			}
		}
		slices.Sort(took)
		all[i] = Times{Stage: stage, Count: len(took), P50: percentile(took, 50), P95: percentile(took, 95)}
	}
	return all
}

// percentile returns the smallest of sorted durations that p of a hundred do not exceed.
func percentile(sorted []time.Duration, p int) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[(len(sorted)*p+99)/100-1]
}

// minute is what was counted in one.
type minute struct {
	finished, attempts map[string]int
}

// Finished counts the end of a run by its status.
func (r *Recorder) Finished(status string) { r.count(func(m *minute) { m.finished[status]++ }) }

// Attempted counts an attempt at the AI service by its outcome.
func (r *Recorder) Attempted(outcome string) { r.count(func(m *minute) { m.attempts[outcome]++ }) }

func (r *Recorder) count(add func(*minute)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now().Unix() / 60
	if r.minutes[now] == nil {
		for old := range r.minutes {
			if old <= now-minutes {
				delete(r.minutes, old)
			}
		}
		r.minutes[now] = &minute{finished: map[string]int{}, attempts: map[string]int{}}
	}
	add(r.minutes[now])
}

// Minute is how many runs ended in it, by status.
type Minute struct {
	At       time.Time // its beginning
	Finished map[string]int
}

// Throughput returns the minutes since recording began, within [Span], oldest first; the last one is not over.
func (r *Recorder) Throughput() []Minute {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now().Unix() / 60
	var all []Minute
	for at := max(now-minutes+1, r.since.Unix()/60); at <= now; at++ {
		m := Minute{At: time.Unix(at*60, 0).UTC(), Finished: map[string]int{}}
		if counted := r.minutes[at]; counted != nil {
			for status, n := range counted.finished {
				m.Finished[status] = n
			}
		}
		all = append(all, m)
	}
	return all
}

// Attempts returns how many attempts within [Span] ended how.
func (r *Recorder) Attempts() map[string]int {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now().Unix() / 60
	sum := map[string]int{}
	for at, m := range r.minutes {
		if at > now-minutes {
			for outcome, n := range m.attempts {
				sum[outcome] += n
			}
		}
	}
	return sum
}

// ring keeps the latest values.
type ring[T any] struct {
	max    int
	values []T
	next   int // where the next one goes once there are max
}

func (r *ring[T]) add(v T) {
	if len(r.values) < r.max {
		r.values = append(r.values, v)
		return
	}
	r.values[r.next] = v
	r.next = (r.next + 1) % r.max
}

// list returns a copy, oldest first.
func (r *ring[T]) list() []T {
	return append(slices.Clone(r.values[r.next:]), r.values[:r.next]...)
}
