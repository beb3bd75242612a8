// Package testenv gives tests what lies outside Go: programs that may be missing ([Need]), processes that end with their
// test ([Start], [StartRedis], [StartNode], [StartPython]), our own binary ([BuildLoupe]), and a check that nothing is
// left behind ([Main]). Only tests import it.
package testenv

import (
	"crypto/rand"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"loupe/internal/freeport"
)

// settleTime is how long goroutines have to end after the last test.
const settleTime = 2 * time.Second

// Main runs a package's tests and then fails them if goroutines are left that were not there before:
//
//	func TestMain(m *testing.M) { testenv.Main(m) }
func Main(m *testing.M) { MainThen(m, func() error { return nil }) }

// MainThen is [Main] with a last check, which is made if all tests have passed.
func MainThen(m *testing.M, check func() error) {
	before := len(goroutines())
	mainRuns = true
	code := m.Run()
	if buildDir != "" {
		os.RemoveAll(buildDir)
	}
	http.DefaultClient.CloseIdleConnections()
	if left := settle(before, settleTime); code == 0 && len(left) > before {
		fmt.Fprintf(os.Stderr, "%d goroutines at the start, %d at the end:\n\n%s\n", before, len(left), strings.Join(left, "\n\n"))
		code = 1
	}
	if err := check(); code == 0 && err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// settle waits until no more than want goroutines are left, at most so long, and returns the stacks of all.
func settle(want int, within time.Duration) []string {
	for deadline := time.Now().Add(within); ; time.Sleep(10 * time.Millisecond) {
		left := goroutines()
		if len(left) <= want || time.Now().After(deadline) {
			return left
		}
	}
}

// goroutines returns the stack of every goroutine but that of package os/signal, which the first [signal.Notify] starts
// and nothing ends, and those in which rueidis sleeps for 5 s before it closes a connection that a Redis Cluster has
// replaced.
func goroutines() []string {
	buf := make([]byte, 1<<20)
	for n := runtime.Stack(buf, true); ; n = runtime.Stack(buf, true) {
		if n < len(buf) {
			buf = buf[:n]
			break
		}
		buf = make([]byte, 2*len(buf))
	}
	var stacks []string
	for s := range strings.SplitSeq(string(buf), "\n\n") {
		closing := strings.Contains(s, "[sleep") && strings.Contains(s, "rueidis.(*clusterClient)")
		if !strings.Contains(s, "os/signal.loop") && !closing {
			stacks = append(stacks, s)
		}
	}
	return stacks
}

// FreePort returns a TCP port of the loopback address that is free. Prefer port 0 where the program can tell which one it
// got.
func FreePort(t testing.TB) string {
	t.Helper()
	port, err := freeport.Find(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return port
}

// Prefix returns a name that no other test uses, for keys in a store that tests share.
func Prefix(t testing.TB) string {
	return strings.ReplaceAll(t.Name(), "/", "-") + "-" + rand.Text()
}

// Root returns the directory of our go.mod.
func Root() string { return root() }

var root = sync.OnceValue(func() string {
	dir, err := os.Getwd()
	if err != nil {
		panic(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir
		}
		if dir == filepath.Dir(dir) {
			panic("testenv: no go.mod above the working directory")
		}
		dir = filepath.Dir(dir)
	}
})
