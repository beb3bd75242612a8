package bullmq_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"os/signal"

	"github.com/redis/rueidis"

	"loupe/bullmq"
)

// Follow what happens in a queue, and go on after a restart of the program where it was.
func ExampleQueueEvents() {
	client, err := rueidis.NewClient(rueidis.ClientOption{InitAddress: []string{"127.0.0.1:6379"}})
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	last, _ := os.ReadFile("last-event") // nothing yet: from now on
	events, err := bullmq.NewQueueEvents(client, "mail", bullmq.EventsConfig{From: string(last)})
	if err != nil {
		log.Fatal(err)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := events.Run(ctx, func(e bullmq.Event) {
		switch e.Name {
		case bullmq.EventCompleted:
			fmt.Println(e.JobID, "gave", string(e.ReturnValue()))
		case bullmq.EventFailed:
			fmt.Println(e.JobID, "failed:", e.FailedReason())
		case bullmq.EventMissed:
			fmt.Println("were away for too long: events are missing")
		}
		last = []byte(e.ID)
	}); err != nil {
		log.Print(err)
	}
	if err := os.WriteFile("last-event", last, 0o600); err != nil {
		log.Print(err)
	}
}

// Add a job and wait for its result, as with a call to another service.
func ExampleQueue_WaitFinished() {
	client, err := rueidis.NewClient(rueidis.ClientOption{InitAddress: []string{"127.0.0.1:6379"}})
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	queue, err := bullmq.NewQueue(client, "resize", bullmq.QueueConfig{})
	if err != nil {
		log.Fatal(err)
	}
	defer queue.Close()
	events, err := bullmq.NewQueueEvents(client, "resize", bullmq.EventsConfig{})
	if err != nil {
		log.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- events.Run(ctx, nil) }()
	defer func() { stop(); <-ended }()

	// Until it is ready, a job could end unseen.
	if err := events.Ready(ctx); err != nil {
		log.Print(err)
		return
	}
	job, err := queue.Add(ctx, "resize", map[string]int{"width": 640}, bullmq.JobOptions{RemoveOnComplete: bullmq.KeepNone()})
	if err != nil {
		log.Print(err)
		return
	}
	value, err := queue.WaitFinished(ctx, job.ID, events)
	if failed := (*bullmq.FailedError)(nil); errors.As(err, &failed) {
		fmt.Println("it cannot be done:", failed.Reason)
	} else if err != nil {
		log.Print(err)
	} else {
		fmt.Println("done:", string(value))
	}
}
