package interop

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
)

var bullmqBoardChecks = []bullmqCheck{
	{33, "metrics", checkMetrics},
	{36, "Bull Board", checkBoard},
}

// What workers count is what Node's getMetrics shows, minute by minute.
func checkMetrics(c *bullmqCase) {
	count := obj{"script": script{"fail": {{"fail": "no"}}}, "metrics": obj{"maxDataPoints": 4}}
	jobs := func(who func(string, ...any) bullmqStep, n int) (steps []bullmqStep) {
		for range n {
			steps = append(steps, who("add", "n", 1, nil))
		}
		return append(steps, who("add", "fail", 1, nil), b("drive", count))
	}
	c.both(func(c *bullmqCase, first, second bullmqPeer) {
		peers := [2]bullmqPeer{first, second}
		minute := func() int64 { return now() / 60000 }
		for began := int64(-1); began != minute(); { // once more if a minute has ended meanwhile
			began = minute()
			c = c.on("again")
			for _, step := range slices.Concat(jobs(a, 3), passed(1), jobs(b, 2), passed(3), jobs(a, 1)) {
				c.step(step, peers)
			}
		}
		for _, p := range peers {
			for state, want := range map[string]string{"completed": "6 4 [0 0 2 3]", "failed": "3 4 [0 0 1 1]"} {
				m := ask[struct {
					Meta  struct{ Count any }
					Data  []any
					Count int
				}](c, p, "getMetrics", state)
				c.equal("metrics of "+state+" by "+p.String(), fmt.Sprint(m.Meta.Count, " ", m.Count, " ", m.Data), want)
			}
		}
	})
}

// passed makes the last job of metrics so many minutes older.
func passed(minutes int64) (steps []bullmqStep) {
	for _, state := range []string{"completed", "failed"} {
		steps = append(steps, a("redis", "HINCRBY", "<queue>:metrics:"+state, "prevTS", -minutes*60000))
	}
	return steps
}

