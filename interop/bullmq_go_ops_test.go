package interop

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"maps"

	"loupe/bullmq"
)

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
			rawname := p.clientName()
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
