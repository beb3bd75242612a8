package bullmq

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/redis/rueidis"
)

// put stores a job that is in a state with this score, or in a list.
func put(t testing.TB, q *Queue, state State, score, id string, fields ...string) {
	t.Helper()
	store(t, q, id, fields...)
	switch state {
	case StateWaiting:
		do(t, q, "LPUSH", "P:wait", id)
	case StateActive:
		do(t, q, "LPUSH", "P:active", id)
	default:
		do(t, q, "ZADD", "P:"+string(state), score, id)
	}
}

const bareJob = "data={} name=n opts={} timestamp=1"

// Each operation leaves in Redis what BullMQ 6.7 does, where the text of the test does not say otherwise.
func TestManage(t *testing.T) {
	t.Parallel()
	soon := fmt.Sprint(float64(time.Now().Add(5*time.Minute).UnixMilli()) * 4096)
	family := func(t *testing.T, q *Queue) { // a parent that waits for two children
		own := strings.TrimSuffix(q.keys.prefix, ":")
		put(t, q, StateWaitingChildren, "1", "par")
		for _, kid := range []string{"kid1", "kid2"} {
			put(t, q, StateWaiting, "", kid, "parentKey", q.keys.of("par"), "parent", `{"id":"par","queueKey":"`+own+`"}`)
			do(t, q, "SADD", "P:par:dependencies", q.keys.of(kid))
		}
		do(t, q, "SET", "P:id", "3")
	}
	failed := []string{"failedReason", "boom", "stacktrace", `["boom"]`, "finishedOn", "5", "processedOn", "4", "atm", "1", "ats", "2", "stc", "1"}
	tests := []struct {
		name   string
		before func(*testing.T, *Queue)
		do     func(context.Context, *Queue) error
		err    error
		keys   map[string]string
		events []string
	}{
		{
			name:   "retry",
			before: func(t *testing.T, q *Queue) { put(t, q, StateFailed, "5", "x", failed...) },
			do:     func(ctx context.Context, q *Queue) error { return q.Retry(ctx, "x", RetryOptions{}) },
			keys: map[string]string{
				"x": `atm=1 ats=2 data={} name=n opts={} stacktrace=["boom"] stc=1 timestamp=1`, "wait": "x", "marker": "0=0",
			},
			events: []string{"waiting x failed"},
		},
		{
			name: "retry with all attempts, first",
			before: func(t *testing.T, q *Queue) {
				put(t, q, StateFailed, "5", "x", append(failed, "attemptsMade", "3", "opts", `{"lifo":true}`)...)
				put(t, q, StateWaiting, "", "y")
			},
			do: func(ctx context.Context, q *Queue) error { return q.Retry(ctx, "x", RetryOptions{ResetAttempts: true}) },
			keys: map[string]string{
				"x": `data={} name=n opts={"lifo":true} stacktrace=["boom"] stc=1 timestamp=1`, "y": bareJob, "wait": "y x", "marker": "0=0",
			},
			events: []string{"waiting x failed"},
		},
		{
			name: "retry by priority",
			before: func(t *testing.T, q *Queue) {
				put(t, q, StateFailed, "5", "x", "priority", "3", "opts", `{"lifo":true}`)
			},
			do: func(ctx context.Context, q *Queue) error { return q.Retry(ctx, "x", RetryOptions{}) },
			keys: map[string]string{
				"x":           `data={} name=n opts={"lifo":true} priority=3 timestamp=1`,
				"prioritized": "x=12884901889", "pc": "1", "marker": "0=0",
			},
			events: []string{"waiting x failed"},
		},
		{
			name: "retry completed",
			before: func(t *testing.T, q *Queue) {
				put(t, q, StateCompleted, "5", "x", "returnvalue", "1", "finishedOn", "5", "processedOn", "4", "atm", "1")
			},
			do: func(ctx context.Context, q *Queue) error {
				return q.Retry(ctx, "x", RetryOptions{State: StateCompleted})
			},
			keys:   map[string]string{"x": "atm=1 " + bareJob, "wait": "x", "marker": "0=0"},
			events: []string{"waiting x completed"},
		},
		{
			name:   "retry what has not failed",
			before: func(t *testing.T, q *Queue) { put(t, q, StateCompleted, "5", "x") },
			do:     func(ctx context.Context, q *Queue) error { return q.Retry(ctx, "x", RetryOptions{}) },
			err:    ErrState, keys: map[string]string{"x": bareJob, "completed": "x=5"},
		},
		{
			name:   "retry nothing",
			before: func(t *testing.T, q *Queue) { do(t, q, "ZADD", "P:failed", "5", "x") },
			do:     func(ctx context.Context, q *Queue) error { return q.Retry(ctx, "x", RetryOptions{}) },
			err:    ErrJobNotFound, keys: map[string]string{},
		},
		{
			name: "retry a child",
			before: func(t *testing.T, q *Queue) {
				put(t, q, StateWaitingChildren, "5", "par")
				for _, kid := range []string{"u", "f", "p", "none"} {
					put(t, q, StateFailed, "5", kid, "parentKey", q.keys.of("par"))
				}
				do(t, q, "ZADD", "P:par:unsuccessful", "1", q.keys.of("u"))
				do(t, q, "HSET", "P:par:failed", q.keys.of("f"), "boom")
				do(t, q, "HSET", "P:par:processed", q.keys.of("p"), "1")
			},
			do: func(ctx context.Context, q *Queue) error {
				n, err := q.RetryAll(ctx, RetryFilter{})
				return errors.Join(err, unless(n == 4, "retried %d", n))
			},
			keys: map[string]string{
				"par": bareJob, "waiting-children": "par=5", "par:dependencies": "P:f P:p P:u", "wait": "u p none f", "marker": "0=0",
				"u": "data={} name=n opts={} parentKey=P:par timestamp=1", "f": "data={} name=n opts={} parentKey=P:par timestamp=1",
				"p": "data={} name=n opts={} parentKey=P:par timestamp=1", "none": "data={} name=n opts={} parentKey=P:par timestamp=1",
			},
			events: []string{"waiting f failed", "waiting none failed", "waiting p failed", "waiting u failed"},
		},
		{
			name:   "promote",
			before: func(t *testing.T, q *Queue) { put(t, q, StateDelayed, soon, "x", "delay", "7") },
			do:     func(ctx context.Context, q *Queue) error { return q.Promote(ctx, "x") },
			keys:   map[string]string{"x": "data={} delay=0 name=n opts={} timestamp=1", "wait": "x", "marker": "0=0"},
			events: []string{"waiting x delayed"},
		},
		{
			name:   "promote what is not delayed",
			before: func(t *testing.T, q *Queue) { put(t, q, StateWaiting, "", "x") },
			do:     func(ctx context.Context, q *Queue) error { return q.Promote(ctx, "x") },
			err:    ErrState, keys: map[string]string{"x": bareJob, "wait": "x"},
		},
		{
			name:   "promote nothing",
			before: func(*testing.T, *Queue) {},
			do:     func(ctx context.Context, q *Queue) error { return q.Promote(ctx, "x") },
			err:    ErrJobNotFound, keys: map[string]string{},
		},
		{ // Node puts all of them into the line, and leaves their delay
			name: "promote all",
			before: func(t *testing.T, q *Queue) {
				put(t, q, StateDelayed, "4096", "x", "delay", "7", "priority", "3")
				put(t, q, StateDelayed, "8192", "y", "delay", "7")
				do(t, q, "ZADD", "P:delayed", "1", "ghost")
			},
			do: func(ctx context.Context, q *Queue) error {
				n, err := q.PromoteAll(ctx)
				return errors.Join(err, unless(n == 2, "promoted %d", n))
			},
			keys: map[string]string{
				"x": "data={} delay=0 name=n opts={} priority=3 timestamp=1", "y": "data={} delay=0 name=n opts={} timestamp=1",
				"wait": "y", "prioritized": "x=12884901889", "pc": "1", "marker": "0=0",
			},
			events: []string{"waiting x delayed", "waiting y delayed"},
		},
		{
			name:   "change delay",
			before: func(t *testing.T, q *Queue) { put(t, q, StateDelayed, soon, "x", "delay", "7") },
			do:     func(ctx context.Context, q *Queue) error { return q.ChangeDelay(ctx, "x", 9*time.Minute) },
			keys: map[string]string{
				"x": "data={} delay=540000 name=n opts={} timestamp=1", "delayed": "x=T+9", "marker": "1=T+9",
			},
			events: []string{"delayed x T+9"},
		},
		{
			name:   "change the delay of what has none",
			before: func(t *testing.T, q *Queue) { put(t, q, StateWaiting, "", "x") },
			do:     func(ctx context.Context, q *Queue) error { return q.ChangeDelay(ctx, "x", time.Minute) },
			err:    ErrState, keys: map[string]string{"x": bareJob, "wait": "x"},
		},
		{
			name: "change priorities",
			before: func(t *testing.T, q *Queue) {
				for _, id := range []string{"x", "y", "z"} {
					put(t, q, StateWaiting, "", id)
				}
				put(t, q, StatePrioritized, "5", "p")
				put(t, q, StatePrioritized, "6", "q")
				put(t, q, StateDelayed, soon, "d")
			},
			do: func(ctx context.Context, q *Queue) error {
				return errors.Join(q.ChangePriority(ctx, "x", 3, false), q.ChangePriority(ctx, "y", 9, true), q.ChangePriority(ctx, "p", 0, false),
					q.ChangePriority(ctx, "q", 0, true), q.ChangePriority(ctx, "d", 7, false))
			},
			keys: map[string]string{
				"x": "data={} name=n opts={} priority=3 timestamp=1", "y": "data={} name=n opts={} priority=9 timestamp=1", "z": bareJob,
				"p": "data={} name=n opts={} priority=0 timestamp=1", "q": "data={} name=n opts={} priority=0 timestamp=1",
				"d": "data={} name=n opts={} priority=7 timestamp=1", "delayed": "d=T+5", "wait": "p z q",
				"prioritized": "x=12884901889 y=38654705664", "pc": "1", "marker": "0=0",
			},
		},
		{
			name:   "change the priority of nothing",
			before: func(*testing.T, *Queue) {},
			do:     func(ctx context.Context, q *Queue) error { return q.ChangePriority(ctx, "x", 1, false) },
			err:    ErrJobNotFound, keys: map[string]string{},
		},
		{
			name: "remove",
			before: func(t *testing.T, q *Queue) {
				put(t, q, StateWaiting, "", "x", "deid", "d")
				put(t, q, StateFailed, "5", "y", "deid", "e")
				do(t, q, "SET", "P:de:d", "x")
				do(t, q, "HSET", "P:dn:d", "name", "n")
				do(t, q, "SET", "P:de:e", "another")
				do(t, q, "RPUSH", "P:x:logs", "line")
				do(t, q, "RPUSH", "P:wait", "ghost", "left", "left")
				put(t, q, StateActive, "", "a")
			},
			do: func(ctx context.Context, q *Queue) error {
				return errors.Join(q.Remove(ctx, "x", RemoveOptions{}), q.Remove(ctx, "y", RemoveOptions{}), q.Remove(ctx, "ghost", RemoveOptions{}),
					q.Remove(ctx, "a", RemoveOptions{}))
			},
			keys:   map[string]string{"de:e": "another", "wait": "left left"},
			events: []string{"removed x wait", "removed y failed", "removed ghost wait", "removed a active"},
		},
		{
			name:   "remove nothing",
			before: func(*testing.T, *Queue) {},
			do:     func(ctx context.Context, q *Queue) error { return q.Remove(ctx, "x", RemoveOptions{}) },
			err:    ErrJobNotFound, keys: map[string]string{},
		},
		{
			name: "remove what is worked on",
			before: func(t *testing.T, q *Queue) {
				put(t, q, StateActive, "", "x")
				do(t, q, "SET", "P:x:lock", "token")
			},
			do:  func(ctx context.Context, q *Queue) error { return q.Remove(ctx, "x", RemoveOptions{}) },
			err: ErrLocked, keys: map[string]string{"x": bareJob, "active": "x", "x:lock": "token"},
		},
		{
			name: "remove the next run of a scheduler",
			before: func(t *testing.T, q *Queue) {
				put(t, q, StateDelayed, soon, "repeat:s:1:500")
				do(t, q, "ZADD", "P:repeat", "500", "s:1")
			},
			do:  func(ctx context.Context, q *Queue) error { return q.Remove(ctx, "repeat:s:1:500", RemoveOptions{}) },
			err: ErrScheduled, keys: map[string]string{"repeat:s:1:500": bareJob, "delayed": "repeat:s:1:500=T+5", "repeat": "s:1=500"},
		},
		{
			name:   "remove children",
			before: family,
			do: func(ctx context.Context, q *Queue) error {
				return errors.Join(q.Remove(ctx, "kid1", RemoveOptions{}), q.Remove(ctx, "kid2", RemoveOptions{}))
			},
			keys:   map[string]string{"id": "3", "par": bareJob, "wait": "par", "marker": "0=0"},
			events: []string{"removed kid1 wait", "waiting par waiting-children", "removed kid2 wait"},
		},
		{ // Node releases the parent on the way
			name:   "remove a parent",
			before: family,
			do: func(ctx context.Context, q *Queue) error {
				return q.Remove(ctx, "par", RemoveOptions{})
			},
			keys:   map[string]string{"id": "3"},
			events: []string{"removed kid* wait", "removed kid* wait", "removed par waiting-children"},
		},
		{
			name: "remove a parent of a child that is worked on",
			before: func(t *testing.T, q *Queue) {
				put(t, q, StateWaitingChildren, "1", "par")
				do(t, q, "SADD", "P:par:dependencies", q.keys.of("kid"))
				do(t, q, "SET", "P:kid:lock", "token")
			},
			do:  func(ctx context.Context, q *Queue) error { return q.Remove(ctx, "par", RemoveOptions{}) },
			err: ErrLocked,
			keys: map[string]string{
				"par": bareJob, "waiting-children": "par=1", "par:dependencies": "P:kid", "kid:lock": "token",
			},
		},
		{
			name: "remove a parent alone",
			before: func(t *testing.T, q *Queue) {
				put(t, q, StateWaitingChildren, "1", "par")
				do(t, q, "SADD", "P:par:dependencies", q.keys.of("kid"))
				do(t, q, "SET", "P:kid:lock", "token")
			},
			do: func(ctx context.Context, q *Queue) error {
				return q.Remove(ctx, "par", RemoveOptions{KeepChildren: true})
			},
			keys:   map[string]string{"kid:lock": "token"},
			events: []string{"removed par waiting-children"},
		},
		{
			name:   "clean a family",
			before: family,
			do:     func(ctx context.Context, q *Queue) error { return cleans(ctx, q, 0, 0, StateWaiting, "kid1 kid2") },
			keys:   map[string]string{"id": "3"},
			events: []string{"cleaned 2"},
		},
		{
			name:   "clean nothing",
			before: func(*testing.T, *Queue) {},
			do:     func(ctx context.Context, q *Queue) error { return cleans(ctx, q, 0, 0, StateFailed, "") },
			keys:   map[string]string{},
			events: []string{"cleaned 0"},
		},
		{
			name: "clean the old of the line, those of BullMQ 5 first",
			before: func(t *testing.T, q *Queue) {
				young := fmt.Sprint(time.Now().UnixMilli())
				store(t, q, "a", "timestamp", "1")
				store(t, q, "b", "timestamp", young)
				store(t, q, "c", "timestamp", "1", "processedOn", young)
				store(t, q, "d", "timestamp", young, "finishedOn", "1")
				store(t, q, "e", "timestamp", "1")
				store(t, q, "repeat:s:500", "timestamp", "1")
				do(t, q, "ZADD", "P:repeat", "500", "s")
				do(t, q, "LPUSH", "P:paused", "a", "b", "ghost")
				do(t, q, "LPUSH", "P:wait", "c", "repeat:s:500", "d", "e")
			},
			do: func(ctx context.Context, q *Queue) error {
				return cleans(ctx, q, time.Minute, 3, StateWaiting, "a ghost d")
			},
			keys: map[string]string{
				"b": "data={} name=n opts={} timestamp=T", "c": "data={} name=n opts={} processedOn=T timestamp=1", "e": bareJob,
				"repeat": "s=500", "repeat:s:500": bareJob, "paused": "b", "wait": "e repeat:s:500 c",
			},
			events: []string{"cleaned 3"},
		},
		{
			name: "clean the active",
			before: func(t *testing.T, q *Queue) {
				put(t, q, StateActive, "", "x")
				put(t, q, StateActive, "", "y")
				do(t, q, "SET", "P:x:lock", "token")
			},
			do:     func(ctx context.Context, q *Queue) error { return cleans(ctx, q, 0, 0, StateActive, "y") },
			keys:   map[string]string{"x": bareJob, "active": "x", "x:lock": "token"},
			events: []string{"cleaned 1"},
		},
		{
			name: "clean finished, delayed and prioritized",
			before: func(t *testing.T, q *Queue) {
				young := fmt.Sprint(time.Now().UnixMilli())
				put(t, q, StateFailed, "3", "f1")
				put(t, q, StateFailed, "2", "f2")
				put(t, q, StateFailed, young, "f3")
				put(t, q, StateDelayed, soon, "d1")
				put(t, q, StateDelayed, soon, "d2", "timestamp", young)
				put(t, q, StatePrioritized, "1", "p1")
				put(t, q, StatePrioritized, "1", "p2", "timestamp", young)
			},
			do: func(ctx context.Context, q *Queue) error {
				return errors.Join(cleans(ctx, q, time.Minute, 0, StateFailed, "f2 f1"), cleans(ctx, q, time.Minute, 0, StateDelayed, "d1"),
					cleans(ctx, q, time.Minute, 0, StatePrioritized, "p1"))
			},
			keys: map[string]string{
				"f3": bareJob, "failed": "f3=T", "d2": "data={} name=n opts={} timestamp=T", "delayed": "d2=T+5",
				"p2": "data={} name=n opts={} timestamp=T", "prioritized": "p2=1",
			},
			events: []string{"cleaned 2", "cleaned 1", "cleaned 1"},
		},
		{ // Node loses the scheduler's entry, and leaves jobs without a hash
			name: "drain around a scheduler",
			before: func(t *testing.T, q *Queue) {
				do(t, q, "ZADD", "P:repeat", "500", "s")
				for _, id := range []string{"1", "2", "repeat:s:500"} {
					put(t, q, StateWaiting, "", id)
				}
				store(t, q, "3")
				do(t, q, "LPUSH", "P:paused", "3")
				put(t, q, StatePrioritized, "1", "4")
				put(t, q, StateDelayed, soon, "5")
				put(t, q, StateFailed, "1", "6")
			},
			do: func(ctx context.Context, q *Queue) error { return q.Drain(ctx, false) },
			keys: map[string]string{
				"repeat": "s=500", "repeat:s:500": bareJob, "wait": "repeat:s:500", "5": bareJob, "delayed": "5=T+5", "6": bareJob, "failed": "6=1",
			},
		},
		{
			name: "drain the delayed too",
			before: func(t *testing.T, q *Queue) {
				family(t, q)
				put(t, q, StateDelayed, soon, "5")
				put(t, q, StateDelayed, soon, "repeat:s:500")
				do(t, q, "ZADD", "P:repeat", "500", "s")
			},
			do:   func(ctx context.Context, q *Queue) error { return q.Drain(ctx, true) },
			keys: map[string]string{"id": "3", "repeat": "s=500", "repeat:s:500": bareJob, "delayed": "repeat:s:500=T+5"},
		},
		{
			name: "pause",
			before: func(t *testing.T, q *Queue) {
				put(t, q, StateWaiting, "", "x")
				do(t, q, "ZADD", "P:marker", "0", "0", "5", "1")
			},
			do:     func(ctx context.Context, q *Queue) error { return pauses(ctx, q, q.Pause, true) },
			keys:   map[string]string{"x": bareJob, "wait": "x", "meta": "opts.maxLenEvents=10000 paused=1"},
			events: []string{"paused"},
		},
		{
			name: "pause as BullMQ 5 does",
			before: func(t *testing.T, q *Queue) {
				do(t, q, "HSET", "P:meta", "version", "bullmq:5.66.0")
				put(t, q, StateWaiting, "", "x")
			},
			do:     func(ctx context.Context, q *Queue) error { return pauses(ctx, q, q.Pause, true) },
			keys:   map[string]string{"x": bareJob, "paused": "x", "meta": "opts.maxLenEvents=10000 paused=1 version=bullmq:5.66.0"},
			events: []string{"paused"},
		},
		{ // BullMQ 5 loses what was in `paused`
			name: "pause with jobs in both lists",
			before: func(t *testing.T, q *Queue) {
				do(t, q, "LPUSH", "P:paused", "1", "2")
				do(t, q, "LPUSH", "P:wait", "3", "4")
			},
			do:     func(ctx context.Context, q *Queue) error { return pauses(ctx, q, q.Pause, true) },
			keys:   map[string]string{"paused": "4 3 2 1", "meta": "opts.maxLenEvents=10000 paused=1"},
			events: []string{"paused"},
		},
		{ // BullMQ 5 loses what was in `wait`
			name: "resume with jobs in both lists",
			before: func(t *testing.T, q *Queue) {
				do(t, q, "HSET", "P:meta", "paused", "1")
				do(t, q, "LPUSH", "P:paused", "1", "2")
				do(t, q, "LPUSH", "P:wait", "3", "4")
			},
			do:     func(ctx context.Context, q *Queue) error { return pauses(ctx, q, q.Resume, false) },
			keys:   map[string]string{"wait": "4 3 2 1", "marker": "0=0"},
			events: []string{"resumed"},
		},
		{
			name: "resume with jobs where BullMQ 5 keeps them",
			before: func(t *testing.T, q *Queue) {
				do(t, q, "HSET", "P:meta", "paused", "1", "version", "bullmq:5.66.0")
				do(t, q, "LPUSH", "P:paused", "1", "2")
			},
			do:     func(ctx context.Context, q *Queue) error { return pauses(ctx, q, q.Resume, false) },
			keys:   map[string]string{"wait": "2 1", "marker": "0=0", "meta": "opts.maxLenEvents=10000 version=bullmq:5.66.0"},
			events: []string{"resumed"},
		},
		{
			name: "resume with delayed jobs",
			before: func(t *testing.T, q *Queue) {
				do(t, q, "HSET", "P:meta", "paused", "1")
				put(t, q, StateDelayed, soon, "x")
			},
			do:     func(ctx context.Context, q *Queue) error { return pauses(ctx, q, q.Resume, false) },
			keys:   map[string]string{"x": bareJob, "delayed": "x=T+5", "marker": "1=T+5"},
			events: []string{"resumed"},
		},
		{
			name:   "limits",
			before: func(t *testing.T, q *Queue) { do(t, q, "LPUSH", "P:wait", "x") },
			do: func(ctx context.Context, q *Queue) error {
				none, err1 := q.GlobalConcurrency(ctx)
				err2 := q.SetGlobalConcurrency(ctx, 3)
				three, err3 := q.GlobalConcurrency(ctx)
				noRate, err4 := q.GlobalRateLimit(ctx)
				err5 := q.SetGlobalRateLimit(ctx, RateLimit{10, time.Second})
				rate, err6 := q.GlobalRateLimit(ctx)
				return errors.Join(err1, err2, err3, err4, err5, err6, unless(none == 0 && three == 3, "concurrency %d, then %d", none, three),
					unless(noRate == RateLimit{} && rate == RateLimit{10, time.Second}, "rate %v, then %v", noRate, rate))
			},
			keys: map[string]string{"wait": "x", "marker": "0=0", "meta": "concurrency=3 duration=1000 max=10 opts.maxLenEvents=10000"},
		},
		{
			name: "no limits",
			before: func(t *testing.T, q *Queue) {
				do(t, q, "HSET", "P:meta", "concurrency", "3", "max", "10", "duration", "1000")
			},
			do: func(ctx context.Context, q *Queue) error {
				return errors.Join(q.RemoveGlobalConcurrency(ctx), q.RemoveGlobalRateLimit(ctx))
			},
			keys: map[string]string{},
		},
		{
			name:   "hold",
			before: func(t *testing.T, q *Queue) {},
			do:     func(ctx context.Context, q *Queue) error { return q.RateLimit(ctx, 5*time.Minute) },
			keys:   map[string]string{"limiter": "9007199254740991 for 5m0s", "meta": ""},
		},
		{
			name:   "hold after three",
			before: func(t *testing.T, q *Queue) {},
			do:     func(ctx context.Context, q *Queue) error { return q.RateLimitAfter(ctx, 3, 5*time.Minute) },
			keys:   map[string]string{"limiter": "9007199254740988 for 5m0s", "meta": ""},
		},
		{
			name: "end a hold",
			before: func(t *testing.T, q *Queue) {
				do(t, q, "SET", "P:limiter", "7", "PX", "60000")
				do(t, q, "LPUSH", "P:wait", "x")
			},
			do:   func(ctx context.Context, q *Queue) error { return q.RemoveRateLimit(ctx) },
			keys: map[string]string{"wait": "x", "marker": "0=0"},
		},
		{
			name:   "progress, data and logs",
			before: func(t *testing.T, q *Queue) { put(t, q, StateWaiting, "", "x") },
			do: func(ctx context.Context, q *Queue) error {
				job, err := q.Job(ctx, "x")
				if err != nil {
					return err
				}
				job.Options.KeepLogs = 2
				err1 := q.UpdateProgress(ctx, "x", map[string]any{"<": 1})
				err2 := job.Progress(ctx, 7)
				err3 := q.UpdateData(ctx, "x", json.RawMessage(`[ 1 ]`))
				err4 := job.UpdateData(ctx, nil)
				one, err5 := q.AddLog(ctx, "x", "first", 0)
				two, err6 := job.Log(ctx, "second")
				still, err7 := job.Log(ctx, "third")
				return errors.Join(err1, err2, err3, err4, err5, err6, err7, unless(one == 1 && two == 2 && still == 2, "%d %d %d lines", one, two, still),
					unless(string(job.Data) == "{}", "data %s", job.Data))
			},
			keys:   map[string]string{"x": "data={} name=n opts={} progress=7 timestamp=1", "x:logs": "second third", "wait": "x"},
			events: []string{`progress x {"<":1}`, "progress x 7"},
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) { // at once: the table has times
			q := newQueue(t, QueueConfig{})
			test.before(t, q)
			if err := test.do(t.Context(), q); !errors.Is(err, test.err) || test.err == nil && err != nil {
				t.Errorf("error %v, want %v", err, test.err)
			}
			happened := events(t, q)
			for i, e := range happened { // the order of a set
				if i < len(test.events) && strings.Contains(test.events[i], "kid*") {
					happened[i] = strings.NewReplacer("kid1", "kid*", "kid2", "kid*").Replace(e)
				}
			}
			keys := dump(t, q)
			if _, has := test.keys[keyMeta]; !has && keys[keyMeta] == "opts.maxLenEvents=10000" {
				delete(keys, keyMeta)
			} else if test.keys[keyMeta] == "" {
				delete(test.keys, keyMeta)
			}
			if diff := cmp.Diff(test.keys, keys); diff != "" {
				t.Errorf("keys (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(test.events, happened); diff != "" {
				t.Errorf("events (-want +got):\n%s", diff)
			}
		})
	}
}

