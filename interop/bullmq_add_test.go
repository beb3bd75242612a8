package interop

import (
	"encoding/json"
	"fmt"
	"slices"
	"testing"
)

var bullmqAddChecks = []bullmqCheck{
	{1, "data byte for byte", checkData},
	{2, "options", checkOptions},
	{6, "custom ids", checkCustomIDs},
	{7, "LIFO and FIFO", checkOrder},
	{8, "delayed", checkDelayed},
	{10, "prioritized", checkPrioritized},
	{37, "prefixes", checkPrefixes},
	{39, "length of the stream", checkMaxLenEvents},
}

// Data are stored and seen as they were given.
func checkData(c *bullmqCase) {
	texts := []string{
		`{"ü":"\"\\ / 😀 é","empty":[{},[],"",[[]],{"a":{}}],"null":null,"yes":true}`,
		`[]`, `{}`, `[{}]`, `""`, `"/"`, `0`, `-1.5`, `1e+21`, `9007199254740991`, `123456789012345`, `[1,"2",null]`, `false`,
		`{"a/b":"<&>","line":"a\nb\tc"}`,
	}
	c.both(func(c *bullmqCase, a, b bullmqPeer) {
		want := slices.Clone(texts)
		if a == c.us {
			want = append(want, `{"big":9007199254740993,"spaced" : [ 1 ]}`) // Node could not even say that
		}
		for _, text := range want {
			id := c.add(a, "n", json.RawMessage(text), nil)
			c.equal("stored", c.hash(id)["data"], text)
		}
		w := c.work(b, nil, nil)
		c.ends(len(want))
		for i, run := range w.runs() {
			seen := want[i]
			if i == len(texts) {
				seen = `{"big":9007199254740992,"spaced":[1]}`
			}
			c.equal("seen by the handler", run.Data, seen)
			c.equal("stored at the end", c.hash(run.Job)["data"], want[i])
		}
	})
}

// Each side reads the options that the other one wrote as it reads its own.
func checkOptions(c *bullmqCase) {
	all := []obj{
		{},
		{"attempts": 3, "backoff": 1000},
		{"attempts": 3, "backoff": obj{"type": "exponential", "delay": 50, "jitter": 0.25}},
		{"attempts": 2, "backoff": obj{"type": "mine"}},
		{"removeOnComplete": true, "removeOnFail": false},
		{"removeOnComplete": 5, "removeOnFail": obj{"age": 3600, "count": 10}},
		{"removeOnComplete": obj{"age": 1}, "removeOnFail": obj{"age": 90, "count": 2, "limit": 7}},
		{"keepLogs": 3, "stackTraceLimit": 0, "sizeLimit": 1000, "lifo": true},
		{"stackTraceLimit": 2, "priority": 7, "jobId": "options-7"},
		{"delay": 3600000, "timestamp": 1700000000000},
		{"telemetry": obj{"metadata": "00-ab-cd", "omitContext": true}},
		{"deduplication": obj{"id": "d", "ttl": 5000, "extend": true, "replace": true}},
		{"own": obj{"list": []any{1, "2"}, "yes": true}},
	}
	c.both(func(c *bullmqCase, a, b bullmqPeer) {
		for i, opts := range all {
			other := c.on(fmt.Sprint("other", i))
			here, there := c.on(fmt.Sprint(i)), other
			byA, byB := here.add(a, "n", obj{}, opts), there.add(b, "n", obj{}, opts)
			read := ask[map[string]any](here, b, "job.opts", byA)
			own := ask[map[string]any](there, b, "job.opts", byB)
			c.equal(fmt.Sprintf("options %v by %s", opts, a), pretty(read), pretty(own))
		}
		c.add(a, "n", 1, obj{"jobId": "run me", "attempts": 2, "backoff": obj{"type": "fixed", "delay": 1}})
		c.work(b, script{"*": {{"fail": "once"}, {"return": "done"}}}, nil)
		c.ends(1)
		c.equal("attempts", c.hash("run me")["atm"], 2)
	})
}

// pretty is a value as JSON with its keys in order.
func pretty(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return string(b)
}

// A job whose id exists is not added again, whoever added it.
func checkCustomIDs(c *bullmqCase) {
	c.both(func(c *bullmqCase, a, b bullmqPeer) {
		first := c.add(a, "first", obj{"n": 1}, obj{"jobId": "mine"})
		again := c.add(b, "again", obj{"n": 2}, obj{"jobId": "mine"})
		c.equal("ids", []string{first, again}, []string{"mine", "mine"})
		c.equal("data", c.hash("mine")["data"], `{"n":1}`)
		c.equal("events", c.story(""), []string{"added mine", "waiting mine", "duplicated mine"})
		c.equal("the next id", c.add(b, "plain", 1, nil), "3")
		c.equal("the next id", c.add(a, "plain", 1, nil), "4")
		c.equal("in line", c.members("wait"), []string{"4", "3", "mine"})
		for _, id := range []string{"12", "0:1", "a:b"} {
			for _, p := range []bullmqPeer{a, b} {
				if _, err := c.try(p, "add", "n", 1, obj{"jobId": id}); err == nil {
					c.Errorf("%s takes the id %q", p, id)
				}
			}
		}
	})
}

