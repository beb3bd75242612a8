package interop

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/rueidis"
	"golang.org/x/sync/errgroup"

	"loupe/internal/asset"
	"loupe/internal/asset/mongostore"
	"loupe/internal/asset/mongostore/mongotest"
	"loupe/internal/asset/sqlitestore"
	"loupe/internal/image"
	"loupe/internal/image/cloudinarystore"
	"loupe/internal/image/cloudinarystore/cloudinarytest"
	"loupe/internal/image/diskstore"
	"loupe/internal/queue"
	"loupe/internal/queue/redisqueue"
	"loupe/internal/queue/sqlitequeue"
	"loupe/internal/sqlitedb"
	"loupe/internal/testenv"
)

// What an installation has before it moves. Of its jobs one in four is a dead letter.
const (
	migratedAssets = 1000
	migratedJobs   = 240
)

// An installation moves to services, is killed twice on the way, and in the end everything is there: every record, every
// picture and every job, as this test has made them and by its own hashes.
func TestMigrate(t *testing.T) {
	t.Parallel()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	m := newMigration(t, rand.New(rand.NewPCG(seed, seed)))
	before := m.hashInstallation(t)

	for _, moment := range m.moments() {
		p := m.loupe(t, "migrate", "--to", "mongodb,redis,cloudinary")
		at := m.waitFor(t, p, moment)
		p.Kill()
		m.allow(t)
		t.Logf("killed at %s", at)
		if code := p.ExitCode(t); code != -1 {
			t.Fatalf("it had ended with %d before it was killed:\n%s", code, p.Output())
		}
	}
	run := func(code int, args ...string) string {
		t.Helper()
		p := m.loupe(t, append([]string{"migrate", "--to", "mongodb,redis,cloudinary"}, args...)...)
		if got := p.ExitCode(t); got != code {
			t.Fatalf("%v ended with %d:\n%s", args, got, p.Output())
		}
		return p.Output()
	}
	t.Logf("to the end:\n%s", run(0))
	verified := run(0, "--verify")
	t.Logf("verified:\n%s", verified)
	wantRow(t, verified, "assets", migratedAssets, migratedAssets, migratedAssets, 0, 0)
	wantRow(t, verified, "pictures", len(m.pictures), len(m.pictures), len(m.pictures), 0, 0)

	m.checkRecords(t)
	m.checkPictures(t)
	m.checkJobs(t)
	if after := m.hashInstallation(t); after != before {
		t.Error("the installation has changed")
	}
	m.checkBoard(t)
	m.checkServer(t)
}

// wantRow looks for a row of the table that the command prints.
func wantRow(t *testing.T, printed, kind string, columns ...int) {
	t.Helper()
	want := []string{kind}
	for _, n := range columns {
		want = append(want, strconv.Itoa(n))
	}
	for line := range strings.Lines(printed) {
		if slices.Equal(strings.Fields(line), want) {
			return
		}
	}
	t.Errorf("no row %q in\n%s", want, printed)
}

// migration is an installation, what it holds, and the services that it moves to.
type migration struct {
	random *rand.Rand
	dir    string

	records  map[string]asset.Asset
	logs     map[string][]asset.Entry
	pictures map[string]string // SHA-256 by key
	line     []string          // ids of the jobs that are to wait, the next first
	jobs     []queue.Stored

	mongoURI, redisURL, cloudinaryURL string

	address rueidis.ClientOption
	cloud   *cloudinarytest.Server
	redis   rueidis.Client
	assets  *mongostore.Store
	images  *cloudinarystore.Store
	queue   *redisqueue.Queue
}

