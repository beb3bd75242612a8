package interop

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"image"
	"image/jpeg"
	"io"
	"maps"
	"math/rand/v2"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"text/tabwriter"
	"time"

	"loupe/internal/asset"
	"loupe/internal/asset/mongostore/mongotest"
	"loupe/internal/testenv"
	"loupe/socketio/client"
)

var (
	fleetPhotos = flag.Int("fleet.photos", 30, "photos of each part of TestFleet; 2000 for the full figure")
	fleetUsers  = flag.Int("fleet.users", 4, "users of TestFleet; 50 for the full figure")
)

// fleet is three APIs and three workers on one Redis, one MongoDB server and one directory of images, with a Node server
// on the same Redis, and users with sockets at all of them.
type fleet struct {
	dir     string
	ai      *fastAI
	apis    []*member
	workers []*member
	node    string // URL of the Node server
	clients *testenv.Process
	users   []*fleetUser
	http    *http.Client
	ledger  ledger
}

// member is a process of the fleet. Its port stays when it is replaced.
type member struct {
	server
	name  string
	url   string
	env   []string
	taken atomic.Int64 // uploads
}

type fleetUser struct {
	id, token string
	news      chan string // assets that one of the user's sockets has heard of first
}

const fleetSize = 3 // processes of each role

// TestFleet is a session of many users at many processes, and then the same while each process is replaced by a new one:
// every photo is finished once, every event comes to every socket of its owner and to nobody else, no upload is refused
// twice in a row.
func TestFleet(t *testing.T) {
	t.Parallel()
	f := startFleet(t)
	var report strings.Builder
	for part, during := range []func(*testing.T){func(*testing.T) {}, f.replaceAll} {
		began := time.Now()
		f.work(t, part, during)
		took := time.Since(began)
		f.hearOut(t)
		f.check(t, part, took, &report)
	}
	t.Log("\n" + report.String())
}

// work has all users upload their photos, and more of them until during is over.
func (f *fleet) work(t *testing.T, part int, during func(*testing.T)) {
	t.Helper()
	var over atomic.Bool
	var uploads sync.WaitGroup
	defer uploads.Wait()
	defer over.Store(true)
	each := (*fleetPhotos + len(f.users) - 1) / len(f.users)
	for n, u := range f.users {
		uploads.Go(func() {
			random := rand.New(rand.NewPCG(uint64(part), uint64(n)))
			for photo := 0; (photo < each || !over.Load()) && !t.Failed(); photo++ {
				if !f.session(t, u, part, random) {
					return
				}
			}
		})
	}
	during(t)
}

// startMongo returns the address of a server that is quick enough for so many assets.
func startMongo(t *testing.T, assets int) string {
	t.Helper()
	switch server := os.Getenv(mongotest.ServerVar); {
	case server != "":
		return server
	case assets > 100:
		return mongotest.StartForMany(t) // the other would take hours
	}
	return mongotest.Start(t) // and this one a minute to build
}

func startFleet(t *testing.T) *fleet {
	t.Helper()
	testenv.Need(t, testenv.Redis, testenv.Node)
	f := &fleet{dir: t.TempDir(), ai: startFastAI(t), http: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: *fleetUsers}}}
	t.Cleanup(f.http.CloseIdleConnections)
	redis, mongo := testenv.StartRedis(t), startMongo(t, *fleetPhotos)
	shared := []string{
		"LOUPE_HOST=127.0.0.1", "REDIS_URL=" + redis, "MONGODB_URI=" + mongotest.Database(t, mongo),
		"AI_SERVICE_URL=" + f.ai.URL,
	}
	for i := range fleetSize {
		port := testenv.FreePort(t)
		m := &member{name: fmt.Sprint("api ", i+1), url: "http://127.0.0.1:" + port}
		f.apis = append(f.apis, m)
		m.env = append(slices.Clone(shared), "LOUPE_ROLES=api", "PORT="+port, "LOUPE_PUBLIC_URL="+f.apis[0].url)
		f.workers = append(f.workers, &member{
			name: fmt.Sprint("worker ", i+1), env: append(slices.Clone(shared), "LOUPE_ROLES=worker", "LOUPE_PUBLIC_URL="+f.apis[0].url),
		})
	}
	for _, m := range slices.Concat(f.apis, f.workers) {
		m.server = serve(t, f.dir, m.env...)
	}
	f.node = startNodeServer(t, redis)
	f.clients = testenv.StartNode(t, "fleet/clients.mjs")
	f.ledger.init()
	for n := range *fleetUsers {
		u := &fleetUser{id: asset.NewID(), news: make(chan string, 1000)}
		u.token = token(t, u.id, "")
		f.users = append(f.users, u)
		for _, m := range f.apis {
			f.listen(t, u, m)
			if n%5 == 0 {
				f.listenOfficially(t, u, "official client at "+m.name, m.url)
			}
		}
		f.listenOfficially(t, u, "official client at node", f.node)
	}
	return f
}

