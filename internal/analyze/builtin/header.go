package builtin

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/gif"
	"image/jpeg"
	"image/png"
	"io"

	"golang.org/x/image/webp"
)

const (
	minHead = 64 << 10
	maxHead = 4 << 20 // bytes before the first pixel; a colour profile for print has up to 2 MB
	maxEdge = 65_535  // pixels; only PNG could have more
)

var (
	errUnreadable = errors.New("not a JPEG, PNG, WebP or GIF image that can be read")
	errTooBig     = errors.New("image is too big to decode")
)

// format is one of the picture formats we decode.
type format struct {
	name         string
	decodeConfig func(io.Reader) (image.Config, error)
	decode       func(io.Reader) (image.Image, error)
}

var (
	formatJPEG = &format{"JPEG", jpeg.DecodeConfig, jpeg.Decode}
	formatPNG  = &format{"PNG", png.DecodeConfig, png.Decode}
	formatGIF  = &format{"GIF", gif.DecodeConfig, gif.Decode} // its first frame
	formatWebP = &format{"WebP", webp.DecodeConfig, webp.Decode}
)

func formatOf(head []byte) *format {
	switch {
	case bytes.HasPrefix(head, []byte("\xff\xd8\xff")):
		return formatJPEG
	case bytes.HasPrefix(head, []byte("\x89PNG\r\n\x1a\n")):
		return formatPNG
	case bytes.HasPrefix(head, []byte("GIF87a")), bytes.HasPrefix(head, []byte("GIF89a")):
		return formatGIF
	case len(head) >= 12 && string(head[:4]) == "RIFF" && string(head[8:12]) == "WEBP":
		return formatWebP
	}
	return nil
}

// header is what a picture says of itself before its first pixel.
type header struct {
	format        *format
	width, height int   // as stored, before orientation
	orientation   int   // EXIF, 1 to 8
	decodeBytes   int64 // an upper estimate of what decoding allocates
	fileBytes     int64 // what the file claims to have, if it must be read as a whole before it is decoded
}

// readHeader reads the beginning of a picture, and no more of r than it needs for that, to the next power of four.
// The bytes it has read come back, too.
func readHeader(r io.Reader) (head []byte, h header, err error) {
	for size := minHead; size <= maxHead; size *= 4 {
		n := len(head)
		head = append(head, make([]byte, size-n)...)
		got, readErr := io.ReadFull(r, head[n:])
		head = head[:n+got]
		h, err = parseHeader(head)
		if err == nil || h.format == nil || readErr != nil {
			break
		}
	}
	return head, h, err
}

// parseHeader reads a header from the beginning of a file. It fails when there is too little of it, or when it is no
// picture; in the latter case the format is nil.
func parseHeader(head []byte) (header, error) {
	h := header{format: formatOf(head), orientation: 1}
	if h.format == nil {
		return h, errUnreadable
	}
	config, err := h.format.decodeConfig(bytes.NewReader(firstFrame(h.format, head)))
	if err != nil {
		return h, fmt.Errorf("%w: %w", errUnreadable, err)
	}
	if config.Width < 1 || config.Height < 1 {
		return h, fmt.Errorf("%w: it has no pixels", errUnreadable)
	}
	h.width, h.height = config.Width, config.Height
	pixels := int64(h.width) * int64(h.height)
	switch h.format {
	case formatJPEG:
		var exif []byte
		exif, h.decodeBytes = scanJPEG(head, pixels, config.ColorModel)
		h.orientation = orientation(exif)
	case formatPNG:
		h.orientation = orientation(pngChunk(head, "eXIf"))
		h.decodeBytes = pixels * pngBytesPerPixel(config.ColorModel)
		if len(head) > 28 && head[28] != 0 { // interlaced: each pass is a picture of its own
			h.decodeBytes *= 2
		}
	case formatGIF:
		h.decodeBytes = 2 * pixels // interlaced ones are sorted into a copy
	case formatWebP:
		h.decodeBytes = 8 * pixels // at most: with alpha, which is decoded as RGBA beside the picture
		h.fileBytes = 8 + int64(binary.LittleEndian.Uint32(head[4:]))
	}
	return h, nil
}

