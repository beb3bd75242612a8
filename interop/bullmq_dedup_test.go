package interop

import (
	"fmt"
	"slices"
)

var bullmqDedupChecks = []bullmqCheck{
	{30, "deduplication", checkDedup},
}

// A job that is a duplicate is dropped or takes a place as its options say, whoever added the first one.
func checkDedup(c *bullmqCase) {
	const hour = 3600000
	dedup := func(more obj) obj {
		d := obj{"id": "d"}
		opts := obj{"deduplication": d}
		for name, value := range more {
			if name == "delay" || name == "priority" {
				opts[name] = value
			} else {
				d[name] = value
			}
		}
		return opts
	}
	simple, brief := dedup(nil), dedup(obj{"ttl": hour})
	extend := dedup(obj{"ttl": hour, "extend": true})
	replace := dedup(obj{"replace": true, "delay": hour})
	for _, steps := range [][]bullmqStep{
		{a("add", "n", 1, simple), b("add", "n", 2, simple), a("drive", obj{}), b("add", "n", 3, simple)},
		{a("add", "n", 1, simple), b("add", "n", 2, obj{"jobId": "other", "deduplication": obj{"id": "e"}}), b("add", "n", 3, nil)},
		{a("add", "n", 1, brief), b("add", "n", 2, brief), a("drive", obj{}), b("add", "n", 3, brief)},
		{a("add", "n", 1, extend), b("add", "n", 2, extend)},
		{a("add", "n", 1, replace), b("add", "n", 2, replace), a("add", "n", 3, replace)},
		{a("add", "n", 1, simple), b("add", "n", 2, replace)},
		{a("add", "fail", 1, simple), b("drive", obj{"script": script{"fail": {{"fail": "no"}}}}), a("add", "n", 2, simple)},
		{a("add", "n", 1, simple), b("job.remove", "1"), a("add", "n", 2, simple)},
		{a("add", "n", 1, brief), b("job.remove", "1"), a("add", "n", 2, brief)},
		{a("add", "n", 1, dedup(obj{"priority": 2})), b("add", "n", 2, dedup(obj{"priority": 1}))},
	} {
		c.alike(steps...)
	}
	c.both(func(c *bullmqCase, a, b bullmqPeer) {
		first := c.add(a, "n", 1, brief)
		c.redis("PEXPIRE", c.key("de:d"), "60000")
		c.equal("the first one's id", c.add(b, "n", 2, extend), first)
		left, err := c.redis("PTTL", c.key("de:d")).AsInt64()
		if err != nil || left < hour-60000 {
			c.Errorf("%d ms are left, %v", left, err)
		}
		events := slices.DeleteFunc(c.story(first), func(e string) bool { return e == "debounced "+first }) // its old name, in version 5
		c.equal("events", events[2:], []string{"deduplicated " + first})
		c.equal("the next id", c.add(b, "n", 2, nil), "3")
	})
	if c.version != "5.66.0" { // it does not know this
		last := dedup(obj{"keepLastIfActive": true})
		c.both(func(c *bullmqCase, a, b bullmqPeer) {
			w := c.work(b, script{"hang": {{"hang": true}}}, nil)
			first := c.add(a, "hang", 1, last)
			w.nth(1)
			for i := range 3 {
				c.equal("the first one's id", c.add([]bullmqPeer{a, b}[i%2], "next", obj{"n": i}, last), first)
			}
			c.equal("the next one", c.hash("dn:d")["data"], `{"n":2}`)
			w.release()
			c.ends(2)
			run := w.nth(2)
			c.equal("the last of them is run", fmt.Sprint(run.Name, run.Data), `next{"n":2}`)
			c.equal("runs", len(w.runs()), 2)
			exists, err := c.redis("EXISTS", c.key("de:d"), c.key("dn:d")).AsInt64()
			c.soon("the end", func() bool { return len(c.members("active")) == 0 })
			if c.equal("keys left", exists, 0); err != nil {
				c.Error(err)
			}
		})
	}
}
