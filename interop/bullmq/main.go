// Command bullmq is a worker whose jobs never end, for tests that kill it.
//
//	bullmq <address of Redis> <prefix> <queue> <lock, as a duration>
package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/redis/rueidis"

	"loupe/bullmq"
)

func main() {
	if err := run(context.Background(), os.Args[1], os.Args[2], os.Args[3], os.Args[4]); err != nil { //nolint:forbidigo // this is main
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context, redis, prefix, queue, lock string) error {
	life, err := time.ParseDuration(lock)
	if err != nil {
		return err
	}
	client, err := rueidis.NewClient(rueidis.ClientOption{InitAddress: []string{redis}, DisableCache: true})
	if err != nil {
		return err
	}
	defer client.Close()
	hang := func(ctx context.Context, _ *bullmq.Job) (any, error) {
		<-ctx.Done()
		return nil, context.Cause(ctx)
	}
	worker, err := bullmq.NewWorker(client, queue, hang, bullmq.WorkerConfig{Prefix: prefix, Lock: life, StalledEvery: 200 * time.Millisecond})
	if err != nil {
		return err
	}
	return worker.Run(ctx)
}
