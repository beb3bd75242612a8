package builtin

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
)

func TestBudget(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBudget(10)
		var order []string
		claims := map[string]*claim{}
		ask := func(name string, bytes int64) {
			go func() {
				c, err := b.claim(t.Context(), bytes)
				if err != nil {
					t.Error(err)
				}
				order = append(order, name)
				claims[name] = c
			}()
			synctest.Wait()
		}
		want := func(names ...string) {
			t.Helper()
			if !slices.Equal(order, names) {
				t.Fatalf("served %v, want %v", order, names)
			}
		}
		ask("a", 6)
		ask("b", 5)
		ask("c", 1) // would fit, but must not overtake
		want("a")
		claims["a"].shrink(7) // never grows
		synctest.Wait()
		want("a")
		claims["a"].shrink(5)
		synctest.Wait()
		want("a", "b")
		claims["a"].release()
		synctest.Wait()
		claims["a"].release() // twice is once
		synctest.Wait()
		want("a", "b", "c")
		ask("huge", 1000) // gets everything, alone
		want("a", "b", "c")
		claims["b"].release()
		synctest.Wait()
		want("a", "b", "c")
		claims["c"].release()
		synctest.Wait()
		want("a", "b", "c", "huge")
		if b.free != 0 {
			t.Errorf("%d bytes free beside the huge one", b.free)
		}
		claims["huge"].release()
		if b.free != 10 {
			t.Errorf("%d bytes free at the end, want 10", b.free)
		}
	})
}

func TestBudgetCancelled(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBudget(10)
		first, err := b.claim(t.Context(), 8)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancelCause(t.Context())
		mine := errors.New("enough")
		failed, served := make(chan error), make(chan *claim)
		go func() {
			_, err := b.claim(ctx, 9)
			failed <- err
		}()
		synctest.Wait()
		go func() {
			c, err := b.claim(t.Context(), 2)
			if err != nil {
				t.Error(err)
			}
			served <- c
		}()
		synctest.Wait()
		cancel(mine)
		if err := <-failed; !errors.Is(err, mine) {
			t.Errorf("got %v, want the cause", err)
		}
		(<-served).release() // it was behind the one that gave up
		first.release()
		if b.free != 10 || len(b.waiting) != 0 {
			t.Errorf("%d bytes free, %d waiting", b.free, len(b.waiting))
		}
		// One that is granted and cancelled at once may get either, but nothing is lost.
		for range 20 {
			if c, err := b.claim(ctx, 10); err == nil {
				c.release()
			}
		}
		if b.free != 10 {
			t.Errorf("%d bytes free, want 10", b.free)
		}
	})
}
