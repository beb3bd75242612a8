package interop

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
)

var bullmqManageChecks = []bullmqCheck{
	{24, "drain, clean, obliterate", checkEmpty},
	{25, "counts, states and ranges", checkReads},
	{26, "retry, promote, change, remove", checkManage},
}

// everyState are steps after which each state has jobs: those with ids like "done-1".
func everyState() []bullmqStep {
	const hour = 3600000
	return []bullmqStep{
		a("add", "n", 1, obj{"jobId": "done-1"}),
		b("add", "n", 1, obj{"jobId": "done-2", "priority": 2}),
		a("add", "fail", 1, obj{"jobId": "failed-1", "attempts": 2}),
		b("add", "fail", 1, obj{"jobId": "failed-2", "priority": 5}),
		a("drive", obj{"script": script{"fail": {{"fail": "no", "log": []string{"a line"}}}}}),
		a("add", "n", 1, obj{"jobId": "active-1"}),
		a("redis", "RPOPLPUSH", "<queue>:wait", "<queue>:active"), // as its worker was killed, long ago
		a("redis", "DEL", "<queue>:marker"),
		a("add", "n", 1, obj{"jobId": "wait-1"}),
		b("add", "n", 1, obj{"jobId": "wait-2"}),
		a("add", "n", 1, obj{"jobId": "prio-1", "priority": 3}),
		b("add", "n", 1, obj{"jobId": "prio-2", "priority": 3}),
		a("add", "n", 1, obj{"jobId": "later-1", "delay": hour}),
		b("add", "n", 1, obj{"jobId": "later-2", "delay": 2 * hour, "priority": 4}),
	}
}

// What empties a queue leaves the same.
func checkEmpty(c *bullmqCase) {
	for _, ends := range [][]bullmqStep{
		{b("drain")},
		{b("drain", true)},
		{b("pause"), b("drain", true), b("resume")},
		{b("clean", 0, 1, "completed")},
		{b("clean", 0, 100, "failed"), b("clean", 0, 100, "completed")},
		{b("clean", 0, 1, "wait"), b("clean", 0, 100, "delayed")},
		{b("clean", 0, 100, "wait"), b("clean", 0, 100, "prioritized")},
		{b("clean", 0, 100, "active"), b("clean", 60000, 100, "completed")},
		{b("obliterate", obj{"force": true})},
		{b("clean", 0, 100, "active"), b("obliterate")},
	} {
		c.alike(slices.Concat(everyState(), ends)...)
	}
	c.both(func(c *bullmqCase, a, b bullmqPeer) {
		for _, s := range everyState() {
			c.step(s, [2]bullmqPeer{a, b})
		}
		if _, err := c.try(b, "obliterate"); err == nil {
			c.Errorf("%s obliterates a queue whose job is active", b)
		}
		c.do(b, "resume")
		c.equal("cleaned", ask[[]string](c, a, "clean", 0, 100, "failed"), []string{"failed-1", "failed-2"})
		c.do(b, "obliterate", obj{"force": true})
		left, err := c.redis("KEYS", c.key("*")).AsStrSlice()
		if c.equal("left", slices.DeleteFunc(left, func(key string) bool { return key == c.key("limiter") }), []string{}); err != nil {
			c.Error(err)
		}
	})
}

// What is done to a job by the other side is what its own side would do, and is told in the same events.
func checkManage(c *bullmqCase) {
	const hour = 3600000
	for _, ends := range [][]bullmqStep{
		{b("job.retry", "failed-1", "failed"), b("job.retry", "done-1", "completed")},
		{b("job.retry", "failed-1", "failed"), a("drive", obj{}), a("job.retry", "failed-1", "completed")},
		{b("job.promote", "later-1"), b("job.promote", "later-2")},
		{b("job.changeDelay", "later-1", 3*hour), a("job.changeDelay", "later-2", hour/2)},
		{b("job.changePriority", "prio-1", obj{"priority": 7}), b("job.changePriority", "wait-1", obj{"priority": 1})},
		{b("job.changePriority", "prio-2", obj{"priority": 3, "lifo": true}), b("job.changePriority", "prio-1", obj{"priority": 0})},
		{b("job.changePriority", "later-1", obj{"priority": 9}), b("job.changePriority", "wait-2", obj{"priority": 0, "lifo": true})},
		{b("job.remove", "wait-1"), b("job.remove", "prio-1"), b("job.remove", "later-1"), b("job.remove", "done-1")},
		{b("job.remove", "failed-1"), b("job.remove", "active-1"), b("remove", "nobody")},
		{
			b("job.remove", "failed-2"), b("job.remove", "done-2"), // see below
			b("retryJobs", obj{"state": "failed"}), a("retryJobs", obj{"state": "completed", "count": 1}),
		},
		{b("job.remove", "later-2"), b("redis", "HSET", "<queue>:later-1", "delay", 0), b("promoteJobs")},
		{b("job.updateProgress", "wait-1", obj{"a": []int{}}), b("job.updateData", "wait-2", "new"), b("job.log", "done-1", "line")},
		{b("pause"), b("job.promote", "later-1"), b("pause"), a("resume")},
		{b("setGlobalConcurrency", 3), b("setGlobalRateLimit", 5, 1000), b("removeGlobalConcurrency")},
		{b("trimEvents", 0), b("add", "n", 1, nil)},
	} {
		c.alike(slices.Concat(everyState(), ends)...)
	}

	// Where Node retries or promotes many jobs it forgets their priorities, in version 5 that of a single one too, and it
	// leaves the delay of promoted ones. Ours does to many what it does to one.
	d := c.on("many")
	for _, s := range everyState() {
		d.step(s, [2]bullmqPeer{c.us, c.us})
	}
	for _, s := range []bullmqStep{b("retryJobs", obj{"state": "failed"}), b("retryJobs", obj{"state": "completed"}), b("promoteJobs")} {
		d.step(s, [2]bullmqPeer{c.us, c.us})
	}
	c.equal("in line", d.members("wait"), []string{"later-1", "done-1", "failed-1", "wait-2", "wait-1"})
	c.equal("in line by priority", d.members("prioritized"), []string{"done-2", "prio-1", "prio-2", "later-2", "failed-2"})
	c.equal("delays", d.hash("later-1")["delay"]+d.hash("later-2")["delay"], "00")

	c.both(func(c *bullmqCase, a, b bullmqPeer) {
		for _, s := range everyState() {
			c.step(s, [2]bullmqPeer{a, b})
		}
		c.redis("SET", c.key("active-1:lock"), "somebody")
		for _, wrong := range []bullmqStep{
			{0, "job.retry", []any{"wait-1", "failed"}},
			{0, "job.promote", []any{"wait-1"}},
			{0, "job.changeDelay", []any{"wait-1", 1}},
			{0, "job.remove", []any{"active-1"}},
			{0, "job.updateProgress", []any{"nobody", 1}},
		} {
			before := c.dump()
			for _, p := range []bullmqPeer{a, b} {
				if value, err := c.try(p, wrong.op, wrong.args...); err == nil {
					c.Errorf("%s%v by %s: %s", wrong.op, wrong.args, p, value)
				}
			}
			c.equal("keys after what cannot be done", c.dump(), before)
		}
	})
}

