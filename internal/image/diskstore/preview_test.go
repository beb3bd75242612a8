package diskstore_test

import (
	"errors"
	"io"
	"sync"
	"testing"

	"loupe/internal/image"
)

func TestPreview(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, dir)
	key := image.NewKey(image.PNG)
	if err := s.PutPreview(t.Context(), key, []byte("small")); !errors.Is(err, image.ErrNotFound) {
		t.Errorf("preview of no picture: %v", err)
	}
	wantFiles(t, dir)
	put(t, s, key, "picture")
	if f, err := s.OpenPreview(t.Context(), key); !errors.Is(err, image.ErrNotFound) {
		t.Errorf("a preview that nobody has put: %v, %v", f, err)
	}
	for _, text := range []string{"small", "smaller"} {
		if err := s.PutPreview(t.Context(), key, []byte(text)); err != nil {
			t.Fatal(err)
		}
		f, err := s.OpenPreview(t.Context(), key)
		if err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(f)
		if err != nil || string(data) != text {
			t.Errorf("preview is %q, %v, want %q", data, err, text)
		}
		f.Close()
	}
	if err := s.Delete(t.Context(), key); err != nil {
		t.Fatal(err)
	}
	wantFiles(t, dir)
	for _, key := range []string{"", "../x", key + ".preview", "tmp"} {
		if err := s.PutPreview(t.Context(), key, nil); !errors.Is(err, image.ErrKey) {
			t.Errorf("preview of %q put: %v", key, err)
		}
		if f, err := s.OpenPreview(t.Context(), key); !errors.Is(err, image.ErrNotFound) {
			t.Errorf("preview of %q: %v, %v", key, f, err)
		}
	}
}

// Whatever comes first, nothing outlives its picture.
func TestPreviewOfDeletedPicture(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, dir)
	for range 50 {
		key := image.NewKey(image.JPEG)
		put(t, s, key, "picture")
		var group sync.WaitGroup
		group.Go(func() {
			if err := s.PutPreview(t.Context(), key, []byte("small")); err != nil && !errors.Is(err, image.ErrNotFound) {
				t.Error(err)
			}
		})
		group.Go(func() {
			if err := s.Delete(t.Context(), key); err != nil {
				t.Error(err)
			}
		})
		group.Wait()
	}
	wantFiles(t, dir)
}
