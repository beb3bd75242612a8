package image

import "encoding/binary"

// What begins a block or an extension of a GIF (GIF89a specification, sections 18 to 27).
const (
	gifImage   = 0x2C
	gifTrailer = 0x3B
	gifExtend  = 0x21

	gifPlainText   = 0x01
	gifControl     = 0xF9
	gifApplication = 0xFF
)

// gifFilter lets a GIF through: its images with their colour tables and graphic controls, the looping extension and the
// ICC profile. Comments, plain text, XMP and every other extension go. A graphic control before a plain text stays: it
// is meant for the text, but decoders, none of which shows the text, apply it to the next image.
type gifFilter struct {
	*picture
	pass   int64 // bytes that are still to go through
	inData bool  // after them come sub-blocks that go through
}

func (g *gifFilter) next() ([]byte, error) {
	switch {
	case g.parts == 0:
		return g.header()
	case g.pass > 0:
		piece, err := g.some(g.pass)
		g.pass -= int64(len(piece))
		return piece, err
	case g.inData:
		return g.data()
	}
	return g.block()
}

func (g *gifFilter) header() ([]byte, error) {
	g.parts++
	piece, err := g.take(13) // signature, width, height, flags, background, aspect
	if err != nil {
		return nil, err
	}
	g.pass = colourTableLength(piece[10])
	return piece, g.setCanvas(int64(binary.LittleEndian.Uint16(piece[6:])), int64(binary.LittleEndian.Uint16(piece[8:])))
}

// colourTableLength returns the length of the table that the flags of a screen or an image announce.
func colourTableLength(flags byte) int64 {
	if flags&0x80 == 0 {
		return 0
	}
	return 3 << (flags&7 + 1)
}

// data passes sub-blocks on, as many as are there. Each begins with its length; one of length 0 is the last.
func (g *gifFilter) data() ([]byte, error) {
	b, err := g.in.Peek(1)
	if err != nil {
		return nil, err
	}
	if _, err := g.in.Peek(1 + int(b[0])); err != nil {
		return nil, err
	}
	b, err = g.in.Peek(g.in.Buffered())
	if err != nil {
		return nil, err
	}
	n := 0
	for g.inData && n < len(b) && n+1+int(b[n]) <= len(b) {
		g.inData = b[n] != 0
		n += 1 + int(b[n])
	}
	return g.take(n)
}

func (g *gifFilter) skipData() error {
	for {
		n, err := g.in.ReadByte()
		if err != nil || n == 0 {
			return err
		}
		if err := g.skip(int64(n)); err != nil {
			return err
		}
	}
}

func (g *gifFilter) block() ([]byte, error) {
	if err := g.part(); err != nil {
		return nil, err
	}
	kind, err := g.in.ReadByte()
	switch {
	case err != nil:
		return nil, err
	case kind == gifImage:
		return g.image()
	case kind == gifExtend:
		return g.extension()
	case kind == gifTrailer && g.frames > 0:
		return append(g.scratch[:0], kind), errEnd
	case kind == gifTrailer:
		return nil, g.malformed("holds no picture")
	}
	return nil, g.malformed("has an unknown block %#x", kind)
}

// image passes on an image descriptor; colour table and data follow.
func (g *gifFilter) image() ([]byte, error) {
	b, err := g.take(9) // x, y, width, height, flags
	if err != nil {
		return nil, err
	}
	at := func(i int) int64 { return int64(binary.LittleEndian.Uint16(b[i:])) }
	if err := g.frame(at(0), at(2), at(4), at(6)); err != nil {
		return nil, err
	}
	g.pass = colourTableLength(b[8]) + 1 // and the width of the codes
	g.inData = true
	return append(append(g.scratch[:0], gifImage), b...), nil
}

func (g *gifFilter) extension() ([]byte, error) {
	label, err := g.in.ReadByte()
	if err != nil {
		return nil, err
	}
	switch label {
	case gifControl:
		b, err := g.take(6)
		if err != nil {
			return nil, err
		}
		if b[0] != 4 || b[5] != 0 {
			return nil, g.malformed("has a broken graphic control")
		}
		return append(append(g.scratch[:0], gifExtend, gifControl), b...), nil
	case gifApplication:
		return g.application()
	case gifPlainText:
		return nil, g.plainText()
	}
	return nil, g.skipData()
}

// plainText drops a text. Decoders take the length of its first sub-block for granted: with another length they would
// read on at another place than we. So it is with an application extension without a name.
func (g *gifFilter) plainText() error {
	b, err := g.in.Peek(1)
	if err != nil {
		return err
	}
	if b[0] != 12 {
		return g.malformed("has a broken plain text")
	}
	return g.skipData()
}

func (g *gifFilter) application() ([]byte, error) {
	b, err := g.in.Peek(1)
	if err != nil {
		return nil, err
	}
	switch b[0] {
	case 0:
		return nil, g.malformed("has a broken application extension")
	case 11:
	default:
		return nil, g.skipData()
	}
	if b, err = g.take(12); err != nil { // length, identifier, authentication code
		return nil, err
	}
	piece := append(append(g.scratch[:0], gifExtend, gifApplication), b...)
	switch string(b[1:]) {
	case "ICCRGBG1012":
		g.inData = true
		return piece, nil
	case "NETSCAPE2.0", "ANIMEXTS1.0":
		return g.looping(piece)
	}
	return nil, g.skipData()
}

// looping appends the sub-block that says how often the animation repeats; others may follow it, and go.
func (g *gifFilter) looping(piece []byte) ([]byte, error) {
	b, err := g.in.Peek(1)
	if err != nil {
		return nil, err
	}
	if b[0] != 3 {
		return nil, g.skipData()
	}
	if b, err = g.take(4); err != nil {
		return nil, err
	}
	if b[1] != 1 {
		return nil, g.skipData()
	}
	piece = append(append(piece, b...), 0)
	return piece, g.skipData()
}
