package builtin

import (
	"bytes"
	"encoding/binary"
	"errors"
	"image"
	"image/color"
	"strings"
	"testing"
)

func TestOrientation(t *testing.T) {
	t.Parallel()
	for o := uint16(1); o <= 8; o++ {
		for _, order := range []binary.AppendByteOrder{binary.LittleEndian, binary.BigEndian} {
			if got := orientation(exifBlock(order, o)); got != int(o) {
				t.Errorf("%v %d: got %d", order, o, got)
			}
		}
	}
	good := exifBlock(binary.LittleEndian, 6)
	for name, exif := range map[string][]byte{
		"nothing": nil, "short": good[:7], "cut in the entry": good[:25], "0": exifBlock(binary.LittleEndian, 0), "9": exifBlock(binary.BigEndian, 9),
		"no TIFF": []byte("XX*\x00\x08\x00\x00\x00"), "wrong magic": []byte("II+\x00\x08\x00\x00\x00\x00\x00"),
		"far away": []byte("II*\x00\xff\xff\xff\xff\x01\x00"), "endless": []byte("II*\x00\x08\x00\x00\x00\xff\xff"),
	} {
		if got := orientation(exif); got != 1 {
			t.Errorf("%s: got %d, want 1", name, got)
		}
	}
}

func FuzzOrientation(f *testing.F) {
	f.Add(exifBlock(binary.LittleEndian, 6))
	f.Add(exifBlock(binary.BigEndian, 3))
	f.Fuzz(func(t *testing.T, exif []byte) {
		if o := orientation(exif); o < 1 || o > 8 {
			t.Errorf("got %d", o)
		}
	})
}

// What is said to be needed must be what image/jpeg and the others allocate.
func TestDecodeBytes(t *testing.T) {
	t.Parallel()
	gray, rgba := image.NewGray(image.Rect(0, 0, 160, 80)), image.NewRGBA(image.Rect(0, 0, 160, 80))
	const pixels = 160 * 80
	interlaced := pngFile(t, gray)
	interlaced[28] = 1 // its check sum is wrong now, but nobody looks at that before it is decoded
	for name, tt := range map[string]struct {
		file []byte
		want int64
	}{
		"JPEG 4:2:0":       {jpegFile(t, rgba), pixels*3/2 + 1},
		"JPEG grey":        {jpegFile(t, gray), pixels + 1},
		"JPEG progressive": {solidJPEG(160, 80, true, 1), 5 * (pixels + 1)},
		"JPEG CMYK":        {solidJPEG(160, 80, false, 1, 2, 3, 4), 4*pixels + 1 + 4*pixels},
		"JPEG RGB":         {solidJPEG(160, 80, false, 1, 2, 3), 3*pixels + 1 + 4*pixels},
		"PNG":              {pngFile(t, rgba), 4 * pixels},
		"PNG 16 bits":      {pngFile(t, image.NewNRGBA64(gray.Rect)), 8 * pixels},
		"PNG paletted":     {pngFile(t, image.NewPaletted(gray.Rect, color.Palette{color.Black})), pixels},
		"GIF":              {gifFile(t, image.NewPaletted(gray.Rect, color.Palette{color.Black, color.White})), 2 * pixels},
		"WebP":             {webpFile(vp8l(160, 80, 255, never)), 8 * pixels},
	} {
		h, err := parseHeader(tt.file)
		if err != nil || h.width != 160 || h.height != 80 || h.decodeBytes != tt.want {
			t.Errorf("%s: got %+v, %v; want %d bytes", name, h, err, tt.want)
		}
	}
	// A frame header that image/jpeg does not take for one must not make a picture look cheap.
	costly := solidJPEG(160, 80, true, 1, 2, 3)
	fake := segment(0xc0, 8, 0, 80, 0, 160, 1, 1, 0x11, 0)
	for name, hidden := range map[string][]byte{
		"garbage":   append([]byte("\x00\x00"), fake...),
		"no length": append([]byte("\xff\x00\x00\x02"), fake...),
		"restart":   append([]byte("\xff\xd0\x00\x02"), fake...),
	} {
		h, err := parseHeader(bytes.Join([][]byte{costly[:2], hidden, costly[2:]}, nil))
		if err == nil && h.decodeBytes < 5*3*pixels {
			t.Errorf("hidden behind %s: %d bytes", name, h.decodeBytes)
		}
	}
	// An interlaced one fails here for its check sum, which is all the same: the factor is what counts.
	if h, _ := parseHeader(interlaced); h.decodeBytes != 0 && h.decodeBytes != 8*pixels {
		t.Errorf("interlaced: %d", h.decodeBytes)
	}
}

func never(int, int) bool { return false }

func TestReadHeader(t *testing.T) {
	t.Parallel()
	photo := jpegFile(t, image.NewGray(image.Rect(0, 0, 30, 20)))
	profile := segment(0xe2, make([]byte, 60_000)...)
	for name, tt := range map[string]struct {
		before int // segments of 60,000 bytes
		ok     bool
	}{"small": {0, true}, "a profile": {10, true}, "a large one": {50, true}, "too large a one": {80, false}} {
		file := bytes.Join([][]byte{photo[:2], bytes.Repeat(profile, tt.before), photo[2:]}, nil)
		r := bytes.NewReader(file)
		head, h, err := readHeader(r)
		if tt.ok && (err != nil || h.width != 30 || !bytes.Equal(head, file[:len(file)-r.Len()])) || !tt.ok && !errors.Is(err, errUnreadable) {
			t.Errorf("%s: got %+v, %v, %d bytes", name, h, err, len(head))
		}
		if len(head) > maxHead {
			t.Errorf("%s: read %d bytes", name, len(head))
		}
	}
	if _, _, err := readHeader(strings.NewReader("<html>")); !errors.Is(err, errUnreadable) {
		t.Errorf("got %v", err)
	}
}

func FuzzParseHeader(f *testing.F) {
	gray := image.NewGray(image.Rect(0, 0, 30, 20))
	jpeg := jpegFile(f, gray)
	for _, s := range [][]byte{
		withEXIF(jpeg, exifBlock(binary.BigEndian, 6)), withEXIF(pngFile(f, gray), exifBlock(binary.LittleEndian, 8)), solidJPEG(9, 9, true, 1, 2, 3, 4),
		webpFile(vp8x(2, 20, 10), riffChunk("ANIM", make([]byte, 6)), anmf(20, 10, vp8l(20, 10, 255, never))), webpFile(vp8l(20, 10, 9, never)),
		gifFile(f, image.NewPaletted(gray.Rect, color.Palette{color.Black, color.White})), pngHead(100_000, 100_000),
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, head []byte) {
		h, err := parseHeader(head)
		if err != nil {
			if !errors.Is(err, errUnreadable) {
				t.Errorf("got %v", err)
			}
			return
		}
		if h.width < 1 || h.height < 1 || h.orientation < 1 || h.orientation > 8 || h.decodeBytes < int64(h.width)*int64(h.height) {
			t.Errorf("got %+v", h)
		}
	})
}
