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
	if n := db.Stats().Commits - before; n > 2*jobs+2 {
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
	path := filepath.Join(t.TempDir(), "loupe.db")
	config := queue.Config{Sole: true, Lease: time.Hour, Grace: time.Millisecond}
	db := openDB(t, path)
	q := sqlitequeue.New(db, config, logTo(t))
	enqueue(t, q, "a")
	ctx, cancel := context.WithCancel(t.Context())
	started, release, ended := make(chan struct{}), make(chan struct{}), make(chan error)
	go func() {
		ended <- q.Consume(ctx, process(func(context.Context, queue.Job) error {
			close(started)
			<-release
			return nil
		}))
	}()
	<-started
	if err := db.Close(); err != nil { // it dies
		t.Fatal(err)
	}
	close(release)
	cancel()
	if err := <-ended; !errors.Is(err, sqlitedb.ErrClosed) {
		t.Errorf("Consume without a database: %v", err)
	}

	q = sqlitequeue.New(openDB(t, path), config, logTo(t))
	again := make(chan queue.Job)
	consume(t, q, func(_ context.Context, job queue.Job) error { again <- job; return nil })
	select {
	case job := <-again:
		if job.Starts != 2 || job.Attempt != 1 {
			t.Errorf("job %+v", job)
		}
	case <-time.After(30 * time.Second):
		t.Error("it waits for the lease to end")
	}
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
		far := time.Now().Add(48 * time.Hour).UnixMilli()
		change(t, db, "UPDATE jobs SET state = 'delayed', at = ? WHERE id = 'delayed'", far)
		change(t, db, "UPDATE queue_gate SET held_until = ?", far)
		stop := consume(t, q, func(_ context.Context, job queue.Job) error {
			if job.ID == "held" && job.Starts == 1 {
				return &queue.PostponeError{After: 2 * sqlitequeue.MaxHold, Err: errors.New("for ever")}
			}
			return nil
		})
		synctest.Wait()
		if got := state(t, q, "delayed"); got != queue.Completed {
			t.Errorf("after the clock was set back two days, a delayed job is %s", got)
		}
		if got := state(t, q, "held"); got != queue.Waiting {
			t.Errorf("the postponed job is %s", got)
		}
		time.Sleep(sqlitequeue.MaxHold + time.Second) //nolint:forbidigo // in a bubble
		if got := state(t, q, "held"); got != queue.Completed {
			t.Errorf("after the longest hold there is, the postponed job is %s", got)
		}
		stop()
	})
}

func TestLeases(t *testing.T) {
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
		if n := starts.Load(); n != 1 {
			t.Errorf("%d starts", n)
		}
		// The row loses its owner, as it would to a worker that took it for dead.
		change(t, db, "UPDATE jobs SET worker = 'another'")
		time.Sleep(16 * time.Second) //nolint:forbidigo // in a bubble: half a lease, and a bit
		close(goOn)
		synctest.Wait()
		if got := state(t, q, "long"); got != queue.Active {
			t.Errorf("a worker that lost its job has made it %s", got)
		}
		time.Sleep(time.Minute) //nolint:forbidigo // in a bubble
		if n := starts.Load(); n != 2 || state(t, q, "long") != queue.Completed {
			t.Errorf("the other one, dead from the start, still has the job: %d starts", n)
		}
		stop()
		stopOther()
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
