package interop

import (
	"encoding/json"
	"fmt"
	"maps"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/redis/rueidis"

	"loupe/internal/testenv"
)

// obj is an object of JSON: options as Node spells them.
type obj = map[string]any

// bullmqCheck is one thing that must hold between BullMQ and us. The numbers are those of the list that was made when
// the layout was explored; tests are found by them.
type bullmqCheck struct {
	number int
	what   string
	run    func(c *bullmqCase)
}

// bullmqPackages are the npm packages of the versions that must work beside us.
var bullmqPackages = map[string]string{"5.66.0": "bullmq-5.66", "5.81.5": "bullmq-5.81", "6.7.0": "bullmq-6.7"}

func TestBullMQ(t *testing.T) {
	t.Parallel()
	testenv.Need(t, testenv.Redis, testenv.Node)
	versions := slices.Sorted(maps.Keys(bullmqPackages))
	server := rueidis.ClientOption{InitAddress: []string{strings.TrimPrefix(testenv.StartRedis(t), "redis://")}}
	f := startBullmqFleet(t, server, versions...)
	checks := slices.Concat(
		bullmqAddChecks, bullmqEventChecks, bullmqWorkerChecks, bullmqFleetChecks, bullmqCrashChecks, bullmqPauseChecks,
		bullmqManageChecks, bullmqDedupChecks, bullmqSchedulerChecks, bullmqFlowChecks, bullmqBoardChecks, bullmqHostileChecks,
		bullmqOutageChecks, bullmqFuzzChecks, bullmqKeyChecks,
	)
	slices.SortFunc(checks, func(a, b bullmqCheck) int { return a.number - b.number })
	for _, version := range versions {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			for _, check := range checks {
				t.Run(fmt.Sprintf("%02d %s", check.number, check.what), func(t *testing.T) {
					t.Parallel()
					check.run(f.newCase(t, version))
				})
			}
		})
	}
}

// bullmqFleet is a Redis with Node processes and ours.
type bullmqFleet struct {
	server rueidis.ClientOption
	redis  rueidis.Client
	nodes  map[string]bullmqPeer // by version
	us     bullmqPeer
	victim func() string // the path of the program that is killed
}

func startBullmqFleet(t *testing.T, server rueidis.ClientOption, versions ...string) *bullmqFleet {
	t.Helper()
	f := &bullmqFleet{server: server, redis: redisClient(t, server), nodes: map[string]bullmqPeer{}}
	f.us = &bullmqGo{client: redisClient(t, server), places: map[bullmqPlace]*goPlace{}}
	for _, v := range versions {
		f.nodes[v] = startBullmqNode(t, bullmqPackages[v], server)
	}
	f.victim = sync.OnceValue(func() string {
		binary := filepath.Join(t.TempDir(), "victim")
		build := exec.Command("go", "build", "-o", binary, "./interop/bullmq")
		build.Dir = testenv.Root()
		if out, err := build.CombinedOutput(); err != nil {
			t.Errorf("%v\n%s", err, out)
		}
		return binary
	})
	return f
}

func redisClient(t *testing.T, server rueidis.ClientOption) rueidis.Client {
	t.Helper()
	server.DisableCache = true
	client, err := rueidis.NewClient(server)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return client
}

// bullmqPlace is a queue.
type bullmqPlace struct {
	Prefix string `json:"prefix"`
	Queue  string `json:"queue"`
}

func (p bullmqPlace) key(name string) string { return p.Prefix + ":" + p.Queue + ":" + name }

// bullmqPeer is an implementation of BullMQ that does what it is told: the methods of Queue by Node's names, those of Job
// with "job." before them and the id first, and what peer.mjs has beyond these. Options and results are in Node's form.
type bullmqPeer interface {
	fmt.Stringer
	try(t testing.TB, at bullmqPlace, op string, args ...any) (json.RawMessage, error)
}

// bullmqCase is a check at work on a queue of its own, and with its own eyes on Redis.
type bullmqCase struct {
	*testing.T
	bullmqPlace
	fleet   *bullmqFleet
	version string
	node    bullmqPeer // of that version
	us      bullmqPeer
	began   int64
	alikes  int               // calls of alike
	mask    string            // name that dumps do not show, that of the queue if ""
	lines   map[string]string // of dumps, by what they are made of

	mu   sync.Mutex
	used map[bullmqPeer]bool
}

