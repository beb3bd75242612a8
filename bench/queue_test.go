package bench

import (
	"fmt"
	"slices"
	"testing"

	"loupe/bench/peers/queuepeer"
)

// The load. LOUPE_BENCH_QUEUE_PERCENT makes it smaller, for a first look.
var queueScale = setting("LOUPE_BENCH_QUEUE_PERCENT", 100)

func scaled(n int) int { return max(1, n*queueScale/100) }

const (
	producers = 64
	warmUp    = 2000 // jobs, before anything is measured

	seedConcurrency = 5 // of the pipeline that the jobs are from
)

// processLoads say with what concurrency how many jobs are processed, and how many of them ours may fetch ahead.
var processLoads = []struct {
	concurrency, ahead, jobs int
	aim                      string
}{
	{1, 0, 5000, "> asynq"},
	{5, 0, 12_000, "≥ 2 × Node, > asynq"},
	{5, 20, 12_000, "≥ 2 × Node, > asynq"},
	{50, 0, 20_000, "≥ 3 × Node, > asynq"},
	{200, 0, 20_000, "> asynq"},
}

// BenchmarkQueueAdds adds jobs from 64 producers, each of which waits for its job to be added.
func BenchmarkQueueAdds(b *testing.B) {
	for b.Loop() {
		c, t := newContest(b), table{}
		c.warmUp(b)
		for n := range rounds {
			round(n, func(queue int) {
				c.flush(b)
				f := c.measure(b, queue, c.adding("adds", scaled(40_000)))
				t.add("adds per second, 64 producers", queue, f.perSecond)
				t.add("µs of Redis' CPU per add", queue, f.redis)
				t.add("µs of own CPU per add", queue, f.own)
				t.add("objects allocated per add", queue, f.allocs)
				t.add("bytes of Redis' memory per waiting job", queue, f.memory)
			})
		}
		printQueueHead()
		t.print("adds per second, 64 producers", higher, "≥ 2.5 × Node, > asynq")
		t.print("µs of Redis' CPU per add", lower, "")
		t.print("µs of own CPU per add", lower, "")
		t.print("objects allocated per add", lower, "")
		t.print("bytes of Redis' memory per waiting job", lower, "≤ Node")
	}
}

// BenchmarkQueueProcess processes jobs that wait already, with a handler that does nothing.
func BenchmarkQueueProcess(b *testing.B) {
	for _, load := range processLoads {
		name, at := fmt.Sprint(load.concurrency), fmt.Sprintf(" at concurrency %d", load.concurrency)
		if load.ahead > 0 {
			name, at = name+"Ahead", fmt.Sprintf("%s, ours with %d ahead", at, load.ahead)
		}
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				c, t := newContest(b), table{}
				c.warmUp(b)
				for n := range rounds {
					round(n, func(queue int) {
						c.flush(b)
						c.peers[queue].do(b, c.adding("process", scaled(load.jobs)))
						f := c.measure(b, queue, queuepeer.Order{Do: "process", Queue: "process", Jobs: scaled(load.jobs), Concurrency: load.concurrency, Ahead: load.ahead})
						t.add("jobs per second"+at, queue, f.perSecond)
						t.add("µs of Redis' CPU per job"+at, queue, f.redis)
						t.add("µs of own CPU per job"+at, queue, f.own)
						t.add("objects allocated per job"+at, queue, f.allocs)
					})
				}
				printQueueHead()
				t.print("jobs per second"+at, higher, load.aim)
				t.print("µs of Redis' CPU per job"+at, lower, "")
				t.print("µs of own CPU per job"+at, lower, "")
				t.print("objects allocated per job"+at, lower, "")
			}
		})
	}
}

// BenchmarkQueueLatency adds one job at a time to an idle worker, in the same process and in another one.
func BenchmarkQueueLatency(b *testing.B) {
	processes := []string{"same process", "two processes"}
	for b.Loop() {
		c, t := newContest(b), table{}
		c.warmUp(b)
		for n := range rounds {
			round(n, func(queue int) {
				jobs, pause := scaled(200), 10.0
				if queue == asynq {
					jobs, pause = scaled(12), 250 // it looks once a second
				}
				worker := c.peers[queue]
				for i, producer := range []*queuePeer{worker, c.start(b, queue)} {
					c.flush(b)
					worker.do(b, queuepeer.Order{Do: "work", Queue: "latency", Concurrency: seedConcurrency})
					producer.do(b, queuepeer.Order{Do: "trickle", Queue: "latency", From: c.numbers(jobs), Jobs: jobs, Millis: pause})
					late := worker.do(b, queuepeer.Order{Do: "samples", Jobs: jobs}).Samples
					t.add("ms from add to start, "+processes[i]+", p50", queue, quantile(late, 0.5))
					t.add("ms from add to start, "+processes[i]+", p99", queue, quantile(late, 0.99))
				}
			})
		}
		printQueueHead()
		for _, where := range processes {
			t.print("ms from add to start, "+where+", p50", lower, "")
			t.print("ms from add to start, "+where+", p99", lower, "")
		}
	}
}

