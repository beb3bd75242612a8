package image_test

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	stdimage "image"
	"image/color"
	"image/gif"
	"image/jpeg"
	"image/png"
	"os"
	"slices"
	"strings"
)

// The parts that test pictures are put together from.

const (
	testWidth, testHeight = 24, 16

	// secret is planted wherever metadata can be. Not a byte sequence that a picture of ours contains by chance.
	secret = "48.858370N 2.294481E"
	// profile stands for a colour profile: what must stay.
	profile = "a colour profile"
)

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func join(parts ...[]byte) []byte { return bytes.Join(parts, nil) }

// file returns one of the pictures in testdata, a gradient of 24 × 16 pixels as libjpeg-turbo 2.1.5 (cjpeg, djpeg) and
// libwebp 1.2.4 (cwebp, img2webp) have written it.
func file(name string) []byte { return must(os.ReadFile("testdata/" + name)) }

func gradient(seed int) *stdimage.RGBA {
	m := stdimage.NewRGBA(stdimage.Rect(0, 0, testWidth, testHeight))
	for y := range testHeight {
		for x := range testWidth {
			m.SetRGBA(x, y, color.RGBA{byte(9*x + seed), byte(14*y + 3*seed), byte(x*y + 7*seed), 255})
		}
	}
	return m
}

// exif returns Exif data with an orientation (0: none), GPS data, and a thumbnail in a second directory.
func exif(order binary.AppendByteOrder, orientation int) []byte {
	b := []byte("MM\x00*")
	if order.String() == "LittleEndian" {
		b = []byte("II*\x00")
	}
	const directory = 8 + len(secret)
	b = order.AppendUint32(b, uint32(directory)) // not at once: what lies before it must be skipped
	b = append(b, secret...)
	entry := func(tag, kind uint16, count, value uint32) {
		b = order.AppendUint16(b, tag)
		b = order.AppendUint16(b, kind)
		b = order.AppendUint32(b, count)
		if kind == 3 && count == 1 {
			b = order.AppendUint16(b, uint16(value))
			b = append(b, 0, 0)
			return
		}
		b = order.AppendUint32(b, value)
	}
	b = order.AppendUint16(b, 3)
	entry(0x010F, 2, uint32(len(secret)), 8) // maker
	entry(0x0112, 3, 1, uint32(orientation))
	entry(0x8825, 4, 1, 8) // where the GPS directory is
	b = order.AppendUint32(b, 8)
	return append(b, "thumbnail "+secret...)
}

// minimalExif is what is to come out for an orientation, spelled out byte by byte.
func minimalExif(orientation byte) string {
	return "MM\x00\x2a\x00\x00\x00\x08\x00\x01\x01\x12\x00\x03\x00\x00\x00\x01\x00" + string(rune(orientation)) + "\x00\x00\x00\x00\x00\x00"
}

func jpegEncode(m stdimage.Image) []byte {
	var b bytes.Buffer
	if err := jpeg.Encode(&b, m, nil); err != nil {
		panic(err)
	}
	return b.Bytes()
}

func segment(marker byte, data string) []byte {
	return append([]byte{0xFF, marker, byte((len(data) + 2) >> 8), byte(len(data) + 2)}, data...)
}

// jpegWith puts segments right after the start of a JPEG.
func jpegWith(base []byte, segments ...[]byte) []byte {
	return join(base[:2], join(segments...), base[2:])
}

func pngEncode(m stdimage.Image) []byte {
	var b bytes.Buffer
	if err := png.Encode(&b, m); err != nil {
		panic(err)
	}
	return b.Bytes()
}

func chunk(kind, data string) []byte {
	b := binary.BigEndian.AppendUint32(nil, uint32(len(data)))
	b = append(append(b, kind...), data...)
	return binary.BigEndian.AppendUint32(b, crc32.ChecksumIEEE(b[4:]))
}

type pngChunk struct{ kind, data string }

// chunks takes a PNG apart.
func chunks(b []byte) (cs []pngChunk) {
	for b = b[8:]; len(b) > 0; {
		n := binary.BigEndian.Uint32(b)
		cs = append(cs, pngChunk{string(b[4:8]), string(b[8 : 8+n])})
		b = b[12+n:]
	}
	return cs
}

// pngWith puts chunks after the header of a PNG, and others before its end.
func pngWith(base []byte, early, late []byte) []byte {
	const afterHeader = 8 + 25
	end := len(base) - 12
	return join(base[:afterHeader], early, base[afterHeader:end], late, base[end:])
}

