package bullmq

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
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

// wantStored compares a hash with what BullMQ 6.7 was seen to store in that place. Options are compared as JSON; a delay of
// 0 and no attempts, which Node writes in other cases than we, are the same as nothing.
func wantStored(t *testing.T, q *Queue, key string, want map[string]string) {
	t.Helper()
	decode := func(fields map[string]string) any {
		if fields["opts"] == "" {
			return nil
		}
		var opts map[string]any
		if err := json.Unmarshal([]byte(fields["opts"]), &opts); err != nil {
			t.Fatalf("options %q: %v", fields["opts"], err)
		}
		delete(fields, "opts")
		for _, name := range []string{"delay", "attempts"} {
			if opts[name] == 0.0 {
				delete(opts, name)
			}
		}
		return opts
	}
	got := hash(t, q, key)
	if diff := cmp.Diff(decode(want), decode(got)); diff != "" {
		t.Errorf("options of %s (-want +got):\n%s", key, diff)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", key, diff)
	}
}

// members returns the members of a sorted set with their scores.
func members(t *testing.T, q *Queue, name string) map[string]int64 {
	t.Helper()
	scores, err := do(t, q, "ZRANGE", "P:"+name, "0", "-1", "WITHSCORES").AsZScores()
	if err != nil {
		t.Fatal(err)
	}
	all := make(map[string]int64)
	for _, s := range scores {
		all[s.Member] = int64(s.Score)
	}
	return all
}

// A scheduler with an interval, and its jobs, before and after the first of them has started.
func TestSchedulerAsStored(t *testing.T) {
	t.Parallel()
	const minute = 60_000
	q := newQueue(t, QueueConfig{})
	first := upsert(t, q, "sched1", Repeat{Every: time.Minute}, NewJob{"tick", map[string]int{"z": 1}, JobOptions{Attempts: 2}})
	at := ms(t, strings.TrimPrefix(first.ID, "repeat:sched1:"))
	scheduler := func(iterations string) map[string]string {
		return map[string]string{
			"name": "tick", "every": "60000", "offset": fmt.Sprint(at % minute), "opts": `{"attempts":2}`, "data": `{"z":1}`, "ic": iterations,
		}
	}
	job := func(at, made, delay int64, count int) map[string]string {
		return map[string]string{
			"name": "tick", "data": `{"z":1}`, "rjk": "sched1", "timestamp": fmt.Sprint(made), "delay": fmt.Sprint(delay), "priority": "0",
			"opts": fmt.Sprintf(`{"timestamp":%d,"repeatJobKey":"sched1","jobId":"repeat:sched1:%d","repeat":{"every":60000,"count":%d},"delay":%d,"attempts":2}`,
				made, at, count, delay),
		}
	}
	wantStored(t, q, "repeat:sched1", scheduler("1"))
	wantStored(t, q, first.ID, job(at, at, 0, 1))
	if got := members(t, q, "repeat"); len(got) != 1 || got["sched1"] != at {
		t.Errorf("next runs %v, want %d", got, at)
	}
	wantStory(t, q, first.ID, "added", "waiting")

	w := work(t, q, WorkerConfig{}, nothing)
	eventually(t, "the first run", func() bool { return w.ends.has(first.ID + " completed") })
	wantStored(t, q, "repeat:sched1", scheduler("2"))
	second := "repeat:sched1:" + fmt.Sprint(at+minute)
	made := ms(t, hash(t, q, second)["timestamp"])
	wantStored(t, q, second, job(at+minute, made, at+minute-made, 2))
	if got := members(t, q, "repeat"); len(got) != 1 || got["sched1"] != at+minute {
		t.Errorf("next runs %v, want %d", got, at+minute)
	}
	if got := members(t, q, "delayed"); len(got) != 1 || got[second] != (at+minute)*4096 {
		t.Errorf("delayed %v", got)
	}
	wantStory(t, q, second, "added", "delayed")
	if n, _ := do(t, q, "GET", "P:id").ToString(); n != "2" {
		t.Errorf("counter %s", n)
	}
}

