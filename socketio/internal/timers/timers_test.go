package timers

import (
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestTimersFireInOrderAndOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := New()
		defer h.Close()
		const n = 500
		var mu sync.Mutex
		var fired []time.Duration
		for _, i := range rand.Perm(n) {
			at := time.Duration(i+1) * time.Millisecond
			tm := &Timer{}
			tm.Func = func() { locked(&mu, func() { fired = append(fired, at) }) }
			h.Set(tm, at+time.Hour)
			h.Set(tm, at) // moved forward
		}
		time.Sleep(time.Second)
		synctest.Wait()
		mu.Lock()
		defer mu.Unlock()
		if len(fired) != n || !slices.IsSorted(fired) {
			t.Fatalf("%d of %d timers fired, sorted: %t", len(fired), n, slices.IsSorted(fired))
		}
	})
}

func TestTimerMovedBackFiresLate(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := New()
		defer h.Close()
		var at atomic.Int64
		tm := &Timer{Func: func() { at.Store(int64(h.Now())) }}
		h.Set(tm, time.Second)
		h.Set(tm, 3*time.Second)
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if at := at.Load(); at != 0 {
			t.Fatalf("fired at its old deadline, %v", time.Duration(at))
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if at := time.Duration(at.Load()); at != 3*time.Second {
			t.Fatalf("fired at %v, want 3s", at)
		}
		h.Set(tm, 5*time.Second) // again, after the runtime timer went idle
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if at := time.Duration(at.Load()); at != 5*time.Second {
			t.Fatalf("fired at %v, want 5s", at)
		}
	})
}

func TestStoppedTimersDoNotFire(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := New()
		var fired atomic.Int32
		timers := make([]*Timer, 100)
		for i := range timers {
			timers[i] = &Timer{Func: func() { fired.Add(1) }}
			h.Set(timers[i], time.Duration(i)*time.Millisecond+time.Second)
		}
		for i := 0; i < len(timers); i += 2 {
			h.Stop(timers[i])
			h.Stop(timers[i]) // a second time does nothing
		}
		time.Sleep(1050 * time.Millisecond)
		synctest.Wait()
		if fired := fired.Load(); fired != 25 {
			t.Fatalf("%d fired, want 25", fired)
		}
		h.Close()
		h.Set(timers[0], 0) // after Close nothing fires
		time.Sleep(time.Second)
		synctest.Wait()
		if fired := fired.Load(); fired != 25 {
			t.Fatalf("%d fired after Close, want 25", fired)
		}
	})
}

func locked(mu *sync.Mutex, f func()) {
	mu.Lock()
	defer mu.Unlock()
	f()
}
