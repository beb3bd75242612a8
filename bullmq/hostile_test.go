package bullmq

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"loupe/internal/testenv"
)

// FuzzJobHash gives a worker a job whose hash holds anything, and checks that it goes on with the next one.
func FuzzJobHash(f *testing.F) {
	for _, seed := range []struct{ id, field, value, opts, outcome string }{
		{"a", "opts", "{}", `{"attempts":1e9,"backoff":{"type":"exponential","delay":1e308}}`, "error"},
		{"a", "ats", "-1", `{"attempts":"many","backoff":[],"removeOnComplete":{"count":-1,"age":"x","limit":1e300}}`, "value"},
		{"a", "atm", "1e400", `{"attempts":3,"backoff":5}`, "error"},
		{"a", "attemptsMade", "NaN", `{"stackTraceLimit":-7,"removeOnFail":0.5}`, "error"},
		{"a", "stacktrace", "[[[", `{"attempts":2,"stackTraceLimit":0}`, "error"},
		{"a", "priority", "1e30", `{"priority":-1,"lifo":"no"}`, "return"},
		{"a", "delay", "-1e30", `{"delay":1e30}`, "postpone"},
		{"a", "defa", "", `null`, "value"},
		{"a", "defa", "\x00\xff", `[]`, "value"},
		{"a", "rjk", "a", `{"repeat":{"every":0,"count":"x"},"repeatJobKey":5}`, "value"},
		{"repeat:a:1", "rjk", "a", `{"repeat":5}`, "value"},
		{"a", "parent", `{"id":{},"queueKey":[]}`, `{"parent":7}`, "value"},
		{"a", "parentKey", "meta", `{"fpof":true,"cpof":true}`, "error"},
		{"a", "deid", "*", `{"de":{"id":7,"ttl":"x"}}`, "value"},
		{"a", "timestamp", "Infinity", `{"timeout":1e-9}`, "value"},
		{"a", "cxl", ":", `{"timeout":-5}`, "panic"},
		{"a\r\n", "progress", "{", `{"tm":{},"omc":[]}`, "limit"},
		{"", "name", "", `"`, "value"},
		{"meta", "name", "n", `{}`, "value"},
		{"wait", "name", "n", `{}`, "value"},
		{"events", "name", "n", `{}`, "error"},
	} {
		f.Add(seed.id, seed.field, seed.value, seed.opts, seed.outcome)
	}
	prefix := testenv.Prefix(f)
	var count atomic.Int64
	f.Fuzz(func(t *testing.T, id, field, value, opts, outcome string) {
		q, err := NewQueue(newClient(t), "mail", QueueConfig{Prefix: fmt.Sprintf("%s%d", prefix, count.Add(1))})
		if err != nil {
			t.Fatal(err)
		}
		place := func(command string, args ...string) { // it may fail, where a key is of another kind
			q.client.Do(t.Context(), q.client.B().Arbitrary(command).Args(args...).Build())
		}
		add(t, q, JobOptions{}) // all keys of the queue that there will be
		place("DEL", q.keys.of(keyWait))
		place("HSET", q.keys.of(id), "name", "n", "data", "{}", "opts", opts, field, value)
		if id != keyWait {
			place("LPUSH", q.keys.of(keyWait), id)
		}
		place("ZADD", q.keys.of(keyPrioritized), "1", id)
		place("ZADD", q.keys.of(keyDelayed), "1", id)
		if id == keyWait {
			place("DEL", q.keys.of(keyWait))
		}
		w := work(t, q, WorkerConfig{Lock: time.Minute, StalledEvery: time.Minute}, func(_ context.Context, job *Job) (any, error) {
			if job.Name == "paint" || job.AttemptsStarted > 1 {
				return nil, nil
			}
			switch outcome {
			case "error":
				return nil, errors.New(outcome)
			case "return":
				return nil, HandBack(outcome)
			case "postpone":
				return nil, DelayFor(0, outcome)
			case "limit":
				return nil, RateLimited(time.Millisecond)
			case "panic":
				panic(outcome)
			}
			return outcome, nil
		})
		next := add(t, q, JobOptions{ID: "next"})
		eventually(t, "the next job", func() bool { return w.ends.has(next + " completed") })
	})
}
