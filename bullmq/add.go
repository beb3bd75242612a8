package bullmq

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/redis/rueidis"
)

var addScript = newScript("add")

const (
	maxAddCalls   = 2       // script calls of Add under way at once
	maxBatchBytes = 1 << 20 // of names, data and options in a script call, unless one job alone has more
)

// NewJob is a job to be added.
type NewJob struct {
	Name    string // what kind of job it is; needed
	Data    any    // encoded as JSON; a [json.RawMessage] is stored as it is, nil as {}
	Options JobOptions
}

// Add adds a job. Calls made at the same time share a call of a script: a lone one goes at once, others gather while it is
// under way.
//
// If a job with the id of the options exists, or one that keeps this one out by its deduplication id, nothing is added,
// the returned job has that one's ID and is marked as Existing. The error wraps [ErrParentNotFound] or [ErrParentTaken] if
// the job was to be a child and cannot.
//
// When ctx ends before the job was sent, nothing is added. When it ends later, or the connection is lost, the job may
// exist or not: only with an id of its own it can be added again without a doubt.
func (q *Queue) Add(ctx context.Context, name string, data any, opts JobOptions) (*Job, error) {
	a, err := q.prepare(ctx, NewJob{name, data, opts})
	if err != nil {
		return nil, fmt.Errorf("add job %.40q: %w", name, err)
	}
	a.done = make(chan struct{})
	if err := q.adder.add(ctx, a); err != nil {
		return nil, fmt.Errorf("add job %.40q: %w", name, err)
	}
	return a.job, nil
}

// BulkError tells which jobs of [Queue.AddBulk] were not added, and why.
type BulkError struct {
	Errors []error // one for each job, in their order; nil where it was added
}

// Error tells of the first.
func (e *BulkError) Error() string {
	failed := e.Unwrap()
	if len(failed) == 0 {
		return "no job failed"
	}
	return fmt.Sprintf("%d of %d jobs not added: %v", len(failed), len(e.Errors), failed[0])
}

// Unwrap returns the errors of the jobs that were not added.
func (e *BulkError) Unwrap() []error {
	return slices.DeleteFunc(slices.Clone(e.Errors), func(err error) bool { return err == nil })
}

// AddBulk adds jobs in their order, like so many calls of [Queue.Add]. If one cannot be added as it is, none is sent.
// Then each script call adds a part of them, at most BatchSize and all or none of it, but for those of which Redis says that
// their parent is not right. After a call that failed no further one is made. The error is a *[BulkError]; the jobs that were
// not added are nil in the result.
func (q *Queue) AddBulk(ctx context.Context, jobs []NewJob) ([]*Job, error) {
	errs := make([]error, len(jobs))
	additions := make([]*addition, len(jobs))
	for i, job := range jobs {
		a, err := q.prepare(ctx, job)
		if err != nil {
			errs[i] = fmt.Errorf("job %d, %.40q: %w", i, job.Name, err)
		}
		additions[i] = a
	}
	added := make([]*Job, len(jobs))
	if slices.ContainsFunc(errs, isError) {
		return added, &BulkError{errs}
	}
	rest := additions
	for len(rest) > 0 {
		n := q.batch(rest)
		if err := q.send(ctx, rest[:n]); err != nil {
			for _, a := range rest[n:] {
				a.err = errors.New("not sent after an error")
			}
			break
		}
		rest = rest[n:]
	}
	for i, a := range additions {
		if a.err != nil {
			errs[i] = fmt.Errorf("job %d, %.40q: %w", i, a.job.Name, a.err)
		} else {
			added[i] = a.job
		}
	}
	if slices.ContainsFunc(errs, isError) {
		return added, &BulkError{errs}
	}
	return added, nil
}

func isError(err error) bool { return err != nil }

// addition is a job on its way to Redis.
type addition struct {
	job  *Job
	row  addedRow
	args []string // for the script, without row
	size int      // of args, in bytes
	err  error
	done chan struct{} // closed when job or err tells what became of it; nil in bulk
}

