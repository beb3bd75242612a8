package httpapi_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"image/color"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"loupe/internal/analyze"
	"loupe/internal/asset"
	"loupe/internal/auth"
	"loupe/internal/httpapi"
	"loupe/internal/pipeline"
)

func TestWayOfAPhoto(t *testing.T) {
	t.Parallel()
	s := newServer(t, nil)
	s.work(t)
	bearer := token(t, auth.User{ID: alice})
	id, _ := s.submit(t, bearer)
	a := s.until(t, bearer, id, asset.Active)

	res := s.do(t, http.MethodGet, imagePath(t, a.Images.Original.URL), "", nil, nil)
	if res.status != http.StatusOK || res.header.Get("Content-Type") != "image/jpeg" ||
		res.header.Get("X-Content-Type-Options") != "nosniff" || !strings.Contains(res.header.Get("Content-Security-Policy"), "sandbox") ||
		!strings.Contains(res.header.Get("Cache-Control"), "immutable") || !bytes.HasPrefix(res.body, []byte("\xff\xd8")) {
		t.Errorf("image answered %d %v", res.status, res.header)
	}

	part := s.do(t, http.MethodGet, imagePath(t, a.Images.Original.URL), "", nil, http.Header{"Range": {"bytes=0-1"}})
	if part.status != http.StatusPartialContent || string(part.body) != "\xff\xd8" {
		t.Errorf("a range of the image: %d %q", part.status, part.body)
	}

	events := s.do(t, http.MethodGet, "/api/assets/"+id+"/events", bearer, nil, nil)
	if !bytes.Contains(events.body, []byte(`"event":"received"`)) || !bytes.Contains(events.body, []byte(`"event":"finished"`)) {
		t.Errorf("timeline %s", events.body)
	}

	patch := s.json(t, http.MethodPatch, "/api/assets/"+id, bearer, map[string]any{
		"category": "other", "status": "archived", "details": map[string]string{"brand": " Nike ", "model": "AJ1", "colorway": "Chicago"},
	})
	var patched assetView
	patch.decode(t, &patched)
	if patched.Status != asset.Archived || patched.Category != "other" || patched.Details.Brand != "Nike" {
		t.Errorf("patched %s", patch.body)
	}
	if res := s.json(t, http.MethodPatch, "/api/assets/"+id, bearer, map[string]any{"status": "active"}); res.status != http.StatusOK {
		t.Errorf("back from the archive: %d %s", res.status, res.body)
	}
	if res := s.do(t, http.MethodDelete, "/api/assets/"+id, bearer, nil, nil); res.status != http.StatusNoContent || len(res.body) > 0 {
		t.Errorf("delete answered %d %s", res.status, res.body)
	}
	s.do(t, http.MethodGet, "/api/assets/"+id, bearer, nil, nil).expect(t, http.StatusNotFound, "NOT_FOUND")
	s.do(t, http.MethodGet, imagePath(t, a.Images.Original.URL), "", nil, nil).expect(t, http.StatusNotFound, "NOT_FOUND")
}

func imagePath(t *testing.T, address string) string {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	return u.Path
}

func TestPartsInEitherOrder(t *testing.T) {
	t.Parallel()
	s := newServer(t, nil)
	bearer := token(t, auth.User{ID: alice})
	for _, fields := range [][]field{{category, photo()}, {photo(), category}, {{name: "assetName", value: "x"}, photo(), category}} {
		if a := s.upload(t, bearer, nil, fields...); a.status != http.StatusAccepted {
			t.Errorf("answered %d %s", a.status, a.body)
		}
	}
}

