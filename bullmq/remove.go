package bullmq

import (
	"context"
	"fmt"
	"strconv"
	"time"
)

var (
	removeScript     = newScript("remove")
	cleanScript      = newScript("clean")
	cleanedScript    = newScript("cleaned")
	obliterateScript = newScript("obliterate")
)

// RemoveOptions say what goes with a job.
type RemoveOptions struct {
	KeepChildren bool // leave the jobs that it has waited for or waits for. Defaults to false
}

// Remove removes a job, whatever its state. The error is [ErrJobNotFound]; [ErrLocked] if a worker works on the job, or on
// a child that would go too; or [ErrScheduled].
func (q *Queue) Remove(ctx context.Context, id string, o RemoveOptions) error {
	return q.change(ctx, removeScript, "remove", id, flag(!o.KeepChildren))
}

// cleanedAtOnce is how many jobs one call of a script looks at or removes.
const cleanedAtOnce = 500

// Clean removes jobs of one state that are older than grace, the oldest first, at most limit (0 is no limit), and returns
// their ids. Finished jobs are as old as their end, others as their last start or else as they themselves. The next runs of
// schedulers stay, and active jobs that a worker works on. Jobs of a flow do too, as long as they wait for others: they go
// with the last of their children if that is in the same queue, and are released otherwise.
func (q *Queue) Clean(ctx context.Context, grace time.Duration, limit int, state State) ([]string, error) {
	names := []string{string(state)}
	switch state {
	case StateWaiting:
		names = []string{keyPaused, keyWait}
	case StateCompleted, StateFailed, StateDelayed, StatePrioritized, StateActive:
	default:
		return nil, fmt.Errorf("clean queue %s: jobs in state %q cannot be cleaned", q.name, state)
	}
	newest := strconv.FormatInt(time.Now().Add(-grace).UnixMilli(), 10)
	var removed []string
	for _, name := range names {
		rest := limit - len(removed)
		if limit > 0 && rest <= 0 {
			break
		}
		ids, err := q.clean(ctx, name, newest, rest)
		if removed = append(removed, ids...); err != nil {
			return removed, fmt.Errorf("clean queue %s: %w", q.name, err)
		}
	}
	if err := cleanedScript.run(ctx, q.client, q.keys, millisNow(), strconv.Itoa(len(removed))).Error(); ignoreNil(err) != nil {
		return removed, fmt.Errorf("clean queue %s: %w", q.name, err)
	}
	return removed, nil
}

// Drain removes all jobs of the line, and all that are delayed if that is wanted. The next runs of schedulers stay. Jobs
// that come meanwhile may stay or not.
func (q *Queue) Drain(ctx context.Context, delayed bool) error {
	names := []string{keyPaused, keyWait, keyPrioritized}
	if delayed {
		names = append(names, keyDelayed)
	}
	for _, name := range names {
		if _, err := q.clean(ctx, name, "", 0); err != nil {
			return fmt.Errorf("drain queue %s: %w", q.name, err)
		}
	}
	return nil
}

// clean removes jobs of a list or set: those not newer than a time in ms, or all. It goes through what is there at first,
// so that it ends however fast jobs are added.
func (q *Queue) clean(ctx context.Context, name, newest string, limit int) (removed []string, err error) {
	left := int64(1)
	for kept := int64(0); left > 0; {
		most := cleanedAtOnce
		if limit > 0 {
			most = min(most, limit-len(removed))
		}
		reply, err := cleanScript.run(ctx, q.client, q.keys, millisNow(), name, newest,
			strconv.FormatInt(kept, 10), strconv.Itoa(cleanedAtOnce), strconv.Itoa(most)).ToArray()
		if err != nil {
			return removed, err
		}
		if len(reply) < 2 {
			return removed, errReply
		}
		length, err := reply[0].AsInt64()
		if err != nil {
			return removed, err
		}
		passed, err := reply[1].AsInt64()
		if err != nil {
			return removed, err
		}
		if removed == nil && kept == 0 {
			left = length
		}
		for _, id := range reply[2:] {
			text, err := id.ToString()
			if err != nil {
				return removed, err
			}
			removed = append(removed, text)
		}
		kept += passed
		looked := passed + int64(len(reply)-2)
		if left -= looked; looked == 0 || limit > 0 && len(removed) >= limit {
			break
		}
	}
	return removed, nil
}

// Obliterate removes the queue with everything in it, also jobs of flows that wait for others. It is paused first, and
// stays paused if there is an error: [ErrState] if jobs are active and force is not set. With force their workers find
// them lost.
func (q *Queue) Obliterate(ctx context.Context, force bool) error {
	if err := q.Pause(ctx); err != nil {
		return err
	}
	for {
		code, err := obliterateScript.run(ctx, q.client, q.keys, millisNow(), flag(force), strconv.Itoa(cleanedAtOnce)).AsInt64()
		switch {
		case err != nil:
			return fmt.Errorf("obliterate queue %s: %w", q.name, err)
		case code == 0:
			return nil
		case code == -2:
			return fmt.Errorf("obliterate queue %s: jobs are active: %w", q.name, ErrState)
		case code == codeState:
			return fmt.Errorf("obliterate queue %s: it was resumed meanwhile: %w", q.name, ErrState)
		}
	}
}
