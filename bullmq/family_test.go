package bullmq

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"testing"
	"time"
)

// family makes a parent that waits for children, as a flow does.
func family(t *testing.T, q *Queue, rule ParentRule, keep *Keep, children ...string) (parent string) {
	t.Helper()
	parent = "parent"
	store(t, q, parent, "priority", "0", "delay", "0")
	do(t, q, "ZADD", "P:waiting-children", "1", parent)
	for _, id := range children {
		add(t, q, JobOptions{
			ID: id, Parent: &Parent{ID: parent, Queue: q.config.Prefix + ":mail"}, OnFailure: rule,
			RemoveOnComplete: keep, RemoveOnFail: keep,
		})
	}
	return parent
}

// The last child that completes releases its parent, which can read what all have returned.
func TestChildrenComplete(t *testing.T) {
	t.Parallel()
	for name, keep := range map[string]*Keep{"kept": nil, "not kept": KeepNone()} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			q := newQueue(t, QueueConfig{})
			parent := family(t, q, ParentWaits, keep, "a", "b")
			w := work(t, q, WorkerConfig{}, func(_ context.Context, job *Job) (any, error) { return job.ID, nil })
			eventually(t, "the parent", func() bool { return w.ends.has("a completed", "b completed", parent+" completed") })
			processed, _ := do(t, q, "HGETALL", "P:parent:processed").AsStrMap()
			if len(processed) != 2 || processed[q.keys.of("a")] != `"a"` || processed[q.keys.of("b")] != `"b"` {
				t.Errorf("processed %q", processed)
			}
			wantStory(t, q, parent, "waiting prev=waiting-children", "active prev=waiting", `completed prev=active returnvalue="parent"`)
			if n, _ := do(t, q, "EXISTS", "P:parent:dependencies").AsInt64(); n != 0 {
				t.Error("dependencies are left")
			}
		})
	}
}

// What becomes of a parent whose child fails is for the child's options to say.
func TestChildFails(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		rule   ParentRule
		keep   *Keep
		parent string // how it ends; "" is that it waits
		failed bool   // its children's failures are kept with it
	}{
		"waits":                          {ParentWaits, nil, "", false},
		"waits no more for what is gone": {ParentWaits, KeepNone(), "completed", false},
		"fails":                          {ParentFails, nil, "failed", false},
		"continues":                      {ParentContinues, nil, "completed", true},
		"ignores":                        {ParentIgnores, nil, "completed", true},
		"forgets":                        {ParentForgets, nil, "completed", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			q := newQueue(t, QueueConfig{})
			parent := family(t, q, test.rule, test.keep, "a")
			w := work(t, q, WorkerConfig{}, func(_ context.Context, job *Job) (any, error) {
				if job.ID == "a" {
					return nil, errors.New("boom")
				}
				return nil, nil
			})
			eventually(t, "the child", func() bool { return w.ends.has("a failed") })
			if test.parent == "" {
				if state, err := q.State(t.Context(), parent); err != nil || state != StateWaitingChildren {
					t.Errorf("the parent is %s, %v", state, err)
				}
				return
			}
			eventually(t, "the parent", func() bool { return w.ends.has(parent + " " + test.parent) })
			failed, _ := do(t, q, "HGETALL", "P:parent:failed").AsStrMap()
			if got := failed[q.keys.of("a")] == "boom"; got != test.failed {
				t.Errorf("failures %q", failed)
			}
			if test.rule == ParentFails {
				wantFields(t, q, parent, map[string]string{"failedReason": "child " + q.keys.of("a") + " failed", "defa": "-"})
			}
		})
	}
}

// A handler that adds children to its own job and returns has not completed it.
func TestUnfinishedChildren(t *testing.T) {
	t.Parallel()
	q := newQueue(t, QueueConfig{})
	id := add(t, q, JobOptions{})
	w := work(t, q, WorkerConfig{}, func(_ context.Context, job *Job) (any, error) {
		do(t, q, "SADD", "P:"+id+":dependencies", "elsewhere:1")
		return nil, nil
	})
	eventually(t, "the end", func() bool { return w.ends.has(id + " failed") })
	wantFields(t, q, id, map[string]string{"failedReason": "job has children that have not finished", "atm": "1"})
	wantAtRest(t, q)
}

func TestFailedChildren(t *testing.T) {
	t.Parallel()
	q := newQueue(t, QueueConfig{})
	id := add(t, q, JobOptions{Attempts: 3})
	w := work(t, q, WorkerConfig{}, func(_ context.Context, job *Job) (any, error) {
		do(t, q, "ZADD", "P:"+id+":unsuccessful", "1", "elsewhere:1")
		return nil, nil
	})
	eventually(t, "the end", func() bool { return w.ends.has(id + " failed") })
	wantFields(t, q, id, map[string]string{"failedReason": "job has children that have failed", "atm": "1"})
}

// A job gives its deduplication id up when it ends, unless that lasts for a time.
func TestDeduplicationEnds(t *testing.T) {
	t.Parallel()
	q := newQueue(t, QueueConfig{})
	add(t, q, JobOptions{Deduplication: &Deduplication{ID: "simple"}})
	add(t, q, JobOptions{Deduplication: &Deduplication{ID: "timed", TTL: time.Hour}})
	w := work(t, q, WorkerConfig{}, func(_ context.Context, job *Job) (any, error) {
		if job.ID == "1" {
			return nil, errors.New("boom")
		}
		return nil, nil
	})
	eventually(t, "the ends", func() bool { return w.ends.has("1 failed", "2 completed") })
	if keys, _ := do(t, q, "KEYS", "P:de:*").AsStrSlice(); !slices.Equal(keys, []string{q.keys.of("de:timed")}) {
		t.Errorf("keys %q", keys)
	}
}

// The last of the jobs that were dropped while the first one ran is made when that has ended.
func TestDeduplicationKeepsTheLast(t *testing.T) {
	t.Parallel()
	q := newQueue(t, QueueConfig{})
	opts := JobOptions{Deduplication: &Deduplication{ID: "d", KeepLastIfActive: true}}
	first := add(t, q, opts)
	started, release := make(chan struct{}, 9), make(chan struct{})
	last := make(chan string, 9)
	w := work(t, q, WorkerConfig{}, func(_ context.Context, job *Job) (any, error) {
		started <- struct{}{}
		<-release
		last <- string(job.Data)
		return nil, nil
	})
	<-started
	for i := range 3 {
		if job, err := q.Add(t.Context(), "paint", json.RawMessage{'0' + byte(i)}, opts); err != nil || job.ID != first {
			t.Fatalf("job %+v, %v", job, err)
		}
	}
	close(release)
	eventually(t, "two ends", func() bool { return w.ends.count() == 2 })
	if a, b := <-last, <-last; a != `{"colour":"red"}` || b != "2" {
		t.Errorf("data %s, %s", a, b)
	}
	if keys, _ := do(t, q, "KEYS", "P:d?:*").AsStrSlice(); len(keys) != 0 {
		t.Errorf("keys %q", keys)
	}
}
