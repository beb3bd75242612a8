package interop

import (
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"loupe/internal/asset"
	"loupe/internal/asset/mongostore/mongotest"
	"loupe/internal/testenv"
	"loupe/socketio/client"
)

// The full figure: -outage.photos=500 -outage.down=3m -outage.takes=3s -timeout 30m.
var (
	outagePhotos = flag.Int("outage.photos", 40, "photos of TestOutage and of TestPoison")
	outageDown   = flag.Duration("outage.down", 6*time.Second, "for how long the AI service is down")
	outageTakes  = flag.Duration("outage.takes", 100*time.Millisecond, "how long it takes for a photo")
)

// moody is an AI service that can be down: it answers 503 then. It notes when it was asked for what.
type moody struct {
	*httptest.Server
	takes time.Duration

	mu       sync.Mutex
	down     bool
	since    time.Time                      // when it last went down, or came back
	mute     bool                           // it has no /health
	looks    []time.Time                    // at /health, while down
	refused  []time.Time                    // analyses, while down
	seen     time.Time                      // when it was first found to be back
	inside   int                            // analyses at this moment
	answered int                            // analyses since it came back
	herd     int                            // the most analyses at once beyond one for each of those
	poison   map[string]func(*http.Request) // what else to do for a photo, by its asset's id
	asked    map[string]int                 // analyses by asset
}

func startMoody(t *testing.T, takes time.Duration) *moody {
	t.Helper()
	ai := &moody{takes: takes, poison: map[string]func(*http.Request){}, asked: map[string]int{}}
	ai.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/health") {
			ai.health(w)
		} else {
			ai.analyze(w, r)
		}
	}))
	t.Cleanup(ai.Close)
	return ai
}

func (ai *moody) health(w http.ResponseWriter) {
	ai.mu.Lock()
	defer ai.mu.Unlock()
	switch {
	case ai.mute:
		w.WriteHeader(http.StatusNotFound)
	case ai.down:
		ai.looks = append(ai.looks, time.Now())
		w.WriteHeader(http.StatusServiceUnavailable)
	case ai.seen.IsZero():
		ai.seen = time.Now()
	}
}

func (ai *moody) analyze(w http.ResponseWriter, r *http.Request) {
	id := r.Header.Get("X-Asset-Id")
	_, _ = io.Copy(io.Discard, r.Body) // a server notices that its client is gone only after that
	ai.mu.Lock()
	ai.asked[id]++
	poison, down := ai.poison[id], ai.down
	if down {
		ai.refused = append(ai.refused, time.Now())
	} else if poison == nil {
		if ai.seen.IsZero() {
			ai.seen = time.Now()
		}
		ai.inside++
		ai.herd = max(ai.herd, ai.inside-ai.answered)
	}
	ai.mu.Unlock()
	switch {
	case down:
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	case poison != nil:
		poison(r)
		w.WriteHeader(http.StatusBadGateway)
		return
	}
	<-time.After(ai.takes)
	ai.mu.Lock()
	ai.inside--
	ai.answered++
	ai.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	fmt.Fprint(w, `{"brand":{"value":"Nike","confidence":0.95}}`)
}

// turn has the service go down or come back.
func (ai *moody) turn(down bool) {
	ai.mu.Lock()
	defer ai.mu.Unlock()
	ai.down, ai.since, ai.seen, ai.answered, ai.herd = down, time.Now(), time.Time{}, 0, 0
	if down {
		ai.looks, ai.refused = nil, nil
	}
}

// crew is a topology: one process, or an API with three workers on services.
type crew struct {
	api     server
	workers map[string]server // by the name under which they know the AI service
	size    int               // of the workers there will be
	env     []string          // of each worker
	ai      string            // URL
	dir     string
	owner   string
	http    *http.Client
	photos  *rand.Rand
}

const (
	crewConcurrency = 5 // jobs at once of each worker
	crewLease       = 2 * time.Second
)

