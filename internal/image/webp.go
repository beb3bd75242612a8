package image

import (
	"encoding/binary"
	"fmt"
)

// A WebP file is one RIFF chunk, whose length stands at the very start, before it is known what will have to go. So
// nothing is taken out of it: a chunk that must go is replaced, in its place, by one that is as long.
//
//   - EXIF becomes Exif that says the orientation alone, filled up with zeros, if VP8X announces Exif: then the
//     announcement, which has already gone out, stays true. Without it readers do not look at EXIF, so it has no effect.
//   - Every other one (XMP, a second EXIF, EXIF that was not announced, unknown chunks) becomes a chunk of zeros by the
//     name of webpJunk, which readers skip.
//
// The announcement of XMP is withdrawn in VP8X always.
const (
	webpJunk = "JUNK" // what RIFF itself calls a chunk that only fills space

	// Flags of VP8X (RFC 9649, section 2.7). The others are XMP and reserved ones.
	webpAnimation = 0x02
	webpExif      = 0x08
	webpAlpha     = 0x10
	webpICC       = 0x20
)

var webpZeros [4 << 10]byte

// webpFilter lets a WebP through, lossy or lossless, still or animated.
type webpFilter struct {
	*picture
	pass, zeros int64 // bytes of the present chunk that still go through; zeros that still go out for one that must not

	left      int64 // bytes of the file that follow the present chunk
	frameLeft int64 // bytes of the present frame of an animation that follow the present chunk
	extended  bool  // the file begins with VP8X
	flags     byte  // of VP8X
	drawn     bool  // the picture data has come; in an animation that of the present frame

	wantWidth, wantHeight int64 // which the picture data must have; 0: it alone says
}

func isWebP(head []byte) bool {
	return len(head) >= 12 && string(head[:4]) == "RIFF" && string(head[8:12]) == "WEBP"
}

func (w *webpFilter) next() ([]byte, error) {
	switch {
	case w.parts == 0:
		return w.header()
	case w.pass > 0:
		piece, err := w.some(w.pass)
		w.pass -= int64(len(piece))
		return piece, err
	case w.zeros > 0:
		piece := webpZeros[:min(w.zeros, int64(len(webpZeros)))]
		w.zeros -= int64(len(piece))
		return piece, nil
	case w.frameLeft > 0:
		return w.chunk(&w.frameLeft)
	case w.frames > 0 && !w.drawn:
		return nil, w.malformed("has a frame without a picture")
	case w.left > 0:
		return w.chunk(&w.left)
	case !w.drawn:
		return nil, w.malformed("holds no picture")
	}
	return nil, errEnd
}

func (w *webpFilter) header() ([]byte, error) {
	w.parts++
	piece, err := w.take(12)
	if err != nil {
		return nil, err
	}
	size := int64(binary.LittleEndian.Uint32(piece[4:]))
	if 8+size > w.maxBytes {
		return nil, fmt.Errorf("%w: more than %d bytes", ErrTooLarge, w.maxBytes)
	}
	w.left = size - 4 // "WEBP" is counted
	return piece, nil
}

// chunk reads the name and the length of the next chunk, and decides. left is what is left of the frame or of the file,
// whichever the chunk lies in.
func (w *webpFilter) chunk(left *int64) ([]byte, error) {
	if err := w.part(); err != nil {
		return nil, err
	}
	if *left < 8 {
		return nil, w.malformed("has stray bytes between its chunks")
	}
	b, err := w.take(8)
	if err != nil {
		return nil, err
	}
	head := append(w.scratch[:0], b...)
	length := int64(binary.LittleEndian.Uint32(head[4:]))
	padded := length + length&1
	if padded > *left-8 {
		return nil, w.malformed("has a chunk that reaches beyond its end")
	}
	*left -= 8 + padded

	name, first, inFrame := string(head[:4]), w.parts == 2, left == &w.frameLeft
	animated := w.flags&webpAnimation != 0
	keep := false
	switch {
	case first && name == "VP8X":
		return w.extendedHeader(head, length)
	case name == "VP8 " && inFrame == animated:
		keep, err = true, w.lossy(length)
	case name == "VP8L" && inFrame == animated:
		keep, err = true, w.lossless(length)
	case name == "ANMF" && animated && !inFrame:
		return w.animationFrame(head, length)
	case name == "VP8 ", name == "VP8L", name == "ANMF", first:
		err = w.malformed("has a chunk %q out of place", name)
	case name == "ALPH":
		keep = inFrame == animated && w.extended
	case name == "ANIM":
		keep = animated && !inFrame && length == 6
	case name == "ICCP":
		keep = w.extended && !inFrame
	case name == "EXIF" && w.flags&webpExif != 0 && !inFrame && w.orientation == 0 && length >= orientationExifLength:
		return w.exif(head, length)
	}
	if err != nil {
		return nil, err
	}
	if keep {
		w.pass = padded
		return head, nil
	}
	w.zeros = padded
	copy(head, webpJunk)
	return head, w.skip(padded)
}

