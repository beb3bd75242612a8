package testenv

import "syscall"

// ownGroup lets a process be killed with its children, and by the kernel when the tests die first: an interrupt or a
// timeout runs no cleanup.
func ownGroup() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
