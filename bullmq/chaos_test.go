package bullmq

import (
	"bytes"
	"context"
	"errors"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/rueidis"

	"loupe/internal/testenv"
)

// steal takes a job as a worker does that dies at once: its lock lives for 50 ms.
func steal(t *testing.T, q *Queue) string {
	t.Helper()
	args := []string{millisNow(), "", "", "50", "dead:", "0", "1", "0", "dead", "", "", "0", "0"}
	parts, err := finishScript.run(t.Context(), q.client, q.keys, args...).ToArray()
	if err != nil || len(parts) != 4 {
		t.Fatalf("%d parts: %v", len(parts), err)
	}
	job, _ := parts[3].AsStrSlice()
	id := job[len(job)-2]
	eventually(t, "the lock to end", func() bool { n, _ := do(t, q, "EXISTS", "P:"+id+":lock").AsInt64(); return n == 0 })
	return id
}

// A job whose worker is gone is run again, once; after the second time it fails.
func TestStalled(t *testing.T) {
	t.Parallel()
	q := newQueue(t, QueueConfig{})
	id := add(t, q, JobOptions{Attempts: 3})
	if steal(t, q) != id {
		t.Fatal("another job")
	}
	var stalled atomic.Int32
	cfg := WorkerConfig{StalledEvery: 100 * time.Millisecond, Hooks: Hooks{Stalled: func(string) { stalled.Add(1) }}}
	release := make(chan struct{})
	w := work(t, q, cfg, func(context.Context, *Job) (any, error) { <-release; return nil, errors.New("boom") })
	eventually(t, "the job to run again", func() bool { return len(w.Running()) == 1 })
	wantFields(t, q, id, map[string]string{"stc": "1", "ats": "2", "defa": "-"})

	// The worker is lost too, as far as Redis knows.
	do(t, q, "DEL", "P:"+id+":lock")
	eventually(t, "the second recovery", func() bool { return stalled.Load() == 2 })
	close(release)
	eventually(t, "the end", func() bool { return w.ends.has(id + " failed") })
	wantStory(t, q, id, "added", "waiting", "active prev=waiting",
		"waiting prev=active", "stalled", "active prev=waiting",
		"waiting prev=active", "stalled", "active prev=waiting",
		"failed prev=active failedReason=job stalled more than allowable limit")
	wantFields(t, q, id, map[string]string{"stc": "2", "ats": "3", "atm": "1", "defa": "-"})
	wantAtRest(t, q)
}

// What cannot be a job does not keep the others from being recovered.
func TestStalledWithDamage(t *testing.T) {
	t.Parallel()
	q := newQueue(t, QueueConfig{})
	id := add(t, q, JobOptions{})
	steal(t, q)
	do(t, q, "SET", "P:text", "x")
	do(t, q, "LPUSH", "P:active", "ghost", "text", "odd")
	store(t, q, "odd", "stc", "many")
	do(t, q, "SADD", "P:stalled", "ghost", "text", "odd", id)
	w := work(t, q, WorkerConfig{StalledEvery: 100 * time.Millisecond}, nothing)
	eventually(t, "the ends", func() bool { return w.ends.has(id+" completed", "odd completed") })
	wantFields(t, q, "odd", map[string]string{"stc": "1"})
	wantAtRest(t, q)
}

// As long as a worker is alive its jobs are its own, however short the lock.
func TestLockIsRenewed(t *testing.T) {
	t.Parallel()
	q := newQueue(t, QueueConfig{})
	id := add(t, q, JobOptions{})
	cfg := WorkerConfig{Lock: 300 * time.Millisecond, StalledEvery: 100 * time.Millisecond}
	handler := func(ctx context.Context, job *Job) (any, error) {
		select {
		case <-ctx.Done():
		case <-time.After(time.Second):
		}
		return nil, context.Cause(ctx)
	}
	a, b := work(t, q, cfg, handler), work(t, q, cfg, handler)
	eventually(t, "the end", func() bool { return a.ends.has(id+" completed") || b.ends.has(id+" completed") })
	wantFields(t, q, id, map[string]string{"ats": "1", "stc": "-"})
}

