package interop

import (
	"fmt"
	"slices"
)

var bullmqWorkerChecks = []bullmqCheck{
	{9, "a delayed job wakes an idle worker", checkDelayedWake},
	{11, "an added job wakes an idle worker", checkWake},
	{13, "attempts and backoff", checkBackoff},
	{14, "immediate retry", checkImmediateRetry},
	{15, "unrecoverable and exhausted", checkUnrecoverable},
	{16, "what is kept, by the job", checkKeep},
	{17, "what is kept, by the worker", checkKeepOfWorker},
	{22, "lost locks", checkLostLock},
	{27, "progress, logs and data", checkNotes},
}

// prompt tries something until it took less than so many ms four times in a row: what is only ever prompt by chance
// fails, and what is late now and then, on a busy machine, does not.
func (c *bullmqCase) prompt(bound int64, try func() int64) {
	c.Helper()
	var took []int64
	for inARow := 0; inARow < 4; {
		took = append(took, try())
		if inARow++; took[len(took)-1] >= bound {
			inARow = 0
		}
		if len(took) == 25 {
			c.Fatalf("took %v ms, want less than %d", took, bound)
		}
	}
}

// nth waits for the n-th run and returns it.
func (w bullmqWorker) nth(n int) bullmqRun {
	w.c.Helper()
	var runs []bullmqRun
	w.c.soon(fmt.Sprint(n, " runs"), func() bool {
		runs = w.runs()
		return len(runs) >= n
	})
	return runs[n-1]
}

// idle waits until the worker sleeps on the marker.
func (c *bullmqCase) idle() {
	c.Helper()
	c.soon("the worker to sleep", func() bool { return c.sleepers() > 0 && len(c.scores("marker")) == 0 })
}

// sleepers counts the connections that wait for the marker of the queue.
func (c *bullmqCase) sleepers() (n int) {
	c.Helper()
	for _, client := range c.clients() {
		if client["cmd"] == "bzpopmin" && client["name"] == c.clientName() {
			n++
		}
	}
	return n
}

// A worker with nothing to do starts a delayed job when it is due: ours at once, theirs at the next tick of Redis.
func checkDelayedWake(c *bullmqCase) {
	c.both(func(c *bullmqCase, a, b bullmqPeer) {
		w := c.work(b, nil, nil)
		bound := int64(20)
		if b == c.node {
			bound = 150
		}
		n := 0
		c.prompt(bound, func() int64 {
			c.idle()
			due := now() + 200
			c.add(a, "n", 1, obj{"timestamp": due - 200, "delay": 200})
			n++
			late := w.nth(n).From - due
			if late < 0 {
				c.Errorf("started %d ms too early", -late)
			}
			return late
		})
	})
}

// A worker that sleeps is woken by an added job.
func checkWake(c *bullmqCase) {
	c.both(func(c *bullmqCase, a, b bullmqPeer) {
		w := c.work(b, nil, nil)
		n := 0
		c.prompt(50, func() int64 {
			c.idle()
			opts := []obj{nil, {"priority": 1}, {"lifo": true}}[n%3]
			added := now()
			c.add(a, "n", 1, opts)
			n++
			return w.nth(n).From - added
		})
	})
}

// A job that fails is tried again after its pause, by whichever worker is there.
func checkBackoff(c *bullmqCase) {
	for _, backoff := range []struct {
		name   string
		opts   any
		delays []int64
	}{
		{"number", 100, []int64{100, 100, 100}},
		{"fixed", obj{"type": "fixed", "delay": 100}, []int64{100, 100, 100}},
		{"exponential", obj{"type": "exponential", "delay": 60}, []int64{60, 120, 240}},
	} {
		c.both(func(c *bullmqCase, a, b bullmqPeer) {
			c.Logf("backoff %s", backoff.name)
			fail := script{"*": {{"fail": "boom 1"}, {"fail": "boom 2"}, {"fail": "boom 3"}, {"fail": "boom 4"}}}
			first := c.work(a, fail, nil)
			id := c.add(b, "n", 1, obj{"attempts": 4, "backoff": backoff.opts})
			first.nth(2)
			c.is(id, "delayed")
			first.close()
			tried := len(first.runs()) // it may have been quick
			h := c.hash(id)
			c.equal("fields between two attempts", []string{h["ats"], h["atm"], h["delay"], h["failedReason"]},
				[]any{tried, tried, backoff.delays[tried-1], fmt.Sprint("boom ", tried)})
			second := c.work(b, fail, nil)
			c.ends(1)
			c.equal("runs", len(second.runs()), 4-tried)
			h = c.hash(id)
			c.equal("fields at the end", []string{h["ats"], h["atm"], h["delay"], h["failedReason"]}, []any{4, 4, 0, "boom 4"})
			c.equal("events", c.story(id), []string{
				"added " + id, "waiting " + id,
				"active " + id + " waiting", "delayed " + id, "waiting " + id + " delayed",
				"active " + id + " waiting", "delayed " + id, "waiting " + id + " delayed",
				"active " + id + " waiting", "delayed " + id, "waiting " + id + " delayed",
				"active " + id + " waiting", "failed " + id + " active boom 4", "retries-exhausted " + id + " 4",
			})
			var started int64
			n := 0
			for _, e := range c.events() {
				switch e.name {
				case "active":
					started = e.at()
				case "delayed":
					var due int64
					fmt.Sscan(e.fields["delay"], &due)
					if failed := due - backoff.delays[n]; failed < started-1 || failed > e.at()+1 { // by the worker's clock
						c.Errorf("attempt %d, from %d to %d, is followed by one at %d, want %d later", n, started, e.at(), due, backoff.delays[n])
					}
					n++
				}
			}
		})
	}
}

