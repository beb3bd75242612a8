package httpapi_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"image"
	"image/color"
	"image/jpeg"
	"io"
	"log/slog"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"loupe"
	"loupe/internal/analyze"
	"loupe/internal/asset"
	"loupe/internal/asset/sqlitestore"
	"loupe/internal/auth"
	"loupe/internal/httpapi"
	"loupe/internal/image/diskstore"
	"loupe/internal/overview"
	"loupe/internal/pipeline"
	"loupe/internal/queue"
	"loupe/internal/queue/sqlitequeue"
	"loupe/internal/sqlitedb"
	"loupe/internal/web"
)

const (
	alice = "507f1f77bcf86cd799439012"
	bob   = "507f1f77bcf86cd799439013"
)

var tokens = auth.Config{Secret: []byte("a secret for the tests of the HTTP API")}

// server is the API over real embedded back ends, with an AI service that answers as told.
type server struct {
	url    string
	config httpapi.Config
	db     *sqlitedb.DB
	jobs   *sqlitequeue.Queue
	dir    string

	mu     sync.Mutex
	answer func(analyze.Request) (analyze.Result, error)
}

// newServer starts a server; change may alter its configuration before.
func newServer(t *testing.T, change func(*httpapi.Config)) *server {
	t.Helper()
	s := &server{dir: t.TempDir()}
	var err error
	if s.db, err = sqlitedb.Open(t.Context(), filepath.Join(s.dir, "loupe.db")); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.db.Close() })
	images, err := diskstore.Open(diskstore.Config{Dir: filepath.Join(s.dir, "images"), BaseURL: "http://127.0.0.1:3000"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { images.Close() })
	log := slog.New(slog.NewTextHandler(t.Output(), nil))
	s.jobs = sqlitequeue.New(s.db, queue.Config{Backoff: time.Millisecond, Grace: time.Second}, log)
	verifier, err := auth.NewVerifier(tokens)
	if err != nil {
		t.Fatal(err)
	}
	assets, recent := sqlitestore.New(s.db), overview.New(overview.Config{Counts: s.jobs.Counts})
	s.config = httpapi.Config{
		Pipeline: pipeline.New(pipeline.Config{
			Assets: assets, Ledger: assets, Images: images, Queue: s.jobs, Jobs: s.jobs, Gate: s.jobs, Analyzer: s, Notifier: nobody{}, Log: log,
			Observe: pipeline.Observer{
				Stored:    func(took time.Duration) { recent.Took(overview.Receive, took) },
				Started:   func(waited time.Duration) { recent.Took(overview.Wait, waited) },
				Attempted: func(outcome string, _ time.Duration) { recent.Attempted(outcome) },
				Finished:  func(status asset.Status, _ time.Duration) { recent.Finished(string(status)) },
			},
		}),
		Assets: assets, Jobs: s.jobs, Auth: verifier, Log: log, Recent: recent, Sockets: func() int { return 3 },
		Process: httpapi.Process{Name: "loupe-test-1", Version: "1.2.3", Roles: []string{"api", "worker"}, Started: time.Now(), Alone: true},
		Images:  images, OpenAPI: loupe.OpenAPI, Web: web.New(web.Config{Categories: []string{"sneaker"}}),
		Realtime: http.NotFoundHandler(),
		Metrics: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/plain")
			_, _ = io.WriteString(w, "loupe_up 1\n")
		}),
		Checks: []httpapi.Check{{Name: "assets", Backend: "sqlite", Ping: s.db.Ping}},
		LocalToken: func() (string, auth.User, error) {
			user := auth.User{ID: "local", Admin: true, Expires: time.Now().Add(time.Hour)}
			token, err := auth.Mint(tokens, user)
			return token, user, err
		},
	}
	if change != nil {
		change(&s.config)
	}
	listener := httptest.NewServer(httpapi.New(s.config))
	t.Cleanup(listener.Close)
	s.url = listener.URL
	return s
}

// work runs the worker until the test ends.
func (s *server) work(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.config.Pipeline.Work(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("worker: %v", err)
		}
	})
}

func (s *server) answers(answer func(analyze.Request) (analyze.Result, error)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answer = answer
}

// Analyze is the AI service: at first it knows every photo.
func (s *server) Analyze(_ context.Context, r analyze.Request) (analyze.Result, error) {
	s.mu.Lock()
	answer := s.answer
	s.mu.Unlock()
	if answer != nil {
		return answer(r)
	}
	f := func(value string) *analyze.Field { return &analyze.Field{Value: value, Confidence: 0.9} }
	return analyze.Result{
		Brand: f("Nike"), Model: f("Air Jordan 1"), Colorway: f("Chicago"), ProcessedImageURL: "https://example.com/p.png",
	}, nil
}

func (s *server) Health(context.Context) error { return nil }

type nobody struct{}

func (nobody) Notify(context.Context, string, pipeline.Event) error { return nil }

