package image

import (
	"bytes"
	"encoding/binary"
	"io"
)

// Exif data is a TIFF file: a header that gives the byte order and where the first directory lies, then directories of
// 12-byte entries (TIFF 6.0, section 2). In JPEG, and by mistake often elsewhere, exifPrefix stands before it.
const (
	exifPrefix = "Exif\x00\x00"

	tagOrientation = 0x0112
	typeShort      = 3
)

// readOrientation returns the orientation in Exif data, 1 to 8, or 0 if there is none. It reads no further than it must
// and keeps nothing: an entry count or an offset that lies finds the end of r.
func readOrientation(r io.Reader) int {
	var b [12]byte
	head := b[:8]
	if _, err := io.ReadFull(r, head[:len(exifPrefix)]); err != nil {
		return 0
	}
	known := len(exifPrefix)
	if string(head[:known]) == exifPrefix {
		known = 0
	}
	if _, err := io.ReadFull(r, head[known:]); err != nil {
		return 0
	}

	var order binary.ByteOrder = binary.BigEndian
	switch {
	case bytes.HasPrefix(head, []byte("II*\x00")):
		order = binary.LittleEndian
	case !bytes.HasPrefix(head, []byte("MM\x00*")):
		return 0
	}
	directory := int64(order.Uint32(head[4:]))
	if directory < int64(len(head)) {
		return 0
	}
	if _, err := io.CopyN(io.Discard, r, directory-int64(len(head))); err != nil {
		return 0
	}
	if _, err := io.ReadFull(r, b[:2]); err != nil {
		return 0
	}
	for range order.Uint16(b[:]) {
		if _, err := io.ReadFull(r, b[:]); err != nil {
			return 0
		}
		if order.Uint16(b[:]) == tagOrientation && order.Uint16(b[2:]) == typeShort && order.Uint32(b[4:]) == 1 {
			if o := int(order.Uint16(b[8:])); 1 <= o && o <= 8 {
				return o
			}
			return 0
		}
	}
	return 0
}

// orientationExifLength is the length of what appendOrientation appends.
const orientationExifLength = 26

// appendOrientation appends Exif data that says the orientation and nothing else.
func appendOrientation(b []byte, orientation int) []byte {
	b = append(b, "MM\x00*\x00\x00\x00\x08"...)              // big-endian, the directory follows at once
	b = append(b, 0, 1)                                      // of one entry:
	b = append(b, "\x01\x12\x00\x03\x00\x00\x00\x01"...)     // orientation, one short
	return append(b, 0, byte(orientation), 0, 0, 0, 0, 0, 0) // its value, padded to 4 bytes; no further directory
}