// startNodeServer starts a Node server whose rooms are shared over that Redis, and returns its URL.
func startNodeServer(t *testing.T, redis ...string) string {
	t.Helper()
	args := []string{jwtSecret}
	for _, url := range redis {
		args = append(args, strings.TrimPrefix(url, "redis://"))
	}
	var hello struct{ Listening int }
	if err := json.Unmarshal([]byte(testenv.StartNode(t, "fleet/server.mjs", args...).Line(t, `{"listening"`)), &hello); err != nil {
		t.Fatal(err)
	}
	return fmt.Sprint("http://127.0.0.1:", hello.Listening)
}

// listen gives a user a socket at an API, which says whenever it connects since when it has seen nothing.
func (f *fleet) listen(t *testing.T, u *fleetUser, m *member) {
	t.Helper()
	e := ear{user: u, place: m.name}
	f.ledger.add(e)
	var since atomic.Value
	since.Store(time.Now().UTC().Format(time.RFC3339Nano))
	c, err := client.Dial(t.Context(), m.url, client.Config{
		Auth: func() any { return map[string]any{"token": u.token, "since": since.Load()} },
		Handlers: map[string]client.Handler{"asset_processed": func(args []client.Value) {
			since.Store(f.ledger.hear(e, args[0].String()).Timestamp)
		}},
		ReconnectDelay: 20 * time.Millisecond, ReconnectDelayMax: 100 * time.Millisecond,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
}

// listenOfficially does so with the official client.
func (f *fleet) listenOfficially(t *testing.T, u *fleetUser, place, url string) {
	t.Helper()
	e := ear{user: u, place: place}
	f.ledger.add(e)
	line, err := json.Marshal(map[string]string{
		"name": e.name(), "url": url, "token": u.token, "since": time.Now().UTC().Format(time.RFC3339Nano),
	})
	if err != nil {
		t.Fatal(err)
	}
	f.clients.Say(t, string(line))
	f.clients.Line(t, `{"connected":"`+e.name()+`"}`)
}

// session has a user upload a photo through any API, through the next one if that is not to be had, and wait to be told
// of it. It reports whether that went well.
func (f *fleet) session(t *testing.T, u *fleetUser, part int, random *rand.Rand) bool {
	photo, key, first := smallPhoto(random), strconv.FormatUint(random.Uint64(), 36), random.IntN(fleetSize)
	var refused error
	for next := range 2 {
		m := f.apis[(first+next)%fleetSize]
		began := time.Now()
		id, err := uploadPhoto(t.Context(), f.http, m.url, u.token, "sneaker", photo, key)
		if err != nil {
			refused = errors.Join(refused, fmt.Errorf("%s: %w", m.name, err))
			continue
		}
		m.taken.Add(1)
		f.ledger.took(id, upload{by: u, part: part, at: began, refused: next})
		return u.told(t, id)
	}
	t.Errorf("refused twice in a row: %v", refused)
	return false
}

// uploadPhoto sends a photo and returns the id of its asset. The error is that it was refused.
func uploadPhoto(ctx context.Context, c *http.Client, url, token, category string, photo []byte, key string) (id string, err error) {
	var form bytes.Buffer
	parts := multipart.NewWriter(&form)
	parts.WriteField("category", category)
	file, _ := parts.CreateFormFile("image", "photo.jpg")
	file.Write(photo)
	parts.Close()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, url+"/api/assets/analyze-queue", &form)
	if err != nil {
		return "", err
	}
	request.Header.Set("Content-Type", parts.FormDataContentType())
	request.Header.Set("Authorization", "Bearer "+token)
	request.Header.Set("Idempotency-Key", key)
	var answer struct{ Data struct{ AssetID string } }
	err = exchange(c, request, http.StatusAccepted, &answer)
	return answer.Data.AssetID, err
}

// exchange sends a request, wants that status, and reads the answer, if any, into v.
func exchange(c *http.Client, request *http.Request, status int, v any) error {
	answer, err := c.Do(request)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		return err
	}
	if answer.StatusCode != status {
		return fmt.Errorf("%s %s", answer.Status, body)
	}
	if len(body) == 0 {
		return nil
	}
	return json.Unmarshal(body, v)
}

