package bullmq

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/redis/rueidis"
)

var (
	pauseScript    = newScript("pause")
	resumeScript   = newScript("resume")
	settingsScript = newScript("settings")
	unlimitScript  = newScript("unlimit")
)

// Pause keeps all workers of the queue, in every process, from starting further jobs. Running ones go on.
func (q *Queue) Pause(ctx context.Context) error {
	return q.command(ctx, "pause", pauseScript)
}

// Resume ends a pause.
func (q *Queue) Resume(ctx context.Context) error {
	return q.command(ctx, "resume", resumeScript)
}

// IsPaused tells whether the queue is paused.
func (q *Queue) IsPaused(ctx context.Context) (bool, error) {
	paused, err := q.client.Do(ctx, q.client.B().Hexists().Key(q.keys.of(keyMeta)).Field(metaPaused).Build()).AsBool()
	if err != nil {
		return false, fmt.Errorf("settings of queue %s: %w", q.name, err)
	}
	return paused, nil
}

// SetGlobalConcurrency lets at most n jobs, 1 or more, be active at once in all processes.
func (q *Queue) SetGlobalConcurrency(ctx context.Context, n int) error {
	if n < 1 {
		return fmt.Errorf("limit queue %s: concurrency %d is below 1", q.name, n)
	}
	return q.command(ctx, "limit", settingsScript, metaConcurrency, strconv.Itoa(n))
}

// RemoveGlobalConcurrency ends the limit.
func (q *Queue) RemoveGlobalConcurrency(ctx context.Context) error {
	return q.command(ctx, "limit", settingsScript, metaConcurrency, "")
}

// GlobalConcurrency returns the limit, or 0 if there is none.
func (q *Queue) GlobalConcurrency(ctx context.Context) (int, error) {
	values, err := q.settings(ctx, metaConcurrency)
	if err != nil {
		return 0, err
	}
	return integer(values[0]), nil
}

// SetGlobalRateLimit lets at most so many jobs start within each such time in all processes. It wins over the limits of
// workers.
func (q *Queue) SetGlobalRateLimit(ctx context.Context, limit RateLimit) error {
	if limit.Max < 1 || limit.Per < time.Millisecond {
		return fmt.Errorf("limit queue %s: %d jobs per %s: needs 1 and 1ms at least", q.name, limit.Max, limit.Per)
	}
	return q.command(ctx, "limit", settingsScript, metaMax, strconv.Itoa(limit.Max), metaDuration, decimal(limit.Per))
}

// RemoveGlobalRateLimit ends the limit.
func (q *Queue) RemoveGlobalRateLimit(ctx context.Context) error {
	return q.command(ctx, "limit", settingsScript, metaMax, "", metaDuration, "")
}

// GlobalRateLimit returns the limit, or the zero value if there is none.
func (q *Queue) GlobalRateLimit(ctx context.Context) (RateLimit, error) {
	values, err := q.settings(ctx, metaMax, metaDuration)
	if err != nil {
		return RateLimit{}, err
	}
	return RateLimit{integer(values[0]), millis(values[1])}, nil
}

// manualLimit is the count of started jobs that no limit is above.
const manualLimit = 1<<53 - 1

// RateLimit keeps workers from starting jobs for this time. Those of BullMQ for Node obey only if a limit is set for the
// queue or for themselves.
func (q *Queue) RateLimit(ctx context.Context, d time.Duration) error {
	return q.RateLimitAfter(ctx, 0, d)
}

// maxLate is how many jobs [Queue.RateLimitAfter] lets start at most: the limit stays a number of 16 digits, which no
// count of started jobs has.
const maxLate = 1_000_000

// RateLimitAfter lets n jobs start, in all processes together, and then keeps workers from starting more until this time
// has passed from now on. To workers of BullMQ for Node n is 0.
func (q *Queue) RateLimitAfter(ctx context.Context, n int, d time.Duration) error {
	if d < time.Millisecond || n < 0 || n > maxLate {
		return fmt.Errorf("limit queue %s: %d jobs, then none for %s: needs 0 to %d and 1ms at least", q.name, n, d, maxLate)
	}
	err := q.client.Do(ctx, q.client.B().Set().Key(q.keys.of(keyLimiter)).Value(strconv.Itoa(manualLimit-n)).
		PxMilliseconds(d.Milliseconds()).Build()).Error()
	if err != nil {
		return fmt.Errorf("limit queue %s: %w", q.name, err)
	}
	return nil
}

// RateLimitTTL returns for how long no job starts because of a rate limit, or 0. Without a limit of the queue's own any
// worker's counts, whether or not it is reached.
func (q *Queue) RateLimitTTL(ctx context.Context) (time.Duration, error) {
	limiter := q.keys.of(keyLimiter)
	replies := q.client.DoMulti(ctx,
		q.client.B().Hget().Key(q.keys.of(keyMeta)).Field(metaMax).Build(),
		q.client.B().Get().Key(limiter).Build(),
		q.client.B().Pttl().Key(limiter).Build())
	for _, r := range replies {
		if err := ignoreNil(r.Error()); err != nil {
			return 0, fmt.Errorf("limit of queue %s: %w", q.name, err)
		}
	}
	most, _ := replies[0].ToString()  // "" for nil
	count, _ := replies[1].ToString() // "" for nil
	ttl, err := replies[2].AsInt64()
	if err != nil {
		return 0, fmt.Errorf("limit of queue %s: %w", q.name, err)
	}
	if integer(count) < integer(most) {
		return 0, nil
	}
	return time.Duration(max(ttl, 0)) * time.Millisecond, nil
}

// RemoveRateLimit ends the present window of whatever rate limit, so that jobs can start at once.
func (q *Queue) RemoveRateLimit(ctx context.Context) error {
	return q.command(ctx, "limit", unlimitScript)
}

// TrimEvents shortens the stream of events to about so many and returns how many went.
func (q *Queue) TrimEvents(ctx context.Context, length int64) (int64, error) {
	n, err := q.client.Do(ctx, q.client.B().Xtrim().Key(q.keys.of(keyEvents)).Maxlen().Almost().
		Threshold(strconv.FormatInt(length, 10)).Build()).AsInt64()
	if err != nil {
		return 0, fmt.Errorf("trim events of queue %s: %w", q.name, err)
	}
	return n, nil
}

// command runs a script that replies nothing.
func (q *Queue) command(ctx context.Context, operation string, s script, args ...string) error {
	err := s.run(ctx, q.client, q.keys, append([]string{millisNow()}, args...)...).Error()
	if ignoreNil(err) != nil {
		return fmt.Errorf("%s queue %s: %w", operation, q.name, err)
	}
	return nil
}

// settings returns settings of the queue, "" for what is not set.
func (q *Queue) settings(ctx context.Context, names ...string) ([]string, error) {
	values, err := q.client.Do(ctx, q.client.B().Hmget().Key(q.keys.of(keyMeta)).Field(names...).Build()).AsStrSlice()
	if err != nil {
		return nil, fmt.Errorf("settings of queue %s: %w", q.name, err)
	}
	return values, nil
}

// ignoreNil drops the error that stands for a reply of nothing.
func ignoreNil(err error) error {
	if rueidis.IsRedisNil(err) {
		return nil
	}
	return err
}
