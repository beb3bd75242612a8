package interop

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"

	"loupe/internal/asset"
	"loupe/internal/asset/mongostore/mongotest"
	"loupe/internal/testenv"
)

// neighbourhood is Loupe and a Node service that share a queue, a collection and rooms, and the app of a user of both.
type neighbourhood struct {
	loupe server
	ai    *fastAI
	node  neighbour
	owner string
	token string
	app   app

	forgotten string // an asset of which a worker knows that it is done, and nobody else
}

// neighbour is the Node service of fleet/neighbour.mjs.
type neighbour struct {
	*testenv.Process
	last *int
}

// do has the service do something. What it answers is read into value, unless that is nil.
func (n neighbour) do(t *testing.T, action string, arguments obj, value any) {
	t.Helper()
	*n.last++
	arguments["id"], arguments["do"] = *n.last, action
	line, err := json.Marshal(arguments)
	if err != nil {
		t.Fatal(err)
	}
	n.Say(t, string(line))
	var answer struct {
		Value json.RawMessage
		Error string
	}
	if err := json.Unmarshal([]byte(n.Line(t, fmt.Sprintf(`{"done":%d,`, *n.last))), &answer); err != nil || answer.Error != "" {
		t.Fatalf("%s: %v %s", action, err, answer.Error)
	}
	if value == nil {
		return
	}
	if err := json.Unmarshal(answer.Value, value); err != nil {
		t.Fatalf("%s: %v in %s", action, err, answer.Value)
	}
}

// TestNeighbours puts Loupe on a Redis and a MongoDB where Node services of the research's kind have been before it.
func TestNeighbours(t *testing.T) {
	t.Parallel()
	testenv.Need(t, testenv.Redis, testenv.Node)
	mongo := mongotest.Start(t)
	for _, library := range []string{"bullmq-5.81", "bullmq-6.7"} {
		t.Run(library, func(t *testing.T) {
			t.Parallel()
			n := startNeighbourhood(t, library, mongotest.Database(t, mongo))
			for _, test := range []struct {
				what string
				run  func(*testing.T)
			}{
				{"a worker that forgets", n.testForgets},
				{"a producer's jobs for our asset", n.testJobsForOurs},
				{"a producer's jobs for its own asset", n.testJobsForTheirs},
				{"jobs that are none", n.testMalformed},
				{"a dead letter on Bull Board", n.testBoard},
				{"a dead letter of theirs", n.testTheirFailure},
				{"a worker beside us", n.testWorker},
				{"a worker that forgot", n.testForgotten},
			} {
				t.Run(test.what, test.run)
			}
		})
	}
}

func startNeighbourhood(t *testing.T, library, mongo string) *neighbourhood {
	t.Helper()
	n := &neighbourhood{ai: startFastAI(t), owner: asset.NewID()}
	redis := testenv.StartRedis(t)
	n.loupe = serve(t, t.TempDir(), "LOUPE_HOST=127.0.0.1", "LOUPE_RECONCILE_EVERY=1s", "REDIS_URL="+redis, "MONGODB_URI="+mongo, "AI_SERVICE_URL="+n.ai.URL)
	n.node = neighbour{testenv.StartNode(t, "fleet/neighbour.mjs", library, strings.TrimPrefix(redis, "redis://127.0.0.1:"), mongo), new(int)}
	n.node.Line(t, `{"ready"`)
	n.token = token(t, n.owner, "")
	n.app = open(t, n.loupe, "websocket", n.token, "")
	n.app.connected(t, "websocket")
	return n
}

