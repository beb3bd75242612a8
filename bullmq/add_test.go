package bullmq

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/redis/rueidis"
)

// dump returns all that a queue has in Redis but its events, by the name of the key behind the prefix, in words that are
// the same each time: what is a time within an hour of now is T with what is to be added in minutes.
func dump(t testing.TB, q *Queue) map[string]string {
	t.Helper()
	all := make(map[string]string)
	for _, name := range scan(t, q) {
		key := "P:" + name
		var v string
		switch kind, _ := do(t, q, "TYPE", key).ToString(); kind {
		case "string":
			v, _ = do(t, q, "GET", key).ToString()
			if ttl, _ := do(t, q, "PTTL", key).AsInt64(); ttl >= 0 {
				v += " for " + (time.Duration(ttl) * time.Millisecond).Round(time.Minute).String()
			}
		case "list":
			list, _ := do(t, q, "LRANGE", key, "0", "-1").AsStrSlice()
			v = strings.Join(list, " ")
		case "set":
			set, _ := do(t, q, "SMEMBERS", key).AsStrSlice()
			slices.Sort(set)
			v = strings.Join(set, " ")
		case "zset":
			set, _ := do(t, q, "ZRANGE", key, "0", "-1", "WITHSCORES").AsZScores()
			for _, m := range set {
				score := m.Score
				if name == keyDelayed {
					score /= 4096
				}
				v += fmt.Sprintf("%s=%s ", m.Member, timeless(fmt.Sprintf("%.0f", score)))
			}
		case "hash":
			hash, _ := do(t, q, "HGETALL", key).AsStrMap()
			for _, field := range slices.Sorted(maps.Keys(hash)) {
				v += fmt.Sprintf("%s=%s ", field, timeless(hash[field]))
			}
		default:
			continue
		}
		all[strings.Replace(name, q.keys.prefix, "P:", 1)] = strings.ReplaceAll(strings.TrimSuffix(v, " "), q.keys.prefix, "P:")
	}
	return all
}

// scan returns the names of a queue's keys behind the prefix.
func scan(t testing.TB, q *Queue) []string {
	t.Helper()
	names, err := do(t, q, "KEYS", "P:*").AsStrSlice()
	if err != nil {
		t.Fatal(err)
	}
	for i := range names {
		names[i] = strings.TrimPrefix(names[i], q.keys.prefix)
	}
	return names
}

// timeless returns T and minutes for a time in ms.
func timeless(s string) string {
	f, ok := number(s)
	since := time.Duration(f)*time.Millisecond - time.Duration(time.Now().UnixMilli())*time.Millisecond
	if !ok || since < -time.Hour || since > time.Hour {
		return s
	}
	if n := int(since.Round(time.Minute) / time.Minute); n != 0 {
		return fmt.Sprintf("T%+d", n)
	}
	return "T"
}

// events returns the events of a queue, each as its fields' values.
func events(t testing.TB, q *Queue) []string {
	t.Helper()
	entries, err := do(t, q, "XRANGE", "P:events", "-", "+").AsXRange()
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, e := range entries {
		line := e.FieldValues["event"]
		for _, field := range []string{"jobId", "name", "delay", "prev", "deduplicationId", "deduplicatedJobId", "data", "count"} {
			if v, has := e.FieldValues[field]; has {
				line += " " + timeless(v)
			}
		}
		all = append(all, line)
	}
	return all
}

