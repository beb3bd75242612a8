package testenv

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

// A Part is something outside Go that a test can need.
type Part struct {
	Name   string // as LOUPE_TEST_REQUIRE spells it
	Enable string // what to do where it is missing
	find   func() error
}

// The parts there are.
var (
	Redis = Part{
		Name:   "redis",
		Enable: "install redis-server",
		find:   func() error { return inPath("redis-server") },
	}
	Node = Part{
		Name:   "node",
		Enable: "install Node.js 18 or newer and run `npm ci` in interop/",
		find: func() error {
			if _, err := os.Stat(filepath.Join(Root(), "interop", "node_modules")); err != nil {
				return errors.New("interop/node_modules is not there")
			}
			return inPath("node")
		},
	}
	Python = Part{
		Name:   "python",
		Enable: "install Python 3 with " + strings.Join(pythonModules, ", ") + " (Debian: python3-fastapi and so on)",
		find:   func() error { _, err := findPython(); return err },
	}
	Chromium = Part{
		Name:   "chromium",
		Enable: "install chromium",
		find:   func() error { return inPath("chromium") },
	}

	parts = []Part{Redis, Node, Python, Chromium}
)

// The environment of the test run.
const (
	requireVar = "LOUPE_TEST_REQUIRE"  // "all", or names of parts with commas between: missing ones fail, not skip
	leftOutVar = "LOUPE_TEST_LEFT_OUT" // a file that gets a line for each part that was missing
)

// Need skips the test if one of the parts is missing, and has `make test` say so in its last lines. Where
// LOUPE_TEST_REQUIRE is "all" or names the part, as in CI, the test fails instead.
func Need(t testing.TB, needed ...Part) {
	t.Helper()
	required := strings.Split(os.Getenv(requireVar), ",")
	for _, name := range required {
		if known := func(p Part) bool { return p.Name == name }; name != "" && name != "all" && !slices.ContainsFunc(parts, known) {
			t.Fatalf("%s names %q, which is no part of ours", requireVar, name)
		}
	}
	for _, p := range needed {
		err := p.find()
		switch {
		case err == nil:
		case slices.Contains(required, "all"), slices.Contains(required, p.Name):
			t.Fatalf("%s is required by %s, but %v: %s", p.Name, requireVar, err, p.Enable)
		default:
			if err := recordLeftOut(fmt.Sprintf("tests with %s (%v): %s", p.Name, err, p.Enable)); err != nil {
				t.Fatal(err)
			}
			t.Skipf("%v: %s", err, p.Enable)
		}
	}
}

// recordLeftOut appends to the list that `make test` prints at its end. Only a run that leaves something out reads the
// variable, so the results of all others can be cached.
func recordLeftOut(line string) error {
	name := os.Getenv(leftOutVar)
	if name == "" {
		return nil
	}
	f, err := os.OpenFile(name, os.O_APPEND|os.O_WRONLY|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(f, line)
	return errors.Join(err, f.Close())
}

func inPath(program string) error {
	if _, err := exec.LookPath(program); err != nil {
		return fmt.Errorf("%s is not in PATH", program)
	}
	return nil
}

var pythonModules = []string{"fastapi", "uvicorn", "socketio", "requests", "websocket"}

// findPython returns an interpreter that has our modules. Debian's packages are those of /usr/bin/python3, which need
// not be the first in PATH.
var findPython = sync.OnceValues(func() (string, error) {
	for _, python := range []string{"python3", "/usr/bin/python3"} {
		if exec.Command(python, "-c", "import "+strings.Join(pythonModules, ", ")).Run() == nil {
			return python, nil
		}
	}
	return "", fmt.Errorf("no python3 has %s", strings.Join(pythonModules, ", "))
})
