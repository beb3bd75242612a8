package sqlitedb

import (
	"fmt"
	"sync/atomic"
	"testing"
)

// Durable writes (an fsync before each answer) from many writers at once. writes/commit shows how many share one fsync.
func BenchmarkWrite(b *testing.B) {
	for _, writers := range []int{1, 16, 128} {
		b.Run(fmt.Sprintf("writers=%d", writers), func(b *testing.B) {
			db := openTemp(b)
			makeNotes(b, db)
			before := db.Stats()
			var left, failed atomic.Int64
			left.Store(int64(b.N))
			done := make(chan struct{})
			b.ResetTimer()
			for range writers {
				go func() {
					for n := left.Add(-1); n >= 0; n = left.Add(-1) {
						if addNote(b, db, fmt.Sprint(n)) != nil {
							failed.Add(1)
						}
					}
					done <- struct{}{}
				}()
			}
			for range writers {
				<-done
			}
			b.StopTimer()
			after := db.Stats()
			if failed.Load() > 0 {
				b.Fatal(failed.Load(), "writes failed")
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "writes/s")
			b.ReportMetric(float64(after.Writes-before.Writes)/float64(after.Commits-before.Commits), "writes/commit")
		})
	}
}
