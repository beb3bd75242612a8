package diskstore_test

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/iotest"
	"time"

	"loupe/internal/image"
	"loupe/internal/image/diskstore"
	"loupe/internal/image/imagetest"
)

const baseURL = "http://127.0.0.1:3000"

func TestSuite(t *testing.T) {
	t.Parallel()
	imagetest.Run(t, func(t *testing.T) image.Store { return open(t, t.TempDir()) })
}

func TestConfig(t *testing.T) {
	t.Parallel()
	for _, base := range []string{"", "127.0.0.1:3000", "/images", "ftp://host", "http://", "http://host?x=1", "http://host/#x", "://"} {
		if s, err := diskstore.Open(diskstore.Config{Dir: t.TempDir(), BaseURL: base}); err == nil {
			t.Errorf("BaseURL %q is taken", base)
			s.Close()
		}
	}
	if s, err := diskstore.Open(diskstore.Config{BaseURL: baseURL}); err == nil {
		t.Error("no Dir is taken")
		s.Close()
	}
	key := image.NewKey(image.PNG)
	for base, want := range map[string]string{
		"http://127.0.0.1:3000":    "http://127.0.0.1:3000/images/",
		"https://loupe.example/":   "https://loupe.example/images/",
		"https://host.example/app": "https://host.example/app/images/",
	} {
		s, err := diskstore.Open(diskstore.Config{Dir: t.TempDir(), BaseURL: base})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		if info := put(t, s, key, "data"); info.URL != want+key {
			t.Errorf("URL = %q, want %q", info.URL, want+key)
		}
	}
}

func TestServe(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir())
	key := image.NewKey(image.PNG)
	before := time.Now().Add(-time.Second)
	put(t, s, key, "0123456789")

	f, info, err := s.Open(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	file := f.(*os.File)
	stat, err := file.Stat()
	if err != nil {
		t.Fatal(err)
	}
	if stat.ModTime().Before(before) || stat.Size() != info.Bytes {
		t.Errorf("modified %v, %d bytes, want now and %d", stat.ModTime(), stat.Size(), info.Bytes)
	}
	if _, err := file.WriteString("x"); err == nil {
		t.Error("the picture can be written to")
	}
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil)
	r.Header.Set("Range", "bytes=3-5")
	w := httptest.NewRecorder()
	http.ServeContent(w, r, "", stat.ModTime(), file)
	if w.Code != http.StatusPartialContent || w.Body.String() != "345" {
		t.Errorf("served %d %q, want 206 and 345", w.Code, w.Body)
	}
}

func TestSurvivesReopening(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "data", "images") // neither is there yet
	s := open(t, dir)
	key := image.NewKey(image.JPEG)
	put(t, s, key, "picture")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Put(t.Context(), key, strings.NewReader("x")); !errors.Is(err, image.ErrStorage) {
		t.Errorf("Put after Close = %v, want ErrStorage", err)
	}
	if _, _, err := s.Open(t.Context(), key); !errors.Is(err, image.ErrStorage) {
		t.Errorf("Open after Close = %v, want ErrStorage", err)
	}
	wantHolds(t, open(t, dir), key, "picture")
}

// Keys are secrets: nobody else on the machine may see them.
func TestPrivate(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "images")
	put(t, open(t, dir), image.NewKey(image.GIF), "picture")
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err == nil && info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s is %v", path, info.Mode())
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestNothingRemainsOfFailedPut(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, dir)
	key := image.NewKey(image.PNG)
	broken := errors.New("broken")
	if _, err := s.Put(t.Context(), key, io.MultiReader(strings.NewReader("half"), iotest.ErrReader(broken))); !errors.Is(err, broken) || errors.Is(err, image.ErrStorage) {
		t.Errorf("Put = %v, want the reader's error alone", err)
	}
	func() {
		defer func() {
			if recover() == nil {
				t.Error("the panic is gone")
			}
		}()
		_, err := s.Put(t.Context(), key, panicReader{})
		t.Errorf("Put = %v, want the panic", err)
	}()
	wantFiles(t, dir)
}

type panicReader struct{}

func (panicReader) Read([]byte) (int, error) { panic("reader") }

