package bullmq

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// Why the context of a handler has ended: its context.Cause is or wraps one of these.
var (
	// ErrTimeout: the attempt took longer than its timeout. If the handler fails, the attempt is spent.
	ErrTimeout = errors.New("job timed out")
	// ErrCancelled: somebody asked for it. If the handler fails, the job has failed for good.
	ErrCancelled = errors.New("job cancelled")
	// ErrLockLost: the job is no longer the worker's; another one may have it already. What the handler returns is dropped.
	ErrLockLost = errors.New("lock of job lost")
	// ErrShutdown: the worker stops. If the handler fails, the job is given back and the attempt is not spent.
	ErrShutdown = errors.New("worker is shutting down")
)

// errUnstarted is why a job was given back that was fetched and has not started.
var errUnstarted = errors.New("job not started")

// instruction is an error by which a handler says what is to become of its job.
type instruction struct {
	kind  outcomeKind
	delay time.Duration
	err   error
}

func (i *instruction) Error() string { return i.err.Error() }
func (i *instruction) Unwrap() error { return i.err }

// Unrecoverable returns an error with which a job fails for good, whatever attempts it has left.
func Unrecoverable(err error) error {
	if err == nil {
		err = errors.New("unrecoverable")
	}
	return &instruction{kind: outcomeFailed, err: err}
}

// DelayFor returns an error with which a job starts once more after d, at most [MaxPause]. The attempt is not spent.
func DelayFor(d time.Duration, reason string) error {
	return &instruction{kind: outcomePostponed, delay: max(0, min(d, MaxPause)), err: errors.New(reason)}
}

// HandBack returns an error with which a job is given back: it is the next to start. The attempt is not spent.
func HandBack(reason string) error {
	return &instruction{kind: outcomeReturned, err: errors.New(reason)}
}

// RateLimited returns an error with which a job is given back, as with [HandBack], and none of the queue starts for d or
// until [Queue.RemoveRateLimit]. Workers of other languages obey only if they or the queue have a rate limit.
func RateLimited(d time.Duration) error {
	return &instruction{kind: outcomeLimited, delay: max(time.Millisecond, min(d, MaxPause)), err: fmt.Errorf("rate limited for %s", d)}
}

// outcomeKind is what becomes of a job, as finish.lua names it.
type outcomeKind string

const (
	outcomeCompleted outcomeKind = "completed"
	outcomeFailed    outcomeKind = "failed"
	outcomeRetried   outcomeKind = "retry"
	outcomePostponed outcomeKind = "postpone"
	outcomeReturned  outcomeKind = "return"
	outcomeLimited   outcomeKind = "limit"
	outcomeLost      outcomeKind = "lost" // ours: not stored, the job is not the worker's any more
)

// Bounds of what is stored of an error.
const (
	maxReason = 16 << 10 // bytes of a message
	maxTrace  = 64 << 10 // bytes of a message with its stack
	maxTraces = 1000     // texts of one job, if it sets no limit
)

// outcome is what is to become of a job that has been run, as finish.lua takes it.
type outcome struct {
	kind      outcomeKind
	text      string        // a value as JSON, or a reason
	traces    string        // the job's stacktrace with that of this attempt, as JSON
	delay     time.Duration // for which it waits
	keep      Keep          // which of those that ended so stay
	exhausted bool          // the last attempt is spent
	asked     bool          // the job has the field that asks for its end
	unstarted bool          // the handler was not called: the start does not count
	err       error         // what the handler returned
}

// panicked is a handler's panic as an error.
type panicked struct {
	value any
	stack []byte
}

func (p *panicked) Error() string { return fmt.Sprintf("panic: %v", p.value) }

// Unwrap returns the error that the handler panicked with, if it was one.
func (p *panicked) Unwrap() error {
	err, _ := p.value.(error)
	return err
}

// call calls the handler, and makes an error of a panic.
func (w *Worker) call(ctx context.Context, job *Job) (value any, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = &panicked{p, debug.Stack()}
		}
	}()
	return w.handler(ctx, job)
}

