package main

import "syscall"

// On Linux the server is woken by a connection's first bytes, not before: on a busy machine waking it would take the
// processor from the client, between connecting and sending, for longer than the 5 ms after which a suite cancels.
func init() {
	listener.Control = func(_, _ string, conn syscall.RawConn) (err error) {
		controlErr := conn.Control(func(fd uintptr) {
			err = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, syscall.TCP_DEFER_ACCEPT, 1)
		})
		if controlErr != nil {
			return controlErr
		}
		return err
	}
}
