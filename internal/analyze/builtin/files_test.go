package builtin

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"image"
	"image/gif"
	"image/jpeg"
	"image/png"
	"math/bits"
	"testing"
)

func pngFile(t testing.TB, img image.Image) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := png.Encode(&b, img); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func jpegFile(t testing.TB, img image.Image) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := jpeg.Encode(&b, img, &jpeg.Options{Quality: 95}); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func gifFile(t testing.TB, frames ...*image.Paletted) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := gif.EncodeAll(&b, &gif.GIF{Image: frames, Delay: make([]int, len(frames))}); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// exifBlock has an orientation, after a tag that is none.
func exifBlock(order binary.AppendByteOrder, orientation uint16) []byte {
	b := []byte("II")
	if order == binary.AppendByteOrder(binary.BigEndian) {
		b = []byte("MM")
	}
	b = order.AppendUint16(b, 42)
	b = order.AppendUint32(b, 8)
	b = order.AppendUint16(b, 2)
	for _, entry := range [][2]uint16{{0x0100, 9}, {0x0112, orientation}} {
		b = order.AppendUint16(b, entry[0])
		b = order.AppendUint16(b, 3)
		b = order.AppendUint32(b, 1)
		b = order.AppendUint16(b, entry[1])
		b = order.AppendUint16(b, 0)
	}
	return order.AppendUint32(b, 0)
}

// segment returns a JPEG segment.
func segment(marker byte, body ...byte) []byte {
	return append(binary.BigEndian.AppendUint16([]byte{0xff, marker}, uint16(len(body)+2)), body...)
}

// withEXIF puts an EXIF block into a JPEG, PNG or WebP file, where such files have it.
func withEXIF(file, exif []byte) []byte {
	switch formatOf(file) {
	case formatJPEG:
		return bytes.Join([][]byte{file[:2], segment(0xe1, append([]byte("Exif\x00\x00"), exif...)...), file[2:]}, nil)
	case formatPNG:
		return bytes.Join([][]byte{file[:33], chunk("eXIf", exif), file[33:]}, nil)
	default: // WebP has it at its end
		file = append(bytes.Clone(file), riffChunk("EXIF", exif)...)
		binary.LittleEndian.PutUint32(file[4:], uint32(len(file)-8))
		return file
	}
}

// chunk returns a chunk of a PNG file.
func chunk(name string, body []byte) []byte {
	b := binary.BigEndian.AppendUint32(nil, uint32(len(body)))
	b = append(append(b, name...), body...)
	return binary.BigEndian.AppendUint32(b, crc32.ChecksumIEEE(b[4:]))
}

// pngHead is a PNG file that declares a size, and ends there.
func pngHead(width, height uint32) []byte {
	ihdr := binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(nil, width), height)
	return append([]byte("\x89PNG\r\n\x1a\n"), chunk("IHDR", append(ihdr, 8, 2, 0, 0, 0))...)
}

func riffChunk(name string, body []byte) []byte {
	b := binary.LittleEndian.AppendUint32([]byte(name), uint32(len(body)))
	b = append(b, body...)
	if len(body)%2 == 1 {
		b = append(b, 0)
	}
	return b
}

// webpFile is a WebP file of those chunks.
func webpFile(chunks ...[]byte) []byte {
	body := bytes.Join(chunks, nil)
	return append(append(binary.LittleEndian.AppendUint32([]byte("RIFF"), uint32(len(body)+4)), "WEBP"...), body...)
}

// vp8x is the chunk that declares a canvas.
func vp8x(flags byte, width, height int) []byte {
	b := []byte{flags, 0, 0, 0}
	for _, n := range []int{width - 1, height - 1} {
		b = append(b, byte(n), byte(n>>8), byte(n>>16))
	}
	return riffChunk("VP8X", b)
}

// anmf is a frame of an animation.
func anmf(width, height int, image []byte) []byte {
	b := make([]byte, 6)
	for _, n := range []int{width - 1, height - 1, 100} {
		b = append(b, byte(n), byte(n>>8), byte(n>>16))
	}
	return riffChunk("ANMF", append(append(b, 0), image...))
}

// vp8l is a lossless picture in blue and cyan: cyan where bright says so.
func vp8l(width, height int, alpha uint8, bright func(x, y int) bool) []byte {
	var (
		out   []byte
		acc   uint64
		count int
	)
	write := func(value uint64, n int) {
		acc |= value << count
		for count += n; count >= 8; count -= 8 {
			out = append(out, byte(acc))
			acc >>= 8
		}
	}
	write(0x2f, 8)
	write(uint64(width-1), 14)
	write(uint64(height-1), 14)
	write(1, 1)     // has alpha
	write(0, 3)     // version
	write(0, 3)     // no transform, no colour cache, no groups of prefix codes
	write(0b111, 3) // green: a simple code, two symbols, of 8 bits each
	write(0, 8)
	write(255, 8)
	for _, symbol := range []uint8{0, 255, alpha} { // red, blue, alpha: one symbol each
		write(0b101, 3)
		write(uint64(symbol), 8)
	}
	write(0b0001, 4) // distance: one symbol of one bit, never used
	for y := range height {
		for x := range width {
			bit := uint64(0)
			if bright(x, y) {
				bit = 1
			}
			write(bit, 1)
		}
	}
	write(0, 8)
	return riffChunk("VP8L", out)
}

// solidJPEG is a JPEG of one colour, in as many components as it is given, as no encoder at hand writes it: progressive, or
// with four components.
func solidJPEG(width, height int, progressive bool, color ...uint8) []byte {
	n := byte(len(color))
	sof := []byte{8, byte(height >> 8), byte(height), byte(width >> 8), byte(width), n}
	sos := []byte{n}
	for i := range n {
		sof = append(sof, i+1, 0x11, 0)
		sos = append(sos, i+1, 0)
	}
	last, marker := byte(63), byte(0xc0)
	if progressive {
		last, marker = 0, 0xc2 // the one scan has only the mean of each block
	}
	file := []byte{0xff, 0xd8}
	file = append(file, segment(0xee, append([]byte("Adobe"), 0, 100, 0, 0, 0, 0, 0)...)...)
	file = append(file, segment(0xdb, append([]byte{0}, bytes.Repeat([]byte{1}, 64)...)...)...)
	file = append(file, segment(marker, sof...)...)
	file = append(file, segment(0xc4, append(append([]byte{0x00, 0, 0, 0, 12}, make([]byte, 12)...), 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11)...)...)
	file = append(file, segment(0xc4, append(append([]byte{0x10, 1}, make([]byte, 15)...), 0)...)...)
	file = append(file, segment(0xda, append(sos, 0, last, 0)...)...)

	acc, count := uint32(0), 0
	write := func(value uint32, n int) {
		acc, count = acc<<n|value, count+n
		for ; count >= 8; count -= 8 {
			b := byte(acc >> (count - 8))
			if file = append(file, b); b == 0xff {
				file = append(file, 0)
			}
		}
	}
	for block := range (width + 7) / 8 * ((height + 7) / 8) {
		for _, c := range color {
			diff := 0 // from the block before
			if block == 0 {
				diff = 8 * (int(c) - 128)
			}
			size := bits.Len(uint(max(diff, -diff)))
			write(uint32(size), 4)
			if diff < 0 {
				diff += 1<<size - 1
			}
			write(uint32(diff), size)
			if !progressive {
				write(0, 1) // the block has nothing else
			}
		}
	}
	write(0x7f, 7)
	return append(file, 0xff, 0xd9)
}
