package bullmq

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// Whatever is done, and in whatever order: every job is in exactly one state, nothing else is in any, and a parent waits
// for nobody who is gone.
func TestRandomOperations(t *testing.T) {
	t.Parallel()
	for range 4 {
		seed := uint64(time.Now().UnixNano())
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			q := newQueue(t, QueueConfig{})
			if seed%2 == 0 {
				do(t, q, "HSET", "P:meta", "version", "bullmq:5.81.5")
			}
			random := rand.New(rand.NewPCG(seed, 0))
			var done []string
			for range 300 {
				done = append(done, randomOperation(t, q, random))
				if broken := inconsistencies(t, q); len(broken) > 0 {
					t.Fatalf("%s\nafter\n%s", strings.Join(broken, "\n"), strings.Join(done, "\n"))
				}
			}
		})
	}
}

// randomOperation does something and says what. An error means that it could not be done, which is all right.
func randomOperation(t *testing.T, q *Queue, random *rand.Rand) string {
	ctx := t.Context()
	id := fmt.Sprintf("job-%d", random.IntN(8))
	delay := time.Duration(random.IntN(2)) * time.Hour
	state := States[random.IntN(len(States))]
	var name string
	var err error
	switch n := random.IntN(22); n {
	case 0, 1, 2, 3, 4:
		o := JobOptions{ID: id, Delay: delay, Priority: random.IntN(2) * 3, LIFO: random.IntN(4) == 0}
		switch random.IntN(4) {
		case 0:
			o.Parent = &Parent{ID: fmt.Sprintf("job-%d", random.IntN(8)), Queue: strings.TrimSuffix(q.keys.prefix, ":")}
			if o.Parent.ID == id {
				o.Parent = nil
			}
		case 1:
			o.Deduplication = &Deduplication{
				ID: fmt.Sprint("d", random.IntN(3)), TTL: delay, Replace: random.IntN(2) == 0,
				RescheduleDelayed: random.IntN(2) == 0, KeepLastIfActive: random.IntN(2) == 0,
			}
		}
		name = fmt.Sprintf("add %s", appendOptions(nil, &o))
		_, err = q.Add(ctx, "a", 1, o)
	case 5, 6, 7:
		name = "start"
		for _, list := range []string{"P:wait", "P:paused"} {
			if started, _ := do(t, q, "RPOPLPUSH", list, "P:active").ToString(); started != "" {
				name += " " + started
				break
			}
		}
	case 8, 9, 10:
		name = "finish"
		if ended, _ := do(t, q, "RPOP", "P:active").ToString(); ended != "" {
			to := []string{"completed", "failed"}[random.IntN(2)]
			do(t, q, "ZADD", "P:"+to, strconv.FormatInt(time.Now().UnixMilli(), 10), ended)
			name += " " + ended + " " + to
		}
	case 11:
		name = "wait for children " + id
		if n, _ := do(t, q, "LREM", "P:wait", "0", id).AsInt64(); n > 0 {
			do(t, q, "ZADD", "P:waiting-children", "1", id)
		}
	case 12:
		name, err = "retry "+id, q.Retry(ctx, id, RetryOptions{State: []State{StateFailed, StateCompleted}[random.IntN(2)], ResetAttempts: true})
	case 13:
		name = "retry all"
		_, err = q.RetryAll(ctx, RetryFilter{})
	case 14:
		name, err = "promote "+id, q.Promote(ctx, id)
	case 15:
		name, err = "change delay "+id, q.ChangeDelay(ctx, id, delay)
	case 16:
		first := random.IntN(2) == 0
		name, err = fmt.Sprint("change priority ", id, first), q.ChangePriority(ctx, id, random.IntN(3), first)
	case 17:
		keep := random.IntN(2) == 0
		name, err = fmt.Sprint("remove ", id, keep), q.Remove(ctx, id, RemoveOptions{KeepChildren: keep})
	case 18:
		name = "clean " + string(state)
		_, err = q.Clean(ctx, 0, random.IntN(3), state)
	case 19:
		if random.IntN(4) > 0 {
			return "nothing"
		}
		name, err = "drain", q.Drain(ctx, random.IntN(2) == 0)
	case 20:
		name, err = "pause", q.Pause(ctx)
	case 21:
		name, err = "resume", q.Resume(ctx)
	}
	return fmt.Sprintf("%s: %v", name, err)
}

// inconsistencies returns what is wrong with a queue.
func inconsistencies(t *testing.T, q *Queue) (broken []string) {
	places := make(map[string][]string)
	for _, list := range []string{"wait", "paused", "active"} {
		ids, _ := do(t, q, "LRANGE", "P:"+list, "0", "-1").AsStrSlice()
		for _, id := range ids {
			places[id] = append(places[id], list)
		}
	}
	for _, set := range []string{"completed", "failed", "delayed", "prioritized", "waiting-children"} {
		ids, _ := do(t, q, "ZRANGE", "P:"+set, "0", "-1").AsStrSlice()
		for _, id := range ids {
			places[id] = append(places[id], set)
		}
	}
	names := scan(t, q)
	for _, name := range names {
		id, part, _ := strings.Cut(name, ":")
		switch {
		case !strings.HasPrefix(id, "job-"):
		case part == "" && len(places[id]) != 1:
			broken = append(broken, fmt.Sprintf("%s is in %q", id, places[id]))
		case part == "dependencies":
			children, _ := do(t, q, "SMEMBERS", "P:"+name).AsStrSlice()
			for _, child := range children {
				if child := strings.TrimPrefix(child, q.keys.prefix); !slices.Contains(names, child) {
					broken = append(broken, fmt.Sprintf("%s waits for %s, which is gone", id, child))
				}
			}
			fallthrough
		case part != "":
			if !slices.Contains(names, id) {
				broken = append(broken, name+" is left of a job that is gone")
			}
		}
	}
	for id, in := range places {
		if !slices.Contains(names, id) {
			broken = append(broken, fmt.Sprintf("%s is gone but in %q", id, in))
		}
	}
	if paused, _ := q.IsPaused(t.Context()); !paused && slices.Contains(names, keyPaused) {
		broken = append(broken, "jobs are kept as paused in a queue that is not")
	}
	return broken
}