func unless(is bool, format string, args ...any) error {
	if is {
		return nil
	}
	return fmt.Errorf(format, args...)
}

func cleans(ctx context.Context, q *Queue, grace time.Duration, limit int, state State, want string) error {
	ids, err := q.Clean(ctx, grace, limit, state)
	return errors.Join(err, unless(strings.Join(ids, " ") == want, "cleaned %q, want %s", ids, want))
}

func pauses(ctx context.Context, q *Queue, act func(context.Context) error, want bool) error {
	err := act(ctx)
	paused, err2 := q.IsPaused(ctx)
	return errors.Join(err, err2, unless(paused == want, "paused %v", paused))
}

// What a job that is gone cannot be given.
func TestGoneJob(t *testing.T) {
	t.Parallel()
	q := newQueue(t, QueueConfig{})
	ctx := t.Context()
	job := mustAdd(t, q, 1, JobOptions{})
	if err := q.Remove(ctx, job.ID, RemoveOptions{}); err != nil {
		t.Fatal(err)
	}
	_, logErr := job.Log(ctx, "line")
	_, addLogErr := q.AddLog(ctx, job.ID, "line", 3)
	for i, err := range []error{
		job.Progress(ctx, 1), job.UpdateData(ctx, 1), logErr, addLogErr, q.UpdateProgress(ctx, job.ID, 1), q.UpdateData(ctx, job.ID, 1),
		q.ChangeDelay(ctx, job.ID, 1),
	} {
		if !errors.Is(err, ErrJobNotFound) {
			t.Errorf("%d: %v", i, err)
		}
	}
	for i, err := range []error{
		job.Progress(ctx, func() {}), job.UpdateData(ctx, func() {}), q.ChangeDelay(ctx, job.ID, -1), q.ChangePriority(ctx, job.ID, -1, false),
		q.SetGlobalConcurrency(ctx, 0), q.SetGlobalRateLimit(ctx, RateLimit{}), q.RateLimit(ctx, 0), q.RateLimitAfter(ctx, -1, time.Hour), q.RateLimitAfter(ctx, maxLate+1, time.Hour), q.Retry(ctx, "x", RetryOptions{State: StateActive}),
		second(q.Clean(ctx, 0, 0, StateWaitingChildren)), second(q.Metrics(ctx, StateActive, 0, -1)),
		second(q.RetryAll(ctx, RetryFilter{RetryOptions: RetryOptions{State: "x"}})),
	} {
		if err == nil || errors.Is(err, ErrJobNotFound) {
			t.Errorf("what cannot be, %d: %v", i, err)
		}
	}
}

