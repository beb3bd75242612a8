package sqlitequeue

import (
	"context"
	"database/sql"
	_ "embed"
	"fmt"
	"slices"
	"time"

	"loupe/internal/queue"
	"loupe/internal/sqlitedb"
)

// turn is one transaction of a consumer. It changes nothing of the consumer, which learns what has come of it when it is
// committed.
type turn struct {
	c                     *consumer
	now                   time.Time
	renew, reclaim, sweep bool // what is due

	started   []*run
	suspects  []int64 // what the consumer's become
	lost      []*run
	foreign   map[handOut]sighting
	sweepMore bool
	next      time.Duration // until a delayed job is due or a hold is over; 0 for never
}

// takeTurn writes what has ended, does what is due, and starts what can start. It returns when the next turn is due if
// nothing happens until then.
func (c *consumer) takeTurn(ctx context.Context) (due time.Time, err error) {
	c.collect()
	now := time.Now()
	working := c.stopped.IsZero()
	t := turn{
		c: c, now: now, suspects: slices.Clone(c.suspects),
		renew:   c.keepsLeases() && !now.Before(c.renewAt),
		reclaim: working && !now.Before(c.reclaimAt),
		sweep:   working && !now.Before(c.sweepAt),
	}
	steps := []func(context.Context, *sqlitedb.Tx) error{t.endJobs, t.renewLeases, t.reclaimJobs, t.sweepOld}
	if working {
		steps = append(steps, t.promoteDelayed, t.takeJobs)
	}
	err = c.q.db.Write(ctx, func(tx *sqlitedb.Tx) error {
		for _, step := range steps {
			if err := step(ctx, tx); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return c.afterFailure(ctx, now), err
	}
	c.apply(ctx, &t)
	return c.nextTurn(&t), nil
}

// keepsLeases reports whether there are leases that others would see running out.
func (c *consumer) keepsLeases() bool { return !c.config.Sole && len(c.running) > len(c.ended) }

// afterFailure returns when to try again. What could not be written stays to be written. Leases that could not be
// renewed for too long have run out: others may have taken the jobs.
func (c *consumer) afterFailure(ctx context.Context, now time.Time) time.Time {
	if c.keepsLeases() && now.Sub(c.renewed) >= c.config.Lease {
		var lost []*run
		for r := range c.running {
			if !r.lost && !c.hasEnded(r) {
				lost = append(lost, r)
			}
		}
		c.lose(ctx, lost)
	}
	return now.Add(min(retryEvery, c.config.Lease/4))
}

// apply takes over what has been committed.
func (c *consumer) apply(ctx context.Context, t *turn) {
	for _, e := range c.ended {
		delete(c.running, e.run)
	}
	c.ended = c.ended[:0]
	if t.renew || len(c.running) == 0 {
		c.renewed, c.renewAt = t.now, t.now.Add(c.config.Lease/2)
	}
	if t.reclaim {
		c.foreign, c.reclaimAt = t.foreign, t.now.Add(c.reclaimEvery())
	}
	if t.sweep {
		c.sweepAt = t.now
		if !t.sweepMore {
			c.sweepAt = t.now.Add(c.sweepEvery())
		}
	}
	c.suspects = t.suspects
	c.lookAt = t.now.Add(lookEvery)
	c.lose(ctx, t.lost)
	for _, r := range t.started {
		if r.dead == "" {
			c.q.gate.passed()
		}
		c.running[r] = true
		c.start(ctx, r)
	}
}

// nextTurn returns when a turn is due if nothing happens until then.
func (c *consumer) nextTurn(t *turn) time.Time {
	if !c.stopped.IsZero() {
		due := c.stopped.Add(c.config.Grace)
		if c.cancelled {
			due = due.Add(stopWait)
		}
		return earliest(due, c.keepsLeases(), c.renewAt)
	}
	due := earliest(c.sweepAt, true, c.reclaimAt)
	due = earliest(due, c.keepsLeases(), c.renewAt)
	due = earliest(due, t.next > 0, t.now.Add(t.next))
	return earliest(due, !c.config.Sole && c.free() > 0, c.lookAt)
}

func earliest(due time.Time, also bool, other time.Time) time.Time {
	if also && other.Before(due) {
		return other
	}
	return due
}

//go:embed sql/end.sql
var endSQL string

//go:embed sql/hold.sql
var holdSQL string

// endJobs writes what has become of the runs that have ended.
func (t *turn) endJobs(ctx context.Context, tx *sqlitedb.Tx) error {
	for _, e := range t.c.ended {
		var at int64
		switch e.state {
		case queue.Completed, queue.FailedJob:
			at = t.now.UnixMilli()
		case queue.Delayed:
			at = t.now.Add(e.delay).UnixMilli()
		}
		var failures sql.NullString
		if e.failure != "" {
			text, err := e.errorsWith(t.now)
			if err != nil {
				return err
			}
			failures = sql.NullString{String: text, Valid: true}
		}
		changed, err := tx.Exec(ctx, endSQL, e.run.seq, t.c.q.worker, e.run.job.Starts, string(e.state), at, e.spent, failures)
		if err != nil {
			return err
		}
		if changed == 0 {
			t.c.log.WarnContext(ctx, "job had been given to another worker, its end does not count", "job", e.run.job.ID)
		}
		if e.hold > 0 {
			if _, err := tx.Exec(ctx, holdSQL, t.now.Add(e.hold).UnixMilli(), t.now.Add(queue.MaxHold).UnixMilli()); err != nil {
				return err
			}
		}
	}
	return nil
}

//go:embed sql/promote.sql
var promoteSQL string

// promoteDelayed puts delayed jobs that are due back to their places in the line.
func (t *turn) promoteDelayed(ctx context.Context, tx *sqlitedb.Tx) error {
	_, err := tx.Exec(ctx, promoteSQL, t.now.UnixMilli(), t.now.Add(t.c.longestDelay()).UnixMilli())
	return err
}

// longestDelay is how long a job is delayed at most. One that is due later still was delayed before the clock was set back.
func (c *consumer) longestDelay() time.Duration {
	return max(queue.MaxHold, c.config.BackoffAfter(c.config.Attempts))
}

var (
	//go:embed sql/gate.sql
	gateSQL string
	//go:embed sql/take.sql
	takeSQL string
	//go:embed sql/take_one.sql
	takeOneSQL string
)

// takeJobs takes as many jobs as can be worked on, the first in line first.
func (t *turn) takeJobs(ctx context.Context, tx *sqlitedb.Tx) error {
	var paused bool
	var heldUntil int64
	var nextDelayed sql.NullInt64
	if _, err := tx.Query(ctx, func(row sqlitedb.Row) error {
		return row.Scan(&paused, &heldUntil, &nextDelayed)
	}, gateSQL); err != nil {
		return err
	}
	now := t.now.UnixMilli()
	if nextDelayed.Valid {
		t.next = time.Duration(max(1, nextDelayed.Int64-now)) * time.Millisecond
	}
	if hold := time.Duration(heldUntil-now) * time.Millisecond; hold > 0 && hold <= queue.MaxHold { // else the clock was set back
		if t.next == 0 || hold < t.next {
			t.next = hold
		}
		return nil
	}
	free, shut := t.c.q.gate.lets(t.c.free()-len(t.started), t.now)
	if shut > 0 && (t.next == 0 || shut < t.next) {
		t.next = shut
	}
	if paused || free <= 0 || t.c.runsAlone() {
		return nil
	}
	if err := t.takeSuspect(ctx, tx); err != nil || len(t.started)+len(t.suspects) > 0 {
		return err
	}
	_, err := tx.Query(ctx, func(row sqlitedb.Row) error {
		r, _, err := t.c.scanRun(row)
		t.started = append(t.started, r)
		return err
	}, takeSQL, t.c.q.worker, now, free)
	return err
}

// takeSuspect takes the first job whose worker died, once no other runs: one that kills its worker takes no others along.
func (t *turn) takeSuspect(ctx context.Context, tx *sqlitedb.Tx) error {
	if len(t.c.running) > len(t.c.ended) {
		return nil
	}
	for len(t.suspects) > 0 && len(t.started) == 0 {
		var seq int64
		seq, t.suspects = t.suspects[0], t.suspects[1:]
		_, err := tx.Query(ctx, func(row sqlitedb.Row) error {
			r, _, err := t.c.scanRun(row)
			r.alone = true
			t.started = append(t.started, r)
			return err
		}, takeOneSQL, t.c.q.worker, t.now.UnixMilli(), seq)
		if err != nil {
			return err
		}
	}
	return nil
}

// runsAlone reports whether a job runs that is to run alone.
func (c *consumer) runsAlone() bool {
	for r := range c.running {
		if r.alone && !c.hasEnded(r) {
			return true
		}
	}
	return false
}

// sweepBatch is how many old jobs one turn removes at most, of each kind.
const sweepBatch = 500

//go:embed sql/sweep.sql
var sweepSQL string

// sweepOld removes jobs that ended long ago.
func (t *turn) sweepOld(ctx context.Context, tx *sqlitedb.Tx) error {
	if !t.sweep {
		return nil
	}
	for state, keep := range map[queue.State]time.Duration{
		queue.Completed: t.c.config.KeepDone, queue.FailedJob: t.c.config.KeepFailed,
	} {
		n, err := tx.Exec(ctx, sweepSQL, string(state), t.now.Add(-keep).UnixMilli(), sweepBatch)
		if err != nil {
			return fmt.Errorf("sweep: %w", err)
		}
		t.sweepMore = t.sweepMore || n == sweepBatch
	}
	return nil
}

// sweepEvery is a minute, or less where jobs are not even kept for two.
func (c *consumer) sweepEvery() time.Duration {
	return min(time.Minute, c.config.KeepDone/2, c.config.KeepFailed/2)
}
