//go:build !unix

package main

import "os"

// lockFile does nothing where there is no flock: there nothing keeps two servers apart but the port.
func lockFile(*os.File) error { return nil }
