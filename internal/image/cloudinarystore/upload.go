package cloudinarystore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"time"

	"loupe/internal/image"
)

// undoTimeout bounds how long Put takes to destroy a picture of which it cannot say whether it is kept.
const undoTimeout = 10 * time.Second

// put uploads what r gives. Once the service may have the picture, it ends with the picture's address or destroys it.
func (s *Store) put(ctx context.Context, key string, r io.Reader) (image.Info, error) {
	p := &picture{r: r}
	var address string
	err := s.retry(ctx, func() (err error) {
		address, err = s.upload(ctx, key, p)
		return err
	})
	if err == nil {
		return image.Info{Key: key, URL: address, MIMEType: image.TypeOf(key), Bytes: p.size}, nil
	}
	if trouble, ok := errors.AsType[*Error](err); !p.sent || ok && trouble.denied() {
		return image.Info{}, err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), undoTimeout)
	defer cancel()
	if undone := s.destroy(ctx, key); undone != nil {
		err = errors.Join(err, fmt.Errorf("the picture may be kept: %w", undone))
	}
	return image.Info{}, err
}

// upload sends the picture and returns the address that the service gives it.
func (s *Store) upload(ctx context.Context, key string, p *picture) (address string, err error) {
	ctx, x := s.begin(ctx, callUpload)
	defer x.end()
	form := newForm(s.signed(url.Values{
		"public_id":    {publicID(key)},
		"asset_folder": {folder(key)},
		"overwrite":    {"true"},
		"invalidate":   {"true"},
		// The public id is whole, whatever a preset of the account says.
		"use_asset_folder_as_public_id_prefix": {"false"},
	}), key, p, x)
	answer, err := s.ask(ctx, x, form.contentType, form)
	form.end()

	switch {
	case p.panicked != nil:
		panic(p.panicked)
	case p.err != nil:
		return "", p.err
	case err != nil && p.asked:
		return "", final(err) // what has been read of the picture cannot be sent again
	case err != nil:
		return "", err
	case !p.sent:
		return "", malformed(callUpload, "answered before the picture was sent")
	}
	return s.checkUpload(answer, key, p.size)
}
