package bullmq

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
)

// BenchmarkProcess runs jobs that were added before, whose handler does nothing.
func BenchmarkProcess(b *testing.B) {
	for _, concurrency := range []int{1, 5, 50, 200} {
		b.Run(fmt.Sprintf("concurrency=%d", concurrency), func(b *testing.B) {
			q := newQueue(b, QueueConfig{})
			jobs := make([]NewJob, b.N)
			for i := range jobs {
				jobs[i] = NewJob{"analyze", benchData, benchOpts}
			}
			if _, err := q.AddBulk(b.Context(), jobs); err != nil {
				b.Fatal(err)
			}
			ctx, stop := context.WithCancel(b.Context())
			defer stop()
			var done atomic.Int64
			w, err := NewWorker(q.client, q.name, func(context.Context, *Job) (any, error) { return nil, nil }, WorkerConfig{
				Prefix: q.config.Prefix, Concurrency: concurrency,
				Hooks: Hooks{Ended: func(*Job, End) {
					if done.Add(1) == int64(b.N) {
						stop()
					}
				}},
			})
			if err != nil {
				b.Fatal(err)
			}
			before := scriptTime(b, q.client)
			b.ReportAllocs()
			b.ResetTimer()
			if err := w.Run(ctx); err != nil {
				b.Fatal(err)
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "jobs/s")
			b.ReportMetric((scriptTime(b, q.client)-before)/float64(b.N), "redis-µs/job")
		})
	}
}
