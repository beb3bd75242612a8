package interop

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
)

var bullmqSchedulerChecks = []bullmqCheck{
	{31, "schedulers", checkSchedulers},
}

// A schedule goes on whoever runs its jobs, whoever made it.
func checkSchedulers(c *bullmqCase) {
	const hour = 3600000
	template := obj{"name": "tick", "data": obj{"z": "ü"}, "opts": obj{"attempts": 2, "removeOnComplete": false}}
	for _, steps := range [][]bullmqStep{
		{a("upsertJobScheduler", "s", obj{"every": hour}, template), b("drive", obj{})},
		{a("upsertJobScheduler", "s", obj{"every": 300, "limit": 2}, template), b("drive", obj{})},
		{a("upsertJobScheduler", "s", obj{"every": hour, "limit": 2}, template), b("drive", obj{"script": script{"*": {{"fail": "no"}}}})},
		{a("upsertJobScheduler", "s", obj{"pattern": "0 0 3 * * *", "tz": "UTC", "limit": 5}, template)},
		{a("upsertJobScheduler", "s", obj{"every": hour}, template), b("upsertJobScheduler", "s", obj{"every": 2 * hour}, obj{"name": "other"})},
		{a("upsertJobScheduler", "s", obj{"every": hour}, obj{"opts": obj{"priority": 3}}), b("drive", obj{}), b("removeJobScheduler", "s")},
		{a("upsertJobScheduler", "s", obj{"every": hour, "startDate": "2099-01-01T00:00:00.000Z"}, template), b("drain", true)},
	} {
		c.alike(steps...)
	}

	five := []bullmqStep{b("drive", obj{})}
	for range 4 {
		five = append(five, a("redis", "EVAL", `
			local P = ARGV[1] .. ':'
			for _, id in ipairs(redis.call('ZRANGE', P .. 'delayed', 0, -1)) do
				redis.call('ZREM', P .. 'delayed', id)
				redis.call('LPUSH', P .. 'wait', id)
			end
			return 1`, "0", "<queue>"), b("drive", obj{}))
	}
	for _, repeat := range []obj{
		{"every": hour},
		{"every": hour, "limit": 3},
		{"pattern": "0 0 3 * * *", "tz": "America/New_York"},
		{"pattern": "@weekly", "tz": "Asia/Kolkata", "limit": 3},
		{"pattern": "30 14 * * 1-5", "endDate": "2030-01-01T00:00:00.000Z", "immediately": true},
		{"pattern": "0 0 1 1 *", "tz": "UTC", "startDate": "2030-05-05T12:00:00.000Z", "endDate": "2033-06-01T00:00:00.000Z"},
	} {
		c.alike(append([]bullmqStep{a("upsertJobScheduler", "s", repeat, template)}, five...)...)
	}
	if c.version != "5.66.0" { // it does not know this
		c.alike(append([]bullmqStep{a("upsertJobScheduler", "s", obj{"every": hour, "offset": 60000}, template)}, five...)...)
	}
	if c.version[0] == '5' {
		c.repeatable(hour, five)
	}

	c.Run("every so often", func(t *testing.T) {
		t.Parallel()
		c.in(t).both(func(c *bullmqCase, a, b bullmqPeer) {
			const every = 100
			w := c.work(b, nil, nil)
			c.do(a, "upsertJobScheduler", "s", obj{"every": every, "limit": 5}, obj{"name": "tick", "data": obj{"z": 1}})
			c.ends(5)
			c.iterations(w.jobs(), every)
			c.equal("next runs", c.members("delayed"), []string{})
		})
	})
	c.Run("by the clock", func(t *testing.T) {
		t.Parallel()
		c.in(t).both(func(c *bullmqCase, a, b bullmqPeer) {
			w := c.work(b, nil, nil)
			c.do(a, "upsertJobScheduler", "s", obj{"pattern": "* * * * * *", "tz": "Europe/Berlin", "endDate": now() + 3500}, obj{"name": "tick"})
			c.ends(2)
			c.iterations(w.jobs()[:2], 1000)
			c.soon("the end of the schedule", func() bool { return len(c.members("delayed"))+len(c.members("active")) == 0 })
		})
	})
	c.Run("the same times", func(t *testing.T) {
		t.Parallel()
		c.in(t).sameTimes()
	})
}

