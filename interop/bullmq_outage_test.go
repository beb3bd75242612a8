package interop

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/redis/rueidis"

	"loupe/internal/testenv"
)

var bullmqOutageChecks = []bullmqCheck{
	{42, "without scripts, restarted, failed over", checkOutages},
}

// startServer starts a redis-server, or a Sentinel, and waits for a line that it prints.
func startServer(t *testing.T, port, line string, args ...string) *testenv.Process {
	t.Helper()
	p := testenv.Start(t, exec.Command("redis-server", append(args, "--port", port, "--bind", "127.0.0.1")...))
	p.Line(t, line)
	return p
}

// Sleeping workers are woken after Redis has lost its scripts, was killed and has come back, or was failed over. What the
// peers need outlives the tests in which they are closed.
func checkOutages(c *bullmqCase) {
	port, dir := testenv.FreePort(c), c.TempDir()
	start := func() *testenv.Process {
		return startServer(c.T, port, "Ready to accept", "--dir", dir, "--save", "", "--appendonly", "yes", "--appendfsync", "always")
	}
	redis := start()
	fleet := startBullmqFleet(c.T, rueidis.ClientOption{InitAddress: []string{"127.0.0.1:" + port}}, c.version)
	c.Run("restart", func(t *testing.T) {
		fleet.newCase(t, c.version).outages(
			func(d *bullmqCase) {
				if err := d.redis("SCRIPT", "FLUSH").Error(); err != nil {
					d.Fatal(err)
				}
			},
			func(d *bullmqCase) {
				redis.Kill()
				redis = start()
				d.soon("Redis to answer", func() bool { return d.redis("PING").Error() == nil })
			},
		)
	})

	master, replica, sentinel := testenv.FreePort(c), testenv.FreePort(c), testenv.FreePort(c)
	first := startServer(c.T, master, "Ready to accept", "--dir", c.TempDir(), "--save", "", "--repl-diskless-sync-delay", "0")
	startServer(c.T, replica, "Finished with success", "--dir", c.TempDir(), "--save", "", "--replicaof", "127.0.0.1 "+master)
	settings := filepath.Join(c.TempDir(), "sentinel.conf")
	if err := os.WriteFile(settings, []byte("sentinel monitor main 127.0.0.1 "+master+" 1\nsentinel down-after-milliseconds main 300\n"), 0o600); err != nil {
		c.Fatal(err)
	}
	startServer(c.T, sentinel, "+slave slave", settings, "--sentinel")
	server := rueidis.ClientOption{InitAddress: []string{"127.0.0.1:" + sentinel}, Sentinel: rueidis.SentinelOption{MasterSet: "main"}}
	fleet = startBullmqFleet(c.T, server, c.version)
	c.Run("failover", func(t *testing.T) {
		fleet.newCase(t, c.version).outages(func(d *bullmqCase) {
			if n, err := d.redis("WAIT", "1", "10000").AsInt64(); n != 1 || err != nil {
				d.Fatal("the replica lags", err)
			}
			first.Kill()
			d.soon("the replica to take over", func() bool { return d.redis("SET", "written", "1").Error() == nil })
		})
	})
}

// outages lets workers of both sleep, does something to Redis, and looks whether they wake for what is added and for what
// was delayed before.
func (c *bullmqCase) outages(outages ...func(*bullmqCase)) {
	type direction struct {
		*bullmqCase
		from bullmqPeer
		w    bullmqWorker
		ids  []string
	}
	toUs, toNode := c.on("to us"), c.on("to node")
	ways := []*direction{
		{bullmqCase: toUs, from: c.node, w: toUs.work(c.us, nil, obj{"lockDuration": 3000, "stalledInterval": 1000})},
		{bullmqCase: toNode, from: c.us, w: toNode.work(c.node, nil, obj{"lockDuration": 3000, "stalledInterval": 1000})},
	}
	for _, d := range ways {
		d.ids = append(d.ids, d.add(d.from, "n", 1, nil))
		d.ends(1)
	}
	for i, outage := range outages {
		for _, d := range ways {
			d.idle()
			d.ids = append(d.ids, d.add(d.from, "later", 1, obj{"delay": 3600000}))
		}
		outage(c)
		for _, d := range ways {
			d.do(d.from, "job.changeDelay", d.ids[len(d.ids)-1], 50)
			d.ids = append(d.ids, d.add(d.from, "n", 1, nil))
			d.ends(2*i + 3)
		}
	}
	for _, d := range ways {
		d.once(d.ids, d.w)
		d.quiet()
	}
}
