// Package queue says what a job is and what becomes of it. It owns the words and the interfaces; the queues live in
// sqlitequeue and redisqueue, and queuetest is the suite that both pass.
//
//	                    ┌────────── delay over ──────────┐
//	                    ▼                                │
//	Enqueue ──────▶ waiting ──▶ active ──▶ error ──▶ delayed
//	                 ▲  ▲         │  │
//	                 │  └─ worker died, handed back      ├──▶ completed ──▶ removed after Keep.Completed
//	                 │                                   │
//	                 └────────── Admin.Retry ───────── failed (dead letter) ──▶ removed after Keep.Failed
package queue

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"time"
)

// Job is the queue's unit of work: one run of an asset.
type Job struct {
	ID   string          // enqueueing the same id twice is one job
	Data json.RawMessage // the payload of the job contract, kept whole

	// The rest is set by the queue when it hands the job to a handler.
	Attempt     int           // of this try, from 1
	MaxAttempts int           // after this many spent attempts the job is a dead letter
	Starts      int           // how often the job was handed out, attempts that were not spent included
	RetryIn     time.Duration // the backoff that follows if this attempt fails; 0 on the last
	EnqueuedAt  time.Time
}

// Last reports whether no attempt follows this one.
func (j Job) Last() bool { return j.Attempt >= j.MaxAttempts }

// Handler does the work of jobs. Its methods are called from many goroutines at once.
type Handler interface {
	// Process makes one attempt. Its context ends when the job's timeout is over ([ErrTimeout] is then its cause), when
	// the job was lost to another worker ([ErrLeaseLost]), when somebody wants it removed ([ErrRemoved]) or when the grace
	// period of a shutdown is over ([ErrShutdown]). What becomes of the job is said by the error:
	//
	//	nil             completed
	//	Permanent(err)  a dead letter at once
	//	*PostponeError  given back unspent, and perhaps held back: it alone, or the whole queue
	//	ErrShutdown     (anywhere in the chain) given back unspent, at once
	//	any other       the attempt is spent: another follows after the backoff, or the job is a dead letter
	Process(ctx context.Context, job Job) error

	// Dead is told of a job that becomes a dead letter without an attempt having ended: its worker died too often. After
	// a crash it may be told again.
	Dead(ctx context.Context, job Job, reason string)
}

// Queue takes jobs in and hands them out, first in first out by their start. Implementations are safe for concurrent
// use, and by many processes as far as their store is.
type Queue interface {
	// Enqueue puts a job on the queue; when it has returned nil the job survives a power cut. A job with that id, in
	// whatever state, makes it do nothing. Data that is no JSON is an error.
	Enqueue(ctx context.Context, id string, data json.RawMessage) error

	// Consume hands jobs to h, several at once, until ctx ends. It then takes no further job, lets running ones end
	// within the grace period, gives the rest back at once, and returns nil when all is done. It returns an error only
	// when it cannot work at all.
	Consume(ctx context.Context, h Handler) error
}

// Admin looks into a queue and mends it.
type Admin interface {
	Counts(ctx context.Context) (Counts, error)

	// Get returns a job in whatever state it is, or [ErrNotFound].
	Get(ctx context.Context, id string) (Record, error)

	// DeadLetters returns one page of the failed jobs that match, newest failure first.
	DeadLetters(ctx context.Context, f Filter) (Page, error)

	// Retry puts a failed job back to waiting with all its attempts. [ErrNotFound], or [ErrState] if it has not failed.
	Retry(ctx context.Context, id string) error

	// Remove takes a job off the queue, whatever its state. An active one stays and is [ErrState]; a queue of several
	// processes ends its handler's context with [ErrRemoved], wherever that is.
	Remove(ctx context.Context, id string) error

	// Pause stops the handing out of jobs, in every process and across restarts; running jobs go on. Resume undoes it.
	Pause(ctx context.Context) error
	Resume(ctx context.Context) error

	// Workers returns who works on the queue, in the order of their names, and with what: at most [MaxWorkers] workers
	// and [MaxRunning] jobs of all together. A process that the store cannot list is there only while it has a job.
	Workers(ctx context.Context) ([]Worker, error)
}

// State is where a job stands; see the diagram above.
type State string

// The states, named as BullMQ names them.
const (
	Waiting   State = "waiting"
	Active    State = "active"
	Delayed   State = "delayed"
	Completed State = "completed"
	FailedJob State = "failed"
)

// Counts are the numbers of jobs by state.
type Counts struct {
	Waiting, Active, Completed, Failed, Delayed int
	// Paused is the number of waiting jobs held back by a pause; they are then not counted as waiting.
	Paused int
	// IsPaused tells a paused queue from one that has nothing to hold back.
	IsPaused bool
	// OldestWaiting is the age of the job that has waited longest, 0 when none waits.
	OldestWaiting time.Duration
}

// Record is a job as the queue keeps it.
type Record struct {
	ID           string
	Data         json.RawMessage
	State        State
	AttemptsMade int // spent
	MaxAttempts  int
	Errors       []AttemptError // of every failed attempt, oldest first
	CreatedAt    time.Time
	ProcessedAt  time.Time // last start; zero: never
	FinishedAt   time.Time // completion or last failure; zero: never
}

