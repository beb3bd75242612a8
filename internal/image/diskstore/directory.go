package diskstore

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// tempDir holds uploads under way, within the directory: a rename does not leave the file system, and what a crash
// leaves is found without a look at every picture.
const tempDir = "tmp"

// Whoever knows a key can see the picture, so nobody else on the machine may list the keys.
const (
	dirMode  = 0o700
	fileMode = 0o600
)

// files are the operations on the directory that a [Store] needs. The tests make each of them fail.
type files interface {
	create(name string) (file, error) // for writing; exists already: error
	rename(from, to string) error
	remove(name string) error
	open(name string) (*os.File, error) // for reading
	sync() error                        // makes renames and removals durable
	close() error
}

type file interface {
	io.WriteCloser
	Sync() error
}

// directory is a directory of the operating system. Names do not lead out of it.
type directory struct {
	root *os.Root
	self *os.File // to sync it
	temp *os.File // holds the lock that says that uploads may be under way
}

// openDirectory opens dir, made if need be, and empties its tempDir unless another process uses it.
func openDirectory(dir string) (files, error) {
	if err := makeDir(filepath.Clean(dir)); err != nil {
		return nil, err
	}
	d, err := openHandles(dir)
	if err != nil {
		return nil, errors.Join(err, d.close())
	}
	if lockAlone(d.temp) {
		err = d.clean()
	}
	if err == nil {
		lockShared(d.temp)
		err = d.sync() // tempDir may be new
	}
	if err != nil {
		return nil, errors.Join(err, d.close())
	}
	return d, nil
}

// makeDir makes dir and whatever is missing above it, durably.
func makeDir(dir string) error {
	if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := makeDir(filepath.Dir(dir)); err != nil {
		return err
	}
	if err := os.Mkdir(dir, dirMode); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	parent, err := os.Open(filepath.Dir(dir))
	if err != nil {
		return err
	}
	return errors.Join(syncDir(parent), parent.Close())
}

func openHandles(dir string) (d directory, err error) {
	if d.root, err = os.OpenRoot(dir); err != nil {
		return d, err
	}
	if err = d.root.Mkdir(tempDir, dirMode); err != nil && !errors.Is(err, fs.ErrExist) {
		return d, err
	}
	if d.self, err = d.root.Open("."); err != nil {
		return d, err
	}
	d.temp, err = d.root.Open(tempDir)
	return d, err
}

// clean removes what is in tempDir.
func (d directory) clean() error {
	names, err := d.temp.Readdirnames(-1)
	for _, name := range names {
		err = errors.Join(err, d.remove(tempDir+"/"+name))
	}
	return err
}

func (d directory) create(name string) (file, error) {
	return d.root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, fileMode)
}

func (d directory) rename(from, to string) error { return d.root.Rename(from, to) }

func (d directory) remove(name string) error { return d.root.Remove(name) }

func (d directory) open(name string) (*os.File, error) { return d.root.Open(name) }

func (d directory) sync() error { return syncDir(d.self) }

func (d directory) close() error {
	var errs []error
	for _, f := range []*os.File{d.self, d.temp} {
		if f != nil {
			errs = append(errs, f.Close())
		}
	}
	if d.root != nil {
		errs = append(errs, d.root.Close())
	}
	return errors.Join(errs...)
}

// syncDir syncs a directory. Some network file systems cannot, and answer so; there a rename is as durable as it gets.
func syncDir(dir *os.File) error {
	err := dir.Sync()
	if errors.Is(err, errors.ErrUnsupported) || errors.Is(err, syscall.EINVAL) {
		return nil
	}
	return err
}
