// Package cloudinarystore keeps pictures with Cloudinary.
//
// It makes three calls by hand: upload and destroy of Cloudinary's Upload API, signed, and a GET of the delivery URL. An
// upload is one streamed request, so however large the picture is, a few tens of kilobytes are held. A picture is stored
// byte for byte as it came; what the service says it has kept is compared with what was sent.
//
// A key is a public id without its ending, below one of two folders: assets/originals/<key> and, for the processed form,
// assets/processed/<key>. Putting a key again replaces the picture; its URL then bears a new version, and URLs given out
// before lead to the new picture, though caches on the way may show the old one for some minutes.
//
// The parameters and answers are those of https://cloudinary.com/documentation/image_upload_api_reference.
package cloudinarystore

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"loupe/internal/image"
)

var _ image.Store = (*Store)(nil)

// Config says whose account holds the pictures, and how long to wait for the service.
type Config struct {
	// URL is what Cloudinary calls CLOUDINARY_URL: cloudinary://<key>:<secret>@<cloud>, with percent-encoded specials.
	// Of the parameters that Cloudinary's SDKs take after a "?" these count here: upload_prefix (the address of the API,
	// default https://api.cloudinary.com), signature_algorithm (sha1, the default, or sha256), private_cdn=true and
	// secure_distribution=<host> (where the account's pictures are delivered). Where upload_prefix is no host of
	// Cloudinary's the pictures are expected on that host too, unless secure_distribution says otherwise. Required.
	URL string

	// Timeout is how long the service may take for its next step: a connection, the next piece of a picture, an answer.
	// The time in which Put waits for its reader does not count. Default 60 s.
	Timeout time.Duration

	ConnectTimeout time.Duration // for name and connection, and again for TLS. Default 5 s.
	MaxBytes       int64         // of a picture that Open returns. Default 100 MiB.
	Backoff        time.Duration // before the first retry, twice that before the second and last. Default 200 ms.
}

func (c Config) withDefaults() Config {
	c.Timeout = cmp.Or(c.Timeout, 60*time.Second)
	c.ConnectTimeout = cmp.Or(c.ConnectTimeout, 5*time.Second)
	c.MaxBytes = cmp.Or(c.MaxBytes, 100<<20)
	c.Backoff = cmp.Or(c.Backoff, 200*time.Millisecond)
	return c
}

// Store is an [image.Store] in an account with Cloudinary.
//
// Trouble with the service is an [*Error]. Destroying and fetching are tried up to three times while no connection comes
// or the service says that it cannot now; an upload only as long as nothing of the picture has been read.
type Store struct {
	account
	cfg       Config
	transport *http.Transport
}

// New returns a store in the account that c.URL names. It does not connect: to learn whether the service takes the
// credentials, delete a picture that is not there.
func New(c Config) (*Store, error) {
	if c.Timeout < 0 || c.ConnectTimeout < 0 || c.MaxBytes < 0 || c.Backoff < 0 {
		return nil, errors.New("cloudinarystore: a timeout or limit is negative")
	}
	account, err := parseAccount(c.URL)
	if err != nil {
		return nil, fmt.Errorf("CLOUDINARY_URL: %w", err)
	}
	c = c.withDefaults()
	c.URL = "" // it holds the secret
	return &Store{account: account, cfg: c, transport: newTransport(c.ConnectTimeout)}, nil
}

// Where says where the pictures are, for people to read.
func (s *Store) Where() string { return s.delivery }

// Close closes the connections that wait for the next request. The store stays usable.
func (s *Store) Close() { s.transport.CloseIdleConnections() }

// Put implements [image.Store]. The URL of the Info is the secure_url of the service's answer.
//
// When r fails or ctx ends while the picture is on its way, the service never sees the end of the request and keeps
// nothing. When the whole picture has gone out but the service does not say that it has kept it (the connection breaks,
// the answer is cut short, ctx ends), it is destroyed, within 10 s; an error says so if that fails too.
func (s *Store) Put(ctx context.Context, key string, r io.Reader) (image.Info, error) {
	if !image.ValidKey(key) {
		return image.Info{}, fmt.Errorf("%w: %q", image.ErrKey, key)
	}
	info, err := s.put(ctx, key, r)
	if err != nil {
		return image.Info{}, fmt.Errorf("put %s: %w", key, err)
	}
	return info, nil
}

// Open implements [image.Store]. The picture comes from the service while it is read; an error of the service on the way
// is an [*Error]. It is the latest one, whatever caches hold. The Info's Bytes is -1 when the service does not say it.
func (s *Store) Open(ctx context.Context, key string) (io.ReadCloser, image.Info, error) {
	file, info, err := s.open(ctx, key)
	if err != nil {
		return nil, image.Info{}, fmt.Errorf("open %s: %w", key, err)
	}
	return file, info, nil
}

// Delete implements [image.Store]. Caches may show the picture for some minutes more.
func (s *Store) Delete(ctx context.Context, key string) error {
	if !image.ValidKey(key) {
		return nil // so there is none
	}
	err := s.retry(ctx, func() error { return s.destroy(ctx, key) })
	if err != nil {
		return fmt.Errorf("delete %s: %w", key, err)
	}
	return nil
}

// KeyOf implements [image.Store]. It knows the URLs that this account's pictures have, with a version or without.
func (s *Store) KeyOf(url string) (key string, ok bool) { return s.keyOf(url) }
