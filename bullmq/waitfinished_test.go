package bullmq

import (
	"context"
	"encoding/json"
	"errors"
	"strconv"
	"testing"
	"time"
)

// end ends a job as a worker does, as far as those who wait for it can see.
func end(t *testing.T, q *Queue, id, how, text string, keep bool) {
	t.Helper()
	field := map[string]string{EventCompleted: fieldReturnValue, EventFailed: fieldFailedReason}[how]
	script := `
		if ARGV[5] == '1' then
			redis.call('HSET', KEYS[1], ARGV[3], ARGV[4], 'finishedOn', '1')
			redis.call('ZADD', KEYS[2], 1, ARGV[1])
		else
			redis.call('DEL', KEYS[1])
		end
		redis.call('XADD', KEYS[3], '*', 'event', ARGV[2], 'jobId', ARGV[1], ARGV[3], ARGV[4], 'prev', 'active')`
	kept := "0"
	if keep {
		kept = "1"
	}
	do(t, q, "EVAL", script, "3", "P:"+id, "P:"+how, "P:events", id, how, field, text, kept)
}

// addJob adds a job of this id, or of any.
func addJob(t *testing.T, q *Queue, id string) string {
	t.Helper()
	job, err := q.Add(testContext(t), "mail", nil, JobOptions{ID: id})
	if err != nil {
		t.Fatal(err)
	}
	return job.ID
}

// answer is what WaitFinished returns.
type answer struct {
	value json.RawMessage
	err   error
}

// ask waits for a job on the side.
func (p *tape) ask(t *testing.T, q *Queue, id string) <-chan answer {
	t.Helper()
	ctx := testContext(t)
	got := make(chan answer, 1)
	go func() {
		value, err := q.WaitFinished(ctx, id, p.QueueEvents)
		got <- answer{value, err}
	}()
	return got
}

// waits waits until that many calls of WaitFinished know that their job has not ended.
func (p *tape) waits(t *testing.T, id string, calls int) {
	t.Helper()
	eventually(t, "calls that wait for job "+id, func() bool {
		p.QueueEvents.mu.Lock()
		defer p.QueueEvents.mu.Unlock()
		waiting := 0
		for _, f := range p.finishes[id] {
			if f.behind != (streamID{}) {
				waiting++
			}
		}
		return waiting == calls
	})
}

func (a answer) wantValue(t *testing.T, value string) {
	t.Helper()
	if a.err != nil || string(a.value) != value {
		t.Errorf("got %s and %v, want %s", a.value, a.err, value)
	}
}

func (a answer) wantFailed(t *testing.T, reason string) {
	t.Helper()
	var failed *FailedError
	if !errors.As(a.err, &failed) || failed.Reason != reason || a.value != nil {
		t.Errorf("got %s and %v, want a failure for %q", a.value, a.err, reason)
	}
}

func TestWaitFinished(t *testing.T) {
	t.Parallel()
	q := newQueue(t, QueueConfig{})
	events := record(t, q, EventsConfig{})
	for _, end := range []struct {
		name string
		end  func(id string)
		want func(answer)
	}{
		{
			"completed", func(id string) { end(t, q, id, EventCompleted, `{"ok":1}`, true) },
			func(a answer) { a.wantValue(t, `{"ok":1}`) },
		},
		{
			"failed", func(id string) { end(t, q, id, EventFailed, "no such shoe", true) },
			func(a answer) { a.wantFailed(t, "no such shoe") },
		},
		{
			"completed with no JSON", func(id string) { end(t, q, id, EventCompleted, `{"`, true) },
			func(a answer) { a.wantValue(t, `"{\""`) },
		},
	} {
		t.Run(end.name, func(t *testing.T) {
			early := addJob(t, q, "")
			end.end(early)
			end.want(<-events.ask(t, q, early))

			late := addJob(t, q, "")
			first, second := events.ask(t, q, late), events.ask(t, q, late)
			events.waits(t, late, 2)
			end.end(late)
			end.want(<-first)
			end.want(<-second)
		})
	}
	if len(events.finishes) != 0 {
		t.Errorf("%d are still waited for", len(events.finishes))
	}
}

func TestWaitFinishedOfAJobThatIsRemoved(t *testing.T) {
	t.Parallel()
	q := newQueue(t, QueueConfig{})
	events := record(t, q, EventsConfig{})

	id := addJob(t, q, "")
	got := events.ask(t, q, id)
	events.waits(t, id, 1)
	end(t, q, id, EventCompleted, "5", false)
	(<-got).wantValue(t, "5")

	id = addJob(t, q, "")
	got = events.ask(t, q, id)
	events.waits(t, id, 1)
	do(t, q, "DEL", "P:"+id)
	do(t, q, "XADD", "P:events", "*", "event", "removed", "jobId", id, "prev", "wait")
	if a := <-got; !errors.Is(a.err, ErrJobNotFound) {
		t.Errorf("removed: %v", a.err)
	}

	id = addJob(t, q, "")
	got = events.ask(t, q, id)
	events.waits(t, id, 1)
	do(t, q, "DEL", "P:"+id)
	do(t, q, "XADD", "P:events", "*", "event", "cleaned", "count", "1")
	if a := <-got; !errors.Is(a.err, ErrJobNotFound) {
		t.Errorf("cleaned: %v", a.err)
	}

	if a := <-events.ask(t, q, "never-there"); !errors.Is(a.err, ErrJobNotFound) {
		t.Errorf("never there: %v", a.err)
	}
}

