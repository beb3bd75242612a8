package interop

import (
	"fmt"
	"slices"
	"strings"
)

var bullmqEventChecks = []bullmqCheck{
	{3, "events of a job", checkEvents},
	{4, "waiting for a value", checkWaitForValue},
	{5, "waiting for a failure", checkWaitForFailure},
	{34, "lists of workers and listeners", checkClients},
	{35, "the stream from any position", checkStream},
}

// heard is what a peer's listener has heard.
func (c *bullmqCase) heard(p bullmqPeer) (events []bullmqEvent) {
	c.Helper()
	for _, fields := range ask[[]obj](c, p, "heard") {
		e := bullmqEvent{fields: map[string]string{}}
		for field, value := range fields {
			switch field {
			case "id":
				e.id = value.(string)
			case "event":
				e.name = value.(string)
			default:
				e.fields[field] = fmt.Sprint(value)
			}
		}
		events = append(events, e)
	}
	return events
}

// hears waits until a peer's listener has heard these events and no others.
func (c *bullmqCase) hears(p bullmqPeer, want ...string) {
	c.Helper()
	var got []string
	c.soon(fmt.Sprintf("%q", want), func() bool {
		got = nil
		for _, e := range c.heard(p) {
			got = append(got, e.String())
		}
		return len(got) >= len(want)
	})
	c.equal("heard by "+p.String(), strings.Join(got, "; "), strings.Join(want, "; "))
}

// A listener sees all that happens to a job, in order.
func checkEvents(c *bullmqCase) {
	c.both(func(c *bullmqCase, a, b bullmqPeer) {
		c.do(b, "listen", "0-0")
		id := c.add(a, "n", 1, obj{"attempts": 2})
		c.work(a, script{"*": {{"fail": "no"}, {"progress": 50, "return": obj{"ok": true}}}}, nil)
		c.ends(1)
		c.hears(b,
			"added "+id, "waiting "+id, "active "+id+" waiting", "waiting "+id+" active", "active "+id+" waiting",
			"progress "+id+" 50", "completed "+id+" active map[ok:true]", "drained")
	})
}

// Who waits for a job gets what its handler returned.
func checkWaitForValue(c *bullmqCase) {
	values := []any{nil, "text", "", []any{1, "2", nil}, []any{}, obj{"a": obj{}}, 1.5, 0, true, false, "ü/\"😀"}
	c.both(func(c *bullmqCase, a, b bullmqPeer) {
		steps := script{"undefined": {{}}}
		for i, value := range values {
			steps[fmt.Sprint(i)] = []obj{{"return": value}}
		}
		c.work(b, steps, nil)
		c.equal("nothing", string(c.do(a, "waitUntilFinished", c.add(a, "undefined", 1, nil), 10000)), "null")
		for i, value := range values {
			id := c.add(a, fmt.Sprint(i), 1, nil)
			c.equal("value", string(c.do(a, "waitUntilFinished", id, 10000)), pretty(value))
			c.equal("value of a job that has ended", string(c.do(a, "waitUntilFinished", id, 10000)), pretty(value))
		}
	})
}

// Who waits for a job that fails is told why, once it has failed for good.
func checkWaitForFailure(c *bullmqCase) {
	c.both(func(c *bullmqCase, a, b bullmqPeer) {
		c.work(b, script{"*": {{"fail": "first"}, {"fail": "last: ü\n\"/"}}}, nil)
		id := c.add(a, "n", 1, obj{"attempts": 2})
		if value, err := c.try(a, "waitUntilFinished", id, 10000); err == nil || err.Error() != "last: ü\n\"/" {
			c.Errorf("waited for %s, %v", value, err)
		}
		failed := ask[[]bullmqJob](c, a, "getFailed")
		if len(failed) != 1 || len(failed[0].Stacktrace) != 2 || failed[0].FailedReason != "last: ü\n\"/" {
			c.Fatalf("failed: %+v", failed)
		}
		for i, begin := range []string{"first", "last"} {
			if !strings.Contains(failed[0].Stacktrace[i], begin) {
				c.Errorf("stack %d is %q", i, failed[0].Stacktrace[i])
			}
		}
	})
}

// Workers and listeners are listed by the names of their connections.
func checkClients(c *bullmqCase) {
	c.both(func(c *bullmqCase, a, b bullmqPeer) {
		c.work(b, nil, obj{"name": "by-" + b.String()})
		c.work(b, nil, nil)
		c.do(b, "listen", "0-0")
		names := func(p bullmqPeer, op string) (names []string) {
			for _, client := range ask[[]obj](c, p, op) {
				names = append(names, fmt.Sprint(client["rawname"]))
			}
			slices.Sort(names)
			return names
		}
		base := c.clientName()
		c.soon("two workers", func() bool { return len(names(a, "getWorkers")) == 2 })
		c.equal("workers", names(a, "getWorkers"), []string{base, base + ":w:by-" + b.String()})
		c.soon("a listener", func() bool { return len(names(c.node, "getQueueEvents")) == 1 })
		c.equal("listeners", names(c.node, "getQueueEvents"), []string{base + ":qe"})
	})
}

// A listener that comes back asks for what it has missed, also of events that users make.
func checkStream(c *bullmqCase) {
	c.both(func(c *bullmqCase, a, b bullmqPeer) {
		c.do(a, "publish", obj{"eventName": "mine", "note": "ü"})
		first := c.add(a, "n", 1, nil)
		past := c.events()
		second := c.add(a, "n", 1, nil)
		c.do(b, "listen", past[1].id)
		c.hears(b, "waiting "+first, "added "+second, "waiting "+second)
		c.do(a, "publish", obj{"eventName": "mine", "note": "again"})
		c.soon("the event of our own", func() bool { return len(c.heard(b)) == 4 })
		if e := c.heard(b)[3]; e.name != "mine" || e.fields["note"] != "again" {
			c.Errorf("heard %v", e)
		}
		c.do(a, "trimEvents", 0)
		third := c.add(a, "n", 1, nil)
		c.soon("events after the stream was cut", func() bool { return len(c.heard(b)) == 6 })
		c.equal("the last one", c.heard(b)[5], "waiting "+third)
	})
}
