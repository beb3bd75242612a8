// Package sid makes the ids of sessions and sockets.
package sid

import (
	"crypto/rand"
	"encoding/base64"
)

// Len is the length of every id: 15 random bytes in URL-safe base64, the form of Node's ids.
const Len = 20

// New returns an id of 120 random bits. Such an id is a bearer secret: who knows it may speak for its owner.
func New() string {
	var b [15]byte
	rand.Read(b[:]) // never fails: it ends the process instead
	return base64.RawURLEncoding.EncodeToString(b[:])
}