// BenchmarkQueueDelayed adds delayed jobs to an idle worker and measures how long after their time they start.
func BenchmarkQueueDelayed(b *testing.B) {
	const within = 4000 // ms
	for b.Loop() {
		c, t := newContest(b), table{}
		c.warmUp(b)
		jobs := scaled(100)
		for n := range rounds {
			round(n, func(queue int) {
				c.flush(b)
				worker := c.peers[queue]
				worker.do(b, queuepeer.Order{Do: "work", Queue: "delayed", Concurrency: seedConcurrency})
				worker.do(b, queuepeer.Order{Do: "delay", Queue: "delayed", From: c.numbers(jobs), Jobs: jobs, Millis: within})
				late := worker.do(b, queuepeer.Order{Do: "samples", Jobs: jobs}).Samples
				t.add("ms after its time, p50", queue, quantile(late, 0.5))
				t.add("ms after its time, p99", queue, quantile(late, 0.99))
				t.add("ms after its time, at least", queue, slices.Min(late))
			})
		}
		printQueueHead()
		t.print("ms after its time, p50", lower, "")
		t.print("ms after its time, p99", lower, "≤ 5 ms")
		t.print("ms after its time, at least", lower, "not before it: ≥ 0")
	}
}

// BenchmarkQueueDepth measures what a job costs Redis while few others wait, and while many do.
func BenchmarkQueueDepth(b *testing.B) {
	depths := []struct {
		name string
		jobs int
	}{{"1,000", 1000}, {"1,000,000", scaled(1_000_000)}}
	for b.Loop() {
		c, t := newContest(b), table{}
		c.warmUp(b)
		c.flush(b)
		for _, depth := range depths {
			c.fill(b, asynq, "asynq-"+depth.name, depth.jobs)
			c.fill(b, ours, "bullmq-"+depth.name, depth.jobs) // Node's take their turns with the same queue
		}
		for n := range rounds {
			for _, depth := range depths {
				round(n, func(queue int) {
					name := "bullmq-" + depth.name
					if queue == asynq {
						name = "asynq-" + depth.name
					}
					jobs := scaled(5000)
					add := c.measure(b, queue, c.adding(name, jobs))
					process := c.measure(b, queue, queuepeer.Order{Do: "process", Queue: name, Jobs: jobs, Concurrency: 50})
					t.add("µs of Redis' CPU per add, "+depth.name+" waiting", queue, add.redis)
					t.add("µs of Redis' CPU per job, "+depth.name+" waiting", queue, process.redis)
				})
			}
		}
		printQueueHead()
		for _, what := range []string{"add", "job"} {
			row := func(i int) string { return "µs of Redis' CPU per " + what + ", " + depths[i].name + " waiting" }
			few, many := t.middle(row(0)), t.middle(row(1))
			for queue := range queues {
				t.add("times as much per "+what, queue, many[queue]/few[queue])
			}
			t.print(row(0), lower, "")
			t.print(row(1), lower, "")
			t.print("times as much per "+what, lower, "≤ 1.2")
		}
	}
}

// warmUp has every queue add and process some jobs: what is measured then is compiled, and connected once.
func (c *contest) warmUp(b *testing.B) {
	b.Helper()
	round(0, func(queue int) {
		c.flush(b)
		c.fill(b, queue, "warm-up", scaled(warmUp))
		c.peers[queue].do(b, queuepeer.Order{Do: "process", Queue: "warm-up", Jobs: scaled(warmUp), Concurrency: seedConcurrency})
	})
}

func (c *contest) fill(b *testing.B, queue int, name string, jobs int) {
	b.Helper()
	c.peers[queue].do(b, c.adding(name, jobs))
}

func (c *contest) adding(queue string, jobs int) queuepeer.Order {
	return queuepeer.Order{Do: "add", Queue: queue, From: c.numbers(jobs), Jobs: jobs, Producers: producers}
}

func quantile(figures []float64, q float64) float64 {
	slices.Sort(figures)
	return figures[int(q*float64(len(figures)-1))]
}
