package testenv

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"
)

// clusterNodes is how many nodes a Redis Cluster needs at least.
const clusterNodes = 3

// RedisNode is one node of a Redis Cluster.
type RedisNode struct {
	*Process
	Address string // host:port
	port    string
	busPort string
	dir     string
	flags   []string
}

// Restart starts the node again after its end. What it knew of the cluster it knows still.
func (n *RedisNode) Restart(t testing.TB) {
	t.Helper()
	n.Process = Start(t, exec.CommandContext(t.Context(), "redis-server", append([]string{
		"--bind", "127.0.0.1", "--port", n.port, "--dir", n.dir, "--save", "", "--appendonly", "no",
		"--cluster-enabled", "yes", "--cluster-port", n.busPort, "--cluster-node-timeout", "2000",
	}, n.flags...)...))
	n.Line(t, "Ready to accept connections")
}

// StartRedisCluster starts a Redis Cluster of three nodes without replicas, in memory only. The flags are for each.
func StartRedisCluster(t testing.TB, flags ...string) []*RedisNode {
	t.Helper()
	return startRedisCluster(t, nil, flags)
}

// StartTLSRedisCluster is [StartRedisCluster] over TLS.
func StartTLSRedisCluster(t testing.TB, a *Authority, flags ...string) []*RedisNode {
	t.Helper()
	return startRedisCluster(t, a, flags)
}

func startRedisCluster(t testing.TB, a *Authority, flags []string) []*RedisNode {
	t.Helper()
	Need(t, Redis)
	nodes := make([]*RedisNode, clusterNodes)
	const slots = 16384
	for i := range nodes {
		n := &RedisNode{port: FreePort(t), busPort: FreePort(t), dir: t.TempDir(), flags: flags}
		n.Address = net.JoinHostPort("127.0.0.1", n.port)
		if a != nil {
			port := FreePort(t)
			n.Address = net.JoinHostPort("127.0.0.1", port)
			n.flags = append(a.RedisFlags(port), flags...)
		}
		n.Restart(t)
		n.say(t, fmt.Sprintf("CLUSTER ADDSLOTSRANGE %d %d", i*slots/clusterNodes, (i+1)*slots/clusterNodes-1))
		n.say(t, fmt.Sprintf("CLUSTER SET-CONFIG-EPOCH %d", i+1))
		if i > 0 {
			n.say(t, fmt.Sprintf("CLUSTER MEET 127.0.0.1 %s %s", nodes[0].port, nodes[0].busPort))
		}
		nodes[i] = n
	}
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	deadline := time.Now().Add(patience)
	for _, n := range nodes {
		for ; !strings.Contains(n.say(t, "CLUSTER INFO"), "cluster_state:ok"); <-tick.C {
			if time.Now().After(deadline) {
				t.Fatalf("no Redis Cluster after %s", patience)
			}
		}
	}
	return nodes
}

// say sends a command and returns what is answered.
func (n *RedisNode) say(t testing.TB, command string) string {
	t.Helper()
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", net.JoinHostPort("127.0.0.1", n.port))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "%s\r\n", command)
	r := bufio.NewReader(conn)
	answer, err := r.ReadString('\n')
	if length, bulk := strings.CutPrefix(strings.TrimSpace(answer), "$"); bulk && err == nil {
		size, _ := strconv.Atoi(length)
		text := make([]byte, size)
		_, err = io.ReadFull(r, text)
		answer = string(text)
	}
	if err != nil || strings.HasPrefix(answer, "-") {
		t.Fatalf("%s: %q, %v", command, answer, err)
	}
	return answer
}
