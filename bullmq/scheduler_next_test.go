package bullmq

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/rueidis"
)

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
			first := upsert(t, q, "s", Repeat{Every: 500 * time.Millisecond, Limit: 4}, NewJob{Options: JobOptions{Attempts: 2}})
			w := work(t, q, WorkerConfig{DrainDelay: time.Minute}, func(_ context.Context, job *Job) (any, error) { return nil, handle(job) })
			start := ms(t, strings.TrimPrefix(first.ID, "repeat:s:"))
			state := map[string]string{"completing": " completed", "failing": " failed"}[name]
			var last string
			for i := range int64(4) {
				last = "repeat:s:" + strconv.FormatInt(start+500*i, 10)
				eventually(t, last+state, func() bool { return w.ends.has(last + state) })
				var opts struct{ Repeat struct{ Count, Every int } }
				json.Unmarshal([]byte(hash(t, q, last)["opts"]), &opts)
				if opts.Repeat.Count != int(i)+1 || opts.Repeat.Every != 500 {
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

// A schedule that cannot be gone on with does not keep its job from running, and does not run wild.
func TestSchedulerThatCannotGoOn(t *testing.T) {
	t.Parallel()
	for name, damage := range map[string]func(*testing.T, *Queue){
		"pattern":            func(t *testing.T, q *Queue) { do(t, q, "HSET", "P:repeat:s", "pattern", "no pattern") },
		"zone":               func(t *testing.T, q *Queue) { do(t, q, "HSET", "P:repeat:s", "pattern", "* * * * *", "tz", "no zone") },
		"no interval":        func(t *testing.T, q *Queue) { do(t, q, "HSET", "P:repeat:s", "every", "0") },
		"a short interval":   func(t *testing.T, q *Queue) { do(t, q, "HSET", "P:repeat:s", "every", "0.5") },
		"a negative one":     func(t *testing.T, q *Queue) { do(t, q, "HSET", "P:repeat:s", "every", "-1000") },
		"no number":          func(t *testing.T, q *Queue) { do(t, q, "HSET", "P:repeat:s", "every", "often") },
		"a text for a hash":  func(t *testing.T, q *Queue) { do(t, q, "SET", "P:repeat:s", "x") },
		"a text for the set": func(t *testing.T, q *Queue) { do(t, q, "SET", "P:repeat", "x") },
		"its end":            func(t *testing.T, q *Queue) { do(t, q, "HSET", "P:repeat:s", "endDate", "1") },
		"its removal":        func(t *testing.T, q *Queue) { do(t, q, "DEL", "P:repeat:s", "P:repeat") },
		"another run":        func(t *testing.T, q *Queue) { do(t, q, "ZADD", "P:repeat", "500.5", "s") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			q := newQueue(t, QueueConfig{})
			first := upsert(t, q, "s", Repeat{Every: time.Hour}, NewJob{})
			damage(t, q)
			w := work(t, q, WorkerConfig{}, nothing)
			eventually(t, "the run", func() bool { return w.ends.has(first.ID + " completed") })
			if counts, err := q.Counts(t.Context(), StateWaiting, StateDelayed, StateActive); err != nil || counts[StateWaiting]+counts[StateDelayed]+counts[StateActive] != 0 {
				t.Errorf("jobs are left: %v, %v", counts, err)
			}
		})
	}
}

// What is damaged besides the schedule does not end it.
func TestSchedulerThatGoesOn(t *testing.T) {
	t.Parallel()
	for name, damage := range map[string]func(t *testing.T, q *Queue, id string){
		"no count":   func(t *testing.T, q *Queue, _ string) { do(t, q, "HSET", "P:repeat:s", "ic", "x") },
		"no options": func(t *testing.T, q *Queue, id string) { do(t, q, "HSET", "P:"+id, "opts", "{{") },
		"odd options": func(t *testing.T, q *Queue, id string) {
			do(t, q, "HSET", "P:"+id, "opts", `{"repeat":[],"repeatJobKey":null}`)
		},
		"no name or data": func(t *testing.T, q *Queue, _ string) { do(t, q, "HDEL", "P:repeat:s", "name", "data") },
		"it will fail":    func(t *testing.T, q *Queue, id string) { do(t, q, "HSET", "P:"+id, "defa", "gone") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			q := newQueue(t, QueueConfig{})
			first := upsert(t, q, "s", Repeat{Every: time.Hour}, NewJob{Name: "n", Data: []int{1}})
			damage(t, q, first.ID)
			w := work(t, q, WorkerConfig{}, nothing)
			eventually(t, "the run", func() bool { return w.ends.count() == 1 })
			if next := members(t, q, "delayed"); len(next) != 1 {
				t.Fatalf("next %v", next)
			}
			next := runID("s", time.UnixMilli(members(t, q, "repeat")["s"]))
			wantFields(t, q, next, map[string]string{"name": "n", "data": "[1]", "rjk": "s"})
			if opts := hash(t, q, next)["opts"]; !json.Valid([]byte(opts)) {
				t.Errorf("options %s", opts)
			}
		})
	}
}

