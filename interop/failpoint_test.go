package interop

import (
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"sync"
	"testing"
	"time"

	"loupe/internal/asset"
	"loupe/internal/asset/mongostore/mongotest"
	"loupe/internal/testenv"
	"loupe/socketio/client"
)

var failpointRounds = flag.Int("failpoint.rounds", 1, "how often TestKilledAtEveryStep kills a server at each step; 20 for the full figure")

// failpointLease is short, so that the test need not wait long for the job of a dead worker.
const failpointLease = 2 * time.Second

// death is how a server comes to a step, at which it is killed.
type death struct {
	point   string
	ai      int  // the status that the AI service refuses the photo with; 0: it does not
	mended  bool // the AI service refuses nothing any more once the server is back
	builtin bool // the built-in analyzer is asked instead
	retry   bool // the owner retries the failed asset
}

var deaths = []death{
	{point: "photo noted"},
	{point: "photo stored"},
	{point: "photo noted for a key"},
	{point: "asset recorded"},
	{point: "job queued"},
	{point: "asset submitted"},
	{point: "attempt begun"},
	{point: "photo analysed"},
	{point: "result recorded"},
	{point: "event told"},
	{point: "event settled"},
	{point: "result recorded", ai: http.StatusUnprocessableEntity},
	{point: "event told", ai: http.StatusUnprocessableEntity},
	{point: "event settled", ai: http.StatusUnprocessableEntity},
	{point: "retry recorded", ai: http.StatusInternalServerError, mended: true},
	{point: "next run recorded", ai: http.StatusUnprocessableEntity, mended: true, retry: true},
	{point: "processed picture noted", builtin: true},
	{point: "processed picture stored", builtin: true},
}

func (d death) String() string { return fmt.Sprintf("%s, AI %d", d.point, d.ai) }

// The server is killed after each of its steps. Started again on the same data it ends every asset, and its owner is told
// of each run in one way: whether the upload is sent again or not.
func TestKilledAtEveryStep(t *testing.T) {
	t.Parallel()
	checkDeaths(t)
	mongo := os.Getenv(mongotest.ServerVar)
	if mongo == "" {
		mongo = mongotest.Start(t)
	}
	for name, backends := range map[string]func(t *testing.T) []string{
		"embedded": func(*testing.T) []string { return nil },
		"services": func(t *testing.T) []string {
			return []string{"REDIS_URL=" + testenv.StartRedis(t), "MONGODB_URI=" + mongotest.Database(t, mongo)}
		},
	} {
		var mu sync.Mutex
		var longest time.Duration
		t.Run(name, func(t *testing.T) {
			for _, d := range deaths {
				t.Run(d.String(), func(t *testing.T) {
					t.Parallel()
					for round := range *failpointRounds {
						took := d.die(t, backends(t), rand.IntN(2) == 0)
						if *failpointRounds > 1 && took > 2*failpointLease {
							t.Errorf("round %d: all was in order after %s, want two leases at most", round, took)
						}
						mu.Lock()
						longest = max(longest, took)
						mu.Unlock()
					}
				})
			}
		})
		t.Logf("%s: %d deaths, all in order again after %s at most (lease %s)", name, len(deaths)**failpointRounds, longest, failpointLease)
	}
}

// checkDeaths checks that the list of points is whole.
func checkDeaths(t *testing.T) {
	t.Helper()
	listed, found := map[string]bool{}, map[string]bool{}
	for _, d := range deaths {
		listed[d.point] = true
	}
	files, err := filepath.Glob(filepath.Join(testenv.Root(), "internal", "pipeline", "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, call := range regexp.MustCompile(`failpoint\.Here\("(.*)"\)`).FindAllSubmatch(text, -1) {
			found[string(call[1])] = true
		}
	}
	if !maps.Equal(listed, found) {
		t.Errorf("the points are %q, listed are %q", slices.Sorted(maps.Keys(found)), slices.Sorted(maps.Keys(listed)))
	}
}