// repeatable has the jobs that version 5 repeats without a scheduler carried on by Node, and by us. It fails unless that
// leaves the same.
func (c *bullmqCase) repeatable(hour int, steps []bullmqStep) {
	c.Helper()
	for i, repeat := range []obj{
		{"every": 24 * hour, "limit": 3},
		{"every": 24 * hour, "endDate": "2033-06-01T00:00:00.000Z", "key": "own"},
		{"pattern": "0 0 3 * * *", "tz": "Europe/Berlin", "limit": 4},
		{"pattern": "0 0 3 * * *", "utc": true, "jobId": "own"},
	} {
		var dumps [2][]string
		for j, worker := range []bullmqPeer{c.node, c.us} {
			q := c.on(fmt.Sprint("repeatable-", i, "-", j))
			q.mask = q.Queue
			q.do(c.node, "add", "tick", obj{"z": "ü"}, obj{"attempts": 2, "repeat": repeat})
			for _, s := range steps {
				q.step(s, [2]bullmqPeer{c.node, worker})
			}
			dumps[j] = q.dump()
		}
		if diff := gocmp.Diff(dumps[0], dumps[1]); diff != "" {
			c.Errorf("we carry %v on otherwise than Node (-):\n%s", repeat, diff)
		}
	}
}

// iterations fails unless the jobs are the first ones of scheduler s, a number of whole periods apart, and its next run
// comes after them.
func (c *bullmqCase) iterations(ids []string, every int64) {
	c.Helper()
	var last int64
	for i, id := range ids {
		var at int64
		fmt.Sscanf(id, "repeat:s:%d", &at)
		if i > 0 && (at <= last || (at-last)%every != 0) {
			c.Errorf("runs at %q are not %d ms apart", ids, every)
		}
		last = at
		h := c.hash(id)
		c.equal("scheduler", h["rjk"], "s")
		if count := fmt.Sprintf(`"count":%d`, i+1); !strings.Contains(h["opts"], count) {
			c.Errorf("run %d has the options %s", i+1, h["opts"])
		}
	}
}

// sameTimes compares when a schedule runs next by both.
func (c *bullmqCase) sameTimes() {
	for i, repeat := range []obj{
		{"pattern": "0 0 3 * * *", "tz": "America/New_York"},
		{"pattern": "30 2 * * *", "tz": "Europe/Berlin"},
		{"pattern": "*/7 9-17 * * 1-5", "tz": "Asia/Kolkata"},
		{"pattern": "0 0 29 2 *", "tz": "UTC"},
		{"pattern": "15 10 L * *", "tz": "Pacific/Auckland"},
		{"pattern": "0 12 * * 1#2", "tz": "UTC"},
		{"pattern": "0 0 1 JAN,JUL MON", "tz": "America/Sao_Paulo"},
		{"pattern": "@daily", "tz": "Asia/Tokyo"},
		{"pattern": "0 0 * * *", "tz": "UTC", "startDate": "2030-05-05T12:00:00.000Z"},
		{"every": 3600000, "startDate": "2030-05-05T12:00:00.000Z"},
	} {
		var scores map[string]float64
		for try := 0; try < 3 && (try == 0 || scores["node"] != scores["us"]); try++ { // a period may end between the two
			q := c.on(fmt.Sprint(i, "-", try))
			q.do(c.node, "upsertJobScheduler", "node", repeat, obj{"name": "n"})
			q.do(c.us, "upsertJobScheduler", "us", repeat, obj{"name": "n"})
			scores = q.scores("repeat")
			c.equal(fmt.Sprint("schedulers ", repeat), q.schedulers(c.us), q.schedulers(c.node))
		}
		if scores["node"] != scores["us"] {
			c.Errorf("next runs of %v: %v", repeat, scores)
		}
	}
}

// schedulers are those of the queue as a peer reads them.
func (c *bullmqCase) schedulers(p bullmqPeer) (read []string) {
	c.Helper()
	for _, s := range ask[[]struct {
		Key, Name, Pattern, TZ                        string
		Next, Every, Limit, IterationCount, StartDate int64
		Template                                      struct{ Data any }
	}](c, p, "getJobSchedulers", 0, -1, true) {
		read = append(read, fmt.Sprintf("%+v", s))
	}
	slices.Sort(read)
	return read
}
