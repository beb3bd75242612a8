package image_test

import (
	"strings"
	"testing"

	"loupe/internal/image"
)

func TestKeys(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for mimeType, ending := range map[string]string{image.JPEG: ".jpg", image.PNG: ".png", image.WebP: ".webp", image.GIF: ".gif"} {
		for range 100 {
			key := image.NewKey(mimeType)
			processed := image.ProcessedKey(key, image.PNG)
			if !image.ValidKey(key) || !image.ValidKey(processed) || image.TypeOf(key) != mimeType || image.TypeOf(processed) != image.PNG {
				t.Errorf("%q, %q are no keys of %s and PNG", key, processed, mimeType)
			}
			if !strings.HasSuffix(key, ending) || len(key) != 32+len(ending) || processed != key[:32]+".processed.png" || seen[key] {
				t.Errorf("odd keys %q, %q", key, processed)
			}
			seen[key] = true
			if fresh := image.NewProcessedKey(mimeType); !image.ValidKey(fresh) || image.ProcessedKey(fresh, mimeType) != fresh || seen[fresh] {
				t.Errorf("%q is no fresh key of a processed %s", fresh, mimeType)
			} else {
				seen[fresh] = true
			}
			if again := image.ProcessedKey(processed, image.PNG); again != processed {
				t.Errorf("processed again: %q, %q", processed, again)
			}
		}
	}
	if key := image.NewKey("image/tiff"); image.ValidKey(key) || image.TypeOf(key) != "" || image.Extension("image/tiff") != "" {
		t.Errorf("%q is a key of a type that is not ours", key)
	}
}
