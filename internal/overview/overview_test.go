package overview_test

import (
	"context"
	"errors"
	"reflect"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"loupe/internal/overview"
	"loupe/internal/queue"
	"loupe/internal/testenv"
)

func TestMain(m *testing.M) { testenv.Main(m) }

func wait(d time.Duration) { time.Sleep(d) } //nolint:forbidigo // in a bubble

// A sample every few seconds for an hour, a gap where the queue was away.
func TestSamples(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var asked int
		var away atomic.Bool
		r := overview.New(overview.Config{Counts: func(ctx context.Context) (queue.Counts, error) {
			if _, bounded := ctx.Deadline(); !bounded {
				t.Error("asked without a deadline")
			}
			asked++
			if away.Load() {
				return queue.Counts{}, errors.New("away")
			}
			return queue.Counts{Waiting: asked}, nil
		}})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- r.Run(ctx) }()

		wait(2*overview.SampleEvery + time.Millisecond)
		first := r.Samples(time.Time{})
		if len(first) != 3 || first[0].Waiting != 1 || first[2].Waiting != 3 || first[1].At.Sub(first[0].At) != overview.SampleEvery {
			t.Errorf("samples %+v", first)
		}
		away.Store(true)
		wait(2 * overview.SampleEvery)
		away.Store(false)
		wait(overview.SampleEvery)
		if later := r.Samples(first[2].At); len(later) != 1 || later[0].Waiting != 6 {
			t.Errorf("after a gap: %+v", later)
		}
		wait(2 * overview.Span)
		all := r.Samples(time.Time{})
		if len(all) != int(overview.Span/overview.SampleEvery) || time.Since(all[0].At) > overview.Span || time.Since(all[len(all)-1].At) > overview.SampleEvery {
			t.Errorf("%d samples from %s to %s, now %s", len(all), all[0].At, all[len(all)-1].At, time.Now())
		}
		if none := r.Samples(time.Now()); len(none) != 0 {
			t.Errorf("from the future: %+v", none)
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func TestTimes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := overview.New(overview.Config{})
		for i := range 100 {
			r.Took(overview.Wait, time.Duration(100-i)*time.Millisecond)
		}
		r.Took(overview.Total, time.Second)
		want := []overview.Times{
			{Stage: overview.Receive},
			{Stage: overview.Wait, Count: 100, P50: 50 * time.Millisecond, P95: 95 * time.Millisecond},
			{Stage: overview.Analysis},
			{Stage: overview.Total, Count: 1, P50: time.Second, P95: time.Second},
		}
		if got := r.Times(); !reflect.DeepEqual(got, want) {
			t.Errorf("got %+v, want %+v", got, want)
		}
		for range 2 * overview.MaxTimes {
			r.Took(overview.Wait, time.Minute)
		}
		if got := r.Times()[1]; got.Count != overview.MaxTimes || got.P50 != time.Minute {
			t.Errorf("the latest: %+v", got)
		}
		wait(overview.StageSpan)
		if got := r.Times(); got[1].Count != 0 || got[1].P95 != 0 {
			t.Errorf("too old: %+v", got)
		}
	})
}

func TestThroughputAndAttempts(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := overview.New(overview.Config{})
		r.Finished("active")
		r.Finished("active")
		r.Finished("failed")
		r.Attempted("ok")
		wait(2 * time.Minute)
		r.Finished("active")
		r.Attempted("timeout")
		r.Attempted("ok")

		got := r.Throughput()
		for i, want := range []map[string]int{{"active": 2, "failed": 1}, {}, {"active": 1}} {
			if len(got) != 3 || !reflect.DeepEqual(got[i].Finished, want) || got[i].At.Second() != 0 {
				t.Fatalf("minute %d of %+v, want %+v", i, got, want)
			}
		}
		if got := r.Attempts(); !reflect.DeepEqual(got, map[string]int{"ok": 2, "timeout": 1}) {
			t.Errorf("attempts %v", got)
		}
		wait(overview.Span - 2*time.Minute)
		r.Attempted("ok")
		if got := r.Attempts(); !reflect.DeepEqual(got, map[string]int{"ok": 2, "timeout": 1}) {
			t.Errorf("without the first minute: %v", got)
		}
		wait(overview.Span)
		if got := r.Attempts(); len(got) != 0 {
			t.Errorf("an hour later: %v", got)
		}
		if got := r.Throughput(); len(got) != 60 || len(got[59].Finished) != 0 {
			t.Errorf("an hour later: %+v", got)
		}
	})
}