func (f *bullmqFleet) newCase(t *testing.T, version string) *bullmqCase {
	c := &bullmqCase{
		T: t, fleet: f, version: version, node: f.nodes[version], us: f.us, began: now(),
		bullmqPlace: bullmqPlace{"bull", strings.ReplaceAll(testenv.Prefix(t), ":", "-")},
	}
	c.closed()
	return c
}

// closed has all peers close what they have opened for the queue when the test ends.
func (c *bullmqCase) closed() {
	c.used, c.lines = map[bullmqPeer]bool{}, map[string]string{}
	c.Cleanup(func() {
		for peer := range c.used {
			c.do(peer, "close")
		}
	})
}

// in returns the same case in a test and on a queue of its own.
func (c *bullmqCase) in(t *testing.T) *bullmqCase { return c.fleet.newCase(t, c.version) }

// on returns the same case on a further queue of the same test.
func (c *bullmqCase) on(queue string) *bullmqCase {
	d := &bullmqCase{T: c.T, bullmqPlace: c.bullmqPlace, fleet: c.fleet, version: c.version, node: c.node, us: c.us, began: c.began, mask: c.mask}
	d.Queue += "-" + queue
	d.closed()
	return d
}

// both runs a check in both directions, each on its own queue.
func (c *bullmqCase) both(run func(c *bullmqCase, a, b bullmqPeer)) {
	c.Run("node to us", func(t *testing.T) { t.Parallel(); run(c.in(t), c.node, c.us) })
	c.Run("us to node", func(t *testing.T) { t.Parallel(); run(c.in(t), c.us, c.node) })
}

func (c *bullmqCase) try(p bullmqPeer, op string, args ...any) (json.RawMessage, error) {
	c.mu.Lock()
	c.used[p] = op != "close"
	c.mu.Unlock()
	return p.try(c.T, c.bullmqPlace, op, args...)
}

func (c *bullmqCase) do(p bullmqPeer, op string, args ...any) json.RawMessage {
	c.Helper()
	value, err := c.try(p, op, args...)
	if err != nil {
		c.Fatalf("%s by %s: %v", op, p, err)
	}
	return value
}

// ask is do with a result that is decoded.
func ask[T any](c *bullmqCase, p bullmqPeer, op string, args ...any) (value T) {
	c.Helper()
	raw := c.do(p, op, args...)
	if err := json.Unmarshal(raw, &value); err != nil {
		c.Fatalf("%s by %s: %v in %s", op, p, err, raw)
	}
	return value
}

// bullmqJob is a job as it is read by either side.
type bullmqJob struct {
	ID, Name                                      string
	Data, Opts, ReturnValue, Progress             json.RawMessage
	Timestamp, ProcessedOn, FinishedOn            int64
	Delay, Priority                               int64
	AttemptsMade, AttemptsStarted, StalledCounter int
	FailedReason, DeferredFailure, ProcessedBy    string
	DeduplicationID, RepeatJobKey, ParentKey      string
	Stacktrace                                    []string
}

// add adds a job and returns its id.
func (c *bullmqCase) add(p bullmqPeer, name string, data any, opts obj) string {
	c.Helper()
	return ask[bullmqJob](c, p, "add", name, data, opts).ID
}

// bullmqRun is one call of a handler; its times are in milliseconds.
type bullmqRun struct {
	Job, Name, Data string
	From, To        int64
}

// bullmqWorker is a worker of a peer.
type bullmqWorker struct {
	c      *bullmqCase
	peer   bullmqPeer
	number int
}

// script is what a worker does with jobs, by their names or "*": the first step at a job's first start, and so on; the
// last step stands for all further starts.
type script map[string][]obj

// work starts a worker with a script and options.
func (c *bullmqCase) work(p bullmqPeer, s script, opts obj) bullmqWorker {
	c.Helper()
	all := obj{"script": obj{}}
	if s != nil {
		all["script"] = s
	}
	maps.Copy(all, opts)
	return bullmqWorker{c, p, ask[int](c, p, "work", all)}
}

func (w bullmqWorker) runs() []bullmqRun { return ask[[]bullmqRun](w.c, w.peer, "runs", w.number) }

func (w bullmqWorker) release() { w.c.do(w.peer, "release", w.number) }

// close ends the worker when its jobs have ended.
func (w bullmqWorker) close() { w.c.do(w.peer, "closeWorker", w.number) }

// jobs returns the ids of the jobs that were run, in that order.
func (w bullmqWorker) jobs() (ids []string) {
	for _, run := range w.runs() {
		ids = append(ids, run.Job)
	}
	return ids
}
