package bullmq

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/rueidis"

	"loupe/internal/testenv"
)

// The job of a photo pipeline: a small object, three attempts.
var (
	benchData = json.RawMessage(`{"assetId":"65f1c0ffee65f1c0ffee0001","imageUrl":"https://images.example/assets/65f1c0ffee/original.jpg","category":"sneaker","userId":"u-1029384756"}`)
	benchOpts = JobOptions{
		Attempts: 3, Backoff: Exponential(2 * time.Second),
		RemoveOnComplete: &Keep{Age: 24 * time.Hour, Count: 1000}, RemoveOnFail: KeepFor(7 * 24 * time.Hour),
	}
)

func BenchmarkAdd(b *testing.B) {
	for _, bench := range []struct {
		name      string
		producers int
		opts      JobOptions
		ownID     bool
	}{
		{"producers=1", 1, benchOpts, false},
		{"producers=64", 64, benchOpts, false},
		{"producers=64/own-id", 64, benchOpts, true},
		{"producers=64/delayed", 64, JobOptions{Delay: time.Hour}, false},
		{"producers=64/prioritized", 64, JobOptions{Priority: 5}, false},
	} {
		b.Run(bench.name, func(b *testing.B) {
			q := newQueue(b, QueueConfig{})
			before := scriptTime(b, q.client)
			b.ReportAllocs()
			if bench.producers == 1 {
				for b.Loop() {
					if _, err := q.Add(b.Context(), "analyze", benchData, bench.opts); err != nil {
						b.Fatal(err)
					}
				}
			} else {
				b.SetParallelism((bench.producers + runtime.GOMAXPROCS(0) - 1) / runtime.GOMAXPROCS(0))
				b.RunParallel(func(pb *testing.PB) {
					for opts := bench.opts; pb.Next(); {
						if bench.ownID {
							opts.ID = rand.Text()
						}
						if _, err := q.Add(context.Background(), "analyze", benchData, opts); err != nil {
							b.Error(err)
						}
					}
				})
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "adds/s")
			b.ReportMetric((scriptTime(b, q.client)-before)/float64(b.N), "redis-µs/add")
		})
	}
}

// scriptTime returns how long the server has run scripts, in µs.
func scriptTime(t testing.TB, client rueidis.Client) float64 {
	t.Helper()
	info, err := client.Do(t.Context(), client.B().Info().Section("commandstats").Build()).ToString()
	if err != nil {
		t.Fatal(err)
	}
	_, stats, found := strings.Cut(info, "cmdstat_evalsha:")
	if !found {
		return 0
	}
	_, usec, _ := strings.Cut(stats, "usec=")
	usec, _, _ = strings.Cut(usec, ",")
	f, err := strconv.ParseFloat(usec, 64)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func BenchmarkAddBulk(b *testing.B) {
	q := newQueue(b, QueueConfig{})
	jobs := make([]NewJob, 500)
	for i := range jobs {
		jobs[i] = NewJob{"analyze", benchData, benchOpts}
	}
	for b.Loop() {
		if _, err := q.AddBulk(b.Context(), jobs); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N*len(jobs))/b.Elapsed().Seconds(), "adds/s")
}

func BenchmarkDecodeOptions(b *testing.B) {
	stored := string(appendOptions(nil, &benchOpts))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := decodeOptions(stored); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkEncodeOptions(b *testing.B) {
	var buffer []byte
	b.ReportAllocs()
	for b.Loop() {
		buffer = appendOptions(buffer[:0], &benchOpts)
	}
}

// newQueue returns a queue of the test's own on the shared server.
func newQueue(t testing.TB, config QueueConfig) *Queue {
	t.Helper()
	if config.Prefix == "" {
		config.Prefix = testenv.Prefix(t)
	}
	q, err := NewQueue(newClient(t), "mail", config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(q.Close)
	return q
}
