package pipeline_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"loupe/internal/analyze"
	"loupe/internal/asset"
	"loupe/internal/pipeline"
	"loupe/internal/queue"
)

// weather is an AI service that is away at times, and notes when it is asked for what.
type weather struct {
	mu     sync.Mutex
	away   error // nil: it is there
	mute   bool  // it has no /health
	takes  time.Duration
	poison map[string]error // by asset
	looks  []time.Time      // at /health
	asked  []time.Time      // for analyses while away
	inside int              // analyses at this moment
	most   []int            // analyses at once, whenever one began after it was back
}

var noRoute = &analyze.Error{Class: analyze.Permanent, Status: 404, Message: "no such route"}

// at returns a copy of one of its notes.
func (w *weather) at(notes *[]time.Time) []time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(*notes)
}

func (w *weather) set(away error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.away = away
}

func (w *weather) Health(context.Context) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.mute {
		return noRoute
	}
	w.looks = append(w.looks, time.Now())
	return w.away
}

func (w *weather) Analyze(_ context.Context, r analyze.Request) (analyze.Result, error) {
	w.mu.Lock()
	away, bad := w.away, w.poison[r.AssetID]
	if away != nil {
		w.asked = append(w.asked, time.Now())
	}
	w.inside++
	w.most = append(w.most, w.inside)
	w.mu.Unlock()
	defer func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.inside--
	}()
	if away != nil {
		return analyze.Result{}, away
	}
	if bad != nil {
		return analyze.Result{}, bad
	}
	time.Sleep(w.takes) //nolint:forbidigo // in a bubble
	return known, nil
}

// during runs a test of a pipeline in a bubble, where waiting takes no time.
func during(t *testing.T, ai *weather, test func(t *testing.T, w *world)) {
	t.Helper()
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		limit := time.AfterFunc(time.Hour, func() { panic("waited in vain") })
		defer limit.Stop()
		w := newWorld(t, func(c *pipeline.Config) { c.Analyzer = ai })
		test(t, w)
		if t.Failed() {
			t.Logf("/health asked at %v; analyses asked for while away at %v", ai.at(&ai.looks), ai.at(&ai.asked))
		}
	})
}

// upload takes photos in and returns their assets.
func (w *world) upload(t *testing.T, n int) (ids []string) {
	t.Helper()
	for range n {
		ids = append(ids, w.submit(t).AssetID)
	}
	return ids
}

// allActive waits until the assets are active, and checks that no attempt was spent but the one that counts.
func (w *world) allActive(t *testing.T, ids []string) {
	t.Helper()
	for _, id := range ids {
		w.untilStatus(t, id, asset.Active)
		job := w.untilJob(t, asset.JobID(id, 1), queue.Completed)
		if job.AttemptsMade != 1 || len(job.Errors) != 0 {
			t.Errorf("job %+v", job)
		}
	}
}

func gaps(at []time.Time) (all []time.Duration) {
	for i := 1; i < len(at); i++ {
		all = append(all, at[i].Sub(at[i-1]))
	}
	return all
}

func sleep(d time.Duration) {
	time.Sleep(d) //nolint:forbidigo // in a bubble
	synctest.Wait()
}

func TestOutage(t *testing.T) {
	ai := &weather{away: failure(analyze.Unavailable), takes: time.Second}
	during(t, ai, func(t *testing.T, w *world) {
		var told []pipeline.Service
		w.Observe.Service = func(s pipeline.Service) { told = append(told, s) }
		ids := w.upload(t, 40)
		w.work(t)
		sleep(3 * time.Minute)
		if n := len(ai.at(&ai.asked)); n > 0 {
			t.Errorf("%d analyses were asked for, want none of a worker that starts during an outage", n)
		}
		intervals := gaps(ai.at(&ai.looks))
		if len(intervals) < 8 || len(intervals) > 12 {
			t.Errorf("%d looks", len(intervals)+1)
		}
		base := time.Second
		for i, d := range intervals {
			if d < base || d > base*5/4+time.Millisecond {
				t.Errorf("interval %d is %s, want %s and up to a quarter more", i, d, base)
			}
			base = min(2*base, 24*time.Second)
		}
		now := w.Service()
		if !now.Down || now.Reason != "unavailable" || now.Failures != len(intervals) || time.Since(now.Since).Round(10*time.Second) != 3*time.Minute ||
			time.Until(now.NextLook) > 30*time.Second {
			t.Errorf("in the middle: %+v", now)
		}
		if greeting := w.Greeting(); len(greeting) != 1 || greeting[0].Name != pipeline.EventService {
			t.Errorf("who connects is told %v", greeting)
		}

		ai.set(nil)
		back := time.Now()
		sleep(time.Until(w.Service().NextLook) + 100*time.Millisecond)
		ai.mu.Lock()
		first := slices.Clone(ai.most[len(ai.asked):])
		ai.mu.Unlock()
		if !slices.Equal(first, []int{1}) {
			t.Errorf("at once there were %v", first)
		}
		w.allActive(t, ids)
		t.Logf("drained %s after it was back; ideal: 10s; looks until then: at most 30s", time.Since(back))
		if took := time.Since(back); took > 45*time.Second {
			t.Errorf("drained after %s", took)
		}
		if len(told) != 2 || !told[0].Down || told[1].Down || len(w.Greeting()) != 0 {
			t.Errorf("told %+v", told)
		}
	})
}