// Invariant 4: other people's assets are as absent as none.
func TestInvariant4OnlyTheOwner(t *testing.T) {
	t.Parallel()
	s := newServer(t, nil)
	id, _ := s.submit(t, token(t, auth.User{ID: alice}))
	bearer := token(t, auth.User{ID: bob, Admin: true})
	for _, r := range []struct {
		method, path string
		body         any
	}{
		{http.MethodGet, "/api/assets/" + id, nil},
		{http.MethodPatch, "/api/assets/" + id, map[string]string{"category": "other"}},
		{http.MethodDelete, "/api/assets/" + id, nil},
		{http.MethodPost, "/api/assets/" + id + "/retry", nil},
		{http.MethodGet, "/api/assets/" + id + "/events", nil},
		{http.MethodGet, "/api/assets/not-an-id", nil},
		{http.MethodDelete, "/api/assets/not-an-id", nil},
		{http.MethodPost, "/api/assets/not-an-id/retry", nil},
		{http.MethodGet, "/api/assets/507f1f77bcf86cd799439011", nil},
	} {
		s.json(t, r.method, r.path, bearer, r.body).expect(t, http.StatusNotFound, "NOT_FOUND")
	}
	if got := s.do(t, http.MethodGet, "/api/assets", bearer, nil, nil); string(bytes.TrimSpace(got.body)) != `{"items":[],"nextCursor":null}` {
		t.Errorf("bob sees %s", got.body)
	}
}

func TestListPages(t *testing.T) {
	t.Parallel()
	s := newServer(t, nil)
	bearer := token(t, auth.User{ID: alice})
	var want []string
	for range 5 {
		id, _ := s.submit(t, bearer)
		want = append([]string{id}, want...)
	}
	var got []string
	for cursor := ""; ; {
		var page struct {
			Items      []assetView
			NextCursor *string
		}
		s.do(t, http.MethodGet, "/api/assets?limit=2&cursor="+url.QueryEscape(cursor), bearer, nil, nil).decode(t, &page)
		for _, a := range page.Items {
			got = append(got, a.ID)
		}
		if page.NextCursor == nil {
			break
		}
		cursor = *page.NextCursor
	}
	if strings.Join(got, " ") != strings.Join(want, " ") {
		t.Errorf("got %v, want %v", got, want)
	}
	for query, n := range map[string]int{
		"status=processing": 5, "status=active": 0, "category=sneaker": 5, "category=lego": 0,
		"updatedAfter=2020-01-01T00:00:00.000Z": 5, "updatedAfter=2100-01-01T00:00:00Z": 0,
	} {
		var page struct{ Items []assetView }
		s.do(t, http.MethodGet, "/api/assets?"+query, bearer, nil, nil).decode(t, &page)
		if len(page.Items) != n {
			t.Errorf("%s: %d assets, want %d", query, len(page.Items), n)
		}
	}
	for _, query := range []string{
		"limit=0", "limit=101", "limit=ten", "cursor=rubbish", "status=lost", "category=shoe", "updatedAfter=yesterday",
	} {
		s.do(t, http.MethodGet, "/api/assets?"+query, bearer, nil, nil).expect(t, http.StatusBadRequest, "VALIDATION_ERROR")
	}
}