// judge decides what becomes of a job whose handler returned value and err, with cause as the end of its context.
func (w *Worker) judge(job *Job, value any, err, cause error) outcome {
	if err == nil {
		raw, failed := encode(value)
		if failed == nil {
			return outcome{kind: outcomeCompleted, text: string(raw), keep: keepRule(job.Options.RemoveOnComplete, w.cfg.RemoveOnComplete)}
		}
		err = Unrecoverable(failed)
	}
	var order *instruction
	switch {
	case errors.As(err, &order) && order.kind != outcomeFailed:
		return outcome{kind: order.kind, delay: order.delay, err: err}
	case order != nil:
		return w.failure(job, err)
	case errors.Is(cause, ErrShutdown):
		return outcome{kind: outcomeReturned, err: err}
	case errors.Is(cause, ErrCancelled):
		return w.failure(job, because(cause, err))
	}
	return w.retry(job, because(cause, err))
}

// because adds to a handler's error why its context ended, if it does not say so itself.
func because(cause, err error) error {
	switch {
	case cause == nil || errors.Is(err, cause):
		return err
	case errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded):
		return cause
	}
	return fmt.Errorf("%w: %w", cause, err)
}

// retry decides about an attempt that failed: the job is tried again if it may be.
func (w *Worker) retry(job *Job, err error) outcome {
	made := job.AttemptsMade + 1
	if made >= job.Options.Attempts || w.cfg.MaxStarts > 0 && job.AttemptsStarted >= w.cfg.MaxStarts {
		return w.failure(job, err)
	}
	pause, failed := w.backoff(job, made, err)
	if failed != nil {
		return w.failure(job, fmt.Errorf("%w; it followed: %w", failed, err))
	}
	if pause < 0 {
		return w.failure(job, err)
	}
	o := w.failure(job, err)
	o.kind, o.delay, o.exhausted = outcomeRetried, pause, false
	return o
}

// failure is the end of a job.
func (w *Worker) failure(job *Job, err error) outcome {
	reason := clip(err.Error(), maxReason)
	trace := reason
	var p *panicked
	var traced interface{ StackTrace() string }
	switch {
	case errors.As(err, &p):
		trace = clip(reason+"\n\n"+string(p.stack), maxTrace)
	case errors.As(err, &traced):
		trace = clip(traced.StackTrace(), maxTrace)
	}
	return outcome{
		kind:      outcomeFailed,
		text:      reason,
		traces:    traces(job, trace),
		keep:      keepRule(job.Options.RemoveOnFail, w.cfg.RemoveOnFail),
		exhausted: job.AttemptsMade+1 >= job.Options.Attempts,
		err:       err,
	}
}

// clip cuts s to at most n bytes of valid UTF-8.
func clip(s string, n int) string {
	if len(s) > n {
		for n > 0 && !utf8.RuneStart(s[n]) {
			n--
		}
		s = s[:n]
	}
	return strings.ToValidUTF8(s, "\uFFFD")
}

// traces returns the job's stacktrace with one more text, as JSON.
func traces(job *Job, trace string) string {
	limit := maxTraces
	if job.Options.StackTraceLimit != nil {
		limit = min(limit, *job.Options.StackTraceLimit)
	}
	all := append(job.Stacktrace[:len(job.Stacktrace):len(job.Stacktrace)], trace)
	b := []byte{'['}
	for i, text := range all[max(0, len(all)-limit):] {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendText(b, text)
	}
	return string(append(b, ']'))
}

// keepRule returns what a job says about those that end as it does, or else its worker.
func keepRule(own, workers *Keep) Keep {
	switch {
	case own != nil:
		return *own
	case workers != nil:
		return *workers
	}
	return Keep{}
}

// manner is what finish.lua is told once of outcomes that follow each other and have it in common.
type manner struct {
	kind     outcomeKind
	flags    string
	attempts int // made, with this one
	delay    time.Duration
	keep     Keep
	traces   string
}

func (r *run) manner() manner {
	o := &r.outcome
	return manner{o.kind, r.flags(), r.job.AttemptsMade + 1, o.delay, o.keep, o.traces}
}

// appendArgs appends the arguments of finish.lua for n outcomes of this manner.
func (m *manner) appendArgs(args []string, n int, now time.Time) []string {
	ms, rule := decimal(m.delay), "all"
	if m.kind == outcomeCompleted || m.kind == outcomeFailed {
		ms = ""
		if m.keep.Age > 0 {
			ms = strconv.FormatInt(now.Add(-m.keep.Age).UnixMilli(), 10)
		}
	}
	switch {
	case m.keep.None:
		rule = "none"
	case m.keep.Count > 0 || m.keep.Limit > 0:
		rule = strconv.Itoa(m.keep.Count) + " " + strconv.Itoa(m.keep.Limit)
	}
	return append(args, strconv.Itoa(n), string(m.kind), m.flags, strconv.Itoa(m.attempts), ms, rule, m.traces)
}
