package cloudinarystore_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"loupe/internal/image"
	"loupe/internal/image/cloudinarystore"
	"loupe/internal/image/cloudinarystore/cloudinarytest"
	"loupe/internal/image/imagetest"
)

func TestSuite(t *testing.T) {
	t.Parallel()
	imagetest.Run(t, func(t *testing.T) image.Store {
		url, _ := cloudinarytest.Start(t)
		return open(t, url)
	})
}

// Caches that keep everything must not reach those who ask the store: it takes no answer that a cache can hold.
func TestSuiteBehindSlowCaches(t *testing.T) {
	t.Parallel()
	imagetest.Run(t, func(t *testing.T) image.Store {
		url, server := cloudinarytest.Start(t)
		server.SlowCDN()
		return open(t, url)
	})
}

func TestSHA256(t *testing.T) {
	t.Parallel()
	url, _ := cloudinarytest.Start(t)
	s := open(t, url+"&signature_algorithm=sha256")
	key := image.NewKey(image.GIF)
	put(t, s, key, picture(image.GIF))
	if err := s.Delete(t.Context(), key); err != nil {
		t.Error(err)
	}
}

func TestPut(t *testing.T) {
	t.Parallel()
	url, server := cloudinarytest.Start(t)
	s := open(t, url)
	key := image.NewKey(image.PNG)
	processed := image.ProcessedKey(key, image.WebP)
	name := strings.TrimSuffix(key, ".png")
	for key, want := range map[string]struct{ folder, id, format string }{
		key:       {"assets/originals", "assets/originals/" + name, "png"},
		processed: {"assets/processed", "assets/processed/" + name + ".processed", "webp"},
	} {
		data := picture(image.TypeOf(key))
		info, err := s.Put(t.Context(), key, bytes.NewReader(data))
		if err != nil {
			t.Fatal(err)
		}
		kept, ok := server.Picture(want.id)
		if !ok || !bytes.Equal(kept.Data, data) || kept.Format != want.format {
			t.Errorf("under %s is %v %+v, want the picture as it was sent; there are %q", want.id, ok, kept, server.PublicIDs())
		}
		wantURL := fmt.Sprintf("%s/demo/image/upload/v%d/%s/%s", server.Address, kept.Version, want.folder, key)
		if info.URL != wantURL {
			t.Errorf("URL = %q, want the service's %q", info.URL, wantURL)
		}
		for field, want := range map[string]string{
			"public_id": want.id, "asset_folder": want.folder, "use_asset_folder_as_public_id_prefix": "false",
			"overwrite": "true", "invalidate": "true", "api_key": server.Key,
		} {
			if got := kept.Form.Get(field); got != want {
				t.Errorf("%s = %q, want %q", field, got, want)
			}
		}
	}
}

// Whoever has the URL sees the picture, also those who were given an earlier one.
func TestReplace(t *testing.T) {
	t.Parallel()
	url, server := cloudinarytest.Start(t)
	s := open(t, url)
	key := image.NewKey(image.JPEG)
	first := put(t, s, key, picture(image.JPEG))
	data := append(picture(image.JPEG), "second"...)
	second := put(t, s, key, data)
	if first == second {
		t.Errorf("both URLs are %q: caches would show the first picture", first)
	}
	for _, url := range []string{first, second} {
		if status, got := get(t, url); status != http.StatusOK || !bytes.Equal(got, data) {
			t.Errorf("%s shows %d %q, want the second picture", url, status, got)
		}
	}
	if ids := server.PublicIDs(); len(ids) != 1 {
		t.Errorf("the service holds %q, want one picture", ids)
	}
	if err := s.Delete(t.Context(), key); err != nil {
		t.Fatal(err)
	}
	if ids := server.PublicIDs(); len(ids) != 0 {
		t.Errorf("the service holds %q, want none", ids)
	}
	for _, url := range []string{first, second} {
		if status, got := get(t, url); status != http.StatusNotFound {
			t.Errorf("%s shows %d %q, want nothing, not even from a cache", url, status, got)
		}
	}
}

// A panic of the reader happens in a goroutine of net/http: it must end neither the program nor in silence.
func TestReaderPanics(t *testing.T) {
	t.Parallel()
	url, server := cloudinarytest.Start(t)
	s := open(t, url)
	defer func() {
		if got := recover(); got != "reader" {
			t.Errorf("recovered %v, want the reader's panic", got)
		}
		if ids := server.PublicIDs(); len(ids) != 0 {
			t.Errorf("the service holds %q, want none", ids)
		}
	}()
	_, err := s.Put(t.Context(), image.NewKey(image.PNG), io.MultiReader(bytes.NewReader(picture(image.PNG)), panicReader{}))
	t.Errorf("Put = %v, want the panic", err)
}

