package interop

import (
	"fmt"
	"strings"

	"github.com/google/go-cmp/cmp"
)

var bullmqFlowChecks = []bullmqCheck{
	{32, "flows", checkFlows},
}

// A parent is released, or fails, as its children end in whichever worker.
func checkFlows(c *bullmqCase) {
	rules := map[string]string{ // option of the child that fails → state of the parent, in the end
		"":                          "waiting-children",
		"failParentOnFailure":       "failed",
		"ignoreDependencyOnFailure": "completed",
		"removeDependencyOnFailure": "completed",
		"continueParentOnFailure":   "completed",
		"none fails":                "completed",
	}
	for rule, state := range rules {
		var want []string
		for i, p := range []bullmqPeer{c.node, c.us} {
			q := c.on(fmt.Sprint("flow ", rule, i))
			q.mask = q.Queue
			kids := q.on("kids")
			root := q.flow(kids, rule)
			steps := script{"bad": {{"fail": "kidfail"}}, "slow": {{"wait": 20, "return": obj{"v": 5}}}}
			kids.step(bullmqStep{0, "drive", []any{obj{"script": steps}}}, [2]bullmqPeer{p})
			values := string(q.do(c.node, "job.getChildrenValues", root))
			q.step(bullmqStep{0, "drive", []any{obj{"script": script{"*": {{"return": "done"}}}}}}, [2]bullmqPeer{p})
			c.equal(fmt.Sprintf("parent after %q by %s", rule, p), q.state(root), state)
			if state == "failed" {
				c.equal("reason", q.hash(root)["failedReason"], "child "+kids.key("bad")+" failed")
			} else if rule != "continueParentOnFailure" && !strings.Contains(values, `{"v":5}`) {
				c.Errorf("the parent's values are %s", values)
			}
			got := append(q.dump(), kids.dump()...)
			if want == nil {
				want = got
			} else if diff := cmp.Diff(want, got); diff != "" {
				c.Errorf("%s leaves other keys than Node (-) after %q:\n%s", p, rule, diff)
			}
		}
	}

	// A job that is added to a parent later is a child as well.
	c.both(func(c *bullmqCase, a, b bullmqPeer) {
		kids := c.on("kids")
		root := c.flow(kids, "none fails")
		late := kids.add(a, "late", 1, obj{"parent": obj{"id": root, "queue": c.Prefix + ":" + c.Queue}})
		w := kids.work(b, nil, nil)
		w.c.ends(3)
		c.is(root, "wait")
		if value, ok := c.hash(root + ":processed")[kids.key(late)]; !ok || value != "null" {
			c.Errorf("the parent has heard %q of the late child", value)
		}
		c.equal("parent in the child", kids.hash(late)["parentKey"], c.key(root))
		if _, err := kids.try(a, "add", "orphan", 1, obj{"parent": obj{"id": "nobody", "queue": c.Prefix + ":" + c.Queue}}); err == nil {
			c.Errorf("%s adds a child to a parent that is not there", a)
		}
	})
}

// flow adds a parent and two children, of which "bad" will fail by a rule.
func (c *bullmqCase) flow(kids *bullmqCase, rule string) (root string) {
	c.Helper()
	opts := obj{"jobId": "bad"}
	name := "bad"
	switch rule {
	case "none fails":
		name = "good"
	case "":
	default:
		opts[rule] = true
	}
	return ask[[]string](c, c.node, "flow", obj{
		"name": "parent", "queueName": c.Queue, "data": obj{}, "opts": obj{"jobId": "root", "attempts": 1},
		"children": []obj{
			{"name": name, "queueName": kids.Queue, "data": 1, "opts": opts},
			{"name": "slow", "queueName": kids.Queue, "data": 2, "opts": obj{"jobId": "slow"}},
		},
	})[0]
}