func newMigration(t *testing.T, random *rand.Rand) *migration {
	t.Helper()
	m := &migration{
		random: random, dir: t.TempDir(),
		records: map[string]asset.Asset{}, logs: map[string][]asset.Entry{}, pictures: map[string]string{},
	}
	m.redisURL = testenv.StartRedis(t)
	m.mongoURI = mongotest.Database(t, mongotest.Start(t))
	m.cloudinaryURL, m.cloud = cloudinarytest.Start(t)
	m.address = rueidis.ClientOption{InitAddress: []string{strings.TrimPrefix(m.redisURL, "redis://")}}
	m.redis = redisClient(t, m.address)
	log := slog.New(slog.DiscardHandler)
	var err1, err2, err3 error
	m.assets, err1 = mongostore.Open(t.Context(), m.mongoURI, log)
	m.images, err2 = cloudinarystore.New(cloudinarystore.Config{URL: m.cloudinaryURL})
	m.queue, err3 = redisqueue.New(m.redis, queue.Config{}, log)
	if err := errors.Join(err1, err2, err3); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		m.images.Close()
		if err := errors.Join(m.assets.Close(context.Background()), m.queue.Close()); err != nil {
			t.Error(err)
		}
	})
	m.fill(t)
	return m
}

// loupe starts a command of ours.
func (m *migration) loupe(t *testing.T, args ...string) *testenv.Process {
	t.Helper()
	cmd := exec.Command(testenv.BuildLoupe(t), args...)
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "LOUPE_DATA_DIR=" + m.dir, "JWT_SECRET=" + jwtSecret}, m.environment()...)
	return testenv.Start(t, cmd)
}

func (m *migration) environment() []string {
	return []string{"MONGODB_URI=" + m.mongoURI, "REDIS_URL=" + m.redisURL, "CLOUDINARY_URL=" + m.cloudinaryURL}
}

// installation opens the data directory until close is called.
func (m *migration) installation(t *testing.T) (assets *sqlitestore.Store, images *diskstore.Store, jobs *sqlitequeue.Queue, db *sqlitedb.DB, end func()) {
	t.Helper()
	db, err1 := sqlitedb.Open(t.Context(), filepath.Join(m.dir, "loupe.db"))
	images, err2 := diskstore.Open(diskstore.Config{Dir: filepath.Join(m.dir, "images"), BaseURL: "http://127.0.0.1:3000"})
	if err := errors.Join(err1, err2); err != nil {
		t.Fatal(err)
	}
	jobs = sqlitequeue.New(db, queue.Config{Attempts: 3, Backoff: time.Hour, Concurrency: 50, Sole: true}, slog.New(slog.DiscardHandler))
	return sqlitestore.New(db), images, jobs, db, func() {
		if err := errors.Join(images.Close(), db.Close()); err != nil {
			t.Error(err)
		}
	}
}

