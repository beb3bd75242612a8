// Package redisqueue is the queue on Redis, shared by any number of processes and with BullMQ's own: a thin layer over
// package bullmq that speaks the words of package queue. The job contract names the queue, the job and its options.
package redisqueue

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"

	"github.com/redis/rueidis"

	"loupe/bullmq"
	"loupe/internal/queue"
)

// Names of the job contract.
const (
	queueName = "ai-processing"
	jobName   = "process-asset"
)

// Queue is a [queue.Queue] and its [queue.Admin].
type Queue struct {
	config queue.Config
	client rueidis.Client
	prefix string
	jobs   *bullmq.Queue
	log    *slog.Logger

	mu     sync.Mutex
	worker *bullmq.Worker // while Consume runs
	slots  int            // jobs at once, for now
}

var (
	_ queue.Queue = (*Queue)(nil)
	_ queue.Admin = (*Queue)(nil)
	_ queue.Gate  = (*Queue)(nil)
)

// New returns the queue on the Redis of client, which stays the caller's. On a Redis Cluster its keys get the hash tag
// {bull} that keeps them together; Node programs then need that prefix too.
func New(client rueidis.Client, c queue.Config, log *slog.Logger) (*Queue, error) {
	prefix := bullmq.DefaultPrefix
	if client.Mode() == rueidis.ClientModeCluster {
		prefix = "{" + prefix + "}"
	}
	return NewPrefixed(client, prefix, c, log)
}

// NewPrefixed is [New] for a queue whose keys begin with prefix.
func NewPrefixed(client rueidis.Client, prefix string, c queue.Config, log *slog.Logger) (*Queue, error) {
	jobs, err := bullmq.NewQueue(client, queueName, bullmq.QueueConfig{Prefix: prefix, Log: log})
	if err != nil {
		return nil, err
	}
	c = c.WithDefaults()
	return &Queue{config: c, client: client, prefix: prefix, jobs: jobs, log: log, slots: c.Concurrency}, nil
}

// Close waits for jobs that are on their way to Redis.
func (q *Queue) Close() error {
	q.jobs.Close()
	return nil
}

// Enqueue implements [queue.Queue]. What Redis has taken survives a power cut as far as its own settings go (appendonly,
// appendfsync); what it loses is found again in the asset store.
func (q *Queue) Enqueue(ctx context.Context, id string, data json.RawMessage) error {
	job, err := q.add(ctx, id, data)
	if err != nil || !job.Existing {
		return err
	}
	// A job that stands in no list will never run: one that a client of another version lost, say. It is made anew.
	if _, err := q.Get(ctx, id); !errors.Is(err, queue.ErrNotFound) {
		return err
	}
	q.log.WarnContext(ctx, "job was in no list, is queued anew", "job", id)
	if err := q.Remove(ctx, id); err != nil && !errors.Is(err, queue.ErrNotFound) {
		return err
	}
	_, err = q.add(ctx, id, data)
	return err
}

func (q *Queue) add(ctx context.Context, id string, data json.RawMessage) (*bullmq.Job, error) {
	return q.jobs.Add(ctx, jobName, data, q.options(id))
}

func (q *Queue) options(id string) bullmq.JobOptions {
	return bullmq.JobOptions{
		ID:               id,
		Attempts:         q.config.Attempts,
		Backoff:          bullmq.Exponential(q.config.Backoff),
		RemoveOnComplete: bullmq.KeepFor(q.config.KeepDone),
		RemoveOnFail:     bullmq.KeepFor(q.config.KeepFailed),
	}
}

// Ping returns nil if Redis answers.
func (q *Queue) Ping(ctx context.Context) error {
	if err := q.client.Do(ctx, q.client.B().Ping().Build()).Error(); err != nil {
		return fmt.Errorf("redis: %w", err)
	}
	return nil
}
