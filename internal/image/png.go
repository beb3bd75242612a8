package image

import (
	"encoding/binary"
	"hash/crc32"
	"math"
)

const pngSignature = "\x89PNG\r\n\x1a\n"

// pngChunks are the chunks that are let through, with the greatest length that each may have: what is needed to show
// the picture in its true colours, moving if it is an animation (PNG, third edition, sections 11.2 and 11.3).
var pngChunks = map[string]uint32{
	"IHDR": 13, "PLTE": 768, "IDAT": math.MaxInt32, "IEND": 0,
	"tRNS": 256, "gAMA": 4, "cHRM": 32, "sRGB": 1, "iCCP": math.MaxInt32, "cICP": 4, "mDCV": 24, "cLLI": 8,
	"sBIT": 4, "bKGD": 6, "pHYs": 9,
	"acTL": 8, "fcTL": 26, "fdAT": math.MaxInt32,
}

// pngFilter lets a PNG or APNG through: pngChunks, whose checksums it verifies, and eXIf that says the orientation
// alone. All other chunks go, unless they are critical: without them the picture is not what its sender sees.
type pngFilter struct {
	*picture
	pass  int64  // bytes of the present chunk's data that are still to go through
	crc   uint32 // of the present chunk so far
	chunk string // the present chunk, whose checksum is still to come; "" between chunks

	paletted, palette    bool // it needs one; it has one
	data, dataEnded      bool // the first IDAT has come; the last has
	animated             bool
	announced, sequences uint32 // frames that acTL announced; fcTL and fdAT chunks so far
}

func (p *pngFilter) next() ([]byte, error) {
	switch {
	case p.parts == 0:
		p.parts++
		return p.take(len(pngSignature))
	case p.pass > 0:
		piece, err := p.some(p.pass)
		p.pass -= int64(len(piece))
		p.crc = crc32.Update(p.crc, crc32.IEEETable, piece)
		return piece, err
	case p.chunk != "":
		return p.checksum()
	}
	return p.header()
}

func (p *pngFilter) checksum() ([]byte, error) {
	piece, err := p.take(4)
	if err != nil {
		return nil, err
	}
	if binary.BigEndian.Uint32(piece) != p.crc {
		return nil, p.malformed("has a wrong checksum in %s", p.chunk)
	}
	if p.chunk == "IEND" {
		return piece, errEnd
	}
	p.chunk = ""
	return piece, nil
}

// header reads a chunk's length and type, and decides.
func (p *pngFilter) header() ([]byte, error) {
	if err := p.part(); err != nil {
		return nil, err
	}
	b, err := p.take(8)
	if err != nil {
		return nil, err
	}
	head := append(p.scratch[:0], b...)
	length, chunk := binary.BigEndian.Uint32(head), string(head[4:])
	if length > math.MaxInt32 || !isPNGType(chunk) {
		return nil, p.malformed("has a broken chunk header")
	}

	keep, err := p.check(chunk, length)
	switch {
	case err != nil:
		return nil, err
	case keep:
		p.pass, p.chunk = int64(length), chunk
		p.crc = crc32.ChecksumIEEE(head[4:])
		return head, nil
	case chunk == "eXIf":
		return p.exif(length)
	}
	return nil, p.skip(int64(length) + 4)
}

// isPNGType reports whether s can be a chunk's type: its letters' case has a meaning.
func isPNGType(s string) bool {
	for _, c := range []byte(s) {
		if c |= 0x20; c < 'a' || c > 'z' {
			return false
		}
	}
	return true
}

