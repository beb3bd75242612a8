package freeport_test

import (
	"net"
	"strconv"
	"testing"

	"loupe/internal/freeport"
)

func TestFind(t *testing.T) {
	t.Parallel()
	for range 100 {
		port, err := freeport.Find(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if n, err := strconv.Atoi(port); n < 1024 || n >= 32768 {
			t.Errorf("port %s may be given to anybody, %v", port, err)
		}
		l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:"+port)
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close() // so that the next must be another
	}
}
