// Package imagetest is the suite that every [image.Store] passes. Only tests import it.
package imagetest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	stdimage "image"
	"image/color"
	"image/gif"
	"image/jpeg"
	"image/png"
	"io"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"testing/iotest"

	"loupe/internal/image"
)

// Run runs the suite; open returns a store that is empty or at least holds no picture under a fresh key.
func Run(t *testing.T, open func(t *testing.T) image.Store) {
	tests := []struct {
		name string
		run  func(t *testing.T, s image.Store)
	}{
		{"PutOpenDelete", testPutOpenDelete},
		{"Types", testTypes},
		{"Replace", testReplace},
		{"Unknown", testUnknown},
		{"VisibleOnlyWhenWhole", testVisibleOnlyWhenWhole},
		{"ReaderFails", testReaderFails},
		{"Cancelled", testCancelled},
		{"CancelledWhileReading", testCancelledWhileReading},
		{"HostileKeys", testHostileKeys},
		{"KeyOf", testKeyOf},
		{"ConcurrentPutsOfOneKey", testConcurrentPutsOfOneKey},
		{"ConcurrentPutsOfManyKeys", testConcurrentPutsOfManyKeys},
		{"BigStream", testBigStream},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			test.run(t, open(t))
		})
	}
}

func testPutOpenDelete(t *testing.T, s image.Store) {
	key, data := image.NewKey(image.PNG), picture(image.PNG, 5000)
	put := mustPut(t, s, key, data)
	want := image.Info{Key: key, URL: put.URL, MIMEType: image.PNG, Bytes: int64(len(data))}
	if put != want {
		t.Errorf("Put = %+v, want %+v", put, want)
	}
	if !strings.HasPrefix(put.URL, "http") {
		t.Errorf("URL = %q, want an address", put.URL)
	}
	f, opened, err := s.Open(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	wantLeadsTo(t, s, opened.URL, key)
	opened.URL = put.URL // a picture may have several addresses
	if opened != put {
		t.Errorf("Open = %+v, Put was %+v", opened, put)
	}
	wantHolds(t, s, key, data)

	for range 2 { // that there is none is no error
		if err := s.Delete(t.Context(), key); err != nil {
			t.Errorf("Delete = %v", err)
		}
		wantAbsent(t, s, key)
	}
}

func testTypes(t *testing.T, s image.Store) {
	for _, mimeType := range []string{image.JPEG, image.PNG, image.WebP, image.GIF} {
		key := image.NewKey(mimeType)
		for _, key := range []string{key, image.ProcessedKey(key, mimeType)} {
			if info := mustPut(t, s, key, picture(mimeType, 100)); info.MIMEType != mimeType {
				t.Errorf("Put(%s).MIMEType = %q, want %q", key, info.MIMEType, mimeType)
			}
		}
	}
}

func testReplace(t *testing.T, s image.Store) {
	key := image.ProcessedKey(image.NewKey(image.JPEG), image.PNG)
	first := mustPut(t, s, key, picture(image.PNG, 9000))
	data := picture(image.PNG, 300) // shorter: nothing of the first may remain
	second := mustPut(t, s, key, data)
	for _, url := range []string{first.URL, second.URL} { // an asset may hold either
		wantLeadsTo(t, s, url, key)
	}
	wantHolds(t, s, key, data)
}

func testUnknown(t *testing.T, s image.Store) {
	key := image.NewKey(image.GIF)
	wantAbsent(t, s, key)
	mustPut(t, s, key, picture(image.GIF, 100))
	wantAbsent(t, s, image.ProcessedKey(key, image.GIF))
}

// While a picture comes in, readers see what was there before: nothing, or the earlier picture.
func testVisibleOnlyWhenWhole(t *testing.T, s image.Store) {
	for _, earlier := range [][]byte{nil, picture(image.PNG, 400)} {
		key, data := image.NewKey(image.PNG), picture(image.PNG, 200_000)
		if earlier != nil {
			mustPut(t, s, key, earlier)
		}
		r, w := io.Pipe()
		done := make(chan error)
		go func() {
			_, err := s.Put(t.Context(), key, r)
			r.CloseWithError(errors.New("the Put has returned"))
			done <- err
		}()
		if _, err := w.Write(data[:150_000]); err != nil {
			t.Error(err)
		}
		if earlier == nil {
			wantAbsent(t, s, key)
		} else {
			wantHolds(t, s, key, earlier)
		}
		if _, err := w.Write(data[150_000:]); err != nil {
			t.Error(err)
		}
		w.Close()
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		wantHolds(t, s, key, data)
	}
}

func testReaderFails(t *testing.T, s image.Store) {
	broken := errors.New("the sender went away")
	for _, n := range []int{0, 1, 100_000} {
		r := func() io.Reader {
			return io.MultiReader(bytes.NewReader(picture(image.PNG, n)), iotest.ErrReader(broken))
		}
		wantNothingKept(t, s, broken, func(key string) error {
			_, err := s.Put(t.Context(), key, r())
			return err
		})
	}
}

func testCancelled(t *testing.T, s image.Store) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	wantNothingKept(t, s, context.Canceled, func(key string) error {
		_, err := s.Put(ctx, key, bytes.NewReader(picture(image.PNG, 100)))
		return err
	})
}