// told waits until the user has heard of the asset at any socket.
func (u *fleetUser) told(t *testing.T, id string) bool {
	timeout := time.NewTimer(time.Minute)
	defer timeout.Stop()
	for {
		select {
		case heard := <-u.news:
			if heard == id {
				return true
			}
		case <-timeout.C:
			t.Errorf("nothing was heard of asset %s", id)
			return false
		}
	}
}

// smallPhoto draws a picture that no other is like.
func smallPhoto(random *rand.Rand) []byte {
	picture := image.NewGray(image.Rect(0, 0, 16, 16))
	for i := range picture.Pix {
		picture.Pix[i] = uint8(random.Uint32())
	}
	var file bytes.Buffer
	jpeg.Encode(&file, picture, nil)
	return file.Bytes()
}

// replaceAll stops one process after the other and starts a new one in its place. It goes on when that has its part in
// the work.
func (f *fleet) replaceAll(t *testing.T) {
	t.Helper()
	for i := range fleetSize {
		for _, m := range []*member{f.apis[i], f.workers[i]} {
			m.Stop(t)
			m.Kill() // it has ended; now the cleanup knows
			m.server = serve(t, f.dir, m.env...)
			taken, known := m.taken.Load(), f.ledger.size()
			eventually(t, m.name+" to work again", func() bool {
				return f.ledger.size() > known+fleetSize && (m.url == "" || m.taken.Load() > taken)
			})
		}
	}
}

// hearOut waits until everything has come that is due.
func (f *fleet) hearOut(t *testing.T) {
	t.Helper()
	eventually(t, "all events at all sockets", func() bool {
		f.readClients(t)
		return f.ledger.missing() == 0
	})
}

// readClients takes note of what the official clients have heard.
func (f *fleet) readClients(t *testing.T) {
	t.Helper()
	all := f.clients.Output()
	end := strings.LastIndexByte(all, '\n') + 1
	for line := range strings.Lines(all[f.ledger.read:end]) {
		var heard struct{ To, Event string }
		if err := json.Unmarshal([]byte(line), &heard); err != nil {
			t.Fatalf("%v in %s", err, line)
		}
		if heard.To != "" {
			f.ledger.hear(f.ledger.named[heard.To], heard.Event)
		}
	}
	f.ledger.read = end
}

