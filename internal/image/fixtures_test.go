package image_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	stdimage "image"
	"strings"

	"loupe/internal/image"
)

// fixture is a picture that must be let through.
type fixture struct {
	name        string
	data        []byte // as sent
	base        []byte // a picture with the same pixels; nil: data itself
	tail        int    // how many bytes at its end are not of the picture
	mimeType    string
	orientation int // that must come out; 0: none
	icc         bool
}

func fixtures() (all []fixture) {
	return append(append(jpegFixtures(), pngFixtures()...), append(gifFixtures(), webpFixtures()...)...)
}

// tail is what someone may append to a picture: another one, a film, a program.
var tail = []byte("PK\x03\x04<script>" + secret + "\xff\xd8\xff\xd9;")

func jpegFixtures() []fixture {
	base := jpegEncode(gradient(0))
	app1 := func(orientation int) []byte {
		return segment(0xE1, "Exif\x00\x00"+string(exif(binary.LittleEndian, orientation)))
	}
	everything := jpegWith(base,
		segment(0xE0, "JFIF\x00\x01\x02\x01\x00\x48\x00\x48\x02\x04"+(secret + secret)[:2*4*3]),
		segment(0xE0, "JFXX\x00\x10"+secret),
		app1(6),
		segment(0xE1, "Exif\x00\x00"+string(exif(binary.BigEndian, 3))), // the first counts
		segment(0xE1, "http://ns.adobe.com/xap/1.0/\x00<x:xmpmeta>"+secret),
		segment(0xE1, "http://ns.adobe.com/xmp/extension/\x00"+strings.Repeat(secret, 3000)),
		segment(0xE1, secret), segment(0xE1, ""),
		segment(0xE2, "ICC_PROFILE\x00\x01\x02"+profile), segment(0xE2, "ICC_PROFILE\x00\x02\x02"+profile),
		segment(0xE2, "MPF\x00"+secret), segment(0xE2, "FPXR\x00"+secret), segment(0xE2, "urn:iso:std:iso:ts:21496:-1\x00"+secret),
		segment(0xE5, secret), segment(0xEF, secret),
		segment(0xED, "Photoshop 3.0\x008BIM\x04\x04"+secret),
		segment(0xEE, "Adobe\x00\x64\x00\x00\x00\x00\x01"+secret), segment(0xEE, secret),
		segment(0xFE, secret), segment(0xFE, ""),
	)
	list := []fixture{
		{name: "standard", data: base},
		{name: "gray", data: jpegEncode(stdimage.NewGray(gradient(0).Rect))},
		{name: "progressive", data: file("progressive.jpg")},
		{name: "restart", data: file("restart.jpg")},
		{name: "rgb", data: file("rgb.jpg")},
		{name: "everything", data: join(everything, tail), tail: len(tail), orientation: 6, icc: true},
		{name: "fill bytes", data: beforeMarkers(file("restart.jpg"), "\xff\xff\xff", true), base: file("restart.jpg")},
		{name: "comments", data: beforeMarkers(file("progressive.jpg"), string(segment(0xFE, secret))+string(app1(8)), false), orientation: 8},
		{name: "stray bytes", data: jpegWith(base, segment(0xFE, secret), []byte(secret+"\xff\x00"))},
		{name: "exif broken", data: jpegWith(base, segment(0xE1, "Exif\x00\x00"+secret))},
		{name: "exif cut", data: jpegWith(base, segment(0xE1, "Exif\x00\x00"+string(exif(binary.BigEndian, 6)[:50])))},
		{name: "exif far", data: jpegWith(base, segment(0xE1, "Exif\x00\x00MM\x00*\xff\xff\xff\xff"+secret))},
		{name: "exif before itself", data: jpegWith(base, segment(0xE1, "Exif\x00\x00MM\x00*\x00\x00\x00\x07"+secret))},
		{name: "orientation 9", data: jpegWith(base, app1(9))},
	}
	for o := range 9 {
		want := o
		if o == 1 {
			want = 0
		}
		big := segment(0xE1, "Exif\x00\x00"+string(exif(binary.BigEndian, o)))
		list = append(list,
			fixture{name: fmt.Sprint("little-endian ", o), data: jpegWith(base, app1(o)), orientation: want},
			fixture{name: fmt.Sprint("big-endian ", o), data: jpegWith(base, big), orientation: want})
	}
	for i := range list {
		list[i].mimeType = image.JPEG
	}
	return list
}

// beforeMarkers puts something before every marker of a JPEG but the first.
func beforeMarkers(b []byte, something string, restarts bool) []byte {
	out := bytes.Clone(b[:2])
	for inScan, rest := false, b[2:]; len(rest) > 0; {
		restart := rest[0] == 0xFF && rest[1]&0xF8 == 0xD0
		switch {
		case inScan && (rest[0] != 0xFF || rest[1] == 0 || restart && !restarts):
			out, rest = append(out, rest[0]), rest[1:]
			continue
		case restart:
			out = append(append(out, something...), rest[:2]...)
			rest = rest[2:]
			continue
		}
		n := 2
		if rest[1] != 0xD9 {
			n += int(binary.BigEndian.Uint16(rest[2:]))
		}
		out = append(append(out, something...), rest[:n]...)
		inScan = rest[1] == 0xDA
		rest = rest[n:]
	}
	return out
}

