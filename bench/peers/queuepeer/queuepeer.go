// Package queuepeer is what the measured queues have in common: the orders that a peer takes from its standard input, one
// JSON object a line, and how they are carried out. ../queue-node/peer.mjs does the same in Node.
package queuepeer

import (
	"bufio"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"runtime/pprof"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"
)

// Order is what a peer is told to do.
type Order struct {
	Do          string // add, process, work, trickle, delay, samples
	Queue       string
	From        int // number of the first job, so that no two have one id
	Jobs        int
	Producers   int     // add
	Concurrency int     // process, work
	Ahead       int     // process: how many jobs ours may fetch before there are slots for them
	Millis      float64 // trickle: from one job to the next, on average; delay: within which all are due
}

// Answer is what came of an order.
type Answer struct {
	Error   string
	Jobs    int       // add, process: how many there were; a worker may take a few more than it is asked for
	Seconds float64   // add, process: until there were as many as asked for
	CPU     float64   // µs of the peer's own, all threads
	Allocs  float64   // objects allocated; Go only
	Samples []float64 // samples: ms
}

// Job is the work that all are given, the one of the AI pipeline: 235 bytes as JSON.
type Job struct {
	AssetID   string `json:"assetId"`
	UserID    string `json:"userId"`
	ImageURL  string `json:"imageUrl"`
	Category  string `json:"category"`
	CreatedAt string `json:"createdAt"`

	Sent float64 `json:"sent,omitempty"` // ms of the machine's monotonic clock when it was added
	Due  float64 `json:"due,omitempty"`  // ms since 1970 when it is to start

	Made  time.Time     `json:"-"` // with Delay; else now
	Delay time.Duration `json:"-"`
}

// The options that all are given.
const (
	Attempts      = 3
	Backoff       = 2 * time.Second // exponential
	KeepCompleted = 24 * time.Hour
	KeepFailed    = 7 * 24 * time.Hour
)

// ID is the job's id in the queue.
func (j *Job) ID() string { return j.AssetID + "-1" }

func newJob(number int) *Job {
	id := fmt.Sprintf("507f1f77%016x", number)
	return &Job{
		AssetID:   id,
		UserID:    "507f1f77bcf86cd799439012",
		ImageURL:  "https://images.example/assets/" + id + "/original.jpg",
		Category:  "sneaker",
		CreatedAt: "2025-12-28T10:30:00.000Z",
	}
}

// Peer is a queue under measurement.
type Peer interface {
	// Producer returns a function that adds a job, which may be called concurrently, and one that ends it.
	Producer(queue string) (add func(*Job) error, end func(), err error)
	// Worker starts a worker, which may fetch so many jobs ahead if it can. It calls handle with a function that decodes the
	// job's data, and stops with stop.
	Worker(queue string, concurrency, ahead int, handle func(decode func(any) error)) (stop func(), err error)
}

// Serve takes orders until its input ends. With LOUPE_BENCH_PROFILE set, it writes a CPU profile to a file of that name
// and the program's.
func Serve(p Peer) {
	if name := os.Getenv("LOUPE_BENCH_PROFILE"); name != "" {
		f, err := os.Create(name + "." + filepath.Base(os.Args[0]))
		if err != nil {
			panic(err)
		}
		defer f.Close()
		if err := pprof.StartCPUProfile(f); err != nil {
			panic(err)
		}
		defer pprof.StopCPUProfile()
	}
	s := server{peer: p}
	out := json.NewEncoder(os.Stdout)
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		var order Order
		err := json.Unmarshal(in.Bytes(), &order)
		var answer Answer
		if err == nil {
			answer, err = s.obey(order)
		}
		if err != nil {
			answer.Error = err.Error()
		}
		if err := out.Encode(answer); err != nil {
			panic(err)
		}
	}
}

type server struct {
	peer    Peer
	stop    func() // of the worker that takes samples
	samples chan float64
}

func (s *server) obey(o Order) (Answer, error) {
	switch o.Do {
	case "add":
		return measured(o, s.add)
	case "process":
		return measured(o, s.process)
	case "work":
		return Answer{}, s.work(o)
	case "trickle":
		return Answer{}, s.trickle(o)
	case "delay":
		return Answer{}, s.delay(o)
	case "samples":
		return s.collect(o), nil
	}
	return Answer{}, fmt.Errorf("unknown order %q", o.Do)
}

