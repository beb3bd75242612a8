package httpapi

import (
	"errors"
	"io"
	"net/http"
	"strconv"
	"time"

	"loupe/internal/image"
)

func (a *api) image(w http.ResponseWriter, r *http.Request) {
	if err := ServeImage(w, r, a.Images); err != nil {
		a.fail(w, r, err)
	}
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
	h := w.Header()
	h.Set("Content-Type", info.MIMEType)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Security-Policy", "default-src 'none'; sandbox")
	h.Set("Cross-Origin-Resource-Policy", "cross-origin")
	h.Set("Cache-Control", "public, max-age=31536000, immutable")
	h.Set("ETag", strconv.Quote(key))
	http.ServeContent(w, r, "", time.Time{}, content)
	return nil
}
