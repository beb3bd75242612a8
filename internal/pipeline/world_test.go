package pipeline_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"image"
	"image/color"
	"image/jpeg"
	"log/slog"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"loupe/internal/analyze"
	"loupe/internal/asset"
	"loupe/internal/asset/sqlitestore"
	"loupe/internal/image/diskstore"
	"loupe/internal/pipeline"
	"loupe/internal/queue"
	"loupe/internal/queue/sqlitequeue"
	"loupe/internal/sqlitedb"
	"loupe/internal/testenv"
)

func TestMain(m *testing.M) { testenv.Main(m) }

// world is a pipeline on real back ends, with an AI service and a notifier that do as they are told.
type world struct {
	*pipeline.Pipeline
	assets   assets
	images   *diskstore.Store
	imageDir string
	jobs     jobs
	ai       *fakeAI
	told     *recorder
}

// assets and jobs are what every back end is.
type (
	assets interface {
		asset.Store
		asset.Ledger
	}
	jobs interface {
		queue.Gate
		queue.Queue
		queue.Admin
	}
)

const owner = "507f1f77bcf86cd799439012"

// newWorld makes a world on the embedded back ends; change may alter the configuration before the pipeline is made.
func newWorld(t *testing.T, change func(*pipeline.Config)) *world {
	t.Helper()
	return newWorldOn(t, embedded, change)
}

var queueConfig = queue.Config{
	Concurrency: 4, Backoff: 20 * time.Millisecond, Timeout: 2 * time.Second, Grace: 100 * time.Millisecond,
}

func newLog(t *testing.T) *slog.Logger { return slog.New(slog.NewTextHandler(t.Output(), nil)) }

// embedded opens the back ends of a process that is alone.
func embedded(t *testing.T) (assets, jobs) {
	t.Helper()
	db, err := sqlitedb.Open(t.Context(), filepath.Join(t.TempDir(), "loupe.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return sqlitestore.New(db), sqlitequeue.New(db, queueConfig, newLog(t))
}

// newWorldOn makes a world on the back ends that open opens.
func newWorldOn(t *testing.T, open func(*testing.T) (assets, jobs), change func(*pipeline.Config)) *world {
	t.Helper()
	dir := t.TempDir()
	assets, jobs := open(t)
	images, err := diskstore.Open(diskstore.Config{Dir: filepath.Join(dir, "images"), BaseURL: "http://127.0.0.1:3000"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { images.Close() })
	w := &world{
		assets: assets,
		images: images, imageDir: filepath.Join(dir, "images"),
		jobs: jobs,
		ai:   &fakeAI{},
		told: &recorder{changed: make(chan struct{})},
	}
	config := pipeline.Config{
		Assets: w.assets, Ledger: w.assets, Images: images, Queue: w.jobs, Jobs: w.jobs, Gate: w.jobs, Analyzer: w.ai, Notifier: w.told, Log: newLog(t),
	}
	if change != nil {
		change(&config)
	}
	w.Pipeline = pipeline.New(config)
	return w
}

// work runs the worker until the test ends, or until the returned function is called.
func (w *world) work(t *testing.T) (stop func()) {
	t.Helper()
	return background(t, w.Work)
}

// consume runs a worker with that handler until the test ends, or until the returned function is called.
func (w *world) consume(t *testing.T, h queue.Handler) (stop func()) {
	t.Helper()
	return background(t, func(ctx context.Context) error { return w.jobs.Consume(ctx, h) })
}

func background(t *testing.T, run func(context.Context) error) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("worker: %v", err)
		}
	})
	t.Cleanup(stop)
	return stop
}

// submit uploads a photo as owner.
func (w *world) submit(t *testing.T) pipeline.Receipt {
	t.Helper()
	receipt, err := w.Submit(t.Context(), owner, "sneaker", w.receive(t), "")
	if err != nil {
		t.Fatal(err)
	}
	return receipt
}

