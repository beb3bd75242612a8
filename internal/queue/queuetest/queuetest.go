// Package queuetest is the suite that every queue passes, in both its roles: [queue.Queue] and [queue.Admin].
package queuetest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"loupe/internal/queue"
)

// Harness is what a back end gives to its tests.
type Harness struct {
	// New makes an empty store for one test. The function it returns opens a queue on that store as another process
	// would, and closes it when the test ends.
	New func(t *testing.T) (open func(c queue.Config) Instance)

	// Alone says that only one queue at a time can be at work on a store. The tests with several are then no tests of
	// this back end.
	Alone bool

	// WorksOn says that a worker which has lost its store lets its handlers go on: the store may come back, and it alone
	// knows whether somebody else has the job. Then there is no test that handlers are told of the loss.
	WorksOn bool

	// SharedGate says that all queues on a store have one gate. Otherwise each has its own.
	SharedGate bool

	// Bubble says that the back end stays within the process, so that its tests can run in bubbles of [synctest], where
	// waiting takes no time.
	Bubble bool
}

// Instance is an open queue.
type Instance struct {
	queue.Queue
	queue.Admin

	// Cut parts the queue from its store for good, as the death of its process would: what it does from then on fails.
	Cut func()
}

// Run runs the suite.
func Run(t *testing.T, h Harness) {
	t.Helper()
	tests := []test{
		{"A job and its record", testJob},
		{"An id is one job", testOneJobPerID},
		{"An ended context enqueues nothing", testEndedContext},
		{"Data that is no JSON", testNoJSON},
		{"Ids and data come back as they were", testHostile},
		{"First in, first out", testFirstInFirstOut},
		{"Concurrency", testConcurrency},
		{"A new job starts at once", testStartsAtOnce},

		{"Attempts and backoff", testBackoff},
		{"Spent attempts make a dead letter", testSpent},
		{"A permanent error makes a dead letter at once", testPermanent},
		{"A postponed job keeps its place", testPostpone},
		{"A job that is handed back", testHandedBack},
		{"Timeout", testTimeout},
		{"A panic is a failed attempt", testPanic},
		{"Goexit is a failed attempt", testGoexit},
		{"Errors are bounded", testErrorsAreBounded},
		{"A delay outlives the process", testDelayOutlives},

		{"Running jobs end within the grace period", testGrace},
		{"After the grace period jobs are given back", testAfterGrace},
		{"Start and stop", testStartAndStop},
		{"A job whose worker died", testWorkerDied},
		{"A job whose worker died too often", testPoison},
		{"A poison kills no others", testPoisonKillsNoOthers},

		{"Counts", testCounts},
		{"Pause and Resume", testPause},
		{"Retry", testRetry},
		{"Remove", testRemove},
		{"Dead letters in pages", testDeadLetterPages},
		{"Dead letters by filter", testDeadLetterFilter},
		{"Foreign cursors", testCursor},
		{"Workers and what they do", testWorkers},
		{"A postponed job that waits alone", testPostponeAlone},
		{"The gate", testGate},
		{"The turn to look", testGateTurn},
		{"Fewer jobs at once", testThrottle},

		{"Completed jobs are kept for a time", testKeepDone},
		{"Dead letters are kept for a time", testKeepFailed},
	}
	if !h.Alone {
		tests = append(tests,
			test{"Two workers share the line", testTwoWorkers},
			test{"A slow worker keeps its job", testSlowButAlive},
			test{"A pause holds everywhere", testPauseEverywhere},
		)
	}
	if !h.Alone && !h.WorksOn {
		tests = append(tests, test{"A worker without its store gives up", testLeaseLost})
	}
	if h.SharedGate {
		tests = append(tests, test{"One gate for all", testGateEverywhere})
	}
	for _, c := range tests {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			run := func(t *testing.T) { c.run(t, world{h.New(t)}) }
			if h.Bubble {
				synctest.Test(t, run)
			} else {
				run(t)
			}
		})
	}
}

type test struct {
	name string
	run  func(t *testing.T, w world)
}

// world is a store of one test.
type world struct{ open func(c queue.Config) Instance }

// quick are settings that make tests short. What a test is about it sets itself.
func quick(change func(c *queue.Config)) queue.Config {
	c := queue.Config{
		Concurrency: 5, Attempts: 3, Backoff: 20 * time.Millisecond, Timeout: time.Minute, Grace: time.Minute,
		Lease: time.Second, MaxStalls: 3, KeepDone: time.Hour, KeepFailed: time.Hour,
	}
	if change != nil {
		change(&c)
	}
	return c
}

// handler is a [queue.Handler] made of functions.
type handler struct {
	process func(ctx context.Context, job queue.Job) error
	dead    func(ctx context.Context, job queue.Job, reason string)
}

func (h handler) Process(ctx context.Context, job queue.Job) error { return h.process(ctx, job) }

func (h handler) Dead(ctx context.Context, job queue.Job, reason string) { h.dead(ctx, job, reason) }

// consume works on q with process until the test ends or stop is called, which returns what Consume has returned.
func consume(t *testing.T, q Instance, process func(ctx context.Context, job queue.Job) error) (stop func() error) {
	t.Helper()
	return consumeWith(t, q, handler{process, func(_ context.Context, job queue.Job, reason string) {
		t.Errorf("told that %s is dead: %s", job.ID, reason)
	}})
}

func consumeWith(t *testing.T, q Instance, h handler) (stop func() error) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	var err error
	go func() {
		defer close(done)
		err = q.Consume(ctx, h)
	}()
	stop = func() error {
		cancel()
		<-done
		return err
	}
	t.Cleanup(func() { _ = stop() })
	return stop
}

func enqueue(t *testing.T, q Instance, ids ...string) {
	t.Helper()
	for _, id := range ids {
		if err := q.Enqueue(t.Context(), id, json.RawMessage(`{}`)); err != nil {
			t.Fatal(err)
		}
	}
}

func get(t *testing.T, q Instance, id string) queue.Record {
	t.Helper()
	r, err := q.Get(t.Context(), id)
	if err != nil {
		t.Fatalf("Get(%q): %v", id, err)
	}
	return r
}

// patience is how long a test waits for what must come.
const patience = 30 * time.Second

// eventually waits until ok.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.After(patience)
	for !ok() {
		select {
		case <-deadline:
			t.Fatalf("waited in vain: %s", what)
		case <-time.After(2 * time.Millisecond):
		}
	}
}

// becomes waits until the job is in that state, and returns its record.
func becomes(t *testing.T, q Instance, id string, state queue.State) (r queue.Record) {
	t.Helper()
	eventually(t, fmt.Sprintf("%s is %s", id, state), func() bool {
		var err error
		if r, err = q.Get(t.Context(), id); err != nil {
			t.Fatalf("Get(%q): %v", id, err)
		}
		return r.State == state
	})
	return r
}

// next receives from c.
func next[T any](t *testing.T, c <-chan T) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(patience):
		t.Fatalf("waited in vain for a %T", *new(T))
		panic("not reached")
	}
}

// nothing makes sure that nothing comes from c for a while.
func nothing[T any](t *testing.T, c <-chan T, during time.Duration) {
	t.Helper()
	select {
	case v := <-c:
		t.Errorf("unexpected: %v", v)
	case <-time.After(during):
	}
}

var errTest = errors.New("the test wants it so")
