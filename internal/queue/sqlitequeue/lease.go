package sqlitequeue

import (
	"context"
	_ "embed"
	"fmt"
	"time"

	"loupe/internal/sqlitedb"
)

// A lease has no end that is written down: a worker renews it by changing the job's beat, and who sees a beat unchanged
// for the length of a lease, by its own monotonic clock, takes the worker for dead. So no clock that is set, in whatever
// process, makes a living worker lose its job. Our own jobs need no such guess: we know what we work on.

// sighting is what we know of another worker's hand-out.
type sighting struct {
	beat  int64
	since time.Time // when this beat was first seen
}

//go:embed sql/renew.sql
var renewSQL string

// renewLeases renews the leases of our jobs and finds out which of them are ours no more.
func (t *turn) renewLeases(ctx context.Context, tx *sqlitedb.Tx) error {
	if !t.renew {
		return nil
	}
	held := map[handOut]bool{}
	if _, err := tx.Query(ctx, func(row sqlitedb.Row) error {
		var h handOut
		err := row.Scan(&h.seq, &h.starts)
		held[h] = true
		return err
	}, renewSQL, t.c.q.worker); err != nil {
		return err
	}
	for r := range t.c.running {
		if !held[r.handOut()] && !r.lost && !t.c.hasEnded(r) {
			t.lost = append(t.lost, r)
		}
	}
	return nil
}

func (r *run) handOut() handOut { return handOut{r.seq, int64(r.job.Starts)} }

// reclaimEvery is how often to look for jobs of dead workers. Alone, there are none but those of a predecessor; then it
// is only a safeguard.
func (c *consumer) reclaimEvery() time.Duration {
	if c.config.Sole {
		return time.Minute
	}
	return c.config.Lease / 4
}

var (
	//go:embed sql/active.sql
	activeSQL string
	//go:embed sql/giveback.sql
	giveBackSQL string
	//go:embed sql/adopt.sql
	adoptSQL string
)

// reclaimJobs gives back the jobs of dead workers. One whose workers died too often is started as dead.
func (t *turn) reclaimJobs(ctx context.Context, tx *sqlitedb.Tx) error {
	if !t.reclaim {
		return nil
	}
	type orphan struct {
		seq    int64
		id     string
		stalls int
	}
	var orphans []orphan
	t.foreign = map[handOut]sighting{}
	if _, err := tx.Query(ctx, func(row sqlitedb.Row) error {
		var o orphan
		var starts, beat int64
		var worker string
		if err := row.Scan(&o.seq, &o.id, &starts, &worker, &beat, &o.stalls); err != nil {
			return err
		}
		if t.abandoned(handOut{o.seq, starts}, worker, beat) {
			orphans = append(orphans, o)
		}
		return nil
	}, activeSQL); err != nil {
		return err
	}
	for _, o := range orphans {
		t.c.log.WarnContext(ctx, "a job's worker died", "job", o.id, "deaths", o.stalls+1)
		if o.stalls < t.c.config.MaxStalls {
			if _, err := tx.Exec(ctx, giveBackSQL, o.seq); err != nil {
				return err
			}
			t.suspects = append(t.suspects, o.seq)
			continue
		}
		if _, err := tx.Query(ctx, func(row sqlitedb.Row) error {
			r, stalls, err := t.c.scanRun(row)
			if err != nil {
				return err
			}
			r.dead = fmt.Sprintf("the worker died %d times while it had this job", stalls+1)
			r.job.RetryIn = 0
			t.started = append(t.started, r)
			return nil
		}, adoptSQL, o.seq, t.c.q.worker); err != nil {
			return err
		}
	}
	return nil
}

// abandoned reports whether nobody works on an active job any more, and notes the sighting while that is not known.
func (t *turn) abandoned(h handOut, worker string, beat int64) bool {
	for r := range t.c.running {
		if r.handOut() == h { // lost or not, its handler has not returned
			return false
		}
	}
	if t.c.config.Sole || worker == t.c.q.worker {
		return true
	}
	before, seen := t.c.foreign[h]
	if !seen || before.beat != beat {
		before = sighting{beat, t.now}
	}
	t.foreign[h] = before
	return t.now.Sub(before.since) >= t.c.config.Lease
}
