package cloudinarystore_test

import (
	"bytes"
	"io"
	"runtime"
	"sync"
	"testing"

	"loupe/internal/image"
	"loupe/internal/image/cloudinarystore"
	"loupe/internal/image/cloudinarystore/cloudinarytest"
)

const uploadsAtOnce = 50

// Not parallel: it counts what the whole process allocates, the service that takes the pictures included. An upload
// needs some 160 KiB, whatever it sends; BenchmarkUploads shows the same with 10 MiB each.
func TestUploadsNeedLittleMemory(t *testing.T) {
	url, server := cloudinarytest.Start(t)
	server.Drop()
	s := open(t, url)
	const size = 1 << 20
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	uploadMany(t, s, size)
	runtime.ReadMemStats(&after)
	if each := (after.TotalAlloc - before.TotalAlloc) / uploadsAtOnce; each > size/2 {
		t.Errorf("an upload of %d bytes allocated %d, want at most half of that", size, each)
	}
}

func BenchmarkUploads(b *testing.B) {
	url, server := cloudinarytest.Start(b)
	server.Drop()
	s := open(b, url)
	const size = 10 << 20
	b.SetBytes(uploadsAtOnce * size)
	b.ReportAllocs()
	for b.Loop() {
		uploadMany(b, s, size)
	}
}

func uploadMany(t testing.TB, s *cloudinarystore.Store, size int64) {
	t.Helper()
	var wg sync.WaitGroup
	for range uploadsAtOnce {
		wg.Go(func() {
			r := io.MultiReader(bytes.NewReader(picture(image.PNG)), io.LimitReader(zeros{}, size))
			if _, err := s.Put(t.Context(), image.NewKey(image.PNG), r); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}
