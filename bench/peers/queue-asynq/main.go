// Command queue-asynq is github.com/hibiken/asynq under measurement. Its argument is the address of Redis.
package main

import (
	"context"
	"encoding/json"
	"os"

	"github.com/hibiken/asynq"

	"loupe/bench/peers/queuepeer"
)

func main() { queuepeer.Serve(peer{asynq.RedisClientOpt{Addr: os.Args[1]}}) }

type peer struct{ redis asynq.RedisClientOpt }

func (p peer) Producer(queue string) (func(*queuepeer.Job) error, func(), error) {
	c := asynq.NewClient(p.redis)
	return func(job *queuepeer.Job) error {
		payload, err := json.Marshal(job)
		if err != nil {
			return err
		}
		_, err = c.Enqueue(asynq.NewTask("process-asset", payload), asynq.Queue(queue), asynq.TaskID(job.ID()),
			asynq.MaxRetry(queuepeer.Attempts-1), asynq.Retention(queuepeer.KeepCompleted), asynq.ProcessAt(job.Made.Add(job.Delay)))
		return err
	}, func() { c.Close() }, nil
}

func (p peer) Worker(queue string, concurrency, _ int, handle func(decode func(any) error)) (func(), error) {
	s := asynq.NewServer(p.redis, asynq.Config{Concurrency: concurrency, Queues: map[string]int{queue: 1}, LogLevel: asynq.FatalLevel})
	err := s.Start(asynq.HandlerFunc(func(_ context.Context, task *asynq.Task) error {
		handle(func(v any) error { return json.Unmarshal(task.Payload(), v) })
		return nil
	}))
	return s.Shutdown, err
}
