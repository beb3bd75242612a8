package interop

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/redis/rueidis"

	"loupe/bullmq"
)

// bullmqGo is our BullMQ, in this process.
type bullmqGo struct {
	client rueidis.Client

	mu     sync.Mutex
	places map[bullmqPlace]*goPlace
}

func (g *bullmqGo) String() string { return "go" }

// goPlace is a queue with all that was made for it.
type goPlace struct {
	bullmqPlace
	client rueidis.Client
	queue  *bullmq.Queue
	log    *slog.Logger

	waiting sync.Mutex
	ends    *bullmq.QueueEvents // for those who wait; made by the first

	mu      sync.Mutex
	stops   []func() error
	workers []*goWorker
	events  []obj
	errors  []string
}

// id is the first argument of what concerns a job.
func (a goArgs) id() string { return to[string](a.at(0)) }

func (p *goPlace) job(ctx context.Context, a goArgs) (*bullmq.Job, error) {
	return p.queue.Job(ctx, a.id())
}

// listen has events delivered until the place is closed.
func (p *goPlace) listen(ctx context.Context, from string, deliver func(bullmq.Event)) (*bullmq.QueueEvents, error) {
	events, err := bullmq.NewQueueEvents(p.client, p.Queue, bullmq.EventsConfig{Prefix: p.Prefix, From: from, Log: p.log})
	if err != nil {
		return nil, err
	}
	p.start(func(ctx context.Context) error { return events.Run(ctx, deliver) })
	return events, events.Ready(ctx)
}

// waiter is the listener by which others wait for the ends of jobs.
func (p *goPlace) waiter(ctx context.Context) (*bullmq.QueueEvents, error) {
	p.waiting.Lock()
	defer p.waiting.Unlock()
	if p.ends != nil {
		return p.ends, nil
	}
	var err error
	p.ends, err = p.listen(ctx, "", nil)
	return p.ends, err
}

// start runs something until it is stopped by the function returned, or the place is closed.
func (p *goPlace) start(run func(context.Context) error) (stop func() error) {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- run(ctx) }()
	stop = sync.OnceValue(func() error {
		cancel()
		return <-ended
	})
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stops = append(p.stops, stop)
	return stop
}

func (g *bullmqGo) try(t testing.TB, at bullmqPlace, op string, args ...any) (json.RawMessage, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute) // a cleanup has no context of the test
	defer cancel()
	if op == "close" {
		return nil, g.close(at)
	}
	p, err := g.place(at)
	if err != nil {
		return nil, err
	}
	do := goOps[op]
	if do == nil {
		t.Fatalf("%s is nothing that ours is told here", op)
	}
	value, err := do(ctx, p, args)
	if err != nil {
		return nil, err
	}
	return encode(value), nil
}

func (g *bullmqGo) place(at bullmqPlace) (*goPlace, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if p := g.places[at]; p != nil {
		return p, nil
	}
	p := &goPlace{bullmqPlace: at, client: g.client}
	p.log = slog.New(slog.NewTextHandler(p, &slog.HandlerOptions{Level: slog.LevelWarn}))
	var err error
	if p.queue, err = bullmq.NewQueue(g.client, at.Queue, bullmq.QueueConfig{Prefix: at.Prefix, Log: p.log}); err != nil {
		return nil, err
	}
	g.places[at] = p
	return p, nil
}

func (g *bullmqGo) close(at bullmqPlace) error {
	g.mu.Lock()
	p := g.places[at]
	delete(g.places, at)
	g.mu.Unlock()
	var errs []error
	for _, w := range p.workers {
		w.release()
	}
	for _, stop := range p.stops {
		errs = append(errs, stop())
	}
	p.queue.Close()
	return errors.Join(errs...)
}

// Write takes what is logged.
func (p *goPlace) Write(line []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.errors = append(p.errors, string(line))
	return len(line), nil
}

func (p *goPlace) said() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.errors)
}

// goArgs are the arguments of an operation; what was left out is nil.
type goArgs []any

func (a goArgs) at(i int) any {
	if i < len(a) {
		return a[i]
	}
	return nil
}

// to brings an argument into another form by way of JSON.
func to[T any](arg any) (v T) {
	if arg, ok := arg.(T); ok {
		return arg
	}
	if err := json.Unmarshal(encode(arg), &v); err != nil {
		panic(fmt.Sprintf("%v is no %T: %v", arg, v, err))
	}
	return v
}

// encode is JSON with its letters as they are.
func encode(v any) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		panic(err)
	}
	return bytes.TrimSpace(b.Bytes())
}

// ms is a time as a number of milliseconds: 0 if there is none.
func ms(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

func goJob(j *bullmq.Job, err error) (any, error) {
	if err != nil || j == nil {
		return nil, err
	}
	return bullmqJob{
		ID: j.ID, Name: j.Name, Data: orNull(j.Data), Opts: encode(j.Options), ReturnValue: orNull(j.ReturnValue), Progress: orNull(j.ProgressValue),
		Timestamp: ms(j.Timestamp), ProcessedOn: ms(j.ProcessedOn), FinishedOn: ms(j.FinishedOn),
		Delay: j.Delay.Milliseconds(), Priority: int64(j.Priority),
		AttemptsMade: j.AttemptsMade, AttemptsStarted: j.AttemptsStarted, StalledCounter: j.StalledCount,
		FailedReason: j.FailedReason, DeferredFailure: j.DeferredFailure, ProcessedBy: j.ProcessedBy,
		DeduplicationID: j.DeduplicationID, RepeatJobKey: j.SchedulerID, ParentKey: j.ParentKey, Stacktrace: j.Stacktrace,
	}, nil
}

func goJobs(jobs []*bullmq.Job, err error) (any, error) {
	all := []any{}
	for _, j := range jobs {
		job, _ := goJob(j, nil)
		all = append(all, job)
	}
	return all, err
}

// orNull is a value as JSON: null if there is none, and a string if what is stored is no JSON.
func orNull(raw json.RawMessage) json.RawMessage {
	switch {
	case raw == nil:
		return json.RawMessage("null")
	case !json.Valid(raw):
		return encode(string(raw))
	}
	return raw
}

func millis(n int64) time.Duration { return time.Duration(n) * time.Millisecond }
