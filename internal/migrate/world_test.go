package migrate_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"reflect"
	"slices"
	"sync"
	"testing"
	"time"

	"loupe/internal/asset"
	"loupe/internal/asset/sqlitestore"
	"loupe/internal/image"
	"loupe/internal/image/diskstore"
	"loupe/internal/migrate"
	"loupe/internal/queue"
	"loupe/internal/queue/sqlitequeue"
	"loupe/internal/sqlitedb"
	"loupe/internal/testenv"
)

func TestMain(m *testing.M) { testenv.Main(m) }

var base = time.Date(2025, 12, 28, 10, 30, 0, 123_000_000, time.UTC)

// world is an installation and the services that it moves to.
type world struct {
	assets *sqlitestore.Store
	images *diskstore.Store
	jobs   *sqlitequeue.Queue
	db     *sqlitedb.DB

	toAssets records
	toImages *service
	toJobs   *line

	out bytes.Buffer
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{toJobs: &line{jobs: map[string]queue.Stored{}}}
	w.assets, w.db = openAssets(t)
	w.images = openImages(t, "http://127.0.0.1:3000")
	w.jobs = sqlitequeue.New(w.db, queue.Config{Attempts: 3}, slog.New(slog.DiscardHandler))
	to, _ := openAssets(t)
	w.toAssets = records{to}
	w.toImages = &service{Store: openImages(t, "https://pictures.example")}
	return w
}

