package image_test

import (
	"bytes"
	"encoding/binary"
	"slices"
	"strings"
	"testing"
)

// What comes out, part by part.

func wantClean(t *testing.T, data, want []byte) {
	t.Helper()
	if got, _ := mustClean(t, data); !bytes.Equal(got, want) {
		t.Errorf("got\n%q\nwant\n%q", got, want)
	}
}

func fixtureData(t *testing.T, list []fixture, name string) []byte {
	t.Helper()
	i := slices.IndexFunc(list, func(f fixture) bool { return f.name == name })
	if i < 0 {
		t.Fatalf("no fixture %q", name)
	}
	return list[i].data
}

func TestJPEGSegments(t *testing.T) {
	t.Parallel()
	wantClean(t, fixtureData(t, jpegFixtures(), "everything"), jpegWith(jpegEncode(gradient(0)),
		segment(0xE0, "JFIF\x00\x01\x02\x01\x00\x48\x00\x48\x00\x00"),
		segment(0xE1, "Exif\x00\x00"+minimalExif(6)),
		segment(0xE2, "ICC_PROFILE\x00\x01\x02"+profile), segment(0xE2, "ICC_PROFILE\x00\x02\x02"+profile),
		segment(0xEE, "Adobe\x00\x64\x00\x00\x00\x00\x01")))
	wantClean(t, fixtureData(t, jpegFixtures(), "fill bytes"), file("restart.jpg"))
	wantClean(t, fixtureData(t, jpegFixtures(), "comments"), jpegWith(file("progressive.jpg")[:2], segment(0xE1, "Exif\x00\x00"+minimalExif(8)), file("progressive.jpg")[2:]))
}

func TestPNGChunks(t *testing.T) {
	t.Parallel()
	out, _ := mustClean(t, fixtureData(t, pngFixtures(), "everything"))
	var kinds []string
	for _, c := range chunks(out) { // whose checksums png.Decode has verified
		kinds = append(kinds, c.kind)
		if c.kind == "eXIf" && c.data != minimalExif(6) {
			t.Errorf("eXIf = %q", c.data)
		}
	}
	if got, want := strings.Join(kinds, " "), "IHDR gAMA cHRM sRGB iCCP cICP mDCV cLLI sBIT bKGD pHYs eXIf IDAT IEND"; got != want {
		t.Errorf("chunks %s\nwant   %s", got, want)
	}
	wantClean(t, fixtureData(t, pngFixtures(), "animated, with texts"), apng())
}

func TestGIFBlocks(t *testing.T) {
	t.Parallel()
	control := extension(0xF9, "\x09\x05\x00\x03")
	wantClean(t, fixtureData(t, gifFixtures(), "everything"), gifWith(gifEncode(3),
		join(extension(0xFF, "ICCRGBG1012", profile, profile), extension(0xFF, "ANIMEXTS1.0", "\x01\x07\x00"), control, control), control))
	wantClean(t, gifWith(gifEncode(1), join(extension(0xFE), extension(0xFF, "short", secret)), nil), gifEncode(1))
}

func TestWebPChunks(t *testing.T) {
	t.Parallel()
	junk := func(n int) []byte { return riffChunk("JUNK", strings.Repeat("\x00", n)) }
	length := len(exif(binary.LittleEndian, 6))
	upright := func(orientation byte) []byte {
		m := minimalExif(orientation)
		return riffChunk("EXIF", m+strings.Repeat("\x00", length-len(m)))
	}
	rest := join(junk(length), junk(len(secret)+1), junk(len(secret)), junk(0), junk(len(secret)))
	long := junk(300 * len(secret))

	wantClean(t, fixtureData(t, webpFixtures(), "everything"),
		riff(vp8x(0x28), riffChunk("ICCP", profile), webpBody(file("lossy.webp")), upright(6), rest, long, long))
	wantClean(t, fixtureData(t, webpFixtures(), "exif not announced"),
		riff(vp8x(0), webpBody(file("lossy.webp")), junk(length), rest))
	wantClean(t, fixtureData(t, webpFixtures(), "upright"),
		riff(vp8x(0x08), webpBody(file("lossy.webp")), upright(1)))
	wantClean(t, fixtureData(t, webpFixtures(), "animated, with metadata"),
		webpAnimated(0x08, join(junk(length), rest), join(upright(6), rest)))
}
