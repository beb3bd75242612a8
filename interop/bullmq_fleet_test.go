package interop

import (
	"slices"
	"strings"
)

var bullmqFleetChecks = []bullmqCheck{
	{12, "10 000 jobs by both", checkFleet},
	{28, "global concurrency", checkGlobalConcurrency},
	{29, "rate limits", checkRateLimit},
	{40, "rolling upgrade", checkUpgrade},
}

// bulk adds n jobs of a name in calls of 1000, and returns their ids.
func (c *bullmqCase) bulk(p bullmqPeer, name string, n int, opts obj) (ids []string) {
	c.Helper()
	for n > 0 {
		jobs := make([]obj, min(n, 1000))
		for i := range jobs {
			jobs[i] = obj{"name": name, "data": i, "opts": opts}
		}
		for _, job := range ask[[]bullmqJob](c, p, "addBulk", jobs) {
			ids = append(ids, job.ID)
		}
		n -= len(jobs)
	}
	return ids
}

// once fails unless each of the jobs was run by the workers exactly once, and each worker has run some.
func (c *bullmqCase) once(ids []string, workers ...bullmqWorker) {
	c.Helper()
	seen := map[string]int{}
	for _, w := range workers {
		jobs := w.jobs()
		for _, id := range jobs {
			seen[id]++
		}
		if len(jobs) == 0 {
			c.Errorf("%s has run no job", w.peer)
		}
		c.Logf("%s has run %d jobs", w.peer, len(jobs))
	}
	for _, id := range ids {
		if seen[id] != 1 {
			c.Errorf("job %s was run %d times", id, seen[id])
		}
	}
	c.equal("jobs run", len(seen), len(ids))
}

// quiet fails if something is left of jobs that have ended: where they are worked on, locks, suspicions.
func (c *bullmqCase) quiet() {
	c.Helper()
	for _, name := range []string{"wait", "paused", "active", "prioritized", "delayed"} {
		c.equal(name, len(c.members(name)), 0)
	}
	locks, err := c.redis("KEYS", c.key("*:lock")).AsStrSlice()
	c.equal("locks", len(locks), 0)
	stalled, err2 := c.redis("SMEMBERS", c.key("stalled")).AsStrSlice()
	c.equal("suspected", len(stalled), 0)
	if err != nil || err2 != nil {
		c.Fatal(err, err2)
	}
}

// Workers of both drain a queue that both fill, and run each job exactly once.
func checkFleet(c *bullmqCase) {
	theirs, ours := c.work(c.node, nil, obj{"concurrency": 50}), c.work(c.us, nil, obj{"concurrency": 50})
	ids := slices.Concat(c.bulk(c.node, "n", 5000, nil), c.bulk(c.us, "n", 5000, nil))
	c.soon("the end of all jobs", func() bool {
		n, err := c.redis("ZCARD", c.key("completed")).AsInt64()
		return err == nil && n == int64(len(ids))
	})
	c.once(ids, theirs, ours)
	c.quiet()
	c.do(c.us, "obliterate") // there are tests that list keys
}

// As many jobs as the queue's settings allow run at once, whoever runs them.
func checkGlobalConcurrency(c *bullmqCase) {
	c.both(func(c *bullmqCase, a, b bullmqPeer) {
		c.do(a, "setGlobalConcurrency", 1)
		c.equal("setting", string(c.do(b, "getGlobalConcurrency")), "1")
		step := script{"*": {{"wait": 5}}}
		workers := []bullmqWorker{c.work(a, step, obj{"concurrency": 3}), c.work(b, step, obj{"concurrency": 3})}
		ids := slices.Concat(c.bulk(a, "n", 20, nil), c.bulk(b, "n", 20, obj{"priority": 1}))
		c.ends(len(ids))
		var runs []bullmqRun
		for _, w := range workers {
			runs = append(runs, w.runs()...)
		}
		c.equal("runs", len(runs), len(ids))
		slices.SortFunc(runs, func(a, b bullmqRun) int { return int(a.From - b.From) })
		for i, run := range runs[1:] {
			if run.From < runs[i].To {
				c.Errorf("%+v began before the end of %+v", run, runs[i])
			}
		}
		c.do(b, "removeGlobalConcurrency")
		c.equal("setting", string(c.do(a, "getGlobalConcurrency")), "null")
	})
}

// starts are the times at which jobs started, by the clock of Redis.
func (c *bullmqCase) starts() (at []int64) {
	c.Helper()
	for _, e := range c.events() {
		if e.name == "active" {
			at = append(at, e.at())
		}
	}
	return at
}

