// Command conformance runs the official protocol test suites of Engine.IO v4 and Socket.IO v5 against this server.
//
//	go run ./socketio/internal/conformance [-runs 10] <checkout of github.com/socketio/socket.io>
//
// It needs node and npm. Without a checkout it only serves what the suites expect to meet, at -addr, until interrupted.
//
// On a machine that is busy beyond its processors no server passes all runs: "closes the session upon cancelled polling
// request" cancels 5 ms after it has begun to connect, and if the client did not get to run meanwhile, there has been no
// request. The server then sees a connection that ends without a byte.
package main

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "conformance:", err)
		os.Exit(1)
	}
}

// suites are where the two suites lie in the checkout, and how many tests each has.
var suites = []struct {
	dir   string
	tests int
}{
	{"docs/engine.io-protocol/v4-test-suite", 25},
	{"docs/socket.io-protocol/v5-test-suite", 32},
}

// listener may have more to it on some systems.
var listener net.ListenConfig

// inOrder begins with each connection before it takes the next one, for the suites tell the first of two polling requests
// from the second. Go runs the newest goroutine first: of two requests that have come meanwhile, the second would win.
type inOrder struct{ net.Listener }

func (l inOrder) Accept() (net.Conn, error) {
	runtime.Gosched()
	return l.Listener.Accept()
}

func run(ctx context.Context) error {
	runs := flag.Int("runs", 1, "how often to run each suite")
	addr := flag.String("addr", "127.0.0.1:0", "where to serve")
	flag.Parse()

	l, err := listener.Listen(ctx, "tcp", *addr)
	if err != nil {
		return err
	}
	l = inOrder{l}
	if flag.NArg() == 0 {
		fmt.Println("serving at", l.Addr())
		return serve(ctx, l)
	}
	ctx, cancel := context.WithCancel(ctx)
	served := make(chan error, 1)
	go func() { served <- serve(ctx, l) }()
	err = runSuites(ctx, flag.Arg(0), l.Addr().String(), *runs)
	cancel()
	if serveErr := <-served; err == nil {
		err = serveErr
	}
	return err
}

func runSuites(ctx context.Context, checkout, addr string, runs int) error {
	for _, suite := range suites {
		dir, err := install(ctx, filepath.Join(checkout, suite.dir), addr)
		if err != nil {
			return err
		}
		defer os.RemoveAll(dir)
		for i := range runs {
			mocha := exec.CommandContext(ctx, "npx", "--no-install", "mocha", "test-suite.js")
			mocha.Dir = dir
			out, err := mocha.CombinedOutput()
			if err != nil {
				return fmt.Errorf("%s, run %d of %d: %w\n%s", suite.dir, i+1, runs, err, out)
			}
			if want := fmt.Sprintf("%d passing", suite.tests); !bytes.Contains(out, []byte(want)) {
				return fmt.Errorf("%s, run %d of %d: not %q\n%s", suite.dir, i+1, runs, want, out)
			}
			fmt.Printf("%s, run %d of %d: %d of %d passed\n", suite.dir, i+1, runs, suite.tests, suite.tests)
		}
	}
	return nil
}

// install copies a suite into a directory of its own, points it at addr and installs what it needs.
func install(ctx context.Context, from, addr string) (dir string, err error) {
	dir, err = os.MkdirTemp("", "conformance")
	if err != nil {
		return "", err
	}
	for _, name := range []string{"test-suite.js", "node-imports.js", "package.json", "package-lock.json"} {
		b, err := os.ReadFile(filepath.Join(from, name))
		if err != nil {
			return dir, err
		}
		b = bytes.ReplaceAll(b, []byte("http://localhost:3000"), []byte("http://"+addr))
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
			return dir, err
		}
	}
	npm := exec.CommandContext(ctx, "npm", "ci", "--no-audit", "--no-fund")
	npm.Dir = dir
	if out, err := npm.CombinedOutput(); err != nil {
		return dir, fmt.Errorf("npm ci: %w\n%s", err, out)
	}
	return dir, nil
}