func second[T any](_ T, err error) error { return err }

func TestRetryAllByFilter(t *testing.T) {
	t.Parallel()
	q := newQueue(t, QueueConfig{})
	const n = 2*finishedAtOnce + 44
	for i := range n { // two of each ms
		name := "odd"
		if i%2 == 0 {
			name = "even"
		}
		put(t, q, StateFailed, fmt.Sprint(1000+i/2), fmt.Sprintf("j%03d", i), "name", name, "data", fmt.Sprint(i), "atm", "3")
	}
	filter := RetryFilter{
		RetryOptions: RetryOptions{ResetAttempts: true}, Before: time.UnixMilli(1000 + n/2 - 10), Name: "even",
		Match: func(job *Job) bool { return string(job.Data) != "4" },
	}
	got, err := q.RetryAll(t.Context(), filter)
	if want := n/2 - 9 - 1; err != nil || got != want {
		t.Errorf("retried %d, want %d, %v", got, want, err)
	}
	ids, err := q.IDs(t.Context(), Range{End: 2, Ascending: true})
	if want := []string{"j000", "j002", "j006"}; err != nil || !slices.Equal(ids, want) {
		t.Errorf("line begins with %q, want %q, %v", ids, want, err)
	}
	if mustJob(t, q, "j000").AttemptsMade != 0 || mustJob(t, q, "j004").AttemptsMade != 3 {
		t.Error("attempts")
	}
	rest, err := q.RetryAll(t.Context(), RetryFilter{})
	if want := n - got; err != nil || rest != want {
		t.Errorf("the rest: %d, want %d, %v", rest, want, err)
	}
}

