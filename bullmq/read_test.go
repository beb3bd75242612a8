package bullmq

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis/rueidis"
)

// do sends a command to the server of a queue. P: at the beginning of an argument stands for the prefix of its keys.
func do(t testing.TB, q *Queue, command string, args ...string) rueidis.RedisResult {
	t.Helper()
	for i := range args {
		if rest, is := strings.CutPrefix(args[i], "P:"); is {
			args[i] = q.keys.prefix + rest
		}
	}
	reply := q.client.Do(t.Context(), q.client.B().Arbitrary(command).Args(args...).Build())
	if err := reply.Error(); err != nil && !rueidis.IsRedisNil(err) {
		t.Fatalf("%s %q: %v", command, args, err)
	}
	return reply
}

// store makes a job's hash without putting it anywhere.
func store(t testing.TB, q *Queue, id string, fields ...string) {
	t.Helper()
	do(t, q, "HSET", append([]string{"P:" + id, "name", "n", "data", "{}", "opts", "{}", "timestamp", "1"}, fields...)...)
}

// A line that is partly in `wait` and partly in `paused` reads like one list.
func TestRangesAreThoseOfOneLine(t *testing.T) {
	t.Parallel()
	for _, inPaused := range []int{0, 1, 3, 7} {
		q := newQueue(t, QueueConfig{})
		var line []string // the next to start first
		for i := range 7 {
			id := fmt.Sprint("job-", i)
			store(t, q, id)
			list := "P:wait"
			if i < inPaused {
				list = "P:paused"
			}
			do(t, q, "LPUSH", list, id)
			line = append(line, id)
		}
		backwards := slices.Clone(line)
		slices.Reverse(backwards)
		for start := int64(-9); start <= 9; start++ {
			for end := int64(-9); end <= 9; end++ {
				for _, ascending := range []bool{true, false} {
					want := backwards
					if ascending {
						want = line
					}
					want = want[clampRange(start, end, len(want))[0]:clampRange(start, end, len(want))[1]]
					got, err := q.IDs(t.Context(), Range{Start: start, End: end, Ascending: ascending})
					if err != nil || !slices.Equal(got, want) {
						t.Errorf("%d in paused, %d to %d, ascending %v: %q, want %q, %v", inPaused, start, end, ascending, got, want, err)
					}
				}
			}
		}
		counts, err := q.Counts(t.Context())
		if err != nil || counts[StateWaiting] != 7 || len(counts) != len(States) {
			t.Errorf("counts %v, %v", counts, err)
		}
		if n, err := q.Count(t.Context()); err != nil || n != 7 {
			t.Errorf("count %d, %v", n, err)
		}
	}
}

// clampRange is what Redis makes of two indexes: from the first, to before the second.
func clampRange(start, end int64, length int) [2]int64 {
	n := int64(length)
	if start < 0 {
		start = max(0, n+start)
	}
	if end < 0 {
		end = n + end
	}
	end = min(end, n-1) + 1
	if start >= end {
		return [2]int64{0, 0}
	}
	return [2]int64{start, end}
}

func TestJobsAndStates(t *testing.T) {
	t.Parallel()
	q := newQueue(t, QueueConfig{})
	for _, state := range []State{StateCompleted, StateFailed, StateDelayed, StatePrioritized, StateWaitingChildren} {
		store(t, q, "in-"+string(state))
		do(t, q, "ZADD", "P:"+string(state), "5", "in-"+string(state))
	}
	store(t, q, "in-active")
	do(t, q, "LPUSH", "P:active", "in-active")
	store(t, q, "in-waiting", "opts", "rubbish")
	do(t, q, "LPUSH", "P:paused", "in-waiting")
	store(t, q, "in-unknown")
	do(t, q, "LPUSH", "P:wait", "ghost")
	do(t, q, "HSET", "P:nameless", "data", "{}")

	for _, state := range append(slices.Clone(States), StateUnknown) {
		if got, err := q.State(t.Context(), "in-"+string(state)); err != nil || got != state {
			t.Errorf("in-%s is %s, %v", state, got, err)
		}
		if job, got, err := q.Inspect(t.Context(), "in-"+string(state)); err != nil || got != state || job.Name != "n" {
			t.Errorf("in-%s is %s, %+v, %v", state, got, job, err)
		}
	}
	if _, err := q.State(t.Context(), "nobody"); !errors.Is(err, ErrJobNotFound) {
		t.Errorf("state of nobody: %v", err)
	}
	for _, id := range []string{"nobody", "ghost", "nameless"} {
		if job, err := q.Job(t.Context(), id); !errors.Is(err, ErrJobNotFound) {
			t.Errorf("%s: %+v, %v", id, job, err)
		}
		if job, _, err := q.Inspect(t.Context(), id); !errors.Is(err, ErrJobNotFound) {
			t.Errorf("%s: %+v, %v", id, job, err)
		}
	}
	jobs, err := q.Jobs(t.Context(), Range{States: States, End: -1})
	if err != nil || len(jobs) != len(States) {
		t.Errorf("%d jobs, %v", len(jobs), err)
	}
	if _, err := q.Counts(t.Context(), "sleeping"); err == nil {
		t.Error("there is no state sleeping")
	}
}

