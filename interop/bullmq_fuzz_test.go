package interop

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
)

var bullmqFuzzChecks = []bullmqCheck{
	{43, "anything in any order", checkFuzz},
}

// Whatever both do to a queue at the same time, with workers of both, at the end each job is in exactly one state, nothing
// is locked that is not active, and the counts are right.
func checkFuzz(c *bullmqCase) {
	seed := rand.Uint64()
	c.Logf("seed %d", seed)
	steps := script{
		"fail": {{"fail": "no"}}, "once": {{"fail": "once"}, {"return": 1}}, "final": {{"unrecoverable": "never"}},
		"put off": {{"delay": 5}, {}}, "slow": {{"wait": 3}}, "noted": {{"progress": 1, "log": []string{"x"}}},
	}
	var mu sync.Mutex
	var ids []string // of jobs that were added
	var all sync.WaitGroup
	for i, p := range []bullmqPeer{c.node, c.us} {
		c.work(p, steps, obj{"concurrency": 3})
		random := rand.New(rand.NewPCG(seed, uint64(i)))
		all.Go(func() {
			for range 200 {
				if random.IntN(3) > 0 {
					mu.Lock()
					id := "nobody"
					if len(ids) > 0 {
						id = ids[random.IntN(len(ids))]
					}
					mu.Unlock()
					s := randomStep(random, id)
					c.try(p, s.op, s.args...) // the job may be in no state for that, or gone
					continue
				}
				raw, err := c.try(p, "addBulk", []obj{randomJob(random, steps), randomJob(random, steps)})
				if err != nil {
					c.Error(err)
					continue
				}
				mu.Lock()
				for _, added := range to[[]bullmqJob](raw) {
					ids = append(ids, added.ID)
				}
				mu.Unlock()
			}
		})
	}
	all.Wait()
	c.Logf("%d jobs", len(ids))

	c.do(c.us, "removeGlobalConcurrency")
	c.do(c.us, "resume")
	c.soon("nothing to do", func() bool { return c.toDo() == 0 })
	c.quiet()
	c.sound(ids)
	stored := map[string]int{"completed": len(c.members("completed")), "failed": len(c.members("failed"))}
	c.equal("counts by Node", ask[map[string]int](c, c.node, "getJobCounts", "completed", "failed"), stored)
	c.equal("counts by us", ask[map[string]int](c, c.us, "getJobCounts", "completed", "failed"), stored)
}

// randomJob is a job for a worker with this script.
func randomJob(random *rand.Rand, steps script) obj {
	opts := obj{}
	for _, more := range []obj{
		{"attempts": 3},
		{"backoff": 4},
		{"priority": 1 + random.IntN(3)},
		{"delay": random.IntN(30)},
		{"lifo": true},
		{"jobId": fmt.Sprint("own-", random.IntN(40))},
		{"removeOnComplete": 20},
		{"removeOnFail": true},
		{"deduplication": obj{"id": fmt.Sprint(random.IntN(3)), "ttl": 1 + random.IntN(20)}},
	} {
		if random.IntN(4) == 0 {
			maps.Copy(opts, more)
		}
	}
	names := append(slices.Sorted(maps.Keys(steps)), "n")
	return obj{"name": names[random.IntN(len(names))], "data": random.IntN(100), "opts": opts}
}

// randomStep is something that is done to a job, or to all.
func randomStep(random *rand.Rand, id string) bullmqStep {
	all := []bullmqStep{
		a("job.remove", id),
		a("job.promote", id),
		a("job.retry", id, "failed"),
		a("job.retry", id, "completed"),
		a("job.changeDelay", id, random.IntN(20)),
		a("job.changePriority", id, obj{"priority": random.IntN(4), "lifo": random.IntN(2) == 0}),
		a("pause"),
		a("resume"),
		a("drain", random.IntN(2) == 0),
		a("clean", 0, 1+random.IntN(5), "completed"),
		a("clean", 0, 1+random.IntN(5), "failed"),
		a("retryJobs", obj{"state": "failed"}),
		a("promoteJobs"),
		a("setGlobalConcurrency", 1+random.IntN(4)),
		a("removeGlobalConcurrency"),
	}
	return all[random.IntN(len(all))]
}

// sound fails unless each job that is stored is in exactly one state, and what is in a state is stored.
func (c *bullmqCase) sound(ids []string) {
	c.Helper()
	in := map[string][]string{}
	for _, state := range []string{"wait", "paused", "active", "prioritized", "delayed", "waiting-children", "completed", "failed"} {
		for _, id := range c.members(state) {
			in[id] = append(in[id], state)
		}
	}
	keys, err := c.redis("KEYS", c.key("*")).AsStrSlice()
	if err != nil {
		c.Fatal(err)
	}
	slices.Sort(ids)
	for _, id := range slices.Compact(ids) {
		if stored := slices.Contains(keys, c.key(id)); stored != (len(in[id]) == 1) || len(in[id]) > 1 {
			c.Errorf("job %s is stored: %t, and in %q: %s", id, stored, in[id], strings.Join(c.story(id), "; "))
		}
		delete(in, id)
	}
	if len(in) > 0 {
		c.Errorf("there are other jobs: %v", in)
	}
}
