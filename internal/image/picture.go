package image

import (
	"bufio"
	"fmt"
	"io"
)

// Bounds of what one picture consists of, whatever its size. They hold the cost of those who decode it later.
const (
	bufferSize = 32 << 10 // bytes of the picture that are held at a time
	maxParts   = 1 << 16  // segments of a JPEG, chunks of a PNG or WebP, blocks of a GIF
	maxScans   = 100      // of a JPEG: a decoder goes over the whole picture for each
	maxFrames  = 2000     // of an animation
)

// picture is what the filters of all formats share: the picture as sent, and what is known of it so far. All that a
// method returns is valid until the next call.
type picture struct {
	format              string
	in                  *bufio.Reader
	maxBytes, maxPixels int64

	width, height int64 // of the canvas, as stored; 0 until known
	orientation   int   // 1 to 8 after the first Exif, 0 before
	parts, frames int
	scratch       [64]byte // for the small pieces that a filter composes
}

// take returns the next n bytes.
func (p *picture) take(n int) ([]byte, error) {
	b, err := p.in.Peek(n)
	if err != nil {
		return nil, err
	}
	_, err = p.in.Discard(n)
	return b, err
}

// some returns at least one and at most n of the next bytes, whatever is there.
func (p *picture) some(n int64) ([]byte, error) {
	if _, err := p.in.Peek(1); err != nil {
		return nil, err
	}
	return p.take(int(min(n, int64(p.in.Buffered()))))
}

func (p *picture) skip(n int64) error {
	_, err := p.in.Discard(int(n))
	return err
}

// skipExif reads past n bytes of Exif data. The orientation of a picture's first Exif counts, as it does for those who
// show the picture.
func (p *picture) skipExif(n int64) error {
	exif := &io.LimitedReader{R: p.in, N: n}
	if p.orientation == 0 {
		p.orientation = max(1, readOrientation(exif))
	}
	return p.skip(exif.N) // an error that readOrientation met comes again here
}

// part counts a segment, chunk or block.
func (p *picture) part() error {
	if p.parts++; p.parts > maxParts {
		return p.malformed("consists of more than %d parts", maxParts)
	}
	return nil
}

// setCanvas takes note of the picture's size.
func (p *picture) setCanvas(width, height int64) error {
	p.width, p.height = width, height
	return p.checkSize(width, height)
}

// frame counts a frame of an animation, which lies on the canvas with its upper left corner at x, y.
func (p *picture) frame(x, y, width, height int64) error {
	if p.frames++; p.frames > maxFrames {
		return p.malformed("has more than %d frames", maxFrames)
	}
	if err := p.checkSize(width, height); err != nil {
		return err
	}
	if x+width > p.width || y+height > p.height {
		return p.malformed("has a frame that reaches beyond the picture")
	}
	return nil
}

func (p *picture) checkSize(width, height int64) error {
	if width == 0 || height == 0 {
		return p.malformed("says that it is %d × %d pixels", width, height)
	}
	if width > p.maxPixels/height {
		return fmt.Errorf("%w: %d × %d, more than %d", ErrTooManyPx, width, height, p.maxPixels)
	}
	return nil
}

func (p *picture) malformed(format string, args ...any) error {
	return fmt.Errorf("%w: %s %s", ErrMalformed, p.format, fmt.Sprintf(format, args...))
}

func (p *picture) unsupported(format string, args ...any) error {
	return fmt.Errorf("%w: %s %s", ErrUnsupported, p.format, fmt.Sprintf(format, args...))
}
