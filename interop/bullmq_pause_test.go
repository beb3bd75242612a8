package interop

var bullmqPauseChecks = []bullmqCheck{
	{23, "pause", checkPause},
}

// A queue is paused for all; what was added meanwhile and before is run when it is resumed, by whomever.
func checkPause(c *bullmqCase) {
	c.both(func(c *bullmqCase, a, b bullmqPeer) {
		w := c.work(b, nil, nil)
		c.idle()
		c.do(a, "pause")
		c.equal("paused", string(c.do(b, "isPaused")), "true")
		ids := []string{c.add(a, "n", 1, nil), c.add(b, "n", 1, nil), c.add(b, "n", 1, obj{"priority": 1}), c.add(a, "n", 1, obj{"lifo": true})}
		c.add(b, "n", 1, obj{"delay": 10}) // its time comes meanwhile
		c.soon("the delayed one to be due", func() bool {
			late := c.scores("delayed")["5"]
			return late == 0 || int64(late/4096) < now()-50
		})
		c.equal("runs of a paused queue", len(w.runs()), 0)
		c.do(b, "resume")
		c.equal("paused", string(c.do(a, "isPaused")), "false")
		c.ends(len(ids) + 1)
		c.equal("first runs", w.jobs()[:3], []string{ids[3], ids[0], ids[1]})
		c.quiet()

		c.do(b, "pause")
		c.add(a, "n", 1, nil)
		c.do(a, "resume")
		c.ends(len(ids) + 2)
		c.quiet()
	})

	// Version 5 moves the waiting jobs of a paused queue to another list, version 6 does not; each loses what the other one
	// does. We do not.
	five, six := c.fleet.nodes["5.81.5"], c.fleet.nodes["6.7.0"]
	if c.version == "5.66.0" {
		five = c.node
	}
	mixed := func(name string, n int, steps func(c *bullmqCase)) {
		d := c.on(name)
		steps(d)
		d.work(c.us, nil, obj{"concurrency": 3})
		d.do(c.us, "resume")
		d.ends(n)
		d.quiet()
	}
	mixed("paused by 6, added by 5", 4, func(c *bullmqCase) {
		c.bulk(six, "n", 3, nil)
		c.do(six, "pause")
		c.add(five, "n", 1, nil)
	})
	mixed("paused by 5, added by 6, paused by us", 4, func(c *bullmqCase) {
		c.bulk(five, "n", 3, nil)
		c.do(five, "pause")
		c.add(six, "n", 1, nil)
		c.do(c.us, "pause")
	})
	mixed("paused by us, added by 5, paused by us", 5, func(c *bullmqCase) {
		c.bulk(c.us, "n", 3, nil)
		c.do(c.us, "pause")
		c.add(five, "n", 1, nil)
		c.add(c.us, "n", 1, nil)
		c.do(c.us, "pause")
	})
}
