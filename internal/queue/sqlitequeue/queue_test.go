package sqlitequeue_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"loupe/internal/queue"
	"loupe/internal/queue/sqlitequeue"
	"loupe/internal/sqlitedb"
)

// process is a [queue.Handler] that is never told of a death.
type process func(ctx context.Context, job queue.Job) error

func (p process) Process(ctx context.Context, job queue.Job) error { return p(ctx, job) }

func (process) Dead(context.Context, queue.Job, string) {}

func done(context.Context, queue.Job) error { return nil }

// open opens a new file and a queue on it.
func open(t testing.TB, c queue.Config) (*sqlitequeue.Queue, *sqlitedb.DB) {
	t.Helper()
	db := openDB(t, filepath.Join(t.TempDir(), "loupe.db"))
	return sqlitequeue.New(db, c, logTo(t)), db
}

// consume works on q until stop is called, or the test ends.
func consume(t testing.TB, q *sqlitequeue.Queue, p process) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- q.Consume(ctx, p) }()
	stopped := false
	stop = func() {
		cancel()
		if !stopped {
			stopped = true
			if err := <-ended; err != nil {
				t.Errorf("Consume: %v", err)
			}
		}
	}
	t.Cleanup(stop)
	return stop
}

func enqueue(t testing.TB, q *sqlitequeue.Queue, id string) {
	t.Helper()
	if err := q.Enqueue(t.Context(), id, json.RawMessage(`{}`)); err != nil {
		t.Fatal(err)
	}
}

func state(t testing.TB, q *sqlitequeue.Queue, id string) queue.State {
	t.Helper()
	r, err := q.Get(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	return r.State
}

func change(t testing.TB, db *sqlitedb.DB, query string, args ...any) {
	t.Helper()
	if err := db.Write(t.Context(), func(tx *sqlitedb.Tx) error {
		_, err := tx.Exec(t.Context(), query, args...)
		return err
	}); err != nil {
		t.Fatal(err)
	}
}

// In the bubbles of this file time is not real: it jumps to the next timer when nobody has anything to do, so hours pass
// at once and exactly.

func TestAnIdleConsumerSleeps(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		config queue.Config
		idle   time.Duration
		turns  int64
	}{
		"sole":   {queue.Config{Sole: true}, 5 * time.Hour, 5 * 60},
		"shared": {queue.Config{}, time.Minute, int64(time.Minute / sqlitequeue.LookEvery)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				q, db := open(t, c.config)
				stop := consume(t, q, done)
				synctest.Wait()
				before := db.Stats().Commits
				time.Sleep(c.idle) //nolint:forbidigo // in a bubble
				if turns := db.Stats().Commits - before; turns > c.turns+10 {
					t.Errorf("%d turns in %s without work, want no more than %d", turns, c.idle, c.turns)
				}
				stop()
			})
		})
	}
}

// The aim is 10 ms; what a loaded machine can promise is that nobody polls.
func TestANewJobStartsAtOnce(t *testing.T) {
	t.Parallel()
	q, _ := open(t, queue.Config{Sole: true})
	started := make(chan time.Time)
	consume(t, q, func(context.Context, queue.Job) error { started <- time.Now(); return nil })
	var waits []time.Duration
	for i := range 21 {
		enqueue(t, q, fmt.Sprint(i))
		returned := time.Now()
		waits = append(waits, (<-started).Sub(returned))
	}
	slices.Sort(waits)
	t.Logf("from Enqueue to start: median %s, most %s", waits[len(waits)/2], waits[len(waits)-1])
	if waits[len(waits)/2] > 100*time.Millisecond {
		t.Errorf("median %s", waits[len(waits)/2])
	}
}

func TestTransactionsOfAJob(t *testing.T) {
	t.Parallel()
	const jobs = 50
	q, db := open(t, queue.Config{Sole: true, Concurrency: 1})
	ended := make(chan struct{})
	before := db.Stats().Commits
	for i := range jobs {
		enqueue(t, q, fmt.Sprint("busy-", i))
	}
	stop := consume(t, q, func(context.Context, queue.Job) error { ended <- struct{}{}; return nil })
	for range jobs {
		<-ended
	}
	stop()
	if n := db.Stats().Commits - before; n > 2*jobs+jobs/10 { // on a slow machine the sweep comes by
		t.Errorf("%d transactions for %d jobs in line, want two each", n, jobs)
	}

	synctest.Test(t, func(t *testing.T) {
		q, db := open(t, queue.Config{Sole: true})
		stop := consume(t, q, done)
		synctest.Wait()
		before := db.Stats().Commits
		enqueue(t, q, "lone")
		time.Sleep(time.Second) //nolint:forbidigo // in a bubble
		if n := db.Stats().Commits - before; n != 3 || state(t, q, "lone") != queue.Completed {
			t.Errorf("%d transactions for a lone job, want 3", n)
		}
		stop()
	})
}

func TestASolePredecessorsJobsStartAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "loupe.db")
		config := queue.Config{Sole: true, Lease: time.Hour}
		db := openDB(t, path)
		q := sqlitequeue.New(db, config, logTo(t))
		enqueue(t, q, "a")
		ctx, cancel := context.WithCancel(t.Context())
		release, ended := make(chan struct{}), make(chan error)
		go func() {
			ended <- q.Consume(ctx, process(func(context.Context, queue.Job) error { <-release; return nil }))
		}()
		synctest.Wait()
		if err := db.Close(); err != nil { // it dies
			t.Fatal(err)
		}
		close(release)
		cancel()
		begin := time.Now()
		if err := <-ended; !errors.Is(err, sqlitedb.ErrClosed) {
			t.Errorf("Consume without a database: %v", err)
		}
		if took := time.Since(begin); took > 20*time.Second+2*time.Second {
			t.Errorf("it went on trying for %s, beyond its grace period", took)
		}

		q = sqlitequeue.New(openDB(t, path), config, logTo(t))
		begin = time.Now()
		again := make(chan queue.Job)
		stop := consume(t, q, func(_ context.Context, job queue.Job) error { again <- job; return nil })
		if job := <-again; job.Starts != 2 || job.Attempt != 1 || time.Since(begin) > 0 {
			t.Errorf("after %s: %+v", time.Since(begin), job)
		}
		stop()
	})
}

func TestADeafHandlerDoesNotHoldUpTheEnd(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		q, _ := open(t, queue.Config{Sole: true, Concurrency: 2})
		enqueue(t, q, "deaf")
		enqueue(t, q, "waiting")
		release := make(chan struct{})
		stop := consume(t, q, func(ctx context.Context, job queue.Job) error {
			if job.ID == "deaf" {
				<-release
			}
			return nil
		})
		synctest.Wait()
		begin := time.Now()
		stop()
		if took, want := time.Since(begin), 20*time.Second+sqlitequeue.StopWait; took != want {
			t.Errorf("it took %s, want %s", took, want)
		}
		if got := state(t, q, "deaf"); got != queue.Waiting {
			t.Errorf("its job is %s", got)
		}
		close(release)
	})
}

func TestConsumeTwice(t *testing.T) {
	t.Parallel()
	q, _ := open(t, queue.Config{})
	enqueue(t, q, "a")
	started, goOn := make(chan struct{}), make(chan struct{})
	stop := consume(t, q, func(context.Context, queue.Job) error { close(started); <-goOn; return nil })
	<-started
	if err := q.Consume(t.Context(), process(done)); err == nil {
		t.Error("consumed twice at once")
	}
	close(goOn)
	stop()
	if got := state(t, q, "a"); got != queue.Completed {
		t.Errorf("the job is %s", got)
	}
}

// A clock that is set forward makes leases of living workers look old; one that is set back makes what is due look far.
func TestTheClockMayBeSet(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		q, db := open(t, queue.Config{Sole: true})
		for _, id := range []string{"delayed", "held"} {
			enqueue(t, q, id)
		}
		far := time.Now().Add(time.Hour).UnixMilli() // what was 2 s away before the clock was set back by an hour
		change(t, db, "UPDATE jobs SET state = 'delayed', at = ? WHERE id = 'delayed'", far)
		change(t, db, "UPDATE queue_gate SET held_until = ?", far)
		stop := consume(t, q, func(_ context.Context, job queue.Job) error {
			if job.ID == "held" && job.Starts == 1 {
				return &queue.PostponeError{After: 2 * queue.MaxHold, Err: errors.New("for ever")}
			}
			return nil
		})
		synctest.Wait()
		if got := state(t, q, "delayed"); got != queue.Completed {
			t.Errorf("after the clock was set back an hour, a delayed job is %s", got)
		}
		if got := state(t, q, "held"); got != queue.Waiting {
			t.Errorf("the postponed job is %s", got)
		}
		time.Sleep(queue.MaxHold + time.Second) //nolint:forbidigo // in a bubble
		if got := state(t, q, "held"); got != queue.Completed {
			t.Errorf("after the longest hold there is, the postponed job is %s", got)
		}
		stop()
	})
}