// apng returns an animation of three frames, the last of them smaller than the picture.
func apng(between ...[]byte) []byte {
	var first, second, third string
	for i, to := range []*string{&first, &second, &third} {
		m := stdimage.Image(gradient(20 * i))
		if i == 2 {
			m = gradient(20 * i).SubImage(stdimage.Rect(0, 0, 8, 8))
		}
		for _, c := range chunks(pngEncode(m)) {
			if c.kind == "IDAT" {
				*to += c.data
			}
		}
	}
	control := func(sequence, x, y, w, h uint32) []byte {
		var b []byte
		for _, v := range []uint32{sequence, w, h, x, y} {
			b = binary.BigEndian.AppendUint32(b, v)
		}
		return chunk("fcTL", string(b)+"\x00\x01\x00\x0a\x00\x00")
	}
	const head = 8 + 25
	return join(pngEncode(gradient(0))[:head],
		chunk("acTL", "\x00\x00\x00\x03\x00\x00\x00\x00"),
		control(0, 0, 0, testWidth, testHeight), chunk("IDAT", first), join(between...),
		control(1, 0, 0, testWidth, testHeight), chunk("fdAT", "\x00\x00\x00\x02"+second), join(between...),
		control(3, 16, 8, 8, 8), chunk("fdAT", "\x00\x00\x00\x04"+third[:9]), chunk("fdAT", "\x00\x00\x00\x05"+third[9:]),
		chunk("IEND", ""))
}

func gifEncode(frames int) []byte {
	g := &gif.GIF{LoopCount: 3}
	for i := range frames {
		m := stdimage.NewPaletted(stdimage.Rect(i, i, testWidth, testHeight), color.Palette{
			color.Black, color.White, color.RGBA{255, byte(50 * i), 0, 255}, color.Transparent,
		})
		for j := range m.Pix {
			m.Pix[j] = byte((j*j/7 + i) % 4)
		}
		g.Image = append(g.Image, m)
		g.Delay = append(g.Delay, 10*i)
		g.Disposal = append(g.Disposal, gif.DisposalBackground)
	}
	g.Config = stdimage.Config{Width: testWidth, Height: testHeight}
	var b bytes.Buffer
	if err := gif.EncodeAll(&b, g); err != nil {
		panic(err)
	}
	return b.Bytes()
}

// extension returns a GIF extension of sub-blocks.
func extension(label byte, blocks ...string) []byte {
	b := []byte{0x21, label}
	for _, block := range blocks {
		b = append(append(b, byte(len(block))), block...)
	}
	return append(b, 0)
}

// gifWith puts extensions after the header and before the trailer of a GIF that has no global colour table.
func gifWith(base []byte, early, late []byte) []byte {
	const afterHeader = 13
	end := len(base) - 1
	return join(base[:afterHeader], early, base[afterHeader:end], late, base[end:])
}

func riffChunk(name, data string) []byte {
	b := binary.LittleEndian.AppendUint32([]byte(name), uint32(len(data)))
	b = append(b, data...)
	if len(data)%2 != 0 {
		b = append(b, 0)
	}
	return b
}

func riff(chunks ...[]byte) []byte {
	return riffChunk("RIFF", "WEBP"+string(join(chunks...)))
}

type webpChunk struct{ name, data string }

// webpChunks takes a list of RIFF chunks apart.
func webpChunks(b []byte) (cs []webpChunk) {
	for len(b) > 0 {
		n := binary.LittleEndian.Uint32(b[4:])
		cs = append(cs, webpChunk{string(b[:4]), string(b[8 : 8+n])})
		b = b[8+n+n%2:]
	}
	return cs
}

// webpBody returns the chunks of a WebP file.
func webpBody(b []byte) []byte { return b[12:] }

// vp8x returns the header of an extended WebP.
func vp8x(flags byte) []byte {
	return riffChunk("VP8X", string([]byte{flags, 0, 0, 0, testWidth - 1, 0, 0, testHeight - 1, 0, 0}))
}

// webpExtended returns a still picture in an extended WebP.
func webpExtended(flags byte, early, late []byte) []byte {
	return riff(vp8x(flags), early, webpBody(file("lossy.webp")), late)
}

// webpAnimated returns the animation with a chunk added to each of its frames, and others at its end.
func webpAnimated(flags byte, inFrame, late []byte) []byte {
	body := vp8x(0x02 | flags)
	for _, c := range webpChunks(webpBody(file("animated.webp"))) {
		switch c.name {
		case "VP8X":
		case "ANMF":
			body = append(body, riffChunk("ANMF", c.data+string(inFrame))...)
		default:
			body = append(body, riffChunk(c.name, c.data)...)
		}
	}
	return riff(body, late)
}

// palettedPNG returns a PNG with PLTE and tRNS.
func palettedPNG() []byte {
	m := stdimage.NewPaletted(stdimage.Rect(0, 0, testWidth, testHeight), color.Palette{color.Black, color.White, color.Transparent})
	for i := range m.Pix {
		m.Pix[i] = byte(i % 3)
	}
	return pngEncode(m)
}

// manyIDATs cuts the picture data of a PNG into chunks of a byte each.
func manyIDATs() []byte {
	b := slices.Clone(pngEncode(gradient(0))[:8])
	for _, c := range chunks(pngEncode(gradient(0))) {
		if c.kind != "IDAT" {
			b = append(b, chunk(c.kind, c.data)...)
			continue
		}
		for _, d := range strings.Split(c.data, "") {
			b = append(b, chunk("IDAT", d)...)
		}
	}
	return b
}