func testCancelledWhileReading(t *testing.T, s image.Store) {
	wantNothingKept(t, s, context.Canceled, func(key string) error {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		data := bytes.NewReader(picture(image.PNG, 100_000))
		_, err := s.Put(ctx, key, readFunc(func(p []byte) (int, error) {
			if data.Len() < 50_000 {
				cancel()
			}
			return data.Read(p[:min(len(p), 1000)])
		}))
		return err
	})
}

// wantNothingKept lets put fail, once where there is no picture and once where there is one, which must stay.
func wantNothingKept(t *testing.T, s image.Store, want error, put func(key string) error) {
	t.Helper()
	key := image.NewKey(image.PNG)
	if err := put(key); !errors.Is(err, want) {
		t.Errorf("Put = %v, want %v", err, want)
	}
	wantAbsent(t, s, key)

	earlier := picture(image.PNG, 300)
	mustPut(t, s, key, earlier)
	if err := put(key); !errors.Is(err, want) {
		t.Errorf("Put = %v, want %v", err, want)
	}
	wantHolds(t, s, key, earlier)
}

func testHostileKeys(t *testing.T, s image.Store) {
	key := image.NewKey(image.JPEG)
	mustPut(t, s, key, picture(image.JPEG, 100))
	for _, hostile := range []string{
		"", ".", "..", "/", "../" + key, "./" + key, "/" + key, "/etc/passwd", "a/" + key, key + "/", key + "\x00", key + ".",
		" " + key, "%2e%2e/" + key, `..\` + key, strings.ToUpper(key[:32]) + ".jpg", key[:32], key[:31] + ".jpg", key[:32] + ".exe",
		key[:32] + "..jpg", key[:32] + ".processed", key[:32] + ".processed.processed.jpg", key + "?x=1", key + "#", strings.Repeat("a", 5000),
	} {
		if _, err := s.Put(t.Context(), hostile, bytes.NewReader(picture(image.JPEG, 100))); !errors.Is(err, image.ErrKey) {
			t.Errorf("Put(%q) = %v, want ErrKey", hostile, err)
		}
		wantAbsent(t, s, hostile)
		if err := s.Delete(t.Context(), hostile); err != nil {
			t.Errorf("Delete(%q) = %v, want nil: there is none", hostile, err)
		}
	}
	if _, _, err := s.Open(t.Context(), key); err != nil {
		t.Errorf("a hostile key reached the picture: %v", err)
	}
}

func testKeyOf(t *testing.T, s image.Store) {
	original := image.NewKey(image.WebP)
	for _, key := range []string{original, image.ProcessedKey(original, image.PNG)} {
		info := mustPut(t, s, key, picture(image.TypeOf(key), 100))
		wantLeadsTo(t, s, info.URL, key)
		for _, foreign := range []string{
			"", key, "https://elsewhere.example/images/" + key, strings.Replace(info.URL, "://", "://elsewhere.example/", 1),
			strings.Replace(info.URL, key, "", 1), strings.Replace(info.URL, key, "../"+key, 1), "x" + info.URL,
		} {
			if got, ok := s.KeyOf(foreign); ok || got != "" {
				t.Errorf("KeyOf(%q) = %q, %v, want none", foreign, got, ok)
			}
		}
	}
}

// Whoever is last wins, but wins whole.
func testConcurrentPutsOfOneKey(t *testing.T, s image.Store) {
	key := image.NewKey(image.PNG)
	sent := map[[32]byte]bool{}
	var wg sync.WaitGroup
	for i := range 8 {
		data := picture(image.PNG, 20_000+1000*i)
		sent[sha256.Sum256(data)] = true
		wg.Go(func() {
			if _, err := s.Put(t.Context(), key, bytes.NewReader(data)); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if !sent[sha256.Sum256(mustRead(t, s, key))] {
		t.Error("the picture is none of those that were put")
	}
}

func testConcurrentPutsOfManyKeys(t *testing.T, s image.Store) {
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			key, data := image.NewKey(image.JPEG), picture(image.JPEG, 10_000)
			if _, err := s.Put(t.Context(), key, bytes.NewReader(data)); err != nil {
				t.Error(err)
				return
			}
			wantHolds(t, s, key, data)
		})
	}
	wg.Wait()
}

func testBigStream(t *testing.T, s image.Store) {
	const size = 16 << 20
	seed := [32]byte([]byte(fmt.Sprintf("%032d", rand.Uint64())))
	key := image.NewKey(image.PNG)
	sent := sha256.New()
	stream := io.MultiReader(bytes.NewReader(picture(image.PNG, 100)), io.LimitReader(rand.NewChaCha8(seed), size))
	info, err := s.Put(t.Context(), key, io.TeeReader(stream, sent))
	if err != nil {
		t.Fatal(err)
	}
	f, opened, err := s.Open(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	kept := sha256.New()
	n, err := io.Copy(kept, f)
	if err != nil {
		t.Fatal(err)
	}
	if info.Bytes != n || opened.Bytes != n || n < size {
		t.Errorf("put %d bytes, %d announced, %d read", info.Bytes, opened.Bytes, n)
	}
	if !bytes.Equal(sent.Sum(nil), kept.Sum(nil)) {
		t.Errorf("what came back is not what was sent (seed %s)", seed)
	}
}

func mustPut(t *testing.T, s image.Store, key string, data []byte) image.Info {
	t.Helper()
	info, err := s.Put(t.Context(), key, bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	return info
}

func mustRead(t *testing.T, s image.Store, key string) []byte {
	t.Helper()
	f, _, err := s.Open(t.Context(), key)
	if err != nil {
		t.Errorf("Open(%q) = %v", key, err)
		return nil
	}
	defer f.Close()
	data, err := io.ReadAll(f)
	if err != nil {
		t.Errorf("read %q: %v", key, err)
	}
	return data
}

func wantHolds(t *testing.T, s image.Store, key string, data []byte) {
	t.Helper()
	if got := mustRead(t, s, key); !bytes.Equal(got, data) {
		t.Errorf("%s holds %d bytes that are not the %d that were put", key, len(got), len(data))
	}
}

func wantAbsent(t *testing.T, s image.Store, key string) {
	t.Helper()
	f, _, err := s.Open(t.Context(), key)
	if err == nil {
		f.Close()
	}
	if !errors.Is(err, image.ErrNotFound) {
		t.Errorf("Open(%q) = %v, want ErrNotFound", key, err)
	}
}

func wantLeadsTo(t *testing.T, s image.Store, url, key string) {
	t.Helper()
	if got, ok := s.KeyOf(url); !ok || got != key {
		t.Errorf("KeyOf(%q) = %q, %v, want %q", url, got, ok, key)
	}
}

// picture returns one pixel in a format with at least n random bytes after it: a picture for stores that look, and
// unlike every other.
func picture(mimeType string, n int) []byte {
	var b bytes.Buffer
	pixel := stdimage.NewPaletted(stdimage.Rect(0, 0, 1, 1), color.Palette{color.Black})
	var err error
	switch mimeType {
	case image.JPEG:
		err = jpeg.Encode(&b, pixel, nil)
	case image.PNG:
		err = png.Encode(&b, pixel)
	case image.GIF:
		err = gif.Encode(&b, pixel, nil)
	case image.WebP:
		b.WriteString("RIFF\x1a\x00\x00\x00WEBPVP8L\x0d\x00\x00\x00\x2f\x00\x00\x00\x10\x07\x10\x11\x11\x88\x88\xfe\x07\x00")
	}
	if err != nil {
		panic(err)
	}
	for i := 0; i < n; i += 8 {
		fmt.Fprintf(&b, "%08x", rand.Uint32())
	}
	return b.Bytes()
}

type readFunc func([]byte) (int, error)

func (f readFunc) Read(p []byte) (int, error) { return f(p) }