// All stand in one line.
func checkOrder(c *bullmqCase) {
	c.both(func(c *bullmqCase, a, b bullmqPeer) {
		lifo := obj{"lifo": true}
		c.add(a, "n", 1, nil)
		c.add(a, "n", 1, lifo)
		c.add(b, "n", 1, nil)
		c.add(b, "n", 1, lifo)
		c.add(a, "n", 1, nil)
		c.do(b, "addBulk", []obj{{"name": "n", "data": 1}, {"name": "n", "data": 1, "opts": lifo}, {"name": "n", "data": 1}})
		w := c.work(b, nil, nil)
		c.ends(8)
		c.equal("order", w.jobs(), []string{"7", "4", "2", "1", "3", "5", "6", "8"})
	})
}

// Delayed jobs of the same millisecond start in the order in which they were added.
func checkDelayed(c *bullmqCase) {
	c.both(func(c *bullmqCase, a, b bullmqPeer) {
		due := now() - 5000 // all are late already, but nobody works yet
		want := map[string]float64{}
		var ids []string
		for i := range 100 {
			p := a
			if i%3 == 0 {
				p = b
			}
			id := c.add(p, "n", i, obj{"timestamp": due - 1000, "delay": 1000})
			ids = append(ids, id)
			want[id] = float64(due*4096 + int64(i))
		}
		later := c.add(a, "later", 1, obj{"delay": 3600000, "timestamp": due})
		want[later] = float64((due + 3600000) * 4096)
		c.equal("scores", c.scores("delayed"), want)
		c.equal("marker", c.scores("marker"), map[string]float64{"1": float64(due)})
		c.equal("delay", c.hash(later)["delay"], 3600000)
		last := c.events()[len(c.events())-1]
		c.equal("event", last.fields, obj{"event": "delayed", "jobId": later, "delay": due + 3600000})
		w := c.work(b, nil, nil)
		c.ends(100)
		c.equal("order", w.jobs(), ids)
		c.equal("left", c.members("delayed"), []string{later})
		c.soon("the marker of the next one", func() bool { // or its worker has taken it
			marker := c.scores("marker")
			return len(marker) == 0 || marker["1"] == float64(due+3600000)
		})
		c.equal("delay of a promoted one", c.hash(ids[0])["delay"], 0)
	})
}

// Smaller priorities come first, none before all, and equal ones in the order in which they were added.
func checkPrioritized(c *bullmqCase) {
	c.both(func(c *bullmqCase, a, b bullmqPeer) {
		for i, priority := range []int{3, 1, 0, 2, 1, 0, 3, 2097151} {
			p := []bullmqPeer{a, b}[i%2]
			c.add(p, "n", 1, obj{"priority": priority})
		}
		const class = 1 << 32
		c.equal("scores", c.scores("prioritized"), map[string]float64{
			"1": 3*class + 1, "2": class + 2, "4": 2*class + 3, "5": class + 4, "7": 3*class + 5, "8": 2097151*class + 6,
		})
		w := c.work(b, nil, nil)
		c.ends(8)
		c.equal("order", w.jobs(), []string{"3", "6", "2", "5", "4", "1", "7", "8"})
		c.soon("the counter to go", func() bool {
			n, err := c.redis("EXISTS", c.key("pc")).AsInt64()
			return err == nil && n == 0
		})
	})
}

// Queues with a prefix of their own are as good as others, and those of a Redis Cluster have one with a hash tag.
func checkPrefixes(c *bullmqCase) {
	for _, prefix := range []string{"custom", "{tag}", "a:b"} {
		c.Run(prefix, func(t *testing.T) {
			t.Parallel()
			c.in(t).both(func(c *bullmqCase, a, b bullmqPeer) {
				c.Prefix = prefix
				w := c.work(b, script{"*": {{"return": 1}}}, obj{"name": "worker"})
				id := c.add(a, "n", 1, nil)
				later := c.add(a, "n", 1, obj{"delay": 1, "attempts": 2})
				c.ends(2)
				c.equal("value", c.hash(id)["returnvalue"]+c.hash(later)["returnvalue"], "11")
				c.equal("workers", len(ask[[]obj](c, a, "getWorkers")), 1)
				w.close()
			})
		})
	}
}

// The stream is kept as long as the queue's settings say; where they say nothing, the usual is written down.
func checkMaxLenEvents(c *bullmqCase) {
	c.both(func(c *bullmqCase, a, b bullmqPeer) {
		c.do(a, "count")
		c.do(b, "count") // a new Queue of Node writes settings
		c.redis("DEL", c.key("meta"))
		c.add(a, "n", 1, nil)
		c.equal("setting", c.hash("meta")["opts.maxLenEvents"], 10000)
		c.redis("HSET", c.key("meta"), "opts.maxLenEvents", "10")
		jobs := make([]obj, 200) // the stream is cut by nodes of 100 entries
		for i := range jobs {
			jobs[i] = obj{"name": "n", "data": i}
		}
		c.do(a, "addBulk", jobs)
		c.work(b, nil, obj{"concurrency": 10})
		c.ends(201)
		if n := len(c.events()); n > 250 {
			c.Errorf("%d events are kept", n)
		}
		c.equal("setting", c.hash("meta")["opts.maxLenEvents"], 10)
	})
}