// More jobs than one script call takes.
func TestCleanMany(t *testing.T) {
	t.Parallel()
	const n = 2*cleanedAtOnce + 100
	fill := func(q *Queue) {
		jobs := make([]NewJob, n)
		for i := range jobs {
			if jobs[i] = (NewJob{"a", i, JobOptions{}}); i%3 == 0 {
				jobs[i].Options.Timestamp = time.Now().Add(-time.Hour)
			}
		}
		if _, err := q.AddBulk(t.Context(), jobs); err != nil {
			t.Fatal(err)
		}
	}
	q := newQueue(t, QueueConfig{})
	fill(q)
	limited, err := q.Clean(t.Context(), time.Minute, 10, StateWaiting)
	if want := []string{"1", "4", "7", "10", "13", "16", "19", "22", "25", "28"}; err != nil || !slices.Equal(limited, want) {
		t.Errorf("cleaned %q, want %q, %v", limited, want, err)
	}
	old, err := q.Clean(t.Context(), time.Minute, 0, StateWaiting)
	if want := (n+2)/3 - 10; err != nil || len(old) != want {
		t.Errorf("cleaned %d, want %d, %v", len(old), want, err)
	}
	if left, err := q.Count(t.Context()); err != nil || left != n-(n+2)/3 {
		t.Errorf("%d are left, %v", left, err)
	}
	if err := q.Drain(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	if left := dump(t, q); len(left) != 3 {
		t.Errorf("left: %v", left)
	}
	fill(q)
	if err := q.Obliterate(t.Context(), false); err != nil || len(scan(t, q)) != 0 {
		t.Errorf("%v, left: %v", err, scan(t, q))
	}
}

func TestObliterate(t *testing.T) {
	t.Parallel()
	q := newQueue(t, QueueConfig{})
	other, err := NewQueue(q.client, "other", q.config)
	if err != nil {
		t.Fatal(err)
	}
	put(t, other, StateWaitingChildren, "1", "par")
	do(t, other, "SADD", "P:par:dependencies", q.keys.of("x"))
	put(t, q, StateWaiting, "", "x", "parent", `{"id":"par","queueKey":"`+strings.TrimSuffix(other.keys.prefix, ":")+`"}`, "deid", "d")
	do(t, q, "SET", "P:de:d", "x")
	do(t, q, "RPUSH", "P:x:logs", "line")
	put(t, q, StateActive, "", "a")
	do(t, q, "SET", "P:a:lock", "token")
	for _, state := range []State{StateCompleted, StateFailed, StateDelayed, StatePrioritized, StateWaitingChildren} {
		put(t, q, state, "1", string("in-"+state))
	}
	do(t, q, "LPUSH", "P:paused", "p")
	do(t, q, "ZADD", "P:repeat", "500", "s")
	do(t, q, "HSET", "P:repeat:s", "name", "n")
	do(t, q, "SADD", "P:stalled", "a")
	do(t, q, "HSET", "P:metrics:completed", "count", "1")
	do(t, q, "LPUSH", "P:metrics:completed:data", "1")
	do(t, q, "SET", "P:limiter", "1")

	if err := q.Obliterate(t.Context(), false); !errors.Is(err, ErrState) {
		t.Errorf("with an active job: %v", err)
	}
	if paused, err := q.IsPaused(t.Context()); err != nil || !paused {
		t.Errorf("paused %v, %v", paused, err)
	}
	if err := q.Obliterate(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	if left := scan(t, q); !slices.Equal(left, []string{keyLimiter}) {
		t.Errorf("left: %q", left)
	}
	if state, err := other.State(t.Context(), "par"); err != nil || state != StateWaiting {
		t.Errorf("the parent in the other queue is %s, %v", state, err)
	}
}

func TestRateLimitTTL(t *testing.T) {
	t.Parallel()
	q := newQueue(t, QueueConfig{})
	about := func(want time.Duration) {
		t.Helper()
		if got, err := q.RateLimitTTL(t.Context()); err != nil || got > want || got < want-30*time.Second {
			t.Errorf("%s, want %s, %v", got, want, err)
		}
	}
	about(0)
	do(t, q, "SET", "P:limiter", "3", "PX", "60000")
	about(time.Minute)
	do(t, q, "HSET", "P:meta", "max", "4")
	about(0)
	do(t, q, "HSET", "P:meta", "max", "3")
	about(time.Minute)
	do(t, q, "SET", "P:limiter", "3")
	about(0) // a counter without an end holds nothing up
	if err := q.RateLimit(t.Context(), time.Hour); err != nil {
		t.Fatal(err)
	}
	about(time.Hour)
}

func TestLogs(t *testing.T) {
	t.Parallel()
	q := newQueue(t, QueueConfig{})
	id := mustAdd(t, q, 1, JobOptions{}).ID
	for i := range 5 {
		if _, err := q.AddLog(t.Context(), id, fmt.Sprint("l", i), 4); err != nil {
			t.Fatal(err)
		}
	}
	for _, test := range []struct {
		start, end int64
		ascending  bool
		want       string
	}{
		{0, -1, true, "l1 l2 l3 l4"},
		{0, 1, true, "l1 l2"},
		{0, 1, false, "l4 l3"},
		{1, -1, false, "l3 l2 l1"},
		{-2, -1, true, "l3 l4"},
		{7, 9, true, ""},
	} {
		lines, count, err := q.Logs(t.Context(), id, test.start, test.end, test.ascending)
		if got := strings.Join(lines, " "); err != nil || got != test.want || count != 4 {
			t.Errorf("%+v: %s of %d, %v", test, got, count, err)
		}
	}
	for keep, want := range []int64{1: 1, 0: 0} {
		if keep == 1 {
			want = 1
		}
		if err := q.ClearLogs(t.Context(), id, keep); err != nil {
			t.Error(err)
		}
		if _, count, err := q.Logs(t.Context(), id, 0, -1, true); err != nil || count > max(want, 1) {
			t.Errorf("cleared to %d: %d, %v", keep, count, err)
		}
	}
}

func TestReadMetrics(t *testing.T) {
	t.Parallel()
	q := newQueue(t, QueueConfig{})
	do(t, q, "HSET", "P:metrics:completed", "count", "12", "prevTS", "1795435105922", "prevCount", "9")
	do(t, q, "RPUSH", "P:metrics:completed:data", "3", "0", "6")
	got, err := q.Metrics(t.Context(), StateCompleted, 0, 1)
	want := Metrics{Total: 12, Since: time.UnixMilli(1795435105922), PerMinute: []int64{3, 0}, Minutes: 3}
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("%v\n%s", err, diff)
	}
	none, err := q.Metrics(t.Context(), StateFailed, 0, -1)
	if diff := cmp.Diff(Metrics{PerMinute: []int64{}}, none); err != nil || diff != "" {
		t.Errorf("%v\n%s", err, diff)
	}
}

func TestDependencies(t *testing.T) {
	t.Parallel()
	q := newQueue(t, QueueConfig{})
	do(t, q, "SADD", "P:x:dependencies", "bull:o:1")
	do(t, q, "HSET", "P:x:processed", "bull:o:2", `{"a":1}`, "bull:o:3", "plain")
	do(t, q, "HSET", "P:x:failed", "bull:o:4", "boom")
	do(t, q, "ZADD", "P:x:unsuccessful", "1", "bull:o:5")
	got, err := q.Dependencies(t.Context(), "x")
	want := Dependencies{
		Pending:   []string{"bull:o:1"},
		Processed: map[string]json.RawMessage{"bull:o:2": json.RawMessage(`{"a":1}`), "bull:o:3": json.RawMessage(`"plain"`)},
		Ignored:   map[string]string{"bull:o:4": "boom"}, Unsuccessful: []string{"bull:o:5"},
	}
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("%v\n%s", err, diff)
	}
}

