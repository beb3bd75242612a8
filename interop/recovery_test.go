package interop

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/redis/rueidis"

	"loupe/internal/asset"
	"loupe/internal/asset/mongostore/mongotest"
	"loupe/internal/testenv"
	"loupe/socketio/client"
)

// TestRecovery is what a fleet on Redis and MongoDB goes through without losing anything.
func TestRecovery(t *testing.T) {
	t.Parallel()
	mongo := os.Getenv(mongotest.ServerVar)
	if mongo == "" {
		mongo = mongotest.Start(t)
	}
	for name, test := range map[string]func(*testing.T, *services){
		"Redis forgets":                       redisForgets,
		"a client was away":                   clientWasAway,
		"one process was cut off":             processWasCutOff,
		"a worker comes back from the dead":   workerComesBack,
		"an asset is deleted at another door": deletedElsewhere,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := &services{dir: t.TempDir(), redisPort: testenv.FreePort(t), mongo: mongotest.Database(t, mongo)}
			s.startRedis(t)
			test(t, s)
		})
	}
}

// services are a Redis without persistence, a MongoDB database, and a directory of images.
type services struct {
	dir, redisPort, mongo string
	redis                 *testenv.Process
}

func (s *services) startRedis(t *testing.T) {
	t.Helper()
	s.redis = startServer(t, s.redisPort, "Ready to accept", "--dir", t.TempDir(), "--save", "", "--appendonly", "no")
}

// serve starts a process of ours there. What env says wins.
func (s *services) serve(t *testing.T, env ...string) server {
	t.Helper()
	return serve(t, s.dir, append([]string{
		"REDIS_URL=redis://127.0.0.1:" + s.redisPort, "MONGODB_URI=" + s.mongo,
		"LOUPE_LEASE=2s", "LOUPE_RECONCILE_EVERY=1s",
	}, env...)...)
}

// uploads sends n photos with keys of their own, several at once, each until it is taken, and calls then after each.
func uploads(t *testing.T, url, token string, n int, then func(id string)) {
	t.Helper()
	c := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	random := rand.New(rand.NewPCG(rand.Uint64(), 0))
	photos := make(chan []byte)
	go func() {
		defer close(photos)
		for range n {
			photos <- smallPhoto(random)
		}
	}()
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for photo := range photos {
				key := strconv.FormatUint(rand.Uint64(), 36)
				deadline := time.Now().Add(time.Minute)
				for {
					id, err := uploadPhoto(t.Context(), c, url, token, "sneaker", photo, key)
					if err == nil {
						then(id)
						break
					}
					if time.Now().After(deadline) {
						t.Errorf("an upload is refused for ever: %v", err)
						break
					}
					<-time.After(50 * time.Millisecond)
				}
			}
		})
	}
	all.Wait()
}

// redisForgets empties Redis while photos are on their way, and starts it again without its memory.
func redisForgets(t *testing.T, s *services) {
	ai := startFastAI(t)
	api := s.serve(t, "AI_SERVICE_URL="+ai.URL, "LOUPE_CONCURRENCY=1")
	owner := token(t, asset.NewID(), "")
	heard := hear(t, api.url, owner)
	redis, err := rueidis.NewClient(rueidis.ClientOption{InitAddress: []string{"127.0.0.1:" + s.redisPort}, DisableCache: true})
	if err != nil {
		t.Fatal(err)
	}
	defer redis.Close()
	const photos = 80
	taken := make(chan string, photos)
	uploads(t, api.url, owner, photos, func(id string) {
		taken <- id
		switch len(taken) {
		case 20, 40:
			if err := redis.Do(t.Context(), redis.B().Flushall().Build()).Error(); err != nil {
				t.Error(err)
			}
		case 60:
			s.redis.Kill()
			s.startRedis(t)
		}
	})
	close(taken)
	for id := range taken {
		eventually(t, "asset "+id+" to be told of", func() bool { return len(heard.of(id)) > 0 })
		if told := heard.of(id); len(told) != 1 || !strings.Contains(told[0], `"active"`) {
			t.Errorf("told %q", told)
		}
	}
}

