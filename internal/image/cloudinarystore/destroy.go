package cloudinarystore

import (
	"context"
	"net/url"
	"strings"
)

// destroy removes the picture, and asks for it to go from caches; that there is none is no error.
func (s *Store) destroy(ctx context.Context, key string) error {
	ctx, x := s.begin(ctx, callDestroy)
	defer x.end()
	form := s.signed(url.Values{"public_id": {publicID(key)}, "invalidate": {"true"}})
	answer, err := s.ask(ctx, x, "application/x-www-form-urlencoded", strings.NewReader(form.Encode()))
	if err != nil {
		return err
	}
	return checkDestroy(answer)
}
