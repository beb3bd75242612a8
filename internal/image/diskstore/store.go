// Package diskstore keeps pictures as files of one directory.
//
// A picture is written to a temporary file, synced, and renamed to its key, and the directory is synced: after any crash
// it is there whole or not at all. It knows nothing of what pictures look like.
package diskstore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"strings"

	"loupe/internal/image"
)

var _ image.Store = (*Store)(nil)

// Config says where the pictures are.
type Config struct {
	Dir     string // created if absent. Required.
	BaseURL string // of the server that serves the pictures under /images/, such as http://127.0.0.1:3000. Required.
}

// path is where a server shows the pictures, below its base URL.
const path = "/images/"

// Store is an [image.Store] in a directory. Several processes may use one directory at the same time.
type Store struct {
	prefix string // of every URL
	files  files
}

// Open opens the directory, and removes what uploads that a crash has cut off have left in it.
func Open(c Config) (*Store, error) {
	base, err := url.Parse(c.BaseURL)
	if err != nil || base.Host == "" || base.Scheme != "http" && base.Scheme != "https" || base.RawQuery+base.Fragment != "" {
		return nil, fmt.Errorf("diskstore: BaseURL %q is not an http or https address", c.BaseURL)
	}
	if c.Dir == "" {
		return nil, errors.New("diskstore: Dir is not set")
	}
	files, err := openDirectory(c.Dir)
	if err != nil {
		return nil, storageError(err)
	}
	return &Store{prefix: strings.TrimSuffix(base.String(), "/") + path, files: files}, nil
}

// Close releases the directory. Pictures that are open stay readable; a Put that is under way fails.
func (s *Store) Close() error { return s.files.close() }

// Put implements [image.Store].
func (s *Store) Put(ctx context.Context, key string, r io.Reader) (image.Info, error) {
	if !image.ValidKey(key) {
		return image.Info{}, fmt.Errorf("%w: %q", image.ErrKey, key)
	}
	n, err := s.put(ctx, key, r)
	if err != nil {
		return image.Info{}, fmt.Errorf("put %s: %w", key, err)
	}
	return s.info(key, n), nil
}

// Open implements [image.Store]. The picture is an [*os.File], open for reading only: it has Seek, and Stat with the
// time of the Put, as [net/http.ServeContent] wants them.
func (s *Store) Open(ctx context.Context, key string) (io.ReadCloser, image.Info, error) {
	f, size, err := s.open(ctx, key)
	if err != nil {
		return nil, image.Info{}, fmt.Errorf("open %s: %w", key, err)
	}
	return f, s.info(key, size), nil
}

func (s *Store) open(ctx context.Context, key string) (*os.File, int64, error) {
	if !image.ValidKey(key) {
		return nil, 0, image.ErrNotFound
	}
	return s.openFile(ctx, key)
}

func (s *Store) openFile(ctx context.Context, name string) (*os.File, int64, error) {
	if err := ctx.Err(); err != nil {
		return nil, 0, err
	}
	f, err := s.files.open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, 0, image.ErrNotFound
	}
	if err != nil {
		return nil, 0, storageError(err)
	}
	stat, err := f.Stat()
	if err != nil {
		return nil, 0, storageError(errors.Join(err, f.Close()))
	}
	return f, stat.Size(), nil
}

// Delete implements [image.Store].
func (s *Store) Delete(ctx context.Context, key string) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("delete %s: %w", key, err)
	}
	if !image.ValidKey(key) {
		return nil // so there is none
	}
	err := s.remove(key)
	if err == nil {
		err = s.remove(key + previewSuffix) // last: one that is put meanwhile finds its picture gone
	}
	if err != nil {
		return fmt.Errorf("delete %s: %w", key, storageError(err))
	}
	return nil
}

// remove removes a file durably, if it is there.
func (s *Store) remove(name string) error {
	err := s.files.remove(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return s.files.sync()
}

// KeyOf implements [image.Store].
func (s *Store) KeyOf(address string) (key string, ok bool) {
	key, ok = strings.CutPrefix(address, s.prefix)
	if !ok || !image.ValidKey(key) {
		return "", false
	}
	return key, true
}

func (s *Store) info(key string, size int64) image.Info {
	return image.Info{Key: key, URL: s.prefix + key, MIMEType: image.TypeOf(key), Bytes: size}
}

func storageError(err error) error { return fmt.Errorf("%w: %w", image.ErrStorage, err) }
