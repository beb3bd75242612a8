//go:build failpoints

// Package failpoint lets tests kill the process between two steps. It is there only in binaries built with the tag
// failpoints; elsewhere its calls are nothing.
package failpoint

import (
	"os"
	"syscall"
)

// deadly is the name of the point at which the process dies.
var deadly = os.Getenv("LOUPE_TEST_FAILPOINT")

// Here kills the process, as the kernel does that has no memory left, if this is the point that LOUPE_TEST_FAILPOINT
// names.
func Here(name string) {
	if name == deadly {
		syscall.Kill(os.Getpid(), syscall.SIGKILL) //nolint:errcheck // there is no process left to tell
		select {}
	}
}
