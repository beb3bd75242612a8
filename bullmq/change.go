package bullmq

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"github.com/redis/rueidis"
)

var (
	promoteScript  = newScript("promote")
	delayScript    = newScript("delay")
	priorityScript = newScript("priority")
	progressScript = newScript("progress")
	dataScript     = newScript("data")
)

// Promote puts a delayed job into the line, as if its time had come. The error is [ErrJobNotFound], or [ErrState] if the
// job is not delayed.
func (q *Queue) Promote(ctx context.Context, id string) error {
	codes, err := q.codes(ctx, promoteScript, []string{id})
	return codeError("promote", id, codes, err)
}

// promotedAtOnce is how many delayed jobs one call of a script promotes.
const promotedAtOnce = 256

// PromoteAll promotes the jobs that are delayed at the time of the call, the next first, and returns how many.
func (q *Queue) PromoteAll(ctx context.Context) (int, error) {
	promoted := 0
	left, err := q.client.Do(ctx, q.client.B().Zcard().Key(q.keys.of(keyDelayed)).Build()).AsInt64()
	for err == nil && left > 0 {
		var ids []string
		ids, err = q.client.Do(ctx, q.client.B().Zrange().Key(q.keys.of(keyDelayed)).Min("0").
			Max(strconv.FormatInt(min(left, promotedAtOnce)-1, 10)).Build()).AsStrSlice()
		if err != nil || len(ids) == 0 {
			break
		}
		var codes []int64
		codes, err = q.codes(ctx, promoteScript, ids)
		promoted += done(codes)
		left -= int64(len(ids))
	}
	if err != nil {
		return promoted, fmt.Errorf("promote jobs of queue %s: %w", q.name, err)
	}
	return promoted, nil
}

// ChangeDelay makes a delayed job wait for this long from now. The error is [ErrJobNotFound], or [ErrState] if the job is
// not delayed.
func (q *Queue) ChangeDelay(ctx context.Context, id string, delay time.Duration) error {
	if delay < 0 {
		return fmt.Errorf("change job %s: delay %s is negative", id, delay)
	}
	return q.change(ctx, delayScript, "change", id, decimal(delay))
}

// ChangePriority gives a job another priority; one that is in the line changes its place. With first it comes before all
// others of that priority. The error is [ErrJobNotFound].
func (q *Queue) ChangePriority(ctx context.Context, id string, priority int, first bool) error {
	if priority < 0 || priority > MaxPriority {
		return fmt.Errorf("change job %s: priority %d is not within 0 and %d", id, priority, MaxPriority)
	}
	return q.change(ctx, priorityScript, "change", id, strconv.Itoa(priority), flag(first))
}

// UpdateProgress stores v as JSON for all to see how far a job is, and emits an event with it. The error is
// [ErrJobNotFound].
func (q *Queue) UpdateProgress(ctx context.Context, id string, v any) error {
	return updateProgress(ctx, q.client, q.keys, id, v)
}

// UpdateData replaces the data of a job. A worker that runs it already does not see them. The error is [ErrJobNotFound].
func (q *Queue) UpdateData(ctx context.Context, id string, data any) error {
	_, err := updateData(ctx, q.client, q.keys, id, data)
	return err
}

func updateProgress(ctx context.Context, client rueidis.Client, k keys, id string, v any) error {
	value, err := encode(v)
	if err != nil {
		return fmt.Errorf("progress of job %s: %w", id, err)
	}
	code, err := progressScript.run(ctx, client, k, millisNow(), id, string(value)).AsInt64()
	return codeError("progress of", id, []int64{code}, err)
}

func updateData(ctx context.Context, client rueidis.Client, k keys, id string, v any) (json.RawMessage, error) {
	data, err := encodeData(v)
	if err != nil {
		return nil, fmt.Errorf("data of job %s: %w", id, err)
	}
	code, err := dataScript.run(ctx, client, k, millisNow(), id, string(data)).AsInt64()
	return data, codeError("data of", id, []int64{code}, err)
}

// encodeData encodes the data of a job: what has none is stored as an empty object, as in Node.
func encodeData(v any) (json.RawMessage, error) {
	if v == nil {
		return json.RawMessage("{}"), nil
	}
	raw, err := encode(v)
	switch {
	case err != nil:
		return nil, err
	case len(raw) > MaxData:
		return nil, fmt.Errorf("%d bytes as JSON are more than %d", len(raw), MaxData)
	}
	return raw, nil
}

// millisNow is the caller's clock as scripts take it.
func millisNow() string { return strconv.FormatInt(time.Now().UnixMilli(), 10) }

// What scripts reply of a job.
const (
	codeDone      = 1
	codeLocked    = 0
	codeNotFound  = -1
	codeState     = -3
	codeScheduled = -8
)

// change runs a script that replies a code for one job.
func (q *Queue) change(ctx context.Context, s script, operation, id string, args ...string) error {
	code, err := s.run(ctx, q.client, q.keys, append([]string{millisNow(), id}, args...)...).AsInt64()
	return codeError(operation, id, []int64{code}, err)
}

// codes runs a script that replies a code for each of the ids, which are its last arguments.
func (q *Queue) codes(ctx context.Context, s script, ids []string, args ...string) ([]int64, error) {
	codes, err := s.run(ctx, q.client, q.keys, append(append([]string{millisNow()}, args...), ids...)...).AsIntSlice()
	if err == nil && len(codes) != len(ids) {
		err = errReply
	}
	return codes, err
}

// done counts the jobs for which a script did what was asked.
func done(codes []int64) int {
	n := 0
	for _, code := range codes {
		if code == codeDone {
			n++
		}
	}
	return n
}

// codeError is the error of an operation on one job to which Redis replied with err, or else a script with a code.
func codeError(operation, id string, codes []int64, err error) error {
	if err == nil {
		switch codes[0] {
		case codeDone:
			return nil
		case codeLocked:
			err = ErrLocked
		case codeNotFound:
			err = ErrJobNotFound
		case codeState:
			err = ErrState
		case codeScheduled:
			err = ErrScheduled
		default:
			err = errReply
		}
	}
	return fmt.Errorf("%s job %s: %w", operation, id, err)
}
