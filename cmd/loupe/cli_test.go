package main

import (
	"bytes"
	"context"
	"encoding/json"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"

	"loupe/internal/sample"
	"loupe/internal/testenv"
)

func TestMain(m *testing.M) { testenv.Main(m) }

func readFile(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// call runs a command to its end.
func call(t *testing.T, environ []string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	code = run(t.Context(), args, environ, &out, &errs)
	return code, out.String(), errs.String()
}

// running is a server in this process.
type running struct {
	url     string
	environ []string
	stop    func() (exitCode int, log string)
}

// serving starts "loupe serve", or another command that serves, on a free port and a directory of its own.
func serving(t *testing.T, environ []string, args ...string) running {
	t.Helper()
	if environ == nil {
		environ = []string{"LOUPE_DATA_DIR=" + t.TempDir()}
	}
	environ = append(environ, "PORT=0", "LOUPE_LOG=json")
	ctx, cancel := context.WithCancel(t.Context())
	log := &syncBuffer{lines: make(chan string, 1000)}
	ended := make(chan int, 1)
	go func() { ended <- run(ctx, args, environ, log, log) }()
	stop := sync.OnceValues(func() (int, string) {
		cancel()
		return <-ended, log.String()
	})
	t.Cleanup(func() {
		if code, text := stop(); code != exitOK {
			t.Errorf("exit code %d:\n%s", code, text)
		}
	})
	for {
		select {
		case line := <-log.lines:
			if match := regexp.MustCompile(`"listening".*"url":"([^"]+)"`).FindStringSubmatch(line); match != nil {
				return running{match[1], append(environ, "LOUPE_PUBLIC_URL="+match[1]), stop}
			}
		case code := <-ended:
			ended <- code
			t.Fatalf("ended with %d:\n%s", code, log.String())
		}
	}
}

// syncBuffer is a log that can be read while it is written.
type syncBuffer struct {
	mu    sync.Mutex
	all   bytes.Buffer
	lines chan string
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.all.Write(p)
	select {
	case b.lines <- string(p):
	default:
	}
	return len(p), nil
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.all.String()
}

func writePhotos(t *testing.T) (paths []string) {
	t.Helper()
	dir := t.TempDir()
	for name, data := range map[string][]byte{"sneaker.jpg": sample.Sneaker(), "camera.jpg": sample.Camera()} {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		paths = append(paths, path)
	}
	return paths
}

func TestSubmitShowsTheWayOfAPhoto(t *testing.T) {
	t.Parallel()
	s := serving(t, nil, "serve")
	code, stdout, stderr := call(t, s.environ, append([]string{"submit", "--category", "sneaker"}, writePhotos(t)...)...)
	if code != exitOK || stderr != "" {
		t.Fatalf("exit code %d: %s", code, stderr)
	}
	for _, name := range []string{"sneaker.jpg", "camera.jpg"} {
		for _, step := range []string{`analyzing, attempt 1 of 3`, `(active|partial), .*http://127\.0\.0\.1:\d+/images/`} {
			if !regexp.MustCompile(name + ` +` + step).MatchString(stdout) {
				t.Errorf("no %q of %s in:\n%s", step, name, stdout)
			}
		}
	}

	code, stdout, _ = call(t, s.environ, append([]string{"submit", "--json", "--category", "camera"}, writePhotos(t)...)...)
	lines := strings.Split(strings.TrimSpace(stdout), "\n")
	if code != exitOK || len(lines) != 2 {
		t.Fatalf("exit code %d, printed %s", code, stdout)
	}
	for _, line := range lines {
		var event struct{ Event, Status string }
		if err := json.Unmarshal([]byte(line), &event); err != nil || event.Event != "asset_processed" {
			t.Errorf("%s: %v", line, err)
		}
	}

	bad := filepath.Join(t.TempDir(), "note.jpg")
	if err := os.WriteFile(bad, []byte("no picture"), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, _, stderr := call(t, s.environ, "submit", "--category", "camera", bad); code != exitError || !strings.Contains(stderr, "note.jpg: The file is not a JPEG") {
		t.Errorf("exit code %d: %s", code, stderr)
	}
	if code, _, stderr := call(t, s.environ, "submit", bad); code != exitUsage || !strings.Contains(stderr, "--category is required") {
		t.Errorf("exit code %d: %s", code, stderr)
	}
}

func TestFailedJobsAreSeenAndMended(t *testing.T) {
	t.Parallel()
	nobody, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := nobody.Addr().String()
	nobody.Close() // refuses connections from now on
	dir := t.TempDir()
	s := serving(t, []string{
		"LOUPE_DATA_DIR=" + dir, "AI_SERVICE_URL=http://" + address, "LOUPE_OUTAGE=fail", "LOUPE_BACKOFF=1ms",
	}, "serve")
	photo := writePhotos(t)[0]
	code, stdout, stderr := call(t, s.environ, "submit", "--category", "sneaker", photo)
	if code != exitFailed || !strings.Contains(stdout, "failed: ") {
		t.Fatalf("exit code %d: %s%s", code, stdout, stderr)
	}
	code, stdout, stderr = untilPrinted(t, s.environ, "refused", "jobs", "failed", "--json")
	if code != exitOK {
		t.Fatalf("exit code %d: %s", code, stderr)
	}
	var letter struct{ ID string }
	if err := json.Unmarshal([]byte(stdout), &letter); err != nil || letter.ID == "" {
		t.Fatalf("printed %s: %v", stdout, err)
	}
	if _, stdout, _ := call(t, s.environ, "jobs", "failed"); !strings.Contains(stdout, letter.ID) || !strings.Contains(stdout, "3/3") {
		t.Errorf("printed %s", stdout)
	}
	if code, stdout, stderr := call(t, s.environ, "jobs", "reconcile"); code != exitOK || stdout+stderr != "" {
		t.Errorf("reconcile: code %d, %q, %q", code, stdout, stderr)
	}
	if code, stdout, _ := call(t, s.environ, "jobs", "counts"); code != exitOK || !regexp.MustCompile(`failed +1\b`).MatchString(stdout) {
		t.Errorf("exit code %d: %s", code, stdout)
	}
	if code, _, stderr := call(t, s.environ, "jobs", "retry", "unknown-1"); code != exitError || !strings.Contains(stderr, "could not be retried") {
		t.Errorf("exit code %d: %s", code, stderr)
	}
	if code, _, stderr := call(t, s.environ, "jobs", "discard", "unknown-1"); code != exitError || !strings.Contains(stderr, "NOT_FOUND") {
		t.Errorf("exit code %d: %s", code, stderr)
	}
	if code, stdout, _ := call(t, s.environ, "jobs", "retry", "--all", "-q", "nothing like that"); code != exitOK || stdout != "retried 0\n" {
		t.Errorf("exit code %d: %s", code, stdout)
	}
	if code, stdout, _ := call(t, s.environ, "jobs", "retry", letter.ID); code != exitOK || stdout != "retried 1\n" {
		t.Errorf("exit code %d: %s", code, stdout)
	}
	untilPrinted(t, s.environ, letter.ID, "jobs", "failed")
	if code, stdout, _ := call(t, s.environ, "jobs", "discard", letter.ID); code != exitOK || stdout != "discarded "+letter.ID+"\n" {
		t.Errorf("exit code %d: %s", code, stdout)
	}
	if _, stdout, stderr := call(t, s.environ, "jobs", "failed"); stdout != "" || stderr != "no dead letters\n" {
		t.Errorf("printed %s%s", stdout, stderr)
	}
}

// untilPrinted runs a command until its output has the text.
func untilPrinted(t *testing.T, environ []string, text string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	for {
		code, stdout, stderr = call(t, environ, args...)
		if strings.Contains(stdout, text) || t.Context().Err() != nil {
			return code, stdout, stderr
		}
	}
}

func TestServerRefusesToStart(t *testing.T) {
	t.Parallel()
	taken, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { taken.Close() })
	_, port, _ := net.SplitHostPort(taken.Addr().String())
	s := serving(t, nil, "serve")
	for name, c := range map[string]struct {
		environ []string
		args    []string
		code    int
		want    string
	}{
		"port taken":          {[]string{"PORT=" + port, "LOUPE_DATA_DIR=" + t.TempDir()}, []string{"serve"}, exitError, "port " + port + " is taken; choose another, for example PORT="},
		"demo, port taken":    {[]string{"PORT=" + port, "LOUPE_DATA_DIR=" + t.TempDir()}, []string{"demo"}, exitError, "port " + port + " is taken"},
		"directory in use":    {s.environ, []string{"serve"}, exitError, "is in use by another loupe"},
		"directory is a file": {[]string{"PORT=0", "LOUPE_DATA_DIR=cli_test.go"}, []string{"serve"}, exitError, "LOUPE_DATA_DIR"},
		"no Redis":            {[]string{"REDIS_URL=redis://:hush@127.0.0.1:1", "PORT=0", "LOUPE_DATA_DIR=" + t.TempDir()}, []string{"serve"}, exitError, "REDIS_URL: Redis at 127.0.0.1:1: "},
		"no Mongo":            {[]string{"MONGODB_URI=mongodb://u:hush@127.0.0.1:1/x?serverSelectionTimeoutMS=100", "PORT=0", "LOUPE_DATA_DIR=" + t.TempDir()}, []string{"serve"}, exitError, "MONGODB_URI: mongodb at 127.0.0.1:1: "},
		"no Cloudinary":       {[]string{"CLOUDINARY_URL=cloudinary://k", "PORT=0", "LOUPE_DATA_DIR=" + t.TempDir()}, []string{"serve"}, exitError, "CLOUDINARY_URL: "},
		"half a server":       {[]string{"LOUPE_ROLES=api"}, []string{"serve"}, exitError, "LOUPE_ROLES"},
		"arguments":           {nil, []string{"serve", "now"}, exitUsage, "takes no arguments"},
		"unknown flag":        {nil, []string{"serve", "--fast"}, exitUsage, "-fast"},
		"unknown command":     {nil, []string{"dance"}, exitUsage, `there is no command "dance"`},
		"bad setting":         {[]string{"LOUPE_ATTEMPTS=0"}, []string{"serve"}, exitUsage, "LOUPE_ATTEMPTS"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if code, _, stderr := call(t, c.environ, c.args...); code != c.code || !strings.Contains(stderr, c.want) {
				t.Errorf("exit code %d: %s, want %d: %s", code, stderr, c.code, c.want)
			}
		})
	}
}