// A lock that is another's ends the context, and nothing of what the handler returns is stored.
func TestLockLost(t *testing.T) {
	t.Parallel()
	q := newQueue(t, QueueConfig{})
	id := add(t, q, JobOptions{})
	started := make(chan struct{})
	w := work(t, q, WorkerConfig{Lock: 200 * time.Millisecond}, func(ctx context.Context, job *Job) (any, error) {
		close(started)
		<-ctx.Done()
		if cause := context.Cause(ctx); cause != ErrLockLost {
			t.Errorf("cause %v", cause)
		}
		return nil, ctx.Err()
	})
	<-started
	do(t, q, "SET", "P:"+id+":lock", "somebody")
	eventually(t, "the loss", func() bool { return w.ends.has(id + " lost") })
	wantFields(t, q, id, map[string]string{"atm": "-", "failedReason": "-"})
	if ids, _ := do(t, q, "LRANGE", "P:active", "0", "-1").AsStrSlice(); !slices.Equal(ids, []string{id}) {
		t.Errorf("active %q", ids)
	}
}

// An outcome that cannot be stored does not touch the others of its call.
func TestOneBadOutcome(t *testing.T) {
	t.Parallel()
	q := newQueue(t, QueueConfig{})
	ids := make([]string, 6)
	for i := range ids {
		ids[i] = add(t, q, JobOptions{})
	}
	var started sync.WaitGroup
	started.Add(len(ids))
	release := make(chan struct{})
	w := work(t, q, WorkerConfig{Concurrency: len(ids)}, func(context.Context, *Job) (any, error) {
		started.Done()
		<-release
		return nil, nil
	})
	started.Wait()
	do(t, q, "SET", "P:"+ids[0]+":lock", "somebody")
	do(t, q, "DEL", "P:"+ids[1]+":lock")
	do(t, q, "DEL", "P:"+ids[2])
	do(t, q, "LREM", "P:active", "0", ids[3])
	do(t, q, "DEL", "P:"+ids[4])
	do(t, q, "SET", "P:"+ids[4], "text")
	close(release)
	eventually(t, "the ends", func() bool { return w.ends.count() == len(ids) })
	for i, want := range []Outcome{Lost, Lost, Lost, Lost, Lost, Completed} {
		if !w.ends.has(ids[i] + " " + string(want)) {
			t.Errorf("ends %q", w.ends.all)
		}
	}
	if done, _ := do(t, q, "ZRANGE", "P:completed", "0", "-1").AsStrSlice(); !slices.Equal(done, ids[5:]) {
		t.Errorf("completed %q", done)
	}
	wantFields(t, q, ids[0], map[string]string{"atm": "-"})
	wantFields(t, q, ids[1], map[string]string{"atm": "-"})
	if len(hash(t, q, ids[2])) != 0 {
		t.Error("a job that was removed is there again")
	}
}

func addMany(t testing.TB, q *Queue, n int) {
	t.Helper()
	jobs := make([]NewJob, n)
	for i := range jobs {
		jobs[i].Name = "paint"
	}
	if _, err := q.AddBulk(t.Context(), jobs); err != nil {
		t.Fatal(err)
	}
}

// own returns a queue on a server of the test's own, with clients that go through the address.
func own(t *testing.T, addr string) *Queue {
	t.Helper()
	q, err := NewQueue(connect(t, addr), "mail", QueueConfig{})
	if err != nil {
		t.Fatal(err)
	}
	return q
}

