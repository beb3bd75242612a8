package bullmq_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"os/signal"
	"time"

	"github.com/redis/rueidis"

	"loupe/bullmq"
)

// Mail is the data of the jobs in the examples.
type Mail struct {
	To string `json:"to"`
}

// A producer and a worker. Either could be a program in Node, Python or PHP.
func Example() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	client, err := rueidis.NewClient(rueidis.ClientOption{InitAddress: []string{"127.0.0.1:6379"}})
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()

	queue, err := bullmq.NewQueue(client, "mail", bullmq.QueueConfig{
		Defaults: bullmq.JobOptions{
			Attempts: 5, Backoff: bullmq.Exponential(time.Second), RemoveOnComplete: bullmq.KeepFor(24 * time.Hour),
		},
	})
	if err != nil {
		log.Fatal(err)
	}
	defer queue.Close()
	if _, err := queue.Add(ctx, "welcome", Mail{To: "ada@example.com"}, bullmq.JobOptions{}); err != nil {
		log.Fatal(err)
	}

	worker, err := bullmq.NewWorker(client, "mail", func(ctx context.Context, job *bullmq.Job) (any, error) {
		var mail Mail
		if err := job.Bind(&mail); err != nil {
			return nil, bullmq.Unrecoverable(err) // it will not get better
		}
		if _, err := job.Log(ctx, fmt.Sprintf("attempt %d to reach %s", job.Attempt(), mail.To)); err != nil {
			return nil, err
		}
		return "sent", nil
	}, bullmq.WorkerConfig{Concurrency: 50})
	if err != nil {
		log.Fatal(err)
	}
	if err := worker.Run(ctx); err != nil {
		log.Fatal(err)
	}
}

// The kinds of jobs.
func ExampleQueue_Add() {
	ctx := context.Background()
	client, err := rueidis.NewClient(rueidis.ClientOption{InitAddress: []string{"127.0.0.1:6379"}})
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	queue, err := bullmq.NewQueue(client, "mail", bullmq.QueueConfig{})
	if err != nil {
		log.Fatal(err)
	}
	defer queue.Close()

	mail := Mail{To: "ada@example.com"}
	for name, options := range map[string]bullmq.JobOptions{
		"in its turn":          {},
		"next":                 {LIFO: true},
		"tomorrow":             {Delay: 24 * time.Hour},
		"after those before 5": {Priority: 5},
		"once":                 {ID: "invoice-1815"},
		"once a minute":        {Deduplication: &bullmq.Deduplication{ID: "digest", TTL: time.Minute}},
		"with a few tries":     {Attempts: 5, Backoff: bullmq.Fixed(10 * time.Second), Timeout: time.Minute},
	} {
		job, err := queue.Add(ctx, name, mail, options)
		if err != nil {
			log.Fatal(err)
		}
		if job.Existing {
			fmt.Println(name, "is there already, as job", job.ID)
		}
	}
}

// Many jobs at once, and what to do about those that were not taken.
func ExampleQueue_AddBulk() {
	ctx := context.Background()
	client, err := rueidis.NewClient(rueidis.ClientOption{InitAddress: []string{"127.0.0.1:6379"}})
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	queue, err := bullmq.NewQueue(client, "mail", bullmq.QueueConfig{})
	if err != nil {
		log.Fatal(err)
	}
	defer queue.Close()

	var jobs []bullmq.NewJob
	for _, to := range []string{"ada@example.com", "grace@example.com"} {
		jobs = append(jobs, bullmq.NewJob{Name: "welcome", Data: Mail{To: to}, Options: bullmq.JobOptions{ID: "welcome-" + to}})
	}
	_, err = queue.AddBulk(ctx, jobs)
	if bulk, ok := errors.AsType[*bullmq.BulkError](err); ok {
		for i, err := range bulk.Errors {
			if err != nil {
				fmt.Println(jobs[i].Options.ID, "was not added:", err)
			}
		}
	}
}

// Look at the dead letters, page by page, and retry those of an outage.
func ExampleQueue_RetryAll() {
	ctx := context.Background()
	client, err := rueidis.NewClient(rueidis.ClientOption{InitAddress: []string{"127.0.0.1:6379"}})
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	queue, err := bullmq.NewQueue(client, "mail", bullmq.QueueConfig{})
	if err != nil {
		log.Fatal(err)
	}
	defer queue.Close()

	page, err := queue.Finished(ctx, bullmq.StateFailed, bullmq.Cursor{}, 20)
	if err != nil {
		log.Fatal(err)
	}
	for _, job := range page {
		fmt.Println(job.ID, job.FinishedOn, job.FailedReason)
	}
	n, err := queue.RetryAll(ctx, bullmq.RetryFilter{
		RetryOptions: bullmq.RetryOptions{ResetAttempts: true},
		Match:        func(job *bullmq.Job) bool { return job.FailedReason == "connection refused" },
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(n, "jobs run once more")
}