func TestDemo(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	out := &syncBuffer{lines: make(chan string, 1000)}
	ended := make(chan int, 1)
	go func() {
		ended <- run(ctx, []string{"demo"}, []string{"PORT=0", "LOUPE_DATA_DIR=" + t.TempDir()}, out, out)
	}()
	for line := ""; !strings.Contains(line, "Ctrl-C"); {
		select {
		case line = <-out.lines:
		case code := <-ended:
			t.Fatalf("ended with %d:\n%s", code, out.String())
		}
	}
	cancel()
	if code := <-ended; code != exitOK {
		t.Errorf("exit code %d", code)
	}
	for _, want := range []string{
		`Loupe listens on http://127\.0\.0\.1:\d+\.`,
		`assets    sqlite   \S+/loupe\.db +MONGODB_URI is not set`,
		`images    disk     \S+/images +CLOUDINARY_URL is not set`,
		`queue     sqlite   \S+/loupe\.db +REDIS_URL is not set`,
		`rooms     process  in this process +REDIS_URL is not set`,
		`analyzer  builtin  in this process +AI_SERVICE_URL is not set`,
		`sneaker\.jpg  active, colorway .*`,
		`camera\.jpg   asset_processed {"event":"asset_processed".*`,
	} {
		if !regexp.MustCompile("(?m)^" + want + "$").MatchString(out.String()) {
			t.Errorf("no %q in:\n%s", want, out.String())
		}
	}
}