// fill makes the installation.
func (m *migration) fill(t *testing.T) {
	t.Helper()
	assets, images, jobs, db, end := m.installation(t)
	defer end()
	group, ctx := errgroup.WithContext(t.Context())
	group.SetLimit(32)
	for i := range migratedAssets {
		a, pictures, log := m.draw(i)
		m.records[a.ID], m.logs[a.ID] = a, log
		group.Go(func() error {
			for key, data := range pictures {
				if _, err := images.Put(ctx, key, bytes.NewReader(data)); err != nil {
					return err
				}
			}
			return assets.Create(ctx, a, log...)
		})
		for key, data := range pictures {
			m.pictures[key] = sumOf(data)
		}
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
	m.fillQueue(t, jobs, db)
}

func sumOf(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// photo returns bytes that pass for a picture.
func (m *migration) photo(head string) []byte {
	data := []byte(head)
	for range 100 + m.random.IntN(2000) {
		data = append(data, byte(m.random.Uint32()))
	}
	return data
}

// draw makes up the i-th asset, with its pictures by key and its timeline.
func (m *migration) draw(i int) (a asset.Asset, pictures map[string][]byte, log []asset.Entry) {
	at := photographed.Add(time.Duration(i) * time.Minute)
	id := asset.NewID()
	a = asset.Asset{
		ID: id, Owner: fmt.Sprintf("user-%d", i%50), Category: "sneaker", Status: asset.Statuses[i%len(asset.Statuses)],
		Run: 1 + i%3, CreatedAt: at, UpdatedAt: at.Add(time.Second), EventPending: i%7 == 0,
	}
	if i%2 == 0 {
		a.Owner = fmt.Sprintf("507f1f77bcf86cd7994390%02x", i%50)
	}
	a.JobID = asset.JobID(id, a.Run)
	pictures = map[string][]byte{}
	keep := func(key, head string) asset.Image {
		data := m.photo(head)
		pictures[key] = data
		return asset.Image{
			Key: key, URL: "http://127.0.0.1:3000/images/" + key, Width: 30 + i, Height: 40, Bytes: int64(len(data)),
			MIMEType: image.TypeOf(key), SHA256: sumOf(data),
		}
	}
	a.Original = keep(image.NewKey(image.JPEG), "\xff\xd8\xff\xe0")
	log = []asset.Entry{{At: at, Event: asset.EventReceived}, {At: at, Event: asset.EventStored, Duration: 12 * time.Millisecond}}
	if a.Status == asset.Draft || a.Status == asset.Processing {
		return a, pictures, log
	}
	for run := range a.Run {
		at = at.Add(time.Second)
		log = append(log, asset.Entry{At: at, Event: asset.EventQueued}, asset.Entry{At: at, Event: asset.EventStarted, Attempt: 1},
			asset.Entry{
				At: at, Event: asset.EventFinished, Attempt: 1, Duration: 900 * time.Millisecond, Error: "Ngọc <&> failed",
				Payload: json.RawMessage(fmt.Sprintf(`{"event":"asset_processed", "assetId":"%s","run":%d,"n":1.50}`, id, run)),
			})
	}
	if a.Status == asset.Failed {
		a.Analysis = &asset.Analysis{Error: "The analysis failed.", FailedAt: at}
		return a, pictures, log
	}
	processed := asset.Image{URL: "https://ai.example/p.png"} // not ours
	if i%5 > 0 {
		processed = keep(image.ProcessedKey(a.Original.Key, image.PNG), "\x89PNG\r\n\x1a\n")
	}
	a.Processed = &processed
	a.Analysis = &asset.Analysis{ProcessedAt: at}
	if a.Status != asset.Partial {
		a.Analysis.Brand = &asset.Field{Value: "Nike ü", Confidence: 0.123456789 + float64(i)/2000}
		a.Details = &asset.Details{Model: "mine"}
	}
	return a, pictures, log
}

// fillQueue puts jobs on the queue and works on some of them: dead letters, delayed, completed and, as after a kill,
// active ones.
func (m *migration) fillQueue(t *testing.T, jobs *sqlitequeue.Queue, db *sqlitedb.DB) {
	t.Helper()
	ids := slices.Sorted(maps.Keys(m.records))
	m.random.Shuffle(len(ids), func(i, j int) { ids[i], ids[j] = ids[j], ids[i] })
	ids = ids[:migratedJobs]
	worked := ids[:migratedJobs/2]
	m.enqueue(t, jobs, worked)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- jobs.Consume(ctx, worker{}) }()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for left := len(worked); left > 0; <-tick.C {
		n, err := jobs.Counts(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		left = len(worked) - n.Failed - n.Delayed - n.Completed
	}
	stop()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	m.enqueue(t, jobs, ids[len(worked):])
	m.line = nil
	for i, id := range ids[len(worked):] {
		m.line = append(m.line, m.records[id].JobID)
		if i < 5 {
			if err := db.Write(t.Context(), func(tx *sqlitedb.Tx) error {
				_, err := tx.Exec(t.Context(), "UPDATE jobs SET state = 'active', starts = 2, worker = 'killed' WHERE id = ?", m.records[id].JobID)
				return err
			}); err != nil {
				t.Fatal(err)
			}
		}
	}
	m.jobs = allJobs(t, jobs)
}

func (m *migration) enqueue(t *testing.T, jobs *sqlitequeue.Queue, ids []string) {
	t.Helper()
	for _, id := range ids {
		a := m.records[id]
		data := fmt.Sprintf(`{"assetId":%q, "userId":%q,"imageUrl":%q,"category":"sneaker","createdAt":"2025-12-28T10:30:00.000Z"}`, a.ID, a.Owner, a.Original.URL)
		if err := jobs.Enqueue(t.Context(), a.JobID, json.RawMessage(data)); err != nil {
			t.Fatal(err)
		}
	}
}

// worker lets jobs complete, be delayed or die, by the last digit of their asset's id.
type worker struct{}

func (worker) Process(_ context.Context, job queue.Job) error {
	switch digit := job.ID[23]; {
	case digit < '8':
		return queue.Permanent(errors.New("Ngọc: no shoe in it\nat all"))
	case digit < 'c':
		return errors.New("not today")
	}
	return nil
}

func (worker) Dead(context.Context, queue.Job, string) {}

func allJobs(t *testing.T, jobs *sqlitequeue.Queue) (all []queue.Stored) {
	t.Helper()
	for after := ""; ; after = all[len(all)-1].ID {
		page, err := jobs.All(t.Context(), after, 100)
		if err != nil {
			t.Fatal(err)
		}
		if all = append(all, page...); len(page) < 100 {
			return all
		}
	}
}

// moment is when the command is killed: after so many uploads, or when so many jobs are on the queue.
type moment struct{ uploads, jobs int }

func (m moment) String() string { return fmt.Sprintf("%d uploads, %d jobs", m.uploads, m.jobs) }

// moments draws two of them: among the uploads, and among what is left then.
func (m *migration) moments() [2]moment {
	uploads := len(m.pictures) * 9 / 10
	first := 1 + m.random.IntN(uploads)
	second := moment{uploads: first + 1 + m.random.IntN(uploads-first+1)}
	if m.random.IntN(2) == 0 {
		second = moment{jobs: 1 + m.random.IntN(migratedJobs/4)}
	}
	return [2]moment{{uploads: first}, second}
}

// waitFor waits for a moment and returns what it really was. If it is one of the queue's, Redis then lets nobody write.
func (m *migration) waitFor(t *testing.T, p *testenv.Process, want moment) moment {
	t.Helper()
	began := m.cloud.Calls(cloudinarytest.Upload)
	if want.uploads > 0 {
		want.uploads = max(1, want.uploads-began)
	}
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(time.Minute); ; <-tick.C {
		now := moment{uploads: m.cloud.Calls(cloudinarytest.Upload) - began}
		if want.jobs > 0 {
			n, err := m.queue.Counts(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			now.jobs = n.Waiting + n.Delayed + n.Failed
		}
		if now.uploads >= want.uploads && now.jobs >= want.jobs {
			if want.jobs > 0 {
				m.command(t, "CLIENT", "PAUSE", "60000", "WRITE")
			}
			return now
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s was never reached, only %s:\n%s", want, now, p.Output())
		}
	}
}

// allow lets writes to Redis through again.
func (m *migration) allow(t *testing.T) {
	t.Helper()
	m.command(t, "CLIENT", "UNPAUSE")
}

func (m *migration) command(t *testing.T, words ...string) {
	t.Helper()
	if err := m.redis.Do(t.Context(), m.redis.B().Arbitrary(words...).Build()).Error(); err != nil {
		t.Fatal(err)
	}
}

// checkRecords hashes every record with its timeline, as it was made up and as it is in MongoDB; there its URLs must be
// Cloudinary's.
func (m *migration) checkRecords(t *testing.T) {
	t.Helper()
	found := 0
	err := m.assets.Each(t.Context(), slices.Collect(maps.Keys(m.records)), func(got asset.Asset, log []asset.Entry) error {
		found++
		want := m.records[got.ID]
		for _, p := range [][2]*asset.Image{{&got.Original, &want.Original}, {got.Processed, want.Processed}} {
			if p[0] == nil || p[1] == nil || p[1].Key == "" {
				continue
			}
			if key, ok := m.images.KeyOf(p[0].URL); !ok || key != p[1].Key {
				t.Errorf("asset %s: the URL of %s is %s", got.ID, p[1].Key, p[0].URL)
			}
			p[0].URL = p[1].URL
		}
		if hashRecord(got, log) != hashRecord(want, m.logs[got.ID]) || !reflect.DeepEqual(got, want) {
			t.Errorf("asset %s is\n%+v\n%+v, want\n%+v\n%+v", got.ID, got, log, want, m.logs[got.ID])
		}
		return nil
	})
	if n, countErr := mongotest.Collection(t, m.mongoURI).CountDocuments(t.Context(), map[string]any{}); found != migratedAssets || n != migratedAssets {
		t.Errorf("%d of %d documents are ours, want %d; %v, %v", found, n, migratedAssets, err, countErr)
	}
}

// hashRecord is a hash of all that is kept of an asset, the payloads of its timeline byte for byte.
func hashRecord(a asset.Asset, log []asset.Entry) string {
	hash := sha256.New()
	text, err := json.Marshal(a)
	fmt.Fprintf(hash, "%s %v\n", text, err)
	for _, e := range log {
		fmt.Fprintf(hash, "%d %q %d %q %d %q\n", e.At.UnixMilli(), e.Event, e.Attempt, e.Error, e.Duration, e.Payload)
	}
	return hex.EncodeToString(hash.Sum(nil))
}

// checkPictures hashes what Cloudinary holds.
func (m *migration) checkPictures(t *testing.T) {
	t.Helper()
	for key, want := range m.pictures {
		p, ok := m.cloud.Picture(publicIDOf(key))
		if got := sumOf(p.Data); !ok || got != want {
			t.Errorf("picture %s: SHA-256 %s, want %s", key, got, want)
		}
	}
	if n := len(m.cloud.PublicIDs()); n != len(m.pictures) {
		t.Errorf("Cloudinary holds %d pictures, want %d", n, len(m.pictures))
	}
}

func publicIDOf(key string) string {
	name, _, _ := strings.Cut(key, ".")
	if strings.Contains(key, ".processed.") {
		return "assets/processed/" + name + ".processed"
	}
	return "assets/originals/" + name
}

// checkJobs compares every job, and the line.
func (m *migration) checkJobs(t *testing.T) {
	t.Helper()
	dead := 0
	for _, want := range m.jobs {
		got, err := m.queue.Get(t.Context(), want.ID)
		switch want.State {
		case queue.Completed:
			if !errors.Is(err, queue.ErrNotFound) {
				t.Errorf("job %s was completed: %+v, %v", want.ID, got, err)
			}
			continue
		case queue.Active:
			want.State = queue.Waiting
		case queue.FailedJob:
			dead++
		}
		if err != nil || !reflect.DeepEqual(got, want.Record) {
			t.Errorf("job %s: %v\n got %+v\nwant %+v", want.ID, err, got, want.Record)
		}
	}
	if dead < 10 {
		t.Errorf("only %d dead letters", dead)
	}
	line, err := m.redis.Do(t.Context(), m.redis.B().Lrange().Key("bull:ai-processing:wait").Start(0).Stop(-1).Build()).AsStrSlice()
	slices.Reverse(line) // the next to start stands at the end
	if err != nil || !slices.Equal(line, m.line) {
		t.Errorf("the line is %q, %v, want %q", line, err, m.line)
	}
}

// checkBoard looks at the dead letters with BullMQ for Node and with Bull Board.
func (m *migration) checkBoard(t *testing.T) {
	t.Helper()
	node := startBullmqNode(t, "bullmq-6.7", m.address)
	at := bullmqPlace{Prefix: "bull", Queue: "ai-processing"}
	ask := func(v any, op string, args ...any) {
		t.Helper()
		raw, err := node.try(t, at, op, args...)
		if err == nil && v != nil {
			err = json.Unmarshal(raw, v)
		}
		if err != nil {
			t.Fatalf("%s: %v", op, err)
		}
	}
	var failed []struct {
		ID           string
		AttemptsMade int
		FailedReason string
		Stacktrace   []string
	}
	ask(&failed, "getFailed", 0, -1)
	byID := map[string]queue.Stored{}
	for _, job := range m.jobs {
		if job.State == queue.FailedJob {
			byID[job.ID] = job
		}
	}
	for _, job := range failed {
		want := byID[job.ID]
		if job.AttemptsMade != want.AttemptsMade || len(job.Stacktrace) != len(want.Errors) || job.FailedReason != want.Errors[0].Error {
			t.Errorf("Node sees %+v, want %+v", job, want)
		}
	}
	if len(failed) != len(byID) {
		t.Errorf("Node sees %d dead letters, want %d", len(failed), len(byID))
	}

	var path string
	ask(&path, "board")
	var shown struct {
		Queues []struct {
			Counts map[string]int
			Jobs   []struct{ ID string }
		}
	}
	getJSON(t, node.url+path+"/api/queues?activeQueue=ai-processing&status=failed&page=1&jobsPerPage=10", "", &shown)
	if n := shown.Queues[0].Counts["failed"]; n != len(byID) || len(shown.Queues[0].Jobs) != 10 {
		t.Errorf("Bull Board shows %d of %d dead letters, want 10 of %d", len(shown.Queues[0].Jobs), n, len(byID))
	}
	id := shown.Queues[0].Jobs[0].ID
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPut, node.url+path+"/api/queues/ai-processing/"+id+"/retry", nil)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if said, _ := io.ReadAll(answer.Body); answer.StatusCode >= 300 {
		t.Errorf("retry by Bull Board: %s %s", answer.Status, said)
	}
	var state string
	if ask(&state, "job.getState", id); state != "waiting" {
		t.Errorf("after a retry by Bull Board job %s is %s", id, state)
	}
	ask(nil, "close")
}

// checkServer starts a server on the services, which takes the assets over: a dead letter is seen and put to work again.
func (m *migration) checkServer(t *testing.T) {
	t.Helper()
	s := serve(t, t.TempDir(), append(m.environment(), "LOUPE_ROLES=api")...)
	loupe := func(args ...string) string {
		t.Helper()
		p := m.loupe(t, append(args, "--server", s.url)...)
		if code := p.ExitCode(t); code != 0 {
			t.Fatalf("loupe %v: %d\n%s", args, code, p.Output())
		}
		return p.Output()
	}
	var letters []struct{ ID, AssetID, FailureReason string }
	for text := range strings.Lines(loupe("jobs", "failed", "--json", "--limit", "100")) {
		letters = append(letters, struct{ ID, AssetID, FailureReason string }{})
		if err := json.Unmarshal([]byte(text), &letters[len(letters)-1]); err != nil {
			t.Fatalf("%v in %s", err, text)
		}
	}
	for _, letter := range letters {
		if letter.FailureReason != "Ngọc: no shoe in it\nat all" {
			t.Errorf("dead letter %+v", letter)
		}
		if m.records[letter.AssetID].Status != asset.Failed {
			continue
		}
		loupe("jobs", "retry", letter.ID)
		job, err := m.queue.Get(t.Context(), letter.ID)
		a, err2 := m.assets.Get(t.Context(), letter.AssetID)
		if job.State != queue.Waiting || a.Status != asset.Processing || err != nil || err2 != nil {
			t.Errorf("after a retry: %+v, %v; %+v, %v", job, err, a, err2)
		}
		return
	}
	t.Errorf("no dead letter of a failed asset among %d", len(letters))
}

// hashInstallation is a hash of all that the data directory holds.
func (m *migration) hashInstallation(t *testing.T) string {
	t.Helper()
	assets, images, jobs, _, end := m.installation(t)
	defer end()
	hash := sha256.New()
	for after := ""; ; {
		page, err := assets.All(t.Context(), after, 500)
		if err != nil {
			t.Fatal(err)
		}
		for _, a := range page {
			log, err := assets.Timeline(t.Context(), asset.TimelineQuery{AssetID: a.ID})
			if err != nil {
				t.Fatal(err)
			}
			fmt.Fprintln(hash, hashRecord(a, log))
			after = a.ID
		}
		if len(page) < 500 {
			break
		}
	}
	for _, key := range slices.Sorted(maps.Keys(m.pictures)) {
		file, _, err := images.Open(t.Context(), key)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(hash, file); err != nil {
			t.Fatal(err)
		}
		file.Close()
	}
	fmt.Fprintf(hash, "%+v", allJobs(t, jobs))
	return hex.EncodeToString(hash.Sum(nil))
}
