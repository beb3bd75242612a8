// Package freeport finds TCP ports for programs that have to be told one, such as those that are to come back on it.
package freeport

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
)

// Ports are taken from below those that systems give to connections and to listeners that ask for any: from 32768 on Linux,
// from 49152 where IANA's advice is followed (RFC 6335, section 6). So nobody gets one by chance while its program is down.
const (
	lowest = 10000
	beyond = 32768
	tries  = 100
)

// Find returns a port of the loopback address on which nobody listens.
func Find(ctx context.Context) (port string, err error) {
	for range tries {
		port = strconv.Itoa(lowest + rand.IntN(beyond-lowest))
		var l net.Listener
		if l, err = (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:"+port); err == nil {
			return port, l.Close()
		}
	}
	return "", fmt.Errorf("no free port between %d and %d: %w", lowest, beyond-1, err)
}