// expect compares all that a queue has in Redis.
func expect(t testing.TB, q *Queue, keys map[string]string, happened ...string) {
	t.Helper()
	if _, has := keys[keyMeta]; !has {
		keys[keyMeta] = "opts.maxLenEvents=10000"
	}
	if diff := cmp.Diff(keys, dump(t, q)); diff != "" {
		t.Errorf("keys (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(happened, events(t, q)); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
}

func mustAdd(t testing.TB, q *Queue, data any, opts JobOptions) *Job {
	t.Helper()
	job, err := q.Add(t.Context(), "a", data, opts)
	if err != nil {
		t.Fatal(err)
	}
	return job
}

// What Redis holds after an addition, and the events, are those that BullMQ 6.7 has made of the same.
func TestAdd(t *testing.T) {
	t.Parallel()
	dedup := func(o JobOptions, d Deduplication) JobOptions {
		d.ID = "d"
		o.Deduplication = &d
		return o
	}
	const hash = "data=1 delay=0 name=a opts=%s priority=0 timestamp=T"
	waiting := fmt.Sprintf(hash, `{"attempts":0}`)
	hit := "deduplicated 1 d 2"
	min5, min7, min9 := 5*time.Minute, 7*time.Minute, 9*time.Minute
	tests := []struct {
		name   string
		before func(*testing.T, *Queue)
		opts   []JobOptions
		ids    string
		keys   map[string]string
		events []string
	}{
		{
			name: "standard",
			opts: []JobOptions{{Attempts: 3, Backoff: Fixed(time.Second), RemoveOnComplete: &Keep{Age: 10 * time.Second, Count: 5}, KeepLogs: 3}},
			ids:  "1",
			keys: map[string]string{
				"1":  fmt.Sprintf(hash, `{"attempts":3,"backoff":{"type":"fixed","delay":1000},"removeOnComplete":{"age":10,"count":5},"kl":3}`),
				"id": "1", "wait": "1", "marker": "0=0",
			},
			events: []string{"added 1 a", "waiting 1"},
		},
		{
			name: "delayed", opts: []JobOptions{{Delay: min5}, {Delay: min5}, {Delay: min7, Timestamp: time.Now().Add(-min5)}}, ids: "1 2 3",
			keys: map[string]string{
				"1":  "data=1 delay=300000 name=a opts={\"attempts\":0,\"delay\":300000} priority=0 timestamp=T",
				"2":  "data=1 delay=300000 name=a opts={\"attempts\":0,\"delay\":300000} priority=0 timestamp=T",
				"3":  "data=1 delay=420000 name=a opts={\"attempts\":0,\"delay\":420000,\"timestamp\":*} priority=0 timestamp=T-5",
				"id": "3", "delayed": "3=T+2 1=T+5 2=T+5", "marker": "1=T+2",
			},
			events: []string{"added 1 a", "delayed 1 T+5", "added 2 a", "delayed 2 T+5", "added 3 a", "delayed 3 T+2"},
		},
		{
			name: "prioritized", opts: []JobOptions{{Priority: 7, LIFO: true}, {Priority: 7}, {Priority: 1}}, ids: "1 2 3",
			keys: map[string]string{
				"1": `data=1 delay=0 name=a opts={"attempts":0,"priority":7,"lifo":true} priority=7 timestamp=T`,
				"2": `data=1 delay=0 name=a opts={"attempts":0,"priority":7} priority=7 timestamp=T`,
				"3": `data=1 delay=0 name=a opts={"attempts":0,"priority":1} priority=1 timestamp=T`, "id": "3", "pc": "3",
				"prioritized": "3=4294967299 1=30064771073 2=30064771074", "marker": "0=0",
			},
			events: []string{"added 1 a", "waiting 1", "added 2 a", "waiting 2", "added 3 a", "waiting 3"},
		},
		{
			name: "lifo between", opts: []JobOptions{{}, {LIFO: true}, {ID: "x"}, {}}, ids: "1 2 x 4",
			keys: map[string]string{
				"1": waiting, "2": fmt.Sprintf(hash, `{"attempts":0,"lifo":true}`), "x": fmt.Sprintf(hash, `{"attempts":0,"jobId":"x"}`),
				"4": waiting, "id": "4", "wait": "4 x 1 2", "marker": "0=0",
			},
			events: []string{"added 1 a", "waiting 1", "added 2 a", "waiting 2", "added x a", "waiting x", "added 4 a", "waiting 4"},
		},
		{
			name: "own ids twice", opts: []JobOptions{{ID: "x"}, {ID: "y"}, {ID: "x"}, {ID: "x", Delay: min5}, {ID: "z"}, {ID: "y"}},
			ids: "x y x! x! z y!",
			keys: map[string]string{
				"x": fmt.Sprintf(hash, `{"attempts":0,"jobId":"x"}`), "y": fmt.Sprintf(hash, `{"attempts":0,"jobId":"y"}`),
				"z": fmt.Sprintf(hash, `{"attempts":0,"jobId":"z"}`), "id": "6", "wait": "z y x", "marker": "0=0",
			},
			events: []string{
				"added x a", "waiting x", "added y a", "waiting y", "duplicated x", "duplicated x", "added z a", "waiting z", "duplicated y",
			},
		},
		{
			name:   "paused",
			before: func(t *testing.T, q *Queue) { do(t, q, "HSET", "P:meta", "paused", "1") },
			opts:   []JobOptions{{}}, ids: "1",
			keys: map[string]string{
				"1": waiting, "id": "1", "wait": "1", "meta": "opts.maxLenEvents=10000 paused=1",
			},
			events: []string{"added 1 a", "waiting 1"},
		},
		{
			name:   "paused by BullMQ 5",
			before: func(t *testing.T, q *Queue) { do(t, q, "HSET", "P:meta", "paused", "1", "version", "bullmq:5.66.0") },
			opts:   []JobOptions{{}}, ids: "1",
			keys: map[string]string{
				"1": waiting, "id": "1", "paused": "1", "meta": "opts.maxLenEvents=10000 paused=1 version=bullmq:5.66.0",
			},
			events: []string{"added 1 a", "waiting 1"},
		},
		{
			name: "all busy",
			before: func(t *testing.T, q *Queue) {
				do(t, q, "HSET", "P:meta", "concurrency", "1")
				do(t, q, "LPUSH", "P:active", "0")
			},
			opts: []JobOptions{{}}, ids: "1",
			keys: map[string]string{
				"1": waiting, "id": "1", "wait": "1", "active": "0", "meta": "concurrency=1 opts.maxLenEvents=10000",
			},
			events: []string{"added 1 a", "waiting 1"},
		},
		{
			name: "deduplicated", opts: []JobOptions{dedup(JobOptions{}, Deduplication{}), dedup(JobOptions{}, Deduplication{})}, ids: "1 1!",
			keys: map[string]string{
				"1":  "data=1 deid=d delay=0 name=a opts={\"attempts\":0,\"de\":{\"id\":\"d\"}} priority=0 timestamp=T",
				"id": "2", "wait": "1", "marker": "0=0", "de:d": "1",
			},
			events: []string{"added 1 a", "waiting 1", hit},
		},
		{
			name: "deduplicated for a time", opts: []JobOptions{dedup(JobOptions{}, Deduplication{TTL: min5}), dedup(JobOptions{}, Deduplication{TTL: min9})}, ids: "1 1!",
			keys: map[string]string{
				"1":  "data=1 deid=d delay=0 name=a opts={\"attempts\":0,\"de\":{\"id\":\"d\",\"ttl\":300000}} priority=0 timestamp=T",
				"id": "2", "wait": "1", "marker": "0=0", "de:d": "1 for 5m0s",
			},
			events: []string{"added 1 a", "waiting 1", hit},
		},
		{
			name: "deduplicated for a longer time",
			opts: []JobOptions{dedup(JobOptions{}, Deduplication{TTL: min5}), dedup(JobOptions{}, Deduplication{TTL: min9, Extend: true})}, ids: "1 1!",
			keys: map[string]string{
				"1":  "data=1 deid=d delay=0 name=a opts={\"attempts\":0,\"de\":{\"id\":\"d\",\"ttl\":300000}} priority=0 timestamp=T",
				"id": "2", "wait": "1", "marker": "0=0", "de:d": "1 for 9m0s",
			},
			events: []string{"added 1 a", "waiting 1", hit},
		},
		{
			name: "replaced while delayed",
			opts: []JobOptions{
				dedup(JobOptions{Delay: min5}, Deduplication{TTL: min5}), dedup(JobOptions{Delay: min7}, Deduplication{TTL: min9, Replace: true}),
				dedup(JobOptions{Delay: min9}, Deduplication{TTL: min9, Replace: true, Extend: true}),
			},
			ids: "1 2 3",
			keys: map[string]string{
				"3":  `data=1 deid=d delay=540000 name=a opts={"attempts":0,"delay":540000,"de":{"id":"d","ttl":540000,"extend":true,"replace":true}} priority=0 timestamp=T`,
				"id": "3", "delayed": "3=T+9", "marker": "1=T+9", "de:d": "3 for 9m0s",
			},
			events: []string{
				"added 1 a", "delayed 1 T+5", "removed 1 delayed", "deduplicated 2 d 1", "added 2 a", "delayed 2 T+7",
				"removed 2 delayed", "deduplicated 3 d 2", "added 3 a", "delayed 3 T+9",
			},
		},
		{
			name: "replaced keeping the time",
			opts: []JobOptions{dedup(JobOptions{Delay: min5}, Deduplication{TTL: min5}), dedup(JobOptions{Delay: min7}, Deduplication{TTL: min9, Replace: true})},
			ids:  "1 2",
			keys: map[string]string{
				"2":  `data=1 deid=d delay=420000 name=a opts={"attempts":0,"delay":420000,"de":{"id":"d","ttl":540000,"replace":true}} priority=0 timestamp=T`,
				"id": "2", "delayed": "2=T+7", "marker": "1=T+7", "de:d": "2 for 5m0s",
			},
			events: []string{"added 1 a", "delayed 1 T+5", "removed 1 delayed", "deduplicated 2 d 1", "added 2 a", "delayed 2 T+7"},
		},
		{
			name: "not replaced while waiting",
			opts: []JobOptions{dedup(JobOptions{}, Deduplication{TTL: min5}), dedup(JobOptions{Delay: min7}, Deduplication{TTL: min9, Replace: true, Extend: true})},
			ids:  "1 1!",
			keys: map[string]string{
				"1":  "data=1 deid=d delay=0 name=a opts={\"attempts\":0,\"de\":{\"id\":\"d\",\"ttl\":300000}} priority=0 timestamp=T",
				"id": "2", "wait": "1", "marker": "0=0", "de:d": "1 for 5m0s",
			},
			events: []string{"added 1 a", "waiting 1"},
		},
		{
			name: "rescheduled",
			opts: []JobOptions{dedup(JobOptions{Delay: min5}, Deduplication{}), dedup(JobOptions{Delay: min7}, Deduplication{RescheduleDelayed: true})},
			ids:  "1 1!",
			keys: map[string]string{
				"1":  "data=1 deid=d delay=420000 name=a opts={\"attempts\":0,\"delay\":300000,\"de\":{\"id\":\"d\"}} priority=0 timestamp=T",
				"id": "2", "delayed": "1=T+7", "marker": "1=T+7", "de:d": "1",
			},
			events: []string{"added 1 a", "delayed 1 T+5", hit, "delayed 1 T+7"},
		},
		{
			name: "kept back while active",
			before: func(t *testing.T, q *Queue) {
				store(t, q, "old")
				do(t, q, "LPUSH", "P:active", "old")
				do(t, q, "SET", "P:de:d", "old", "EX", "300")
			},
			opts: []JobOptions{
				dedup(JobOptions{ID: "x", Attempts: 2}, Deduplication{KeepLastIfActive: true, TTL: min9}),
				dedup(JobOptions{}, Deduplication{KeepLastIfActive: true}),
			},
			ids: "old! old!",
			keys: map[string]string{
				"old": "data={} name=n opts={} timestamp=1", "active": "old", "id": "2", "de:d": "old",
				"dn:d": `data=1 jid=2 name=a opts={"attempts":0,"de":{"id":"d","keepLastIfActive":true}}`,
			},
			events: []string{"deduplicated old d x", "deduplicated old d 2"},
		},
		{
			name: "not kept back while waiting",
			opts: []JobOptions{
				dedup(JobOptions{}, Deduplication{KeepLastIfActive: true, TTL: min5}), dedup(JobOptions{}, Deduplication{KeepLastIfActive: true, TTL: min9, Extend: true}),
			},
			ids: "1 1!",
			keys: map[string]string{
				"1":  `data=1 deid=d delay=0 name=a opts={"attempts":0,"de":{"id":"d","ttl":300000,"keepLastIfActive":true}} priority=0 timestamp=T`,
				"id": "2", "wait": "1", "marker": "0=0", "de:d": "1",
			},
			events: []string{"added 1 a", "waiting 1", hit},
		},
		{
			name:   "deduplication of a job that is gone",
			before: func(t *testing.T, q *Queue) { do(t, q, "SET", "P:de:d", "gone") },
			opts:   []JobOptions{dedup(JobOptions{}, Deduplication{})}, ids: "1",
			keys: map[string]string{
				"1":  "data=1 deid=d delay=0 name=a opts={\"attempts\":0,\"de\":{\"id\":\"d\"}} priority=0 timestamp=T",
				"id": "1", "wait": "1", "marker": "0=0", "de:d": "1",
			},
			events: []string{"added 1 a", "waiting 1"},
		},
		{
			name:   "deduplication for a time after a job that is gone",
			before: func(t *testing.T, q *Queue) { do(t, q, "SET", "P:de:d", "gone", "EX", "300") },
			opts:   []JobOptions{dedup(JobOptions{}, Deduplication{TTL: min9})}, ids: "gone!",
			keys:   map[string]string{"id": "1", "de:d": "gone for 5m0s"},
			events: []string{"deduplicated gone d 1"},
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) { // at once: the table has times
			q := newQueue(t, QueueConfig{})
			if test.before != nil {
				test.before(t, q)
			}
			var ids []string
			for _, o := range test.opts {
				job := mustAdd(t, q, 1, o)
				if job.Existing {
					job.ID += "!"
				}
				ids = append(ids, job.ID)
			}
			if got := strings.Join(ids, " "); got != test.ids {
				t.Errorf("ids %s, want %s", got, test.ids)
			}
			for name, want := range test.keys { // a time among the options
				if before, after, cut := strings.Cut(want, "*"); cut {
					got := dump(t, q)[name]
					if !strings.HasPrefix(got, before) || !strings.HasSuffix(got, after) {
						t.Errorf("%s is %s, want %s", name, got, want)
					}
					test.keys[name] = got
				}
			}
			expect(t, q, test.keys, test.events...)

			// All at once, and in one script call, comes to the same.
			bulk := newQueue(t, QueueConfig{Prefix: q.config.Prefix + "-bulk"})
			if test.before != nil {
				test.before(t, bulk)
			}
			var jobs []NewJob
			for _, o := range test.opts {
				jobs = append(jobs, NewJob{"a", 1, o})
			}
			if _, err := bulk.AddBulk(t.Context(), jobs); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(dump(t, q), dump(t, bulk)); diff != "" {
				t.Errorf("keys, one by one (-) and in bulk (+):\n%s", diff)
			}
			expect(t, bulk, dump(t, bulk), test.events...)
		})
	}
}

func TestAddChild(t *testing.T) {
	t.Parallel()
	q := newQueue(t, QueueConfig{})
	own := strings.TrimSuffix(q.keys.prefix, ":")
	child := func(id, parent string) JobOptions {
		return JobOptions{ID: id, Parent: &Parent{ID: parent, Queue: own}, OnFailure: ParentFails}
	}
	store(t, q, "p1")
	store(t, q, "p2")
	do(t, q, "ZADD", "P:waiting-children", "1", "p1", "1", "p2")
	store(t, q, "done", "returnvalue", "[7]", "parentKey", q.keys.of("gone"))
	do(t, q, "ZADD", "P:completed", "1", "done")

	job := mustAdd(t, q, 1, child("k", "p1"))
	if job.ParentKey != q.keys.of("p1") {
		t.Errorf("parent key %q", job.ParentKey)
	}
	if !mustAdd(t, q, 1, child("k", "p1")).Existing {
		t.Error("a child was added twice")
	}
	if !mustAdd(t, q, 1, child("done", "p2")).Existing {
		t.Error("a finished job was added again")
	}
	if _, err := q.Add(t.Context(), "a", 1, child("k", "p2")); !errors.Is(err, ErrParentTaken) {
		t.Errorf("another parent: %v", err)
	}
	if _, err := q.Add(t.Context(), "a", 1, child("x", "gone")); !errors.Is(err, ErrParentNotFound) {
		t.Errorf("no parent: %v", err)
	}
	parent := func(id string) string {
		return `parent={"id":"` + id + `","queueKey":"` + own + `","fpof":true} parentKey=P:` + id
	}
	expect(t, q, map[string]string{
		"id": "5", "marker": "0=0", "wait": "k p2", "waiting-children": "p1=1", "completed": "done=1",
		"p1": "data={} name=n opts={} timestamp=1", "p1:dependencies": "P:k",
		"p2": "data={} name=n opts={} timestamp=1", "p2:processed": "P:done=[7]",
		"k":    `data=1 delay=0 name=a opts={"attempts":0,"jobId":"k","parent":{"id":"p1","queue":"` + own + `"},"fpof":true} ` + parent("p1") + ` priority=0 timestamp=T`,
		"done": "data={} name=n opts={} " + parent("p2") + " returnvalue=[7] timestamp=1",
	}, "added k a", "waiting k", "duplicated k", "waiting p2 waiting-children", "duplicated done")
}

// One bad job in a batch leaves the others alone, and those that are known to be bad are not sent.
func TestAddBulkErrors(t *testing.T) {
	t.Parallel()
	q := newQueue(t, QueueConfig{BatchSize: 2})
	orphan := JobOptions{Parent: &Parent{ID: "p", Queue: "bull:mail"}}
	jobs, err := q.AddBulk(t.Context(), []NewJob{{"a", 1, JobOptions{}}, {"b", 1, orphan}, {"c", json.RawMessage(" [1,\n2]"), JobOptions{}}})
	var bulk *BulkError
	if !errors.As(err, &bulk) || len(bulk.Errors) != 3 || !errors.Is(bulk.Errors[1], ErrParentNotFound) || bulk.Errors[0] != nil || bulk.Errors[2] != nil {
		t.Errorf("error %v", err)
	}
	if !errors.Is(err, ErrParentNotFound) {
		t.Errorf("%v does not wrap what happened to the job", err)
	}
	if jobs[0].ID != "1" || jobs[1] != nil || jobs[2].ID != "3" {
		t.Errorf("jobs %+v", jobs)
	}
	if job := mustJob(t, q, "3"); string(job.Data) != " [1,\n2]" || job.Name != "c" {
		t.Errorf("stored as %+v", job)
	}
	jobs, err = q.AddBulk(t.Context(), []NewJob{{"a", 1, JobOptions{}}, {"", 1, JobOptions{}}})
	if !errors.As(err, &bulk) || bulk.Errors[0] != nil || bulk.Errors[1] == nil || jobs[0] != nil {
		t.Errorf("with a bad one: %v, %v", jobs, err)
	}
	if jobs, err := q.AddBulk(t.Context(), nil); err != nil || len(jobs) != 0 {
		t.Errorf("nothing: %v, %v", jobs, err)
	}
	if n, err := q.Count(t.Context()); err != nil || n != 2 {
		t.Errorf("%d jobs, %v", n, err)
	}
}

func TestAddRefused(t *testing.T) {
	t.Parallel()
	q := newQueue(t, QueueConfig{})
	tests := []struct {
		name string
		data any
		opts JobOptions
		want string
	}{
		{"", 1, JobOptions{}, "name"},
		{strings.Repeat("x", MaxName+1), 1, JobOptions{}, "name"},
		{"\xff", 1, JobOptions{}, "name"},
		{"a", func() {}, JobOptions{}, "data"},
		{"a", json.RawMessage("{"), JobOptions{}, "data"},
		{"a", json.RawMessage(""), JobOptions{}, "data"},
		{"a", "12345678", JobOptions{SizeLimit: 9}, "10 bytes as JSON are more than the size limit, 9"},
		{"a", 1, JobOptions{Priority: -1}, "priority"},
		{"a", 1, JobOptions{ID: "7"}, "integer"},
	}
	for _, test := range tests {
		if _, err := q.Add(t.Context(), test.name, test.data, test.opts); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%.10q, %v, %+v: %v, want %q", test.name, test.data, test.opts, err, test.want)
		}
	}
	if got := dump(t, q); len(got) != 0 {
		t.Errorf("something was sent: %v", got)
	}
}