func TestWorkers(t *testing.T) {
	t.Parallel()
	q := newQueue(t, QueueConfig{})
	name := func(suffix string) {
		client, err := rueidis.NewClient(rueidis.ClientOption{
			InitAddress: []string{sharedRedis.start(t)}, DisableCache: true, ClientName: q.config.Prefix + ":bWFpbA==" + suffix,
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(client.Close)
		if err := client.Do(t.Context(), client.B().Ping().Build()).Error(); err != nil {
			t.Fatal(err)
		}
	}
	for _, suffix := range []string{"", ":w:go-1", ":qe", "x"} {
		name(suffix)
	}
	workers, err := q.Workers(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, w := range workers {
		names = append(names, w.Name)
		if !strings.HasPrefix(w.Address, "127.0.0.1:") || w.Connected < 0 || w.Connected > time.Hour {
			t.Errorf("%+v", w)
		}
	}
	slices.Sort(names)
	if names = slices.Compact(names); !slices.Equal(names, []string{"", "go-1"}) {
		t.Errorf("workers %q", names)
	}
}

func TestTrimEvents(t *testing.T) {
	t.Parallel()
	q := newQueue(t, QueueConfig{})
	for range 500 {
		do(t, q, "XADD", "P:events", "*", "event", "x")
	}
	n, err := q.TrimEvents(t.Context(), 100)
	left, _ := do(t, q, "XLEN", "P:events").AsInt64()
	if err != nil || n < 300 || left != 500-n {
		t.Errorf("trimmed %d, left %d, %v", n, left, err)
	}
}