// measured adds what f cost this process.
func measured(o Order, f func(Order) (Answer, error)) (Answer, error) {
	runtime.GC()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	spent := cpu()
	a, err := f(o)
	a.CPU = cpu() - spent
	runtime.ReadMemStats(&after)
	a.Allocs = float64(after.Mallocs - before.Mallocs)
	return a, err
}

func cpu() float64 {
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		panic(err)
	}
	return float64(used.Utime.Nano()+used.Stime.Nano()) / 1e3
}

// add adds jobs by so many producers, each of which waits for one to be added before the next.
func (s *server) add(o Order) (Answer, error) {
	add, end, err := s.peer.Producer(o.Queue)
	if err != nil {
		return Answer{}, err
	}
	defer end()
	var next atomic.Int64
	var group sync.WaitGroup
	failed := make(chan error, o.Producers)
	begin := time.Now()
	for range o.Producers {
		group.Go(func() {
			for n := int(next.Add(1)); n <= o.Jobs; n = int(next.Add(1)) {
				if err := add(newJob(o.From + n)); err != nil {
					failed <- err
					return
				}
			}
		})
	}
	group.Wait()
	a := Answer{Jobs: o.Jobs, Seconds: time.Since(begin).Seconds()}
	select {
	case err = <-failed:
	default:
	}
	return a, err
}

// process runs a worker until it has started so many jobs, with a handler that does nothing.
func (s *server) process(o Order) (Answer, error) {
	var started atomic.Int64
	all := make(chan struct{})
	begin := time.Now()
	stop, err := s.peer.Worker(o.Queue, o.Concurrency, o.Ahead, func(func(any) error) {
		if started.Add(1) == int64(o.Jobs) {
			close(all)
		}
	})
	if err != nil {
		return Answer{}, err
	}
	<-all
	seconds := time.Since(begin).Seconds()
	stop()
	return Answer{Jobs: int(started.Load()), Seconds: seconds}, nil
}

// work starts a worker that notes how late each job starts.
func (s *server) work(o Order) (err error) {
	s.samples = make(chan float64, 10_000)
	s.stop, err = s.peer.Worker(o.Queue, o.Concurrency, o.Ahead, func(decode func(any) error) {
		monotonic, wall := now(), float64(time.Now().UnixMicro())/1e3
		var job Job
		switch err := decode(&job); {
		case err != nil:
			panic(err)
		case job.Due != 0:
			s.samples <- wall - job.Due
		default:
			s.samples <- monotonic - job.Sent
		}
	})
	return err
}

// trickle adds one job at a time, with a pause before each.
func (s *server) trickle(o Order) error {
	add, end, err := s.peer.Producer(o.Queue)
	if err != nil {
		return err
	}
	defer end()
	for n := range o.Jobs {
		time.Sleep(time.Duration((0.5 + rand.Float64()) * o.Millis * float64(time.Millisecond)))
		job := newJob(o.From + n)
		job.Sent = now()
		if err := add(job); err != nil {
			return err
		}
	}
	return nil
}

// delay adds jobs that are due at any time within so many ms, which begin after half a second.
func (s *server) delay(o Order) error {
	add, end, err := s.peer.Producer(o.Queue)
	if err != nil {
		return err
	}
	defer end()
	for n := range o.Jobs {
		job := newJob(o.From + n)
		job.Made = time.Now().Truncate(time.Millisecond)
		job.Delay = time.Duration(500+rand.Float64()*o.Millis) * time.Millisecond
		job.Due = float64(job.Made.Add(job.Delay).UnixMilli())
		if err := add(job); err != nil {
			return err
		}
	}
	return nil
}

func (s *server) collect(o Order) Answer {
	var a Answer
	for range o.Jobs {
		a.Samples = append(a.Samples, <-s.samples)
	}
	s.stop()
	return a
}

// now is what Node's process.hrtime is: a clock that all processes of a machine share, in ms.
func now() float64 {
	const monotonic = 1 // CLOCK_MONOTONIC
	var t syscall.Timespec
	syscall.Syscall(syscall.SYS_CLOCK_GETTIME, monotonic, uintptr(unsafe.Pointer(&t)), 0)
	return float64(t.Nano()) / 1e6
}
