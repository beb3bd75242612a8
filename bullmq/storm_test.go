package bullmq

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/redis/rueidis"

	"loupe/internal/testenv"
)

// storm is something that is done to a Redis while jobs are added and run.
type storm struct {
	name   string
	start  func(t *testing.T) site
	worse  worse
	result result
}

// worse is what a storm does beyond cutting connections.
type worse int

const (
	strict     worse = iota
	locksLapse       // jobs lose their locks
	writesLost       // a server takes over that has not got all that was acknowledged
)

// site is a Redis of a storm's own.
type site struct {
	client rueidis.ClientOption
	prefix string // "" for the usual one
	harms  int
	every  time.Duration // between two harms
	harm   func(t *testing.T, q *Queue)
}

// result is a line of the table.
type result struct {
	harms     int
	jobs      int
	repeated  int // calls of Add that failed and were made again
	attempts  int // that the jobs should need
	once      int // attempts made once
	again     int // made beyond that
	never     int
	forgotten int // acknowledged jobs that were not there after a failover, and were added again
	lost      int // jobs that did not complete
	untold    int // completions that QueueEvents has not told of
}

// TestStorms adds and runs jobs of all kinds while something is done to Redis. Each job completes, no attempt is made
// twice but by the rule for stalled jobs, and each completion is told of. What a replica that takes over has not heard of
// is counted: that is Redis' own loss, and the producer that looks after its jobs adds them again.
func TestStorms(t *testing.T) {
	t.Parallel()
	storms := []*storm{
		{name: "connections killed", start: killedConnections},
		{name: "scripts flushed", start: flushedScripts},
		{name: "killed, restarted", start: restarted},
		{name: "asleep for 1 s", start: asleep},
		{name: "asleep longer than locks live", start: asleep, worse: locksLapse},
		{name: "slot of a cluster moved", start: movedSlot},
		{name: "replica takes over in a cluster", start: clusterFailover, worse: writesLost},
		{name: "replicas take over by Sentinel", start: sentinelFailover, worse: writesLost},
	}
	t.Run("all", func(t *testing.T) {
		for _, s := range storms {
			t.Run(s.name, func(t *testing.T) {
				t.Parallel()
				s.blow(t)
			})
		}
	})
	var text strings.Builder
	table := tabwriter.NewWriter(&text, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(table, "Redis\ttimes\tjobs\tadds repeated\tattempts\tonce\tagain\tnever\tforgotten, added anew\tlost\tnot told of\t")
	for _, s := range storms {
		r := s.result
		fmt.Fprintf(table, "%s\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t\n",
			s.name, r.harms, r.jobs, r.repeated, r.attempts, r.once, r.again, r.never, r.forgotten, r.lost, r.untold)
	}
	table.Flush()
	t.Log("\n" + text.String())
}

const (
	stormProducers = 4
	stormWorkers   = 2
	stormPace      = 4 * time.Millisecond // of each producer
	stormJobs      = 400                  // at least
)

// blow does it.
func (s *storm) blow(t *testing.T) {
	testenv.Need(t, testenv.Redis)
	site := s.start(t)
	site.client.DisableCache = true
	queue := func() *Queue {
		client, err := rueidis.NewClient(site.client)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(client.Close)
		q, err := NewQueue(client, "mail", QueueConfig{Prefix: site.prefix})
		if err != nil {
			t.Fatal(err)
		}
		return q
	}
	// With locks that live for long, and without the rule for stalled jobs, whatever is not right stays so.
	cfg := WorkerConfig{Concurrency: 10, FetchAhead: 20, DrainDelay: time.Minute, StalledEvery: time.Hour}
	if s.worse != strict {
		cfg.Lock, cfg.StalledEvery, cfg.MaxStalls = 500*time.Millisecond, 100*time.Millisecond, 100
	}
	told := record(t, queue(), EventsConfig{})
	var runs census
	var workers []*crew
	for i := range stormWorkers {
		pause := time.Duration(i) * 5 * time.Millisecond // who has none fetches ahead
		workers = append(workers, work(t, queue(), cfg, func(_ context.Context, job *Job) (any, error) { return runs.handle(job, pause) }))
	}
	q := queue()
	load := s.produce(t, q)
	for range site.harms {
		<-time.After(site.every)
		site.harm(t, q)
	}
	eventually(t, "some jobs", func() bool { return runs.jobs() >= stormJobs })
	added := load()
	s.result.harms, s.result.jobs = site.harms, len(added)
	eventually(t, "the ends", func() bool {
		s.result.forgotten += s.addAgain(t, q, added)
		return soon(func() bool {
			n, err := q.client.Do(t.Context(), q.client.B().Zcard().Key(q.keys.of(keyCompleted)).Build()).AsInt64()
			return err == nil && n == int64(len(added))
		})
	})
	eventually(t, "rest", func() bool { n, err := do(t, q, "LLEN", "P:active").AsInt64(); return n == 0 && err == nil })
	wantAtRest(t, q)
	id := add(t, q, JobOptions{}) // and who sleeps wakes
	eventually(t, "the last", func() bool { return workers[0].ends.has(id+" completed") || workers[1].ends.has(id+" completed") })
	for _, w := range workers {
		w.stop() // before the server does
	}
	told.until(t, "the last", func(e Event) bool { return e.Name == EventCompleted && e.JobID == id })
	told.stop(t)
	s.judge(t, q, added, &runs, told)
}

// addAgain adds the jobs that are not there, as a producer does that looks after its own, and returns how many those were.
func (s *storm) addAgain(t *testing.T, q *Queue, ids []string) (forgotten int) {
	t.Helper()
	for _, id := range ids {
		if job, err := q.Add(t.Context(), "paint", nil, stormOptions(id)); err == nil && !job.Existing {
			forgotten++
		}
	}
	return forgotten
}

// soon tells whether something is so within two seconds.
func soon(so func() bool) bool {
	poll := time.NewTicker(10 * time.Millisecond)
	defer poll.Stop()
	for deadline := time.Now().Add(2 * time.Second); !so(); <-poll.C {
		if time.Now().After(deadline) {
			return false
		}
	}
	return true
}

// judge counts what became of the jobs, and fails the test if that is not what it should be.
func (s *storm) judge(t *testing.T, q *Queue, added []string, runs *census, told *tape) {
	t.Helper()
	completed := map[string]int{}
	stalled := 0
	for _, e := range told.events {
		switch e.Name {
		case EventCompleted:
			completed[e.JobID]++
		case EventStalled:
			stalled++
		}
	}
	r := &s.result
	for _, id := range added {
		if state, err := q.State(t.Context(), id); err != nil || state != StateCompleted {
			r.lost++
		}
		if completed[id] == 0 {
			r.untold++
		}
		attempts := max(1, stormOptions(id).Attempts)
		r.attempts += attempts
		for attempt := 1; attempt <= attempts; attempt++ {
			switch n := runs.of(id, attempt); n {
			case 0:
				r.never++
			case 1:
				r.once++
			default:
				r.again += n - 1
			}
		}
	}
	if r.lost > 0 || r.never > 0 {
		t.Errorf("%d jobs lost, %d attempts never made", r.lost, r.never)
	}
	if s.worse == writesLost {
		return
	}
	if r.again > stalled {
		t.Errorf("%d attempts made again, but the rule for stalled jobs gave %d back", r.again, stalled)
	}
	if r.forgotten > 0 || r.untold > 0 {
		t.Errorf("%d jobs forgotten, %d completions not told of", r.forgotten, r.untold)
	}
}

// stormOptions are those of a job: some are delayed, some wait behind others, some fail at first.
func stormOptions(id string) JobOptions {
	opts := JobOptions{ID: id}
	_, number, _ := strings.Cut(id, "-")
	n, _ := strconv.Atoi(number)
	switch n % 4 {
	case 1:
		opts.Delay = time.Duration(n%100) * time.Millisecond
	case 2:
		opts.Priority = 1 + n%10
	case 3:
		opts.Attempts, opts.Backoff = 2, Fixed(20*time.Millisecond)
	}
	return opts
}

// produce adds jobs until it is told to stop; then it returns their ids. An addition that fails, and may have been made or
// not, is made again under the same id.
func (s *storm) produce(t *testing.T, q *Queue) (stop func() []string) {
	var group sync.WaitGroup
	var mu sync.Mutex
	var added []string
	ctx, cancel := context.WithCancel(t.Context())
	for p := range stormProducers {
		group.Go(func() {
			tick := time.NewTicker(stormPace)
			defer tick.Stop()
			for n := 0; ctx.Err() == nil; n++ {
				id := fmt.Sprintf("p%d-%d", p, n)
				repeated := 0
				for {
					_, err := q.Add(t.Context(), "paint", nil, stormOptions(id))
					<-tick.C
					if err == nil {
						break
					}
					if t.Context().Err() != nil {
						return
					}
					repeated++
				}
				mu.Lock()
				added = append(added, id)
				s.result.repeated += repeated
				mu.Unlock()
			}
		})
	}
	t.Cleanup(func() { cancel(); group.Wait() })
	return func() []string {
		cancel()
		group.Wait()
		return added
	}
}

// census counts how often each attempt of each job was made.
type census struct {
	mu       sync.Mutex
	attempts map[string]int
	ids      map[string]bool
}

func (c *census) handle(job *Job, pause time.Duration) (any, error) {
	<-time.After(pause)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ids == nil {
		c.attempts, c.ids = make(map[string]int), make(map[string]bool)
	}
	c.ids[job.ID] = true
	c.attempts[fmt.Sprint(job.ID, " ", job.Attempt())]++
	if job.Attempt() < job.Options.Attempts {
		return nil, errors.New("not yet")
	}
	return nil, nil
}

func (c *census) of(id string, attempt int) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.attempts[fmt.Sprint(id, " ", attempt)]
}