func pngBytesPerPixel(m color.Model) int64 {
	switch m {
	case color.Gray16Model, color.RGBA64Model, color.NRGBA64Model:
		return 8
	case color.GrayModel, color.RGBAModel, color.NRGBAModel:
		return 4 // a grey one, too, if it has a transparent shade
	default:
		return 1 // paletted
	}
}

// scanJPEG walks over the segments before the first scan, and returns the EXIF block and what image/jpeg will allocate:
// the planes, for a progressive picture also its coefficients of four bytes each, and a copy where it converts colours.
func scanJPEG(head []byte, pixels int64, m color.Model) (exif []byte, decodeBytes int64) {
	samples, progressive := int64(4*pixels), true // unless we find out
	for p := head[2:]; len(p) >= 4 && p[0] == 0xff; {
		if p[1] == 0xff { // fill byte
			p = p[1:]
			continue
		}
		marker, n := p[1], 2+int(binary.BigEndian.Uint16(p[2:]))
		hasLength := marker >= 0xc0 && (marker < 0xd0 || marker > 0xd9)
		if marker == 0xda || !hasLength || n < 4 || n > len(p) {
			break
		}
		body := p[4:n]
		p = p[n:]
		switch marker {
		case 0xe1:
			if rest, ok := bytes.CutPrefix(body, []byte("Exif\x00\x00")); ok && exif == nil {
				exif = rest
			}
		case 0xc0, 0xc1, 0xc2: // SOF: precision, height, width, number of components, then id, sampling, table of each
			if len(body) < 6 || len(body) < 6+3*int(body[5]) {
				break
			}
			progressive = marker == 0xc2
			var sum, widest, tallest int64
			for i := range int(body[5]) {
				across, down := int64(body[7+3*i]>>4), int64(body[7+3*i]&15)
				sum += across * down
				widest, tallest = max(widest, across), max(tallest, down)
			}
			if sum > 0 && widest > 0 && tallest > 0 {
				samples = pixels*sum/(widest*tallest) + 1
			}
		}
	}
	decodeBytes = samples
	if progressive {
		decodeBytes += 4 * samples
	}
	if m == color.CMYKModel || m == color.RGBAModel {
		decodeBytes += 4 * pixels
	}
	return exif, decodeBytes
}

// pngChunk returns the first chunk of that type before the pixels, nil if there is none.
func pngChunk(head []byte, name string) []byte {
	for p := head[8:]; len(p) >= 12; {
		n := int64(binary.BigEndian.Uint32(p))
		if string(p[4:8]) == "IDAT" || n > int64(len(p)-12) {
			return nil
		}
		if string(p[4:8]) == name {
			return p[8 : 8+n]
		}
		p = p[12+n:]
	}
	return nil
}

// orientation returns the orientation tag of an EXIF block (a TIFF file), 1 when it has none that is valid.
func orientation(exif []byte) int {
	const tag, short, entrySize = 0x0112, 3, 12
	if len(exif) < 8 {
		return 1
	}
	var order binary.ByteOrder = binary.LittleEndian
	if string(exif[:2]) == "MM" {
		order = binary.BigEndian
	} else if string(exif[:2]) != "II" {
		return 1
	}
	at := int64(order.Uint32(exif[4:]))
	if order.Uint16(exif[2:]) != 42 || at+2 > int64(len(exif)) {
		return 1
	}
	entries := exif[at+2:]
	for range order.Uint16(exif[at:]) {
		if len(entries) < entrySize {
			break
		}
		if order.Uint16(entries) == tag && order.Uint16(entries[2:]) == short {
			if o := int(order.Uint16(entries[8:])); 1 <= o && o <= 8 {
				return o
			}
		}
		entries = entries[entrySize:]
	}
	return 1
}
