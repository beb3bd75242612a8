package diskstore_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"loupe/internal/image"
	"loupe/internal/image/diskstore"
)

// What cannot be done to the test process itself is done to a copy of it, which finds its job in the environment.
const (
	childJob = "LOUPE_DISKSTORE_TEST_JOB"
	childDir = "LOUPE_DISKSTORE_TEST_DIR"

	jobFull = "full" // put a picture that is larger than the disk has room for
	jobDie  = "die"  // die in the middle of a Put
)

const childRoom = 64 << 10

// child does its job and exits.
func child(job, dir string) {
	if err := childPut(job, dir); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

func childPut(job, dir string) error {
	s, err := diskstore.Open(diskstore.Config{Dir: dir, BaseURL: baseURL})
	if err != nil {
		return err
	}
	var r io.Reader = bytes.NewReader(make([]byte, 2*childRoom))
	switch job {
	case jobFull:
		if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: childRoom, Max: childRoom}); err != nil {
			return err
		}
	case jobDie:
		r = io.MultiReader(r, readFunc(func([]byte) (int, error) {
			return 0, syscall.Kill(os.Getpid(), syscall.SIGKILL)
		}))
	}
	_, err = s.Put(context.Background(), image.NewKey(image.PNG), r)
	if !errors.Is(err, image.ErrStorage) || !errors.Is(err, syscall.EFBIG) {
		return fmt.Errorf("put = %w, want ErrStorage and EFBIG", err)
	}
	return nil
}

// A limit on the size of files stands for a full disk: it needs no rights, and the kernel answers in the same place.
func TestDiskFull(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if out, err := runChild(t, jobFull, dir); err != nil {
		t.Errorf("%v: %s", err, out)
	}
	wantFiles(t, dir)
}

func TestKilled(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var exit *exec.ExitError
	if out, err := runChild(t, jobDie, dir); !errors.As(err, &exit) || exit.Exited() {
		t.Fatalf("the child was not killed: %v: %s", err, out)
	}
	left, err := filepath.Glob(filepath.Join(dir, "tmp", "*"))
	if err != nil || len(left) != 1 {
		t.Fatalf("the child left %q, %v, want one temporary file", left, err)
	}
	open(t, dir)
	wantFiles(t, dir)
}

func runChild(t *testing.T, job, dir string) ([]byte, error) {
	t.Helper()
	c := exec.CommandContext(t.Context(), os.Args[0])
	c.Env = append(os.Environ(), childJob+"="+job, childDir+"="+dir)
	return c.CombinedOutput()
}

type readFunc func([]byte) (int, error)

func (f readFunc) Read(p []byte) (int, error) { return f(p) }