// AttemptError is why one attempt failed.
type AttemptError struct {
	Attempt int       `json:"attempt"`
	At      time.Time `json:"at"`
	Error   string    `json:"error"` // at most MaxError bytes
}

// What every queue keeps of failures.
const (
	MaxError  = 4 << 10 // bytes of one error's text, or of a panic with its stack; the rest is cut off
	MaxErrors = 20      // errors of one job, the latest; there are more only if it was retried again and again
)

// Filter selects dead letters. Empty members match all.
type Filter struct {
	AssetID string // member "assetId" of the payload
	UserID  string // member "userId" of the payload
	Text    string // found in the id, the payload or the last error, whatever its case
	Limit   int    // 1 to MaxPage; beyond, the nearest of them
	Cursor  string // Page.Next of the page before; "" for the first
}

// MaxPage is the length of the longest page.
const MaxPage = 100

// Matches reports whether f selects r.
func (f Filter) Matches(r Record) bool {
	if f.AssetID != "" || f.UserID != "" {
		var data struct{ AssetID, UserID string }
		if json.Unmarshal(r.Data, &data) != nil ||
			f.AssetID != "" && f.AssetID != data.AssetID || f.UserID != "" && f.UserID != data.UserID {
			return false
		}
	}
	if f.Text == "" {
		return true
	}
	texts := []string{r.ID, string(r.Data)}
	if n := len(r.Errors); n > 0 {
		texts = append(texts, r.Errors[n-1].Error)
	}
	text := strings.ToLower(f.Text)
	return slices.ContainsFunc(texts, func(s string) bool { return strings.Contains(strings.ToLower(s), text) })
}

// Page is one page of records and the cursor of the next, "" when there is none.
type Page struct {
	Items []Record
	Next  string
}

// Config is what every queue is made with.
type Config struct {
	Concurrency int           // jobs that one process works on at once. Default 5.
	Attempts    int           // tries of each job. Default 3.
	Backoff     time.Duration // wait after the first failed attempt; doubles with each further one. Default 2 s.
	Timeout     time.Duration // of one attempt. Default 120 s.
	Grace       time.Duration // that running jobs have to end at a shutdown. Default 20 s.
	Lease       time.Duration // after which a job of a silent worker is given to another; renewed at half. Default 30 s.
	MaxStalls   int           // a job whose worker died more often than this is a dead letter; until then it runs alone. Default 3.
	KeepDone    time.Duration // how long completed jobs are kept. Default 24 h.
	KeepFailed  time.Duration // how long dead letters are kept. Default 7 days.

	// Sole says that no other process uses this queue's store. Jobs that a dead predecessor left active then go back to
	// the line as soon as Consume starts, instead of when their lease has ended. Default false.
	Sole bool
}

// WithDefaults returns c with every zero member replaced by its default.
func (c Config) WithDefaults() Config {
	return Config{
		Concurrency: cmp.Or(c.Concurrency, 5),
		Attempts:    cmp.Or(c.Attempts, 3),
		Backoff:     cmp.Or(c.Backoff, 2*time.Second),
		Timeout:     cmp.Or(c.Timeout, 2*time.Minute),
		Grace:       cmp.Or(c.Grace, 20*time.Second),
		Lease:       cmp.Or(c.Lease, 30*time.Second),
		MaxStalls:   cmp.Or(c.MaxStalls, 3),
		KeepDone:    cmp.Or(c.KeepDone, 24*time.Hour),
		KeepFailed:  cmp.Or(c.KeepFailed, 7*24*time.Hour),
		Sole:        c.Sole,
	}
}

// MaxBackoff is the longest wait between two attempts.
const MaxBackoff = time.Hour

// BackoffAfter is the wait after the given attempt failed: Backoff, then twice that, and so on, at most MaxBackoff.
func (c Config) BackoffAfter(attempt int) time.Duration {
	d := min(c.Backoff, MaxBackoff)
	for i := 1; i < attempt && d < MaxBackoff; i++ {
		d = min(2*d, MaxBackoff)
	}
	return d
}

// Errors of queues and causes of ended job contexts.
var (
	ErrNotFound  = errors.New("job not found")
	ErrState     = errors.New("job is not in a state for that")
	ErrCursor    = errors.New("invalid cursor")
	ErrTimeout   = errors.New("job timed out")
	ErrLeaseLost = errors.New("job was given to another worker")
	ErrRemoved   = errors.New("job is to be removed")
	ErrShutdown  = errors.New("worker is shutting down")
)

// PostponeError gives a job back to its place without spending its attempt, and pauses the handing out of all jobs for
// After, at most MaxHold; 0 pauses nothing.
type PostponeError struct {
	After time.Duration
	Alone bool // only this job is not handed out for After; on Redis it then goes to the end of the line
	Err   error
}

func (e *PostponeError) Error() string { return "postponed: " + e.Err.Error() }

// Unwrap returns the reason.
func (e *PostponeError) Unwrap() error { return e.Err }

type permanentError struct{ err error }

func (e permanentError) Error() string { return e.err.Error() }
func (e permanentError) Unwrap() error { return e.err }

// Permanent marks an error that no further attempt can mend.
func Permanent(err error) error { return permanentError{err} }

// IsPermanent reports whether err was marked by [Permanent].
func IsPermanent(err error) bool {
	_, ok := errors.AsType[permanentError](err)
	return ok
}
