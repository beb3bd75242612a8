package interop

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
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

// goOps are the operations by Node's names. Those of jobs have the id first.
var goOps = map[string]func(ctx context.Context, p *goPlace, args goArgs) (any, error){
	"work":        func(_ context.Context, p *goPlace, a goArgs) (any, error) { return p.work(to[goWork](a.at(0))) },
	"runs":        func(_ context.Context, p *goPlace, a goArgs) (any, error) { return p.worker(a).runs(), nil },
	"release":     func(_ context.Context, p *goPlace, a goArgs) (any, error) { p.worker(a).release(); return nil, nil },
	"closeWorker": func(_ context.Context, p *goPlace, a goArgs) (any, error) { return nil, p.worker(a).stop() },
	"errors":      func(_ context.Context, p *goPlace, _ goArgs) (any, error) { return p.said(), nil },
	"add": func(ctx context.Context, p *goPlace, a goArgs) (any, error) {
		return goJob(p.queue.Add(ctx, to[string](a.at(0)), a.at(1), goOptions(a.at(2))))
	},
	"addBulk": func(ctx context.Context, p *goPlace, a goArgs) (any, error) {
		var jobs []bullmq.NewJob
		for _, job := range to[[]struct {
			Name string
			Data json.RawMessage
			Opts obj
		}](a.at(0)) {
			jobs = append(jobs, bullmq.NewJob{Name: job.Name, Data: job.Data, Options: goOptions(job.Opts)})
		}
		return goJobs(p.queue.AddBulk(ctx, jobs))
	},

	"getJob": func(ctx context.Context, p *goPlace, a goArgs) (any, error) { return goJob(p.job(ctx, a)) },
	"getJobState": func(ctx context.Context, p *goPlace, a goArgs) (any, error) {
		return p.queue.State(ctx, a.id())
	},
	"count": func(ctx context.Context, p *goPlace, _ goArgs) (any, error) { return p.queue.Count(ctx) },
	"getFailed": func(ctx context.Context, p *goPlace, _ goArgs) (any, error) {
		return goJobs(p.queue.Jobs(ctx, bullmq.Range{States: []bullmq.State{bullmq.StateFailed}, End: -1}))
	},
	"getJobCounts": func(ctx context.Context, p *goPlace, a goArgs) (any, error) {
		var states []bullmq.State
		for _, state := range a {
			states = append(states, bullmq.State(to[string](state)))
		}
		return p.queue.Counts(ctx, states...)
	},
	"getCountsPerPriority": func(ctx context.Context, p *goPlace, a goArgs) (any, error) {
		return p.queue.CountsPerPriority(ctx, to[[]int](a.at(0))...)
	},
	"getJobs": func(ctx context.Context, p *goPlace, a goArgs) (any, error) {
		return goJobs(p.queue.Jobs(ctx, bullmq.Range{
			States: to[[]bullmq.State](a.at(0)), Start: to[int64](a.at(1)), End: to[int64](a.at(2)), Ascending: to[bool](a.at(3)),
		}))
	},
	"job.opts": func(ctx context.Context, p *goPlace, a goArgs) (any, error) {
		j, err := p.job(ctx, a)
		if err != nil {
			return nil, err
		}
		return j.Options, nil
	},
	"job.updateProgress": func(ctx context.Context, p *goPlace, a goArgs) (any, error) {
		j, err := p.job(ctx, a)
		if err != nil {
			return nil, err
		}
		return nil, j.Progress(ctx, a.at(1))
	},
	"job.updateData": func(ctx context.Context, p *goPlace, a goArgs) (any, error) {
		return nil, p.queue.UpdateData(ctx, a.id(), a.at(1))
	},
	"job.log": func(ctx context.Context, p *goPlace, a goArgs) (any, error) {
		return p.queue.AddLog(ctx, a.id(), to[string](a.at(1)), 0)
	},
	"job.clearLogs": func(ctx context.Context, p *goPlace, a goArgs) (any, error) {
		return nil, p.queue.ClearLogs(ctx, a.id(), to[int](a.at(1)))
	},
	"getJobLogs": func(ctx context.Context, p *goPlace, a goArgs) (any, error) {
		start, end, ascending := int64(0), int64(-1), true
		if len(a) > 2 {
			start, end = to[int64](a.at(1)), to[int64](a.at(2))
		}
		if len(a) > 3 {
			ascending = to[bool](a.at(3))
		}
		lines, count, err := p.queue.Logs(ctx, a.id(), start, end, ascending)
		return struct {
			Logs  []string `json:"logs"`
			Count int64    `json:"count"`
		}{append([]string{}, lines...), count}, err
	},

	"job.retry": func(ctx context.Context, p *goPlace, a goArgs) (any, error) {
		return nil, p.queue.Retry(ctx, a.id(), bullmq.RetryOptions{State: bullmq.State(to[string](a.at(1)))})
	},
	"retryJobs": func(ctx context.Context, p *goPlace, a goArgs) (any, error) {
		state := bullmq.State(to[struct{ State string }](a.at(0)).State)
		return p.queue.RetryAll(ctx, bullmq.RetryFilter{RetryOptions: bullmq.RetryOptions{State: state}})
	},
	"job.promote": func(ctx context.Context, p *goPlace, a goArgs) (any, error) { return nil, p.queue.Promote(ctx, a.id()) },
	"promoteJobs": func(ctx context.Context, p *goPlace, _ goArgs) (any, error) { return p.queue.PromoteAll(ctx) },
	"job.changeDelay": func(ctx context.Context, p *goPlace, a goArgs) (any, error) {
		return nil, p.queue.ChangeDelay(ctx, a.id(), millis(to[int64](a.at(1))))
	},
	"job.changePriority": func(ctx context.Context, p *goPlace, a goArgs) (any, error) {
		o := to[struct {
			Priority int
			Lifo     bool
		}](a.at(1))
		return nil, p.queue.ChangePriority(ctx, a.id(), o.Priority, o.Lifo)
	},
	"job.remove": func(ctx context.Context, p *goPlace, a goArgs) (any, error) {
		return nil, p.queue.Remove(ctx, a.id(), bullmq.RemoveOptions{})
	},
	"remove": func(ctx context.Context, p *goPlace, a goArgs) (any, error) {
		err := p.queue.Remove(ctx, a.id(), bullmq.RemoveOptions{})
		if errors.Is(err, bullmq.ErrJobNotFound) {
			err = nil // to Node that is no error
		}
		return 1, err
	},
	"drain": func(ctx context.Context, p *goPlace, a goArgs) (any, error) {
		return nil, p.queue.Drain(ctx, to[bool](a.at(0)))
	},
	"clean": func(ctx context.Context, p *goPlace, a goArgs) (any, error) {
		state := bullmq.State(to[string](a.at(2)))
		if state == "wait" {
			state = bullmq.StateWaiting
		}
		ids, err := p.queue.Clean(ctx, millis(to[int64](a.at(0))), to[int](a.at(1)), state)
		return append([]string{}, ids...), err
	},
	"obliterate": func(ctx context.Context, p *goPlace, a goArgs) (any, error) {
		return nil, p.queue.Obliterate(ctx, to[struct{ Force bool }](a.at(0)).Force)
	},

	"pause":    func(ctx context.Context, p *goPlace, _ goArgs) (any, error) { return nil, p.queue.Pause(ctx) },
	"resume":   func(ctx context.Context, p *goPlace, _ goArgs) (any, error) { return nil, p.queue.Resume(ctx) },
	"isPaused": func(ctx context.Context, p *goPlace, _ goArgs) (any, error) { return p.queue.IsPaused(ctx) },
	"setGlobalConcurrency": func(ctx context.Context, p *goPlace, a goArgs) (any, error) {
		return nil, p.queue.SetGlobalConcurrency(ctx, to[int](a.at(0)))
	},
	"removeGlobalConcurrency": func(ctx context.Context, p *goPlace, _ goArgs) (any, error) {
		return nil, p.queue.RemoveGlobalConcurrency(ctx)
	},
	"getGlobalConcurrency": func(ctx context.Context, p *goPlace, _ goArgs) (any, error) {
		if n, err := p.queue.GlobalConcurrency(ctx); n != 0 || err != nil {
			return n, err
		}
		return nil, nil
	},
	"setGlobalRateLimit": func(ctx context.Context, p *goPlace, a goArgs) (any, error) {
		return nil, p.queue.SetGlobalRateLimit(ctx, bullmq.RateLimit{Max: to[int](a.at(0)), Per: millis(to[int64](a.at(1)))})
	},
	"removeGlobalRateLimit": func(ctx context.Context, p *goPlace, _ goArgs) (any, error) {
		return nil, p.queue.RemoveGlobalRateLimit(ctx)
	},
	"getGlobalRateLimit": func(ctx context.Context, p *goPlace, _ goArgs) (any, error) {
		if l, err := p.queue.GlobalRateLimit(ctx); l.Max != 0 || err != nil {
			return obj{"max": l.Max, "duration": l.Per.Milliseconds()}, err
		}
		return nil, nil
	},
	"rateLimit": func(ctx context.Context, p *goPlace, a goArgs) (any, error) {
		return nil, p.queue.RateLimit(ctx, millis(to[int64](a.at(0))))
	},
	"removeRateLimitKey": func(ctx context.Context, p *goPlace, _ goArgs) (any, error) { return nil, p.queue.RemoveRateLimit(ctx) },
	"getRateLimitTtl": func(ctx context.Context, p *goPlace, _ goArgs) (any, error) {
		left, err := p.queue.RateLimitTTL(ctx)
		return left.Milliseconds(), err
	},
	"getMetrics": func(ctx context.Context, p *goPlace, a goArgs) (any, error) {
		m, err := p.queue.Metrics(ctx, bullmq.State(to[string](a.at(0))), 0, -1)
		return obj{"meta": obj{"count": m.Total}, "data": append([]int64{}, m.PerMinute...), "count": m.Minutes}, err
	},
	"trimEvents": func(ctx context.Context, p *goPlace, a goArgs) (any, error) {
		return p.queue.TrimEvents(ctx, to[int64](a.at(0)))
	},
	"getWorkers": func(ctx context.Context, p *goPlace, _ goArgs) (any, error) {
		clients, err := p.queue.Workers(ctx)
		names := []obj{}
		for _, client := range clients {
			rawname := p.Prefix + ":" + base64(p.Queue)
			if client.Name != "" {
				rawname += ":w:" + client.Name
			}
			names = append(names, obj{"rawname": rawname})
		}
		return names, err
	},

	"upsertJobScheduler": func(ctx context.Context, p *goPlace, a goArgs) (any, error) {
		template := to[struct {
			Name string
			Data json.RawMessage
			Opts obj
		}](a.at(2))
		job := bullmq.NewJob{Name: cmp.Or(template.Name, a.id()), Options: goOptions(template.Opts)}
		if template.Data != nil {
			job.Data = template.Data
		}
		return goJob(p.queue.UpsertScheduler(ctx, a.id(), goRepeat(a.at(1)), job))
	},
	"removeJobScheduler": func(ctx context.Context, p *goPlace, a goArgs) (any, error) {
		return p.queue.RemoveScheduler(ctx, a.id())
	},
	"getJobSchedulers": func(ctx context.Context, p *goPlace, _ goArgs) (any, error) {
		schedulers, err := p.queue.Schedulers(ctx, 0, -1, true)
		all := []obj{}
		for _, s := range schedulers {
			all = append(all, obj{
				"key": s.ID, "name": s.Name, "next": ms(s.Next), "every": s.Repeat.Every.Milliseconds(), "pattern": s.Repeat.Pattern, "tz": s.Repeat.TZ,
				"limit": s.Repeat.Limit, "iterationCount": s.Count, "startDate": ms(s.Repeat.Start), "template": obj{"data": orNull(s.Data)},
			})
		}
		return all, err
	},

	"listen": func(ctx context.Context, p *goPlace, a goArgs) (any, error) {
		_, err := p.listen(ctx, to[string](a.at(0)), func(e bullmq.Event) {
			fields := obj{"id": e.ID}
			for name, value := range e.Fields() {
				fields[name] = value
				if name == "returnvalue" || name == "data" {
					fields[name] = json.RawMessage(value)
				}
			}
			p.mu.Lock()
			defer p.mu.Unlock()
			p.events = append(p.events, fields)
		})
		return nil, err
	},
	"heard": func(_ context.Context, p *goPlace, _ goArgs) (any, error) {
		p.mu.Lock()
		defer p.mu.Unlock()
		return append([]obj{}, p.events...), nil
	},
	"publish": func(ctx context.Context, p *goPlace, a goArgs) (any, error) {
		fields := maps.Clone(to[map[string]string](a.at(0)))
		name := fields["eventName"]
		delete(fields, "eventName")
		return p.queue.Publish(ctx, name, fields)
	},
	"waitUntilFinished": func(ctx context.Context, p *goPlace, a goArgs) (any, error) {
		ctx, cancel := context.WithTimeout(ctx, millis(to[int64](a.at(1))))
		defer cancel()
		events, err := p.waiter(ctx)
		if err != nil {
			return nil, err
		}
		value, err := p.queue.WaitFinished(ctx, a.id(), events)
		if failed, ok := errors.AsType[*bullmq.FailedError](err); ok {
			err = errors.New(failed.Reason)
		}
		return value, err
	},
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

// goOptions makes our options of Node's.
func goOptions(opts any) (o bullmq.JobOptions) {
	var rules struct{ FailParentOnFailure, ContinueParentOnFailure, IgnoreDependencyOnFailure, RemoveDependencyOnFailure bool }
	for name, value := range to[obj](opts) {
		switch name {
		case "jobId":
			o.ID = to[string](value)
		case "delay":
			o.Delay = millis(to[int64](value))
		case "timestamp":
			o.Timestamp = time.UnixMilli(to[int64](value))
		case "priority":
			o.Priority = to[int](value)
		case "lifo":
			o.LIFO = to[bool](value)
		case "attempts":
			o.Attempts = to[int](value)
		case "backoff":
			o.Backoff = goBackoff(value)
		case "removeOnComplete":
			o.RemoveOnComplete = goKeep(value)
		case "removeOnFail":
			o.RemoveOnFail = goKeep(value)
		case "keepLogs":
			o.KeepLogs = to[int](value)
		case "stackTraceLimit":
			limit := to[int](value)
			o.StackTraceLimit = &limit
		case "sizeLimit":
			o.SizeLimit = to[int](value)
		case "deduplication":
			d := to[struct {
				ID                                            string
				TTL                                           int64
				Extend, Replace, KeepLastIfActive, Reschedule bool
			}](value)
			o.Deduplication = &bullmq.Deduplication{
				ID: d.ID, TTL: millis(d.TTL), Extend: d.Extend, Replace: d.Replace, KeepLastIfActive: d.KeepLastIfActive, RescheduleDelayed: d.Reschedule,
			}
		case "parent":
			parent := to[bullmq.Parent](value)
			o.Parent = &parent
		case "telemetry":
			t := to[struct {
				Metadata    string
				OmitContext bool
			}](value)
			o.TelemetryMetadata, o.OmitContext = t.Metadata, t.OmitContext
		case "failParentOnFailure", "continueParentOnFailure", "ignoreDependencyOnFailure", "removeDependencyOnFailure":
			rules = to[struct{ FailParentOnFailure, ContinueParentOnFailure, IgnoreDependencyOnFailure, RemoveDependencyOnFailure bool }](opts)
		default:
			if o.Extra == nil {
				o.Extra = map[string]json.RawMessage{}
			}
			o.Extra[name] = encode(value)
		}
	}
	switch {
	case rules.FailParentOnFailure:
		o.OnFailure = bullmq.ParentFails
	case rules.ContinueParentOnFailure:
		o.OnFailure = bullmq.ParentContinues
	case rules.IgnoreDependencyOnFailure:
		o.OnFailure = bullmq.ParentIgnores
	case rules.RemoveDependencyOnFailure:
		o.OnFailure = bullmq.ParentForgets
	}
	return o
}

// goRepeat makes our schedule of Node's.
func goRepeat(value any) bullmq.Repeat {
	r := to[struct {
		Every, Offset      int64
		Pattern, TZ        string
		Limit              int
		StartDate, EndDate any
		Immediately        bool
	}](value)
	date := func(value any) time.Time {
		switch value := value.(type) {
		case string:
			return to[time.Time](value)
		case float64:
			return time.UnixMilli(int64(value))
		}
		return time.Time{}
	}
	return bullmq.Repeat{
		Every: millis(r.Every), Offset: millis(r.Offset), Pattern: r.Pattern, TZ: r.TZ, Limit: r.Limit,
		Start: date(r.StartDate), End: date(r.EndDate), Immediately: r.Immediately,
	}
}

func goBackoff(value any) bullmq.Backoff {
	if _, is := value.(obj); !is {
		return bullmq.Fixed(millis(to[int64](value)))
	}
	b := to[struct {
		Type   string
		Delay  int64
		Jitter float64
	}](value)
	return bullmq.Backoff{Type: b.Type, Delay: millis(b.Delay), Jitter: b.Jitter}
}

func goKeep(value any) *bullmq.Keep {
	switch value := value.(type) {
	case nil:
		return nil
	case bool:
		if value {
			return bullmq.KeepNone()
		}
		return bullmq.KeepAll()
	case obj:
		k := to[struct {
			Count      *int
			Age, Limit int
		}](value)
		keep := bullmq.KeepAll()
		if k.Count != nil {
			keep = bullmq.KeepLast(*k.Count)
		}
		keep.Age, keep.Limit = time.Duration(k.Age)*time.Second, k.Limit
		return keep
	default:
		return bullmq.KeepLast(to[int](value))
	}
}

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