// A scheduler with a pattern, and its job.
func TestSchedulerByPatternAsStored(t *testing.T) {
	t.Parallel()
	q := newQueue(t, QueueConfig{})
	end := time.Now().AddDate(1, 0, 0)
	job := upsert(t, q, "cron1", Repeat{Pattern: "0 0 3 * * *", TZ: "UTC", Limit: 5, End: end}, NewJob{Name: "cr"})
	at := ms(t, strings.TrimPrefix(job.ID, "repeat:cron1:"))
	if due := time.UnixMilli(at).UTC(); due.Format(time.TimeOnly) != "03:00:00" || time.Until(due) > 24*time.Hour || time.Until(due) < 0 {
		t.Errorf("due %s", due)
	}
	wantStored(t, q, "repeat:cron1", map[string]string{
		"name": "cr", "tz": "UTC", "limit": "5", "pattern": "0 0 3 * * *", "offset": "0", "endDate": milliseconds(end), "ic": "1",
	})
	wantStored(t, q, job.ID, map[string]string{
		"name": "cr", "data": "{}", "rjk": "cron1", "timestamp": milliseconds(job.Timestamp), "delay": decimal(job.Delay), "priority": "0",
		"opts": fmt.Sprintf(`{"prevMillis":%d,"timestamp":%d,"repeatJobKey":"cron1","jobId":"repeat:cron1:%d","delay":%d,"repeat":{
			"pattern":"0 0 3 * * *","tz":"UTC","limit":5,"endDate":%d,"count":1}}`, at, job.Timestamp.UnixMilli(), at, job.Delay.Milliseconds(), end.UnixMilli()),
	})
	wantStory(t, q, job.ID, "added", "delayed")
}

