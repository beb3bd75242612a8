package bullmq

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

func upsert(t *testing.T, q *Queue, id string, r Repeat, template NewJob) *Job {
	t.Helper()
	job, err := q.UpsertScheduler(t.Context(), id, r, template)
	if err != nil {
		t.Fatal(err)
	}
	return job
}

// ms reads what Redis has of a time.
func ms(t *testing.T, s string) int64 {
	t.Helper()
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// A scheduler and its jobs are stored as BullMQ 6.7 stores them, which was looked at.
func TestSchedulerAsStored(t *testing.T) {
	t.Parallel()
	q := newQueue(t, QueueConfig{})
	job := upsert(t, q, "s1", Repeat{Every: 700 * time.Millisecond, Limit: 3}, NewJob{"tick", map[string]int{"z": 1}, JobOptions{Attempts: 2}})
	at := strings.TrimPrefix(job.ID, "repeat:s1:")
	wantFields(t, q, "repeat:s1", map[string]string{
		"name": "tick", "every": "700", "offset": strconv.FormatInt(ms(t, at)%700, 10), "limit": "3", "ic": "1",
		"data": `{"z":1}`, "opts": `{"attempts":2}`, "pattern": "-", "tz": "-",
	})
	wantFields(t, q, job.ID, map[string]string{"name": "tick", "data": `{"z":1}`, "rjk": "s1", "delay": "0", "timestamp": at})
	if score, _ := do(t, q, "ZSCORE", "P:repeat", "s1").ToString(); score != at {
		t.Errorf("next run %s, job %s", score, job.ID)
	}
	var opts struct {
		RepeatJobKey, JobID string
		Attempts            int
		Repeat              map[string]int
		PrevMillis          int64
	}
	if err := json.Unmarshal([]byte(hash(t, q, job.ID)["opts"]), &opts); err != nil {
		t.Fatal(err)
	}
	if opts.RepeatJobKey != "s1" || opts.JobID != job.ID || opts.Attempts != 2 || opts.PrevMillis != 0 ||
		opts.Repeat["every"] != 700 || opts.Repeat["limit"] != 3 || opts.Repeat["count"] != 1 || len(opts.Repeat) != 3 {
		t.Errorf("options %+v", opts)
	}
	wantStory(t, q, job.ID, "added", "waiting")

	job = upsert(t, q, "s2", Repeat{Pattern: "0 0 3 * * *", TZ: "Europe/Berlin", End: time.Now().AddDate(1, 0, 0)}, NewJob{})
	at = strings.TrimPrefix(job.ID, "repeat:s2:")
	wantFields(t, q, "repeat:s2", map[string]string{"name": "s2", "pattern": "0 0 3 * * *", "tz": "Europe/Berlin", "offset": "0", "data": "-", "opts": "-", "every": "-"})
	wantFields(t, q, job.ID, map[string]string{"data": "{}", "rjk": "s2"})
	if !strings.Contains(hash(t, q, job.ID)["opts"], `"prevMillis":`+at) {
		t.Errorf("options %s", hash(t, q, job.ID)["opts"])
	}
	wantStory(t, q, job.ID, "added", "delayed")
	if due := time.UnixMilli(ms(t, at)).UTC(); due.Minute() != 0 || due.Hour() != 1 && due.Hour() != 2 {
		t.Errorf("due %s", due)
	}

	schedulers, err := q.Schedulers(t.Context(), 0, -1, true)
	if err != nil || len(schedulers) != 2 || schedulers[0].ID != "s1" || schedulers[1].Repeat.TZ != "Europe/Berlin" {
		t.Errorf("schedulers %+v, %v", schedulers, err)
	}
	s, err := q.Scheduler(t.Context(), "s1")
	if err != nil || s.Name != "tick" || s.Count != 1 || s.Options.Attempts != 2 || s.Repeat.Every != 700*time.Millisecond {
		t.Errorf("scheduler %+v, %v", s, err)
	}
}

// The worker that starts a run makes the next one, until the limit.
func TestSchedulerRuns(t *testing.T) {
	t.Parallel()
	for name, handle := range map[string]func(*Job) error{
		"completing": func(*Job) error { return nil },
		"failing":    func(*Job) error { return errors.New("boom") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			q := newQueue(t, QueueConfig{})
			first := upsert(t, q, "s", Repeat{Every: 50 * time.Millisecond, Limit: 4}, NewJob{Options: JobOptions{Attempts: 2}})
			w := work(t, q, WorkerConfig{DrainDelay: time.Minute}, func(_ context.Context, job *Job) (any, error) { return nil, handle(job) })
			start := ms(t, strings.TrimPrefix(first.ID, "repeat:s:"))
			state := map[string]string{"completing": " completed", "failing": " failed"}[name]
			var last string
			for i := range int64(4) {
				last = "repeat:s:" + strconv.FormatInt(start+50*i, 10)
				eventually(t, last+state, func() bool { return w.ends.has(last + state) })
				var opts struct{ Repeat struct{ Count, Every int } }
				json.Unmarshal([]byte(hash(t, q, last)["opts"]), &opts)
				if opts.Repeat.Count != int(i)+1 || opts.Repeat.Every != 50 {
					t.Errorf("options %+v of job %s", opts, last)
				}
			}
			wantFields(t, q, "repeat:s", map[string]string{"ic": "4"})
			if n, _ := do(t, q, "EXISTS", "P:delayed", "P:wait").AsInt64(); n != 0 {
				t.Error("a fifth job is there")
			}
			if score, _ := do(t, q, "ZSCORE", "P:repeat", "s").ToString(); "repeat:s:"+score != last {
				t.Errorf("score %s", score)
			}
		})
	}
}

