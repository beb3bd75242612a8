package image

import (
	"bytes"
	"encoding/binary"
)

// Markers of JPEG (ITU-T T.81, table B.1).
const (
	markerSOF0  = 0xC0 // start of frame: baseline
	markerSOF2  = 0xC2 // progressive
	markerDHT   = 0xC4 // Huffman tables
	markerJPG   = 0xC8 // reserved
	markerDAC   = 0xCC // arithmetic coding conditioning
	markerSOF15 = 0xCF
	markerRST0  = 0xD0 // restart, within a scan
	markerRST7  = 0xD7
	markerSOI   = 0xD8 // start of image
	markerEOI   = 0xD9 // end of image
	markerSOS   = 0xDA // start of scan
	markerDQT   = 0xDB // quantisation tables
	markerDRI   = 0xDD // restart interval
	markerAPP0  = 0xE0 // JFIF
	markerAPP1  = 0xE1 // Exif, XMP
	markerAPP2  = 0xE2 // ICC profile, multi-picture format
	markerAPP14 = 0xEE // Adobe
	markerAPP15 = 0xEF
	markerCOM   = 0xFE // comment
)

const (
	jfifPrefix  = "JFIF\x00"
	jfifLength  = 14 // without the thumbnail
	iccPrefix   = "ICC_PROFILE\x00"
	adobePrefix = "Adobe"
	adobeLength = 12
)

// jpegFilter lets a JPEG through: the segments that a decoder needs, JFIF without its thumbnail, ICC profile, the Adobe
// segment (which says how colours are coded), and Exif that says the orientation alone. All other application segments
// and comments go, and so does what follows the end marker: the film of a motion photo, the further pictures of a
// multi-picture file.
type jpegFilter struct {
	*picture
	pass   int64 // bytes of the present segment that are still to go through
	inScan bool  // what comes after them is entropy-coded data
	framed bool  // the frame header has come
	scans  int
}

func (j *jpegFilter) next() ([]byte, error) {
	switch {
	case j.pass > 0:
		piece, err := j.some(j.pass)
		j.pass -= int64(len(piece))
		return piece, err
	case j.inScan:
		return j.scan()
	}
	return j.segment()
}

// scan passes entropy-coded data on, up to the marker that ends it. Within it 0xFF is followed by 0 or it is a restart
// marker; fill bytes before a marker, which are also 0xFF, are left out.
func (j *jpegFilter) scan() ([]byte, error) {
	if _, err := j.in.Peek(2); err != nil {
		return nil, err
	}
	b, err := j.in.Peek(j.in.Buffered())
	if err != nil {
		return nil, err
	}
	n := 0
	for n < len(b)-1 {
		i := bytes.IndexByte(b[n:len(b)-1], 0xFF)
		if i < 0 {
			n = len(b) - 1
			break
		}
		n += i
		if c := b[n+1]; c != 0 && (c < markerRST0 || c > markerRST7) {
			break
		}
		n += 2
	}
	if n > 0 {
		return j.take(n)
	}
	fill := 0
	for fill < len(b)-1 && b[fill+1] == 0xFF {
		fill++
	}
	j.inScan = fill > 0
	return nil, j.skip(int64(fill))
}

// segment reads the next marker and what belongs to it.
func (j *jpegFilter) segment() ([]byte, error) {
	marker, err := j.marker()
	if err != nil {
		return nil, err
	}
	if err := j.part(); err != nil {
		return nil, err
	}
	switch {
	case marker == markerSOI && j.parts == 1:
		return append(j.scratch[:0], 0xFF, marker), nil
	case marker == markerEOI && j.scans > 0:
		return append(j.scratch[:0], 0xFF, marker), errEnd
	case marker == markerEOI:
		return nil, j.malformed("holds no picture")
	}

	b, err := j.take(2)
	if err != nil {
		return nil, err
	}
	length := int(binary.BigEndian.Uint16(b)) - 2 // which counts itself
	if length < 0 {
		return nil, j.malformed("has a segment of impossible length")
	}
	switch {
	case marker == markerDHT, marker == markerDQT, marker == markerDRI:
		return j.keep(marker, length), nil
	case marker == markerJPG, marker == markerDAC:
	case marker >= markerSOF0 && marker <= markerSOF15:
		return j.frameHeader(marker, length)
	case marker == markerSOS:
		return j.scanHeader(length)
	case marker >= markerAPP0 && marker <= markerAPP15:
		return j.application(marker, length)
	case marker == markerCOM:
		return nil, j.skip(int64(length))
	}
	return nil, j.malformed("has an unexpected marker %#x", marker)
}

