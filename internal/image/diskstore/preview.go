package diskstore

import (
	"bytes"
	"context"
	"fmt"
	"os"

	"loupe/internal/image"
)

// previewSuffix follows the key of a picture in the name of its preview. No key ends so: previews are not pictures.
const previewSuffix = ".preview"

// OpenPreview returns the small copy that is kept of the picture under key, or [image.ErrNotFound].
func (s *Store) OpenPreview(ctx context.Context, key string) (*os.File, error) {
	if !image.ValidKey(key) {
		return nil, fmt.Errorf("open preview of %s: %w", key, image.ErrNotFound)
	}
	f, _, err := s.openFile(ctx, key+previewSuffix)
	if err != nil {
		return nil, fmt.Errorf("open preview of %s: %w", key, err)
	}
	return f, nil
}

// PutPreview keeps a small copy of the picture under key for as long as that is there: [Store.Delete] removes both.
// Without the picture nothing is kept, and the error is [image.ErrNotFound].
func (s *Store) PutPreview(ctx context.Context, key string, data []byte) error {
	if !image.ValidKey(key) {
		return fmt.Errorf("%w: %q", image.ErrKey, key)
	}
	if _, err := s.put(ctx, key+previewSuffix, bytes.NewReader(data)); err != nil {
		return fmt.Errorf("put preview of %s: %w", key, err)
	}
	picture, _, err := s.open(context.WithoutCancel(ctx), key)
	if err != nil {
		s.files.remove(key + previewSuffix) //nolint:errcheck // the picture's error counts
		return fmt.Errorf("put preview of %s: %w", key, err)
	}
	return picture.Close()
}
