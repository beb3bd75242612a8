package main

import (
	"bytes"
	"context"
	"errors"
	"image"
	"image/jpeg"
	"image/png"
	"io"
	"log/slog"
	"math/rand/v2"
	"testing"

	picture "loupe/internal/image"
	"loupe/internal/image/diskstore"
)

// noise is a picture that no encoder makes small.
func noise(width, height int, alpha uint8) *image.NRGBA {
	random := rand.New(rand.NewPCG(1, 2))
	img := image.NewNRGBA(image.Rect(0, 0, width, height))
	for i := range img.Pix {
		img.Pix[i] = uint8(random.Uint32())
		if i%4 == 3 {
			img.Pix[i] = alpha
		}
	}
	return img
}

func asPNG(t *testing.T, img image.Image) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := png.Encode(&b, img); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// previewsOfNothing are those of an empty store.
func previewsOfNothing(t *testing.T) *previews {
	t.Helper()
	store, err := diskstore.Open(diskstore.Config{Dir: t.TempDir(), BaseURL: "http://127.0.0.1:3000"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() })
	return newPreviews(store, slog.New(slog.DiscardHandler))
}

func TestPreviews(t *testing.T) {
	t.Parallel()
	p := previewsOfNothing(t)
	var photo bytes.Buffer
	if err := jpeg.Encode(&photo, noise(1600, 900, 255), nil); err != nil {
		t.Fatal(err)
	}
	torn := photo.Bytes()[:photo.Len()/2]
	small := asPNG(t, image.NewGray(image.Rect(0, 0, 3000, 20)))

	for name, test := range map[string]struct {
		mimeType, as  string
		data          []byte
		width, height int
		kept          bool
	}{
		"photo":       {picture.JPEG, picture.JPEG, photo.Bytes(), 640, 360, true},
		"transparent": {picture.PNG, picture.PNG, asPNG(t, noise(300, 900, 127)), 213, 640, true},
		"small":       {picture.PNG, picture.PNG, small, 3000, 20, false},
		"torn":        {picture.JPEG, picture.JPEG, torn, 1600, 900, false},
	} {
		key := picture.NewKey(test.mimeType)
		if _, err := p.store.Put(t.Context(), key, bytes.NewReader(test.data)); err != nil {
			t.Fatal(err)
		}
		for range 2 { // it is made, then kept
			content, mimeType, err := p.open(t.Context(), key)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			config, _, err := image.DecodeConfig(content)
			if err != nil || mimeType != test.as || config.Width != test.width || config.Height != test.height {
				t.Errorf("%s: %s, %d × %d, %v", name, mimeType, config.Width, config.Height, err)
			}
			if n, err := content.Seek(0, io.SeekEnd); err != nil || !test.kept && n != int64(len(test.data)) {
				t.Errorf("%s: %d bytes, %v", name, n, err)
			}
			content.Close()
		}
		file, err := p.store.OpenPreview(t.Context(), key)
		if (err == nil) != test.kept {
			t.Errorf("%s: kept: %v", name, err)
		}
		file.Close()
		if p.isUnfit(key) != (name == "torn") {
			t.Errorf("%s is remembered as unfit: %v", name, p.isUnfit(key))
		}
	}
	if _, _, err := p.open(t.Context(), picture.NewKey(picture.PNG)); !errors.Is(err, picture.ErrNotFound) {
		t.Errorf("preview of nothing: %v", err)
	}
}

// Who hangs up while others have their turn leaves nothing behind, and the picture is not taken for unfit.
func TestPreviewNotWaitedFor(t *testing.T) {
	t.Parallel()
	p := previewsOfNothing(t)
	key := picture.NewKey(picture.PNG)
	if _, err := p.store.Put(t.Context(), key, bytes.NewReader(asPNG(t, noise(200, 200, 255)))); err != nil {
		t.Fatal(err)
	}
	p.turn <- struct{}{}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() {
		_, _, err := p.open(ctx, key)
		ended <- err
	}()
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("open: %v", err)
	}
	<-p.turn
	content, _, err := p.open(t.Context(), key)
	if err != nil || p.isUnfit(key) {
		t.Fatalf("open: %v", err)
	}
	content.Close()
}