func TestRetryAndReplay(t *testing.T) {
	t.Parallel()
	s := newServer(t, nil)
	s.answers(func(analyze.Request) (analyze.Result, error) { return analyze.Result{}, errAI })
	s.work(t)
	bearer, admin := token(t, auth.User{ID: alice}), token(t, auth.User{ID: bob, Admin: true})
	var ids []string
	for range 3 {
		id, _ := s.submit(t, bearer)
		ids = append(ids, id)
	}
	for _, id := range ids {
		if a := s.until(t, bearer, id, asset.Failed); a.AIMetadata.Error == "" || strings.Contains(a.AIMetadata.Error, "secret") {
			t.Errorf("the user is told %q", a.AIMetadata.Error)
		}
	}
	if events := s.do(t, http.MethodGet, "/api/assets/"+ids[0]+"/events", bearer, nil, nil); !bytes.Contains(events.body, []byte(`"error":"The photo could not be analysed."`)) {
		t.Errorf("timeline %s", events.body)
	}
	s.untilDead(t, admin, len(ids))

	var page struct {
		Items []struct {
			ID, AssetID, UserID, FailureReason string
			Errors                             []json.RawMessage
		}
	}
	s.do(t, http.MethodGet, "/api/admin/failed-jobs?q=SECRET+of&userId="+alice+"&assetId="+ids[0], admin, nil, nil).decode(t, &page)
	if len(page.Items) != 1 || page.Items[0].AssetID != ids[0] || page.Items[0].UserID != alice ||
		!strings.Contains(page.Items[0].FailureReason, "secret of the service") || len(page.Items[0].Errors) != 1 {
		t.Errorf("dead letters %+v", page.Items)
	}

	s.answers(nil)
	if a := s.json(t, http.MethodPost, "/api/admin/failed-jobs/"+ids[0]+"-1/retry", admin, nil); a.status != http.StatusAccepted {
		t.Errorf("retry one: %d %s", a.status, a.body)
	}
	s.until(t, bearer, ids[0], asset.Active)
	s.json(t, http.MethodPost, "/api/admin/failed-jobs/"+ids[0]+"-1/retry", admin, nil).expect(t, http.StatusConflict, "CONFLICT")
	s.json(t, http.MethodPost, "/api/admin/failed-jobs/unknown-1/retry", admin, nil).expect(t, http.StatusNotFound, "NOT_FOUND")
	s.json(t, http.MethodDelete, "/api/admin/failed-jobs/unknown-1", admin, nil).expect(t, http.StatusNotFound, "NOT_FOUND")
	s.json(t, http.MethodDelete, "/api/admin/failed-jobs/"+ids[0]+"-1", admin, nil).expect(t, http.StatusConflict, "CONFLICT")

	a := s.json(t, http.MethodPost, "/api/admin/failed-jobs/retry", admin, map[string]any{"ids": []string{ids[1] + "-1", "unknown-1"}})
	if string(bytes.TrimSpace(a.body)) != `{"data":{"retried":1}}` {
		t.Errorf("retry by ids: %d %s", a.status, a.body)
	}
	s.until(t, bearer, ids[1], asset.Active)

	if a := s.do(t, http.MethodDelete, "/api/admin/failed-jobs/"+ids[2]+"-1", admin, nil, nil); a.status != http.StatusNoContent {
		t.Errorf("discard: %d %s", a.status, a.body)
	}
	s.until(t, bearer, ids[2], asset.Failed)
	if a := s.json(t, http.MethodPost, "/api/admin/failed-jobs/retry", admin, map[string]any{"all": true}); string(bytes.TrimSpace(a.body)) != `{"data":{"retried":0}}` {
		t.Errorf("retry all of none: %s", a.body)
	}
	if a := s.json(t, http.MethodPost, "/api/assets/"+ids[2]+"/retry", bearer, nil); a.status != http.StatusAccepted || !bytes.Contains(a.body, []byte(ids[2]+"-2")) {
		t.Errorf("the owner's retry: %d %s", a.status, a.body)
	}
	s.until(t, bearer, ids[2], asset.Active)
	s.json(t, http.MethodPost, "/api/assets/"+ids[2]+"/retry", bearer, nil).expect(t, http.StatusConflict, "CONFLICT")
}

// untilDead waits until the queue has so many dead letters.
func (s *server) untilDead(t *testing.T, admin string, n int) {
	t.Helper()
	for {
		var status struct{ Data struct{ Failed int } }
		s.do(t, http.MethodGet, "/api/assets/queue-status", admin, nil, nil).decode(t, &status)
		if status.Data.Failed == n {
			return
		}
		select {
		case <-time.After(5 * time.Millisecond):
		case <-t.Context().Done():
			t.Fatalf("%d dead letters, want %d", status.Data.Failed, n)
		}
	}
}

