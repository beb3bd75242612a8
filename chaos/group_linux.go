package main

import "syscall"

// ownGroup lets a process be killed with its children, and by the kernel when we die first. Ctrl-C is for us alone.
func ownGroup() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
