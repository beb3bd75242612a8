package diskstore

import "os"

// Fault is asked before each operation on the directory and fails it with what it returns.
type Fault func(operation string) error

// Break lets fault decide over all further operations of s, in place of an earlier one.
func (s *Store) Break(fault Fault) {
	whole := s.files
	if b, ok := whole.(broken); ok {
		whole = b.files
	}
	s.files = broken{whole, fault}
}

type broken struct {
	files
	fault Fault
}

func (b broken) create(name string) (file, error) {
	if err := b.fault("create"); err != nil {
		return nil, err
	}
	f, err := b.files.create(name)
	return brokenFile{f, b.fault}, err
}

func (b broken) rename(from, to string) error {
	if err := b.fault("rename"); err != nil {
		return err
	}
	return b.files.rename(from, to)
}

func (b broken) remove(name string) error {
	if err := b.fault("remove"); err != nil {
		return err
	}
	return b.files.remove(name)
}

func (b broken) open(name string) (*os.File, error) {
	if err := b.fault("open"); err != nil {
		return nil, err
	}
	return b.files.open(name)
}

func (b broken) sync() error {
	if err := b.fault("sync directory"); err != nil {
		return err
	}
	return b.files.sync()
}

type brokenFile struct {
	file
	fault Fault
}

func (f brokenFile) Write(p []byte) (int, error) {
	if err := f.fault("write"); err != nil {
		n, _ := f.file.Write(p[:len(p)/2]) // as a disk does that fills up
		return n, err
	}
	return f.file.Write(p)
}

func (f brokenFile) Sync() error {
	if err := f.fault("sync"); err != nil {
		return err
	}
	return f.file.Sync()
}

func (f brokenFile) Close() error {
	if err := f.file.Close(); err != nil {
		return err
	}
	return f.fault("close")
}