func TestCountsPerPriority(t *testing.T) {
	t.Parallel()
	q := newQueue(t, QueueConfig{})
	for _, priority := range []int{0, 1, 1, 2, MaxPriority} {
		if _, err := q.Add(t.Context(), "n", nil, JobOptions{Priority: priority}); err != nil {
			t.Fatal(err)
		}
	}
	got, err := q.CountsPerPriority(t.Context(), 0, 1, 2, 3, MaxPriority)
	if want := fmt.Sprint(map[int]int64{0: 1, 1: 2, 2: 1, 3: 0, MaxPriority: 1}); err != nil || fmt.Sprint(got) != want {
		t.Errorf("got %v, want %s, %v", got, want, err)
	}
}

func TestFinishedPages(t *testing.T) {
	t.Parallel()
	q := newQueue(t, QueueConfig{})
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	var want []string
	for i := range 2*finishedAtOnce + 50 { // more in one ms than are read in one go
		id, at := fmt.Sprintf("job %03d é", i), fmt.Sprint(1000+max(0, random.IntN(10)-8))
		do(t, q, "ZADD", "P:failed", at, id)
		if random.IntN(10) > 0 {
			store(t, q, id, "finishedOn", at)
			want = append(want, id)
		}
	}
	slices.Sort(want)
	for _, limit := range []int{1, 7, 100, 1000} {
		var got []string
		for after := (Cursor{}); ; {
			jobs, err := q.Finished(t.Context(), StateFailed, after, limit)
			if err != nil {
				t.Fatal(err)
			}
			if len(jobs) == 0 {
				break
			}
			for _, job := range jobs {
				got = append(got, job.ID)
			}
			last := jobs[len(jobs)-1]
			if after, err = ParseCursor(CursorAfter(last).String()); err != nil || after != CursorAfter(last) {
				t.Fatalf("cursor of %+v: %+v, %v", last, after, err)
			}
			if limit == 7 { // neither one that comes nor one that goes moves the others
				store(t, q, "newest", "finishedOn", "9000")
				do(t, q, "ZADD", "P:failed", "9000", "newest")
				do(t, q, "ZREM", "P:failed", last.ID)
			}
		}
		if limit == 7 {
			do(t, q, "ZREM", "P:failed", "newest")
			for _, id := range got {
				do(t, q, "ZADD", "P:failed", fmt.Sprint(mustJob(t, q, id).FinishedOn.UnixMilli()), id)
			}
		}
		if slices.Sort(got); !slices.Equal(got, want) {
			t.Errorf("limit %d: %d jobs, want %d", limit, len(got), len(want))
		}
	}
	if _, err := q.Finished(t.Context(), StateActive, Cursor{}, 1); err == nil {
		t.Error("an active job has finished")
	}
}

func mustJob(t testing.TB, q *Queue, id string) *Job {
	t.Helper()
	job, err := q.Job(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	return job
}

func FuzzParseCursor(f *testing.F) {
	for _, text := range []string{"", "x", Cursor{1, "a"}.String(), Cursor{1795435105922, "a-1 é"}.String(), "MCBh", "\x00"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		c, err := ParseCursor(text)
		if err != nil {
			return
		}
		if again, err := ParseCursor(c.String()); err != nil || again != c {
			t.Errorf("%q is %+v, then %+v, %v", text, c, again, err)
		}
	})
}
