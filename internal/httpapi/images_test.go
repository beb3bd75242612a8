package httpapi_test

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"

	"loupe/internal/asset"
	"loupe/internal/auth"
	"loupe/internal/httpapi"
	"loupe/internal/image"
)

type content struct {
	io.ReadSeeker
	io.Closer
}

// Who asks for a preview gets one, from caches too; without previews it is the picture.
func TestPreviews(t *testing.T) {
	t.Parallel()
	const small = "\x89PNG\r\n\x1a\n small"
	for _, there := range []bool{true, false} {
		s := newServer(t, func(c *httpapi.Config) {
			if !there {
				return
			}
			c.Previews = func(ctx context.Context, key string) (io.ReadSeekCloser, string, error) {
				file, _, err := c.Images.Open(ctx, key)
				return content{strings.NewReader(small), file}, image.PNG, err
			}
		})
		s.work(t)
		bearer := token(t, auth.User{ID: alice})
		id, _ := s.submit(t, bearer)
		path := imagePath(t, s.until(t, bearer, id, asset.Active).Images.Original.URL)
		whole := s.do(t, http.MethodGet, path, "", nil, nil)
		got := s.do(t, http.MethodGet, path+"?preview", "", nil, nil)
		if there != (string(got.body) == small) || there != (got.header.Get("Content-Type") == image.PNG) || !there && string(got.body) != string(whole.body) {
			t.Errorf("previews %v: answered %d %v", there, got.status, got.header)
		}
		if there == (got.header.Get("ETag") == whole.header.Get("ETag")) {
			t.Errorf("previews %v: the tag of both is %s", there, got.header.Get("ETag"))
		}
		for _, name := range []string{"X-Content-Type-Options", "Content-Security-Policy", "Cache-Control", "Cross-Origin-Resource-Policy"} {
			if got.header.Get(name) != whole.header.Get(name) || got.header.Get(name) == "" {
				t.Errorf("previews %v: %s is %q", there, name, got.header.Get(name))
			}
		}
		again := s.do(t, http.MethodGet, path+"?preview", "", nil, http.Header{"If-None-Match": {got.header.Get("ETag")}})
		if again.status != http.StatusNotModified {
			t.Errorf("previews %v: asked again: %d", there, again.status)
		}
	}
}