func TestSchedulerByPattern(t *testing.T) {
	t.Parallel()
	q := newQueue(t, QueueConfig{})
	upsert(t, q, "s", Repeat{Pattern: "* * * * * *", TZ: "UTC", Immediately: true}, NewJob{Data: []int{1}})
	runs := make(chan *Job, 10)
	work(t, q, WorkerConfig{}, func(_ context.Context, job *Job) (any, error) { runs <- job; return nil, nil })
	if first := <-runs; string(first.Data) != "[1]" {
		t.Errorf("data %s", first.Data)
	}
	for range 2 {
		job := <-runs
		at := ms(t, strings.TrimPrefix(job.ID, "repeat:s:"))
		if at%1000 != 0 || job.SchedulerID != "s" || string(job.Data) != "[1]" || string(job.Options.Extra["prevMillis"]) != strconv.FormatInt(at, 10) {
			t.Errorf("job %+v", job)
		}
	}
}

// Runs that were missed while no worker was there are not made up for.
func TestSchedulerAfterAPause(t *testing.T) {
	t.Parallel()
	q := newQueue(t, QueueConfig{})
	const every = 5000
	now := time.Now().UnixMilli()
	first := upsert(t, q, "s", Repeat{Every: every * time.Millisecond}, NewJob{})
	old := "repeat:s:" + strconv.FormatInt(now-100*every, 10)
	do(t, q, "RENAME", "P:"+first.ID, "P:"+old)
	do(t, q, "LREM", "P:wait", "0", first.ID)
	do(t, q, "RPUSH", "P:wait", old)
	do(t, q, "ZADD", "P:repeat", strconv.FormatInt(now-100*every, 10), "s")
	w := work(t, q, WorkerConfig{}, nothing)
	eventually(t, "the run", func() bool { return w.ends.has(old + " completed") })
	next, _ := do(t, q, "ZRANGE", "P:delayed", "0", "-1").AsStrSlice()
	if len(next) != 1 {
		t.Fatalf("delayed %q", next)
	}
	if at := ms(t, strings.TrimPrefix(next[0], "repeat:s:")); at < now || at > now+every+1000 || at%every != ms(t, hash(t, q, "repeat:s")["offset"]) {
		t.Errorf("next run %d ms from now", at-now)
	}
}