// check reports whether the chunk is let through, and that it is where it may be.
func (p *pngFilter) check(chunk string, length uint32) (keep bool, err error) {
	longest, keep := pngChunks[chunk]
	critical := chunk[0]&0x20 == 0
	if length > longest {
		keep = false
	}
	switch {
	case critical && !keep:
		return false, p.malformed("has a critical chunk %s that is unknown or too long", chunk)
	case (chunk == "IHDR") != (p.width == 0):
		return false, p.malformed("has no header, or two")
	case p.data && chunk != "IDAT":
		p.dataEnded = true
	}
	switch chunk {
	case "IHDR":
		return true, p.imageHeader(length)
	case "PLTE":
		if p.palette || p.data {
			return false, p.malformed("has a palette that is out of place")
		}
		p.palette = true
	case "IDAT":
		if p.dataEnded || p.paletted && !p.palette {
			return false, p.malformed("has picture data that is out of place")
		}
		p.data = true
	case "IEND":
		return true, p.end()
	case "acTL", "fcTL", "fdAT":
		return p.animation(chunk, length)
	}
	return keep, nil
}

func (p *pngFilter) imageHeader(length uint32) error {
	b, err := p.in.Peek(13)
	if err != nil {
		return err
	}
	depth, colour := b[8], b[9]
	if length != 13 || !validPNGDepth(colour, depth) || b[10] != 0 || b[11] != 0 || b[12] > 1 {
		return p.malformed("has a broken header")
	}
	p.paletted = colour == 3
	return p.setCanvas(int64(binary.BigEndian.Uint32(b)), int64(binary.BigEndian.Uint32(b[4:])))
}

// validPNGDepth reports whether a colour type may have so many bits per sample.
func validPNGDepth(colour, depth byte) bool {
	switch colour {
	case 0:
		return depth == 1 || depth == 2 || depth == 4 || depth == 8 || depth == 16
	case 3:
		return depth == 1 || depth == 2 || depth == 4 || depth == 8
	case 2, 4, 6:
		return depth == 8 || depth == 16
	}
	return false
}

func (p *pngFilter) end() error {
	if !p.data {
		return p.malformed("holds no picture")
	}
	if p.animated && uint32(p.frames) != p.announced {
		return p.malformed("has %d frames and announces %d", p.frames, p.announced)
	}
	return nil
}

// animation checks a chunk of an APNG: the frames must be as many and in the order that they say. Without acTL before
// the picture data it is no animation, whatever comes later.
func (p *pngFilter) animation(chunk string, length uint32) (keep bool, err error) {
	if chunk == "acTL" {
		if p.animated || p.data {
			return false, nil
		}
		p.animated = true
		b, err := p.in.Peek(8)
		if err != nil {
			return false, err
		}
		p.announced = binary.BigEndian.Uint32(b)
		if length != 8 || p.announced == 0 || p.announced > maxFrames {
			return false, p.malformed("announces an impossible number of frames")
		}
		return true, nil
	}
	if !p.animated {
		return false, nil
	}
	if chunk == "fcTL" && length != 26 || chunk == "fdAT" && (length < 4 || !p.data) {
		return false, p.malformed("has a broken %s", chunk)
	}
	b, err := p.in.Peek(min(int(length), 20)) // sequence number; of fcTL also width, height, x, y
	if err != nil {
		return false, err
	}
	if binary.BigEndian.Uint32(b) != p.sequences {
		return false, p.malformed("has its frames out of order")
	}
	p.sequences++
	if chunk == "fdAT" {
		return true, nil
	}
	at := func(i int) int64 { return int64(binary.BigEndian.Uint32(b[i:])) }
	return true, p.frame(at(12), at(16), at(4), at(8))
}

// exif replaces a picture's first eXIf by one that says the orientation alone, if there is any to say.
func (p *pngFilter) exif(length uint32) ([]byte, error) {
	first := p.orientation == 0
	if err := p.skipExif(int64(length)); err != nil {
		return nil, err
	}
	if err := p.skip(4); err != nil {
		return nil, err
	}
	if !first || p.orientation == 1 {
		return nil, nil
	}
	piece := append(p.scratch[:0], 0, 0, 0, orientationExifLength)
	piece = appendOrientation(append(piece, "eXIf"...), p.orientation)
	return binary.BigEndian.AppendUint32(piece, crc32.ChecksumIEEE(piece[4:])), nil
}