func TestOutageOfAServiceThatCannotBeAsked(t *testing.T) {
	ai := &weather{away: failure(analyze.Unavailable), mute: true}
	during(t, ai, func(t *testing.T, w *world) {
		ids := w.upload(t, 20)
		w.work(t)
		sleep(3 * time.Minute)
		// All slots may have been taken when it went away; from then on there is one job in each interval.
		for i, d := range gaps(ai.at(&ai.asked)) {
			if i >= 4 && d < time.Second {
				t.Errorf("%s between two jobs", d)
			}
		}
		if n := len(ai.at(&ai.asked)); n < 8 || n > 20 {
			t.Errorf("%d jobs looked", n)
		}
		ai.set(nil)
		w.allActive(t, ids)
	})
}

func TestOneJobDuringAnOutage(t *testing.T) {
	for name, mute := range map[string]bool{"that can be asked": false, "that cannot be asked": true} {
		t.Run(name, func(t *testing.T) {
			ai := &weather{away: failure(analyze.Unavailable), mute: mute}
			during(t, ai, func(t *testing.T, w *world) {
				ids := w.upload(t, 1)
				w.work(t)
				sleep(time.Minute)
				if !w.Service().Down {
					t.Error("nobody has noticed")
				}
				ai.set(nil)
				w.allActive(t, ids)
				ai.set(failure(analyze.Unavailable)) // once more: what was is no evidence against the photo
				ids = w.upload(t, 1)
				sleep(time.Minute)
				ai.set(nil)
				w.allActive(t, ids)
			})
		})
	}
}

// A service that flaps costs nothing either.
func TestFlapping(t *testing.T) {
	ai := &weather{takes: 50 * time.Millisecond}
	during(t, ai, func(t *testing.T, w *world) {
		w.work(t)
		var ids []string
		for i := range 30 {
			away := error(failure(analyze.Unavailable))
			if i%2 == 0 {
				away = nil
			}
			ai.set(away)
			ids = append(ids, w.upload(t, 5)...)
			sleep(1700 * time.Millisecond)
		}
		ai.set(nil)
		w.allActive(t, ids)
	})
}

// The photo on which the service breaks fails by itself, and holds nobody up.
func TestPoisonAmongOthers(t *testing.T) {
	for name, mute := range map[string]bool{"the service can be asked": false, "it cannot": true} {
		t.Run(name, func(t *testing.T) {
			ai := &weather{takes: 100 * time.Millisecond, mute: mute, poison: map[string]error{}}
			during(t, ai, func(t *testing.T, w *world) {
				ids := w.upload(t, 100)
				ai.poison[ids[7]] = failure(analyze.Unavailable)
				var down bool
				w.Observe.Service = func(pipeline.Service) { down = true }
				began := time.Now()
				w.work(t)
				w.allActive(t, slices.Concat(ids[:7], ids[8:]))
				if took := time.Since(began); took > 3*time.Second { // 100 / 4 slots * 100 ms
					t.Errorf("the others took %s", took)
				}
				w.untilStatus(t, ids[7], asset.Failed)
				job := w.untilJob(t, asset.JobID(ids[7], 1), queue.FailedJob)
				if job.AttemptsMade != 3 || len(job.Errors) != 3 || job.Errors[2].Error != "AI service: said the service" {
					t.Errorf("dead letter %+v", job)
				}
				if down {
					t.Error("it was taken for an outage")
				}
			})
		})
	}
}