// extendedHeader passes VP8X on, with the flags that will be true.
func (w *webpFilter) extendedHeader(head []byte, length int64) ([]byte, error) {
	if length != 10 {
		return nil, w.malformed("has a header of impossible length")
	}
	b, err := w.take(10) // flags, 3 reserved bytes, width - 1, height - 1
	if err != nil {
		return nil, err
	}
	w.extended = true
	w.flags = b[0] & (webpAnimation | webpExif | webpAlpha | webpICC)
	w.wantWidth, w.wantHeight = uint24(b[4:])+1, uint24(b[7:])+1
	piece := append(append(head, w.flags, 0, 0, 0), b[4:]...)
	return piece, w.setCanvas(w.wantWidth, w.wantHeight)
}

// animationFrame passes the head of a frame on; the chunks of its picture follow.
func (w *webpFilter) animationFrame(head []byte, length int64) ([]byte, error) {
	if length < 16 || length%2 != 0 {
		return nil, w.malformed("has a frame of impossible length")
	}
	b, err := w.take(16) // x / 2, y / 2, width - 1, height - 1, duration, flags
	if err != nil {
		return nil, err
	}
	w.frameLeft = length - 16
	w.drawn = false
	w.wantWidth, w.wantHeight = uint24(b[6:])+1, uint24(b[9:])+1
	return append(head, b...), w.frame(2*uint24(b), 2*uint24(b[3:]), w.wantWidth, w.wantHeight)
}

func uint24(b []byte) int64 { return int64(b[0]) | int64(b[1])<<8 | int64(b[2])<<16 }

// lossy looks at the frame header of VP8 data (RFC 6386, section 9.1).
func (w *webpFilter) lossy(length int64) error {
	b, err := w.in.Peek(10)
	if err != nil {
		return err
	}
	if length < 10 || b[0]&1 != 0 || string(b[3:6]) != "\x9d\x01\x2a" {
		return w.malformed("has broken picture data")
	}
	return w.draw(int64(binary.LittleEndian.Uint16(b[6:])&0x3FFF), int64(binary.LittleEndian.Uint16(b[8:])&0x3FFF))
}

// lossless looks at the header of VP8L data (RFC 9649, section 3.4).
func (w *webpFilter) lossless(length int64) error {
	b, err := w.in.Peek(5)
	if err != nil {
		return err
	}
	bits := binary.LittleEndian.Uint32(b[1:])
	if length < 5 || b[0] != 0x2F || bits>>29 != 0 {
		return w.malformed("has broken picture data")
	}
	return w.draw(int64(bits&0x3FFF)+1, int64(bits>>14&0x3FFF)+1)
}

// draw takes note of picture data of the given size.
func (w *webpFilter) draw(width, height int64) error {
	if w.drawn {
		return w.malformed("holds two pictures in the place of one")
	}
	w.drawn = true
	if w.wantWidth == 0 {
		return w.setCanvas(width, height)
	}
	if width != w.wantWidth || height != w.wantHeight {
		return w.malformed("says that it is %d × %d pixels and %d × %d", w.wantWidth, w.wantHeight, width, height)
	}
	return nil
}

// exif replaces EXIF by one that says the orientation alone and is as long.
func (w *webpFilter) exif(head []byte, length int64) ([]byte, error) {
	padded := length + length&1
	if err := w.skipExif(length); err != nil {
		return nil, err
	}
	w.zeros = padded - orientationExifLength
	return appendOrientation(head, w.orientation), w.skip(padded - length)
}