// Bull Board shows a queue that is ours alone, and what it does to jobs and to the queue is done.
func checkBoard(c *bullmqCase) {
	us := [2]bullmqPeer{c.us, c.us}
	for _, s := range everyState() {
		c.step(s, us)
	}
	c.do(c.us, "upsertJobScheduler", "s", obj{"every": 3600000}, obj{"name": "tick"})
	c.work(c.us, nil, obj{"name": "ours", "metrics": obj{"maxDataPoints": 3}})
	c.soon("nothing to do", func() bool { return c.toDo() == 0 })
	board := ask[string](c, c.node, "board")
	at := board + "/api/queues/" + c.Queue
	call := func(method, path string, body any) (answer any) {
		c.Helper()
		var text []byte
		if body != nil {
			text = encode(body)
		}
		request, err := http.NewRequestWithContext(c.Context(), method, c.node.(*bullmqNode).url+path, bytes.NewReader(text))
		if err != nil {
			c.Fatal(err)
		}
		request.Header.Set("Content-Type", "application/json")
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			c.Fatal(err)
		}
		defer response.Body.Close()
		text, err = io.ReadAll(response.Body)
		if err != nil || response.StatusCode >= 300 {
			c.Errorf("%s %s: %s, %v\n%s", method, path, response.Status, err, text)
		}
		json.Unmarshal(text, &answer)
		return answer
	}

	for _, path := range []string{
		"/", "/queue/" + c.Queue, "/queue/" + c.Queue + "/done-1", "/api/redis/stats", "/api/queues", "/api/job-schedulers",
	} {
		call("GET", board+path, nil)
	}
	for _, path := range []string{
		"/metrics", "/default-job-options", "/workers", "/rate-limit", "/job-data-schema",
		"/done-1", "/failed-1", "/later-1", "/done-1/logs", "/done-1/flow", "/failed-2/logs",
	} {
		call("GET", at+path, nil)
	}
	shown := func(status string) (jobs []string) {
		c.Helper()
		answer := to[struct {
			Queues []struct{ Jobs []struct{ ID string } }
		}](call("GET", fmt.Sprintf("%s/api/queues?activeQueue=%s&status=%s&page=1&jobsPerPage=50", board, c.Queue, status), nil))
		for _, job := range answer.Queues[0].Jobs {
			jobs = append(jobs, job.ID)
		}
		return jobs
	}
	c.equal("delayed", strings.Join(shown("delayed"), " "), "later-2 "+c.members("delayed")[1]+" later-1")
	c.equal("failed", strings.Join(shown("failed"), " "), "failed-2 failed-1")
	c.equal("latest", len(shown("latest")) > 8, true)
	type failure struct {
		Job struct {
			FailedReason string
			Stacktrace   []string
		}
	}
	if f := to[failure](call("GET", at+"/failed-1", nil)); f.Job.FailedReason != "no" || len(f.Job.Stacktrace) != 2 {
		c.Errorf("the failed job is shown as %v", f)
	}
	c.equal("logs", call("GET", at+"/failed-1/logs", nil), []string{"a line", "a line"})
	if listed := call("GET", at+"/workers", nil); !strings.Contains(pretty(listed), "ours") {
		c.Errorf("our worker is not among %v", listed)
	}
	if listed := call("GET", board+"/api/job-schedulers", nil); !strings.Contains(pretty(listed), "tick") {
		c.Errorf("our scheduler is not among %v", listed)
	}

	added := to[struct{ Job struct{ ID string } }](call("POST", at+"/add", obj{"name": "n", "data": obj{"x": 1}, "options": obj{}}))
	c.is(added.Job.ID, "completed")
	call("PUT", at+"/failed-1/retry", nil)
	c.is("failed-1", "completed") // our worker's script does not fail
	call("PUT", at+"/later-1/promote", nil)
	c.is("later-1", "completed")
	call("PATCH", at+"/later-2/update-data", obj{"jobData": obj{"new": 1}})
	c.equal("data", c.hash("later-2")["data"], `{"new":1}`)
	runAt := now() + 9000000
	call("PATCH", at+"/later-2/delay", obj{"runAt": runAt})
	if due := int64(c.scores("delayed")["later-2"] / 4096); due < runAt || due > runAt+1000 {
		c.Errorf("due at %d, want %d", due, runAt)
	}
	call("PATCH", at+"/later-2/priority", obj{"priority": 8})
	c.equal("priority", c.hash("later-2")["priority"], 8)
	call("PUT", at+"/retry/failed", nil)
	c.is("failed-2", "completed")
	call("PUT", at+"/retry/completed", nil)
	c.soon("nothing to do", func() bool { return c.toDo() == 0 })
	call("PUT", at+"/done-1/clean", nil)
	c.equal("removed", len(c.hash("done-1")), 0)

	call("PUT", at+"/concurrency", obj{"concurrency": 7})
	c.equal("concurrency", ask[int](c, c.us, "getGlobalConcurrency"), 7)
	call("PUT", at+"/rate-limit", obj{"max": 5, "duration": 1000})
	c.equal("rate", pretty(ask[obj](c, c.us, "getGlobalRateLimit")), `{"duration":1000,"max":5}`)
	c.do(c.us, "rateLimit", 60000)
	call("PUT", at+"/rate-limit/release", nil)
	c.equal("rate limit in force", ask[int](c, c.us, "getRateLimitTtl") > 0, false)
	call("PUT", at+"/rate-limit", obj{"max": nil})
	call("PUT", at+"/concurrency", obj{"concurrency": 0})

	call("PATCH", at+"/job-schedulers/s", obj{"every": 7200000})
	c.equal("period", c.hash("repeat:s")["every"], 7200000)
	call("PUT", at+"/job-schedulers/s/run", nil)
	call("PUT", at+"/job-schedulers/s/remove", nil)
	c.equal("schedulers", len(c.members("repeat")), 0)

	call("PUT", at+"/pause", nil)
	c.equal("paused", ask[bool](c, c.us, "isPaused"), true)
	call("PUT", at+"/resume", nil)
	c.equal("paused", ask[bool](c, c.us, "isPaused"), false)
	call("PUT", board+"/api/queues/pause", nil)
	c.equal("paused", ask[bool](c, c.us, "isPaused"), true)
	c.add(c.us, "n", 1, obj{"jobId": "drained"})
	call("PUT", at+"/empty", nil)
	c.equal("after emptying", c.state("drained"), "")
	call("PUT", board+"/api/queues/resume", nil)
	call("PUT", at+"/promote", nil)
	c.is("later-2", "completed")
	for _, id := range c.members("completed") {
		c.redis("ZADD", c.key("completed"), fmt.Sprint(now()-10000), id) // it cleans what has ended five seconds ago
	}
	call("PUT", at+"/clean/completed", nil)
	c.equal("completed", len(c.members("completed")), 0)
	c.add(c.us, "n", 1, obj{"delay": 3600000})
	c.do(c.us, "pause")
	call("PUT", at+"/obliterate", obj{"force": true})
	c.equal("delayed after all is gone", len(c.members("delayed")), 0)
}