// startCluster starts a cluster of one node and returns its address.
func startCluster(t *testing.T) string {
	t.Helper()
	addr := startOwnRedis(t, "--cluster-enabled", "yes", "--cluster-port", testenv.FreePort(t)).addr()
	alone, err := rueidis.NewClient(rueidis.ClientOption{InitAddress: []string{addr}, ForceSingleClient: true, DisableCache: true})
	if err != nil {
		t.Fatal(err)
	}
	defer alone.Close()
	if err := alone.Do(t.Context(), alone.B().ClusterAddslotsrange().StartSlotEndSlot().StartSlotEndSlot(0, 16383).Build()).Error(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the cluster", func() bool {
		state, _ := alone.Do(t.Context(), alone.B().ClusterInfo().Build()).ToString()
		return strings.Contains(state, "cluster_state:ok")
	})
	return addr
}

// On a cluster a worker does all that it does elsewhere.
func TestWorkerOnACluster(t *testing.T) {
	t.Parallel()
	addr := startCluster(t)
	queue := func() *Queue {
		q, err := NewQueue(connect(t, addr), "mail", QueueConfig{Prefix: "{bull}"})
		if err != nil {
			t.Fatal(err)
		}
		return q
	}
	q := queue()
	if mode := q.client.Mode(); mode != rueidis.ClientModeCluster {
		t.Fatalf("the client's mode is %s", mode)
	}
	upsert(t, q, "s", Repeat{Every: time.Hour}, NewJob{})
	parent := family(t, q, ParentWaits, nil, "child")
	delayed := add(t, q, JobOptions{Delay: 100 * time.Millisecond})
	started := make(chan struct{})
	w := work(t, queue(), WorkerConfig{Name: "ann", Concurrency: 20, DrainDelay: time.Minute}, func(ctx context.Context, job *Job) (any, error) {
		if job.Options.Attempts > 0 {
			close(started)
			<-ctx.Done()
		}
		return nil, ctx.Err()
	})
	eventually(t, "the ends", func() bool { return w.ends.has("child completed", parent+" completed", delayed+" completed") })
	eventually(t, "sleep", func() bool { return blocked(t, q) == 1 })
	do(t, q, "CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
	slow := add(t, q, JobOptions{Attempts: 2})
	<-started
	eventually(t, "the connection", func() bool { return blocked(t, q) == 1 })
	if err := q.Cancel(t.Context(), slow, ""); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the last", func() bool { return w.ends.has(slow + " failed") })
	wantAtRest(t, q)
}

// A reply that is lost costs nothing: what the call stored counts, what it fetched is run at once.
func TestLostReplies(t *testing.T) {
	t.Parallel()
	q := newQueue(t, QueueConfig{})
	p := newProxy(t, sharedRedis.start(t))
	far, err := NewQueue(connect(t, p.addr), "mail", QueueConfig{Prefix: q.config.Prefix})
	if err != nil {
		t.Fatal(err)
	}
	const jobs = 200
	kinds := []error{nil, errors.New("boom"), DelayFor(0, "not yet"), HandBack("not me"), Unrecoverable(errors.New("worse"))}
	for range jobs {
		add(t, q, JobOptions{Attempts: 2, RemoveOnComplete: KeepLast(jobs / 2)})
	}
	var mu sync.Mutex
	attempts := make(map[string]int)
	w := work(t, far, WorkerConfig{Concurrency: 4, DrainDelay: time.Minute, StalledEvery: time.Hour}, func(_ context.Context, job *Job) (any, error) {
		mu.Lock()
		defer mu.Unlock()
		attempts[job.ID]++
		if attempts[job.ID] != job.AttemptsStarted {
			t.Errorf("start %d of job %s counts as %d", attempts[job.ID], job.ID, job.AttemptsStarted)
		}
		if n, _ := strconv.Atoi(job.ID); job.AttemptsStarted == 1 {
			return nil, kinds[n%len(kinds)]
		}
		return nil, nil
	})
	last := 0
	eventually(t, "the ends", func() bool {
		n, _ := do(t, q, "ZCARD", "P:failed").AsInt64()
		count := w.ends.count()
		if count > last+5 {
			last = count
			p.lose.Store(true)
		}
		mu.Lock()
		defer mu.Unlock()
		starts := 0
		for _, n := range attempts {
			starts += n
		}
		return n == jobs/int64(len(kinds)) && starts >= jobs+jobs*3/len(kinds)
	})
	p.lose.Store(false)
	w.stop()
	t.Logf("%d replies lost, %d ends", p.drops.Load(), w.ends.count())
	mu.Lock()
	defer mu.Unlock()
	for i := range jobs {
		id, want := strconv.Itoa(i+1), 2
		if kind := kinds[(i+1)%len(kinds)]; kind == nil || strings.HasPrefix(kind.Error(), "worse") {
			want = 1
		}
		if attempts[id] != want {
			t.Errorf("job %s was started %d times, not %d", id, attempts[id], want)
		}
	}
	wantAtRest(t, q)
}

// proxy passes connections on to a server, and can lose what that replies to a script.
type proxy struct {
	addr  string
	lose  atomic.Bool // the next one
	drops atomic.Int64
	mu    sync.Mutex
	conns []net.Conn
}

func newProxy(t *testing.T, to string) *proxy {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{addr: listener.Addr().String()}
	var group sync.WaitGroup
	group.Go(func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			server, err := net.Dial("tcp", to)
			if err != nil {
				client.Close()
				continue
			}
			p.mu.Lock()
			p.conns = append(p.conns, client, server)
			p.mu.Unlock()
			lost := new(atomic.Bool)
			group.Go(func() {
				defer server.Close()
				pass(server, client, func(request []byte) bool {
					if bytes.Contains(request, []byte("EVALSHA")) && p.lose.CompareAndSwap(true, false) {
						lost.Store(true)
					}
					return true
				})
			})
			group.Go(func() {
				defer client.Close()
				pass(client, server, func([]byte) bool { return !lost.Load() })
				if lost.Load() {
					p.drops.Add(1)
				}
			})
		}
	})
	t.Cleanup(func() {
		listener.Close()
		p.mu.Lock()
		for _, c := range p.conns {
			c.Close()
		}
		p.mu.Unlock()
		group.Wait()
	})
	return p
}