func pngFixtures() []fixture {
	base := pngEncode(gradient(0))
	deep := stdimage.NewNRGBA64(gradient(0).Bounds())
	colour := join(
		chunk("gAMA", "\x00\x00\xb1\x8f"), chunk("cHRM", strings.Repeat("\x00\x00\x10\x00", 8)), chunk("sRGB", "\x00"),
		chunk("iCCP", "p\x00\x00"+profile), chunk("cICP", "\x01\x0d\x00\x01"), chunk("mDCV", strings.Repeat("\x01", 24)),
		chunk("cLLI", "\x00\x00\x00\x01\x00\x00\x00\x01"), chunk("sBIT", "\x08\x08\x08"), chunk("bKGD", "\x00\x01\x00\x02\x00\x03"),
		chunk("pHYs", "\x00\x00\x0b\x13\x00\x00\x0b\x13\x01"))
	texts := join(
		chunk("tEXt", "Comment\x00"+secret), chunk("zTXt", "Comment\x00\x00"+secret), chunk("tIME", "\x07\xea\x0b\x17\x0c\x00\x00"),
		chunk("iTXt", "XML:com.adobe.xmp\x00\x00\x00\x00\x00"+secret), chunk("prVt", secret), chunk("gAMA", "too long "+secret),
		chunk("fcTL", secret), chunk("fdAT", secret)) // of no animation
	list := []fixture{
		{name: "standard", data: base},
		{name: "16 bits", data: pngEncode(deep)},
		{name: "palette", data: palettedPNG()},
		{name: "many chunks", data: manyIDATs()},
		{
			name: "everything", orientation: 6, icc: true, tail: len(tail), base: base,
			data: join(pngWith(base, join(colour, texts, chunk("eXIf", string(exif(binary.BigEndian, 6))), chunk("eXIf", string(exif(binary.BigEndian, 3)))),
				join(texts, chunk("acTL", "\x00\x00\x00\x01\x00\x00\x00\x00"))), tail),
		},
		{name: "late exif", orientation: 8, data: pngWith(base, nil, chunk("eXIf", "Exif\x00\x00"+string(exif(binary.LittleEndian, 8))))},
		{name: "upright", data: pngWith(base, chunk("eXIf", string(exif(binary.LittleEndian, 1))), nil)},
		{name: "animated", data: apng()},
		{name: "animated, with texts", data: apng(chunk("tEXt", secret), chunk("prVt", secret), chunk("acTL", secret))},
	}
	for i := range list {
		list[i].mimeType = image.PNG
	}
	return list
}

func gifFixtures() []fixture {
	control := string([]byte{0x09, 5, 0, 3})
	early := join(
		extension(0xFE, secret, secret), extension(0xFE),
		extension(0xFF, "ICCRGBG1012", profile, profile),
		extension(0xFF, "XMP DataXMP", secret), extension(0xFF, "MGK8BIM0000", secret), extension(0xFF, secret),
		extension(0xFF, "ANIMEXTS1.0", "\x01\x07\x00", secret),
		extension(0xFF, "NETSCAPE2.0", "\x02\x00\x00\x00", secret), extension(0xFF, "NETSCAPE2.0"), extension(0xFF, "NETSCAPE2.0", "\x02\x01\x02"),
		extension(0x42, secret),
		extension(0xF9, control), extension(0x01, "\x00\x00\x00\x00\x05\x00\x05\x00\x08\x08\x00\x01", secret),
		extension(0xF9, control), extension(0xFE, secret))
	one := gifEncode(1)
	list := []fixture{
		{name: "standard", data: one},
		{name: "87a", data: append([]byte("GIF87a"), one[6:]...)},
		{name: "animated", data: gifEncode(5)},
		{
			name: "everything", icc: true, tail: len(tail), base: gifEncode(3),
			data: join(gifWith(gifEncode(3), early, join(extension(0xFE, secret), extension(0xF9, control))), tail),
		},
	}
	for i := range list {
		list[i].mimeType = image.GIF
	}
	return list
}

func webpFixtures() []fixture {
	const icc, alpha, withExif, xmp, animation = 0x20, 0x10, 0x08, 0x04, 0x02
	meta := join(riffChunk("EXIF", string(exif(binary.LittleEndian, 6))), riffChunk("EXIF", string(exif(binary.LittleEndian, 3))),
		riffChunk("XMP ", secret+"!"), riffChunk("prVt", secret), riffChunk("prVt", ""), riffChunk("VP8X", secret))
	list := []fixture{
		{name: "lossy", data: file("lossy.webp")},
		{name: "lossless", data: file("lossless.webp")},
		{name: "alpha", data: file("alpha.webp")},
		{name: "animated", data: file("animated.webp")},
		{name: "simple, with metadata", data: riff(webpBody(file("lossless.webp")), meta, riffChunk("ICCP", secret), riffChunk("ALPH", secret))},
		{
			name: "everything", orientation: 6, icc: true, tail: len(tail),
			data: join(webpExtended(0xC0|icc|withExif|xmp, riffChunk("ICCP", profile), join(meta, bytes.Repeat(riffChunk("XMP ", strings.Repeat(secret, 300)), 2))), tail),
		},
		{name: "exif with prefix", orientation: 5, data: webpExtended(withExif, nil, riffChunk("EXIF", "Exif\x00\x00"+string(exif(binary.BigEndian, 5))))},
		{name: "exif of odd length", orientation: 8, data: webpExtended(withExif, nil, riffChunk("EXIF", string(exif(binary.BigEndian, 8))+"!"))},
		{name: "exif not announced", data: webpExtended(0, nil, meta)},
		{name: "exif too short", data: webpExtended(withExif, nil, riffChunk("EXIF", secret))},
		{name: "upright", orientation: 1, data: webpExtended(withExif, nil, riffChunk("EXIF", string(exif(binary.BigEndian, 1))))},
		{name: "animated, with metadata", orientation: 6, data: webpAnimated(withExif|xmp, meta, meta)},
	}
	for i := range list {
		list[i].mimeType = image.WebP
	}
	return list
}