func TestToken(t *testing.T) {
	t.Parallel()
	environ := []string{"LOUPE_DATA_DIR=" + t.TempDir()}
	code, first, _ := call(t, environ, "token", "--user", "alice")
	if code != exitOK || strings.Count(first, ".") != 2 {
		t.Errorf("exit code %d: %s", code, first)
	}
	for _, args := range [][]string{{"token"}, {"token", "--user", "a\nb"}, {"token", "--user", "a", "--ttl", "0s"}} {
		if code, _, stderr := call(t, environ, args...); code == exitOK || stderr == "" {
			t.Errorf("%v: exit code %d", args, code)
		}
	}
}

func TestHelp(t *testing.T) {
	t.Parallel()
	_, overview, _ := call(t, nil)
	for _, c := range commands() {
		if !strings.Contains(overview, c.name) {
			t.Errorf("the overview lacks %s", c.name)
		}
		for _, args := range [][]string{{"help", c.name}, {c.name, "-h"}, {c.name, "--help"}} {
			if code, out, _ := call(t, nil, args...); code != exitOK || !strings.Contains(out, "Example:\n  ") || !strings.Contains(out, c.short) {
				t.Errorf("%v: exit code %d: %s", args, code, out)
			}
		}
	}
	if code, out, _ := call(t, nil, "version"); code != exitOK || !strings.HasPrefix(out, "loupe ") {
		t.Errorf("version: %s", out)
	}
	if code, out, _ := call(t, nil, "config"); code != exitOK || !strings.Contains(out, "LOUPE_CONCURRENCY") {
		t.Errorf("config: %s", out)
	}
}

func TestAnalyzerAlone(t *testing.T) {
	t.Parallel()
	analyzer := serving(t, nil, "analyzer", "--port", "0")
	// Its own pictures it may fetch; a loopback address of others it refuses, which the server must report as permanent.
	s := serving(t, []string{"LOUPE_DATA_DIR=" + t.TempDir(), "AI_SERVICE_URL=" + analyzer.url}, "serve")
	code, stdout, stderr := call(t, s.environ, "submit", "--category", "sneaker", writePhotos(t)[0])
	if code != exitFailed || !strings.Contains(stdout, "failed: The photo could not be analysed.") {
		t.Errorf("exit code %d: %s%s", code, stdout, stderr)
	}
}