// pass copies until an end, or until may says no.
func pass(to, from net.Conn, may func([]byte) bool) {
	buffer := make([]byte, 64<<10)
	for {
		n, err := from.Read(buffer)
		if err != nil || !may(buffer[:n]) {
			return
		}
		if _, err := to.Write(buffer[:n]); err != nil {
			return
		}
	}
}

// Damage in Redis neither stops a worker nor brings it down.
func TestHostileQueue(t *testing.T) {
	t.Parallel()
	q := newQueue(t, QueueConfig{})
	store(t, q, "broken", "opts", "{{")
	store(t, q, "array", "opts", "[]")
	store(t, q, "numbers", "ats", "x", "atm", "-3", "stc", "1e999", "priority", "NaN", "timestamp", "soon", "delay", "-1")
	store(t, q, "parent", "parentKey", "x", "parent", "no JSON")
	store(t, q, "dedup", "deid", "d")
	do(t, q, "LPUSH", "P:de:d", "wrong")
	do(t, q, "SET", "P:text", "x")
	do(t, q, "RPUSH", "P:list", "x")
	do(t, q, "RPUSH", "P:wait", "broken", "array", "numbers", "parent", "dedup", "text", "list", "ghost", "0:1", "wait", "active", "")
	id := add(t, q, JobOptions{})
	w := work(t, q, WorkerConfig{}, nothing)
	eventually(t, "the ends", func() bool {
		return w.ends.has(id+" completed", "broken failed", "array completed", "numbers completed", "parent completed", "dedup completed")
	})
	eventually(t, "the rest to go", func() bool { n, _ := do(t, q, "EXISTS", "P:wait", "P:active").AsInt64(); return n == 0 })
}