// check compares what was done with what should have been, and writes it into the report.
func (f *fleet) check(t *testing.T, part int, took time.Duration, report *strings.Builder) {
	t.Helper()
	l := &f.ledger
	var delays []time.Duration
	refused, due := 0, map[*fleetUser]int{}
	taken := map[string]upload{}
	for id, u := range l.uploads {
		if u.part == part {
			taken[id] = u
			refused += u.refused
			due[u.by]++
			delays = append(delays, l.first[id].Sub(u.at))
		}
	}
	slices.Sort(delays)
	fmt.Fprintf(report, "%s: %d photos by %d users in %.1f s, %.0f a second; told after %d ms (p50), %d ms (p99); refused once %d, twice 0; AI asked %d times\n",
		[]string{"all at work", "rolling upgrade"}[part], len(taken), len(f.users), took.Seconds(), float64(len(taken))/took.Seconds(),
		delays[len(delays)/2].Milliseconds(), delays[len(delays)*99/100].Milliseconds(), refused, f.ai.asked.Swap(0))
	table := tabwriter.NewWriter(report, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(table, "place\tsockets\tevents due\theard\tmissing\trepeated\tof others\tother bytes\t")
	for _, place := range l.places() {
		var sockets, events, heard, repeated, strangers int
		for e, got := range l.heard {
			if e.place != place {
				continue
			}
			sockets++
			events += due[e.user]
			for id, times := range got {
				switch u, here := taken[id]; {
				case here && u.by == e.user:
					heard++
					repeated += times - 1
				case l.uploads[id].by != e.user:
					strangers += times
				}
			}
		}
		fmt.Fprintf(table, "%s\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t\n", place, sockets, events, heard, events-heard, repeated, strangers, l.altered[place])
		if events != heard || strangers > 0 || l.altered[place] > 0 {
			t.Errorf("at %s: %d of %d events, %d of others, %d in other bytes", place, heard, events, strangers, l.altered[place])
		}
	}
	table.Flush()

	// What became of each photo, as its owner sees it at any API.
	finished := map[string]int{}
	for n, u := range f.users {
		for id, at := range f.timelines(t, u, f.apis[n%fleetSize]) {
			if _, here := taken[id]; here {
				finished[at]++
			}
		}
	}
	fmt.Fprintf(report, "assets: %v\n\n", finished)
	want := map[string]int{"active, run 1, finished once": len(taken)}
	if !maps.Equal(finished, want) {
		t.Errorf("assets %v, want %v", finished, want)
	}
}

// timelines says of each asset of a user how it ended.
func (f *fleet) timelines(t *testing.T, u *fleetUser, m *member) map[string]string {
	t.Helper()
	get := func(path string, v any) {
		t.Helper()
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, m.url+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Authorization", "Bearer "+u.token)
		if err := exchange(f.http, request, http.StatusOK, v); err != nil {
			t.Fatalf("GET %s: %v", path, err)
		}
	}
	ends := map[string]string{}
	for cursor := ""; ; {
		var page struct {
			Items []struct {
				ID, Status string
				Run        int
			}
			NextCursor string
		}
		get("/api/assets?limit=100&cursor="+cursor, &page)
		for _, a := range page.Items {
			var log timeline
			get("/api/assets/"+a.ID+"/events", &log)
			times := 0
			for _, e := range log.Items {
				if e.Event == "finished" {
					times++
				}
			}
			ends[a.ID] = fmt.Sprintf("%s, run %d, finished %s", a.Status, a.Run, map[int]string{1: "once"}[times])
		}
		if cursor = page.NextCursor; cursor == "" {
			return ends
		}
	}
}

// ledger is what was uploaded, and what was heard of it.
type ledger struct {
	named map[string]ear // the official clients
	read  int            // of what they have printed

	mu      sync.Mutex
	uploads map[string]upload      // by asset
	heard   map[ear]map[string]int // how often, by asset
	events  map[string]string      // by asset, as it was heard first
	first   map[string]time.Time   // by asset, when that was
	altered map[string]int         // events that were not like the first of their asset, by place
}

type upload struct {
	by      *fleetUser
	part    int
	at      time.Time
	refused int // how often
}

// ear is a socket of a user.
type ear struct {
	user  *fleetUser
	place string
}

func (e ear) name() string { return e.user.id + " " + e.place }

func (l *ledger) init() {
	l.named, l.uploads, l.heard = map[string]ear{}, map[string]upload{}, map[ear]map[string]int{}
	l.events, l.first, l.altered = map[string]string{}, map[string]time.Time{}, map[string]int{}
}

func (l *ledger) add(e ear) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.heard[e] = map[string]int{}
	l.named[e.name()] = e
}

func (l *ledger) took(id string, u upload) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.uploads[id] = u
}

// hear takes note of an asset_processed at a socket.
func (l *ledger) hear(e ear, event string) (p processed) {
	if err := json.Unmarshal([]byte(event), &p); err != nil {
		p.AssetID = event // nobody has uploaded it
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.heard[e][p.AssetID]++
	switch l.events[p.AssetID] {
	case "":
		l.events[p.AssetID], l.first[p.AssetID] = event, time.Now()
		e.user.news <- p.AssetID
	case event:
	default:
		l.altered[e.place]++
	}
	return p
}

// size is how many photos were uploaded.
func (l *ledger) size() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.uploads)
}

// missing is how many events have not come where they should.
func (l *ledger) missing() (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for e, got := range l.heard {
		for id, u := range l.uploads {
			if u.by == e.user && got[id] == 0 {
				n++
			}
		}
	}
	return n
}

func (l *ledger) places() []string {
	places := map[string]bool{}
	for e := range l.heard {
		places[e.place] = true
	}
	return slices.Sorted(maps.Keys(places))
}

// fastAI is an AI service that answers after 5 ms. The model that it sees is the name of the picture's file. It refuses
// categories that it is told to.
type fastAI struct {
	*httptest.Server
	asked   atomic.Int64
	refuses sync.Map // category → status
}

func startFastAI(t *testing.T) *fastAI {
	t.Helper()
	ai := &fastAI{}
	ai.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ai.asked.Add(1)
		var question struct{ ImageURL, Category string }
		if err := json.NewDecoder(r.Body).Decode(&question); err != nil {
			http.Error(w, err.Error(), http.StatusUnprocessableEntity)
			return
		}
		<-time.After(5 * time.Millisecond)
		if status, refused := ai.refuses.Load(question.Category); refused {
			http.Error(w, http.StatusText(status.(int)), status.(int))
			return
		}
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"brand":{"value":"Nike","confidence":0.95},"model":{"value":%q,"confidence":1},"colorway":{"value":"Weiß <ß>","confidence":0.1}}`,
			question.ImageURL[strings.LastIndexByte(question.ImageURL, '/')+1:])
	}))
	t.Cleanup(ai.Close)
	return ai
}
