package bullmq

import (
	"net"
	"strconv"
	"testing"
	"time"

	"github.com/redis/rueidis"

	"loupe/internal/testenv"
)

// cluster is a Redis Cluster of three, and where the keys of one queue are.
type cluster struct {
	nodes []*testenv.RedisNode
	ids   []string         // of the nodes
	alone []rueidis.Client // one for each node, which follow no redirection
	slot  int64
	owner int // of nodes, has the slot
}

const clusterPrefix = "{bull}"

// startClusterOfThree starts one and finds the slot of the queues with [clusterPrefix].
func startClusterOfThree(t *testing.T) *cluster {
	t.Helper()
	c := &cluster{nodes: testenv.StartRedisCluster(t)}
	for i, node := range c.nodes {
		client, err := rueidis.NewClient(rueidis.ClientOption{InitAddress: []string{node.Address}, ForceSingleClient: true, DisableCache: true})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(client.Close)
		c.alone = append(c.alone, client)
		id, err := c.say(t, i, "CLUSTER", "MYID").ToString()
		if err != nil {
			t.Fatal(err)
		}
		c.ids = append(c.ids, id)
	}
	c.slot, _ = c.say(t, 0, "CLUSTER", "KEYSLOT", clusterPrefix).AsInt64()
	for i := range c.nodes {
		if c.say(t, i, "EXISTS", clusterPrefix).Error() == nil {
			c.owner = i
		}
	}
	return c
}

// say gives a command to one node.
func (c *cluster) say(t *testing.T, node int, command ...string) rueidis.RedisResult {
	t.Helper()
	client := c.alone[node]
	return client.Do(t.Context(), client.B().Arbitrary(command...).Build())
}

// must gives a command to one node, which has to obey.
func (c *cluster) must(t *testing.T, node int, command ...string) rueidis.RedisResult {
	t.Helper()
	answer := c.say(t, node, command...)
	if err := answer.Error(); err != nil {
		t.Fatalf("%q: %v", command, err)
	}
	return answer
}

// moveSlot moves the slot to the next node as redis-cli does, a few keys at a time. That a key is at both nodes already
// ends the test: nothing that is there may be written over.
func (c *cluster) moveSlot(t *testing.T, keysAtOnce int, pause time.Duration) {
	t.Helper()
	from, to, slot := c.owner, (c.owner+1)%len(c.nodes), strconv.FormatInt(c.slot, 10)
	host, port, _ := net.SplitHostPort(c.nodes[to].Address)
	c.must(t, to, "CLUSTER", "SETSLOT", slot, "IMPORTING", c.ids[from])
	c.must(t, from, "CLUSTER", "SETSLOT", slot, "MIGRATING", c.ids[to])
	tick := time.NewTicker(pause)
	defer tick.Stop()
	for {
		keys, err := c.must(t, from, "CLUSTER", "GETKEYSINSLOT", slot, strconv.Itoa(keysAtOnce)).AsStrSlice()
		if err != nil {
			t.Fatal(err)
		}
		if len(keys) == 0 {
			break
		}
		c.must(t, from, append([]string{"MIGRATE", host, port, "", "0", "10000", "KEYS"}, keys...)...)
		<-tick.C
	}
	for i := range c.nodes {
		c.must(t, (to+i)%len(c.nodes), "CLUSTER", "SETSLOT", slot, "NODE", c.ids[to])
	}
	c.owner = to
}

// addReplica gives the node that has the slot a replica, which knows all of it when addReplica returns.
func (c *cluster) addReplica(t *testing.T) *ownRedis {
	t.Helper()
	busPort := testenv.FreePort(t)
	r := startOwnRedis(t, "--cluster-enabled", "yes", "--cluster-port", busPort, "--cluster-node-timeout", "2000",
		"--repl-diskless-sync-delay", "0", "--appendfsync", "no")
	client, err := rueidis.NewClient(rueidis.ClientOption{InitAddress: []string{r.addr()}, ForceSingleClient: true, DisableCache: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	c.must(t, c.owner, "CLUSTER", "MEET", "127.0.0.1", r.port, busPort)
	eventually(t, "the replica to follow", func() bool {
		return client.Do(t.Context(), client.B().Arbitrary("CLUSTER", "REPLICATE", c.ids[c.owner]).Build()).Error() == nil
	})
	r.process.Line(t, "Finished with success")
	return r
}
