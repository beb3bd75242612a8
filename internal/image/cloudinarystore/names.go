package cloudinarystore

import (
	"strings"

	"loupe/internal/image"
)

// The folders. A public id holds its folder, so that both of Cloudinary's folder modes see the same: where folders are
// fixed the public id makes them, where they are dynamic asset_folder says the same again.
const (
	originals = "assets/originals"
	processed = "assets/processed"
)

func folder(key string) string {
	if key == image.ProcessedKey(key, image.TypeOf(key)) {
		return processed
	}
	return originals
}

// path is what ends every URL of the picture.
func path(key string) string { return folder(key) + "/" + key }

// publicID is path without the ending: the service adds the one that the content calls for.
func publicID(key string) string {
	return strings.TrimSuffix(path(key), image.Extension(image.TypeOf(key)))
}

// keyOf returns the key of the picture at address, which must be below delivery.
func (a account) keyOf(address string) (key string, ok bool) {
	rest, ok := strings.CutPrefix(address, a.delivery)
	if !ok {
		return "", false
	}
	if version, after, found := strings.Cut(rest, "/"); found && isVersion(version) {
		rest = after
	}
	key = rest[strings.LastIndexByte(rest, '/')+1:]
	if !image.ValidKey(key) || rest != path(key) {
		return "", false
	}
	return key, true
}

func isVersion(s string) bool {
	digits, ok := strings.CutPrefix(s, "v")
	return ok && digits != "" && strings.Trim(digits, "0123456789") == ""
}
