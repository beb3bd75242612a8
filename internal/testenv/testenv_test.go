package testenv

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestMain(m *testing.M) { Main(m) }

func TestSettleFindsALeakedGoroutine(t *testing.T) {
	before := len(goroutines()) // no test runs beside this one
	release := make(chan struct{})
	go func() { <-release }()
	if left := settle(before, 50*time.Millisecond); len(left) != before+1 || !strings.Contains(strings.Join(left, "\n"), "TestSettleFinds") {
		t.Errorf("%d goroutines, want %d:\n%s", len(left), before+1, strings.Join(left, "\n\n"))
	}
	close(release)
	if left := settle(before, settleTime); len(left) != before {
		t.Errorf("%d goroutines, want %d", len(left), before)
	}
}

// verdict is a testing.TB that takes down how a test was ended, instead of ending it.
type verdict struct {
	testing.TB
	skipped, failed string
}

type stop struct{}

func (v *verdict) Helper()                   {}
func (v *verdict) Skipf(f string, a ...any)  { v.skipped = fmt.Sprintf(f, a...); panic(stop{}) }
func (v *verdict) Fatalf(f string, a ...any) { v.failed = fmt.Sprintf(f, a...); panic(stop{}) }

func need(p ...Part) (v verdict) {
	defer func() {
		if r := recover(); r != nil && r != (stop{}) {
			panic(r)
		}
	}()
	Need(&v, p...)
	return v
}

func TestNeed(t *testing.T) {
	here := Part{Name: "here", find: func() error { return nil }}
	gone := Part{Name: "redis", Enable: "install it", find: func() error { return errors.New("not found") }}
	for _, c := range []struct {
		require string
		need    []Part
		verdict string // "" to go on, else how its message begins
		leftOut bool
	}{
		{"", []Part{here}, "", false},
		{"all", []Part{here}, "", false},
		{"", []Part{here, gone}, "skip not found", true},
		{"node", []Part{gone}, "skip not found", true},
		{"all", []Part{here, gone}, "fail redis is required", false},
		{"node,redis", []Part{gone}, "fail redis is required", false},
		{"rediss", []Part{here}, `fail LOUPE_TEST_REQUIRE names "rediss"`, false},
	} {
		t.Run(c.require+"/"+c.verdict, func(t *testing.T) {
			list := filepath.Join(t.TempDir(), "left-out")
			t.Setenv(requireVar, c.require)
			t.Setenv(leftOutVar, list)
			got := ""
			if v := need(c.need...); v.skipped != "" {
				got = "skip " + v.skipped
			} else if v.failed != "" {
				got = "fail " + v.failed
			}
			if !strings.HasPrefix(got, c.verdict) || (got == "") != (c.verdict == "") {
				t.Errorf("verdict %q, want %q", got, c.verdict)
			}
			if line, err := os.ReadFile(list); (err == nil) != c.leftOut {
				t.Errorf("left out: %q, %v", line, err)
			} else if c.leftOut && string(line) != "tests with redis (not found): install it\n" {
				t.Errorf("left out: %q", line)
			}
		})
	}
}

func TestProcessEndsWithItsChildren(t *testing.T) {
	t.Parallel()
	var child int
	t.Run("start", func(t *testing.T) {
		p := Start(t, exec.CommandContext(t.Context(), "sh", "-c", "echo before; sleep 600 & echo child $!; wait"))
		var err error
		if child, err = strconv.Atoi(strings.TrimPrefix(p.Line(t, "child "), "child ")); err != nil {
			t.Fatal(err)
		}
		if p.Output() != fmt.Sprintf("before\nchild %d\n", child) {
			t.Errorf("output %q", p.Output())
		}
	})
	for deadline := time.Now().Add(settleTime); !errors.Is(syscall.Kill(child, 0), syscall.ESRCH); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("the child %d has outlived the test", child)
		}
	}
}

func TestProcessLine(t *testing.T) {
	t.Parallel()
	p := Start(t, exec.CommandContext(t.Context(), "sh", "-c", "echo a 1; echo b 1; echo a 2; echo b 2"))
	for _, want := range []string{"b 1", "a 1", "a 2", "b 2"} {
		if line := p.Line(t, want[:2]); line != want {
			t.Errorf("line %q, want %q", line, want)
		}
	}
}

func TestProcessExitCode(t *testing.T) {
	t.Parallel()
	p := Start(t, exec.CommandContext(t.Context(), "sh", "-c", "read code; exit $code"))
	p.Say(t, "7")
	if code := p.ExitCode(t); code != 7 {
		t.Errorf("exit code %d, want 7", code)
	}
}

func TestProcessStops(t *testing.T) {
	t.Parallel()
	p := Start(t, exec.CommandContext(t.Context(), "sh", "-c", "trap 'exit 0' TERM; echo ready; while :; do sleep 0.01; done"))
	p.Line(t, "ready")
	p.Stop(t)

	p = Start(t, exec.CommandContext(t.Context(), "sleep", "600"))
	p.Kill()
	p.Stop(t)
	if code := p.ExitCode(t); code != -1 {
		t.Errorf("exit code %d of a killed process, want -1", code)
	}
}

func TestStartRedis(t *testing.T) {
	t.Parallel()
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", strings.TrimPrefix(StartRedis(t), "redis://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprint(conn, "PING\r\n")
	if line, err := bufio.NewReader(conn).ReadString('\n'); err != nil || line != "+PONG\r\n" {
		t.Errorf("answer %q, %v", line, err)
	}
}

func TestStartPython(t *testing.T) {
	t.Parallel()
	if line := StartPython(t, "-c", "import fastapi; print('has', fastapi.__name__)").Line(t, "has"); line != "has fastapi" {
		t.Errorf("printed %q", line)
	}
}
