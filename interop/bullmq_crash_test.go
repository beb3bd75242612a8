package interop

import (
	"os/exec"
	"slices"

	"loupe/internal/testenv"
)

var bullmqCrashChecks = []bullmqCheck{
	{18, "a long job is not stolen", checkHeldLock},
	{19, "kill -9 of ours", func(c *bullmqCase) { checkKill(c, c.us, c.node) }},
	{20, "kill -9 of Node", func(c *bullmqCase) { checkKill(c, c.node, c.us) }},
	{21, "a failure left to the next worker", checkDeferredFailure},
}

// A job that takes much longer than its lock lives stays its worker's.
func checkHeldLock(c *bullmqCase) {
	c.both(func(c *bullmqCase, a, b bullmqPeer) {
		holder := c.work(a, script{"*": {{"hang": true}}}, obj{"lockDuration": 500, "stalledInterval": 100})
		id := c.add(b, "n", 1, nil)
		holder.nth(1)
		checker := c.work(b, nil, obj{"stalledInterval": 100})
		checks := map[string]bool{}
		c.soon("a dozen checks", func() bool {
			if at, err := c.redis("GET", c.key("stalled-check")).ToString(); err == nil {
				checks[at] = true
			}
			return len(checks) > 12
		})
		c.equal("state", c.state(id), "active")
		holder.release()
		c.ends(1)
		h := c.hash(id)
		c.equal("starts, attempts, stalls", []string{h["ats"], h["atm"], h["stc"]}, []string{"1", "1", ""})
		c.equal("runs by the checker", len(checker.runs()), 0)
	})
}

// victim starts another process of a peer's kind, with a worker that takes a job and never ends it.
func (c *bullmqCase) victim(p bullmqPeer) *testenv.Process {
	c.Helper()
	const lock = 500
	n, ok := p.(*bullmqNode)
	if !ok {
		return testenv.Start(c, exec.Command(c.fleet.victim(), c.fleet.server.InitAddress[0], c.Prefix, c.Queue, millis(lock).String()))
	}
	victim := startBullmqNode(c, n.pkg, c.fleet.server)
	opts := obj{"script": script{"*": {{"hang": true}}}, "lockDuration": lock, "stalledInterval": 200}
	if _, err := victim.try(c, c.bullmqPlace, "work", opts); err != nil {
		c.Fatal(err)
	}
	return victim.Process
}

// A job whose worker is killed is started again by others; when that happens once more, it has failed.
func checkKill(c *bullmqCase, dies, lives bullmqPeer) {
	survivor := c.work(lives, script{"block": {{"hang": true}}}, obj{"stalledInterval": 200})
	c.add(lives, "block", 1, nil)
	survivor.nth(1)
	id := c.add(lives, "n", 1, obj{"attempts": 3})
	for stalls := 1; stalls <= 2; stalls++ {
		victim := c.victim(dies)
		c.is(id, "active")
		victim.Kill()
		c.is(id, "wait")
		c.equal("stalls", c.hash(id)["stc"], stalls)
		c.equal("events", c.story(id)[2:][3*(stalls-1):], []string{"active " + id + " waiting", "waiting " + id + " active", "stalled " + id})
	}
	c.equal("left to the next worker", c.hash(id)["defa"], "job stalled more than allowable limit")
	survivor.release()
	c.ends(2)
	c.failedUnrun(id, survivor)
	h := c.hash(id)
	c.equal("starts, attempts, stalls", []string{h["ats"], h["atm"], h["stc"]}, []string{"3", "1", "2"})

	again := c.add(lives, "n", 1, nil) // a job that stalls once is run
	c.is(again, "completed")
	survivor.close()
	c.quiet()
}

// failedUnrun fails unless the job has failed for its stalls without having been run by the worker.
func (c *bullmqCase) failedUnrun(id string, w bullmqWorker) {
	c.Helper()
	h := c.hash(id)
	c.equal("state", c.state(id), "failed")
	c.equal("reason", h["failedReason"], "job stalled more than allowable limit")
	if _, left := h["defa"]; left {
		c.Error("the deferred failure is still there")
	}
	if slices.Contains(w.jobs(), id) {
		c.Errorf("%s has run the job", w.peer)
	}
}

// A job that one side's check has given up fails when the other side starts it.
func checkDeferredFailure(c *bullmqCase) {
	c.both(func(c *bullmqCase, a, b bullmqPeer) {
		checker := c.work(a, script{"block": {{"hang": true}}}, obj{"stalledInterval": 100})
		c.add(a, "block", 1, nil)
		checker.nth(1)
		id := c.add(a, "n", 1, obj{"attempts": 5})
		c.redis("HSET", c.key(id), "stc", "1") // as if it had been lost before, and now again
		c.redis("RPOPLPUSH", c.key("wait"), c.key("active"))
		c.soon("it to be given up", func() bool { return c.hash(id)["defa"] != "" })
		c.equal("state", c.state(id), "wait")
		w := c.work(b, nil, nil)
		c.ends(1)
		c.failedUnrun(id, w)
		h := c.hash(id)
		c.equal("starts, attempts, stalls", []string{h["ats"], h["atm"], h["stc"]}, []string{"1", "1", "2"})
		c.equal("events", c.story(id)[2:], []string{
			"waiting " + id + " active", "stalled " + id,
			"active " + id + " waiting", "failed " + id + " active job stalled more than allowable limit",
		})
	})
}
