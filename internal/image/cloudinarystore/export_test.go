package cloudinarystore

import (
	"hash"
	"net/url"
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