// crews are the topologies of these tests.
var crews = map[string]func(t *testing.T, ai *moody) *crew{
	"embedded": func(t *testing.T, ai *moody) *crew {
		c := newCrew(t, ai, 1)
		c.env = append(c.env, "PORT="+testenv.FreePort(t))
		c.replace(t, "worker-1")
		return c
	},
	"services": func(t *testing.T, ai *moody) *crew {
		testenv.Need(t, testenv.Redis)
		mongo := startMongo(t, *outagePhotos)
		c := newCrew(t, ai, 3)
		port := testenv.FreePort(t)
		c.env = append(c.env, "REDIS_URL="+testenv.StartRedis(t), "MONGODB_URI="+mongotest.Database(t, mongo),
			"LOUPE_HOST=127.0.0.1", "LOUPE_PUBLIC_URL=http://127.0.0.1:"+port)
		c.api = serve(t, c.dir, append(c.env, "LOUPE_ROLES=api", "PORT="+port)...)
		c.env = append(c.env, "LOUPE_ROLES=worker")
		return c
	},
}

func newCrew(t *testing.T, ai *moody, size int) *crew {
	t.Helper()
	c := &crew{
		workers: map[string]server{}, size: size, ai: ai.URL, dir: t.TempDir(), owner: token(t, asset.NewID(), "admin"),
		photos: rand.New(rand.NewPCG(1, 2)), http: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 8}},
		env: []string{"LOUPE_CONCURRENCY=" + strconv.Itoa(crewConcurrency), "LOUPE_LEASE=" + crewLease.String()},
	}
	t.Cleanup(c.http.CloseIdleConnections)
	return c
}

// join starts n workers more; of an embedded crew there is one, and it works already.
func (c *crew) join(t *testing.T, n int) {
	t.Helper()
	for range min(n, c.size-len(c.workers)) {
		c.replace(t, fmt.Sprint("worker-", len(c.workers)+1))
	}
}

// replace kills a worker, if it is there, and starts another in its place.
func (c *crew) replace(t *testing.T, name string) {
	t.Helper()
	if old, ok := c.workers[name]; ok {
		old.Kill()
	}
	c.workers[name] = serve(t, c.dir, append(c.env, "AI_SERVICE_URL="+c.ai+"/"+name)...)
	if c.size == 1 {
		c.api = c.workers[name]
	}
}

// upload sends photos and returns their assets.
func (c *crew) upload(t *testing.T, n int) (ids []string) {
	t.Helper()
	for i := range n {
		id, err := uploadPhoto(t.Context(), c.http, c.api.url, c.owner, "sneaker", smallPhoto(c.photos), fmt.Sprint(len(ids), i, c.photos.Uint64()))
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, id)
	}
	return ids
}

// counts is how many jobs are in which state.
func (c *crew) counts(t *testing.T) (n struct{ Waiting, Active, Delayed, Completed, Failed int }) {
	t.Helper()
	var answer struct{ Data json.RawMessage }
	c.api.get(t, "/api/assets/queue-status", c.owner, &answer)
	if err := json.Unmarshal(answer.Data, &n); err != nil {
		t.Fatal(err)
	}
	return n
}

// until waits until it is so, however long that takes within this time.
func until(t *testing.T, what string, within time.Duration, so func() bool) {
	t.Helper()
	deadline := time.Now().Add(within)
	for !so() {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for %s", what)
		}
		<-time.After(50 * time.Millisecond)
	}
}

// unspent checks that assets are active after a single attempt.
func (c *crew) unspent(t *testing.T, ids []string) {
	t.Helper()
	for _, id := range ids {
		var a shownAsset
		c.api.get(t, "/api/assets/"+id, c.owner, &a)
		var log timeline
		c.api.get(t, "/api/assets/"+id+"/events", c.owner, &log)
		attempt := 0
		for _, e := range log.Items {
			attempt = max(attempt, e.Attempt)
		}
		if a.Status != "active" || attempt != 1 {
			t.Errorf("asset %s is %s after %d attempts: %+v", id, a.Status, attempt, log.Items)
		}
	}
}

// An AI service that is down for a while: no attempt is spent, one process at a time looks, and everything is done when
// it is back.
func TestOutage(t *testing.T) {
	t.Parallel()
	for name, start := range crews {
		for _, mute := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, can be asked %v", name, !mute), func(t *testing.T) {
				t.Parallel()
				ai := startMoody(t, *outageTakes)
				ai.mu.Lock()
				ai.mute = mute
				ai.mu.Unlock()
				c := start(t, ai)
				c.join(t, 2)
				notices := listenToService(t, c.api.url, c.owner)
				ids := c.upload(t, 5)
				until(t, "the first to be done", time.Minute, func() bool { return c.counts(t).Completed == len(ids) })

				ai.turn(true)
				ids = append(ids, c.upload(t, *outagePhotos)...)
				eventually(t, "the outage to be noticed", func() bool { return c.ready(t).AIService.Status == "unavailable" })
				c.join(t, 1) // a worker that starts in the middle
				<-time.After(time.Until(ai.since.Add(*outageDown)))
				waiting := c.counts(t)
				ai.turn(false)
				up := time.Now()
				until(t, "all to be done", *outageDown+10*time.Minute, func() bool { return c.counts(t).Completed == len(ids) })
				c.report(t, ai, up, len(ids)-waiting.Completed)
				c.unspent(t, ids)
				for _, want := range []string{"down", "up"} {
					select {
					case got := <-notices:
						if got != want {
							t.Errorf("apps were told %s, want %s", got, want)
						}
					case <-time.After(30 * time.Second):
						t.Errorf("apps were not told %s", want)
					}
				}
			})
		}
	}
}