func TestSchedulerIsChanged(t *testing.T) {
	t.Parallel()
	q := newQueue(t, QueueConfig{})
	places := func() []string {
		t.Helper()
		waiting, _ := do(t, q, "LRANGE", "P:wait", "0", "-1").AsStrSlice()
		delayed, _ := do(t, q, "ZRANGE", "P:delayed", "0", "-1").AsStrSlice()
		return append(waiting, delayed...)
	}
	first := upsert(t, q, "s", Repeat{Every: time.Hour}, NewJob{Name: "a"})
	again := upsert(t, q, "s", Repeat{Every: time.Hour}, NewJob{Name: "b"})
	if again.ID != first.ID || !slices.Equal(places(), []string{first.ID}) {
		t.Errorf("job %s, then %s; in place %q", first.ID, again.ID, places())
	}
	wantFields(t, q, first.ID, map[string]string{"name": "b"})
	wantFields(t, q, "repeat:s", map[string]string{"name": "b", "ic": "1"})

	pattern := upsert(t, q, "s", Repeat{Pattern: "0 3 1 1 *"}, NewJob{})
	if !slices.Equal(places(), []string{pattern.ID}) {
		t.Errorf("in place %q, not %s", places(), pattern.ID)
	}
	wantFields(t, q, "repeat:s", map[string]string{"every": "-", "pattern": "0 3 1 1 *"})

	other := upsert(t, q, "s", Repeat{Every: time.Minute, Start: time.Now().Add(time.Hour)}, NewJob{Options: JobOptions{Priority: 3}})
	if !slices.Equal(places(), []string{other.ID}) || other.Delay < 59*time.Minute {
		t.Errorf("in place %q, not %s in %s", places(), other.ID, other.Delay)
	}

	if found, err := q.RemoveScheduler(t.Context(), "s"); err != nil || !found {
		t.Error(found, err)
	}
	if left, _ := do(t, q, "KEYS", "P:repeat*").AsStrSlice(); len(left) != 0 || len(places()) != 0 {
		t.Errorf("left %q, in place %q", left, places())
	}
	wantStory(t, q, other.ID, "added", "delayed", "removed prev=delayed")
	if found, err := q.RemoveScheduler(t.Context(), "s"); err != nil || found {
		t.Errorf("removing it again: %v, %v", found, err)
	}
	if _, err := q.Scheduler(t.Context(), "s"); !errors.Is(err, ErrSchedulerNotFound) {
		t.Errorf("reading it: %v", err)
	}
}

// A run that has started or ended keeps its place; a changed schedule goes on behind it.
func TestSchedulerIsChangedWhileItRuns(t *testing.T) {
	t.Parallel()
	q := newQueue(t, QueueConfig{})
	first := upsert(t, q, "s", Repeat{Every: time.Hour, Limit: 1}, NewJob{})
	w := work(t, q, WorkerConfig{}, nothing)
	eventually(t, "the only run", func() bool { return w.ends.has(first.ID + " completed") })
	next := upsert(t, q, "s", Repeat{Every: time.Hour, Limit: 2}, NewJob{})
	if got := ms(t, strings.TrimPrefix(next.ID, "repeat:s:")) - ms(t, strings.TrimPrefix(first.ID, "repeat:s:")); got != time.Hour.Milliseconds() {
		t.Errorf("the next run is %d ms behind the first", got)
	}
	if state, err := q.State(t.Context(), first.ID); err != nil || state != StateCompleted {
		t.Errorf("the first is %s, %v", state, err)
	}
}

// A schedule that our parser cannot read does not keep its job from running.
func TestSchedulerThatCannotGoOn(t *testing.T) {
	t.Parallel()
	q := newQueue(t, QueueConfig{})
	first := upsert(t, q, "s", Repeat{Every: time.Hour}, NewJob{})
	do(t, q, "HSET", "P:repeat:s", "pattern", "no pattern")
	w := work(t, q, WorkerConfig{}, nothing)
	eventually(t, "the run", func() bool { return w.ends.has(first.ID + " completed") })
}

func TestSchedulerRefused(t *testing.T) {
	t.Parallel()
	q := newQueue(t, QueueConfig{})
	hourly := Repeat{Every: time.Hour}
	for name, test := range map[string]struct {
		id       string
		repeat   Repeat
		template NewJob
	}{
		"no id":             {"", hourly, NewJob{}},
		"a number":          {"a:1", hourly, NewJob{}},
		"no schedule":       {"s", Repeat{}, NewJob{}},
		"both schedules":    {"s", Repeat{Every: time.Hour, Pattern: "* * * * *"}, NewJob{}},
		"pattern":           {"s", Repeat{Pattern: "x"}, NewJob{}},
		"zone":              {"s", Repeat{Pattern: "* * * * *", TZ: "Nowhere"}, NewJob{}},
		"limit":             {"s", Repeat{Every: time.Hour, Limit: -1}, NewJob{}},
		"offset":            {"s", Repeat{Every: time.Hour, Offset: time.Hour}, NewJob{}},
		"end":               {"s", Repeat{Every: time.Hour, End: time.Unix(1, 0)}, NewJob{}},
		"a template's id":   {"s", hourly, NewJob{Options: JobOptions{ID: "x"}}},
		"a template's data": {"s", hourly, NewJob{Data: func() {}}},
		"never": {
			"s", Repeat{Pattern: "0 0 1 1 *", Start: time.Now().Add(time.Hour), End: time.Now().Add(2 * time.Hour)}, NewJob{},
		},
	} {
		if _, err := q.UpsertScheduler(t.Context(), test.id, test.repeat, test.template); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	if left, _ := do(t, q, "KEYS", "P:*").AsStrSlice(); len(left) != 0 {
		t.Errorf("left %q", left)
	}
}
