package sqlitequeue_test

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"loupe/internal/queue"
)

var payload = json.RawMessage(`{"assetId":"507f1f77bcf86cd799439011","userId":"507f1f77bcf86cd799439012",` +
	`"imageUrl":"http://127.0.0.1:3000/images/0123456789abcdef0123456789abcdef.jpg","category":"sneaker","createdAt":"2025-12-28T10:30:00.000Z"}`)

// Durable enqueues from many producers at once.
func BenchmarkEnqueue(b *testing.B) {
	for _, producers := range []int{1, 16, 128} {
		b.Run(fmt.Sprintf("producers=%d", producers), func(b *testing.B) {
			q, _ := open(b, queue.Config{Sole: true})
			var left, failed atomic.Int64
			left.Store(int64(b.N))
			var wait sync.WaitGroup
			b.ResetTimer()
			for range producers {
				wait.Go(func() {
					for n := left.Add(-1); n >= 0; n = left.Add(-1) {
						if q.Enqueue(b.Context(), fmt.Sprint(n), payload) != nil {
							failed.Add(1)
						}
					}
				})
			}
			wait.Wait()
			b.StopTimer()
			if failed.Load() > 0 {
				b.Fatal(failed.Load(), "failed")
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "jobs/s")
		})
	}
}

// The way of jobs that wait in line through a handler that does nothing.
func BenchmarkProcess(b *testing.B) {
	for _, concurrency := range []int{1, 5, 50} {
		b.Run(fmt.Sprintf("concurrency=%d", concurrency), func(b *testing.B) {
			q, db := open(b, queue.Config{Sole: true, Concurrency: concurrency})
			ids := make(chan int)
			var wait sync.WaitGroup
			for range 64 {
				wait.Go(func() {
					for i := range ids {
						if err := q.Enqueue(b.Context(), fmt.Sprint(i), payload); err != nil {
							b.Error(err)
						}
					}
				})
			}
			for i := range b.N {
				ids <- i
			}
			close(ids)
			wait.Wait()

			ended := make(chan struct{}, b.N)
			before := db.Stats().Commits
			b.ResetTimer()
			stop := consume(b, q, func(context.Context, queue.Job) error { ended <- struct{}{}; return nil })
			for range b.N {
				<-ended
			}
			stop()
			b.StopTimer()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "jobs/s")
			b.ReportMetric(float64(db.Stats().Commits-before)/float64(b.N), "commits/job")
		})
	}
}

// From the return of Enqueue to the first line of the handler, with an idle worker.
func BenchmarkStart(b *testing.B) {
	q, _ := open(b, queue.Config{Sole: true})
	started := make(chan time.Time)
	stop := consume(b, q, func(context.Context, queue.Job) error { started <- time.Now(); return nil })
	waits := make([]time.Duration, 0, b.N)
	for i := range b.N {
		if err := q.Enqueue(b.Context(), fmt.Sprint(i), payload); err != nil {
			b.Fatal(err)
		}
		returned := time.Now()
		waits = append(waits, (<-started).Sub(returned))
	}
	stop()
	slices.Sort(waits)
	b.ReportMetric(float64(waits[len(waits)/2].Microseconds()), "p50-µs")
	b.ReportMetric(float64(waits[len(waits)*99/100].Microseconds()), "p99-µs")
}
