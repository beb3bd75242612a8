package main

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// dataDir is the directory that one server has to itself.
type dataDir struct {
	path string
	lock *os.File
}

// openDataDir makes the directory if need be and locks it, so that no second server works on the same files.
func openDataDir(path string) (*dataDir, error) {
	if err := makeDir(path); err != nil {
		return nil, fmt.Errorf("LOUPE_DATA_DIR: %w", err)
	}
	lock, err := os.OpenFile(filepath.Join(path, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("LOUPE_DATA_DIR: %w", err)
	}
	if err := lockFile(lock); err != nil {
		lock.Close()
		return nil, fmt.Errorf("the data directory %s is in use by another loupe; choose another with LOUPE_DATA_DIR: %w", path, err)
	}
	return &dataDir{path, lock}, nil
}

// makeDir makes a directory that survives a power cut, as what is in it will.
func makeDir(path string) error {
	if err := os.MkdirAll(path, 0o700); err != nil {
		return err
	}
	parent, err := os.Open(filepath.Dir(filepath.Clean(path)))
	if err != nil {
		return err
	}
	defer parent.Close()
	return ignoreUnsupported(parent.Sync())
}

// ignoreUnsupported passes over what file systems answer that cannot sync a directory, and need not.
func ignoreUnsupported(err error) error {
	if errors.Is(err, errors.ErrUnsupported) || errors.Is(err, syscall.EINVAL) {
		return nil
	}
	return err
}

// Close gives the directory free.
func (d *dataDir) Close() error { return d.lock.Close() }

// secretFile holds the secret of a server without JWT_SECRET.
const secretFile = "secret"

// secret returns JWT_SECRET, or the secret in the data directory, which is made if there is none.
func (c *config) secret() ([]byte, error) {
	if c.jwtSecret != "" {
		return []byte(c.jwtSecret), nil
	}
	path := filepath.Join(c.dataDir, secretFile)
	secret, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		if err := makeSecret(path); err != nil {
			return nil, fmt.Errorf("LOUPE_DATA_DIR: make a secret: %w", err)
		}
		secret, err = os.ReadFile(path)
	}
	if err != nil {
		return nil, fmt.Errorf("LOUPE_DATA_DIR: read the secret: %w", err)
	}
	if len(secret) < minSecret {
		return nil, fmt.Errorf("%s holds less than %d bytes; remove it and a new one is made", path, minSecret)
	}
	return secret, nil
}

// minSecret is the least that RFC 7518 allows as an HS256 key, in bytes.
const minSecret = 32

// makeSecret writes a fresh secret. Of many that do so at once one wins, and all read its secret.
func makeSecret(path string) error {
	if err := makeDir(filepath.Dir(path)); err != nil {
		return err
	}
	temp, err := os.CreateTemp(filepath.Dir(path), secretFile+".*")
	if err != nil {
		return err
	}
	defer os.Remove(temp.Name())
	if _, err := fmt.Fprintf(temp, "%s%s", rand.Text(), rand.Text()); err != nil {
		temp.Close()
		return err
	}
	if err := errors.Join(temp.Sync(), temp.Close()); err != nil {
		return err
	}
	if err := os.Link(temp.Name(), path); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return nil
}
