package bullmq

import (
	"context"
	"fmt"
	"slices"
	"strconv"

	"github.com/redis/rueidis"
)

var logScript = newScript("log")

// AddLog appends a line to the log of a job and returns how many it has now. Only the last keep lines stay; with 0 all do.
// The error is [ErrJobNotFound].
func (q *Queue) AddLog(ctx context.Context, id, line string, keep int) (int64, error) {
	return addLog(ctx, q.client, q.keys, id, line, keep)
}

func addLog(ctx context.Context, client rueidis.Client, k keys, id, line string, keep int) (int64, error) {
	count, err := logScript.run(ctx, client, k, millisNow(), id, line, strconv.Itoa(keep)).AsInt64()
	if err == nil && count >= 0 {
		return count, nil
	}
	return 0, codeError("log of", id, []int64{count}, err)
}

// Logs returns lines of a job's log and how many it has in all. The range is like that of [Range]: ascending begins with
// the oldest line. A job that is not there has none.
func (q *Queue) Logs(ctx context.Context, id string, start, end int64, ascending bool) ([]string, int64, error) {
	first, last := start, end
	if !ascending {
		first, last = -(end + 1), -(start + 1)
	}
	key := q.keys.job(id, suffixLogs)
	replies := q.client.DoMulti(ctx,
		q.client.B().Lrange().Key(key).Start(first).Stop(last).Build(),
		q.client.B().Llen().Key(key).Build())
	lines, err := replies[0].AsStrSlice()
	if err != nil {
		return nil, 0, fmt.Errorf("logs of job %s: %w", id, err)
	}
	count, err := replies[1].AsInt64()
	if err != nil {
		return nil, 0, fmt.Errorf("logs of job %s: %w", id, err)
	}
	if !ascending {
		slices.Reverse(lines)
	}
	return lines, count, nil
}

// ClearLogs removes the log of a job but for its last keep lines.
func (q *Queue) ClearLogs(ctx context.Context, id string, keep int) error {
	key := q.keys.job(id, suffixLogs)
	command := q.client.B().Del().Key(key).Build()
	if keep > 0 {
		command = q.client.B().Ltrim().Key(key).Start(int64(-keep)).Stop(-1).Build()
	}
	if err := q.client.Do(ctx, command).Error(); err != nil {
		return fmt.Errorf("logs of job %s: %w", id, err)
	}
	return nil
}