func TestPauseAndResume(t *testing.T) {
	t.Parallel()
	s := newServer(t, nil)
	s.work(t)
	bearer, admin := token(t, auth.User{ID: alice}), token(t, auth.User{ID: bob, Admin: true})
	if a := s.json(t, http.MethodPost, "/api/admin/queue/pause", admin, nil); a.status != http.StatusNoContent {
		t.Fatalf("pause: %d %s", a.status, a.body)
	}
	id, _ := s.submit(t, bearer)
	var status struct {
		Data struct{ Waiting, Paused int }
	}
	s.do(t, http.MethodGet, "/api/assets/queue-status", admin, nil, nil).decode(t, &status)
	if status.Data.Paused != 1 || status.Data.Waiting != 0 {
		t.Errorf("counts %+v", status.Data)
	}
	if a := s.json(t, http.MethodPost, "/api/admin/queue/resume", admin, nil); a.status != http.StatusNoContent {
		t.Fatalf("resume: %d %s", a.status, a.body)
	}
	s.until(t, bearer, id, asset.Active)
}

func TestReconcile(t *testing.T) {
	t.Parallel()
	s := newServer(t, nil)
	bearer, admin := token(t, auth.User{ID: alice}), token(t, auth.User{ID: bob, Admin: true})
	id, job := s.submit(t, bearer)
	if err := s.jobs.Remove(t.Context(), job); err != nil {
		t.Fatal(err)
	}
	now, err := s.config.Assets.Transition(t.Context(), id, asset.Change{
		From: []asset.Status{asset.Processing}, JobID: job, At: asset.Now().Add(-s.config.Pipeline.Grace),
	})
	if err != nil {
		t.Fatal(err, now)
	}
	if a := s.json(t, http.MethodPost, "/api/admin/reconcile", admin, nil); a.status != http.StatusNoContent {
		t.Fatalf("%d %s", a.status, a.body)
	}
	s.work(t)
	s.until(t, bearer, id, asset.Active)
}

func TestAdminRoutesNeedAnAdmin(t *testing.T) {
	t.Parallel()
	s := newServer(t, nil)
	bearer := token(t, auth.User{ID: alice})
	for _, r := range [][2]string{
		{http.MethodGet, "/api/assets/queue-status"},
		{http.MethodGet, "/api/admin/overview"},
		{http.MethodGet, "/api/admin/failed-jobs"},
		{http.MethodGet, "/api/admin/failed-jobs/count"},
		{http.MethodPost, "/api/admin/failed-jobs/discard"},
		{http.MethodPost, "/api/admin/failed-jobs/x/retry"},
		{http.MethodPost, "/api/admin/failed-jobs/retry"},
		{http.MethodDelete, "/api/admin/failed-jobs/x"},
		{http.MethodPost, "/api/admin/queue/pause"},
		{http.MethodPost, "/api/admin/queue/resume"},
		{http.MethodPost, "/api/admin/reconcile"},
	} {
		s.do(t, r[0], r[1], bearer, nil, nil).expect(t, http.StatusForbidden, "FORBIDDEN")
		s.do(t, r[0], r[1], "", nil, nil).expect(t, http.StatusUnauthorized, "UNAUTHORIZED")
	}
}

func TestIdempotencyKey(t *testing.T) {
	t.Parallel()
	s := newServer(t, nil)
	bearer := token(t, auth.User{ID: alice})
	header := http.Header{"Idempotency-Key": {"one upload"}}
	answers := make([]answer, 50)
	var wait sync.WaitGroup
	for i := range answers {
		wait.Go(func() { answers[i] = s.upload(t, bearer, header, category, photo()) })
	}
	wait.Wait()
	for _, a := range answers {
		if a.status != http.StatusAccepted || !bytes.Equal(a.body, answers[0].body) {
			t.Fatalf("%d %s differs from %s", a.status, a.body, answers[0].body)
		}
	}
	var list struct{ Items []struct{ ID string } }
	s.do(t, http.MethodGet, "/api/assets", bearer, nil, nil).decode(t, &list)
	counts, err := s.jobs.Counts(t.Context())
	if err != nil || len(list.Items) != 1 || counts.Waiting != 1 {
		t.Errorf("%d assets, jobs %+v, %v: want one of each", len(list.Items), counts, err)
	}
	other := field{name: "image", file: "photo.jpg", value: string(drawn(color.Black))}
	s.upload(t, bearer, header, category, other).expect(t, http.StatusConflict, "CONFLICT")
	s.upload(t, bearer, header, field{name: "category", value: "lego"}, photo()).expect(t, http.StatusConflict, "CONFLICT")
	s.upload(t, bearer, http.Header{"Idempotency-Key": {strings.Repeat("k", 256)}}, category, photo()).
		expect(t, http.StatusBadRequest, "VALIDATION_ERROR")
}

