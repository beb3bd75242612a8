//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package diskstore

import (
	"os"
	"syscall"
)

// lockAlone reports whether no other process (nor another Store of ours) has dir locked. Then dir is locked for us alone
// until lockShared. The lock ends with the process, however that ends.
func lockAlone(dir *os.File) bool {
	return syscall.Flock(int(dir.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) == nil
}

// lockShared locks dir until it is closed, as others may too. Where there are no locks, lockAlone never succeeds either,
// and nobody's uploads are in danger.
func lockShared(dir *os.File) {
	syscall.Flock(int(dir.Fd()), syscall.LOCK_SH) //nolint:errcheck // see above
}
