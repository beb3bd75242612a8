// Command queue-loupe is our queue under measurement. Its argument is the address of Redis.
package main

import (
	"context"
	"os"

	"github.com/redis/rueidis"

	"loupe/bench/peers/queuepeer"
	"loupe/bullmq"
)

func main() {
	client, err := rueidis.NewClient(rueidis.ClientOption{InitAddress: []string{os.Args[1]}, DisableCache: true})
	if err != nil {
		panic(err)
	}
	defer client.Close()
	queuepeer.Serve(peer{client})
}

type peer struct{ client rueidis.Client }

func (p peer) Producer(queue string) (func(*queuepeer.Job) error, func(), error) {
	q, err := bullmq.NewQueue(p.client, queue, bullmq.QueueConfig{Defaults: bullmq.JobOptions{
		Attempts:         queuepeer.Attempts,
		Backoff:          bullmq.Exponential(queuepeer.Backoff),
		RemoveOnComplete: bullmq.KeepFor(queuepeer.KeepCompleted),
		RemoveOnFail:     bullmq.KeepFor(queuepeer.KeepFailed),
	}})
	if err != nil {
		return nil, nil, err
	}
	return func(job *queuepeer.Job) error {
		_, err := q.Add(context.Background(), "process-asset", job, bullmq.JobOptions{ID: job.ID(), Timestamp: job.Made, Delay: job.Delay})
		return err
	}, q.Close, nil
}

func (p peer) Worker(queue string, concurrency, ahead int, handle func(decode func(any) error)) (func(), error) {
	w, err := bullmq.NewWorker(p.client, queue, func(_ context.Context, job *bullmq.Job) (any, error) {
		handle(job.Bind)
		return nil, nil
	}, bullmq.WorkerConfig{Concurrency: concurrency, FetchAhead: ahead})
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- w.Run(ctx) }()
	return func() {
		cancel()
		if err := <-ended; err != nil {
			panic(err)
		}
	}, nil
}
