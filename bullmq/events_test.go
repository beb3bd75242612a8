package bullmq

import (
	"context"
	"errors"
	"net"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/rueidis"

	"loupe/internal/testenv"
)

// tape is what a QueueEvents has delivered.
type tape struct {
	*QueueEvents
	cancel context.CancelFunc
	ended  chan error

	mu     sync.Mutex
	events []Event
	more   chan struct{} // closed, and replaced, with every event
}

// record runs the events of a queue until the test ends, or stop.
func record(t *testing.T, q *Queue, config EventsConfig) *tape {
	t.Helper()
	config.Prefix = q.config.Prefix
	e, err := NewQueueEvents(q.client, q.name, config)
	if err != nil {
		t.Fatal(err)
	}
	e.block = 200 * time.Millisecond
	return play(t, e)
}

// play runs e, and waits until it is ready.
func play(t *testing.T, e *QueueEvents) *tape {
	t.Helper()
	p := &tape{QueueEvents: e, ended: make(chan error, 1), more: make(chan struct{})}
	ctx, cancel := context.WithCancel(t.Context())
	p.cancel = cancel
	go func() { p.ended <- e.Run(ctx, p.got) }()
	t.Cleanup(func() { p.stop(t) })
	if err := e.Ready(testContext(t)); err != nil {
		t.Fatal(err)
	}
	return p
}

func (p *tape) got(e Event) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.events = append(p.events, e)
	close(p.more)
	p.more = make(chan struct{})
}

func (p *tape) stop(t *testing.T) {
	t.Helper()
	p.cancel()
	if err := <-p.ended; err != nil {
		t.Errorf("Run: %v", err)
	}
	p.ended <- nil // it may be stopped once more
}

// until waits until an event is the last that it wants, and returns all so far.
func (p *tape) until(t *testing.T, what string, last func(Event) bool) []Event {
	t.Helper()
	timeout := time.After(20 * time.Second)
	for seen := 0; ; {
		p.mu.Lock()
		events, more := p.events, p.more
		p.mu.Unlock()
		for ; seen < len(events); seen++ {
			if last(events[seen]) {
				return events[:seen+1]
			}
		}
		select {
		case <-more:
		case <-timeout:
			t.Fatalf("waited in vain for %s; %d events came", what, seen)
		}
	}
}

func named(name string) func(Event) bool { return func(e Event) bool { return e.Name == name } }