// A job without a pause goes to the end of the line; one that came in at the head of it goes there again.
func checkImmediateRetry(c *bullmqCase) {
	c.both(func(c *bullmqCase, a, b bullmqPeer) {
		once := script{"once": {{"fail": "once"}, {}}}
		c.add(a, "once", 1, obj{"attempts": 2})
		c.add(a, "n", 1, nil)
		c.add(a, "n", 1, nil)
		w := c.work(b, once, nil)
		c.ends(3)
		c.equal("order", w.jobs(), []string{"1", "2", "3", "1"})
		c.equal("events of the first", c.story("1"), []string{
			"added 1", "waiting 1", "active 1 waiting", "waiting 1 active", "active 1 waiting", "completed 1 active null",
		})

		lifo := c.on("lifo")
		lifo.add(a, "n", 1, nil)
		lifo.add(a, "once", 1, obj{"attempts": 2, "lifo": true})
		w = lifo.work(b, once, nil)
		lifo.ends(2)
		c.equal("order from the head", w.jobs(), []string{"2", "2", "1"})

		prioritized := c.on("prioritized")
		prioritized.add(a, "once", 1, obj{"attempts": 2, "priority": 2})
		prioritized.add(a, "n", 1, obj{"priority": 2})
		prioritized.add(a, "n", 1, obj{"priority": 3})
		w = prioritized.work(b, once, nil)
		prioritized.ends(3)
		c.equal("order by priority", w.jobs(), []string{"1", "2", "1", "3"})
	})
}

// A failure that no attempt can help is final; the end of all attempts is told, and is not when some were left.
func checkUnrecoverable(c *bullmqCase) {
	c.both(func(c *bullmqCase, a, b bullmqPeer) {
		c.work(b, script{"final": {{"unrecoverable": "never"}}, "*": {{"fail": "no"}}}, nil)
		final := c.add(a, "final", 1, obj{"attempts": 3})
		tried := c.add(a, "n", 1, obj{"attempts": 2})
		plain := c.add(a, "n", 1, nil)
		c.ends(3)
		c.equal("unrecoverable", c.story(final)[2:], []string{"active " + final + " waiting", "failed " + final + " active never"})
		c.equal("exhausted", c.story(tried)[5:], []string{"failed " + tried + " active no", "retries-exhausted " + tried + " 2"})
		c.equal("only one attempt", c.story(plain)[3:], []string{"failed " + plain + " active no", "retries-exhausted " + plain + " 1"})
		c.equal("attempts", c.hash(final)["atm"], 1)
	})
}

// Which finished jobs survive the end of a fifth one, where the others ended 100, 50, 3 and 1 seconds ago.
func checkKeep(c *bullmqCase) {
	keeps := []struct {
		opt  any
		left string
	}{
		{nil, "1 2 3 4 5"},
		{false, "1 2 3 4 5"},
		{true, "1 2 3 4"},
		{0, "1 2 3 4"},
		{2, "4 5"},
		{obj{"count": 2}, "4 5"},
		{obj{"age": 10}, "3 4 5"},
		{obj{"age": 10, "count": 2}, "4 5"},
		{obj{"age": 10, "count": 10, "limit": 1}, "1 3 4 5"},
	}
	c.both(func(c *bullmqCase, a, b bullmqPeer) {
		c.work(b, script{"failed": {{"fail": "no"}}}, nil)
		for i, keep := range keeps {
			left := keep.left
			if o, ok := keep.opt.(obj); ok && o["limit"] != nil && b == c.node && c.version == "5.66.0" {
				left = "3 4 5" // it knows no limit
			}
			for state, option := range map[string]string{"completed": "removeOnComplete", "failed": "removeOnFail"} {
				c.redis("DEL", c.key(state))
				id := func(n int) string { return fmt.Sprint("k", i, "-", n) }
				ended := func(n int) {
					c.soon(id(n)+" to end", func() bool {
						return slices.Contains(c.story(id(n)), state+" "+id(n)+" active "+map[string]string{"completed": "null", "failed": "no"}[state])
					})
				}
				for n, age := range []int64{100, 50, 3, 1} {
					c.add(a, state, 1, obj{"jobId": id(n + 1)})
					ended(n + 1)
					c.redis("ZADD", c.key(state), fmt.Sprint(now()-age*1000), id(n+1))
				}
				opts := obj{"jobId": id(5)}
				if keep.opt != nil {
					opts[option] = keep.opt
				}
				c.add(a, state, 1, opts)
				ended(5)
				var listed, stored string
				for n := 1; n <= 5; n++ {
					if slices.Contains(c.members(state), id(n)) {
						listed += fmt.Sprint(" ", n)
					}
					if len(c.hash(id(n))) > 0 {
						stored += fmt.Sprint(" ", n)
					}
					c.redis("DEL", c.key(id(n)))
				}
				c.equal(fmt.Sprint(option, " ", keep.opt), listed+","+stored, " "+left+", "+left)
			}
		}
	})
}