// Both read the same of a queue that both have filled at random.
func checkReads(c *bullmqCase) {
	seed := rand.Uint64()
	c.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	peers := []bullmqPeer{c.node, c.us}
	var ids []string
	fill := func(n int) {
		for range n {
			opts := []obj{
				{},
				{"priority": 1 + random.IntN(3)},
				{"delay": 3600000 + random.IntN(100)},
				{"lifo": true},
				{"jobId": fmt.Sprint("id-", random.IntN(1000))},
			}[random.IntN(5)]
			ids = append(ids, c.add(peers[random.IntN(2)], []string{"n", "fail"}[random.IntN(2)], 1, opts))
		}
	}
	fill(30)
	for i := range peers {
		c.step(bullmqStep{i, "drive", []any{obj{"script": script{"fail": {{"fail": "no"}}}}}}, [2]bullmqPeer{peers[0], peers[1]})
		fill(15)
	}
	for range 5 {
		c.redis("RPOPLPUSH", c.key("wait"), c.key("active"))
	}
	c.sameReads(ids)
	c.do(peers[random.IntN(2)], "pause")
	fill(5)
	c.sameReads(ids)
}

// sameReads compares what both read of the queue.
func (c *bullmqCase) sameReads(ids []string) {
	c.Helper()
	states := []string{"active", "prioritized", "delayed", "completed", "failed", "waiting-children", "waiting"} // version 5 has a paused queue's last
	same := func(op string, form func(raw json.RawMessage) string, args ...any) {
		c.Helper()
		theirs, err1 := c.try(c.node, op, args...)
		ours, err2 := c.try(c.us, op, args...)
		if err1 != nil || err2 != nil {
			c.Errorf("%s%v: %v, %v", op, args, err1, err2)
			return
		}
		c.equal(fmt.Sprint(op, args), form(ours), form(theirs))
	}
	object := func(raw json.RawMessage) string {
		var v any
		json.Unmarshal(raw, &v)
		return pretty(v)
	}
	counts := func(raw json.RawMessage) string {
		var n map[string]int
		json.Unmarshal(raw, &n)
		n["waiting"] += n["paused"] // version 5 counts them apart
		delete(n, "paused")
		return pretty(n)
	}
	jobs := func(raw json.RawMessage) string {
		var jobs []bullmqJob
		json.Unmarshal(raw, &jobs)
		var text []string
		for _, j := range jobs {
			text = append(text, fmt.Sprint(j.ID, j.Name, string(j.Data), j.Timestamp, j.ProcessedOn, j.FinishedOn, j.Delay, j.Priority,
				j.AttemptsMade, j.AttemptsStarted, j.FailedReason, string(j.ReturnValue), len(j.Stacktrace)))
		}
		return strings.Join(text, "\n")
	}
	all := make([]any, len(states))
	for i, state := range states {
		all[i] = state
		same("getJobCounts", counts, state)
	}
	same("getJobCounts", counts, all...)
	same("count", object)
	same("getCountsPerPriority", object, []int{0, 1, 2, 3, 4})
	same("isPaused", object)
	for _, id := range ids {
		same("getJobState", object, id)
	}
	for _, of := range append([][]any{{"failed", "delayed"}, all}, ranges(all)...) {
		for _, from := range [][2]int{{0, -1}, {0, 0}, {1, 3}, {2, -2}, {-3, -1}, {50, 60}} {
			for _, ascending := range []bool{true, false} {
				same("getJobs", jobs, of, from[0], from[1], ascending)
			}
		}
	}
}

// ranges makes a list of one for each.
func ranges(all []any) (lists [][]any) {
	for _, one := range all {
		lists = append(lists, []any{one})
	}
	return lists
}