// A poison that comes first, when nobody has been answered yet, must not hold up the others for ever.
func TestPoisonIsFirst(t *testing.T) {
	ai := &weather{mute: true, poison: map[string]error{}}
	during(t, ai, func(t *testing.T, w *world) {
		ids := w.upload(t, 1)
		ai.poison[ids[0]] = failure(analyze.Unavailable)
		w.work(t)
		sleep(20 * time.Second) // it looks like an outage
		others := w.upload(t, 10)
		w.allActive(t, others)
		w.untilStatus(t, ids[0], asset.Failed)
	})
}

func TestRateLimit(t *testing.T) {
	limit := &analyze.Error{Class: analyze.RateLimited, Status: 429, Message: "slowly", RetryAfter: 40 * time.Second}
	ai := &weather{away: limit, mute: true}
	during(t, ai, func(t *testing.T, w *world) {
		told := false
		w.Observe.Service = func(pipeline.Service) { told = true }
		ids := w.upload(t, 20)
		w.work(t)
		sleep(39 * time.Second)
		if n := len(ai.at(&ai.asked)); n > 4 {
			t.Errorf("asked %d times", n)
		}
		if s := w.Service(); s.Reason != "rate_limited" || len(w.Greeting()) != 0 {
			t.Errorf("known: %+v", s)
		}
		sleep(40 * time.Second)
		if n := len(ai.at(&ai.asked)); n > 5 {
			t.Errorf("asked %d times by now, want one look more", n)
		}
		ai.set(nil)
		w.allActive(t, ids)
		if told {
			t.Error("apps were told that it is down")
		}
	})
}

// What the service asks for by its /health counts, too.
func TestHealthAsksToWait(t *testing.T) {
	ai := &weather{away: &analyze.Error{Class: analyze.RateLimited, Status: 503, RetryAfter: 2 * time.Minute}}
	during(t, ai, func(t *testing.T, w *world) {
		ids := w.upload(t, 3)
		w.work(t)
		sleep(119 * time.Second)
		if len(ai.at(&ai.looks)) != 1 || len(ai.at(&ai.asked)) > 0 {
			t.Errorf("asked at %v, looked at %v", ai.at(&ai.asked), ai.at(&ai.looks))
		}
		sleep(119 * time.Second)
		if len(ai.at(&ai.looks)) != 2 {
			t.Errorf("looked at %v", ai.at(&ai.looks))
		}
		ai.set(nil)
		w.allActive(t, ids)
	})
}

func TestNoticeOfTheService(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		since := time.Now().Add(-time.Minute)
		for want, s := range map[string]pipeline.Service{
			`{"status":"up","since":"2000-01-01T00:00:00.000Z","timestamp":"2000-01-01T00:00:00.000Z"}`:   {},
			`{"status":"down","since":"1999-12-31T23:59:00.000Z","timestamp":"2000-01-01T00:00:00.000Z"}`: {Down: true, Since: since},
		} {
			if e := s.Notice(); e.Name != "ai_service" || string(e.Payload) != want {
				t.Errorf("%s %s", e.Name, e.Payload)
			}
		}
	})
}

// A gate that cannot be read or shut must not cost a photo.
func TestOutageOfTheGate(t *testing.T) {
	t.Parallel()
	ai := &weather{away: failure(analyze.Unavailable)}
	synctest.Test(t, func(t *testing.T) {
		gate := &brokenGate{}
		w := newWorld(t, func(c *pipeline.Config) {
			c.Analyzer = ai
			gate.Gate, c.Gate = c.Gate, gate
		})
		ids := w.upload(t, 3)
		gate.set(errors.New("no link"))
		w.work(t)
		sleep(30 * time.Second)
		gate.set(nil)
		ai.set(nil)
		w.allActive(t, ids)
	})
}

type brokenGate struct {
	queue.Gate
	mu  sync.Mutex
	err error
}

func (g *brokenGate) set(err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.err = err
}

func (g *brokenGate) broken() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.err
}

func (g *brokenGate) Closure(ctx context.Context) (queue.Closure, error) {
	if err := g.broken(); err != nil {
		return queue.Closure{}, err
	}
	return g.Gate.Closure(ctx)
}

func (g *brokenGate) Shut(ctx context.Context, c queue.Closure) error {
	if err := g.broken(); err != nil {
		return err
	}
	return g.Gate.Shut(ctx, c)
}
