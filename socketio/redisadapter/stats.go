package redisadapter

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
)

// Stats are counts since the cluster was made.
type Stats struct {
	Published int64 // messages that Redis has taken
	Dropped   int64 // messages that found the queue full, or Redis away for too long
	Failed    int64 // messages that Redis refused, or that were on their way when the connection was lost
	Received  int64 // messages from other servers, answers included
	Foreign   int64 // of these, broadcasts to rooms that no socket here is in
	Malformed int64 // messages that were dropped because they were wrong
	Outages   int64 // times that Redis went away
}

type counters struct {
	published, dropped, failed, received, foreign, malformed, outages atomic.Int64
}

// lost is how many messages have not reached Redis.
func (s *counters) lost() int64 { return s.dropped.Load() + s.failed.Load() }

// Stats returns the present counts.
func (c *Cluster) Stats() Stats {
	s := &c.stats
	return Stats{
		Published: s.published.Load(),
		Dropped:   s.dropped.Load(),
		Failed:    s.failed.Load(),
		Received:  s.received.Load(),
		Foreign:   s.foreign.Load(),
		Malformed: s.malformed.Load(),
		Outages:   s.outages.Load(),
	}
}

// logInterval is the time between two lines of a log about faults that may come with every message.
const logInterval = 10 * time.Second

// faults logs what may come with every message, but not more often than logInterval.
type faults struct {
	mu     sync.Mutex
	last   time.Time
	hidden int
}

func (f *faults) log(log *slog.Logger, msg string, args ...any) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if now := time.Now(); now.Sub(f.last) < logInterval {
		f.hidden++
		return
	} else {
		f.last = now
	}
	log.Warn(msg, append(args, "others", f.hidden)...)
	f.hidden = 0
}

// outage knows whether Redis is away, by any of the connections, and says so when that changes.
type outage struct {
	log   *slog.Logger
	stats *counters

	mu    sync.Mutex
	parts map[string]bool // the connections that are lost
	since time.Time
}

func (o *outage) begin(part string, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.parts) == 0 {
		o.parts = make(map[string]bool)
		o.since = time.Now()
		o.stats.outages.Add(1)
		o.log.Error("socket.io servers are cut off from Redis; local sockets are served", "connection", part, "error", err)
	}
	o.parts[part] = true
}

func (o *outage) end(part string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.parts[part] {
		return
	}
	if delete(o.parts, part); len(o.parts) == 0 {
		o.log.Info("socket.io servers share rooms again", "away", time.Since(o.since).Round(time.Millisecond))
	}
}

// Delays between attempts to connect.
const (
	minRetry = 50 * time.Millisecond
	maxRetry = 2 * time.Second
)

// backoff waits between attempts, longer each time.
type backoff struct{ delay time.Duration }

// wait returns false when ctx is done.
func (b *backoff) wait(ctx context.Context) bool {
	b.delay = min(max(2*b.delay, minRetry), maxRetry)
	timer := time.NewTimer(b.delay)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