// What is read back is what was added.
func TestAddedJob(t *testing.T) {
	t.Parallel()
	q := newQueue(t, QueueConfig{Defaults: JobOptions{Attempts: 4, RemoveOnFail: KeepLast(3)}, Telemetry: traceOf("00-abc")})
	added, err := q.Add(t.Context(), "näme", map[string]any{"html": "<b>&", "n": 12345678901234567}, JobOptions{
		ID: "id:ü:1", Attempts: 2, Delay: time.Hour, Priority: 3, Timestamp: time.UnixMilli(1795435105922), Backoff: Exponential(time.Second),
	})
	if err != nil {
		t.Fatal(err)
	}
	if want := `{"html":"<b>&","n":12345678901234567}`; string(added.Data) != want {
		t.Errorf("data %s, want %s", added.Data, want)
	}
	read := mustJob(t, q, "id:ü:1")
	if diff := cmp.Diff(added, read, cmp.AllowUnexported(keys{}), cmp.FilterPath(func(p cmp.Path) bool {
		return p.Last().String() == ".client"
	}, cmp.Ignore()), cmp.AllowUnexported(Job{})); diff != "" {
		t.Errorf("added (-) and read (+):\n%s", diff)
	}
	if o := read.Options; o.TelemetryMetadata != "00-abc" || o.Attempts != 2 || o.RemoveOnFail.Count != 3 {
		t.Errorf("options %+v", o)
	}
	if plain := mustAdd(t, q, nil, JobOptions{OmitContext: true}); string(plain.Data) != "{}" || plain.Options.TelemetryMetadata != "" {
		t.Errorf("without data and context: %+v", plain)
	}
}

