package interop

import gocmp "github.com/google/go-cmp/cmp"

var bullmqKeyChecks = []bullmqCheck{
	{44, "key for key", checkKeys},
}

// checkKeys has Node and ours do the same, each alone on a queue, and compares all that Redis holds after each step.
func checkKeys(c *bullmqCase) {
	theirs, ours := c.on("theirs"), c.on("ours")
	ours.do(c.node, "count") // a program of Node's has opened it: paused queues are kept as by its version
	for i, s := range keySteps() {
		theirs.step(s, [2]bullmqPeer{c.node, c.node})
		ours.step(s, [2]bullmqPeer{c.us, c.us})
		if diff := gocmp.Diff(theirs.dump(), ours.dump()); diff != "" {
			c.Fatalf("keys by Node (-) and by us (+) after step %d, %s:\n%s", i, told([]bullmqStep{s}), diff)
		}
	}
}

func keySteps() (steps []bullmqStep) {
	const hour = 3600000
	do := func(op string, args ...any) { steps = append(steps, a(op, args...)) }

	// Jobs of all kinds.
	do("add", "n", obj{"ü": "/", "list": []any{obj{}, nil}}, obj{"attempts": 3, "backoff": 1000, "removeOnComplete": obj{"age": 10, "count": 5}, "keepLogs": 3})
	do("addBulk", []obj{{"name": "one", "data": 1}, {"name": "two", "data": nil, "opts": obj{"lifo": true}}, {"name": "three", "data": "3", "opts": obj{"delay": hour}}})
	do("add", "n", "text", obj{"lifo": true})
	do("add", "n", 1, obj{"priority": 7})
	do("add", "n", 1, obj{"priority": 7, "attempts": 2})
	do("add", "n", 1, obj{"priority": 3})
	do("add", "n", 1, obj{"delay": hour})
	do("add", "n", 1, obj{"delay": 2 * hour, "priority": 9, "backoff": obj{"type": "exponential", "delay": 100, "jitter": 0.5}})
	do("add", "n", 1, obj{"jobId": "mine", "removeOnFail": 3})
	do("add", "again", 2, obj{"jobId": "mine"})
	do("add", "n", 1, obj{"deduplication": obj{"id": "simple"}})
	do("add", "n", 2, obj{"deduplication": obj{"id": "simple"}})
	do("add", "n", 1, obj{"deduplication": obj{"id": "brief", "ttl": hour}})
	do("add", "n", 2, obj{"deduplication": obj{"id": "brief", "ttl": hour, "extend": true}})
	do("add", "n", 1, obj{"delay": hour, "deduplication": obj{"id": "newest", "replace": true}})
	do("add", "n", 2, obj{"delay": hour, "deduplication": obj{"id": "newest", "replace": true}})
	do("add", "n", 1, obj{"telemetry": obj{"metadata": `{"traceparent":"00"}`, "omitContext": true}, "own": obj{"option": []int{1}}})

	// What is done to them before they run.
	do("job.updateProgress", "mine", 33)
	do("job.updateProgress", "mine", obj{"done": "/"})
	do("job.updateData", "mine", obj{"new": []any{}})
	do("job.log", "mine", "first line")
	do("job.log", "1", "a line, ü")
	do("job.changePriority", "mine", obj{"priority": 4})
	do("job.changePriority", "6", obj{"priority": 7, "lifo": true})
	do("job.changeDelay", "4", 5*hour)
	do("job.promote", "4")
	do("remove", "2")
	do("job.remove", "9")
	do("pause")
	do("add", "n", 1, obj{"jobId": "while paused"})
	do("add", "n", 1, obj{"jobId": "delayed while paused", "delay": hour})
	do("resume")
	do("setGlobalConcurrency", 2)
	do("setGlobalRateLimit", 5, 1000)
	do("removeGlobalConcurrency")
	do("removeGlobalRateLimit")
	do("rateLimit", hour)
	do("removeRateLimitKey")

	// Their ends.
	work := obj{"name": "a worker", "script": script{
		"fail": {{"fail": "no"}}, "once": {{"fail": "once"}, {"return": "then"}}, "final": {{"unrecoverable": "never"}},
		"noted": {{"progress": 1, "log": []string{"x", "y"}, "data": obj{"z": 1}, "return": obj{"ok": []any{}}}},
		"later": {{"delay": hour}}, "soon": {{"delay": 1}, {}},
	}}
	do("drive", work)
	do("add", "fail", 1, obj{"jobId": "fail", "attempts": 2})
	do("add", "fail", 1, obj{"jobId": "fail later", "attempts": 2, "backoff": hour, "stackTraceLimit": 1})
	do("add", "once", 1, obj{"jobId": "once", "attempts": 5, "priority": 2})
	do("add", "final", 1, obj{"jobId": "final", "attempts": 5, "stackTraceLimit": 0})
	do("add", "noted", 1, obj{"jobId": "noted", "keepLogs": 1})
	do("add", "later", 1, obj{"jobId": "put off"})
	do("drive", work)
	do("add", "soon", 1, obj{"jobId": "soon"})
	do("drive", work)
	do("job.retry", "fail", "failed")
	do("job.retry", "noted", "completed")
	do("drive", work)
	do("add", "n", 1, obj{"removeOnComplete": true})
	do("add", "fail", 1, obj{"removeOnFail": true})
	do("add", "n", 1, obj{"removeOnComplete": 2})
	do("drive", obj{"script": work["script"], "metrics": obj{"maxDataPoints": 3}, "removeOnFail": obj{"count": 1}})
	do("job.promote", "fail later")
	do("drive", work)

	// Parents, as they are made by a flow.
	for _, parent := range []string{"parent", "doomed"} {
		do("redis", "HSET", "<queue>:"+parent, "name", "n", "data", "{}", "opts", "{}", "timestamp", 1700000000000, "delay", 0, "priority", 0)
		do("redis", "ZADD", "<queue>:waiting-children", 1700000000000, parent)
	}
	do("add", "noted", 1, obj{"jobId": "child", "parent": obj{"id": "parent", "queue": "<queue>"}})
	do("add", "fail", 1, obj{"jobId": "bad child", "parent": obj{"id": "parent", "queue": "<queue>"}, "ignoreDependencyOnFailure": true})
	do("add", "fail", 1, obj{"jobId": "fatal child", "parent": obj{"id": "doomed", "queue": "<queue>"}, "failParentOnFailure": true})
	do("drive", work)

	// Schedules.
	do("upsertJobScheduler", "s", obj{"every": hour}, obj{"name": "tick", "data": obj{"z": 1}, "opts": obj{"attempts": 2}})
	do("upsertJobScheduler", "cron", obj{"pattern": "0 0 3 1 1 *", "tz": "UTC", "limit": 5}, obj{"name": "yearly"})
	do("drive", work)
	do("removeJobScheduler", "s")
	do("removeJobScheduler", "cron")

	// What clears up.
	do("clean", 0, 2, "completed")
	do("clean", hour, 100, "failed")
	do("clean", 0, 100, "failed")
	do("add", "n", 1, obj{"priority": 1})
	do("add", "n", 1, nil)
	do("drain")
	do("drain", true)
	do("obliterate", obj{"force": true})
	return steps
}