// The reader is behind: the job is gone when it is asked for, and the event with its value is yet to be read.
func TestWaitFinishedIsBehind(t *testing.T) {
	t.Parallel()
	q := newQueue(t, QueueConfig{})
	e, err := NewQueueEvents(q.client, q.name, EventsConfig{Prefix: q.config.Prefix, From: "0"})
	if err != nil {
		t.Fatal(err)
	}
	publish(t, q, 0, 1)
	stuck, free := make(chan struct{}), make(chan struct{})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- e.Run(ctx, func(event Event) {
			if event.Name == "0" {
				close(stuck)
				<-free
			}
		})
	}()
	<-stuck
	events := &tape{QueueEvents: e}

	gone := addJob(t, q, "")
	end(t, q, gone, EventCompleted, `"it"`, false)
	value := events.ask(t, q, gone)

	addJob(t, q, "again")
	end(t, q, "again", EventFailed, "the first time", false)
	addJob(t, q, "again")
	second := events.ask(t, q, "again")
	events.waits(t, "again", 1)
	eventually(t, "a call that waits for an event", func() bool {
		e.mu.Lock()
		defer e.mu.Unlock()
		return len(e.passages) == 1
	})
	close(free)
	(<-value).wantValue(t, `"it"`)
	end(t, q, "again", EventCompleted, `"the second time"`, true)
	(<-second).wantValue(t, `"the second time"`)
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// Events that would have told are dropped before they could be read.
func TestWaitFinishedMissesEvents(t *testing.T) {
	t.Parallel()
	q := newQueue(t, QueueConfig{})
	events := record(t, q, EventsConfig{})
	id := addJob(t, q, "")
	got := events.ask(t, q, id)
	events.waits(t, id, 1)
	events.stop(t)
	if a := <-got; !errors.Is(a.err, ErrEventsEnded) {
		t.Errorf("not read any more: %v", a.err)
	}

	got = events.ask(t, q, id)
	events.waits(t, id, 1)
	end(t, q, id, EventCompleted, "5", true)
	do(t, q, "XTRIM", "P:events", "MAXLEN", "0")
	play(t, events.QueueEvents)
	(<-got).wantValue(t, "5")
}

func TestWaitFinishedIsTired(t *testing.T) {
	t.Parallel()
	q := newQueue(t, QueueConfig{})
	events := record(t, q, EventsConfig{})
	id := addJob(t, q, "")
	ctx, cancel := context.WithCancel(t.Context())
	got := make(chan error, 1)
	go func() {
		_, err := q.WaitFinished(ctx, id, events.QueueEvents)
		got <- err
	}()
	events.waits(t, id, 1)
	cancel()
	if err := <-got; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if len(events.finishes) != 0 {
		t.Error("it is still waited for")
	}

	other, err := NewQueueEvents(q.client, "other", EventsConfig{Prefix: q.config.Prefix})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := q.WaitFinished(t.Context(), id, other); err == nil {
		t.Error("events of another queue are accepted")
	}
	ctx, cancel = context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	own, err := NewQueueEvents(q.client, q.name, EventsConfig{Prefix: q.config.Prefix})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := q.WaitFinished(ctx, id, own); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("events that nobody reads: %v", err)
	}
}

func TestWaitFinishedOfMany(t *testing.T) {
	t.Parallel()
	q := newQueue(t, QueueConfig{})
	events := record(t, q, EventsConfig{})
	const jobs = 200
	ids, got := make([]string, jobs), make([]<-chan answer, jobs)
	for i := range jobs {
		ids[i] = addJob(t, q, "")
		got[i] = events.ask(t, q, ids[i])
	}
	for i, id := range ids {
		if i == jobs/2 {
			events.kill(t)
		}
		end(t, q, id, EventCompleted, strconv.Itoa(i), i%2 == 0)
	}
	for i := range jobs {
		(<-got[i]).wantValue(t, strconv.Itoa(i))
	}
}

// With a worker: the values of jobs that are removed with their end come all the same.
func TestWaitFinishedOfAWorker(t *testing.T) {
	t.Parallel()
	q := newQueue(t, QueueConfig{})
	events := record(t, q, EventsConfig{})
	w, err := NewWorker(q.client, q.name, func(_ context.Context, job *Job) (any, error) {
		if job.Name == "bad" {
			return nil, errors.New("no such shoe")
		}
		return job.ID, nil
	}, WorkerConfig{Prefix: q.config.Prefix, Concurrency: 10})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- w.Run(ctx) }()
	for i := range 50 {
		name := []string{"good", "bad"}[i%2]
		job, err := q.Add(testContext(t), name, nil, JobOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if a := <-events.ask(t, q, job.ID); name == "good" {
			a.wantValue(t, `"`+job.ID+`"`)
		} else {
			a.wantFailed(t, "no such shoe")
		}
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