// clientWasAway restarts everything while a client is away whose photos are finished.
func clientWasAway(t *testing.T, s *services) {
	const photos = 200
	env := []string{"AI_SERVICE_URL=" + startFastAI(t).URL}
	ports := []string{testenv.FreePort(t), testenv.FreePort(t)}
	start := func() (all []server) {
		for _, port := range ports {
			all = append(all, s.serve(t, append(slices.Clone(env), "PORT="+port)...))
		}
		return all
	}
	processes := start()
	owner := token(t, asset.NewID(), "")
	since := time.Now().UTC().Format(time.RFC3339Nano)
	witness := hear(t, processes[0].url, owner)
	var mu sync.Mutex
	var ids []string
	uploads(t, processes[1].url, owner, photos, func(id string) {
		mu.Lock()
		defer mu.Unlock()
		ids = append(ids, id)
	})
	for _, id := range ids {
		eventually(t, "asset "+id+" to be told of", func() bool { return len(witness.of(id)) == 1 })
	}

	for _, p := range processes {
		p.Kill()
	}
	s.redis.Kill()
	s.startRedis(t)
	processes = start()
	told := make(chan string, 2*photos)
	c, err := client.Dial(t.Context(), processes[1].url, client.Config{
		Auth:     map[string]string{"token": owner, "since": since},
		Handlers: map[string]client.Handler{"asset_processed": func(args []client.Value) { told <- args[0].String() }},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	last := ""
	for i := range photos {
		event := next(t, told)
		var p processed
		if err := json.Unmarshal([]byte(event), &p); err != nil {
			t.Fatal(err)
		}
		if want := witness.of(p.AssetID); len(want) != 1 || event != want[0] {
			t.Errorf("event %d is %s, was %q", i, event, want)
		}
		if p.Timestamp < last {
			t.Errorf("event %d of %s comes after one of %s", i, p.Timestamp, last)
		}
		last = p.Timestamp
	}
}

// processWasCutOff cuts the link to Redis of one of two processes for ten seconds, under load. The sockets at both stay
// connected.
func processWasCutOff(t *testing.T, s *services) {
	link := lay(t, "127.0.0.1:"+s.redisPort, false)
	env := []string{"AI_SERVICE_URL=" + startFastAI(t).URL}
	whole := s.serve(t, env...)
	cut := s.serve(t, append(slices.Clone(env), "REDIS_URL="+strings.Replace(link.url, "http", "redis", 1))...)
	owners := make([]string, 3)
	heard := map[string][]*hearing{}
	for i := range owners {
		owners[i] = token(t, asset.NewID(), "")
		for _, process := range []server{whole, cut} {
			heard[owners[i]] = append(heard[owners[i]], hearOnce(t, process.url, owners[i]))
		}
	}
	var mu sync.Mutex
	of := map[string][]string{} // the assets, by owner
	load := func(length time.Duration) {
		t.Helper()
		for end := time.Now().Add(length); time.Now().Before(end); {
			for _, owner := range owners {
				uploads(t, whole.url, owner, 4, func(id string) {
					mu.Lock()
					defer mu.Unlock()
					of[owner] = append(of[owner], id)
				})
			}
		}
	}
	load(time.Second)
	link.setCut(true)
	load(10 * time.Second)
	link.setCut(false)
	load(time.Second)
	total := 0
	for owner, ids := range of {
		total += len(ids)
		for _, id := range ids {
			for i, h := range heard[owner] {
				eventually(t, fmt.Sprintf("asset %s to be told of at process %d", id, i), func() bool { return len(h.of(id)) > 0 })
				if told, first := h.of(id), heard[owner][0].of(id); !slices.Equal(told, first) || len(told) != 1 {
					t.Errorf("told %q, elsewhere %q", told, first)
				}
			}
		}
	}
	if !strings.Contains(cut.Output(), "sent again what was missed while cut off") {
		t.Error("nothing was cut")
	}
	t.Logf("%d photos, each told of at both processes", total)
}

// hearOnce is hear, but the socket does not come back when it is cut.
func hearOnce(t *testing.T, url, token string) *hearing {
	t.Helper()
	h := &hearing{told: map[string][]string{}}
	c, err := client.Dial(t.Context(), url, client.Config{
		Auth: map[string]string{"token": token}, NoReconnect: true,
		Handlers: map[string]client.Handler{"asset_processed": func(args []client.Value) { h.add(args[0]) }},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return h
}

// hangingAI is an AI service whose first answer waits, for release or for the end of the question.
type hangingAI struct {
	url     string
	asked   chan struct{} // gets one with the first question
	release chan struct{}
	ended   chan struct{} // closed when who asked the first question is gone
}

func startHangingAI(t *testing.T) *hangingAI {
	t.Helper()
	ai := &hangingAI{asked: make(chan struct{}, 1), release: make(chan struct{}), ended: make(chan struct{})}
	var questions atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		name := "second"
		if r.URL.Path == "/analyze" && questions.Add(1) == 1 {
			name = "first"
			ai.asked <- struct{}{}
			select {
			case <-ai.release:
			case <-r.Context().Done():
				close(ai.ended)
			}
		}
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"brand":{"value":%q,"confidence":1}}`, name)
	}))
	t.Cleanup(server.Close)
	ai.url = server.URL
	return ai
}

// workerComesBack stops a worker for longer than two leases, while another finishes its run.
func workerComesBack(t *testing.T, s *services) {
	ai := startHangingAI(t)
	api := s.serve(t, "LOUPE_ROLES=api")
	worker := []string{"LOUPE_ROLES=worker", "LOUPE_PUBLIC_URL=" + api.url, "AI_SERVICE_URL=" + ai.url}
	port := testenv.FreePort(t)
	zombie := s.serve(t, append(slices.Clone(worker), "PORT="+port)...)
	zombie.url = "http://127.0.0.1:" + port // its log says that of the API
	owner := token(t, asset.NewID(), "")
	heard := hear(t, api.url, owner)
	var id string
	uploads(t, api.url, owner, 1, func(taken string) { id = taken })
	next(t, ai.asked)
	zombie.Signal(t, syscall.SIGSTOP)
	stopped := time.Now()
	s.serve(t, worker...)
	eventually(t, "another worker to finish the run", func() bool { return len(heard.of(id)) > 0 })
	<-time.After(time.Until(stopped.Add(4 * time.Second))) // two leases

	close(ai.release)
	zombie.Signal(t, syscall.SIGCONT)
	eventually(t, "the late result to be counted", func() bool { return figure(t, zombie, "loupe_jobs_skipped_total") == "1" })
	var shown struct {
		Run        int
		AIMetadata struct{ Brand field }
	}
	api.get(t, "/api/assets/"+id, owner, &shown)
	var log timeline
	api.get(t, "/api/assets/"+id+"/events", owner, &log)
	finished := 0
	for _, e := range log.Items {
		if e.Event == "finished" {
			finished++
		}
	}
	if told := heard.of(id); shown.Run != 1 || shown.AIMetadata.Brand.Value != "second" || finished != 1 || len(told) != 1 {
		t.Errorf("the asset is %+v, finished %d times, told %q", shown, finished, told)
	}
}

// figure returns what a process says of a figure without labels.
func figure(t *testing.T, s server, name string) string {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.url+"/metrics", nil)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(body)) {
		if value, ok := strings.CutPrefix(line, name+" "); ok {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// deletedElsewhere deletes an asset at one process while another has it analysed.
func deletedElsewhere(t *testing.T, s *services) {
	ai := startHangingAI(t)
	api := s.serve(t, "LOUPE_ROLES=api")
	s.serve(t, "LOUPE_ROLES=worker", "LOUPE_PUBLIC_URL="+api.url, "AI_SERVICE_URL="+ai.url)
	owner := token(t, asset.NewID(), "")
	heard := hear(t, api.url, owner)
	var id string
	uploads(t, api.url, owner, 1, func(taken string) { id = taken })
	next(t, ai.asked)
	if status := request(t.Context(), t, http.MethodDelete, api.url+"/api/assets/"+id, owner); status != http.StatusNoContent {
		t.Fatalf("the delete is answered %d", status)
	}
	select {
	case <-ai.ended:
	case <-time.After(30 * time.Second):
		t.Fatal("the analysis was not ended")
	}
	// What comes next on the same queue comes after what would be left of it.
	var other string
	uploads(t, api.url, owner, 1, func(taken string) { other = taken })
	eventually(t, "the next photo", func() bool { return len(heard.of(other)) > 0 })
	if status := request(t.Context(), t, http.MethodGet, api.url+"/api/assets/"+id, owner); status != http.StatusNotFound || len(heard.of(id)) > 0 {
		t.Errorf("the deleted asset is answered with %d, told %q", status, heard.of(id))
	}
	left, err := filepath.Glob(filepath.Join(s.dir, "images", "*.jpg"))
	if err != nil || len(left) != 1 {
		t.Errorf("there are the images %q, %v, want that of the other", left, err)
	}
}

// request sends a request without a body and returns the status of the answer.
func request(ctx context.Context, t *testing.T, method, url, token string) int {
	t.Helper()
	r, err := http.NewRequestWithContext(ctx, method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+token)
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()
	return answer.StatusCode
}
