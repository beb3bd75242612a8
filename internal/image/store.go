// Package image takes photos in and keeps them.
//
// [NewReader] is the intake: it lets a photo through as a stream while it checks what it is (type by content, bytes,
// pixels, wholeness) and drops its metadata. [Store] keeps pictures by key: on disk in diskstore, with Cloudinary in
// cloudinarystore; imagetest is the suite that both pass.
package image

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"io"
	"strings"
)

// Errors of every [Store].
var (
	ErrNotFound = errors.New("image not found")
	// ErrStorage: the store cannot keep the picture now (disk full or unwritable, service away). Nothing of it remains.
	ErrStorage = errors.New("image store unavailable")
	// ErrKey: Put was given a key that neither [NewKey] nor [ProcessedKey] makes.
	ErrKey = errors.New("invalid image key")
)

// Store keeps pictures by key. Implementations are safe for concurrent use.
type Store interface {
	// Put reads r to its end and keeps it under key, replacing what was there in one step. It returns only when the
	// picture is durable. When r or the store fails or ctx ends nothing is kept; an error of r comes back wrapped.
	// A key that is not [ValidKey] is [ErrKey].
	Put(ctx context.Context, key string, r io.Reader) (Info, error)

	// Open returns the picture under key, or [ErrNotFound].
	Open(ctx context.Context, key string) (io.ReadCloser, Info, error)

	// Delete removes the picture under key; that there is none is no error.
	Delete(ctx context.Context, key string) error

	// KeyOf returns the key of a URL that Put of this store gave out. It does not ask whether the picture is there.
	KeyOf(url string) (key string, ok bool)
}

// Info says where a stored picture is.
type Info struct {
	Key      string
	URL      string
	MIMEType string // by the key's ending
	Bytes    int64
}

// NewKey returns a fresh key for a picture of the given type: 128 random bits as 32 hex digits, and the type's ending.
// Whoever knows a key can see the picture, so a key must not be guessable.
func NewKey(mimeType string) string {
	var b [16]byte
	rand.Read(b[:]) // never fails: it ends the process instead
	return hex.EncodeToString(b[:]) + Extension(mimeType)
}

// NewProcessedKey returns a fresh key for a processed picture. Each attempt at an analysis takes one: whatever attempts
// run side by side, none changes the picture of another, and what caches have is what the URL shows.
func NewProcessedKey(mimeType string) string { return ProcessedKey(NewKey(mimeType), mimeType) }

// ProcessedKey returns key as that of a processed picture of the given type.
func ProcessedKey(key, mimeType string) string {
	name, _, _ := strings.Cut(key, ".")
	return name + ".processed" + Extension(mimeType)
}

// The types that [NewReader] lets through.
const (
	JPEG = "image/jpeg"
	PNG  = "image/png"
	WebP = "image/webp"
	GIF  = "image/gif"
)

var extensions = map[string]string{JPEG: ".jpg", PNG: ".png", WebP: ".webp", GIF: ".gif"}

// Extension returns the file ending for one of our types, "" for any other.
func Extension(mimeType string) string { return extensions[mimeType] }

// TypeOf returns the type that belongs to a key's ending, "" for any other ending.
func TypeOf(key string) string {
	for mimeType, ext := range extensions {
		if strings.HasSuffix(key, ext) {
			return mimeType
		}
	}
	return ""
}

// ValidKey reports whether key has the form that [NewKey] and [ProcessedKey] make: nothing else is ever opened.
func ValidKey(key string) bool {
	const digits = 2 * 16
	if len(key) < digits || strings.Trim(key[:digits], "0123456789abcdef") != "" {
		return false
	}
	ending := strings.TrimPrefix(key[digits:], ".processed")
	return ending != "" && ending == Extension(TypeOf(ending))
}