func (w *world) receive(t *testing.T) pipeline.Photo {
	t.Helper()
	received, err := w.Receive(t.Context(), bytes.NewReader(aPhoto()))
	if err != nil {
		t.Fatal(err)
	}
	return received
}

// aPhoto is a small photo, the same each time.
var aPhoto = sync.OnceValue(func() []byte {
	picture := image.NewRGBA(image.Rect(0, 0, 32, 24))
	for i := range picture.Pix {
		picture.Pix[i] = byte(i * 7)
	}
	picture.Set(0, 0, color.White)
	var b bytes.Buffer
	if err := jpeg.Encode(&b, picture, nil); err != nil {
		panic(err)
	}
	return b.Bytes()
})

// get returns the asset as it stands in the store.
func (w *world) get(t *testing.T, id string) asset.Asset {
	t.Helper()
	a, err := w.assets.Get(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// until waits until the asset is as wanted.
func (w *world) until(t *testing.T, id string, what string, wanted func(asset.Asset) bool) asset.Asset {
	t.Helper()
	for {
		a := w.get(t, id)
		if wanted(a) {
			return a
		}
		select {
		case <-w.told.next():
		case <-time.After(20 * time.Millisecond):
		case <-t.Context().Done():
			t.Fatalf("asset %s is still %s, not %s", id, a.Status, what)
		}
	}
}

func (w *world) untilStatus(t *testing.T, id string, s asset.Status) asset.Asset {
	t.Helper()
	return w.until(t, id, string(s), func(a asset.Asset) bool { return a.Status == s && !a.EventPending })
}

// fakeAI is an AI service that answers as the test says; at first it knows every photo.
type fakeAI struct {
	mu     sync.Mutex
	answer func(ctx context.Context, r analyze.Request) (analyze.Result, error)
	health error
	asked  []analyze.Request
}

var known = analyze.Result{
	Brand:             &analyze.Field{Value: "Nike", Confidence: 0.95},
	Colorway:          &analyze.Field{Value: "Chicago", Confidence: 0.82},
	ProcessedImageURL: "https://example.com/processed.png",
}

func (f *fakeAI) answers(answer func(ctx context.Context, r analyze.Request) (analyze.Result, error)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.answer = answer
}

// fails makes every answer that error.
func (f *fakeAI) fails(err error) {
	f.answers(func(context.Context, analyze.Request) (analyze.Result, error) { return analyze.Result{}, err })
}

func (f *fakeAI) Analyze(ctx context.Context, r analyze.Request) (analyze.Result, error) {
	f.mu.Lock()
	answer := f.answer
	f.asked = append(f.asked, r)
	f.mu.Unlock()
	if answer == nil {
		return known, nil
	}
	return answer(ctx, r)
}

func (f *fakeAI) Health(context.Context) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.health
}

// feels makes the service answer that when it is asked for its health.
func (f *fakeAI) feels(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.health = err
}

func (f *fakeAI) questions() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.asked)
}

// recorder is a notifier that remembers what it was told, and fails on demand.
type recorder struct {
	mu      sync.Mutex
	events  []toldEvent
	down    bool
	changed chan struct{}
}

type toldEvent struct {
	owner string
	pipeline.Event
}

func (r *recorder) Notify(_ context.Context, owner string, e pipeline.Event) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.down {
		return errors.New("nobody listens")
	}
	r.events = append(r.events, toldEvent{owner, e})
	close(r.changed)
	r.changed = make(chan struct{})
	return nil
}

// next returns a channel that is closed at the next event.
func (r *recorder) next() <-chan struct{} {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.changed
}

func (r *recorder) setDown(down bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.down = down
}

// of returns the payloads of one event about one asset.
func (r *recorder) of(name, assetID string) []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var payloads []string
	for _, e := range r.events {
		var about struct{ AssetID string }
		if e.Name == name && json.Unmarshal(e.Payload, &about) == nil && about.AssetID == assetID {
			payloads = append(payloads, string(e.Payload))
		}
	}
	return payloads
}
