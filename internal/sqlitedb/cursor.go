package sqlitedb

import (
	"encoding/base64"
	"strconv"
	"strings"
)

// maxCursor is the length of the longest cursor that is looked at.
const maxCursor = 4 << 10

// EncodeCursor returns a page cursor for a list that is ordered by a time and then a key, both of the last item of the
// page. It is opaque to those who pass it on: base64url without padding.
func EncodeCursor(atMillis int64, key string) string {
	return base64.RawURLEncoding.EncodeToString([]byte(strconv.FormatInt(atMillis, 10) + "." + key))
}

// DecodeCursor returns what EncodeCursor was given; ok is false for a text that EncodeCursor has never returned.
func DecodeCursor(cursor string) (atMillis int64, key string, ok bool) {
	if len(cursor) > maxCursor {
		return 0, "", false
	}
	text, err := base64.RawURLEncoding.DecodeString(cursor)
	if err != nil {
		return 0, "", false
	}
	at, key, _ := strings.Cut(string(text), ".")
	atMillis, err = strconv.ParseInt(at, 10, 64)
	return atMillis, key, err == nil && EncodeCursor(atMillis, key) == cursor
}