func TestAGateThatNobodyLooksAtOpens(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		q, _ := open(t, queue.Config{Sole: true})
		if err := q.Shut(t.Context(), queue.Closure{Since: time.Now(), Left: time.Hour}); err != nil {
			t.Fatal(err)
		}
		enqueue(t, q, "a")
		stop := consume(t, q, func(context.Context, queue.Job) error { return nil })
		time.Sleep(queue.MaxHold + queue.Unattended - time.Second) //nolint:forbidigo // in a bubble
		if got := state(t, q, "a"); got != queue.Waiting {
			t.Errorf("while the gate is closed the job is %s", got)
		}
		time.Sleep(2 * time.Second) //nolint:forbidigo // in a bubble
		if got := state(t, q, "a"); got != queue.Completed {
			t.Errorf("after nobody came the job is %s", got)
		}
		stop()
	})
}

func TestALeaseIsKeptWhileTheJobRuns(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		q, db := open(t, queue.Config{Timeout: time.Hour})
		other := sqlitequeue.New(db, queue.Config{}, logTo(t))
		enqueue(t, q, "long")
		goOn := make(chan struct{})
		var starts atomic.Int32
		stop := consume(t, q, func(context.Context, queue.Job) error { starts.Add(1); <-goOn; return nil })
		synctest.Wait()
		stopOther := consume(t, other, func(context.Context, queue.Job) error { starts.Add(1); return nil })
		time.Sleep(100 * time.Second) //nolint:forbidigo // in a bubble
		close(goOn)
		synctest.Wait()
		if n := starts.Load(); n != 1 || state(t, q, "long") != queue.Completed {
			t.Errorf("%d starts", n)
		}
		stop()
		stopOther()
	})
}

// A worker that has lost its job must not end it, whether it has noticed or not.
func TestALostJobIsNotEnded(t *testing.T) {
	t.Parallel()
	for name, late := range map[string]time.Duration{"unnoticed": 0, "noticed": 16 * time.Second} { // half a lease, and a bit
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				q, db := open(t, queue.Config{})
				enqueue(t, q, "a")
				goOn := make(chan struct{})
				var starts atomic.Int32
				var cause error
				stop := consume(t, q, func(ctx context.Context, _ queue.Job) error {
					if starts.Add(1) == 1 {
						<-goOn
						cause = context.Cause(ctx)
					}
					return nil
				})
				synctest.Wait()
				change(t, db, "UPDATE jobs SET worker = 'another', starts = starts + 1")
				time.Sleep(late) //nolint:forbidigo // in a bubble
				close(goOn)
				synctest.Wait()
				if got := state(t, q, "a"); got != queue.Active {
					t.Errorf("it has made the job %s", got)
				}
				if noticed := errors.Is(cause, queue.ErrLeaseLost); noticed != (late > 0) {
					t.Errorf("the context ended by %v", cause)
				}
				time.Sleep(time.Minute) //nolint:forbidigo // in a bubble: the other one gives no sign of life
				if n := starts.Load(); n != 2 || state(t, q, "a") != queue.Completed {
					t.Errorf("%d starts", n)
				}
				stop()
			})
		})
	}
}

// A commit may fail and yet have happened: then a row says that we work on a job of which we know nothing.
func TestAJobThatWeDoNotKnowOf(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		q, db := open(t, queue.Config{})
		stop := consume(t, q, done)
		synctest.Wait()
		change(t, db, `INSERT INTO jobs (id, data, max_attempts, created_at, queued_at, state, worker, starts)
			VALUES ('a', '{}', 3, 0, 0, 'active', ?, 1)`, q.Worker())
		time.Sleep(10 * time.Second) //nolint:forbidigo // in a bubble: less than a lease
		if got := state(t, q, "a"); got != queue.Completed {
			t.Errorf("it is %s", got)
		}
		stop()
	})
}

