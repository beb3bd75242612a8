package interop

import (
	"fmt"
	"slices"
	"strings"
)

var bullmqHostileChecks = []bullmqCheck{
	{38, "odd and damaged jobs", checkDamage},
	{41, "one bad job among many", checkBadAmongMany},
}

// What is odd is read as Node reads it; what is damaged fails or is dropped, and the next job runs.
func checkDamage(c *bullmqCase) {
	put := func(id string, fields ...string) {
		c.redis(append([]string{"HSET", c.key(id)}, fields...)...)
		c.redis("LPUSH", c.key("wait"), id)
	}
	c.do(c.us, "count")
	c.redis("LPUSH", c.key("wait"), "ghost")
	c.redis("LPUSH", c.key("wait"), "0:123") // a marker of old versions
	put("bare", "name", "n", "data", `{}`)
	put("floats", "name", "fail", "data", `1`, "opts", `{"attempts":2.0,"backoff":{"type":"fixed","delay":1e0},"removeOnComplete":{"age":1.2e3,"count":50.5},"delay":1.7951234567891e+15}`,
		"timestamp", "1.7951234567891e+12", "delay", "NaN", "priority", "0.0")
	put("empties", "name", "n", "data", `{}`, "opts", `{"attempts":{},"backoff":{},"repeat":{},"parent":{},"de":{},"removeOnFail":[],"tm":{}}`, "stacktrace", "{}")
	put("nulls", "name", "n", "data", "null", "opts", `{"attempts":null,"removeOnComplete":null}`, "parent", "null", "progress", "null")
	put("not json", "name", "n", "data", "{oops", "opts", "{oops", "parent", "{oops", "stacktrace", "[1,{}", "ats", "x", "atm", "-3", "stc", "1e400")
	put("lists", "name", "n", "data", "1", "opts", "[]", "returnvalue", "oops")
	c.redis("ZADD", c.key("delayed"), "1", "ghost of a delayed one")
	c.redis("ZADD", c.key("prioritized"), "1", "ghost of a prioritized one")
	last := c.add(c.node, "n", 1, nil)

	for _, id := range []string{"ghost", "bare", "floats", "empties", "nulls", "not json", "lists", last} {
		c.try(c.us, "getJob", id)
		c.try(c.us, "getJobState", id)
	}
	if _, err := c.try(c.us, "getJobs", []string{"waiting", "delayed", "prioritized"}, 0, -1, true); err != nil && !strings.Contains(err.Error(), "options") {
		c.Errorf("list: %v", err)
	}
	c.redis("SET", c.key("a string"), "oops")
	c.redis("LPUSH", c.key("wait"), "a string")
	w := c.work(c.us, script{"fail": {{"fail": "once"}, {}}}, nil)
	c.is(last, "completed")
	c.soon("nothing to do", func() bool { return c.toDo() == 0 })
	for _, id := range []string{"bare", "floats", "nulls"} {
		c.equal("state of "+id, c.state(id), "completed")
	}
	c.equal("runs of the job with floats", strings.Count(strings.Join(w.jobs(), " "), "floats"), 2)
	for _, id := range []string{"empties", "not json", "lists"} {
		if state := c.state(id); state != "completed" && state != "failed" {
			c.Errorf("%q is in %q", id, state)
		}
	}
	for _, id := range []string{"ghost", "ghost of a delayed one", "ghost of a prioritized one"} {
		c.equal("state of "+id, c.state(id), "")
		c.equal("fields of "+id, len(c.hash(id)), 0)
		if slices.Contains(w.jobs(), id) {
			c.Errorf("%s was run", id)
		}
	}

	// Settings that make no sense are none.
	c.redis("HSET", c.key("meta"), "concurrency", "oops", "max", "oops", "duration", "oops", "opts.maxLenEvents", "oops")
	next := c.add(c.us, "n", 1, nil)
	c.is(next, "completed")
}

// Jobs that end together with one that is lost, or was removed, end as if that were not among them.
func checkBadAmongMany(c *bullmqCase) {
	c.both(func(c *bullmqCase, a, b bullmqPeer) {
		w := c.work(b, script{"*": {{"hang": true, "return": 1}}}, obj{"concurrency": 20})
		ids := c.bulk(a, "n", 20, nil)
		w.nth(20)
		c.redis("DEL", c.key(ids[3]+":lock"))
		c.redis("SET", c.key(ids[5]+":lock"), "somebody")
		c.redis("DEL", c.key(ids[7]), c.key(ids[7]+":lock"))
		c.redis("LREM", c.key("active"), "0", ids[9])
		c.redis("DEL", c.key(ids[11]+":lock"))
		c.redis("SET", c.key(ids[13]+":dependencies"), "not a set") // somebody's mistake
		w.release()
		good := func(i int) bool { return !slices.Contains([]int{3, 5, 7, 9, 11, 13}, i) }
		for i, id := range ids {
			if good(i) {
				c.is(id, "completed")
			}
		}
		for _, i := range []int{3, 5, 11} {
			c.equal(fmt.Sprint("state of job ", i), c.state(ids[i]), "active")
		}
		if c.state(ids[9]) == "completed" {
			c.Error("a job that was no longer active has completed")
		}
		c.equal("the removed one", len(c.hash(ids[7])), 0)
		more := c.add(a, "more", 1, nil)
		w.nth(21)
		w.release()
		c.is(more, "completed")
	})
}
