package main

import (
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"slices"
	"sync"
	"syscall"
	"time"
)

// What is done to parts, as the history has it.
const (
	killed    = "kill -9"                   // and started again after a while
	stopped   = "SIGSTOP"                   // until SIGCONT
	restarted = "restart"                   // SIGTERM, and started again
	flushed   = "FLUSHALL"                  //
	emptied   = "restart of an empty Redis" // kill -9, its file removed
	parted    = "cut"                       // the connections of a link
	dropped   = "cut off"                   // the connections of a link, and new ones for a while
	held      = "hold"                      // no byte passes a link for a while
	aiGone    = "the AI service goes down"
)

// How long disturbances last at most. longStop is longer than two leases, so that another worker takes the
// stopped one's jobs.
const (
	downTime  = 2 * time.Second
	stopTime  = 4 * time.Second
	longStop  = 2*lease + 2*time.Second
	linkTime  = 6 * time.Second
	longStops = 3 // one of so many stops is long, where there are other workers
)

// deed is one disturbance.
type deed struct {
	at time.Duration // after the start
	do func(ctx, busy context.Context) error
}

// plan draws the disturbances of a run: so many kills, and as many others.
func (s *site) plan(random *rand.Rand, length time.Duration, kills int) []deed {
	var deeds []deed
	add := func(do func(ctx, busy context.Context) error) {
		deeds = append(deeds, deed{time.Duration(random.Int64N(int64(length))), do})
	}
	between := func(most time.Duration) time.Duration { return most/20 + time.Duration(random.Int64N(int64(most))) }
	loupe := func() *process { return s.loupes[random.IntN(len(s.loupes))] }
	for range kills {
		target, wait := loupe(), between(downTime)
		if s.redis != nil {
			switch random.IntN(5) {
			case 0:
				target = s.redis
			case 1:
				target = s.mongo
			}
		}
		add(func(ctx, busy context.Context) error { return s.kill(ctx, busy, target, wait) })
	}
	others := []func(){
		func() {
			target, wait := loupe(), between(stopTime)
			if len(s.loupes) > 1 && random.IntN(longStops) == 0 {
				wait = longStop
			}
			add(func(_, busy context.Context) error { return s.stop(busy, target, wait) })
		},
		func() {
			target := loupe()
			add(func(ctx, _ context.Context) error { return s.restart(ctx, target) })
		},
		func() {
			target, what, wait := s.links[random.IntN(len(s.links))], []string{parted, dropped, held}[random.IntN(3)], between(linkTime)
			add(func(_, busy context.Context) error { return s.disturbLink(busy, target, what, wait) })
		},
	}
	if s.redis != nil {
		others = append(others,
			func() { add(func(ctx, _ context.Context) error { return s.flush(ctx) }) },
			func() { add(func(ctx, _ context.Context) error { return s.empty(ctx) }) },
		)
	}
	for range kills {
		others[random.IntN(len(others))]()
	}
	slices.SortFunc(deeds, func(a, b deed) int { return int(a.at - b.at) })
	return deeds
}

// disturb carries a plan out, until busy ends, and leaves everything mended.
func (s *site) disturb(ctx, busy context.Context, plan []deed) error {
	began := time.Now()
	var under sync.WaitGroup
	errs := make([]error, len(plan))
	for i, d := range plan {
		pause(busy, d.at-time.Since(began))
		if busy.Err() != nil {
			break
		}
		under.Go(func() { errs[i] = d.do(ctx, busy) })
	}
	under.Wait()
	return errors.Join(errs...)
}

// note takes down a disturbance that has just ended.
func (s *site) note(what, target string, from time.Time) {
	s.history.add(entry{At: from, End: time.Now(), Kind: disturbed, What: what, Process: target})
}

func (s *site) kill(ctx, busy context.Context, p *process, wait time.Duration) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	defer s.note(killed, p.name, time.Now())
	p.kill()
	pause(busy, wait)
	return p.start(ctx)
}

func (s *site) stop(busy context.Context, p *process, wait time.Duration) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.life == nil {
		return nil // it has just ended by itself, which is noted elsewhere
	}
	defer s.note(stopped, p.name, time.Now())
	p.life.signal(syscall.SIGSTOP)
	pause(busy, wait)
	p.life.signal(syscall.SIGCONT)
	return nil
}

func (s *site) restart(ctx context.Context, p *process) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	defer s.note(restarted, p.name, time.Now())
	p.stop()
	return p.start(ctx)
}

func (s *site) flush(ctx context.Context) error {
	s.redis.mu.Lock()
	defer s.redis.mu.Unlock()
	defer s.note(flushed, s.redis.name, time.Now())
	return s.redisSays(ctx, "FLUSHALL", "+OK")
}

func (s *site) empty(ctx context.Context) error {
	s.redis.mu.Lock()
	defer s.redis.mu.Unlock()
	defer s.note(emptied, s.redis.name, time.Now())
	s.redis.kill()
	if err := os.RemoveAll(s.redisDir()); err != nil {
		return err
	}
	return s.redis.start(ctx)
}

func (s *site) disturbLink(busy context.Context, l *link, what string, wait time.Duration) error {
	l.busy.Lock()
	defer l.busy.Unlock()
	defer s.note(what, l.name, time.Now())
	defer l.mend()
	switch what {
	case parted:
		l.cut(false)
		return nil
	case dropped:
		l.cut(true)
	case held:
		l.hold()
	}
	pause(busy, wait)
	return nil
}
