package image_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/iotest"

	"loupe/internal/image"
)

// clean reads a picture to its end.
func clean(r io.Reader, l image.Limits) ([]byte, image.Meta, error) {
	picture, err := image.NewReader(r, l)
	if err != nil {
		return nil, image.Meta{}, err
	}
	b, err := io.ReadAll(picture)
	return b, picture.Meta(), err
}

func mustClean(t *testing.T, data []byte) ([]byte, image.Meta) {
	t.Helper()
	out, meta, err := clean(bytes.NewReader(data), image.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	return out, meta
}

// each runs a test with every fixture.
func each(t *testing.T, test func(t *testing.T, f fixture)) {
	for _, f := range fixtures() {
		t.Run(f.mimeType[len("image/"):]+"/"+f.name, func(t *testing.T) {
			t.Parallel()
			test(t, f)
		})
	}
}

func TestPictureStays(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, f fixture) {
		out, _ := mustClean(t, f.data)
		base := f.base
		if base == nil {
			base = f.data
		}
		want, err := decode(f.mimeType, base)
		if err != nil {
			t.Fatal(err)
		}
		got, err := decode(f.mimeType, out)
		if err != nil {
			t.Fatalf("what comes out cannot be decoded: %v", err)
		}
		if !samePixels(got, want) {
			t.Error("the pixels changed")
		}
	})
}

func TestMetadataGoes(t *testing.T) {
	t.Parallel()
	planted := 0
	for _, f := range fixtures() {
		planted += bytes.Count(f.data, []byte(secret))
		if out, _ := mustClean(t, f.data); bytes.Contains(out, []byte(secret[:6])) {
			t.Errorf("%s %s: what must go comes out:\n%q", f.mimeType, f.name, out)
		}
	}
	if planted < 3000 {
		t.Errorf("only %d secrets were there to begin with", planted)
	}
}

func TestOrientationAndProfileStay(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, f fixture) {
		out, meta := mustClean(t, f.data)
		for o := range 9 {
			want := 0
			if o == f.orientation && o > 0 {
				want = 1
			}
			if got := bytes.Count(out, []byte(minimalExif(byte(o)))); got != want {
				t.Errorf("says orientation %d %d times, want %d", o, got, want)
			}
		}
		if got, want := bytes.Count(out, []byte(profile)), bytes.Count(f.data, []byte(profile)); got != want || f.icc != (want > 0) {
			t.Errorf("%d parts of a colour profile come out, want %d", got, want)
		}
		width, height := testWidth, testHeight
		if f.orientation >= 5 {
			width, height = height, width
		}
		if meta.Width != width || meta.Height != height {
			t.Errorf("%d × %d, want %d × %d", meta.Width, meta.Height, width, height)
		}
	})
}

func TestMeta(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, f fixture) {
		r, err := image.NewReader(bytes.NewReader(f.data), image.Limits{})
		if err != nil {
			t.Fatal(err)
		}
		if r.MIMEType() != f.mimeType {
			t.Errorf("MIMEType = %q, want %q", r.MIMEType(), f.mimeType)
		}
		if r.Meta() != (image.Meta{}) {
			t.Errorf("Meta before the end = %+v", r.Meta())
		}
		out, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		sum := sha256.Sum256(out)
		m := r.Meta()
		if m.MIMEType != f.mimeType || m.Bytes != int64(len(out)) || m.SHA256 != hex.EncodeToString(sum[:]) {
			t.Errorf("Meta = %+v of %d bytes %x", m, len(out), sum)
		}
		if n, err := r.Read(make([]byte, 1)); n != 0 || !errors.Is(err, io.EOF) {
			t.Errorf("Read after the end = %d, %v", n, err)
		}
	})
}

// What is clean stays as it is.
func TestIdempotent(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, f fixture) {
		once, _ := mustClean(t, f.data)
		if twice, _ := mustClean(t, once); !bytes.Equal(once, twice) {
			t.Errorf("the second time other bytes come out:\n%q\n%q", once, twice)
		}
	})
}

func TestWhatStandardEncodersWriteIsUnchanged(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, f fixture) {
		switch f.name {
		case "standard", "lossy", "lossless", "alpha", "animated", "progressive", "palette", "16 bits":
			out, _ := mustClean(t, f.data)
			if !bytes.Equal(out, f.data) {
				t.Errorf("changed:\n%q\n%q", f.data, out)
			}
		}
	})
}