// die has a server die, and says how long after its restart all was in order again.
func (d death) die(t *testing.T, backends []string, sentAgain bool) time.Duration {
	t.Helper()
	dir := t.TempDir()
	env := append(backends, "PORT="+testenv.FreePort(t), "LOUPE_LEASE="+failpointLease.String(), "LOUPE_RECONCILE_EVERY=1s")
	ai := startFastAI(t)
	if !d.builtin {
		env = append(env, "AI_SERVICE_URL="+ai.URL)
	}
	if d.ai > 0 {
		ai.refuses.Store("sneaker", d.ai)
	}
	binary := testenv.BuildLoupe(t, "failpoints")
	doomed := launch(t, exec.Command(binary, "serve"), dir, append(env, "LOUPE_TEST_FAILPOINT="+d.point)...)
	h := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	owner := token(t, asset.NewID(), "")
	heard := hear(t, doomed.url, owner)

	picture := smallPhoto(rand.New(rand.NewPCG(1, 2)))
	id, refused := uploadPhoto(t.Context(), h, doomed.url, owner, "sneaker", picture, "a key")
	if d.retry {
		eventually(t, "the first run to fail", func() bool { return len(heard.of(id)) > 0 })
		if err := retryAsset(t, h, doomed.url, owner, id); err == nil {
			t.Error("the retry was answered")
		}
	}
	if code := doomed.ExitCode(t); code != -1 {
		t.Fatalf("the server ended with code %d instead of being killed", code)
	}
	if d.mended {
		ai.refuses.Clear()
	}

	s := launch(t, exec.Command(binary, "serve"), dir, env...)
	began := time.Now()
	if sentAgain {
		again, err := uploadPhoto(t.Context(), h, s.url, owner, "sneaker", picture, "a key")
		if err != nil || refused == nil && again != id {
			t.Errorf("sent again: asset %s, %v; it was %s, %v", again, err, id, refused)
		}
	}
	want := "active"
	if d.ai > 0 && !d.mended {
		want = "failed"
	}
	var assets []shownAsset
	eventually(t, "all to be in order", func() bool {
		assets = shownAssets(t, s, owner)
		for _, a := range assets {
			if a.Status != want || len(heard.of(a.ID)) < a.Run {
				return false
			}
		}
		return true
	})
	took := time.Since(began)
	if len(assets) > 1 || len(assets) == 0 && (refused == nil || sentAgain) {
		t.Errorf("%d assets; the upload was answered with %s, %v, and sent again: %v", len(assets), id, refused, sentAgain)
	}
	for _, a := range assets {
		var log timeline
		s.get(t, "/api/assets/"+a.ID+"/events", owner, &log)
		finished := 0
		for _, e := range log.Items {
			if e.Event == "finished" {
				finished++
			}
		}
		if told := heard.of(a.ID); finished != a.Run || len(told) != a.Run {
			t.Errorf("run %d, finished %d times, told %q", a.Run, finished, told)
		}
	}
	s.Stop(t)
	s.Kill() // it has ended; now the cleanup knows
	return took
}

// shownAsset is what GET /api/assets says of one.
type shownAsset struct {
	ID, Status string
	Run        int
}

func shownAssets(t *testing.T, s server, token string) []shownAsset {
	t.Helper()
	var page struct{ Items []shownAsset }
	s.get(t, "/api/assets", token, &page)
	return page.Items
}

// retryAsset has a failed asset analysed again.
func retryAsset(t *testing.T, c *http.Client, url, token, id string) error {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url+"/api/assets/"+id+"/retry", nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+token)
	var answer any
	return exchange(c, request, http.StatusAccepted, &answer)
}

// hearing is what a user's socket has heard, wherever the server was in between.
type hearing struct {
	mu    sync.Mutex
	since string              // of the last event
	told  map[string][]string // by asset, repeats left out
}

// hear opens a socket that comes back by itself and says since when it has heard nothing.
func hear(t *testing.T, url, token string) *hearing {
	t.Helper()
	h := &hearing{since: time.Now().UTC().Format(time.RFC3339Nano), told: map[string][]string{}}
	c, err := client.Dial(t.Context(), url, client.Config{
		Auth: func() any {
			h.mu.Lock()
			defer h.mu.Unlock()
			return map[string]string{"token": token, "since": h.since}
		},
		Handlers:       map[string]client.Handler{"asset_processed": func(args []client.Value) { h.add(args[0]) }},
		ReconnectDelay: 20 * time.Millisecond, ReconnectDelayMax: 100 * time.Millisecond,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return h
}

func (h *hearing) add(event client.Value) {
	var p processed
	if event.Bind(&p) != nil {
		p.AssetID = string(event) // nobody has uploaded it
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.since = max(h.since, p.Timestamp)
	if !slices.Contains(h.told[p.AssetID], string(event)) {
		h.told[p.AssetID] = append(h.told[p.AssetID], string(event))
	}
}

// of returns the different events about an asset.
func (h *hearing) of(id string) []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.told[id])
}