// addedRow is what the script is told once of jobs that follow each other and have it in common.
type addedRow struct{ flags, name, timestamp string }

// prepare checks and encodes a job.
func (q *Queue) prepare(ctx context.Context, n NewJob) (*addition, error) {
	opts := n.Options.withDefaults(&q.config.Defaults)
	if err := opts.validate(); err != nil {
		return nil, err
	}
	if n.Name == "" || len(n.Name) > MaxName || !utf8.ValidString(n.Name) {
		return nil, fmt.Errorf("name: needs 1 to %d bytes of UTF-8", MaxName)
	}
	data, err := encodeData(n.Data)
	if err != nil {
		return nil, fmt.Errorf("data: %w", err)
	}
	if opts.SizeLimit > 0 && len(data) > opts.SizeLimit {
		return nil, fmt.Errorf("data: %d bytes as JSON are more than the size limit, %d", len(data), opts.SizeLimit)
	}
	if t := q.config.Telemetry; t != nil && opts.TelemetryMetadata == "" && !opts.OmitContext {
		opts.TelemetryMetadata = t.Inject(ctx)
	}

	job := newJob(q.client, q.keys, opts.ID)
	job.Name, job.Data, job.Options, job.Delay, job.Priority = n.Name, data, opts, opts.Delay, opts.Priority
	if job.Timestamp = opts.Timestamp; job.Timestamp.IsZero() {
		job.Timestamp = time.Now().Truncate(time.Millisecond)
	}
	a := &addition{job: job, size: len(n.Name)}
	a.row, a.args = addArgs(job)
	for _, arg := range a.args {
		a.size += len(arg)
	}
	return a, nil
}

// addArgs returns what the script is told about a job, which fills in what depends on options as well.
func addArgs(job *Job) (addedRow, []string) {
	opts := &job.Options
	var buffer [512]byte
	args := append(make([]string, 0, 3), string(job.Data), string(appendOptions(buffer[:0], opts)))
	var flags []byte
	if opts.ID != "" {
		flags = append(flags, 'i')
		args = append(args, opts.ID)
	}
	if ms := opts.Delay.Milliseconds(); ms > 0 {
		flags = append(flags, 'd')
		args = append(args, strconv.FormatInt(ms, 10))
	}
	if opts.Priority > 0 {
		flags = append(flags, 'p')
		args = append(args, strconv.Itoa(opts.Priority))
	}
	if opts.LIFO {
		flags = append(flags, 'l')
	}
	if p := opts.Parent; p != nil {
		flags = append(flags, 'c')
		job.ParentKey = p.Queue + ":" + p.ID
		args = append(args, job.ParentKey, string(appendParent(buffer[:0], p, opts.OnFailure)))
	}
	if d := opts.Deduplication; d != nil {
		flags = append(flags, 'u')
		job.DeduplicationID = d.ID
		args = append(args, d.ID, strconv.FormatInt(d.TTL.Milliseconds(), 10), dedupFlags(d))
	}
	return addedRow{string(flags), job.Name, strconv.FormatInt(job.Timestamp.UnixMilli(), 10)}, args
}

// dedupFlags are the letters that the script reads.
func dedupFlags(d *Deduplication) string {
	var b strings.Builder
	for _, f := range []struct {
		is   bool
		flag byte
	}{{d.Extend, 'x'}, {d.Replace, 'r'}, {d.KeepLastIfActive, 'k'}, {d.RescheduleDelayed, 's'}} {
		if f.is {
			b.WriteByte(f.flag)
		}
	}
	return b.String()
}

// batch returns how many of the first additions go with one script call.
func (q *Queue) batch(additions []*addition) int {
	size := 0
	for i, a := range additions {
		if size += a.size; i == q.config.BatchSize || i > 0 && size > maxBatchBytes {
			return i
		}
	}
	return len(additions)
}