// Every operation of a Put fails once: with what disks, quotas and mounts answer.
func TestStorageFails(t *testing.T) {
	t.Parallel()
	faults := []error{syscall.ENOSPC, syscall.EDQUOT, syscall.EROFS, syscall.EACCES, syscall.EIO, syscall.EMFILE}
	for _, operation := range []string{"create", "write", "sync", "close", "rename", "sync directory"} {
		t.Run(operation, func(t *testing.T) {
			t.Parallel()
			for _, fault := range faults {
				dir := t.TempDir()
				s := open(t, dir)
				replaced, fresh := image.NewKey(image.PNG), image.NewKey(image.PNG)
				put(t, s, replaced, "earlier")
				asked := 0
				s.Break(func(op string) error {
					if op == operation {
						asked++
						return fault
					}
					return nil
				})
				for _, key := range []string{fresh, replaced} {
					_, err := s.Put(t.Context(), key, strings.NewReader("picture"))
					if !errors.Is(err, image.ErrStorage) || !errors.Is(err, fault) {
						t.Errorf("Put = %v, want ErrStorage and %v", err, fault)
					}
				}
				if asked != 2 {
					t.Errorf("asked %d times, want twice", asked)
				}
				if operation == "sync directory" {
					wantFiles(t, dir) // it was too late to keep the earlier one
				} else {
					wantFiles(t, dir, replaced)
				}
			}
		})
	}
}

func TestOpenAndDeleteFail(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir())
	key := image.NewKey(image.PNG)
	put(t, s, key, "picture")
	s.Break(func(string) error { return syscall.EIO })
	if _, _, err := s.Open(t.Context(), key); !errors.Is(err, image.ErrStorage) {
		t.Errorf("Open = %v, want ErrStorage", err)
	}
	if err := s.Delete(t.Context(), key); !errors.Is(err, image.ErrStorage) {
		t.Errorf("Delete = %v, want ErrStorage", err)
	}
	// A removal that is not durable is none: the picture would be back after a power cut.
	s.Break(func(operation string) error {
		if operation == "sync directory" {
			return syscall.EIO
		}
		return nil
	})
	if err := s.Delete(t.Context(), key); !errors.Is(err, image.ErrStorage) {
		t.Errorf("Delete = %v, want ErrStorage", err)
	}
}

func TestUnwritable(t *testing.T) {
	t.Parallel()
	blocked := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(blocked, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{blocked, filepath.Join(blocked, "images")} {
		if s, err := diskstore.Open(diskstore.Config{Dir: dir, BaseURL: baseURL}); !errors.Is(err, image.ErrStorage) {
			t.Errorf("Open in place of a file = %v, %v, want ErrStorage", s, err)
		}
	}

	dir := t.TempDir()
	s := open(t, dir)
	for _, name := range []string{"tmp", ""} { // the mount went away, bit by bit; as root nothing else is unwritable
		if err := os.Remove(filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Put(t.Context(), image.NewKey(image.PNG), strings.NewReader("picture")); !errors.Is(err, image.ErrStorage) {
			t.Errorf("Put without %q = %v, want ErrStorage", "/"+name, err)
		}
	}
}

func TestLeftoversGoAtOpen(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, dir)
	key := image.NewKey(image.PNG)
	put(t, s, key, "picture")
	s.Close()
	if err := os.WriteFile(filepath.Join(dir, "tmp", "LEFT"), []byte("half a pict"), 0o600); err != nil {
		t.Fatal(err)
	}
	s = open(t, dir)
	wantFiles(t, dir, key)
	wantHolds(t, s, key, "picture")
}

// A second process may start while the first takes pictures in: it must not take them for leftovers.
func TestOpenSparesUploadsUnderWay(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	first := open(t, dir)
	key := image.NewKey(image.PNG)
	r, w := io.Pipe()
	done := make(chan error)
	go func() {
		_, err := first.Put(t.Context(), key, r)
		r.CloseWithError(errors.New("the Put has returned"))
		done <- err
	}()
	if _, err := io.WriteString(w, "pic"); err != nil {
		t.Error(err)
	}
	second := open(t, dir)
	third := open(t, dir)
	if _, err := io.WriteString(w, "ture"); err != nil {
		t.Error(err)
	}
	w.Close()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	wantHolds(t, second, key, "picture")
	wantHolds(t, third, key, "picture")
	wantFiles(t, dir, key)
}

func open(t *testing.T, dir string) *diskstore.Store {
	t.Helper()
	s, err := diskstore.Open(diskstore.Config{Dir: dir, BaseURL: baseURL})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func put(t *testing.T, s *diskstore.Store, key, data string) image.Info {
	t.Helper()
	info, err := s.Put(t.Context(), key, strings.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	return info
}

func wantHolds(t *testing.T, s *diskstore.Store, key, want string) {
	t.Helper()
	f, _, err := s.Open(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var got bytes.Buffer
	if _, err := got.ReadFrom(f); err != nil || got.String() != want {
		t.Errorf("%s holds %q, %v, want %q", key, &got, err, want)
	}
}

// wantFiles checks that dir holds these pictures and nothing else.
func wantFiles(t *testing.T, dir string, want ...string) {
	t.Helper()
	var got []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			name, _ := filepath.Rel(dir, path)
			got = append(got, name)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("the directory holds %q, want %q", got, want)
	}
}
