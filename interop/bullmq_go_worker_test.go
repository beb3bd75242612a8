package interop

import (
	"context"
	"encoding/json"
	"errors"
	"sync"
	"time"

	"loupe/bullmq"
)

// goWork is what a worker is told.
type goWork struct {
	Script                              map[string][]goStep
	Name                                string
	Concurrency                         int
	LockDuration, StalledInterval       int64
	MaxStalledCount, MaxStartedAttempts *int
	RemoveOnComplete, RemoveOnFail      any
	Limiter                             *struct{ Max, Duration int }
	Metrics                             struct{ MaxDataPoints int }
}

// goStep is a step of a script.
type goStep struct {
	Progress, Data, Return json.RawMessage
	Log                    []string
	Hang                   bool
	Wait, Delay, RateLimit int64
	Fail, Unrecoverable    string
}

// goWorker is a worker that follows a script.
type goWorker struct {
	script map[string][]goStep
	stop   func() error // ends it when its jobs have ended

	mu   sync.Mutex
	made []*bullmqRun
	held []chan struct{}
}

func (p *goPlace) worker(a goArgs) *goWorker {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.workers[to[int](a.at(0))]
}

func (p *goPlace) work(spec goWork) (int, error) {
	w := &goWorker{script: spec.Script}
	cfg := bullmq.WorkerConfig{
		Prefix: p.Prefix, Name: spec.Name, Concurrency: spec.Concurrency, Log: p.log,
		Lock: millis(spec.LockDuration), StalledEvery: millis(spec.StalledInterval),
		RemoveOnComplete: goKeep(spec.RemoveOnComplete), RemoveOnFail: goKeep(spec.RemoveOnFail),
		MetricsPoints: spec.Metrics.MaxDataPoints,
	}
	if spec.MaxStalledCount != nil {
		cfg.MaxStalls = *spec.MaxStalledCount
	}
	if spec.MaxStartedAttempts != nil {
		cfg.MaxStarts = *spec.MaxStartedAttempts
	}
	if l := spec.Limiter; l != nil {
		cfg.RateLimit = &bullmq.RateLimit{Max: l.Max, Per: millis(int64(l.Duration))}
	}
	worker, err := bullmq.NewWorker(p.client, p.Queue, w.handle, cfg)
	if err != nil {
		return 0, err
	}
	w.stop = p.start(worker.Run)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.workers = append(p.workers, w)
	return len(p.workers) - 1, nil
}

func (w *goWorker) runs() []bullmqRun {
	w.mu.Lock()
	defer w.mu.Unlock()
	runs := []bullmqRun{}
	for _, run := range w.made {
		runs = append(runs, *run)
	}
	return runs
}

// release lets all jobs that hang go on.
func (w *goWorker) release() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, held := range w.held {
		close(held)
	}
	w.held = nil
}

func (w *goWorker) handle(ctx context.Context, job *bullmq.Job) (any, error) {
	steps := w.script[job.Name]
	if steps == nil {
		steps = w.script["*"]
	}
	if steps == nil {
		steps = []goStep{{}}
	}
	run := &bullmqRun{Job: job.ID, Name: job.Name, Data: string(job.Data), From: now()}
	w.mu.Lock()
	w.made = append(w.made, run)
	w.mu.Unlock()
	value, err := w.follow(ctx, job, steps[min(job.AttemptsStarted, len(steps))-1])
	w.mu.Lock()
	run.To = now()
	w.mu.Unlock()
	return value, err
}

func (w *goWorker) follow(ctx context.Context, job *bullmq.Job, step goStep) (any, error) {
	if step.Progress != nil {
		if err := job.Progress(ctx, step.Progress); err != nil {
			return nil, err
		}
	}
	for _, line := range step.Log {
		if _, err := job.Log(ctx, line); err != nil {
			return nil, err
		}
	}
	if step.Data != nil {
		if err := job.UpdateData(ctx, step.Data); err != nil {
			return nil, err
		}
	}
	if step.Hang {
		held := make(chan struct{})
		w.mu.Lock()
		w.held = append(w.held, held)
		w.mu.Unlock()
		select {
		case <-held:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
	if step.Wait > 0 {
		select {
		case <-time.After(millis(step.Wait)):
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
	switch {
	case step.Fail != "":
		return nil, errors.New(step.Fail)
	case step.Unrecoverable != "":
		return nil, bullmq.Unrecoverable(errors.New(step.Unrecoverable))
	case step.Delay > 0:
		return nil, bullmq.DelayFor(millis(step.Delay), "as told")
	case step.RateLimit > 0:
		return nil, bullmq.RateLimited(millis(step.RateLimit))
	case step.Return == nil:
		return nil, nil
	}
	return step.Return, nil
}
