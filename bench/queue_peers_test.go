package bench

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/rueidis"

	"loupe/bench/peers/queuepeer"
)

// The queues under measurement, in the order of the tables.
const (
	node5 = iota
	node6
	asynq
	ours
	queues
)

var queueNames = [queues]string{"Node 5.81", "Node 6.7", "asynq", "ours"}

// contest is the queues, each in a process of its own, and the Redis that they take turns with.
type contest struct {
	addr     string
	redis    rueidis.Client
	commands [queues][]string
	peers    [queues]*queuePeer
	jobs     int // numbers of jobs given out
}

func newContest(b *testing.B) *contest {
	b.Helper()
	c := &contest{addr: startRedis(b)}
	var err error
	if c.redis, err = rueidis.NewClient(rueidis.ClientOption{InitAddress: []string{c.addr}, DisableCache: true}); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(c.redis.Close)
	node, binaries := filepath.Join("peers", "queue-node"), b.TempDir()
	if _, err := os.Stat(filepath.Join(node, "node_modules")); err != nil {
		run(b, exec.Command("npm", "ci", "--prefix", node))
	}
	run(b, exec.Command("go", "build", "-o", binaries, "./peers/queue-asynq", "./peers/queue-loupe"))
	c.commands = [queues][]string{
		node5: {"node", filepath.Join(node, "peer.mjs"), "bullmq-5.81", c.addr},
		node6: {"node", filepath.Join(node, "peer.mjs"), "bullmq-6.7", c.addr},
		asynq: {filepath.Join(binaries, "queue-asynq"), c.addr},
		ours:  {filepath.Join(binaries, "queue-loupe"), c.addr},
	}
	for i := range c.peers {
		c.peers[i] = c.start(b, i)
	}
	return c
}

func startRedis(b *testing.B) (addr string) {
	b.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0") // finds a free port
	if err != nil {
		b.Fatal(err)
	}
	addr = l.Addr().String()
	l.Close()
	_, port, _ := net.SplitHostPort(addr)
	cmd := exec.Command("redis-server", "--bind", "127.0.0.1", "--port", port, "--dir", b.TempDir(), "--save", "", "--appendonly", "no")
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait() // it was killed
	})
	for deadline := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		conn, err := net.Dial("tcp", addr)
		if err == nil {
			conn.Close()
			return addr
		}
		if time.Now().After(deadline) {
			b.Fatal(err)
		}
	}
}

// queuePeer is a process that takes orders.
type queuePeer struct {
	name string
	in   io.WriteCloser
	out  *bufio.Reader
}

// start starts a process with one of the queues.
func (c *contest) start(b *testing.B, queue int) *queuePeer {
	b.Helper()
	cmd := exec.Command(c.commands[queue][0], c.commands[queue][1:]...)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		in.Close()
		cmd.Wait() // it ends with its input
	})
	return &queuePeer{queueNames[queue], in, bufio.NewReader(out)}
}

// do gives an order and waits for the answer.
func (p *queuePeer) do(b *testing.B, o queuepeer.Order) queuepeer.Answer {
	b.Helper()
	line, err := json.Marshal(o)
	if err == nil {
		_, err = p.in.Write(append(line, '\n'))
	}
	var answer queuepeer.Answer
	if err == nil {
		line, err = p.out.ReadBytes('\n')
	}
	if err == nil {
		err = json.Unmarshal(line, &answer)
	}
	if err != nil || answer.Error != "" {
		b.Fatalf("%s: %s: %v %s", p.name, o.Do, err, answer.Error)
	}
	return answer
}

// figures are what one order cost.
type figures struct {
	perSecond float64
	redis     float64 // µs of Redis' CPU per job
	own       float64 // µs of the peer's CPU per job
	allocs    float64 // per job; NaN in Node
	memory    float64 // bytes by which Redis grew per job
}

// measure gives an order to one of the queues.
func (c *contest) measure(b *testing.B, queue int, o queuepeer.Order) figures {
	b.Helper()
	cpu, memory := c.redisCPU(b), c.redisMemory(b)
	a := c.peers[queue].do(b, o)
	n := float64(a.Jobs)
	f := figures{
		perSecond: float64(o.Jobs) / a.Seconds,
		redis:     (c.redisCPU(b) - cpu) / n,
		own:       a.CPU / n,
		allocs:    a.Allocs / n,
		memory:    (c.redisMemory(b) - memory) / n,
	}
	if queue == node5 || queue == node6 {
		f.allocs = math.NaN()
	}
	return f
}

// numbers returns the number before n jobs that nobody else has.
func (c *contest) numbers(n int) (from int) {
	from = c.jobs
	c.jobs += n
	return from
}

func (c *contest) flush(b *testing.B) {
	b.Helper()
	if err := c.redis.Do(b.Context(), c.redis.B().Flushall().Sync().Build()).Error(); err != nil {
		b.Fatal(err)
	}
}

// redisCPU is the CPU time of Redis so far, in µs.
func (c *contest) redisCPU(b *testing.B) float64 {
	b.Helper()
	return (c.info(b, "cpu", "used_cpu_user") + c.info(b, "cpu", "used_cpu_sys")) * 1e6
}

// redisMemory is what Redis has allocated, in bytes.
func (c *contest) redisMemory(b *testing.B) float64 {
	b.Helper()
	return c.info(b, "memory", "used_memory")
}

func (c *contest) info(b *testing.B, section, field string) float64 {
	b.Helper()
	text, err := c.redis.Do(b.Context(), c.redis.B().Info().Section(section).Build()).ToString()
	if err != nil {
		b.Fatal(err)
	}
	_, rest, _ := strings.Cut(text, "\n"+field+":")
	line, _, _ := strings.Cut(rest, "\r")
	value, err := strconv.ParseFloat(line, 64)
	if err != nil {
		b.Fatal(err)
	}
	return value
}

// round calls f for each queue, beginning with another one in each round.
func round(n int, f func(queue int)) {
	for i := range queues {
		f((n + i) % queues)
	}
}

// table collects the figures of all rounds, by row.
type table map[string]*[queues][]float64

func (t table) add(row string, queue int, figure float64) {
	if t[row] == nil {
		t[row] = new([queues][]float64)
	}
	t[row][queue] = append(t[row][queue], figure)
}

// middle returns the medians of a row.
func (t table) middle(row string) (m [queues]float64) {
	for i := range m {
		m[i] = median(t[row][i])
	}
	return m
}

func printQueueHead() {
	fmt.Printf("\n%-52s", "")
	for _, name := range queueNames {
		fmt.Printf("%10s", name)
	}
	fmt.Printf("%9s%9s  %s\n", "× Node", "× asynq", "aim")
}

// print prints a row with the times by which ours is better: than the better of Node's, and than asynq.
func (t table) print(row string, better bool, aim string) {
	m := t.middle(row)
	fmt.Printf("%-52s", row)
	for _, figure := range m {
		if math.IsNaN(figure) {
			fmt.Printf("%10s", "–")
		} else {
			fmt.Printf("%10.4g", figure)
		}
	}
	ratio := func(other float64) float64 {
		if better == higher {
			return m[ours] / other
		}
		return other / m[ours]
	}
	fmt.Printf("%9s%9s  %s\n", times(min(ratio(m[node5]), ratio(m[node6]))), times(ratio(m[asynq])), aim)
}

func times(ratio float64) string {
	if math.IsNaN(ratio) {
		return ""
	}
	return strconv.FormatFloat(ratio, 'f', 2, 64)
}
