package testenv

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"testing"
)

// StartRedis starts a redis-server of the test's own, in memory only, and returns its URL.
func StartRedis(t testing.TB) string {
	t.Helper()
	Need(t, Redis)
	port := FreePort(t)
	cmd := exec.CommandContext(t.Context(), "redis-server",
		"--bind", "127.0.0.1", "--port", port, "--dir", t.TempDir(), "--save", "", "--appendonly", "no")
	Start(t, cmd).Line(t, "Ready to accept connections")
	return "redis://127.0.0.1:" + port
}

// StartSentinel starts a Redis Sentinel that watches the master at this port under the name main, decides alone, and knows
// of so many replicas. It returns its address; a line with "+switch-master" tells of a failover.
func StartSentinel(t testing.TB, master string, replicas int) (address string, sentinel *Process) {
	t.Helper()
	port, file := FreePort(t), filepath.Join(t.TempDir(), "sentinel.conf")
	settings := "sentinel monitor main 127.0.0.1 " + master + " 1\n" +
		"sentinel down-after-milliseconds main 500\nsentinel failover-timeout main 2000\n"
	if err := os.WriteFile(file, []byte(settings), 0o600); err != nil {
		t.Fatal(err)
	}
	sentinel = Start(t, exec.CommandContext(t.Context(), "redis-server", file, "--sentinel", "--bind", "127.0.0.1", "--port", port))
	for range replicas {
		sentinel.Line(t, "+slave slave")
	}
	return "127.0.0.1:" + port, sentinel
}

// StartNode starts a script of interop/ in Node.js; the packages of interop/package.json are there for it.
func StartNode(t testing.TB, script string, args ...string) *Process {
	t.Helper()
	Need(t, Node)
	return Start(t, inInterop(exec.CommandContext(t.Context(), "node", append([]string{script}, args...)...)))
}

// StartPython starts Python in interop/ with these arguments; FastAPI, uvicorn and python-socketio are there for it.
func StartPython(t testing.TB, args ...string) *Process {
	t.Helper()
	Need(t, Python)
	python, err := findPython()
	if err != nil {
		t.Fatal(err)
	}
	cmd := inInterop(exec.CommandContext(t.Context(), python, args...))
	cmd.Env = append(os.Environ(), "PYTHONDONTWRITEBYTECODE=1", "PYTHONUNBUFFERED=1")
	return Start(t, cmd)
}

func inInterop(cmd *exec.Cmd) *exec.Cmd {
	cmd.Dir = filepath.Join(Root(), "interop")
	return cmd
}

var (
	mainRuns bool   // whether [Main] will remove buildDir
	buildDir string // "" until something was built

	builds struct {
		sync.Mutex
		binaries map[string]string // by tag
	}
)

// BuildLoupe returns the path of our binary, built once for the whole test run, with the race detector if the test has
// it, and with those build tags. The package's TestMain must be [Main], which removes it.
func BuildLoupe(t testing.TB, tags ...string) string {
	t.Helper()
	if !mainRuns {
		t.Fatal("testenv.BuildLoupe wants testenv.Main in TestMain")
	}
	binary, err := buildLoupe(context.WithoutCancel(t.Context()), strings.Join(tags, ","))
	if err != nil {
		t.Fatal(err)
	}
	return binary
}

func buildLoupe(ctx context.Context, tags string) (string, error) {
	builds.Lock()
	defer builds.Unlock()
	if binary := builds.binaries[tags]; binary != "" {
		return binary, nil
	}
	if buildDir == "" {
		dir, err := os.MkdirTemp("", "loupe")
		if err != nil {
			return "", err
		}
		buildDir, builds.binaries = dir, make(map[string]string)
	}
	binary := filepath.Join(buildDir, "loupe-"+tags)
	args := []string{"build", "-o", binary, "-tags", tags}
	if info, ok := debug.ReadBuildInfo(); ok && slices.Contains(info.Settings, debug.BuildSetting{Key: "-race", Value: "true"}) {
		args = append(args, "-race")
	}
	cmd := exec.CommandContext(ctx, "go", append(args, "./cmd/loupe")...)
	cmd.Dir = Root()
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build: %w\n%s", err, out)
	}
	builds.binaries[tags] = binary
	return binary, nil
}