// A picture that is cut short anywhere is refused.
func TestTruncated(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, f fixture) {
		end := len(f.data) - f.tail
		for n := range end {
			if n > 2000 && n < end-200 && n%97 != 0 { // long fillings
				continue
			}
			_, _, err := clean(bytes.NewReader(f.data[:n]), image.Limits{})
			want := image.ErrMalformed
			switch {
			case n == 0:
				want = image.ErrEmpty
			case n < 12:
				if errors.Is(err, image.ErrUnsupported) {
					continue
				}
			}
			if !errors.Is(err, want) {
				t.Fatalf("cut after %d of %d bytes: %v, want %v", n, end, err, want)
			}
		}
		if _, _, err := clean(bytes.NewReader(f.data[:end]), image.Limits{}); err != nil {
			t.Errorf("without its tail: %v", err)
		}
	})
}

// However the bytes come and however they are fetched, the same come out.
func TestChunking(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, f fixture) {
		want, wantMeta := mustClean(t, f.data)
		seed := rand.Uint64()
		random := rand.New(rand.NewPCG(seed, 0))
		for name, r := range map[string]io.Reader{
			"one byte":          iotest.OneByteReader(bytes.NewReader(f.data)),
			"half":              iotest.HalfReader(bytes.NewReader(f.data)),
			"data with error":   iotest.DataErrReader(bytes.NewReader(f.data)),
			"byte with error":   iotest.DataErrReader(iotest.OneByteReader(bytes.NewReader(f.data))),
			fmt.Sprint(seed):    randomReader{random, bytes.NewReader(f.data)},
			"nothing sometimes": emptyReader(bytes.NewReader(f.data)),
		} {
			got, meta, err := clean(r, image.Limits{})
			if err != nil || !bytes.Equal(got, want) || meta != wantMeta {
				t.Errorf("%s: %d bytes, %+v, %v, want %d, %+v", name, len(got), meta, err, len(want), wantMeta)
			}
		}
		r, err := image.NewReader(bytes.NewReader(f.data), image.Limits{})
		if err != nil {
			t.Fatal(err)
		}
		if n, err := r.Read(nil); n != 0 || err != nil {
			t.Errorf("Read of nothing = %d, %v", n, err)
		}
		if err := iotest.TestReader(r, want); err != nil {
			t.Error(err)
		}
	})
}

type randomReader struct {
	random *rand.Rand
	r      io.Reader
}

func (r randomReader) Read(p []byte) (int, error) {
	return r.r.Read(p[:min(len(p), 1+r.random.IntN(300))])
}

// emptyReader returns no bytes and no error every other time, as an io.Reader may.
func emptyReader(r io.Reader) io.Reader {
	empty := false
	return readFunc(func(p []byte) (int, error) {
		if empty = !empty; empty {
			return 0, nil
		}
		return r.Read(p[:min(len(p), 100)])
	})
}

type readFunc func([]byte) (int, error)

func (f readFunc) Read(p []byte) (int, error) { return f(p) }

// The error of whoever sends the picture comes back, wherever it strikes, also after the picture's end.
func TestSenderFails(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, f fixture) {
		for _, broken := range []error{io.ErrUnexpectedEOF, fmt.Errorf("odd: %w", io.EOF), errors.New("gone")} {
			for _, n := range []int{0, 1, 11, 12, 20, len(f.data) / 2, len(f.data) - 1, len(f.data)} {
				r := io.MultiReader(bytes.NewReader(f.data[:n]), iotest.ErrReader(broken))
				if _, _, err := clean(r, image.Limits{}); !errors.Is(err, broken) || errors.Is(err, image.ErrMalformed) {
					t.Errorf("after %d bytes: %v, want %v", n, err, broken)
				}
			}
		}
	})
}

// A reader that would go on after an error is not asked again.
func TestErrorsAreFinal(t *testing.T) {
	t.Parallel()
	for _, f := range fixtures() {
		r := iotest.TimeoutReader(iotest.OneByteReader(bytes.NewReader(f.data)))
		if _, _, err := clean(r, image.Limits{}); !errors.Is(err, iotest.ErrTimeout) {
			t.Errorf("%s: %v, want ErrTimeout", f.name, err)
		}
	}
}

