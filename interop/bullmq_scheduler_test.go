package interop

import (
	"fmt"
	"slices"
	"strings"
	"testing"
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
		{a("upsertJobScheduler", "s", obj{"every": 50, "limit": 3}, template), b("drive", obj{})},
		{a("upsertJobScheduler", "s", obj{"every": hour, "limit": 2}, template), b("drive", obj{"script": script{"*": {{"fail": "no"}}}})},
		{a("upsertJobScheduler", "s", obj{"pattern": "0 0 3 * * *", "tz": "UTC", "limit": 5}, template)},
		{a("upsertJobScheduler", "s", obj{"every": hour}, template), b("upsertJobScheduler", "s", obj{"every": 2 * hour}, obj{"name": "other"})},
		{a("upsertJobScheduler", "s", obj{"every": hour}, obj{"opts": obj{"priority": 3}}), b("drive", obj{}), b("removeJobScheduler", "s")},
		{a("upsertJobScheduler", "s", obj{"every": hour, "startDate": "2099-01-01T00:00:00.000Z"}, template), b("drain", true)},
	} {
		c.alike(steps...)
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