// A photo that the owner has uploaded before is taken, and says so.
func TestDuplicateOf(t *testing.T) {
	t.Parallel()
	s := newServer(t, nil)
	bearer := token(t, auth.User{ID: alice})
	duplicateOf := func(bearer, id string) any {
		t.Helper()
		var shown map[string]any
		s.do(t, http.MethodGet, "/api/assets/"+id, bearer, nil, nil).decode(t, &shown)
		return shown["duplicateOf"]
	}
	first, _ := s.submit(t, bearer)
	second, _ := s.submit(t, bearer)
	if got := duplicateOf(bearer, first); got != nil {
		t.Errorf("the first is a duplicate of %v", got)
	}
	if got := duplicateOf(bearer, second); got != first {
		t.Errorf("the second is a duplicate of %v, want %s", got, first)
	}
	stranger := token(t, auth.User{ID: bob})
	theirs, _ := s.submit(t, stranger)
	if got := duplicateOf(stranger, theirs); got != nil {
		t.Errorf("another user's is a duplicate of %v", got)
	}
}

func TestServiceRoutes(t *testing.T) {
	t.Parallel()
	down := errors.New("the disk is on fire")
	s := newServer(t, func(c *httpapi.Config) {
		c.Checks = append(c.Checks, httpapi.Check{Name: "images", Backend: "disk", Ping: func(context.Context) error { return down }})
	})
	if a := s.do(t, http.MethodGet, "/healthz", "", nil, nil); a.status != http.StatusOK {
		t.Errorf("healthz %d", a.status)
	}
	a := s.do(t, http.MethodGet, "/readyz", "", nil, nil)
	if a.status != http.StatusServiceUnavailable || !bytes.Contains(a.body, []byte(`{"name":"images","backend":"disk","status":"down"`)) || bytes.Contains(a.body, []byte("fire")) {
		t.Errorf("readyz %d %s", a.status, a.body)
	}
	well := newServer(t, nil)
	if a := well.do(t, http.MethodGet, "/readyz", "", nil, nil); a.status != http.StatusOK {
		t.Errorf("readyz %d %s", a.status, a.body)
	}
	since := time.Date(2025, 12, 28, 10, 30, 0, 0, time.UTC)
	for want, service := range map[string]pipeline.Service{
		`"aiService":{"status":"up"}`: {},
		`"aiService":{"status":"unavailable","since":"2025-12-28T10:30:00.000Z","nextLook":"2025-12-28T10:30:04.000Z","failures":2}`: {
			Down: true, Reason: "unavailable", Since: since, NextLook: since.Add(4 * time.Second), Failures: 2,
		},
	} {
		s := newServer(t, func(c *httpapi.Config) { c.Service = func() pipeline.Service { return service } })
		if a := s.do(t, http.MethodGet, "/readyz", "", nil, nil); a.status != http.StatusOK || !bytes.Contains(a.body, []byte(want)) {
			t.Errorf("readyz %d %s, want %s", a.status, a.body, want)
		}
	}
	for _, path := range []string{"/metrics", "/openapi.yaml", "/"} {
		if a := s.do(t, http.MethodGet, path, "", nil, nil); a.status != http.StatusOK || len(a.body) == 0 {
			t.Errorf("%s answered %d", path, a.status)
		}
	}
	if a := s.do(t, http.MethodPost, "/api/session", "", nil, nil); a.status != http.StatusOK {
		t.Errorf("session %d %s", a.status, a.body)
	}
	s.do(t, http.MethodPost, "/api/session", "", nil, http.Header{"Origin": {"https://evil.example"}}).expect(t, http.StatusForbidden, "FORBIDDEN")
	s.do(t, http.MethodGet, "/no/such/address", "", nil, nil).expect(t, http.StatusNotFound, "NOT_FOUND")
	if a := s.do(t, http.MethodPut, "/api/assets", "", nil, nil); a.header.Get("Allow") == "" {
		t.Errorf("405 without Allow: %v", a.header)
	} else {
		a.expect(t, http.StatusMethodNotAllowed, "METHOD_NOT_ALLOWED")
	}
}