type traceOf string

func (s traceOf) Inject(context.Context) string                         { return string(s) }
func (s traceOf) Extract(ctx context.Context, _ string) context.Context { return ctx }

// Concurrent calls each get their own job, whoever they share a script call with.
func TestAddConcurrently(t *testing.T) {
	t.Parallel()
	q := newQueue(t, QueueConfig{BatchSize: 7})
	const producers, each = 32, 50
	var wg sync.WaitGroup
	for p := range producers {
		wg.Go(func() {
			last := int64(0)
			for i := range each {
				data := p*each + i
				opts := JobOptions{Delay: time.Duration(i%3) * time.Hour, Priority: i % 5}
				if i%4 == 0 {
					opts.ID = fmt.Sprintf("own-%d", data)
				}
				job, err := q.Add(t.Context(), "a", data, opts)
				if err != nil {
					t.Error(err)
					return
				}
				if stored, err := q.Job(t.Context(), job.ID); err != nil || string(stored.Data) != fmt.Sprint(data) {
					t.Errorf("job %s holds %s, want %d, %v", job.ID, stored.Data, data, err)
				}
				if n, ok := number(job.ID); ok && opts.ID == "" {
					if int64(n) <= last {
						t.Errorf("id %s after %d", job.ID, last)
					}
					last = int64(n)
				}
			}
		})
	}
	wg.Wait()
	counts, err := q.Counts(t.Context())
	if err != nil || counts[StateWaiting]+counts[StateDelayed]+counts[StatePrioritized] != producers*each {
		t.Errorf("counts %v, %v", counts, err)
	}
}

