package cloudinarystore

import (
	"context"
	"hash"
	"net"
	"net/url"
	"sync/atomic"
	"syscall"
)

// Sign returns the signature of parameters.
func Sign(secret string, newHash func() hash.Hash, params url.Values) string {
	return newSigner(secret, newHash)(params)
}

// CheckUpload and CheckDestroy read answers of the service.
func (s *Store) CheckUpload(answer []byte, key string, size int64) (string, error) {
	return s.checkUpload(answer, key, size)
}

func CheckDestroy(answer []byte) error { return checkDestroy(answer) }

// Refusal is the error for an answer whose status is not 200.
var Refusal = refusal

// FailDials lets the next n connections of s be refused.
func (s *Store) FailDials(n int64) {
	var dials atomic.Int64
	dial := s.transport.DialContext
	s.transport.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		if dials.Add(1) <= n {
			return nil, &net.OpError{Op: "dial", Net: network, Err: syscall.ECONNREFUSED}
		}
		return dial(ctx, network, address)
	}
}