// A repeatable job of BullMQ 5, not made by a scheduler, stored as 5.66.0 was seen to: its limit, its zone and its data
// are with the job only.
func TestRepeatableJobOfOld(t *testing.T) {
	t.Parallel()
	q := newQueue(t, QueueConfig{})
	const at = 1795485600000 // in the past, or at least due
	legacy := "92dbb12d79cf92c4d8288039e8dd5463"
	id := "repeat:" + legacy + ":" + strconv.Itoa(at)
	do(t, q, "HSET", "P:repeat:"+legacy, "name", "legc", "pattern", "0 0 3 * * *")
	do(t, q, "ZADD", "P:repeat", strconv.Itoa(at), legacy)
	do(t, q, "HSET", "P:"+id, "name", "legc", "data", `{"b":1}`, "rjk", legacy, "timestamp", "1795460001186", "delay", "0", "priority", "0",
		"opts", `{"prevMillis":1795485600000,"timestamp":1795460001186,"jobId":"`+id+`","repeat":{"count":1,"limit":2,"utc":true,"pattern":"0 0 3 * * *"},"delay":25598814,"attempts":0}`)
	do(t, q, "LPUSH", "P:wait", id)
	w := work(t, q, WorkerConfig{}, nothing)
	eventually(t, "the run", func() bool { return w.ends.has(id + " completed") })

	next := members(t, q, "repeat")[legacy]
	if due := time.UnixMilli(next).UTC(); due.Format(time.TimeOnly) != "03:00:00" || next <= at {
		t.Errorf("next run %s", due)
	}
	second := "repeat:" + legacy + ":" + strconv.FormatInt(next, 10)
	wantStored(t, q, "repeat:"+legacy, map[string]string{"name": "legc", "pattern": "0 0 3 * * *", "ic": "1", "data": `{"b":1}`})
	made := hash(t, q, second)
	wantStored(t, q, second, map[string]string{
		"name": "legc", "data": `{"b":1}`, "rjk": legacy, "timestamp": made["timestamp"], "delay": made["delay"], "priority": "0",
		"opts": `{"repeat":{"count":2,"limit":2,"utc":true,"pattern":"0 0 3 * * *"},"prevMillis":` + strconv.FormatInt(next, 10) +
			`,"repeatJobKey":"` + legacy + `","jobId":"` + second + `","timestamp":` + made["timestamp"] + `,"delay":` + made["delay"] + `,"attempts":0}`,
	})

	if err := q.Promote(t.Context(), second); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the second run", func() bool { return w.ends.has(second + " completed") })
	if left := members(t, q, "delayed"); len(left) != 0 {
		t.Errorf("there is a third run: %v", left)
	}
}

// awayClient does not reach Redis with what only schedules ask, while it is away.
type awayClient struct {
	rueidis.Client
	away  atomic.Bool
	asked atomic.Int64
}

func (c *awayClient) DoMulti(ctx context.Context, commands ...rueidis.Completed) []rueidis.RedisResult {
	c.asked.Add(1)
	if c.away.Load() {
		ended, end := context.WithCancel(ctx)
		end()
		ctx = ended
	}
	return c.Client.DoMulti(ctx, commands...)
}

// away returns a queue, and the same with a client that is away.
func away(t *testing.T) (q, cut *Queue, client *awayClient) {
	t.Helper()
	q = newQueue(t, QueueConfig{})
	client = &awayClient{Client: q.client}
	client.away.Store(true)
	cut, err := NewQueue(client, q.name, q.config)
	if err != nil {
		t.Fatal(err)
	}
	return q, cut, client
}

// While the next run cannot be made its job runs nevertheless. It does not end before there is one.
func TestScheduleWhileRedisIsAway(t *testing.T) {
	t.Parallel()
	q, cut, client := away(t)
	first := upsert(t, q, "s", Repeat{Every: time.Hour}, NewJob{})
	began, release := make(chan struct{}), make(chan struct{})
	w := work(t, cut, WorkerConfig{}, func(context.Context, *Job) (any, error) { close(began); <-release; return nil, nil })
	<-began
	close(release)
	asked := client.asked.Load()
	eventually(t, "two more tries", func() bool { return client.asked.Load() >= asked+2 })
	if n := w.ends.count(); n != 0 || len(members(t, q, "delayed")) != 0 {
		t.Errorf("%d jobs have ended", n)
	}
	client.away.Store(false)
	eventually(t, "the end", func() bool { return w.ends.has(first.ID + " completed") })
	if next := members(t, q, "delayed"); len(next) != 1 {
		t.Errorf("delayed %v", next)
	}
	wantFields(t, q, "repeat:s", map[string]string{"ic": "2"})
}

