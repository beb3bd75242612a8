package bullmq_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"time"

	"github.com/redis/rueidis"

	"loupe/bullmq"
)

// Jobs by the clock. A program may set its schedulers with every start: those that are as they were go on undisturbed.
// Whichever worker runs one of the jobs, in whatever language, makes the next.
func ExampleQueue_UpsertScheduler() {
	ctx := context.Background()
	client, err := rueidis.NewClient(rueidis.ClientOption{InitAddress: []string{"127.0.0.1:6379"}})
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	queue, err := bullmq.NewQueue(client, "reports", bullmq.QueueConfig{})
	if err != nil {
		log.Fatal(err)
	}
	defer queue.Close()

	weekdays := bullmq.Repeat{Pattern: "0 9 * * MON-FRI", TZ: "Europe/Berlin"}
	job, err := queue.UpsertScheduler(ctx, "morning", weekdays, bullmq.NewJob{
		Name: "summary", Data: Mail{To: "ada@example.com"}, Options: bullmq.JobOptions{Attempts: 3},
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("the first one comes in", job.Delay.Round(time.Minute))

	if _, err := queue.UpsertScheduler(ctx, "heartbeat", bullmq.Repeat{Every: 30 * time.Second}, bullmq.NewJob{}); err != nil {
		log.Fatal(err)
	}
}

// See what comes next, and end a schedule.
func ExampleQueue_Schedulers() {
	ctx := context.Background()
	client, err := rueidis.NewClient(rueidis.ClientOption{InitAddress: []string{"127.0.0.1:6379"}})
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	queue, err := bullmq.NewQueue(client, "reports", bullmq.QueueConfig{})
	if err != nil {
		log.Fatal(err)
	}
	defer queue.Close()

	next, err := queue.Schedulers(ctx, 0, 9, true) // the ten that come next
	if err != nil {
		log.Fatal(err)
	}
	for _, s := range next {
		fmt.Println(s.Next, s.ID, s.Name, s.Count)
	}
	if _, err := queue.RemoveScheduler(ctx, "morning"); err != nil {
		log.Fatal(err)
	}
	if _, err := queue.Scheduler(ctx, "morning"); errors.Is(err, bullmq.ErrSchedulerNotFound) {
		fmt.Println("no more mornings")
	}
}