// A caller who gives up before its job was sent has added nothing; one who gives up later is told that it may exist.
func TestAddGivenUp(t *testing.T) {
	t.Parallel()
	q := newQueue(t, QueueConfig{})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := q.Add(ctx, "a", 1, JobOptions{}); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	if n, err := q.Count(t.Context()); err != nil || n != 0 {
		t.Errorf("%d jobs, %v", n, err)
	}

	gate := &gateClient{Client: q.client, held: make(chan struct{}, 100), open: make(chan struct{})}
	q.client = gate
	results := make(chan error, 2)
	ctx, cancel = context.WithCancel(t.Context())
	for range maxAddCalls { // these are sent
		go func() { _, err := q.Add(ctx, "sent", 1, JobOptions{}); results <- err }()
		<-gate.held
	}
	unsent := make(chan error, 1)
	go func() { _, err := q.Add(ctx, "unsent", 1, JobOptions{}); unsent <- err }()
	other := make(chan error, 1)
	go func() { _, err := q.Add(t.Context(), "other", 1, JobOptions{}); other <- err }()
	waitFor(t, func() bool {
		q.adder.mu.Lock()
		defer q.adder.mu.Unlock()
		return len(q.adder.waiting) == 2
	})
	cancel()
	for range maxAddCalls {
		if err := <-results; !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "waiting for the answer") {
			t.Errorf("sent: %v", err)
		}
	}
	if err := <-unsent; !errors.Is(err, context.Canceled) || strings.Contains(err.Error(), "waiting for the answer") {
		t.Errorf("not sent: %v", err)
	}
	close(gate.open)
	if err := <-other; err != nil {
		t.Errorf("the other: %v", err)
	}
	q.Close()
	jobs, err := q.Jobs(t.Context(), Range{End: -1, Ascending: true})
	var names []string
	for _, job := range jobs {
		names = append(names, job.Name)
	}
	slices.Sort(names)
	if want := []string{"other", "sent", "sent"}; err != nil || !slices.Equal(names, want) {
		t.Errorf("jobs %q, want %q, %v", names, want, err)
	}
	if _, err := q.Add(t.Context(), "a", 1, JobOptions{}); !errors.Is(err, ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
}