// All workers together start no more jobs than a limit allows.
func checkRateLimit(c *bullmqCase) {
	const per = 200
	limit := obj{"limiter": obj{"max": 2, "duration": per}, "concurrency": 3}
	c.both(func(c *bullmqCase, a, b bullmqPeer) {
		c.work(a, nil, limit)
		c.work(b, nil, limit)
		ids := c.bulk(a, "n", 8, nil)
		c.ends(len(ids))
		starts := c.starts()
		for i := 2; i < len(starts); i += 2 {
			if passed := starts[i] - starts[i-2]; passed < per-2 {
				c.Errorf("three starts within %d ms: %v", passed, starts)
			}
		}

		queue := c.on("queue") // a limit of the queue's settings
		queue.do(a, "setGlobalRateLimit", 1, per)
		queue.equal("setting", pretty(ask[obj](queue, b, "getGlobalRateLimit")), `{"duration":200,"max":1}`)
		queue.work(b, nil, obj{"concurrency": 3})
		queue.bulk(a, "n", 3, nil)
		queue.soon("a start", func() bool { return ask[int64](queue, a, "getRateLimitTtl") > 0 })
		if ttl := ask[int64](queue, b, "getRateLimitTtl"); ttl <= 0 || ttl > per {
			c.Errorf("%d ms are left of %d", ttl, per)
		}
		queue.ends(3)
		starts = queue.starts()
		for i := range starts[1:] {
			if passed := starts[i+1] - starts[i]; passed < per-2 {
				c.Errorf("two starts within %d ms", passed)
			}
		}
		queue.do(b, "removeGlobalRateLimit")
		queue.equal("setting", string(queue.do(a, "getGlobalRateLimit")), "null")

		manual := c.on("manual") // set for once, by the queue or by a handler
		manual.do(a, "setGlobalRateLimit", 1000, 1000)
		set := now()
		manual.do(a, "rateLimit", per)
		w := manual.work(b, script{"back": {{"rateLimit": per}, {}}}, nil)
		manual.add(a, "n", 1, nil)
		if first := w.nth(1).From - set; first < per {
			c.Errorf("started %d ms after all were stopped for %d", first, per)
		}
		manual.ends(1)
		id := manual.add(a, "back", 1, nil)
		manual.ends(2)
		h := manual.hash(id)
		c.equal("attempts", h["ats"]+h["atm"], "21")
		c.equal("events", strings.Join(manual.story(id)[2:], "; "),
			strings.ReplaceAll("active # waiting; waiting # active; active # waiting; completed # active null", "#", id))
		runs := w.runs()
		if passed := runs[2].From - runs[1].From; passed < per {
			c.Errorf("started again after %d ms, want %d", passed, per)
		}
		manual.do(a, "rateLimit", 60000)
		manual.do(b, "removeRateLimitKey")
		manual.equal("time left", ask[int64](manual, a, "getRateLimitTtl") <= 0, true)
	})
}

// The program of a version is replaced by that of another one while ours runs on.
func checkUpgrade(c *bullmqCase) {
	next := "6.7.0"
	if c.version == next {
		next = "5.66.0" // and back
	}
	after := c.fleet.nodes[next]
	step := script{"*": {{"wait": 1}}, "retry": {{"fail": "once"}, {"wait": 1}}}
	opts := obj{"concurrency": 5}
	ours := c.work(c.us, step, opts)
	before := c.work(c.node, step, opts)
	var ids []string
	fill := func(p bullmqPeer) {
		ids = slices.Concat(ids, c.bulk(p, "n", 40, nil), c.bulk(p, "n", 20, obj{"priority": 3}), c.bulk(p, "n", 20, obj{"delay": 50}))
		c.bulk(p, "retry", 20, obj{"attempts": 2, "backoff": 10})
	}
	fill(c.us)
	fill(c.node)
	later := c.work(after, step, opts)
	fill(after)
	before.close()
	fill(c.us)
	fill(after)
	c.ends(5 * 100)
	seen := map[string]int{}
	for _, w := range []bullmqWorker{ours, before, later} {
		for _, run := range w.runs() {
			if run.Name == "n" {
				seen[run.Job]++
			}
		}
	}
	for _, id := range ids {
		c.equal("runs of "+id, seen[id], 1)
	}
	c.equal("failed", len(c.members("failed")), 0)
	c.quiet()
}