// report prints how the outage went, and checks what does not depend on the speed of the machine.
func (c *crew) report(t *testing.T, ai *moody, up time.Time, jobs int) {
	t.Helper()
	ai.mu.Lock()
	defer ai.mu.Unlock()
	probes, onset := ai.looks, ai.refused
	if ai.mute {
		first := min(len(onset), c.size*crewConcurrency)
		onset, probes = onset[:first], onset[first:]
	}
	for i, d := range intervals(probes) {
		if d < time.Second-20*time.Millisecond {
			t.Errorf("%s between looks %d and %d", d, i, i+1)
		}
	}
	if most := c.size * crewConcurrency; len(onset) > most {
		t.Errorf("%d analyses were asked for while it was down, want %d at most, those that were taken when it went", len(onset), most)
	}
	if ai.herd > c.size {
		t.Errorf("%d analyses at once beyond one for each that was answered, want %d at most", ai.herd, c.size)
	}
	ideal := time.Duration(jobs) * ai.takes / time.Duration(c.size*crewConcurrency)
	drained, fromSeen := time.Since(up), time.Since(ai.seen)
	t.Logf("down %s; %d looks at intervals %s; %d analyses refused when it went; back: seen after %.1f s, then %d jobs in %.1f s, ideal %.1f s: %.2f times (from the return: %.2f times)",
		*outageDown, len(probes), rounded(intervals(probes)), len(onset), ai.seen.Sub(up).Seconds(), jobs, fromSeen.Seconds(), ideal.Seconds(),
		fromSeen.Seconds()/ideal.Seconds(), drained.Seconds()/ideal.Seconds())
	if *outagePhotos >= 500 && fromSeen > ideal*3/2 {
		t.Errorf("it took %s, more than half as long again", fromSeen)
	}
}

func intervals(at []time.Time) (all []time.Duration) {
	for i := 1; i < len(at); i++ {
		all = append(all, at[i].Sub(at[i-1]))
	}
	return all
}

func rounded(all []time.Duration) string {
	var texts []string
	for _, d := range all {
		texts = append(texts, fmt.Sprintf("%.1f", d.Seconds()))
	}
	return "[" + strings.Join(texts, " ") + "] s"
}

// readiness is what /readyz says.
type readiness struct{ AIService struct{ Status string } }

func (c *crew) ready(t *testing.T) (r readiness) {
	t.Helper()
	c.api.get(t, "/readyz", "", &r)
	return r
}