func TestForeignHostWithoutSecret(t *testing.T) {
	t.Parallel()
	s := newServer(t, nil)
	for host, status := range map[string]int{
		"127.0.0.1": 200, "localhost:3000": 200, "[::1]:3000": 200, "loupe.localhost": 200,
		"evil.example": 403, "127.0.0.1.evil.example": 403, "10.0.0.1": 403, "": 403,
	} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.url+"/healthz", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Host = host
		if host == "" {
			continue // Go's client puts the address in its place
		}
		res, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode != status {
			t.Errorf("Host %q answered %d, want %d", host, res.StatusCode, status)
		}
	}
}

func TestCORS(t *testing.T) {
	t.Parallel()
	s := newServer(t, func(c *httpapi.Config) { c.CORSOrigins = []string{"https://app.example.com"} })
	preflight := http.Header{"Access-Control-Request-Method": {"POST"}}
	for origin, allowed := range map[string]bool{
		"https://app.example.com": true, "https://evil.example": false, "null": false, "https://app.example.com.evil.example": false,
	} {
		preflight.Set("Origin", origin)
		a := s.do(t, http.MethodOptions, uploadPath, "", nil, preflight)
		if got := a.header.Get("Access-Control-Allow-Origin") == origin; got != allowed || allowed && a.status != http.StatusNoContent {
			t.Errorf("%s: %d %v", origin, a.status, a.header)
		}
		a = s.do(t, http.MethodGet, "/api/assets", "", nil, http.Header{"Origin": {origin}})
		if got := a.header.Get("Access-Control-Allow-Origin") == origin; got != allowed || a.header.Get("Access-Control-Allow-Credentials") != "" {
			t.Errorf("%s: %v", origin, a.header)
		}
	}
}

func TestPanicIsAnInternalError(t *testing.T) {
	t.Parallel()
	s := newServer(t, func(c *httpapi.Config) {
		c.Metrics = http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("a secret") })
	})
	a := s.do(t, http.MethodGet, "/metrics", "", nil, nil)
	a.expect(t, http.StatusInternalServerError, "INTERNAL_ERROR")
	if bytes.Contains(a.body, []byte("a secret")) {
		t.Error("the panic's text got out")
	}
}

func TestRequestID(t *testing.T) {
	t.Parallel()
	s := newServer(t, nil)
	for id, kept := range map[string]bool{"abc-123_x.Y": true, "with space": false, strings.Repeat("a", 65): false} {
		a := s.do(t, http.MethodGet, "/healthz", "", nil, http.Header{"X-Request-Id": {id}})
		if got := a.header.Get("X-Request-Id") == id; got != kept {
			t.Errorf("%q: kept %v, want %v", id, got, kept)
		}
	}
	if a := s.do(t, http.MethodGet, "/api/assets", "", nil, http.Header{"X-Request-Id": {"mine"}}); a.error(t).RequestID != "mine" {
		t.Errorf("error %s", a.body)
	}
}
