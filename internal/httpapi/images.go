package httpapi

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strconv"
	"time"

	"loupe/internal/image"
)

// Previews opens the small copy of a stored picture, or the picture itself if there is none, and tells its type. Without
// the picture the error is [image.ErrNotFound].
type Previews func(ctx context.Context, key string) (content io.ReadSeekCloser, mimeType string, err error)

func (a *api) image(w http.ResponseWriter, r *http.Request) {
	var err error
	if a.Previews != nil && r.URL.Query().Has("preview") {
		err = a.preview(w, r)
	} else {
		err = ServeImage(w, r, a.Images)
	}
	if err != nil {
		a.fail(w, r, err)
	}
}

// preview serves the stored picture of the path's {key}, small if it can be made so.
func (a *api) preview(w http.ResponseWriter, r *http.Request) error {
	key := r.PathValue("key")
	if !image.ValidKey(key) {
		return image.ErrNotFound
	}
	content, mimeType, err := a.Previews(r.Context(), key)
	if err != nil && r.Context().Err() != nil {
		return nil // nobody is there to be answered
	}
	if err != nil {
		return err
	}
	defer content.Close()
	serveContent(w, r, content, mimeType, key+"?preview")
	return nil
}

// ServeImage serves the stored picture of the path's {key}. Whoever knows a key may see its picture; and it is only ever
// a picture, whatever its bytes are. An error has not been answered yet.
func ServeImage(w http.ResponseWriter, r *http.Request, images image.Store) error {
	key := r.PathValue("key")
	if !image.ValidKey(key) {
		return image.ErrNotFound
	}
	file, info, err := images.Open(r.Context(), key)
	if err != nil {
		return err
	}
	defer file.Close()
	content, ok := file.(io.ReadSeeker)
	if !ok {
		return errors.New("the image store cannot serve pictures")
	}
	serveContent(w, r, content, info.MIMEType, key)
	return nil
}

func serveContent(w http.ResponseWriter, r *http.Request, content io.ReadSeeker, mimeType, tag string) {
	h := w.Header()
	h.Set("Content-Type", mimeType)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Security-Policy", "default-src 'none'; sandbox")
	h.Set("Cross-Origin-Resource-Policy", "cross-origin")
	h.Set("Cache-Control", "public, max-age=31536000, immutable")
	h.Set("ETag", strconv.Quote(tag))
	http.ServeContent(w, r, "", time.Time{}, content)
}
