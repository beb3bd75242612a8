package redisqueue

import (
	"context"
	"time"

	"github.com/redis/rueidis"

	"loupe/bullmq"
	"loupe/internal/queue"
)

// Workers implements [queue.Admin]: whatever works on the queue by BullMQ's rules, in Node too. Where the server refuses
// to list its connections, as some hosted ones do, those workers are there that have a job.
func (q *Queue) Workers(ctx context.Context) ([]queue.Worker, error) {
	connections, err := q.jobs.Workers(ctx)
	if _, refused := rueidis.IsRedisErr(err); err != nil && !refused {
		return nil, err
	}
	jobs, err := q.jobs.Jobs(ctx, bullmq.Range{States: []bullmq.State{bullmq.StateActive}, End: queue.MaxRunning - 1})
	if err != nil {
		return nil, err
	}
	now := time.Now()
	workers := queue.Roster{}
	for _, c := range connections {
		workers.Seen(c.Name, now.Add(-c.Connected).UTC())
	}
	for _, job := range jobs {
		workers.Works(job.ProcessedBy, queue.Running{
			ID: job.ID, AssetID: queue.AssetOf(job.Data), Attempt: job.Attempt(), StartedAt: utc(job.ProcessedOn),
		})
	}
	return workers.List(), nil
}
