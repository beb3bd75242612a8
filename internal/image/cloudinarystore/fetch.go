package cloudinarystore

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"

	"loupe/internal/image"
)

// open fetches the picture from where the world sees it.
func (s *Store) open(ctx context.Context, key string) (file *download, info image.Info, err error) {
	if !image.ValidKey(key) {
		return nil, info, image.ErrNotFound
	}
	err = s.retry(ctx, func() error {
		file, err = s.fetch(ctx, key)
		return err
	})
	if err != nil {
		return nil, info, err
	}
	return file, image.Info{
		Key: key, URL: s.delivery + "v1/" + path(key), MIMEType: image.TypeOf(key), Bytes: file.size,
	}, nil
}

// fetch asks for the picture under a version that no cache can hold. The service takes any version for the latest.
func (s *Store) fetch(ctx context.Context, key string) (*download, error) {
	const lowest, versions = 1_000_000_000, 9_000_000_000 // those of ten digits, like the service's own
	version := "v" + strconv.FormatInt(lowest+rand.Int64N(versions), 10)

	ctx, x := s.begin(ctx, callFetch)
	resp, err := s.get(ctx, x, s.delivery+version+"/"+path(key)) //nolint:bodyclose // the download does
	if err != nil {
		x.end()
		return nil, err
	}
	d := &download{exchange: x, body: resp.Body, size: resp.ContentLength, left: s.cfg.MaxBytes}
	if err := s.checkPicture(resp); err != nil {
		io.CopyN(io.Discard, resp.Body, maxAnswer) //nolint:errcheck // a short answer that is read leaves the connection usable
		d.Close()
		return nil, err
	}
	x.pause()
	return d, nil
}

func (s *Store) get(ctx context.Context, x *exchange, address string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, x.failure(err)
	}
	resp, err := s.transport.RoundTrip(req)
	if err != nil {
		return nil, x.failure(err)
	}
	return resp, nil
}

// checkPicture returns nil when resp brings a picture.
func (s *Store) checkPicture(resp *http.Response) error {
	kind := resp.Header.Get("Content-Type")
	switch {
	case resp.StatusCode == http.StatusNotFound:
		return image.ErrNotFound
	case resp.StatusCode != http.StatusOK:
		return refusal(callFetch, resp.StatusCode, resp.Header, nil)
	case !strings.HasPrefix(kind, "image/"):
		return malformed(callFetch, "answered with %.*q instead of a picture", maxWords, kind)
	case resp.ContentLength > s.cfg.MaxBytes:
		return tooLarge()
	case resp.ContentLength < 0 && len(resp.TransferEncoding) == 0:
		return malformed(callFetch, "answered without a length: a picture that is cut short would look whole")
	}
	return nil
}

func tooLarge() error {
	return malformed(callFetch, "the picture is larger than the store is set to open")
}

// A download is a picture on its way. The service's time runs only while somebody waits for a piece.
type download struct {
	*exchange
	body io.ReadCloser
	size int64 // -1: unknown
	left int64 // bytes that may still come
}

func (d *download) Read(p []byte) (int, error) {
	if int64(len(p)) > d.left {
		p = p[:d.left+1] // one more tells that there is more
	}
	d.resume()
	n, err := d.body.Read(p)
	d.pause()
	d.left -= int64(n)
	switch {
	case d.left < 0:
		return 0, tooLarge()
	case err != nil && err != io.EOF:
		return n, d.failure(fmt.Errorf("picture cut short: %w", err))
	}
	return n, err
}

func (d *download) Close() error {
	d.end()
	return d.body.Close()
}