func openAssets(t *testing.T) (*sqlitestore.Store, *sqlitedb.DB) {
	t.Helper()
	db, err := sqlitedb.Open(t.Context(), filepath.Join(t.TempDir(), "loupe.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return sqlitestore.New(db), db
}

func openImages(t *testing.T, url string) *diskstore.Store {
	t.Helper()
	s, err := diskstore.Open(diskstore.Config{Dir: t.TempDir(), BaseURL: url})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// config moves everything.
func (w *world) config() migrate.Config {
	return migrate.Config{
		Assets: w.assets, Images: w.images, Jobs: w.jobs, ToAssets: w.toAssets, ToImages: w.toImages, ToJobs: w.toJobs,
		Refused: func(err error) bool { return errors.Is(err, errRefused) }, Out: &w.out,
	}
}

// copied and verified run to the end and return what was printed.
func (w *world) copied(t *testing.T, c migrate.Config, whole bool) string {
	t.Helper()
	return w.run(t, migrate.Copy, c, whole)
}

func (w *world) verified(t *testing.T, c migrate.Config, whole bool) string {
	t.Helper()
	return w.run(t, migrate.Verify, c, whole)
}

func (w *world) run(t *testing.T, f func(context.Context, migrate.Config) (bool, error), c migrate.Config, whole bool) string {
	t.Helper()
	w.out.Reset()
	got, err := f(t.Context(), c)
	if err != nil || got != whole {
		t.Errorf("whole: %t, want %t; %v\n%s", got, whole, err, &w.out)
	}
	return w.out.String()
}

// add adds an asset with its pictures to the installation.
func (w *world) add(t *testing.T, change func(*asset.Asset)) asset.Asset {
	t.Helper()
	id := asset.NewID()
	a := asset.Asset{
		ID: id, Owner: asset.NewID(), Category: "sneaker", Status: asset.Active, JobID: asset.JobID(id, 1), Run: 1,
		Original:  asset.Image{Width: 3, Height: 4, Bytes: 5, MIMEType: image.JPEG, SHA256: "ab"},
		Processed: &asset.Image{},
		Analysis:  &asset.Analysis{Brand: &asset.Field{Value: "Nike", Confidence: 0.95}, ProcessedAt: base},
		CreatedAt: base, UpdatedAt: base.Add(time.Second),
	}
	a.Original.Key = image.NewKey(image.JPEG)
	a.Processed.Key = image.ProcessedKey(a.Original.Key, image.PNG)
	for _, p := range []*asset.Image{&a.Original, a.Processed} {
		info, err := w.images.Put(t.Context(), p.Key, bytes.NewReader([]byte("picture "+p.Key)))
		if err != nil {
			t.Fatal(err)
		}
		p.URL = info.URL
	}
	if change != nil {
		change(&a)
	}
	log := []asset.Entry{
		{At: base, Event: asset.EventReceived},
		{At: base.Add(time.Second), Event: asset.EventFinished, Attempt: 1, Duration: time.Second, Payload: json.RawMessage(`{"a":  "` + a.ID + `"}`)},
	}
	if err := w.assets.Create(t.Context(), a, log...); err != nil {
		t.Fatal(err)
	}
	return a
}

// addJobs adds a job in each state, in this order of the line, and returns their ids.
func (w *world) addJobs(t *testing.T) []string {
	t.Helper()
	ids := []string{"waiting-1", "active-1", "dead-1", "delayed-1", "done-1", "waiting-2"}
	for _, id := range ids {
		if err := w.jobs.Enqueue(t.Context(), id, json.RawMessage(`{"id":  "`+id+`"}`)); err != nil {
			t.Fatal(err)
		}
	}
	for _, change := range []string{
		"UPDATE jobs SET state = 'active', starts = 2, stalls = 1, worker = 'w', processed_at = 7 WHERE id = 'active-1'",
		`UPDATE jobs SET state = 'failed', at = 9, attempts = 3, starts = 3, errors = '[{"attempt":1,"at":"2025-12-28T10:30:00Z","error":"no"}]' WHERE id = 'dead-1'`,
		"UPDATE jobs SET state = 'delayed', at = 4102444800000, attempts = 1, starts = 1 WHERE id = 'delayed-1'",
		"UPDATE jobs SET state = 'completed', at = 8, attempts = 1 WHERE id = 'done-1'",
	} {
		w.exec(t, change)
	}
	return ids
}

// exec changes the installation behind its back.
func (w *world) exec(t *testing.T, statement string, args ...any) {
	t.Helper()
	if err := w.db.Write(t.Context(), func(tx *sqlitedb.Tx) error {
		_, err := tx.Exec(t.Context(), statement, args...)
		return err
	}); err != nil {
		t.Fatal(err)
	}
}

// dump is all that the tables of the installation hold.
func (w *world) dump(t *testing.T) string {
	t.Helper()
	var all []string
	for _, query := range []string{
		`SELECT id||owner||category||status||original||coalesce(processed,'')||coalesce(analysis,'')||job_id||run||created_at||updated_at||event_pending FROM assets ORDER BY id`,
		"SELECT asset_id||at||event||attempt||error||duration_ms||coalesce(payload,'') FROM asset_events ORDER BY seq",
		"SELECT id||data||state||at||attempts||starts||stalls||worker||created_at||processed_at||errors FROM jobs ORDER BY seq",
		"SELECT paused||held_until FROM queue_gate",
	} {
		if _, err := w.db.Query(t.Context(), func(row sqlitedb.Row) error {
			var line string
			err := row.Scan(&line)
			all = append(all, line)
			return err
		}, query); err != nil {
			t.Fatal(err)
		}
	}
	return fmt.Sprint(all)
}

// expectMoved fails unless the target has the asset as the installation does, with the pictures' new URLs.
func (w *world) expectMoved(t *testing.T, want asset.Asset) {
	t.Helper()
	want.Original.URL = "https://pictures.example/images/" + want.Original.Key
	want.Processed = new(*want.Processed)
	want.Processed.URL = "https://pictures.example/images/" + want.Processed.Key
	got, err := w.toAssets.Get(t.Context(), want.ID)
	if !reflect.DeepEqual(got, want) || err != nil {
		t.Errorf("%v\n got %+v\nwant %+v", err, got, want)
	}
	here, err1 := w.assets.Timeline(t.Context(), asset.TimelineQuery{AssetID: want.ID})
	there, err2 := w.toAssets.Timeline(t.Context(), asset.TimelineQuery{AssetID: want.ID})
	if !reflect.DeepEqual(here, there) || err1 != nil || err2 != nil || len(here) == 0 {
		t.Errorf("timeline %+v, want %+v; %v, %v", there, here, err1, err2)
	}
	for _, key := range []string{want.Original.Key, want.Processed.Key} {
		if got := w.toImages.read(t, key); got != "picture "+key {
			t.Errorf("picture %s is %q", key, got)
		}
	}
}

// records is a [migrate.Store] that asks one by one.
type records struct{ *sqlitestore.Store }

func (r records) Each(ctx context.Context, ids []string, do func(asset.Asset, []asset.Entry) error) error {
	for _, id := range ids {
		a, err := r.Get(ctx, id)
		if errors.Is(err, asset.ErrNotFound) {
			continue
		}
		if err != nil {
			return err
		}
		timeline, err := r.Timeline(ctx, asset.TimelineQuery{AssetID: id})
		if err != nil {
			return err
		}
		if err := do(a, timeline); err != nil {
			return err
		}
	}
	return nil
}

var errRefused = errors.New("too large for us")

// service is an image store that can fail.
type service struct {
	image.Store

	mu   sync.Mutex
	puts int
	fail func(key string, n int) error // before a Put, the n-th; may be nil
}

func (s *service) Put(ctx context.Context, key string, r io.Reader) (image.Info, error) {
	s.mu.Lock()
	s.puts++
	n, fail := s.puts, s.fail
	s.mu.Unlock()
	if fail != nil {
		if err := fail(key, n); err != nil {
			return image.Info{}, err
		}
	}
	return s.Store.Put(ctx, key, r)
}

func (s *service) read(t *testing.T, key string) string {
	t.Helper()
	file, _, err := s.Open(t.Context(), key)
	if err != nil {
		return err.Error()
	}
	defer file.Close()
	data, err := io.ReadAll(file)
	if err != nil {
		t.Error(err)
	}
	return string(data)
}

// line is a queue in memory.
type line struct {
	jobs   map[string]queue.Stored
	order  []string // of those that wait
	paused bool
	fail   func(id string) error // may be nil
}

func (l *line) Restore(ctx context.Context, s queue.Stored) (bool, error) {
	if l.fail != nil {
		if err := l.fail(s.ID); err != nil {
			return false, err
		}
	}
	if _, there := l.jobs[s.ID]; there || ctx.Err() != nil {
		return false, ctx.Err()
	}
	l.jobs[s.ID] = s
	if s.State == queue.Waiting {
		l.order = append(l.order, s.ID)
	}
	return true, nil
}

func (l *line) Get(_ context.Context, id string) (queue.Record, error) {
	s, there := l.jobs[id]
	if !there {
		return queue.Record{}, queue.ErrNotFound
	}
	return s.Record, nil
}

func (l *line) Pause(context.Context) error {
	l.paused = true
	return nil
}

// sorted returns the ids of all jobs.
func (l *line) sorted() []string {
	var ids []string
	for id := range l.jobs {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids
}