// gateClient holds up every command until it is open.
type gateClient struct {
	rueidis.Client
	held, open chan struct{}
}

func (c *gateClient) Do(ctx context.Context, cmd rueidis.Completed) rueidis.RedisResult {
	select {
	case c.held <- struct{}{}:
	default:
	}
	<-c.open
	return c.Client.Do(ctx, cmd)
}

// waitFor polls until what should become true is.
func waitFor(t testing.TB, is func() bool) {
	t.Helper()
	ticker := time.NewTicker(time.Millisecond)
	defer ticker.Stop()
	for deadline := time.Now().Add(20 * time.Second); !is(); <-ticker.C {
		if time.Now().After(deadline) {
			t.Fatal("it does not become true")
		}
	}
}

// A batch ends before it is too long for one script call.
func TestBatch(t *testing.T) {
	t.Parallel()
	q := newQueue(t, QueueConfig{BatchSize: 3})
	sized := func(sizes ...int) (batch []*addition) {
		for _, size := range sizes {
			batch = append(batch, &addition{size: size})
		}
		return batch
	}
	for want, batch := range map[int][]*addition{
		0: nil,
		1: sized(maxBatchBytes+1, 1),
		2: sized(maxBatchBytes-1, 1, 1),
		3: sized(1, 1, 1, 1),
	} {
		if got := q.batch(batch); got != want {
			t.Errorf("batch of %d, want %d", got, want)
		}
	}
}