type panicReader struct{}

func (panicReader) Read([]byte) (int, error) { panic("reader") }

// The reader is the caller's again when Put returns: here it is used at once, and the race detector watches.
func TestReaderIsFreeAfterPut(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]cloudinarytest.Fault{
		"whole":  nil,
		"denied": cloudinarytest.Refuse(http.StatusUnauthorized, "unknown api_key"),
		"reset":  cloudinarytest.Reset(),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url, server := cloudinarytest.Start(t)
			server.Drop()
			server.Break(cloudinarytest.Upload, fault)
			s := open(t, url)
			for range 20 {
				r := &countingReader{left: 1 << 20, head: picture(image.PNG)}
				s.Put(t.Context(), image.NewKey(image.PNG), r)
				r.left = -1 // a race, if anyone still reads
			}
		})
	}
}

type countingReader struct {
	head []byte
	left int
}

func (r *countingReader) Read(p []byte) (int, error) {
	if n := copy(p, r.head); n > 0 {
		r.head = r.head[n:]
		return n, nil
	}
	if r.left <= 0 {
		return 0, io.EOF
	}
	n := min(len(p), r.left, 8<<10)
	r.left -= n
	return n, nil
}

// What ends an upload before it is whole: the service never sees a whole one, and is not asked to destroy anything.
func TestNothingIsKeptOfHalfAPicture(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	ctx, cancel := context.WithCancel(t.Context())
	for name, test := range map[string]struct {
		ctx  context.Context
		r    io.Reader
		want error
	}{
		"reader fails at once": {t.Context(), iotest.ErrReader(broken), broken},
		"reader fails midway":  {t.Context(), io.MultiReader(bytes.NewReader(picture(image.PNG)), iotest.ErrReader(broken)), broken},
		"reader ends early":    {t.Context(), io.MultiReader(bytes.NewReader(picture(image.PNG)), iotest.ErrReader(io.ErrUnexpectedEOF)), io.ErrUnexpectedEOF},
		"ctx ends with the last piece": {ctx, io.MultiReader(bytes.NewReader(picture(image.PNG)), readFunc(func([]byte) (int, error) {
			cancel()
			return 0, io.EOF
		})), context.Canceled},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url, server := cloudinarytest.Start(t)
			s := open(t, url)
			_, err := s.Put(test.ctx, image.NewKey(image.PNG), test.r)
			if !errors.Is(err, test.want) || errors.Is(err, image.ErrStorage) {
				t.Errorf("Put = %v, want %v alone", err, test.want)
			}
			if ids, destroyed := server.PublicIDs(), server.Calls(cloudinarytest.Destroy); len(ids)+destroyed != 0 {
				t.Errorf("the service holds %q after %d destroys, want none of either", ids, destroyed)
			}
		})
	}
}

// When the whole picture is out, the end of ctx comes too late to stop it: then it is destroyed.
func TestCancelledBeforeTheAnswer(t *testing.T) {
	t.Parallel()
	url, server := cloudinarytest.Start(t)
	s := open(t, url)
	ctx, cancel := context.WithCancel(t.Context())
	server.Break(cloudinarytest.Upload, cloudinarytest.Done(func(_ http.ResponseWriter, r *http.Request, _ http.Handler) {
		cancel()
		<-r.Context().Done()
	}))
	_, err := s.Put(ctx, image.NewKey(image.PNG), bytes.NewReader(picture(image.PNG)))
	if !errors.Is(err, context.Canceled) {
		t.Errorf("Put = %v, want context.Canceled", err)
	}
	if ids := server.PublicIDs(); len(ids) != 0 {
		t.Errorf("the service holds %q, want none", ids)
	}
}

func TestOpenIsBounded(t *testing.T) {
	t.Parallel()
	url, server := cloudinarytest.Start(t)
	data := picture(image.PNG)
	s := openWith(t, cloudinarystore.Config{URL: url, MaxBytes: int64(len(data))})
	key := image.NewKey(image.PNG)
	put(t, s, key, data)
	if got, err := read(t, s, key); err != nil || !bytes.Equal(got, data) {
		t.Errorf("a picture of just the size: %q, %v", got, err)
	}
	put(t, s, key, append(data, 'x'))
	if _, err := read(t, s, key); classOf(err) != cloudinarystore.Malformed {
		t.Errorf("one byte more = %v, want a malformed answer", err)
	}
	server.Break(cloudinarytest.Fetch, cloudinarytest.Endless("image/png")) // announces no length
	if got, err := read(t, s, key); classOf(err) != cloudinarystore.Malformed || len(got) > len(data)+1 {
		t.Errorf("an endless one = %d bytes, %v, want a malformed answer", len(got), err)
	}
}