func (c *census) jobs() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.ids)
}

// plain is a client of one server.
func plain(addr string) rueidis.ClientOption {
	return rueidis.ClientOption{InitAddress: []string{addr}}
}

func killedConnections(t *testing.T) site {
	return site{
		client: plain(startOwnRedis(t, "--appendfsync", "no").addr()), harms: 20, every: 50 * time.Millisecond,
		harm: func(t *testing.T, q *Queue) { do(t, q, "CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes") },
	}
}

func flushedScripts(t *testing.T) site {
	return site{
		client: plain(startOwnRedis(t, "--appendfsync", "no").addr()), harms: 20, every: 50 * time.Millisecond,
		harm: func(t *testing.T, q *Queue) { do(t, q, "SCRIPT", "FLUSH") },
	}
}

func restarted(t *testing.T) site {
	r := startOwnRedis(t)
	return site{
		client: plain(r.addr()), harms: 3, every: 300 * time.Millisecond,
		harm: func(t *testing.T, _ *Queue) {
			r.process.Kill()
			r.start(t)
		},
	}
}

// asleep is a server that is away for longer than its clients have patience, and then does what it was told before.
func asleep(t *testing.T) site {
	client := plain(startOwnRedis(t, "--enable-debug-command", "yes").addr())
	patient := connect(t, client.InitAddress[0])
	client.ConnWriteTimeout = 300 * time.Millisecond
	return site{
		client: client, harms: 2, every: 300 * time.Millisecond,
		harm: func(t *testing.T, _ *Queue) {
			if err := patient.Do(t.Context(), patient.B().Arbitrary("DEBUG", "SLEEP", "1").Build()).Error(); err != nil {
				t.Error(err)
			}
		},
	}
}

