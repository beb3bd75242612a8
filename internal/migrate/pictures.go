package migrate

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"time"

	"loupe/internal/asset"
	"loupe/internal/image"
)

// A picture that does not get through is sent again, because one lost connection in a long night is nothing to stop for.
const (
	putTries = 3
	putPause = time.Second // before the second try, twice that before the third
)

// movePictures moves the pictures of an asset that have not been moved, and returns it with their URLs.
func (m *mover) movePictures(ctx context.Context, a asset.Asset) (_ asset.Asset, changed bool, err error) {
	if m.ToImages == nil {
		return a, false, nil
	}
	a = own(a)
	for _, p := range pictures(&a) {
		if m.moved(*p) {
			m.report.count(&m.report.pictures.equal)
			continue
		}
		info, err := m.send(ctx, p.Key)
		name := fmt.Sprintf("picture %s of asset %s", p.Key, a.ID)
		switch {
		case errors.Is(err, image.ErrNotFound):
			m.report.missing(&m.report.pictures, name, "is not in the data directory")
		case err != nil && m.Refused(err):
			m.report.missing(&m.report.pictures, name, fmt.Sprintf("stays where it is: %v", err))
		case err != nil:
			return a, false, fmt.Errorf("%s: %w", name, err)
		default:
			p.URL, changed = info.URL, true
			m.report.count(&m.report.pictures.moved)
		}
	}
	return a, changed, nil
}

// send puts a picture where it is to be. The error is [image.ErrNotFound] if the installation does not have it.
func (m *mover) send(ctx context.Context, key string) (info image.Info, err error) {
	for try := 1; ; try++ {
		file, _, err := m.Images.Open(ctx, key)
		if err != nil {
			return info, err
		}
		info, err = m.ToImages.Put(ctx, key, file)
		file.Close()
		if err == nil || try == putTries || m.Refused(err) {
			return info, err
		}
		select {
		case <-ctx.Done():
			return info, ctx.Err()
		case <-time.After(time.Duration(try) * putPause):
		}
	}
}

// verifyPicture compares a picture. urlMoved says whether the record at the target, if there is one, has its new URL.
func (m *mover) verifyPicture(ctx context.Context, assetID string, p asset.Image, urlMoved bool) error {
	name := fmt.Sprintf("picture %s of asset %s", p.Key, assetID)
	here, err := sumPicture(ctx, m.Images, p.Key)
	if errors.Is(err, image.ErrNotFound) {
		if !m.moved(p) { // else it has never been here
			m.report.missing(&m.report.pictures, name, "is not in the data directory")
		}
		return nil
	}
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	there, err := sumPicture(ctx, m.ToImages, p.Key)
	switch {
	case errors.Is(err, image.ErrNotFound):
		m.report.missing(&m.report.pictures, name, "is not at the target")
	case err != nil:
		return fmt.Errorf("%s at the target: %w", name, err)
	case here != there:
		m.report.different(&m.report.pictures, name, "is another one at the target")
	case !urlMoved:
		m.report.different(&m.report.pictures, name, "is at the target, but its record has the old URL")
	default:
		m.report.count(&m.report.pictures.equal)
	}
	return nil
}

func sumPicture(ctx context.Context, from image.Store, key string) (sum [sha256.Size]byte, err error) {
	file, _, err := from.Open(ctx, key)
	if err != nil {
		return sum, err
	}
	defer file.Close()
	hash := sha256.New()
	if _, err := io.Copy(hash, file); err != nil {
		return sum, err
	}
	hash.Sum(sum[:0])
	return sum, nil
}
