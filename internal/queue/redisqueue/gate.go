package redisqueue

import (
	"context"
	_ "embed"
	"fmt"
	"strconv"
	"time"

	"github.com/redis/rueidis"

	"loupe/bullmq"
	"loupe/internal/queue"
)

// The gate is the queue's own key `limiter`, with which BullMQ holds jobs back in every language, and two keys beside it:
//
//	gate       hash      what a [queue.Closure] says; it lives as long as the limiter
//	gate-turn  "<who>"   somebody's turn, or "closed": nobody's before it expires
//
// All times are times to live, so no clock but that of Redis counts.
var (
	//go:embed lua/shut.lua
	shutLua    string
	shutScript = rueidis.NewLuaScript(shutLua)

	//go:embed lua/admit.lua
	admitLua    string
	admitScript = rueidis.NewLuaScript(admitLua)

	//go:embed lua/open.lua
	openLua    string
	openScript = rueidis.NewLuaScript(openLua)
)

func (q *Queue) key(name string) string { return q.prefix + ":" + queueName + ":" + name }

// runGate runs one of the scripts.
func (q *Queue) runGate(ctx context.Context, what string, s *rueidis.Lua, args ...string) (changed bool, err error) {
	n, err := s.Exec(ctx, q.client, []string{q.key("limiter"), q.key("gate"), q.key("gate-turn")}, args).AsInt64()
	if err != nil {
		return false, fmt.Errorf("%s gate: %w", what, err)
	}
	return n > 0, nil
}

func decimal(d time.Duration) string { return strconv.FormatInt(max(1, d.Milliseconds()), 10) }

// Closure implements [queue.Gate].
func (q *Queue) Closure(ctx context.Context) (queue.Closure, error) {
	replies := q.client.DoMulti(ctx,
		q.client.B().Hmget().Key(q.key("gate")).Field("since", "reason", "failures").Build(),
		q.client.B().Pttl().Key(q.key("gate-turn")).Build())
	fields, err := replies[0].AsStrSlice()
	if err != nil {
		return queue.Closure{}, fmt.Errorf("gate: %w", err)
	}
	left, err := replies[1].AsInt64()
	if err != nil {
		return queue.Closure{}, fmt.Errorf("gate: %w", err)
	}
	since, err := strconv.ParseInt(fields[0], 10, 64)
	if err != nil { // there is none
		return queue.Closure{}, nil //nolint:nilerr // the gate is open
	}
	failures, _ := strconv.Atoi(fields[2])
	return queue.Closure{
		Since: time.UnixMilli(since).UTC(), Reason: fields[1], Failures: failures, Left: time.Duration(max(0, left)) * time.Millisecond,
	}, nil
}

// Claim implements [queue.Gate].
func (q *Queue) Claim(ctx context.Context, lease time.Duration) (bool, error) {
	err := q.client.Do(ctx, q.client.B().Set().Key(q.key("gate-turn")).Value(queue.ProcessName()).Nx().
		PxMilliseconds(lease.Milliseconds()).Build()).Error()
	if rueidis.IsRedisNil(err) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("claim gate: %w", err)
	}
	return true, nil
}

// Shut implements [queue.Gate].
func (q *Queue) Shut(ctx context.Context, c queue.Closure) error {
	left := min(c.Left, queue.MaxHold)
	_, err := q.runGate(ctx, "shut", shutScript, strconv.FormatInt(c.Since.UnixMilli(), 10), c.Reason, strconv.Itoa(c.Failures),
		decimal(left), decimal(left+queue.Unattended))
	return err
}

// Admit implements [queue.Gate].
func (q *Queue) Admit(ctx context.Context, d time.Duration) error {
	d = min(d, queue.MaxHold)
	_, err := q.runGate(ctx, "admit through", admitScript, decimal(d), decimal(d+queue.Unattended))
	return err
}

// Open implements [queue.Gate].
func (q *Queue) Open(ctx context.Context) error {
	wasClosed, err := q.runGate(ctx, "open", openScript)
	if err != nil || !wasClosed {
		return err
	}
	return q.jobs.RemoveRateLimit(ctx)
}

// Throttle implements [queue.Gate].
func (q *Queue) Throttle(n int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.slots = n
	if q.worker != nil {
		q.worker.SetConcurrency(n)
	}
}

// setWorker notes which worker runs.
func (q *Queue) setWorker(w *bullmq.Worker) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.worker = w; w != nil {
		w.SetConcurrency(q.slots)
	}
}