// marker returns the next marker's second byte. Like decoders it passes over fill bytes and over stray bytes between
// segments.
func (j *jpegFilter) marker() (byte, error) {
	for before := byte(0); ; {
		c, err := j.in.ReadByte()
		if err != nil {
			return 0, err
		}
		if before == 0xFF && c != 0xFF && c != 0 {
			return c, nil
		}
		before = c
	}
}

// head returns a segment's first four bytes; length bytes belong after them.
func (j *jpegFilter) head(marker byte, length int) []byte {
	return append(j.scratch[:0], 0xFF, marker, byte((length+2)>>8), byte(length+2))
}

// keep lets the present segment through as it is.
func (j *jpegFilter) keep(marker byte, length int) []byte {
	j.pass = int64(length)
	return j.head(marker, length)
}

func (j *jpegFilter) frameHeader(marker byte, length int) ([]byte, error) {
	if marker > markerSOF2 {
		return nil, j.unsupported("is lossless, hierarchical or arithmetic-coded")
	}
	if j.framed {
		return nil, j.malformed("has two frame headers")
	}
	j.framed = true
	b, err := j.in.Peek(6) // precision, height, width, components
	if err != nil {
		return nil, err
	}
	components := int(b[5])
	switch {
	case length != 6+3*components:
		return nil, j.malformed("has a frame header of impossible length")
	case b[0] != 8:
		return nil, j.unsupported("has %d bits per sample", b[0])
	case components != 1 && components != 3 && components != 4:
		return nil, j.unsupported("has %d colour components", components)
	}
	if err := j.setCanvas(int64(binary.BigEndian.Uint16(b[3:])), int64(binary.BigEndian.Uint16(b[1:]))); err != nil {
		return nil, err
	}
	return j.keep(marker, length), nil
}

func (j *jpegFilter) scanHeader(length int) ([]byte, error) {
	if j.scans++; j.scans > maxScans {
		return nil, j.malformed("has more than %d scans", maxScans)
	}
	if !j.framed {
		return nil, j.malformed("has no frame header before its picture data")
	}
	j.inScan = true
	return j.keep(markerSOS, length), nil
}

func (j *jpegFilter) application(marker byte, length int) ([]byte, error) {
	id, err := j.in.Peek(min(length, len(iccPrefix)))
	if err != nil {
		return nil, err
	}
	is := func(prefix string) bool { return bytes.HasPrefix(id, []byte(prefix)) }
	switch {
	case marker == markerAPP0 && is(jfifPrefix) && length >= jfifLength:
		return j.rewrite(marker, length, jfifLength, 2) // the last two say how large the thumbnail is
	case marker == markerAPP14 && is(adobePrefix) && length >= adobeLength:
		return j.rewrite(marker, length, adobeLength, 0)
	case marker == markerAPP2 && is(iccPrefix):
		return j.keep(marker, length), nil
	case marker == markerAPP1 && is(exifPrefix) && j.scans == 0:
		return j.exif(length)
	}
	return nil, j.skip(int64(length))
}

// rewrite returns a segment's first keep bytes, the last zero of them as zeros, and drops the rest.
func (j *jpegFilter) rewrite(marker byte, length, keep, zero int) ([]byte, error) {
	b, err := j.take(keep)
	if err != nil {
		return nil, err
	}
	piece := append(j.head(marker, keep), b...)
	clear(piece[len(piece)-zero:])
	return piece, j.skip(int64(length - keep))
}

// exif replaces a picture's first Exif segment by one that says the orientation alone, if there is any to say.
func (j *jpegFilter) exif(length int) ([]byte, error) {
	first := j.orientation == 0
	if err := j.skipExif(int64(length)); err != nil {
		return nil, err
	}
	if !first || j.orientation == 1 {
		return nil, nil
	}
	piece := append(j.head(markerAPP1, len(exifPrefix)+orientationExifLength), exifPrefix...)
	return appendOrientation(piece, j.orientation), nil
}