// Without Redis the error comes at once, and later calls work again.
func TestAddWithoutRedis(t *testing.T) {
	t.Parallel()
	var server redisServer
	client := connect(t, server.start(t))
	q, err := NewQueue(client, "mail", QueueConfig{})
	if err != nil {
		t.Fatal(err)
	}
	mustAdd(t, q, 1, JobOptions{})
	if err := server.stop(); err != nil {
		t.Fatal(err)
	}
	if _, err := q.Add(t.Context(), "a", 1, JobOptions{}); err == nil {
		t.Error("added without a server")
	}
	if _, err := q.AddBulk(t.Context(), []NewJob{{"a", 1, JobOptions{}}}); err == nil {
		t.Error("added without a server")
	}
}

// A parent does not wait for a child that another job has replaced.
func TestReplacedChild(t *testing.T) {
	t.Parallel()
	q := newQueue(t, QueueConfig{})
	own := strings.TrimSuffix(q.keys.prefix, ":")
	put(t, q, StateWaitingChildren, "1", "par")
	replaceable := JobOptions{ID: "kid", Delay: time.Hour, Deduplication: &Deduplication{ID: "d", Replace: true}}
	mustAdd(t, q, 1, replaceable)
	mustAdd(t, q, 1, JobOptions{ID: "kid", Parent: &Parent{ID: "par", Queue: own}}) // it exists, and becomes a child
	replaceable.ID = "other"
	mustAdd(t, q, 1, replaceable)
	if state, err := q.State(t.Context(), "par"); err != nil || state != StateWaiting {
		t.Errorf("the parent is %s, %v", state, err)
	}
}
