package bullmq

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
)

// saved returns a job that has lived elsewhere.
func saved(id string, state State, change func(*SavedJob)) SavedJob {
	s := SavedJob{
		NewJob: NewJob{Name: "a", Data: json.RawMessage(`{"n": 1}`), Options: JobOptions{ID: id, Attempts: 3, Timestamp: time.UnixMilli(1000)}},
		State:  state,
	}
	if change != nil {
		change(&s)
	}
	return s
}

func TestRestore(t *testing.T) {
	t.Parallel()
	now := time.Now()
	plain := func(id string) string {
		return fmt.Sprintf(`data={"n": 1} delay=0 name=a opts={"attempts":3,"jobId":%q,"timestamp":1000} priority=0 timestamp=1000`, id)
	}
	tests := []struct {
		name   string
		before func(*testing.T, *Queue)
		jobs   []SavedJob
		keys   map[string]string
		events []string
	}{
		{
			name: "the line",
			jobs: []SavedJob{saved("x", StateWaiting, nil), saved("y", StateWaiting, nil)},
			keys: map[string]string{
				"x": plain("x"), "y": plain("y"),
				"wait": "y x", "marker": "0=0",
			},
			events: []string{"added x a", "waiting x", "added y a", "waiting y"},
		},
		{
			name: "with what was tried",
			jobs: []SavedJob{saved("x", StateWaiting, func(s *SavedJob) {
				s.AttemptsMade, s.AttemptsStarted, s.StalledCount, s.ProcessedOn = 1, 4, 2, time.UnixMilli(2000)
				s.FailedReason, s.Stacktrace = "no <b>", []string{"no <b>\n    at attempt 1"}
			})},
			keys: map[string]string{
				"x": `atm=1 ats=4 data={"n": 1} delay=0 failedReason=no <b> name=a opts={"attempts":3,"jobId":"x","timestamp":1000} ` +
					`priority=0 processedOn=2000 stacktrace=["no <b>\n    at attempt 1"] stc=2 timestamp=1000`,
				"wait": "x", "marker": "0=0",
			},
			events: []string{"added x a", "waiting x"},
		},
		{
			name: "by priority",
			jobs: []SavedJob{saved("x", StateWaiting, func(s *SavedJob) { s.Options.Priority = 2 })},
			keys: map[string]string{
				"x":           `data={"n": 1} delay=0 name=a opts={"attempts":3,"priority":2,"jobId":"x","timestamp":1000} priority=2 timestamp=1000`,
				"prioritized": "x=8589934593", "pc": "1", "marker": "0=0",
			},
			events: []string{"added x a", "waiting x"},
		},
		{
			name: "delayed",
			jobs: []SavedJob{
				saved("x", StateDelayed, func(s *SavedJob) { s.Due, s.Options.Timestamp = now.Add(5*time.Minute), now }),
				saved("y", StateDelayed, func(s *SavedJob) { s.Due = time.UnixMilli(3000) }),
			},
			keys: map[string]string{
				"x": `data={"n": 1} delay=300000 name=a opts={"attempts":3,"jobId":"x","timestamp":` + fmt.Sprint(now.UnixMilli()) + `} priority=0 timestamp=T`,
				"y": `data={"n": 1} delay=2000 name=a opts={"attempts":3,"jobId":"y","timestamp":1000} priority=0 timestamp=1000`, "delayed": "y=3000 x=T+5", "marker": "1=3000",
			},
			events: []string{"added x a", "delayed x T+5", "added y a", "delayed y 3000"},
		},
		{
			name: "failed",
			jobs: []SavedJob{saved("x", StateFailed, func(s *SavedJob) {
				s.AttemptsMade, s.FinishedOn, s.ProcessedOn = 3, time.UnixMilli(3000), time.UnixMilli(2000)
				s.FailedReason, s.Stacktrace = "third", []string{"first", "second", "third"}
			})},
			keys: map[string]string{
				"x": `atm=3 data={"n": 1} delay=0 failedReason=third finishedOn=3000 name=a opts={"attempts":3,"jobId":"x","timestamp":1000} ` +
					`priority=0 processedOn=2000 stacktrace=["first","second","third"] timestamp=1000`,
				"failed": "x=3000",
			},
			events: []string{"added x a"},
		},
		{
			name:   "into a line that BullMQ 5 has paused",
			before: func(t *testing.T, q *Queue) { do(t, q, "HSET", "P:meta", "version", "bullmq:5.66.0", "paused", "1") },
			jobs:   []SavedJob{saved("x", StateWaiting, nil)},
			keys: map[string]string{
				"x": plain("x"), "paused": "x",
				"meta": "opts.maxLenEvents=10000 paused=1 version=bullmq:5.66.0",
			},
			events: []string{"added x a", "waiting x"},
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) { // at once: the table has times
			// Defaults and traces are for jobs that are new.
			q := newQueue(t, QueueConfig{Defaults: JobOptions{Attempts: 9, Delay: time.Hour, KeepLogs: 1}, Telemetry: traceOf("now")})
			if test.before != nil {
				test.before(t, q)
			}
			for _, job := range test.jobs {
				if err := q.Restore(t.Context(), job); err != nil {
					t.Fatal(err)
				}
			}
			expect(t, q, test.keys, test.events...)
			for _, job := range test.jobs {
				job.AttemptsMade, job.Data = 2, "other"
				if err := q.Restore(t.Context(), job); !errors.Is(err, ErrJobExists) {
					t.Errorf("again: %v", err)
				}
			}
			expect(t, q, test.keys, test.events...)
		})
	}
}