func TestMaxBytesReader(t *testing.T) {
	t.Parallel()
	data := jpegEncode(gradient(0))
	body := http.MaxBytesReader(httptest.NewRecorder(), io.NopCloser(bytes.NewReader(data)), int64(len(data)-1))
	_, _, err := clean(body, image.Limits{})
	var tooLarge *http.MaxBytesError
	if !errors.As(err, &tooLarge) {
		t.Errorf("%v, want a MaxBytesError", err)
	}
}

func TestMaxBytes(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, f fixture) { // what follows the picture counts
		for _, enough := range []int64{int64(len(f.data)), math.MaxInt64, 0, -1} {
			if _, _, err := clean(bytes.NewReader(f.data), image.Limits{MaxBytes: enough}); err != nil {
				t.Errorf("at most %d: %v", enough, err)
			}
		}
		if _, _, err := clean(bytes.NewReader(f.data), image.Limits{MaxBytes: int64(len(f.data) - 1)}); !errors.Is(err, image.ErrTooLarge) {
			t.Errorf("a byte too large: %v", err)
		}
	})
	endless := io.MultiReader(bytes.NewReader(jpegEncode(gradient(0))), readFunc(func(p []byte) (int, error) { return len(p), nil }))
	if _, _, err := clean(endless, image.Limits{}); !errors.Is(err, image.ErrTooLarge) {
		t.Errorf("endless: %v", err)
	}
	sent := 0
	announced := readFunc(func(p []byte) (int, error) {
		sent++
		return copy(p, "RIFF\xff\xff\xff\x7fWEBPVP8X"), nil
	})
	if _, _, err := clean(announced, image.Limits{}); !errors.Is(err, image.ErrTooLarge) || sent > 1 {
		t.Errorf("announced as too large: %v after %d reads", err, sent)
	}
}

func TestMaxPixels(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, f fixture) {
		for _, enough := range []int64{testWidth * testHeight, math.MaxInt64, 0, -1} {
			if _, _, err := clean(bytes.NewReader(f.data), image.Limits{MaxPixels: enough}); err != nil {
				t.Errorf("at most %d: %v", enough, err)
			}
		}
		if _, _, err := clean(bytes.NewReader(f.data), image.Limits{MaxPixels: testWidth*testHeight - 1}); !errors.Is(err, image.ErrTooManyPx) {
			t.Errorf("a pixel too large: %v", err)
		}
	})
}

func TestTypes(t *testing.T) {
	t.Parallel()
	for data, want := range map[string]error{
		"":                         image.ErrEmpty,
		"just text":                image.ErrUnsupported,
		"<svg xmlns=\"x\"></svg>":  image.ErrUnsupported,
		"<!DOCTYPE html><html>":    image.ErrUnsupported,
		"RIFF\x24\x00\x00\x00WAVE": image.ErrUnsupported,
		"GIF88a":                   image.ErrUnsupported,
		"BM\x00\x00\x00\x00":       image.ErrUnsupported,
		"II*\x00\x08\x00\x00\x00":  image.ErrUnsupported,
		"\x00\x00\x00\x18ftypheic": image.ErrUnsupported,
		"\xff\xd8":                 image.ErrUnsupported,
		"\xff\xd8\xff":             image.ErrMalformed,
		"\x89PNG\r\n\x1a\n":        image.ErrMalformed,
		"GIF89a;":                  image.ErrMalformed,
		"RIFF\x04\x00\x00\x00WEBP": image.ErrMalformed,
	} {
		if _, _, err := clean(strings.NewReader(data), image.Limits{}); !errors.Is(err, want) {
			t.Errorf("%q: %v, want %v", data, err, want)
		}
	}
}

// The file of another type is no more read than its type takes.
func TestUnsupportedIsNotRead(t *testing.T) {
	t.Parallel()
	n := 0
	r := readFunc(func(p []byte) (int, error) {
		n += len(p)
		return copy(p, strings.Repeat("text ", len(p)/5)), nil
	})
	if _, err := image.NewReader(r, image.Limits{}); !errors.Is(err, image.ErrUnsupported) {
		t.Error(err)
	}
	if n > 32<<10 {
		t.Errorf("%d bytes were asked for", n)
	}
}