func testContext(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// publish adds events named by numbers.
func publish(t *testing.T, q *Queue, from, to int) {
	t.Helper()
	for i := from; i < to; i++ {
		if _, err := q.Publish(testContext(t), strconv.Itoa(i), nil); err != nil {
			t.Fatal(err)
		}
	}
}

// wantNumbers checks that the events are named by all numbers, in order.
func wantNumbers(t *testing.T, events []Event, from, to int) {
	t.Helper()
	if len(events) != to-from {
		t.Errorf("%d events came, not %d", len(events), to-from)
	}
	for i, e := range events {
		if e.Name != strconv.Itoa(from+i) {
			t.Fatalf("event %d is %s, not %d", i, e.Name, from+i)
		}
	}
}

// eventually polls until something is so.
func eventually(t *testing.T, what string, so func() bool) {
	t.Helper()
	poll := time.NewTicker(time.Millisecond)
	defer poll.Stop()
	for deadline := time.Now().Add(20 * time.Second); !so(); <-poll.C {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

func TestEventsFrom(t *testing.T) {
	t.Parallel()
	q := newQueue(t, QueueConfig{})
	publish(t, q, 0, 5)
	now := record(t, q, EventsConfig{})
	publish(t, q, 5, 10)
	wantNumbers(t, now.until(t, "9", named("9")), 5, 10)

	all := record(t, q, EventsConfig{From: "0"}).until(t, "9", named("9"))
	wantNumbers(t, all, 0, 10)
	wantNumbers(t, record(t, q, EventsConfig{From: all[2].ID}).until(t, "9", named("9")), 3, 10)
}

func TestEventsOfAQueueThatIsNew(t *testing.T) {
	t.Parallel()
	q := newQueue(t, QueueConfig{})
	events := record(t, q, EventsConfig{})
	if _, err := q.Add(testContext(t), "mail", map[string]string{"to": "me"}, JobOptions{ID: "first"}); err != nil {
		t.Fatal(err)
	}
	if got := events.until(t, "waiting", named(EventWaiting)); len(got) != 2 || got[0].Name != EventAdded || got[0].JobID != "first" || got[0].Field("name") != "mail" {
		t.Errorf("%+v", got)
	}
}

func TestEventsAreSlow(t *testing.T) {
	t.Parallel()
	q := newQueue(t, QueueConfig{})
	e, err := NewQueueEvents(q.client, q.name, EventsConfig{Prefix: q.config.Prefix})
	if err != nil {
		t.Fatal(err)
	}
	const first, rest, kept = 10, 3 * eventBatch, 2 * eventBatch
	got, trimmed := make(chan Event, first+rest+1), make(chan struct{})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- e.Run(ctx, func(event Event) {
			got <- event
			<-trimmed
		})
	}()
	if err := e.Ready(testContext(t)); err != nil {
		t.Fatal(err)
	}
	publish(t, q, 0, first)
	<-got // and it is stuck
	publish(t, q, first, first+rest)
	do(t, q, "XTRIM", "P:events", "MAXLEN", "=", strconv.Itoa(kept))
	close(trimmed)

	delivered, missed := 1, 0
	for name := ""; name != strconv.Itoa(first+rest-1); {
		event := <-got
		if name = event.Name; name == EventMissed {
			missed += event.Missed()
		} else {
			delivered++
		}
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if missed == 0 || delivered < kept || delivered+missed != first+rest {
		t.Errorf("%d were delivered and %d reported as missed, of %d", delivered, missed, first+rest)
	}
}

func TestEventsOfALostConnection(t *testing.T) {
	t.Parallel()
	q := newQueue(t, QueueConfig{})
	events := record(t, q, EventsConfig{})
	const all, kills = 2000, 20
	for i := range kills {
		publish(t, q, i*all/kills, (i+1)*all/kills)
		events.kill(t)
	}
	wantNumbers(t, events.until(t, "the last", named(strconv.Itoa(all-1))), 0, all)
}

// A server that does not have the last event that was read, though it has newer or older ones, took over without it.
func TestEventsOfAServerWithAnotherPast(t *testing.T) {
	t.Parallel()
	q := newQueue(t, QueueConfig{})
	events := record(t, q, EventsConfig{})
	publish(t, q, 0, 3)
	last := events.until(t, "2", named("2"))[2]
	do(t, q, "XDEL", "P:events", last.ID)
	events.kill(t)
	events.until(t, "the report", named(EventMissed))
	publish(t, q, 3, 4)
	events.until(t, "3", named("3"))
}

// kill breaks the connection.
func (p *tape) kill(t *testing.T) {
	t.Helper()
	for _, line := range p.connections(t) {
		id, _, _ := strings.Cut(line, " ")
		n, err := strconv.ParseInt(strings.TrimPrefix(strings.TrimPrefix(id, "txt:"), "id="), 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		p.client.Do(testContext(t), p.client.B().ClientKill().Id(n).Build()) // it may have gone already
	}
}

// connections are those with its name.
func (p *tape) connections(t *testing.T) []string {
	t.Helper()
	list, err := p.client.Do(testContext(t), p.client.B().ClientList().Build()).ToString()
	if err != nil {
		t.Fatal(err)
	}
	return slices.DeleteFunc(strings.Split(list, "\n"), func(line string) bool { return !strings.Contains(line, " name="+p.name+" ") })
}

func TestEventsConnectionHasAName(t *testing.T) {
	t.Parallel()
	q := newQueue(t, QueueConfig{})
	events := record(t, q, EventsConfig{})
	if name := q.config.Prefix + ":bWFpbA==:qe"; name != events.name || len(events.connections(t)) != 1 {
		t.Errorf("%d connections are named %s, not 1 %s", len(events.connections(t)), events.name, name)
	}
	events.stop(t)
	for range 10 { // of what blocks, so that connections of the pool are used
		q.client.Do(testContext(t), q.client.B().Blpop().Key(q.keys.of("none")).Timeout(0.001).Build())
	}
	eventually(t, "the end of the connection", func() bool { return len(events.connections(t)) == 0 })
}

func TestEventsRunAgain(t *testing.T) {
	t.Parallel()
	q := newQueue(t, QueueConfig{})
	events := record(t, q, EventsConfig{})
	if err := events.Run(t.Context(), nil); err == nil {
		t.Error("it runs twice")
	}
	publish(t, q, 0, 3)
	events.until(t, "2", named("2"))
	begin := time.Now()
	events.stop(t)
	if took := time.Since(begin); took > 150*time.Millisecond {
		t.Errorf("stopping took %s", took)
	}
	publish(t, q, 3, 6)
	wantNumbers(t, play(t, events.QueueEvents).until(t, "5", named("5")), 3, 6)
}

func TestEventsStopWithinABatch(t *testing.T) {
	t.Parallel()
	q := newQueue(t, QueueConfig{})
	publish(t, q, 0, 10)
	e, err := NewQueueEvents(q.client, q.name, EventsConfig{Prefix: q.config.Prefix, From: "0"})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var first []Event
	if err := e.Run(ctx, func(event Event) {
		if first = append(first, event); event.Name == "3" {
			cancel()
		}
	}); err != nil {
		t.Fatal(err)
	}
	wantNumbers(t, first, 0, 4)
	wantNumbers(t, play(t, e).until(t, "9", named("9")), 4, 10)
}

func TestEventsOfAStreamBegunAnew(t *testing.T) {
	t.Parallel()
	q := newQueue(t, QueueConfig{})
	events := record(t, q, EventsConfig{})
	publish(t, q, 0, 3)
	events.until(t, "2", named("2"))

	// Its ids are smaller, as on a server whose clock is behind.
	do(t, q, "DEL", "P:events")
	do(t, q, "XADD", "P:events", "5-1", "event", "behind")
	got := events.until(t, "behind", named("behind"))
	if len(got) != 5 || got[3].Name != EventMissed || got[3].Missed() != 0 {
		t.Errorf("%+v", got)
	}

	do(t, q, "DEL", "P:events")
	times := 0
	events.until(t, "word of it", func(e Event) bool {
		if e.Name == EventMissed {
			times++
		}
		return times == 2
	})
	do(t, q, "XADD", "P:events", "*", "event", "after")
	events.until(t, "after", named("after"))
}

func TestEventsWithBadJSON(t *testing.T) {
	t.Parallel()
	q := newQueue(t, QueueConfig{})
	events := record(t, q, EventsConfig{})
	do(t, q, "XADD", "P:events", "*", "event", "completed", "jobId", "1", "returnvalue", "{")
	do(t, q, "XADD", "P:events", "*", "nothing", "known")
	do(t, q, "XADD", "P:events", "*", "event", "progress", "jobId", "1", "data", "\xff")
	publish(t, q, 0, 1)
	if got := events.until(t, "0", named("0")); len(got) != 4 || string(got[0].ReturnValue()) != `"{"` || got[1].Field("nothing") != "known" {
		t.Errorf("%+v", got)
	}
}

// ownRedis is a server that can be stopped and started again, and keeps what it is told.
type ownRedis struct {
	dir, port string
	flags     []string
	process   *testenv.Process
}

func startOwnRedis(t *testing.T, flags ...string) *ownRedis {
	t.Helper()
	testenv.Need(t, testenv.Redis)
	r := &ownRedis{dir: t.TempDir(), port: testenv.FreePort(t), flags: flags}
	r.start(t)
	return r
}

func (r *ownRedis) addr() string { return net.JoinHostPort("127.0.0.1", r.port) }

func (r *ownRedis) start(t *testing.T) {
	t.Helper()
	args := append([]string{"--bind", "127.0.0.1", "--port", r.port, "--dir", r.dir, "--save", "", "--appendonly", "yes", "--appendfsync", "always"}, r.flags...)
	r.process = testenv.Start(t, exec.CommandContext(t.Context(), "redis-server", args...))
	r.process.Line(t, "Ready to accept connections")
}

func TestEventsOfARedisThatRestarts(t *testing.T) {
	t.Parallel()
	r := startOwnRedis(t)
	queue := func() *Queue {
		q, err := NewQueue(connect(t, r.addr()), "mail", QueueConfig{})
		if err != nil {
			t.Fatal(err)
		}
		return q
	}
	q := queue()
	events := record(t, q, EventsConfig{})
	publish(t, q, 0, 10)
	events.until(t, "9", named("9"))
	for i := 1; i < 3; i++ {
		r.process.Kill()
		r.start(t)
		publish(t, queue(), 10*i, 10*(i+1))
	}
	wantNumbers(t, events.until(t, "29", named("29")), 0, 30)
}

// A replica takes over, and the old server is gone.
func TestEventsOfAFailover(t *testing.T) {
	t.Parallel()
	master := startOwnRedis(t, "--repl-diskless-sync-delay", "0")
	replica := startOwnRedis(t, "--replicaof", "127.0.0.1", master.port)
	sentinel, failover := testenv.StartSentinel(t, master.port, 1)
	client, err := rueidis.NewClient(rueidis.ClientOption{
		InitAddress:  []string{sentinel},
		Sentinel:     rueidis.SentinelOption{MasterSet: "main"},
		DisableCache: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	queue := func(client rueidis.Client) *Queue {
		q, err := NewQueue(client, "mail", QueueConfig{})
		if err != nil {
			t.Fatal(err)
		}
		return q
	}
	events := record(t, queue(client), EventsConfig{})
	publish(t, queue(connect(t, master.addr())), 0, 10)
	events.until(t, "9", named("9"))
	copied := connect(t, replica.addr())
	eventually(t, "all of it at the replica", func() bool {
		n, _ := copied.Do(testContext(t), copied.B().Xlen().Key(events.stream).Build()).AsInt64()
		return n == 10
	})
	master.process.Kill()
	failover.Line(t, "+switch-master")
	publish(t, queue(connect(t, replica.addr())), 10, 20)
	wantNumbers(t, events.until(t, "19", named("19")), 0, 20)
}

func TestEventsOnACluster(t *testing.T) {
	t.Parallel()
	r := startOwnRedis(t, "--cluster-enabled", "yes", "--cluster-port", testenv.FreePort(t))
	alone, err := rueidis.NewClient(rueidis.ClientOption{InitAddress: []string{r.addr()}, ForceSingleClient: true, DisableCache: true})
	if err != nil {
		t.Fatal(err)
	}
	defer alone.Close()
	if err := alone.Do(testContext(t), alone.B().ClusterAddslotsrange().StartSlotEndSlot().StartSlotEndSlot(0, 16383).Build()).Error(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the cluster", func() bool {
		state, _ := alone.Do(testContext(t), alone.B().ClusterInfo().Build()).ToString()
		return strings.Contains(state, "cluster_state:ok")
	})
	client := connect(t, r.addr())
	if client.Mode() != rueidis.ClientModeCluster {
		t.Fatalf("the client's mode is %s", client.Mode())
	}
	q, err := NewQueue(client, "mail", QueueConfig{Prefix: "{bull}"})
	if err != nil {
		t.Fatal(err)
	}
	events := record(t, q, EventsConfig{})
	publish(t, q, 0, 10)
	events.until(t, "9", named("9"))
	events.kill(t)
	publish(t, q, 10, 20)
	wantNumbers(t, events.until(t, "19", named("19")), 0, 20)
}

func TestEventsOfAClosedClient(t *testing.T) {
	t.Parallel()
	client := connect(t, sharedRedis.start(t))
	e, err := NewQueueEvents(client, "mail", EventsConfig{Prefix: testenv.Prefix(t)})
	if err != nil {
		t.Fatal(err)
	}
	client.Close()
	if err := e.Run(testContext(t), nil); !errors.Is(err, rueidis.ErrClosing) {
		t.Errorf("Run: %v", err)
	}
}

func TestEventsThatCannotBe(t *testing.T) {
	t.Parallel()
	client := newClient(t)
	for _, config := range []EventsConfig{{From: "$"}, {From: "-"}, {From: "1-2-3"}, {Prefix: "\n"}} {
		if _, err := NewQueueEvents(client, "mail", config); err == nil {
			t.Errorf("%+v is accepted", config)
		}
	}
	if _, err := NewQueueEvents(client, "", EventsConfig{}); err == nil {
		t.Error("a queue without a name is accepted")
	}
	q := newQueue(t, QueueConfig{})
	for _, fields := range []map[string]string{nil, {"event": "x"}} {
		if _, err := q.Publish(t.Context(), "", fields); err == nil {
			t.Errorf("%v is published without a name", fields)
		}
	}
}

func TestPublish(t *testing.T) {
	t.Parallel()
	q := newQueue(t, QueueConfig{})
	events := record(t, q, EventsConfig{})
	id, err := q.Publish(testContext(t), "shoe-found", map[string]string{"size": "43", "jobId": "7"})
	if err != nil {
		t.Fatal(err)
	}
	got := events.until(t, "it", named("shoe-found"))[0]
	if got.ID != id || got.JobID != "7" || got.Field("size") != "43" {
		t.Errorf("%+v", got)
	}
}
