package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// process is a program that is started again and again under the same name.
type process struct {
	name    string
	command func() *exec.Cmd            // makes the next one; its output goes to the log
	ready   func(context.Context) error // returns when it works, or with the context
	stdout  func(line string)           // is given the first line of output, if set
	ours    bool                        // a loupe: its memory is measured, its end by itself is a fault
	log     string                      // file
	history *history

	mu   sync.Mutex // held by whoever does something to the process
	life *life
}

// life is one running of a process.
type life struct {
	cmd      *exec.Cmd
	stdin    io.Closer     // some programs end when it does
	done     chan struct{} // closed when it has ended
	measured time.Time     // when its memory was looked at
}

const (
	startPatience = time.Minute            // that a process has to work, attempts that fail included
	startPause    = 300 * time.Millisecond // between two attempts to start
	stopPatience  = time.Minute            // after which a process that was asked to end is killed
)

// start starts the process and returns when it works. One that ends before it works, because what it needs is down, is
// started again.
func (p *process) start(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startPatience)
	defer cancel()
	for {
		err := p.startOnce(ctx)
		if err == nil {
			p.history.add(entry{Kind: started, Process: p.name, Number: int64(p.life.cmd.Process.Pid)})
			return nil
		}
		if ctx.Err() != nil {
			return fmt.Errorf("%s does not start: %w", p.name, err)
		}
		pause(ctx, startPause)
	}
}

func (p *process) startOnce(ctx context.Context) error {
	log, err := os.OpenFile(p.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	l := &life{cmd: p.command(), done: make(chan struct{})}
	l.cmd.Stderr = log
	var out io.ReadCloser
	if p.stdout == nil {
		l.cmd.Stdout = log
	} else if out, err = l.cmd.StdoutPipe(); err != nil {
		return err
	}
	if l.stdin, err = l.cmd.StdinPipe(); err != nil {
		return err
	}
	l.cmd.SysProcAttr = ownGroup()
	if err := l.cmd.Start(); err != nil {
		return err
	}
	if out != nil {
		defer context.AfterFunc(ctx, func() { l.signal(syscall.SIGKILL) })() // it may never say a word
		line, err := bufio.NewReader(out).ReadString('\n')
		if err == nil {
			p.stdout(strings.TrimSpace(line))
		}
	}
	go func() {
		if out != nil {
			_, _ = io.Copy(io.Discard, out)
		}
		_ = l.cmd.Wait() // ProcessState tells
		close(l.done)
	}()
	if err := p.untilReady(ctx, l); err != nil {
		l.signal(syscall.SIGKILL)
		<-l.done
		return err
	}
	p.life = l
	return nil
}

// untilReady polls until the process works.
func (p *process) untilReady(ctx context.Context, l *life) error {
	const every = 20 * time.Millisecond
	for {
		if err := p.ready(ctx); err == nil {
			return nil
		}
		select {
		case <-l.done:
			return fmt.Errorf("ended with code %d", l.cmd.ProcessState.ExitCode())
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(every):
		}
	}
}

// pause waits, or until ctx ends.
func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

func (l *life) signal(s syscall.Signal) {
	target := l.cmd.Process.Pid
	if s == syscall.SIGKILL {
		target = -target // with its children
	}
	_ = syscall.Kill(target, s) // it may have ended already
}

// end makes the process end: by SIGKILL, or by asking it. It returns when it has ended.
func (p *process) end(why string, ask func(*life)) {
	l := p.life
	if l == nil {
		return
	}
	p.life = nil
	at := time.Now()
	ask(l)
	timeout := time.NewTimer(stopPatience)
	defer timeout.Stop()
	select {
	case <-l.done:
	case <-timeout.C:
		l.signal(syscall.SIGKILL)
		<-l.done
	}
	p.history.add(entry{
		At: at, End: time.Now(), Kind: ended, What: why, Process: p.name, Number: int64(l.cmd.ProcessState.ExitCode()),
	})
}

func (p *process) kill() { p.end(byKill, func(l *life) { l.signal(syscall.SIGKILL) }) }

func (p *process) stop() {
	p.end(byTerm, func(l *life) { l.signal(syscall.SIGTERM) })
}

// What makes a process end.
const (
	byKill   = "kill -9"
	byTerm   = "SIGTERM"
	byItself = "by itself"
)

// watch starts a process again that has ended by itself, and takes note of that, until ctx ends.
func (p *process) watch(ctx context.Context) {
	const every = 100 * time.Millisecond
	for ctx.Err() == nil {
		pause(ctx, every)
		if !p.mu.TryLock() {
			continue
		}
		p.look(ctx)
		p.mu.Unlock()
	}
}

func (p *process) look(ctx context.Context) {
	if p.life == nil {
		_ = p.start(ctx) // if it fails, it is tried again at the next look
		return
	}
	select {
	case <-p.life.done:
		p.history.add(entry{
			Kind: ended, What: byItself, Process: p.name, Number: int64(p.life.cmd.ProcessState.ExitCode()), Error: p.tail(),
		})
		p.life = nil
	default:
		if p.ours {
			p.measure(p.life)
		}
	}
}

// tail is the end of the log.
func (p *process) tail() string {
	const most = 1000
	log, err := os.ReadFile(p.log)
	if err != nil {
		return err.Error()
	}
	return string(log[max(0, len(log)-most):])
}

// measureEvery is how often the memory of a process is looked at.
const measureEvery = time.Second

// measure takes note of the memory of a process, on Linux.
func (p *process) measure(l *life) {
	if time.Since(l.measured) < measureEvery {
		return
	}
	l.measured = time.Now()
	status, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(l.cmd.Process.Pid), "status"))
	if err != nil {
		return
	}
	for line := range strings.Lines(string(status)) {
		if kilobytes, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			n, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(kilobytes), " kB"), 10, 64)
			if err == nil {
				p.history.add(entry{Kind: measured, Process: p.name, Number: n << 10})
			}
		}
	}
}

// maxComplaints bounds what is quoted of one log.
const maxComplaints = 20

// complain looks in the log for what no program should print.
func (p *process) complain() error {
	log, err := os.Open(p.log)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer log.Close()
	lines := bufio.NewScanner(log)
	lines.Buffer(nil, 1<<20)
	for n := 0; lines.Scan() && n < maxComplaints; {
		for _, word := range []string{"panic:", "fatal error:", "WARNING: DATA RACE", "\"panic\""} {
			if strings.Contains(lines.Text(), word) {
				p.history.add(entry{Kind: complaint, Process: p.name, Error: lines.Text()})
				n++
				break
			}
		}
	}
	return lines.Err()
}
