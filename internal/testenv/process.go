package testenv

import (
	"bytes"
	"io"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

const (
	patience  = 2 * time.Minute // how long a test waits for a line or an end before it fails
	maxOutput = 4 << 20         // bytes kept of what a process prints; the rest is dropped
	pipeDelay = 5 * time.Second // how long a grandchild can keep an ended process's output open
)

// Process is a program that a test has started. It is killed with its children when the test ends; what it printed is
// logged if the test failed. Its methods that take t are for the test's own goroutine.
type Process struct {
	name string
	cmd  *exec.Cmd
	in   io.WriteCloser
	done chan struct{}  // closed when the process has ended and all it printed is in out
	read map[string]int // how far Line has read, looking for a text

	killed atomic.Bool

	mu   sync.Mutex
	out  []byte
	more chan struct{} // closed, and replaced, with every write to out
}

// Start starts cmd in a process group of its own. A data race that the program reports fails the test.
func Start(t testing.TB, cmd *exec.Cmd) *Process {
	t.Helper()
	p := &Process{name: filepath.Base(cmd.Path), cmd: cmd, done: make(chan struct{}), read: make(map[string]int), more: make(chan struct{})}
	cmd.Stdout, cmd.Stderr = p, p
	cmd.SysProcAttr = ownGroup()
	cmd.WaitDelay = pipeDelay
	var err error
	if p.in, err = cmd.StdinPipe(); err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		cmd.Wait() //nolint:errcheck // ExitCode tells
		close(p.done)
	}()
	t.Cleanup(func() {
		p.Kill()
		if strings.Contains(p.Output(), "WARNING: DATA RACE") {
			t.Errorf("%s reports a data race", p.name)
		}
		if t.Failed() {
			t.Logf("%s printed:\n%s", p.name, p.Output())
		}
	})
	return p
}

// Write keeps what the process prints.
func (p *Process) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.out = append(p.out, b[:min(len(b), maxOutput-len(p.out))]...)
	close(p.more)
	p.more = make(chan struct{})
	return len(b), nil
}

// Output returns all that the process has printed so far.
func (p *Process) Output() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return string(p.out)
}

// Line waits for a line that contains text and returns it. A further call with the same text goes on behind that line;
// what others have looked for does not matter, so that the order of unrelated lines does not either. It fails the test
// if the process ends without such a line, or after two minutes.
func (p *Process) Line(t testing.TB, text string) string {
	t.Helper()
	timeout := time.After(patience)
	for ended := false; ; {
		line, more := p.next(text)
		switch {
		case line != "":
			return line
		case ended:
			t.Fatalf("%s ended without a line with %q", p.name, text)
		}
		select {
		case <-more:
		case <-p.done:
			ended = true
		case <-timeout:
			t.Fatalf("%s has printed no line with %q for %s", p.name, text, patience)
		}
	}
}

// next returns the next whole line with text, or "" and a channel that closes when there is more to read.
func (p *Process) next(text string) (string, <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for {
		line, _, whole := bytes.Cut(p.out[p.read[text]:], []byte("\n"))
		if !whole {
			return "", p.more
		}
		p.read[text] += len(line) + 1
		if bytes.Contains(line, []byte(text)) {
			return string(line), nil
		}
	}
}

// Say writes a line to the process's standard input.
func (p *Process) Say(t testing.TB, line string) {
	t.Helper()
	if _, err := io.WriteString(p.in, line+"\n"); err != nil {
		t.Fatalf("%s: %v", p.name, err)
	}
}

// Signal sends sig to the process alone.
func (p *Process) Signal(t testing.TB, sig syscall.Signal) {
	t.Helper()
	if err := p.cmd.Process.Signal(sig); err != nil {
		t.Fatalf("%s: %v", p.name, err)
	}
}

// Kill ends the process and its children at once (SIGKILL) and returns when it has ended.
func (p *Process) Kill() {
	p.killed.Store(true)
	syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL) //nolint:errcheck // it may have ended already
	<-p.done
}

// Stop asks the process to end (SIGTERM) and fails the test unless it then ends with code 0. After Kill it does nothing.
func (p *Process) Stop(t testing.TB) {
	t.Helper()
	if p.killed.Load() {
		return
	}
	p.Signal(t, syscall.SIGTERM)
	if code := p.ExitCode(t); code != 0 {
		t.Errorf("%s ended with code %d", p.name, code)
	}
}

// ExitCode waits for the end of the process, at most a minute, and returns its code: -1 if a signal ended it.
func (p *Process) ExitCode(t testing.TB) int {
	t.Helper()
	select {
	case <-p.done:
		return p.cmd.ProcessState.ExitCode()
	case <-time.After(patience):
		t.Fatalf("%s has not ended for %s", p.name, patience)
		return 0
	}
}
