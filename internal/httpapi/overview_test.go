package httpapi_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"loupe/internal/analyze"
	"loupe/internal/asset"
	"loupe/internal/auth"
	"loupe/internal/httpapi"
	"loupe/internal/pipeline"
	"loupe/internal/queue"
)

// overviewView is the overview as the console sees it, as far as tests look into it.
type overviewView struct {
	Queue struct {
		Waiting, Active, Failed int
		IsPaused                bool
	}
	Depth []struct {
		At      time.Time
		Waiting int
	}
	Workers []struct {
		Name        string
		Connections int
		Running     []struct {
			ID, AssetID string
			Attempt     int
		}
	}
	Process struct {
		Name, Version string
		Sockets       int
	}
	AIService struct{ Status string }
	Stages    []struct {
		Stage string
		Count int
		P95MS float64
	}
	Throughput []struct{ Active, Failed int }
	Attempts   []struct {
		Outcome string
		Count   int
	}
}

func (s *server) overview(t *testing.T, query string) (o overviewView) {
	t.Helper()
	res := s.do(t, http.MethodGet, "/api/admin/overview"+query, token(t, auth.User{ID: bob, Admin: true}), nil, nil)
	if res.status != http.StatusOK {
		t.Fatalf("answered %d %s", res.status, res.body)
	}
	res.decode(t, &o)
	return o
}

func TestOverview(t *testing.T) {
	t.Parallel()
	s := newServer(t, func(c *httpapi.Config) { c.Service = func() pipeline.Service { return pipeline.Service{} } })
	started, goOn := make(chan struct{}), make(chan struct{})
	s.answers(func(analyze.Request) (analyze.Result, error) {
		started <- struct{}{}
		<-goOn
		return analyze.Result{}, errAI
	})
	s.sample(t)
	s.work(t)
	bearer := token(t, auth.User{ID: alice})
	id, jobID := s.submit(t, bearer)
	<-started
	o := s.overview(t, "")
	if o.Queue.Active != 1 || len(o.Workers) != 1 || len(o.Workers[0].Running) != 1 {
		t.Fatalf("overview %+v", o)
	}
	if w := o.Workers[0]; w.Name != queue.ProcessName() || w.Connections != 1 || w.Running[0].ID != jobID || w.Running[0].AssetID != id || w.Running[0].Attempt != 1 {
		t.Errorf("worker %+v", w)
	}
	if o.AIService.Status != "up" {
		t.Errorf("AI service %+v", o.AIService)
	}
	if o.Process.Name != "loupe-test-1" || o.Process.Version != "1.2.3" || o.Process.Sockets != 3 {
		t.Errorf("process %+v", o.Process)
	}
	if len(o.Stages) != 4 || o.Stages[0].Count != 1 || o.Stages[0].P95MS <= 0 || o.Stages[1].Count != 1 || o.Stages[3].Count != 0 {
		t.Errorf("stages %+v", o.Stages)
	}
	close(goOn)
	s.until(t, bearer, id, asset.Failed)
	o = s.overview(t, "")
	for range 1000 { // the worker notes the end after the asset has it
		if o.Queue.Failed == 1 {
			break
		}
		<-time.After(5 * time.Millisecond)
		o = s.overview(t, "")
	}
	minute := o.Throughput[len(o.Throughput)-1]
	if o.Queue.Failed != 1 || minute.Failed != 1 && o.Throughput[0].Failed != 1 || len(o.Attempts) != 1 || o.Attempts[0].Outcome != "permanent" {
		t.Errorf("in the end %+v", o)
	}
	if len(o.Depth) == 0 {
		t.Fatal("no sample")
	}
	last := o.Depth[len(o.Depth)-1].At
	if later := s.overview(t, "?since="+last.Add(time.Hour).Format(time.RFC3339)); len(later.Depth) != 0 {
		t.Errorf("later samples %+v", later.Depth)
	}
	admin := token(t, auth.User{ID: bob, Admin: true})
	s.do(t, http.MethodGet, "/api/admin/overview?since=yesterday", admin, nil, nil).expect(t, http.StatusBadRequest, "VALIDATION_ERROR")
}

func TestNoFiguresWithoutTheQueue(t *testing.T) {
	t.Parallel()
	s := newServer(t, nil)
	admin := token(t, auth.User{ID: bob, Admin: true})
	s.db.Close()
	for _, path := range []string{"/api/admin/overview", "/api/admin/failed-jobs/count"} {
		s.do(t, http.MethodGet, path, admin, nil, nil).expect(t, http.StatusServiceUnavailable, "UNAVAILABLE")
	}
	for _, path := range []string{"/api/admin/failed-jobs/retry", "/api/admin/failed-jobs/discard"} {
		s.json(t, http.MethodPost, path, admin, map[string]any{"all": true}).expect(t, http.StatusServiceUnavailable, "UNAVAILABLE")
		s.json(t, http.MethodPost, path, admin, map[string]any{"ids": []string{"x"}}).expect(t, http.StatusServiceUnavailable, "UNAVAILABLE")
	}
}

