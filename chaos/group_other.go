//go:build !linux

package main

import "syscall"

// ownGroup lets a process be killed with its children. Ctrl-C is for us alone.
func ownGroup() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true}
}
