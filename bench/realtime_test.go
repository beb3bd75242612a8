package bench

import (
	"cmp"
	"fmt"
	"os"
	"slices"
	"strconv"
	"syscall"
	"testing"
	"time"
)

// The load. Environment variables make it smaller, for a first look.
var (
	idleSockets = []int{setting("LOUPE_BENCH_SOCKETS", 20_000) / 2, setting("LOUPE_BENCH_SOCKETS", 20_000)}
	idleTime    = time.Duration(setting("LOUPE_BENCH_IDLE_SECONDS", 30)) * time.Second // holds a ping and its pong
	emitScale   = setting("LOUPE_BENCH_EMIT_PERCENT", 100)
)

const (
	audience   = 1000 // sockets in the loads that emit
	rounds     = 3    // of which the median counts
	spareFiles = 200  // that a process opens besides its sockets
)

func setting(name string, otherwise int) int {
	if n, err := strconv.Atoi(os.Getenv(name)); err == nil && n > 0 {
		return n
	}
	return otherwise
}

// emitLoads say how full the rooms are, how many emits a round has, and how many a second (0: as fast as it goes).
var emitLoads = []struct {
	perRoom, events, rate int
}{
	{1, 200_000, 0}, {5, 50_000, 0}, {1000, 1000, 0}, {1, 10_000, 2000},
}

// BenchmarkRealtimeIdle and BenchmarkRealtimeEmits measure our Socket.IO server and Node's, one after the other, by the
// same clients: websockets that bring a token which the server verifies, each put into the room of its user.
func BenchmarkRealtimeIdle(b *testing.B) {
	var files syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &files); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		c := compare(b)
		for _, n := range idleSockets {
			c.idle(b, min(n, int(files.Cur)-spareFiles))
		}
	}
}

func BenchmarkRealtimeEmits(b *testing.B) {
	for b.Loop() {
		c := compare(b)
		for _, load := range emitLoads {
			c.emits(b, load.perRoom, max(1, load.events*emitScale/100), load.rate)
		}
	}
}

// idle connects n sockets and leaves them alone.
func (c comparison) idle(b *testing.B, n int) {
	var memory, speed, cost [2]float64
	for i, p := range c.peers {
		s := startPeer(b, p)
		empty, spent := s.residentKiB(b), s.cpu(b)
		begin := time.Now()
		clients := connect(b, s, n, n)
		speed[i] = float64(n) / time.Since(begin).Seconds()
		cost[i] = micros(s.cpu(b)-spent) / float64(n)
		time.Sleep(idleTime)
		memory[i] = (s.residentKiB(b) - empty) / float64(n)
		clients.close(b)
		s.stop()
	}
	name := fmt.Sprintf("%d sockets: ", n)
	c.print(name+"KiB resident per idle one", memory, lower, "≤ 7 KiB")
	c.print(name+"connects per second", speed, higher, "≥ 3")
	c.print(name+"µs of server CPU per connect", cost, lower, "")
}

// emits emits to rooms of so many sockets.
func (c comparison) emits(b *testing.B, perRoom, events, rate int) {
	rooms := audience / perRoom
	var speed, cost [2]float64
	for i, p := range c.peers {
		s := startPeer(b, p)
		clients := connect(b, s, audience, rooms)
		clients.receive(b, s, max(1, events/4), rooms, perRoom, rate) // warms up
		var speeds, costs []float64
		for range rounds {
			spent, begin := s.cpu(b), time.Now()
			clients.receive(b, s, events, rooms, perRoom, rate)
			speeds = append(speeds, float64(events)/time.Since(begin).Seconds())
			costs = append(costs, micros(s.cpu(b)-spent)/float64(events))
		}
		speed[i], cost[i] = median(speeds), median(costs)
		clients.close(b)
		s.stop()
	}
	name := fmt.Sprintf("rooms of %d: ", perRoom)
	if rate > 0 {
		name = fmt.Sprintf("rooms of %d, %d emits per second: ", perRoom, rate)
	} else {
		c.print(name+"emits per second", speed, higher, "")
	}
	c.print(name+"µs of server CPU per emit", cost, lower, "≥ 3")
}

func micros(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }

func median(figures []float64) float64 {
	slices.SortFunc(figures, cmp.Compare)
	return figures[len(figures)/2]
}

// comparison prints figures of Node's server and ours as they come.
type comparison struct{ peers [2]peer }

func compare(b *testing.B) comparison {
	c := comparison{buildPeers(b)}
	fmt.Printf("\n%-64s%10s%10s%14s  %s\n", "", "Node", "ours", "times better", "aim")
	return c
}

// What is better.
const (
	lower  = false
	higher = true
)

func (c comparison) print(name string, figures [2]float64, better bool, aim string) {
	ratio := figures[0] / figures[1]
	if better == higher {
		ratio = 1 / ratio
	}
	fmt.Printf("%-64s%10.4g%10.4g%14.1f  %s\n", name, figures[0], figures[1], ratio, aim)
}
