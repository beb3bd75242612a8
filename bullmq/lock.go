package bullmq

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/redis/rueidis"
)

var extendScript = newScript("extend")

const maxExtended = 500 // locks of one call

// renewLocks extends the locks of all jobs of the shift, each after a quarter to a half of its life, in as few calls as
// can be. On the way it learns which jobs are to be cancelled.
func (s *shift) renewLocks(ctx context.Context) {
	every := s.cfg.Lock / 4
	timer := time.NewTimer(every)
	defer timer.Stop()
	failed := false
	for {
		select {
		case <-ctx.Done():
			return
		case id := <-s.hints:
			s.extend(ctx, s.runsOf(id)) //nolint:errcheck // the next renewal asks again
			continue
		case <-timer.C:
		}
		next := every
		err := s.extend(ctx, s.runsBefore(time.Now().Add(-every)))
		if err != nil {
			next = every / 4
			if !failed {
				s.cfg.Log.Warn("locks of jobs not renewed, trying again", "queue", s.queue, "error", err)
			}
		}
		failed = err != nil
		timer.Reset(next)
	}
}

// runsBefore returns the runs whose locks were not renewed since t.
func (s *shift) runsBefore(t time.Time) []*run {
	return s.runsWhere(func(r *run) bool { return r.renewed.Before(t) })
}

// runsOf returns the runs of a job: more than one if it was fetched again before its last outcome was stored.
func (s *shift) runsOf(id string) []*run {
	return s.runsWhere(func(r *run) bool { return r.job.ID == id })
}

func (s *shift) runsWhere(is func(*run) bool) []*run {
	s.mu.Lock()
	defer s.mu.Unlock()
	var runs []*run
	for _, r := range s.running {
		if !r.lost && is(r) {
			runs = append(runs, r)
		}
	}
	return runs
}

// extend extends the locks of runs. Only an answer that says so is the loss of a lock; an error is none.
func (s *shift) extend(ctx context.Context, runs []*run) error {
	for len(runs) > 0 {
		batch := runs[:min(len(runs), maxExtended)]
		runs = runs[len(batch):]
		asked := time.Now()
		args := []string{millisNow(), decimal(s.cfg.Lock)}
		for _, r := range batch {
			args = append(args, r.job.ID, r.token)
		}
		replies, err := extendScript.try(context.WithoutCancel(ctx), s.client, s.keys, args...).ToArray()
		if err != nil {
			return err
		}
		for i, r := range batch {
			if i < len(replies) {
				s.extended(r, asked, replies[i])
			}
		}
	}
	return nil
}

// extended acts on what extend.lua replied of a run.
func (s *shift) extended(r *run, asked time.Time, reply rueidis.RedisMessage) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if reply.IsNil() {
		if !r.ended {
			r.lost = true
			r.cancel(ErrLockLost)
			s.cfg.Log.Warn("lock of job lost, its outcome will be dropped", "queue", s.queue, "job", r.job.ID)
		}
		return
	}
	r.renewed = asked
	request, err := reply.ToString()
	if err != nil || request == "" {
		return
	}
	r.asked = true
	starts, reason, _ := strings.Cut(request, ":")
	if integer(starts) == r.job.AttemptsStarted {
		r.cancel(cancelled(reason))
	}
}

// cancelled is the cause of a context that was ended on request.
func cancelled(reason string) error {
	if reason == "" {
		return ErrCancelled
	}
	return fmt.Errorf("%w: %s", ErrCancelled, reason)
}