// listenToService opens a socket that hears of the AI service.
func listenToService(t *testing.T, url, token string) <-chan string {
	t.Helper()
	told := make(chan string, 100)
	s, err := client.Dial(t.Context(), url, client.Config{
		Auth: map[string]string{"token": token},
		Handlers: map[string]client.Handler{"ai_service": func(args []client.Value) {
			var notice struct{ Status, Since, Timestamp string }
			if err := args[0].Bind(&notice); err != nil || notice.Since == "" || notice.Timestamp == "" {
				notice.Status = args[0].String()
			}
			told <- notice.Status
		}},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return told
}

// One photo among many on which the AI service, or the worker itself, breaks: the others do not notice.
func TestPoison(t *testing.T) {
	t.Parallel()
	for name, start := range crews {
		t.Run(name+", breaks the service", func(t *testing.T) {
			t.Parallel()
			ai := startMoody(t, *outageTakes)
			c := start(t, ai)
			c.join(t, 2)
			ids := c.upload(t, *outagePhotos)
			bad, began := c.poison(t, ai, func(*http.Request) {}), time.Now()
			ids = append(ids, c.upload(t, *outagePhotos)...)
			until(t, "the others to be done", 5*time.Minute, func() bool { return c.counts(t).Completed == len(ids) })
			took := time.Since(began)
			c.failed(t, bad, 3, "The analysis failed")
			c.unspent(t, ids)
			t.Logf("%d others done within %.1f s; the bad one was asked for %d times", len(ids), took.Seconds(), ai.times(bad))
			if r := c.ready(t); r.AIService.Status != "up" {
				t.Errorf("the service is said to be %+v", r)
			}
		})
	}
	for name, start := range crews {
		t.Run(name+", kills the worker", func(t *testing.T) {
			t.Parallel()
			ai := startMoody(t, *outageTakes)
			c := start(t, ai)
			c.join(t, 2)
			killed, end := make(chan string), make(chan struct{})
			ids := c.upload(t, *outagePhotos)
			bad := c.poison(t, ai, func(r *http.Request) {
				select {
				case killed <- strings.Split(r.URL.Path, "/")[1]:
					<-r.Context().Done()
				case <-end:
				}
			})
			ids = append(ids, c.upload(t, 10)...)
			deaths, began := 0, time.Now()
			for done := false; !done; {
				select {
				case worker := <-killed:
					deaths++
					c.replace(t, worker)
				case <-time.After(50 * time.Millisecond):
					n := c.counts(t)
					done = n.Completed == len(ids) && n.Failed == 1
				}
			}
			close(end)
			t.Logf("%d deaths, %d others active after %.1f s", deaths, len(ids), time.Since(began).Seconds())
			c.failed(t, bad, 1, "interrupted too often")
			c.unspent(t, ids)
			if deaths != 4 {
				t.Errorf("%d workers died, want 4", deaths)
			}
		})
	}
}

// A machine that sleeps for longer than a lease has neither failed nor lost what it was at.
func TestSuspended(t *testing.T) {
	t.Parallel()
	for name, start := range crews {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ai := startMoody(t, 500*time.Millisecond)
			c := start(t, ai)
			c.join(t, 1)
			ids := c.upload(t, 15)
			sleeper := c.workers["worker-1"]
			until(t, "work", time.Minute, func() bool { return c.counts(t).Active > 0 })
			sleeper.Signal(t, syscall.SIGSTOP)
			<-time.After(2 * crewLease)
			sleeper.Signal(t, syscall.SIGCONT)
			until(t, "all to be done", time.Minute, func() bool { return c.counts(t).Completed == len(ids) })
			c.unspent(t, ids)
		})
	}
}

// poison uploads a photo for which the service does that, and then answers 502.
func (c *crew) poison(t *testing.T, ai *moody, do func(*http.Request)) (id string) {
	t.Helper()
	ai.mu.Lock() // it must not be asked before it knows
	id, err := uploadPhoto(t.Context(), c.http, c.api.url, c.owner, "lego", smallPhoto(c.photos), "poison")
	if err == nil {
		ai.poison[id] = do
	}
	ai.mu.Unlock()
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// times is how often the service was asked for an asset.
func (ai *moody) times(id string) int {
	ai.mu.Lock()
	defer ai.mu.Unlock()
	return ai.asked[id]
}

// failed checks that an asset has failed, says so, and is a dead letter with a reason.
func (c *crew) failed(t *testing.T, id string, attempts int, sentence string) {
	t.Helper()
	var a struct {
		Status     string
		AIMetadata struct{ Error string }
	}
	until(t, "the bad one to fail", time.Minute, func() bool {
		c.api.get(t, "/api/assets/"+id, c.owner, &a)
		return a.Status != "processing"
	})
	var dead struct {
		Items []struct {
			AssetID, FailureReason string
			AttemptsMade           int
		}
	}
	until(t, "the dead letter", time.Minute, func() bool {
		c.api.get(t, "/api/admin/failed-jobs", c.owner, &dead)
		return len(dead.Items) > 0
	})
	if a.Status != "failed" || !strings.Contains(a.AIMetadata.Error, sentence) {
		t.Errorf("asset %s is %s: %q", id, a.Status, a.AIMetadata.Error)
	}
	if len(dead.Items) != 1 || dead.Items[0].AssetID != id || dead.Items[0].FailureReason == "" || dead.Items[0].AttemptsMade > attempts {
		t.Errorf("dead letters %+v, want that of %s after %d attempts", dead.Items, id, attempts)
	}
	t.Logf("dead letter: %q after %d attempts", dead.Items[0].FailureReason, dead.Items[0].AttemptsMade)
}