// A worker that stops without having made the next run gives its job back. The one that starts it again makes it.
func TestScheduleAfterRedisWasAway(t *testing.T) {
	t.Parallel()
	q, cut, _ := away(t)
	first := upsert(t, q, "s", Repeat{Every: time.Hour}, NewJob{})
	began := make(chan struct{})
	w := work(t, cut, WorkerConfig{Grace: -1}, func(context.Context, *Job) (any, error) { close(began); return nil, nil })
	<-began
	w.stop()
	wantFields(t, q, first.ID, map[string]string{"ats": "1", "atm": "-", "finishedOn": "-"})
	wantFields(t, q, "repeat:s", map[string]string{"ic": "1"})
	wantAtRest(t, q)

	w = work(t, q, WorkerConfig{}, nothing)
	eventually(t, "the second start", func() bool { return w.ends.has(first.ID + " completed") })
	if next := members(t, q, "delayed"); len(next) != 1 {
		t.Errorf("delayed %v", next)
	}
}

// A server that has no memory left for a while has not ended the schedule.
func TestScheduleWhileRedisIsFull(t *testing.T) {
	t.Parallel()
	r := startOwnRedis(t)
	q := own(t, r.addr())
	limit := func(bytes string) { do(t, q, "CONFIG", "SET", "maxmemory", bytes) }
	first := upsert(t, q, "s", Repeat{Every: time.Hour}, NewJob{})
	full := &fullClient{Client: q.client, fill: func() { limit("1") }}
	cut, err := NewQueue(full, q.name, q.config)
	if err != nil {
		t.Fatal(err)
	}
	w := work(t, cut, WorkerConfig{}, func(context.Context, *Job) (any, error) { limit("0"); return nil, nil })
	eventually(t, "the end", func() bool { return w.ends.has(first.ID + " completed") })
	if next := members(t, q, "delayed"); len(next) != 1 {
		t.Errorf("delayed %v", next)
	}
}

// fullClient fills Redis as soon as a schedule is read for the first time.
type fullClient struct {
	rueidis.Client
	filled atomic.Bool
	fill   func()
}

func (c *fullClient) DoMulti(ctx context.Context, commands ...rueidis.Completed) []rueidis.RedisResult {
	replies := c.Client.DoMulti(ctx, commands...)
	if c.filled.CompareAndSwap(false, true) {
		c.fill()
	}
	return replies
}

// A job of a schedule that has stalled is started again as often as it takes.
func TestScheduleWhoseWorkersDie(t *testing.T) {
	t.Parallel()
	q := newQueue(t, QueueConfig{})
	first := upsert(t, q, "s", Repeat{Every: time.Hour}, NewJob{})
	if steal(t, q) != first.ID {
		t.Fatal("another job")
	}
	do(t, q, "HSET", "P:"+first.ID, "stc", "7")
	w := work(t, q, WorkerConfig{StalledEvery: 100 * time.Millisecond}, nothing)
	eventually(t, "the end", func() bool { return w.ends.has(first.ID + " completed") })
	if next := members(t, q, "delayed"); len(next) != 1 {
		t.Errorf("delayed %v", next)
	}
	wantFields(t, q, first.ID, map[string]string{"stc": "8"})
}

func TestHopeless(t *testing.T) {
	t.Parallel()
	q := newQueue(t, QueueConfig{})
	for text, want := range map[string]bool{
		"WRONGTYPE Operation against a key holding the wrong kind of value": true,
		"ERR hash value is not an integer":                                  true,
		"OOM command not allowed when used memory > 'maxmemory'.":           false,
		"ERR Error running script (call to f_1): @user_script:12: @user_script: 12: -OOM command not allowed when used memory > 'maxmemory'.": false,
		"READONLY You can't write against a read only replica.":                                                                               false,
		"LOADING Redis is loading the dataset in memory":                                                                                      false,
	} {
		err := q.client.Do(t.Context(), q.client.B().Eval().Script("return redis.error_reply(ARGV[1])").Numkeys(0).Arg(text).Build()).Error()
		if _, is := rueidis.IsRedisErr(err); !is {
			t.Fatalf("%q became %v", text, err)
		}
		if got := hopeless(fmt.Errorf("wrapped: %w", err)); got != want {
			t.Errorf("%q: %t", text, got)
		}
	}
	if hopeless(context.DeadlineExceeded) || hopeless(rueidis.ErrClosing) {
		t.Error("no answer is no hope")
	}
	if !hopeless(fmt.Errorf("wrapped: %w", errNoNextRun)) {
		t.Error("a schedule without a next run has hope")
	}
}
