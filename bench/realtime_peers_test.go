package bench

import (
	"bufio"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// payload is what every event carries: 79 bytes.
const payload = `{"assetId":"01JD8Z3K6Q4W7V2N9R5T1X8Y0B","status":"active","confidence":0.93812}`

// peer is a server that can be measured, built from peers/.
type peer struct {
	name    string
	command []string
}

// buildPeers returns Node's server and ours.
func buildPeers(b *testing.B) [2]peer {
	node := filepath.Join("peers", "node")
	if _, err := os.Stat(filepath.Join(node, "node_modules")); err != nil {
		run(b, exec.Command("npm", "ci", "--prefix", node))
	}
	binary := filepath.Join(b.TempDir(), "server")
	run(b, exec.Command("go", "build", "-o", binary, "./peers/go"))
	return [2]peer{{"node", []string{"node", filepath.Join(node, "server.mjs")}}, {"go", []string{binary}}}
}

func run(b *testing.B, cmd *exec.Cmd) {
	if out, err := cmd.CombinedOutput(); err != nil {
		b.Fatalf("%s: %v\n%s", cmd, err, out)
	}
}

// peerServer is a server that runs in a process of its own.
type peerServer struct {
	cmd  *exec.Cmd
	addr string
}

func startPeer(b *testing.B, p peer) peerServer {
	cmd := exec.Command(p.command[0], p.command[1:]...)
	cmd.Env = append(os.Environ(), "JWT_SECRET="+secret, "PAYLOAD="+payload)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { cmd.Process.Kill() })
	line, err := bufio.NewReader(out).ReadString('\n')
	port, ok := strings.CutPrefix(strings.TrimSpace(line), "listening on ")
	if !ok {
		b.Fatalf("%s printed %q, %v", p.name, line, err)
	}
	return peerServer{cmd, "127.0.0.1:" + port}
}

func (s peerServer) stop() {
	s.cmd.Process.Kill()
	s.cmd.Wait() // it was killed
}

// orders go over connections of their own: Node closes those that idle for 5 s.
var orders = http.Client{Transport: &http.Transport{DisableKeepAlives: true}}

// emit tells the server to emit so many events, to one room after the other.
func (s peerServer) emit(b *testing.B, events, rooms, rate int) {
	answer, err := orders.Post(fmt.Sprintf("http://%s/emit?events=%d&rooms=%d&rate=%d", s.addr, events, rooms, rate), "", nil)
	if err != nil {
		b.Fatal(err)
	}
	answer.Body.Close()
}

// residentKiB is the memory that the server has now, by Linux's word.
func (s peerServer) residentKiB(b *testing.B) float64 {
	_, rest, _ := strings.Cut(s.proc(b, "status"), "VmRSS:")
	kib, err := strconv.ParseFloat(strings.Fields(rest)[0], 64)
	if err != nil {
		b.Fatal(err)
	}
	return kib
}

// cpu is the time that the server has spent on a processor, the kernel's work for it included.
func (s peerServer) cpu(b *testing.B) time.Duration {
	_, rest, _ := strings.Cut(s.proc(b, "stat"), ") ") // the name of the program may hold spaces
	fields := strings.Fields(rest)
	var ticks int // of 10 ms
	for _, field := range fields[11:13] {
		n, err := strconv.Atoi(field)
		if err != nil {
			b.Fatal(err)
		}
		ticks += n
	}
	return time.Duration(ticks) * 10 * time.Millisecond
}

func (s peerServer) proc(b *testing.B, file string) string {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", s.cmd.Process.Pid, file))
	if err != nil {
		b.Fatal(err)
	}
	return string(text)
}