func TestSchedulersAreListed(t *testing.T) {
	t.Parallel()
	q := newQueue(t, QueueConfig{})
	start := time.Now().Add(time.Hour).Truncate(time.Millisecond)
	for i, id := range []string{"a", "b:c", "d"} {
		r := Repeat{Every: time.Hour, Offset: time.Minute, Start: start.Add(time.Duration(i) * time.Hour)}
		upsert(t, q, id, r, NewJob{"n" + id, json.RawMessage(`{"i":"` + id + `"}`), JobOptions{Attempts: 2, Priority: 3}})
	}
	do(t, q, "ZADD", "P:repeat", "1", "name:id:::0 3 * * *") // as BullMQ 4 had them
	for _, list := range []struct {
		start, end int64
		ascending  bool
		want       string
	}{{0, -1, true, "name:id:::0 3 * * *,a,b:c,d"}, {0, -1, false, "d,b:c,a,name:id:::0 3 * * *"}, {1, 2, true, "a,b:c"}, {4, 9, true, ""}, {-1, -1, true, "d"}} {
		schedulers, err := q.Schedulers(t.Context(), list.start, list.end, list.ascending)
		var ids []string
		for _, s := range schedulers {
			ids = append(ids, s.ID)
		}
		if got := strings.Join(ids, ","); err != nil || got != list.want {
			t.Errorf("%d to %d, ascending %t: %s, %v", list.start, list.end, list.ascending, got, err)
		}
	}
	if n, err := q.SchedulersCount(t.Context()); err != nil || n != 4 {
		t.Errorf("%d schedulers, %v", n, err)
	}
	got, err := q.Scheduler(t.Context(), "b:c")
	if err != nil {
		t.Fatal(err)
	}
	next := start.Add(time.Hour)
	want := &Scheduler{
		ID: "b:c", Name: "nb:c", Data: json.RawMessage(`{"i":"b:c"}`), Options: JobOptions{Attempts: 2, Priority: 3}, Count: 1,
		Repeat: Repeat{Every: time.Hour, Offset: time.Minute, Start: next}, Next: next.Truncate(time.Hour).Add(time.Minute),
	}
	if want.Next.Before(next) {
		want.Next = want.Next.Add(time.Hour)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if job := mustJob(t, q, runID("b:c", want.Next)); string(job.Options.Repeat) != fmt.Sprintf(`{"count":1,"every":3600000,"offset":60000,"startDate":%d}`, next.UnixMilli()) {
		t.Errorf("option repeat %s", job.Options.Repeat)
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

// The job of the next run goes with a change or the removal of its scheduler, wherever it waits.
func TestSchedulerWhoseJobWaits(t *testing.T) {
	t.Parallel()
	paused := func(version string) func(*testing.T, *Queue) {
		return func(t *testing.T, q *Queue) {
			do(t, q, "HSET", "P:meta", "version", version)
			if err := q.Pause(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	}
	nothing := func(*testing.T, *Queue) {}
	for name, test := range map[string]struct {
		prepare func(*testing.T, *Queue)
		start   time.Time
		options JobOptions
		place   string
	}{
		"in the line":             {nothing, time.Time{}, JobOptions{}, "wait"},
		"LIFO":                    {nothing, time.Time{}, JobOptions{LIFO: true}, "wait"},
		"by priority":             {nothing, time.Time{}, JobOptions{Priority: 3}, "prioritized"},
		"for its time":            {nothing, time.Now().Add(time.Hour), JobOptions{Priority: 3}, "delayed"},
		"in a paused queue":       {paused("bullmq:6.7.0"), time.Time{}, JobOptions{}, "wait"},
		"in a queue paused by v5": {paused("bullmq:5.81.5"), time.Time{}, JobOptions{}, "paused"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			q := newQueue(t, QueueConfig{})
			test.prepare(t, q)
			wantOnly := func(job *Job) {
				t.Helper()
				found := ""
				for _, key := range []string{"wait", "paused", "prioritized", "delayed"} {
					ids, _ := do(t, q, map[bool]string{true: "LRANGE", false: "ZRANGE"}[key == "wait" || key == "paused"], "P:"+key, "0", "-1").AsStrSlice()
					for _, id := range ids {
						found += key + " " + id
					}
				}
				if want := test.place + " " + job.ID; found != want {
					t.Errorf("%q is there, not %q", found, want)
				}
			}
			first := upsert(t, q, "s", Repeat{Every: time.Hour, Start: test.start}, NewJob{Name: "a", Options: test.options})
			wantOnly(first)
			if err := q.Remove(t.Context(), first.ID, RemoveOptions{}); !errors.Is(err, ErrScheduled) {
				t.Errorf("removing the job alone: %v", err)
			}
			for _, every := range []time.Duration{time.Hour, 2 * time.Hour, 3 * time.Hour} {
				job := upsert(t, q, "s", Repeat{Every: every, Start: test.start}, NewJob{Name: every.String(), Options: test.options})
				wantOnly(job)
				wantFields(t, q, job.ID, map[string]string{"name": every.String()})
				first = job
			}
			if found, err := q.RemoveScheduler(t.Context(), "s"); err != nil || !found {
				t.Error(found, err)
			}
			if got := story(t, q, first.ID); got[len(got)-1] != "removed prev="+test.place {
				t.Errorf("events %q", got)
			}
			for _, left := range scan(t, q) {
				if !slices.Contains([]string{keyMeta, keyID, keyEvents, keyMarker, keyPriorityCounter}, left) {
					t.Errorf("%s is left", left)
				}
			}
		})
	}
}

// A schedule leaves out runs whose jobs exist already, but not without end.
func TestSchedulerWhoseRunsAreTaken(t *testing.T) {
	t.Parallel()
	const day = 24 * time.Hour
	for name, r := range map[string]Repeat{
		"interval": {Every: day, Offset: 3 * time.Hour},
		"pattern":  {Pattern: "0 0 3 * * *", TZ: "UTC"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			q := newQueue(t, QueueConfig{})
			now := time.Now()
			run := now.Truncate(day).Add(3 * time.Hour)
			if run.Before(now) {
				run = run.Add(day)
			}
			for i := range 3 {
				store(t, q, runID("s", run.Add(time.Duration(i)*day)))
			}
			if job := upsert(t, q, "s", r, NewJob{}); job.ID != runID("s", run.Add(3*day)) {
				t.Errorf("job %s, and the first of the taken is %s", job.ID, runID("s", run))
			}
			for i := range 20 {
				store(t, q, runID("t", run.Add(time.Duration(i)*day)))
			}
			before := dump(t, q)
			if _, err := q.UpsertScheduler(t.Context(), "t", r, NewJob{}); !errors.Is(err, ErrRunsTaken) {
				t.Errorf("all are taken: %v", err)
			}
			if diff := cmp.Diff(before, dump(t, q)); diff != "" {
				t.Errorf("something was written:\n%s", diff)
			}
		})
	}
}

// Programs that set the same scheduler at once, as their instances start, leave one job of it.
func TestSchedulerSetByMany(t *testing.T) {
	t.Parallel()
	q := newQueue(t, QueueConfig{})
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			for range 5 {
				if _, err := q.UpsertScheduler(t.Context(), "s", Repeat{Every: time.Hour}, NewJob{}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	group.Wait()
	jobs, err := q.Jobs(t.Context(), Range{States: []State{StateWaiting, StateDelayed}, End: -1})
	if err != nil || len(jobs) != 1 || len(members(t, q, "repeat")) != 1 {
		t.Errorf("%d jobs, %v", len(jobs), err)
	}
}

// What is wrong is said, before anything is written.
func TestSchedulerRefused(t *testing.T) {
	t.Parallel()
	q := newQueue(t, QueueConfig{})
	now := time.Now()
	hourly := Repeat{Every: time.Hour}
	for _, test := range []struct {
		id       string
		repeat   Repeat
		template NewJob
		want     string
	}{
		{"", hourly, NewJob{}, "its id needs 1 to"},
		{"a:b:c:d:e", hourly, NewJob{}, "at most 3 colons"},
		{"a\n", hourly, NewJob{}, "plain UTF-8"},
		{"\xff", hourly, NewJob{}, "plain UTF-8"},
		{strings.Repeat("a", MaxIDBytes+1), hourly, NewJob{}, "its id needs 1 to"},
		{"a:1", hourly, NewJob{}, "a number, or nothing, behind a colon"},
		{"a:1:logs", hourly, NewJob{}, "a number, or nothing, behind a colon"},
		{"a:", hourly, NewJob{}, "a number, or nothing, behind a colon"},
		{"s", Repeat{}, NewJob{}, "needs an interval of a millisecond at least, or a pattern"},
		{"s", Repeat{Every: time.Microsecond}, NewJob{}, "needs an interval of a millisecond at least, or a pattern"},
		{"s", Repeat{Every: time.Hour, Pattern: "* * * * *"}, NewJob{}, "has both an interval and a pattern"},
		{"s", Repeat{Pattern: "x"}, NewJob{}, `pattern "x"`},
		{"s", Repeat{Pattern: "* * * * *", TZ: "Nowhere"}, NewJob{}, `"Nowhere" is not a zone`},
		{"s", Repeat{Every: time.Hour, Limit: -1}, NewJob{}, "limit -1 is negative"},
		{"s", Repeat{Every: time.Hour, Offset: time.Hour}, NewJob{}, "offset 1h0m0s is not within the interval"},
		{"s", Repeat{Every: time.Hour, Offset: -1}, NewJob{}, "is not within the interval"},
		{"s", Repeat{Every: time.Hour, End: now}, NewJob{}, "its end has passed"},
		{"s", Repeat{Every: time.Hour, Start: now.Add(2 * time.Hour), End: now.Add(time.Hour)}, NewJob{}, "it ends before it starts"},
		{"s", Repeat{Pattern: "* * * * *", Immediately: true, Start: now.Add(time.Hour)}, NewJob{}, "has both a start and a run at once"},
		{"s", Repeat{Pattern: "0 0 31 2 *"}, NewJob{}, `pattern "0 0 31 2 *"`},
		{"s", Repeat{Pattern: "0 0 1 1 *", TZ: "UTC", Start: now.Add(time.Hour), End: now.Add(2 * time.Hour)}, NewJob{}, "has no run to come"},
		{"s", hourly, NewJob{Options: JobOptions{ID: "x"}}, "template: an option that belongs to one job only"},
		{"s", hourly, NewJob{Options: JobOptions{Delay: 1}}, "template: an option that belongs to one job only"},
		{"s", hourly, NewJob{Options: JobOptions{Priority: -1}}, "template: priority -1"},
		{"s", hourly, NewJob{Data: func() {}}, "template: data: encode func()"},
	} {
		_, err := q.UpsertScheduler(t.Context(), test.id, test.repeat, test.template)
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%.40q, %+v: %v, not %q", test.id, test.repeat, err, test.want)
		}
	}
	if left := scan(t, q); len(left) != 0 {
		t.Errorf("left %q", left)
	}
}