// upload sends a photo and returns the id of its asset.
func (n *neighbourhood) upload(t *testing.T, category string) string {
	t.Helper()
	random := rand.New(rand.NewPCG(rand.Uint64(), 0))
	id, err := uploadPhoto(t.Context(), http.DefaultClient, n.loupe.url, n.token, category, smallPhoto(random), strconv.FormatUint(random.Uint64(), 36))
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// failed uploads a photo whose analysis fails, by that answer of the AI service, which is well afterwards.
func (n *neighbourhood) failed(t *testing.T, status int) string {
	t.Helper()
	n.ai.refuses.Store("lego", status)
	defer n.ai.refuses.Delete("lego")
	id := n.upload(t, "lego")
	n.told(t, id, "failed")
	return id
}

// told waits for the next asset_processed, which must be of that asset.
func (n *neighbourhood) told(t *testing.T, id, status string) {
	t.Helper()
	if p := n.next(t); p.AssetID != id || p.Status != status {
		t.Fatalf("told %s, want asset %s %s", p.raw, id, status)
	}
}

// next waits for the next asset_processed. That of the forgotten asset may come at any time.
func (n *neighbourhood) next(t *testing.T) processed {
	t.Helper()
	p := n.app.processed(t)
	if p.AssetID == n.forgotten {
		p = n.app.processed(t)
	}
	return p
}

// ends waits until a job has ended.
func (n *neighbourhood) ends(t *testing.T, job string) (end ended) {
	t.Helper()
	eventually(t, "an end of "+job, func() bool {
		n.node.do(t, "job", obj{"job": job}, &end)
		return end.State == "completed" || end.State == "failed"
	})
	return end
}

type ended struct {
	State, FailedReason string
	AttemptsMade        int
}

// taken has a worker of that way take one job, and returns the id of its asset. Our worker may be faster a few times.
func (n *neighbourhood) taken(t *testing.T, way string) string {
	t.Helper()
	var before, now []string
	n.node.do(t, "took", obj{}, &before)
	n.node.do(t, "work", obj{"way": way}, nil)
	for range 1000 {
		id := n.upload(t, "sneaker")
		n.ends(t, asset.JobID(id, 1))
		if n.node.do(t, "took", obj{}, &now); len(now) > len(before) {
			return id
		}
		n.told(t, id, "active")
	}
	t.Fatal("our worker is always faster")
	return ""
}

// view is an asset as its owner sees it, with what has happened to it.
type view struct {
	Status, JobID string
	Run           int
	AIMetadata    struct{ Brand, Model field }
	UpdatedAt     string

	events string // in their order
}

func (n *neighbourhood) view(t *testing.T, id string) (v view) {
	t.Helper()
	n.loupe.get(t, "/api/assets/"+id, n.token, &v)
	var log timeline
	n.loupe.get(t, "/api/assets/"+id+"/events", n.token, &log)
	for _, e := range log.Items {
		v.events += " " + e.Event
		if e.Attempt > 0 {
			v.events += fmt.Sprint(" ", e.Attempt)
		}
	}
	return v
}

// expect wants an asset to be so.
func (n *neighbourhood) expect(t *testing.T, id, status, jobID string, run int, events string) {
	t.Helper()
	v := n.view(t, id)
	if v.Status != status || v.JobID != jobID || v.Run != run || !strings.HasSuffix(v.events, events) {
		t.Errorf("asset %+v, want %s, job %s, run %d, at last %s", v, status, jobID, run, events)
	}
	var seen struct{ Status, ProcessingJobID string }
	if n.node.do(t, "asset", obj{"asset": id}, &seen); seen.Status != status || seen.ProcessingJobID != jobID {
		t.Errorf("Mongoose sees %+v", seen)
	}
}

// A producer has a failed asset of ours analysed again, by a job with an id of the queue's or with one of its own.
func (n *neighbourhood) testJobsForOurs(t *testing.T) {
	id := n.failed(t, http.StatusUnprocessableEntity)
	n.expect(t, id, "failed", id+"-1", 1, " received stored queued started 1 finished 1")
	for _, opts := range []obj{{}, {"jobId": "again " + id}, {"jobId": id + "-2"}} {
		id := n.failed(t, http.StatusUnprocessableEntity)
		var job string
		n.node.do(t, "add", obj{"asset": id, "opts": opts}, &job)
		n.told(t, id, "active")
		n.expect(t, id, "active", job, 2, " finished 1 queued started 1 finished 1")
		n.node.do(t, "note", obj{"asset": id, "job": job}, nil)
		n.expect(t, id, "active", job, 2, " finished 1")
	}
}

// An asset that Mongoose made is analysed, whether its service comes to write the job's id into it before or after.
func (n *neighbourhood) testJobsForTheirs(t *testing.T) {
	create := func() (id string) {
		t.Helper()
		n.node.do(t, "create", obj{"fields": obj{
			"userId": n.owner, "category": "camera", "images": obj{"original": obj{"url": "https://images.example/a.jpg"}}, "tags": []string{"kept"},
		}}, &id)
		return id
	}
	var job string

	id := create()
	n.node.do(t, "add", obj{"asset": id}, &job)
	n.node.do(t, "note", obj{"asset": id, "job": job}, nil) // at some time
	n.told(t, id, "active")
	n.expect(t, id, "active", job, 1, " queued started 1 finished 1")

	id = create()
	n.node.do(t, "pause", obj{}, nil)
	n.node.do(t, "add", obj{"asset": id}, &job)
	n.node.do(t, "note", obj{"asset": id, "job": job}, nil)
	n.node.do(t, "resume", obj{}, nil)
	n.told(t, id, "active")
	n.expect(t, id, "active", job, 1, " queued started 1 finished 1")

	id = create()
	n.node.do(t, "add", obj{"asset": id}, &job)
	n.told(t, id, "active")
	n.node.do(t, "note", obj{"asset": id, "job": job}, nil)
	n.expect(t, id, "active", job, 1, " queued started 1 finished 1")
	var seen struct{ Tags []string }
	if n.node.do(t, "asset", obj{"asset": id}, &seen); !slices.Equal(seen.Tags, []string{"kept"}) {
		t.Errorf("Mongoose sees the tags %q", seen.Tags)
	}
}

// A job that is not the contract's fails for good and says why; one for nobody's asset, or another's, does nothing.
func (n *neighbourhood) testMalformed(t *testing.T) {
	id := n.upload(t, "sneaker")
	n.told(t, id, "active")
	before := n.view(t, id)
	for _, c := range []struct {
		change        obj
		state, reason string
	}{
		{obj{"category": nil}, "failed", "job data lacks category"},
		{obj{"assetId": "", "imageUrl": nil}, "failed", "job data lacks assetId, imageUrl"},
		{obj{"assetId": obj{"$ne": nil}}, "failed", "job data is not the contract's"},
		{obj{"assetId": asset.NewID()}, "completed", ""},
		{obj{"assetId": "no such id"}, "completed", ""},
		{obj{"userId": asset.NewID()}, "completed", ""},
		{obj{"more": "than needed"}, "completed", ""}, // but the asset has a result
	} {
		var job string
		n.node.do(t, "add", obj{"asset": id, "change": c.change, "opts": obj{"attempts": 3}}, &job)
		got := n.ends(t, job)
		if got.State != c.state || !strings.HasPrefix(got.FailedReason, c.reason) || got.AttemptsMade != 1 {
			t.Errorf("with %v the job is %+v, want it %s: %s", c.change, got, c.state, c.reason)
		}
	}
	if after := n.view(t, id); after != before {
		t.Errorf("the asset was %+v and is %+v", before, after)
	}
}

// Bull Board shows our dead letters, and retries them: the asset goes back to processing, and its owner is told.
func (n *neighbourhood) testBoard(t *testing.T) {
	for status, attempts := range map[int]int{http.StatusUnprocessableEntity: 1, http.StatusInternalServerError: 3} {
		id := n.failed(t, status)
		n.retry(t, id, attempts, http.StatusText(status))
		n.expect(t, id, "active", id+"-1", 1, fmt.Sprintf(" finished %d started %d finished %d", attempts, attempts+1, attempts+1))
	}
}

// A job that Node's worker fails, and its asset with it, is a dead letter like any other.
func (n *neighbourhood) testTheirFailure(t *testing.T) {
	id := n.taken(t, "fails")
	n.told(t, id, "failed")
	n.expect(t, id, "failed", id+"-1", 1, "")
	n.retry(t, id, 1, "Node could not")
	n.expect(t, id, "active", id+"-1", 1, " started 2 finished 2")
}

// retry finds the asset's dead letter on Bull Board, where it is the last, and has it retried, which goes well.
func (n *neighbourhood) retry(t *testing.T, id string, attempts int, reason string) {
	t.Helper()
	var board string
	n.node.do(t, "board", obj{}, &board)
	job := asset.JobID(id, 1)
	var listed struct {
		Queues []struct {
			Jobs []struct {
				ID, FailedReason string
				Attempts         int
			}
		}
	}
	eventually(t, "the dead letter", func() bool { // the owner is told first
		getJSON(t, board+"/api/queues?activeQueue=ai-processing&status=failed&page=1&jobsPerPage=20", "", &listed)
		return len(listed.Queues) == 1 && len(listed.Queues[0].Jobs) > 0 && listed.Queues[0].Jobs[0].ID == job
	})
	if letter := listed.Queues[0].Jobs[0]; letter.Attempts != attempts || !strings.Contains(letter.FailedReason, reason) {
		t.Errorf("Bull Board shows %+v, want %d attempts and %q", letter, attempts, reason)
	}
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPut, board+"/api/queues/ai-processing/"+job+"/retry", nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := exchange(http.DefaultClient, request, http.StatusNoContent, nil); err != nil {
		t.Fatal(err)
	}
	n.told(t, id, "active")
}

// A Node worker takes some of the jobs. What it has done is left as it is.
func (n *neighbourhood) testWorker(t *testing.T) {
	n.node.do(t, "work", obj{"way": "research"}, nil)
	const photos = 30
	ids := map[string]bool{}
	for range photos {
		ids[n.upload(t, "sneaker")] = true
	}
	told := map[string]processed{}
	for range photos {
		p := n.next(t)
		if told[p.AssetID] = p; !ids[p.AssetID] || p.Status != "active" {
			t.Errorf("told %s", p.raw)
		}
	}
	var took []string
	n.node.do(t, "took", obj{}, &took)
	took = slices.DeleteFunc(took, func(job string) bool { return !ids[strings.TrimSuffix(job, "-1")] })
	if len(told) != photos || len(took) == 0 || len(took) == photos {
		t.Fatalf("told of %d assets, of which Node has done %d; want %d, and some of them", len(told), len(took), photos)
	}
	t.Logf("of %d jobs Node has done %d", photos, len(took))
	for id := range ids {
		brand, events := "Nike", " queued started 1 finished 1"
		if slices.Contains(took, id+"-1") {
			brand, events = "Node", ""
		}
		v := n.view(t, id)
		if got := told[id].AIMetadata["brand"].Value; got != brand || v.AIMetadata.Brand.Value != brand || strings.Contains(v.events, "finished") != (brand == "Nike") {
			t.Errorf("told of %s, asset %+v, want %s", got, v, brand)
		}
		n.expect(t, id, "active", id+"-1", 1, events)
	}
}

// A Node worker completes a job and leaves the asset as it is. The reconciler has it done again.
func (n *neighbourhood) testForgets(t *testing.T) {
	n.forgotten = n.taken(t, "forgets")
}

func (n *neighbourhood) testForgotten(t *testing.T) {
	id := n.forgotten
	eventually(t, "the forgotten asset to be finished", func() bool { return n.view(t, id).Status == "active" })
	n.expect(t, id, "active", id+"-2", 2, "")
}