// A restored job goes on from where it was: here with its last attempt, and after it with a retry.
func TestRestoredJobsRun(t *testing.T) {
	t.Parallel()
	q := newQueue(t, QueueConfig{})
	ended := make(chan int, 10)
	w, err := NewWorker(q.client, q.name, func(_ context.Context, job *Job) (any, error) {
		ended <- job.Attempt()
		if job.Attempt() == 3 {
			return nil, errors.New("third")
		}
		return nil, nil
	}, WorkerConfig{Prefix: q.config.Prefix})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	stopped := make(chan error, 1)
	go func() { stopped <- w.Run(ctx) }()
	defer func() {
		stop()
		if err := <-stopped; err != nil {
			t.Error(err)
		}
	}()
	tried := func(s *SavedJob) {
		s.AttemptsMade, s.AttemptsStarted, s.FailedReason, s.Stacktrace = 2, 2, "second", []string{"first", "second"}
		s.Due, s.FinishedOn = time.Now(), time.Now()
	}
	for _, state := range []State{StateWaiting, StateDelayed} {
		if err := q.Restore(ctx, saved(string("was-"+state), state, tried)); err != nil {
			t.Fatal(err)
		}
		if attempt := <-ended; attempt != 3 {
			t.Errorf("%s: attempt %d", state, attempt)
		}
		waitFor(t, func() bool { s, err := q.State(ctx, string("was-"+state)); return err == nil && s == StateFailed })
		job, err := q.Job(ctx, string("was-"+state))
		if err != nil || len(job.Stacktrace) != 3 || job.Stacktrace[0] != "first" || job.FailedReason != "third" || job.AttemptsStarted != 3 {
			t.Errorf("%s: %+v, %v", state, job, err)
		}
	}
	if err := q.Restore(ctx, saved("was-dead", StateFailed, tried)); err != nil {
		t.Fatal(err)
	}
	if err := q.Retry(ctx, "was-dead", RetryOptions{ResetAttempts: true}); err != nil {
		t.Fatal(err)
	}
	if attempt := <-ended; attempt != 1 {
		t.Errorf("retried: attempt %d", attempt)
	}
	waitFor(t, func() bool { s, err := q.State(ctx, "was-dead"); return err == nil && s == StateCompleted })
}

func TestRestoreRefuses(t *testing.T) {
	t.Parallel()
	q := newQueue(t, QueueConfig{})
	for want, change := range map[string]func(*SavedJob){
		"its id":                 func(s *SavedJob) { s.Options.ID = "" },
		"name of a key":          func(s *SavedJob) { s.Options.ID = "wait" },
		"name: needs":            func(s *SavedJob) { s.Name = "" },
		"data":                   func(s *SavedJob) { s.Data = func() {} },
		"a delay":                func(s *SavedJob) { s.Options.Delay = 1 },
		"deduplication":          func(s *SavedJob) { s.Options.Deduplication = &Deduplication{ID: "d"} },
		"parent":                 func(s *SavedJob) { s.Options.Parent = &Parent{ID: "1", Queue: "a:b"} },
		"negative count":         func(s *SavedJob) { s.AttemptsMade = -1 },
		"until when is not said": func(s *SavedJob) { s.State = StateDelayed },
		"but when is not said":   func(s *SavedJob) { s.State = StateFailed },
		`state "active"`:         func(s *SavedJob) { s.State = StateActive },
		`state ""`:               func(s *SavedJob) { s.State = "" },
	} {
		err := q.Restore(t.Context(), saved("x", StateWaiting, change))
		if err == nil || !strings.Contains(err.Error(), want) || errors.Is(err, ErrJobExists) {
			t.Errorf("%s: %v", want, err)
		}
	}
	if left := dump(t, q); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}