// Somebody who reads slowly, or stops, takes none of the service's time; closing ends the exchange.
func TestOpenAndCloseEarly(t *testing.T) {
	t.Parallel()
	url, server := cloudinarytest.Start(t)
	server.Break(cloudinarytest.Fetch, cloudinarytest.Endless("image/png"))
	s := open(t, url)
	f, info, err := s.Open(t.Context(), image.NewKey(image.PNG))
	if err != nil {
		t.Fatal(err)
	}
	if info.Bytes != -1 {
		t.Errorf("Bytes = %d, want -1: the service does not say", info.Bytes)
	}
	if _, err := io.ReadFull(f, make([]byte, 100_000)); err != nil {
		t.Error(err)
	}
	f.Close()
	if _, err := f.Read(make([]byte, 1)); err == nil {
		t.Error("a closed picture can be read")
	}
}

func TestOpenCancelled(t *testing.T) {
	t.Parallel()
	url, server := cloudinarytest.Start(t)
	server.Break(cloudinarytest.Fetch, cloudinarytest.Endless("image/png"))
	s := open(t, url)
	ctx, cancel := context.WithCancel(t.Context())
	f, _, err := s.Open(ctx, image.NewKey(image.PNG))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	cancel()
	if _, err := io.Copy(io.Discard, f); !errors.Is(err, context.Canceled) || errors.Is(err, image.ErrStorage) {
		t.Errorf("read = %v, want context.Canceled alone", err)
	}
	if err := s.Delete(ctx, image.NewKey(image.PNG)); !errors.Is(err, context.Canceled) {
		t.Errorf("Delete = %v, want context.Canceled", err)
	}
}

// What the store shows of itself, in logs or errors, is not the secret.
func TestSecretIsNotShown(t *testing.T) {
	t.Parallel()
	url, server := cloudinarytest.Start(t)
	s := open(t, url)
	server.Break(cloudinarytest.Destroy, cloudinarytest.HTML(http.StatusBadGateway))
	err := s.Delete(t.Context(), image.NewKey(image.PNG))
	for _, shown := range []string{fmt.Sprintf("%v %+v %#v", s, *s, *s), fmt.Sprintf("%v %+v %#v", err, err, errors.Unwrap(err))} {
		if strings.Contains(shown, server.Secret) {
			t.Errorf("the secret is in %s", shown)
		}
	}
}

func TestConfig(t *testing.T) {
	t.Parallel()
	for _, c := range []cloudinarystore.Config{{Timeout: -1}, {ConnectTimeout: -1}, {MaxBytes: -1}, {Backoff: -1}} {
		c.URL = "cloudinary://key:secret@cloud"
		if s, err := cloudinarystore.New(c); err == nil {
			t.Errorf("%+v is taken: %v", c, s)
		}
	}
}

// open returns a store that does not wait between retries.
func open(t testing.TB, url string) *cloudinarystore.Store {
	t.Helper()
	return openWith(t, cloudinarystore.Config{URL: url})
}

func openWith(t testing.TB, c cloudinarystore.Config) *cloudinarystore.Store {
	t.Helper()
	c.Backoff = time.Millisecond
	s, err := cloudinarystore.New(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

func put(t *testing.T, s *cloudinarystore.Store, key string, data []byte) (url string) {
	t.Helper()
	info, err := s.Put(t.Context(), key, bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	return info.URL
}

func read(t *testing.T, s *cloudinarystore.Store, key string) ([]byte, error) {
	t.Helper()
	f, _, err := s.Open(t.Context(), key)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(f)
}

func get(t *testing.T, url string) (status int, body []byte) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{DisableKeepAlives: true}
	resp, err := transport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, data
}

func classOf(err error) cloudinarystore.Class {
	if trouble, ok := errors.AsType[*cloudinarystore.Error](err); ok {
		return trouble.Class
	}
	return ""
}

// picture returns the first bytes of a picture: as much as the service looks at.
func picture(mimeType string) []byte {
	return []byte(map[string]string{
		image.JPEG: "\xff\xd8\xff\xe0 a photo", image.PNG: "\x89PNG\r\n\x1a\n a photo",
		image.WebP: "RIFF\x1a\x00\x00\x00WEBPVP8L a photo", image.GIF: "GIF89a a photo",
	}[mimeType])
}

type readFunc func([]byte) (int, error)

func (f readFunc) Read(p []byte) (int, error) { return f(p) }
