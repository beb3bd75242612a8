package bullmq

import (
	"context"
	"encoding/base64"
	"errors"
	"time"

	"github.com/redis/rueidis"
)

// watchSlack is how much later than asked for Redis may end a blocking command before its connection counts as lost.
const watchSlack = 2 * time.Second

// watch waits for wake-ups while the worker is idle, until ctx ends. It has a connection of its own, which blocks, and by
// whose name the worker is listed. Timers for delayed jobs are not its concern: Redis keeps such a promise to 100 ms only.
func (s *shift) watch(ctx context.Context) {
	pause := retryAfter
	for ctx.Err() == nil {
		connected := time.Now()
		err := s.listen(ctx)
		if ctx.Err() != nil {
			return
		}
		if time.Since(connected) > retryAtMost {
			pause = retryAfter
		}
		if pause == retryAfter {
			s.cfg.Log.Warn("connection of idle worker lost, connecting again", "queue", s.queue, "error", err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
		pause = min(2*pause, retryAtMost)
	}
}

// listen opens the connection and waits for wake-ups on it until it fails or ctx ends.
func (s *shift) listen(ctx context.Context) error {
	master := masterOf(s.client)
	conn, release := s.client.Dedicate()
	defer release()
	defer conn.Close() // it has a name, and may be blocked: nobody else can use it
	lost := conn.SetPubSubHooks(rueidis.PubSubHooks{OnMessage: func(m rueidis.PubSubMessage) {
		select {
		case s.hints <- m.Message:
		default: // the next renewal of the lock finds it
		}
	}})
	ctx, stop := whileMaster(ctx, s.client, master)
	defer stop()
	marker := s.keys.of(keyMarker)
	b := conn.B()
	// On a cluster the key of the first command chooses the node.
	answers := conn.DoMulti(ctx, b.Exists().Key(marker).Build(), b.ClientSetname().ConnectionName(s.clientName()).Build())
	if err := answers[0].Error(); err != nil {
		if _, answered := rueidis.IsRedisErr(err); answered {
			s.woken(time.Time{}) // the queue is elsewhere now; until that is known here, scripts find it
		}
		return err
	}
	if err := answers[1].Error(); err != nil {
		if _, refused := rueidis.IsRedisErr(err); !refused {
			return err
		}
		s.cfg.Log.Warn("worker will not be listed", "queue", s.queue, "error", err)
	}
	if err := conn.Do(ctx, b.Subscribe().Channel(s.keys.of(cancelChannel)).Build()).Error(); err != nil {
		s.cfg.Log.Warn("cancelling jobs may take half of the time of a lock", "queue", s.queue, "error", err)
	}
	s.woken(time.Time{}) // what came while nobody listened
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case err := <-lost:
			return errors.Join(errors.New("connection closed"), err)
		case <-s.idle:
		}
		if !s.isIdle() {
			continue
		}
		due, err := s.pop(ctx, conn, marker)
		if err != nil {
			return err
		}
		s.woken(due)
	}
}

// pop waits for a wake-up and returns for when it is: in the past, if for now. That it came in vain, after
// [WorkerConfig.DrainDelay], makes no difference.
func (s *shift) pop(ctx context.Context, conn rueidis.DedicatedClient, marker string) (time.Time, error) {
	ctx, stop := context.WithTimeout(ctx, s.cfg.DrainDelay+watchSlack)
	defer stop()
	answer, err := conn.Do(ctx, conn.B().Bzpopmin().Key(marker).Timeout(s.cfg.DrainDelay.Seconds()).Build()).ToArray()
	switch {
	case rueidis.IsRedisNil(err):
		return time.Time{}, nil
	case err != nil:
		return time.Time{}, err
	case len(answer) < 3:
		return time.Time{}, nil
	}
	score, err := answer[2].AsFloat64()
	if err != nil {
		return time.Time{}, nil //nolint:nilerr // whatever it is, it is a wake-up
	}
	return time.UnixMilli(clamp(score)), nil
}

// isIdle tells whether a wake-up would be of use.
func (s *shift) isIdle() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return !s.paused && !s.closing && s.alone == nil && !s.look && s.hasFree()
}

// woken passes a wake-up on to dispatch: there may be jobs, or there will be at a time to come.
func (s *shift) woken(due time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.paused || s.closing || s.alone != nil || !s.hasFree():
		s.pass = true
	case !due.After(time.Now()):
		s.look = true
	case s.due.IsZero() || due.Before(s.due):
		s.due = due
	}
	s.signalLanes()
}

// clientName is the name by which a worker is found among the connections of the server, in all languages.
func (s *shift) clientName() string {
	name := s.cfg.Prefix + ":" + base64.StdEncoding.EncodeToString([]byte(s.queue))
	if s.cfg.Name != "" {
		name += ":w:" + s.cfg.Name
	}
	return name
}
