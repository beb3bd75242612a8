package diskstore

import (
	"context"
	"crypto/rand"
	"io"
)

// put commits what r gives as the file of that name. Whatever happens, no temporary file remains.
func (s *Store) put(ctx context.Context, name string, r io.Reader) (int64, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	temp := tempDir + "/" + rand.Text()
	f, err := s.files.create(temp)
	if err != nil {
		return 0, storageError(err)
	}
	defer s.files.remove(temp) //nolint:errcheck // after the rename there is none; else the error that counts is known

	n, err := fill(ctx, f, r)
	if err != nil {
		return 0, err
	}
	if err := s.files.rename(temp, name); err != nil {
		return 0, storageError(err)
	}
	if err := s.files.sync(); err != nil {
		s.files.remove(name) //nolint:errcheck // nobody was told of it; the sync's error counts
		return 0, storageError(err)
	}
	return n, nil
}

// fill writes to f what r gives, makes it durable, and closes f. It stops between two reads when ctx ends.
func fill(ctx context.Context, f file, r io.Reader) (n int64, err error) {
	defer func() {
		if closeErr := f.Close(); err == nil && closeErr != nil {
			err = storageError(closeErr)
		}
	}()
	from := readFunc(func(p []byte) (int, error) {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		return r.Read(p)
	})
	to := writeFunc(func(p []byte) (int, error) { // tells the errors of the disk from those of r
		n, err := f.Write(p)
		if err != nil {
			err = storageError(err)
		}
		return n, err
	})
	if n, err = io.Copy(to, from); err != nil {
		return n, err
	}
	if err := f.Sync(); err != nil {
		return n, storageError(err)
	}
	return n, ctx.Err()
}

type readFunc func([]byte) (int, error)

func (f readFunc) Read(p []byte) (int, error) { return f(p) }

type writeFunc func([]byte) (int, error)

func (f writeFunc) Write(p []byte) (int, error) { return f(p) }
