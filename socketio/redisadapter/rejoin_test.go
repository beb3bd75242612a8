package redisadapter_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"loupe/socketio/internal/wiretest"
	"loupe/socketio/redisadapter"
)

// Nobody can tell who has not got what while Redis was away. Both sides learn of it: who emitted, and who may have missed.
func TestWhatAnOutageTakesIsKnown(t *testing.T) {
	t.Parallel()
	r := startRedis(t)
	rejoined := make(chan time.Time, 10)
	began := time.Now()
	s := serve(t, r, redisadapter.Config{
		HoldFor:  50 * time.Millisecond,
		Rejoined: func(_ context.Context, since time.Time) { rejoined <- since },
	}).ready(t)
	confirm := func() error {
		return s.cluster.Confirm(wiretest.Context(t), func() error { return s.To("room").Emit("news", 1) })
	}
	if err := confirm(); err != nil {
		t.Errorf("while all is well: %v", err)
	}
	refused := errors.New("refused")
	if err := s.cluster.Confirm(t.Context(), func() error { return refused }); !errors.Is(err, refused) {
		t.Errorf("an emission that fails: %v", err)
	}

	cut := time.Now()
	r.process.Kill()
	if err := confirm(); !errors.Is(err, redisadapter.ErrLost) && !errors.Is(err, redisadapter.ErrAway) {
		t.Errorf("as soon as Redis is away: %v", err)
	}
	eventually(t, "the outage to be noticed", func() bool { return errors.Is(confirm(), redisadapter.ErrAway) })
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.cluster.Confirm(ended, func() error { return nil }); err == nil {
		t.Error("confirmed while Redis is away")
	}
	if len(rejoined) > 0 {
		t.Error("rejoined while Redis is away")
	}

	r.start(t)
	select {
	case since := <-rejoined:
		if since.Before(began) || since.After(cut) {
			t.Errorf("rejoined since %s; began at %s, cut at %s", since, began, cut)
		}
	case <-wiretest.Context(t).Done():
		t.Fatal("never rejoined")
	}
	eventually(t, "emissions to be confirmed", func() bool { return confirm() == nil })
	if len(rejoined) > 0 {
		t.Error("rejoined twice")
	}
}