// A worker's rule holds for jobs that have none.
func checkKeepOfWorker(c *bullmqCase) {
	c.both(func(c *bullmqCase, a, b bullmqPeer) {
		c.work(b, script{"fail": {{"fail": "no"}}}, obj{"removeOnComplete": obj{"count": 1}, "removeOnFail": obj{"count": 0}})
		ids := []string{
			c.add(a, "n", 1, nil), c.add(a, "n", 1, nil), c.add(a, "fail", 1, nil), c.add(a, "fail", 1, obj{"removeOnFail": false}),
			c.add(a, "n", 1, obj{"removeOnComplete": true}), c.add(a, "last", 1, obj{"removeOnComplete": 3}),
		}
		c.soon("the last to end", func() bool { return slices.Contains(c.members("completed"), ids[5]) })
		c.equal("completed", c.members("completed"), []string{ids[1], ids[5]})
		c.equal("failed", c.members("failed"), []string{ids[3]})
		for i, id := range ids {
			if kept := len(c.hash(id)) > 0; kept != slices.Contains([]int{1, 3, 5}, i) {
				c.Errorf("job %s is kept: %t", id, kept)
			}
		}
	})
}

// A worker whose lock is gone, or is another's, changes nothing.
func checkLostLock(c *bullmqCase) {
	c.both(func(c *bullmqCase, a, b bullmqPeer) {
		errors := 0
		for what, lose := range map[string][]string{
			"gone":      {"DEL", c.key("lost:lock")},
			"another's": {"SET", c.key("lost:lock"), "somebody"},
		} {
			for _, end := range []obj{{"hang": true, "return": 1}, {"hang": true, "fail": "no"}} {
				w := c.work(b, script{"*": {end}}, nil)
				c.add(a, "n", 1, obj{"jobId": "lost", "attempts": 3})
				w.nth(1)
				c.redis(lose...)
				before := c.hash("lost")
				w.release()
				errors++
				c.soon("an error", func() bool { return len(ask[[]string](c, b, "errors")) >= errors })
				w.close()
				c.equal("job whose lock is "+what, c.hash("lost"), before)
				c.equal("state", c.state("lost"), "active")
				if lock, err := c.redis("GET", c.key("lost:lock")).ToString(); err == nil && lock != "somebody" {
					c.Errorf("the lock is %q", lock)
				}
				c.redis("DEL", c.key("lost"), c.key("lost:lock"), c.key("active"), c.key("stalled"))
			}
		}
	})
}

// What a handler notes of its job is seen on the other side, as is what others note of it.
func checkNotes(c *bullmqCase) {
	c.both(func(c *bullmqCase, a, b bullmqPeer) {
		c.work(b, script{
			"number": {{"progress": 42, "log": []string{"one", "two", "three"}, "data": obj{"new": "/"}}},
			"object": {{"progress": obj{"of": obj{"a": []int{}}}, "log": []string{"line ü"}}},
		}, nil)
		number := c.add(a, "number", obj{"old": 1}, obj{"keepLogs": 2})
		object := c.add(a, "object", 1, nil)
		c.ends(2)
		job := ask[bullmqJob](c, a, "getJob", number)
		c.equal("number", string(job.Progress)+string(job.Data), `42{"new":"/"}`)
		c.equal("logs", string(c.do(a, "getJobLogs", number)), `{"logs":["two","three"],"count":2}`)
		c.equal("object", string(ask[bullmqJob](c, a, "getJob", object).Progress), `{"of":{"a":[]}}`)
		c.equal("events", c.story(number)[3], "progress "+number+" 42")

		c.do(a, "job.updateProgress", object, 7)
		c.do(a, "job.updateData", object, obj{"again": true})
		c.do(a, "job.log", object, "by the other side")
		job = ask[bullmqJob](c, b, "getJob", object)
		c.equal("noted by others", string(job.Progress)+string(job.Data), `7{"again":true}`)
		for want, args := range map[string][]any{
			`{"logs":["line ü","by the other side"],"count":2}`: {object},
			`{"logs":["by the other side","line ü"],"count":2}`: {object, 0, -1, false},
			`{"logs":["line ü"],"count":2}`:                     {object, 0, 0},
			`{"logs":["by the other side"],"count":2}`:          {object, 0, 0, false},
		} {
			c.equal(fmt.Sprint("logs ", args), string(c.do(b, "getJobLogs", args...)), want)
		}
		c.do(b, "job.clearLogs", object, 1)
		c.equal("logs", string(c.do(a, "getJobLogs", object)), `{"logs":["by the other side"],"count":1}`)
		c.do(b, "job.clearLogs", object)
		c.equal("logs", string(c.do(a, "getJobLogs", object)), `{"logs":[],"count":0}`)
	})
}
