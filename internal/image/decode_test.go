package image_test

import (
	"bytes"
	"encoding/binary"
	stdimage "image"
	"image/gif"
	"image/jpeg"
	"image/png"

	"golang.org/x/image/webp"

	"loupe/internal/image"
)

// decode returns the frames of a picture.
func decode(mimeType string, b []byte) ([]stdimage.Image, error) {
	if mimeType == image.WebP && bytes.Contains(b, []byte("ANIM")) {
		return decodeAnimatedWebP(b)
	}
	frames, err := decodeStandard(mimeType, b)
	if err == nil && mimeType == image.PNG && bytes.Contains(b, []byte("fdAT")) {
		frames = append(frames, decodeAPNG(b)...)
	}
	return frames, err
}

// decodeStandard returns what the standard decoders know: not the animations of PNG and WebP.
func decodeStandard(mimeType string, b []byte) (frames []stdimage.Image, err error) {
	still := func(m stdimage.Image, err error) ([]stdimage.Image, error) { return []stdimage.Image{m}, err }
	switch mimeType {
	case image.JPEG:
		return still(jpeg.Decode(bytes.NewReader(b)))
	case image.PNG:
		return still(png.Decode(bytes.NewReader(b)))
	case image.WebP:
		return still(webp.Decode(bytes.NewReader(b)))
	}
	g, err := gif.DecodeAll(bytes.NewReader(b))
	if err != nil {
		return nil, err
	}
	for _, m := range g.Image {
		frames = append(frames, m)
	}
	return frames, nil
}

// decodeAPNG makes a PNG of each frame after the first and decodes that. It panics at what is no APNG.
func decodeAPNG(b []byte) (frames []stdimage.Image) {
	cs := chunks(b)
	size, data := "", ""
	for _, c := range cs {
		switch c.kind {
		case "fcTL", "IEND":
			if data != "" {
				frames = append(frames, must(png.Decode(bytes.NewReader(join(b[:8], chunk("IHDR", size+cs[0].data[8:]), chunk("IDAT", data), chunk("IEND", ""))))))
			}
			data = ""
			if c.kind == "fcTL" {
				size = c.data[4:12]
			}
		case "fdAT":
			data += c.data[4:]
		}
	}
	return frames
}

// decodeAnimatedWebP makes a WebP of each frame and decodes that.
func decodeAnimatedWebP(b []byte) (frames []stdimage.Image, err error) {
	for _, c := range webpChunks(webpBody(b)) {
		if c.name != "ANMF" {
			continue
		}
		m, err := webp.Decode(bytes.NewReader(riff([]byte(c.data[16:]))))
		if err != nil {
			return nil, err
		}
		frames = append(frames, m)
	}
	return frames, nil
}

// samePixels reports whether two lists of frames are the same pictures in the same place.
func samePixels(a, b []stdimage.Image) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if !sameFrame(a[i], b[i]) {
			return false
		}
	}
	return true
}

func sameFrame(a, b stdimage.Image) bool {
	if a.Bounds() != b.Bounds() {
		return false
	}
	r := a.Bounds()
	var pixelsA, pixelsB []byte
	for y := r.Min.Y; y < r.Max.Y; y++ {
		for x := r.Min.X; x < r.Max.X; x++ {
			pixelsA = appendColour(pixelsA, a, x, y)
			pixelsB = appendColour(pixelsB, b, x, y)
		}
	}
	return bytes.Equal(pixelsA, pixelsB)
}

func appendColour(b []byte, m stdimage.Image, x, y int) []byte {
	red, green, blue, alpha := m.At(x, y).RGBA()
	for _, v := range []uint32{red, green, blue, alpha} {
		b = binary.BigEndian.AppendUint16(b, uint16(v))
	}
	return b
}