// sample has the recorder take its first sample.
func (s *server) sample(t *testing.T) {
	t.Helper()
	done := make(chan error, 1)
	go func() { done <- s.config.Recent.Run(t.Context()) }() // t.Context ends before the cleanups
	t.Cleanup(func() {
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	for len(s.config.Recent.Samples(time.Time{})) == 0 {
		<-time.After(time.Millisecond)
	}
}

// Of many dead letters some are found by their error, counted, put back or given up.
func TestSomeOfManyDeadLetters(t *testing.T) {
	t.Parallel()
	s := newServer(t, nil)
	s.answers(func(r analyze.Request) (analyze.Result, error) {
		if r.Category == "lego" {
			return analyze.Result{}, &analyze.Error{Class: analyze.Permanent, Message: "too many bricks"}
		}
		return analyze.Result{}, errAI
	})
	bearer, admin := token(t, auth.User{ID: alice}), token(t, auth.User{ID: bob, Admin: true})
	lego := field{name: "category", value: "lego"}
	var jobs []string
	for i := range 12 {
		kind := category
		if i%3 == 0 {
			kind = lego
		}
		var body struct{ Data struct{ JobID string } }
		s.upload(t, bearer, nil, kind, photo()).decode(t, &body)
		jobs = append(jobs, body.Data.JobID)
	}
	foreign := json.RawMessage(`["not ours",  "` + strings.Repeat("ü", 16<<10) + `"]`)
	if err := s.jobs.Enqueue(t.Context(), "foreign", foreign); err != nil {
		t.Fatal(err)
	}
	s.work(t)
	s.untilDead(t, admin, 13)

	count := func(query string) string {
		return string(bytes.TrimSpace(s.do(t, http.MethodGet, "/api/admin/failed-jobs/count?"+query, admin, nil, nil).body))
	}
	for query, want := range map[string]int{
		"": 13, "q=BRICKS": 4, "q=secret": 8, "q=nothing+of+that": 0, "userId=" + alice: 12, "assetId=" + jobs[0][:24]: 1,
	} {
		if got := count(query); got != fmt.Sprintf(`{"data":{"count":%d,"more":false}}`, want) {
			t.Errorf("%q: %s, want %d", query, got, want)
		}
	}
	s.do(t, http.MethodGet, "/api/admin/failed-jobs/count?assetId=x", admin, nil, nil).expect(t, http.StatusBadRequest, "VALIDATION_ERROR")

	var page struct {
		Items []struct{ ID, Payload string }
	}
	s.do(t, http.MethodGet, "/api/admin/failed-jobs?q="+url.QueryEscape("not ours"), admin, nil, nil).decode(t, &page)
	if len(page.Items) != 1 || !strings.HasPrefix(page.Items[0].Payload, `["not ours",  "üü`) || len(page.Items[0].Payload) > 16<<10+2 {
		t.Errorf("foreign payload: %.200v", page.Items)
	}

	s.answers(nil)
	if a := s.json(t, http.MethodPost, "/api/admin/failed-jobs/retry", admin, map[string]any{"all": true, "q": "bricks"}); string(bytes.TrimSpace(a.body)) != `{"data":{"retried":4}}` {
		t.Errorf("retry: %d %s", a.status, a.body)
	}
	s.until(t, bearer, jobs[0][:24], asset.Active)

	discard := func(body any) answer {
		return s.json(t, http.MethodPost, "/api/admin/failed-jobs/discard", admin, body)
	}
	for _, c := range []struct {
		body any
		want int
	}{
		{map[string]any{"ids": []string{jobs[1], jobs[2], jobs[0], "unknown-1"}}, 2},
		{map[string]any{"all": true, "q": "bricks"}, 0},
		{map[string]any{"all": true, "q": "secret"}, 6},
		{map[string]any{"all": true}, 1},
	} {
		if a := discard(c.body); a.status != http.StatusOK || string(bytes.TrimSpace(a.body)) != fmt.Sprintf(`{"data":{"discarded":%d}}`, c.want) {
			t.Errorf("discard %v: %d %s, want %d", c.body, a.status, a.body, c.want)
		}
	}
	if got := count(""); !strings.Contains(got, `"count":0`) {
		t.Errorf("left: %s", got)
	}
	for _, body := range []any{map[string]any{}, map[string]any{"ids": []string{}}, map[string]any{"all": true, "ids": []string{"x"}}, map[string]any{"everything": 1}} {
		discard(body).expect(t, http.StatusBadRequest, "VALIDATION_ERROR")
	}
	s.until(t, bearer, jobs[1][:24], asset.Failed)
}
