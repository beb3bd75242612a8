//go:build !failpoints

// Package failpoint lets tests kill the process between two steps. It is there only in binaries built with the tag
// failpoints; elsewhere its calls are nothing.
package failpoint

// Here does nothing.
func Here(string) {}
