package pipeline_test

import (
	"context"
	"encoding/json"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"loupe/internal/analyze"
	"loupe/internal/asset"
	"loupe/internal/pipeline"
	"loupe/internal/queue"
)

const interleavings = 10_000

// A worker hangs over run 1 while another process gives the run up, its owner retries, and a third does run 2. In whatever
// order their steps come: once there is a run 2 its result is what counts, and each run is told of in one way.
func TestInvariant2TheNewerRunWins(t *testing.T) {
	t.Parallel()
	seed := rand.Uint64()
	ends := map[int]int{} // by run
	stale := 0
	for i := range uint64(interleavings) {
		random := rand.New(rand.NewPCG(seed, i))
		m := &memory{}
		first := m.add()
		m.race(random,
			func(p *pipeline.Pipeline) { _ = p.Process(t.Context(), jobOf(first)) },
			func(p *pipeline.Pipeline) {
				p.Dead(t.Context(), jobOf(first), "its worker died")
				if _, err := p.Retry(t.Context(), owner, first.ID); err == nil {
					second := m.asset
					_ = p.Process(t.Context(), jobOf(second))
				}
			},
		)
		a := m.asset
		if a.Status != asset.Active || a.Analysis.Brand.Value != a.JobID || a.JobID != asset.JobID(a.ID, a.Run) {
			t.Fatalf("seed %d, interleaving %d: %s in run %d with the result of %+v", seed, i, a.Status, a.Run, a.Analysis)
		}
		var finished []string
		for _, e := range m.log {
			if e.Event == asset.EventFinished {
				finished = append(finished, string(e.Payload))
			}
		}
		slices.Sort(finished)
		slices.Sort(m.told)
		if a.EventPending || len(finished) != a.Run || !slices.Equal(finished, slices.Compact(m.told)) {
			t.Fatalf("seed %d, interleaving %d: finished %q, told %q", seed, i, finished, m.told)
		}
		ends[a.Run]++
		stale += m.stale
	}
	if ends[1] == 0 || ends[2] == 0 || stale == 0 {
		t.Errorf("ended in run 1 %d times, in run 2 %d times, %d stale results: the interleavings miss what they are for", ends[1], ends[2], stale)
	}
}

// Two workers have one job, because its lease was lost. One of them ends the run, and that is the end of it.
func TestInvariant5TwoWorkersWithOneJob(t *testing.T) {
	t.Parallel()
	seed := rand.Uint64()
	for i := range uint64(interleavings / 5) {
		m := &memory{}
		a := m.add()
		work := func(p *pipeline.Pipeline) { _ = p.Process(t.Context(), jobOf(a)) }
		m.race(rand.New(rand.NewPCG(seed, i)), work, work)
		finished := 0
		for _, e := range m.log {
			if e.Event == asset.EventFinished {
				finished++
			}
		}
		told := slices.Compact(slices.Clone(m.told))
		if m.asset.Status != asset.Active || finished != 1 || len(told) != 1 || m.asset.EventPending || m.stale != 1 {
			t.Fatalf("seed %d, interleaving %d: %s, finished %d times, told %q, %d stale", seed, i, m.asset.Status, finished, told, m.stale)
		}
	}
}

func jobOf(a asset.Asset) queue.Job {
	data, err := json.Marshal(map[string]string{
		"assetId": a.ID, "userId": a.Owner, "imageUrl": a.Original.URL, "category": a.Category, "createdAt": "2025-12-28T10:30:00.000Z",
	})
	if err != nil {
		panic(err)
	}
	return queue.Job{ID: a.JobID, Data: data, Attempt: 1, MaxAttempts: 1, Starts: 1}
}

// memory is an asset store of one asset, a queue that nobody works on, and a notifier. Each call is a step of one of its
// processes, and only one of them takes a step at a time.
type memory struct {
	asset.Store
	queue.Queue

	asset asset.Asset
	log   []asset.Entry
	told  []string
	stale int
}

// add adds an asset whose job is queued.
func (m *memory) add() asset.Asset {
	id := asset.NewID()
	m.asset = asset.Asset{
		ID: id, Owner: owner, Category: "sneaker", Status: asset.Processing, Original: asset.Image{URL: "https://example.com/o.jpg"},
		JobID: asset.JobID(id, 1), Run: 1, CreatedAt: asset.Now(), UpdatedAt: asset.Now(),
	}
	return m.asset
}

// race runs processes side by side, one step of one at a time, in a random order.
func (m *memory) race(random *rand.Rand, processes ...func(*pipeline.Pipeline)) {
	var waiting []*process
	var all sync.WaitGroup
	defer all.Wait()
	for _, do := range processes {
		p := &process{memory: m, stopped: make(chan bool), goOn: make(chan struct{})}
		worker := pipeline.New(pipeline.Config{
			Assets: p, Queue: p, Jobs: waitingJobs{step: p.step}, Analyzer: p, Notifier: p, Log: slog.New(slog.DiscardHandler), ManyProcesses: true,
			Observe: pipeline.Observer{Stale: func() { m.stale++ }},
		})
		all.Go(func() {
			do(worker)
			p.stopped <- true
		})
		if !<-p.stopped {
			waiting = append(waiting, p)
		}
	}
	for len(waiting) > 0 {
		i := random.IntN(len(waiting))
		p := waiting[i]
		p.goOn <- struct{}{}
		if ended := <-p.stopped; ended {
			waiting = slices.Delete(waiting, i, i+1)
		}
	}
}

// process stops before each of its steps.
type process struct {
	*memory
	stopped chan bool // true: for good
	goOn    chan struct{}
}

func (p *process) step() {
	p.stopped <- false
	<-p.goOn
}

func (p *process) Get(_ context.Context, id string) (asset.Asset, error) {
	p.step()
	return p.asset, nil
}

func (p *process) Transition(_ context.Context, _ string, c asset.Change) (asset.Asset, error) {
	p.step()
	err := c.Apply(&p.asset)
	if err == nil {
		p.log = append(p.log, c.Log...)
	}
	return p.asset, err
}

func (p *process) Timeline(context.Context, asset.TimelineQuery) ([]asset.Entry, error) {
	p.step()
	return slices.Clone(p.log), nil
}

func (p *process) Enqueue(context.Context, string, json.RawMessage) error {
	p.step()
	return nil
}

// waitingJobs are jobs that all wait.
type waitingJobs struct {
	queue.Admin
	step func()
}

func (j waitingJobs) Get(_ context.Context, id string) (queue.Record, error) {
	j.step()
	return queue.Record{ID: id, State: queue.Waiting}, nil
}

func (j waitingJobs) Counts(context.Context) (queue.Counts, error) { return queue.Counts{}, nil }

func (p *process) Analyze(_ context.Context, r analyze.Request) (analyze.Result, error) {
	p.step()
	return analyze.Result{Brand: &analyze.Field{Value: r.JobID, Confidence: 1}}, nil
}

func (p *process) Health(context.Context) error { return nil }

func (p *process) Notify(_ context.Context, _ string, e pipeline.Event) error {
	p.step()
	if e.Name == pipeline.EventProcessed {
		p.told = append(p.told, string(e.Payload))
	}
	return nil
}
