package bullmq

import (
	"fmt"
	"io"
	"net"
	"os/exec"
	"sync"
	"testing"
	"time"

	"github.com/redis/rueidis"

	"loupe/internal/testenv"
)

func TestMain(m *testing.M) { testenv.MainThen(m, sharedRedis.stop) }

// sharedRedis is the one server of all tests that do not break theirs; each test has a prefix of its own on it.
var sharedRedis redisServer

type redisServer struct {
	args []string // beyond what every server gets
	once sync.Once
	cmd  *exec.Cmd
	in   io.Closer // the server lives until this is closed, at the latest by the end of the test process
	addr string
}

// start starts the server with the first test that needs it and returns its address.
func (s *redisServer) start(t testing.TB) string {
	t.Helper()
	testenv.Need(t, testenv.Redis)
	s.once.Do(func() {
		port := testenv.FreePort(t)
		cmd := exec.Command("sh", append([]string{"-c", `redis-server --bind 127.0.0.1 --port "$0" --dir /tmp --save "" --appendonly no "$@" & read -r _; kill $!; wait`, port}, s.args...)...)
		in, err := cmd.StdinPipe()
		if err == nil {
			err = cmd.Start()
		}
		if err != nil {
			t.Fatal(err)
		}
		s.cmd, s.in, s.addr = cmd, in, "127.0.0.1:"+port
		for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(5 * time.Millisecond) {
			c, err := net.Dial("tcp", s.addr)
			if err == nil {
				c.Close()
				return
			}
			if time.Now().After(deadline) {
				t.Fatal(err)
			}
		}
	})
	return s.addr
}

func (s *redisServer) stop() error {
	if s.cmd == nil {
		return nil
	}
	s.in.Close()
	if err := s.cmd.Wait(); err != nil {
		return fmt.Errorf("redis-server: %w", err)
	}
	return nil
}

// newClient returns a client of the shared server.
func newClient(t testing.TB) rueidis.Client {
	t.Helper()
	return connect(t, sharedRedis.start(t))
}

// connect returns a client that is closed with the test.
func connect(t testing.TB, addr string) rueidis.Client {
	t.Helper()
	client, err := rueidis.NewClient(rueidis.ClientOption{InitAddress: []string{addr}, DisableCache: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return client
}