// movedSlot is a cluster that moves the slot of the queue around.
func movedSlot(t *testing.T) site {
	c := startClusterOfThree(t)
	return site{
		client: plain(c.nodes[0].Address), prefix: clusterPrefix, harms: 2 * len(c.nodes), every: 200 * time.Millisecond,
		harm: func(t *testing.T, _ *Queue) { c.moveSlot(t, 50, 10*time.Millisecond) },
	}
}

// clusterFailover is a cluster in which the node with the queue goes, and its replica takes over.
func clusterFailover(t *testing.T) site {
	c := startClusterOfThree(t)
	replica := c.addReplica(t)
	return site{
		client: plain(c.nodes[(c.owner+1)%len(c.nodes)].Address), prefix: clusterPrefix, harms: 1, every: 500 * time.Millisecond,
		harm: func(t *testing.T, _ *Queue) {
			c.nodes[c.owner].Kill()
			replica.process.Line(t, "Failover election won")
		},
	}
}

// sentinelFailover is a master with two replicas. One takes over because the master is gone, then the other one on demand;
// for some seconds the one before goes on as if it were the master still.
func sentinelFailover(t *testing.T) site {
	start := func(flags ...string) *ownRedis {
		return startOwnRedis(t, append(flags, "--repl-diskless-sync-delay", "0", "--appendfsync", "no")...)
	}
	first := start()
	for range 2 {
		start("--replicaof", "127.0.0.1", first.port)
	}
	address, _ := testenv.StartSentinel(t, first.port, 2)
	alone, err := rueidis.NewClient(rueidis.ClientOption{InitAddress: []string{address}, ForceSingleClient: true, DisableCache: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(alone.Close)
	ask := func(t *testing.T, command ...string) rueidis.RedisResult {
		return alone.Do(t.Context(), alone.B().Arbitrary("SENTINEL").Args(command...).Build())
	}
	master := func(t *testing.T) string {
		at, err := ask(t, "GET-MASTER-ADDR-BY-NAME", "main").AsStrSlice()
		if err != nil {
			t.Fatal(err)
		}
		return net.JoinHostPort(at[0], at[1])
	}
	harms := 0
	return site{
		client: rueidis.ClientOption{
			InitAddress: []string{address}, Sentinel: rueidis.SentinelOption{MasterSet: "main", TopologyRefreshInterval: time.Second},
		},
		harms: 2, every: 500 * time.Millisecond,
		harm: func(t *testing.T, q *Queue) {
			harms++
			was := master(t)
			if harms == 1 {
				first.process.Kill()
				eventually(t, "a replica to take over", func() bool { return master(t) != was })
				// On a slow machine it would soon be taken for dead as well. What more happens is to be asked for.
				if err := ask(t, "SET", "main", "down-after-milliseconds", "60000").Error(); err != nil {
					t.Error(err)
				}
				return
			}
			eventually(t, "a replica to follow the new master", func() bool {
				n, err := q.client.Do(t.Context(), q.client.B().Wait().Numreplicas(1).Timeout(1000).Build()).AsInt64()
				return n == 1 && err == nil
			})
			eventually(t, "the failover to begin", func() bool {
				was = master(t)
				return ask(t, "FAILOVER", "main").Error() == nil
			})
			eventually(t, "the client to follow", func() bool { // or what is on the old master would count
				is := master(t)
				return is != was && masterOf(q.client) == is
			})
		},
	}
}