// When leases could not be renewed for too long, the jobs may be others'. If they turn out to be ours after all, they
// wait until their handlers have returned.
func TestLeasesThatCannotBeRenewed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		q, db := open(t, queue.Config{Timeout: time.Hour})
		enqueue(t, q, "a")
		goOn := make(chan struct{})
		var running, starts atomic.Int32
		var cause error
		stop := consume(t, q, func(ctx context.Context, _ queue.Job) error {
			if running.Add(1) > 1 {
				t.Error("two at once")
			}
			if starts.Add(1) == 1 {
				<-goOn // deaf
				cause = context.Cause(ctx)
			}
			running.Add(-1)
			return nil
		})
		synctest.Wait()
		change(t, db, "ALTER TABLE jobs RENAME TO away")
		time.Sleep(35 * time.Second) //nolint:forbidigo // in a bubble: more than a lease
		change(t, db, "ALTER TABLE away RENAME TO jobs")
		time.Sleep(time.Minute) //nolint:forbidigo // in a bubble
		close(goOn)
		time.Sleep(time.Minute) //nolint:forbidigo // in a bubble
		if !errors.Is(cause, queue.ErrLeaseLost) || starts.Load() != 2 || state(t, q, "a") != queue.Completed {
			t.Errorf("cause %v, %d starts", cause, starts.Load())
		}
		stop()
	})
}

func TestRetryForgivesDeathsAndWaits(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		q, db := open(t, queue.Config{Sole: true})
		enqueue(t, q, "poison")
		change(t, db, "UPDATE jobs SET state = 'failed', stalls = 4")
		time.Sleep(time.Hour) //nolint:forbidigo // in a bubble
		if err := q.Retry(t.Context(), "poison"); err != nil {
			t.Fatal(err)
		}
		if n, err := q.Counts(t.Context()); err != nil || n.OldestWaiting > 0 {
			t.Errorf("at once it has waited for %s, %v", n.OldestWaiting, err)
		}
		change(t, db, "UPDATE jobs SET state = 'active', worker = 'dead'")
		stop := consume(t, q, done)
		synctest.Wait()
		if got := state(t, q, "poison"); got != queue.Completed {
			t.Errorf("after one more death it is %s", got)
		}
		stop()
	})
}

func TestSweepsAreRareAndSmall(t *testing.T) {
	t.Parallel()
	const jobs = 2000
	synctest.Test(t, func(t *testing.T) {
		q, db := open(t, queue.Config{Sole: true, KeepDone: time.Hour, KeepFailed: 2 * time.Hour})
		change(t, db, `WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?1)
			INSERT INTO jobs (id, data, state, at, max_attempts, created_at, queued_at)
			SELECT 'old-' || i, '{}', iif(i % 2, 'completed', 'failed'), ?2, 3, ?2, ?2 FROM n`, jobs, time.Now().UnixMilli())
		stop := consume(t, q, done)
		left := func() int {
			n, err := q.Counts(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			return n.Completed + n.Failed
		}
		time.Sleep(time.Hour - time.Minute) //nolint:forbidigo // in a bubble
		if n := left(); n != jobs {
			t.Errorf("%d left before the time is over", n)
		}
		before := db.Stats().Commits
		time.Sleep(2 * time.Minute) //nolint:forbidigo // in a bubble
		if n, turns := left(), db.Stats().Commits-before; n != jobs/2 || turns < 3 {
			t.Errorf("%d left after the first time, %d turns", n, turns)
		}
		time.Sleep(time.Hour) //nolint:forbidigo // in a bubble
		if n := left(); n != 0 {
			t.Errorf("%d left after the second time", n)
		}
		stop()
	})
}

func TestAFullDisk(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		q, db := open(t, queue.Config{Attempts: 1})
		enqueue(t, q, "a")
		goOn := make(chan struct{})
		var starts atomic.Int32
		stop := consume(t, q, func(context.Context, queue.Job) error {
			starts.Add(1)
			<-goOn
			return errors.New(strings.Repeat("x", queue.MaxError)) // more than fits on the page
		})
		synctest.Wait()
		change(t, db, "PRAGMA max_page_count = 1") // SQLite takes the size that the file has
		if err := q.Enqueue(t.Context(), "b", json.RawMessage(`"`+strings.Repeat("x", 100_000)+`"`)); !errors.Is(err, sqlitedb.ErrUnavailable) {
			t.Errorf("Enqueue: %v", err)
		}
		close(goOn)
		time.Sleep(10 * time.Second) //nolint:forbidigo // in a bubble
		if got := state(t, q, "a"); got != queue.Active {
			t.Errorf("while the disk is full, the job is %s", got)
		}
		change(t, db, "PRAGMA max_page_count = 1000000")
		time.Sleep(10 * time.Second) //nolint:forbidigo // in a bubble
		if got := state(t, q, "a"); got != queue.FailedJob || starts.Load() != 1 {
			t.Errorf("afterwards it is %s, after %d starts", got, starts.Load())
		}
		stop()
	})
}