func token(t *testing.T, u auth.User) string {
	t.Helper()
	if u.Expires.IsZero() {
		u.Expires = time.Now().Add(time.Hour)
	}
	text, err := auth.Mint(tokens, u)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// answer is what a server said.
type answer struct {
	status int
	header http.Header
	body   []byte
}

// decode reads the JSON body into v.
func (a answer) decode(t *testing.T, v any) {
	t.Helper()
	if err := json.Unmarshal(a.body, v); err != nil {
		t.Fatalf("%v in %s", err, a.body)
	}
}

// apiError is the error of an error answer.
type apiError struct {
	Code, Message, RequestID string
	Details                  []struct{ Field, Message string }
}

func (a answer) error(t *testing.T) apiError {
	t.Helper()
	var body struct{ Error apiError }
	a.decode(t, &body)
	return body.Error
}

// expect fails the test unless the answer has that status and error code.
func (a answer) expect(t *testing.T, status int, code string) {
	t.Helper()
	if a.status != status || a.error(t).Code != code {
		t.Errorf("answered %d %s, want %d %s", a.status, a.body, status, code)
	}
}

// do sends a request and holds the answer against the contract.
func (s *server) do(t *testing.T, method, path, bearer string, body io.Reader, header http.Header) answer {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, s.url+path, body)
	if err != nil {
		t.Fatal(err)
	}
	for name, values := range header {
		r.Header[name] = values
	}
	if bearer != "" {
		r.Header.Set("Authorization", "Bearer "+bearer)
	}
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	data, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	contract.check(t, r, res, data)
	if id := res.Header.Get("X-Request-Id"); id == "" || strings.Contains(string(data), `"success":false`) && !strings.Contains(string(data), id) {
		t.Errorf("%s %s: request id %q, body %s", method, path, id, data)
	}
	return answer{res.StatusCode, res.Header, data}
}

// json sends a request with a JSON body, or none if v is nil.
func (s *server) json(t *testing.T, method, path, bearer string, v any) answer {
	t.Helper()
	if v == nil {
		return s.do(t, method, path, bearer, nil, nil)
	}
	data, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return s.do(t, method, path, bearer, bytes.NewReader(data), http.Header{"Content-Type": {"application/json"}})
}

// field is one part of a form: a file if it has a name.
type field struct{ name, file, value string }

// encode makes a multipart form.
func encode(t *testing.T, fields ...field) (body []byte, contentType string) {
	t.Helper()
	var b bytes.Buffer
	form := multipart.NewWriter(&b)
	for _, f := range fields {
		var part io.Writer
		var err error
		if f.file != "" {
			part, err = form.CreateFormFile(f.name, f.file)
		} else {
			part, err = form.CreateFormField(f.name)
		}
		if err == nil {
			_, err = io.WriteString(part, f.value)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := form.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes(), form.FormDataContentType()
}

// upload sends a form to the upload route.
func (s *server) upload(t *testing.T, bearer string, header http.Header, fields ...field) answer {
	t.Helper()
	body, contentType := encode(t, fields...)
	header = header.Clone()
	if header == nil {
		header = http.Header{}
	}
	header.Set("Content-Type", contentType)
	return s.do(t, http.MethodPost, uploadPath, bearer, bytes.NewReader(body), header)
}

const uploadPath = "/api/assets/analyze-queue"

var category = field{name: "category", value: "sneaker"}

func photo() field { return field{name: "image", file: "photo.jpg", value: string(aPhoto())} }

// aPhoto is a small JPEG.
var aPhoto = sync.OnceValue(func() []byte { return drawn(color.White) })

// drawn returns a small JPEG with a pixel of that colour.
func drawn(c color.Color) []byte {
	picture := image.NewRGBA(image.Rect(0, 0, 32, 24))
	for i := range picture.Pix {
		picture.Pix[i] = byte(i * 7)
	}
	for i := range 8 * 8 {
		picture.Set(i%8, i/8, c)
	}
	var b bytes.Buffer
	if err := jpeg.Encode(&b, picture, nil); err != nil {
		panic(err)
	}
	return b.Bytes()
}

// submit uploads a photo and returns the id of its asset and job.
func (s *server) submit(t *testing.T, bearer string) (assetID, jobID string) {
	t.Helper()
	a := s.upload(t, bearer, nil, category, photo())
	if a.status != http.StatusAccepted {
		t.Fatalf("answered %d %s", a.status, a.body)
	}
	var body struct {
		Data struct{ AssetID, JobID, Status, Message string }
	}
	a.decode(t, &body)
	if body.Data.Status != "processing" || body.Data.Message != "Asset queued for AI analysis" || body.Data.JobID != body.Data.AssetID+"-1" {
		t.Errorf("answered %s", a.body)
	}
	return body.Data.AssetID, body.Data.JobID
}

// assetView is an asset as a client sees it.
type assetView struct {
	ID, UserID, Category, JobID string
	Status                      asset.Status
	Run                         int
	Images                      struct{ Original, Processed struct{ URL string } }
	AIMetadata                  struct{ Error string }
	Details                     asset.Details
}

// until asks for the asset until it has that status.
func (s *server) until(t *testing.T, bearer, id string, status asset.Status) assetView {
	t.Helper()
	for {
		var a assetView
		s.do(t, http.MethodGet, "/api/assets/"+id, bearer, nil, nil).decode(t, &a)
		if a.Status == status {
			return a
		}
		select {
		case <-time.After(5 * time.Millisecond):
		case <-t.Context().Done():
			t.Fatalf("asset is still %s", a.Status)
		}
	}
}

var errAI = &analyze.Error{Class: analyze.Permanent, Message: "secret of the service", Err: errors.New("inner")}