// send adds a batch and fills in what became of each job. The error is that of the whole call, which each job has too.
func (q *Queue) send(ctx context.Context, batch []*addition) error {
	args := make([]string, 2, 6+4*len(batch))
	args[0], args[1] = millisNow(), strconv.Itoa(len(batch))
	for rest := batch; len(rest) > 0; {
		row, n := rest[0].row, 1
		for n < len(rest) && rest[n].row == row {
			n++
		}
		args = append(args, strconv.Itoa(n), row.flags, row.name, row.timestamp)
		for _, a := range rest[:n] {
			args = append(args, a.args...)
		}
		rest = rest[n:]
	}
	reply, err := addScript.run(ctx, q.client, q.keys, args...).ToArray()
	if err == nil {
		err = readAdded(batch, reply)
	}
	if err != nil {
		for _, a := range batch {
			a.err = err
		}
	}
	return err
}

var errReply = errors.New("unexpected reply of a script")

// readAdded reads the script's reply: the counter, and what is not as asked for.
func readAdded(batch []*addition, reply []rueidis.RedisMessage) error {
	if len(reply)%2 == 0 {
		return errReply
	}
	counter, err := reply[0].AsInt64()
	if err != nil {
		return err
	}
	for i, a := range batch {
		if a.job.ID == "" {
			a.job.ID = strconv.FormatInt(counter-int64(len(batch)-1-i), 10)
		}
	}
	for ; len(reply) > 1; reply = reply[2:] {
		i, err := reply[1].AsInt64()
		if err != nil || i < 0 || i >= int64(len(batch)) {
			return errReply
		}
		if reply[2].IsInt64() {
			code, _ := reply[2].AsInt64()
			batch[i].err = addError(code, batch[i].job)
			continue
		}
		batch[i].job.Existing = true
		if batch[i].job.ID, err = reply[2].ToString(); err != nil {
			return errReply
		}
	}
	return nil
}

func addError(code int64, job *Job) error {
	switch code {
	case -5:
		return fmt.Errorf("%s: %w", job.ParentKey, ErrParentNotFound)
	case -7:
		return fmt.Errorf("job %s: %w", job.ID, ErrParentTaken)
	}
	return errReply
}

// adder gathers the jobs of concurrent calls while script calls are under way.
type adder struct {
	queue *Queue
	wait  sync.WaitGroup // for calls

	mu      sync.Mutex // protects what follows
	waiting []*addition
	calls   int
	closed  bool
}

// add hands a job over and waits until it is known what became of it, or ctx ends.
func (r *adder) add(ctx context.Context, a *addition) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	r.mu.Lock()
	if r.closed {
		r.mu.Unlock()
		return ErrClosed
	}
	r.waiting = append(r.waiting, a)
	if r.calls < maxAddCalls {
		r.calls++
		// A call carries jobs of many callers, and none of them may end it for the others. The client has its own timeouts.
		ctx := context.WithoutCancel(ctx)
		r.wait.Go(func() { r.send(ctx) })
	}
	r.mu.Unlock()

	select {
	case <-a.done:
		return a.err
	case <-ctx.Done():
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if i := slices.Index(r.waiting, a); i >= 0 {
		r.waiting = slices.Delete(r.waiting, i, i+1)
		return ctx.Err()
	}
	return fmt.Errorf("waiting for the answer: %w", ctx.Err())
}

// send makes script calls as long as jobs wait for one.
func (r *adder) send(ctx context.Context) {
	for {
		r.mu.Lock()
		n := r.queue.batch(r.waiting)
		if n == 0 {
			r.calls--
			r.mu.Unlock()
			return
		}
		batch := slices.Clone(r.waiting[:n])
		r.waiting = slices.Delete(r.waiting, 0, n)
		r.mu.Unlock()

		r.queue.send(ctx, batch) //nolint:errcheck // each job has it
		for _, a := range batch {
			close(a.done)
		}
	}
}

func (r *adder) close() {
	r.mu.Lock()
	r.closed = true
	r.mu.Unlock()
	r.wait.Wait()
}
