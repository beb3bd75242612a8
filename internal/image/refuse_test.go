package image_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"runtime"
	"slices"
	"strings"
	"testing"

	"loupe/internal/image"
)

type refusal struct {
	name  string
	data  []byte
	want  error
	words string // that the sender is to read
}

func refuse(t *testing.T, refusals []refusal) {
	t.Helper()
	for _, r := range refusals {
		t.Run(r.name, func(t *testing.T) {
			t.Parallel()
			_, meta, err := clean(bytes.NewReader(r.data), image.Limits{MaxBytes: 1 << 30})
			if !errors.Is(err, r.want) || !strings.Contains(err.Error(), r.words) {
				t.Errorf("%v, want %v with %q", err, r.want, r.words)
			}
			if meta != (image.Meta{}) {
				t.Errorf("Meta = %+v", meta)
			}
		})
	}
}

// replace returns b with old, which must be there once, replaced by something of any length.
func replace(b []byte, old, with string) []byte {
	if bytes.Count(b, []byte(old)) != 1 {
		panic("not there once: " + old)
	}
	return bytes.Replace(b, []byte(old), []byte(with), 1)
}

func TestRefuseJPEG(t *testing.T) {
	t.Parallel()
	base := jpegEncode(gradient(0))
	frame := "\xff\xc0\x00\x11\x08\x00\x10\x00\x18\x03"
	scan := bytes.Index(base, []byte("\xff\xda"))
	size := func(height, width string) []byte { return replace(base, frame, frame[:5]+height+width+"\x03") }
	refuse(t, []refusal{
		{"64 250 squared", size("\xfa\xfa", "\xfa\xfa"), image.ErrTooManyPx, "64250 × 64250"},
		{"no height", size("\x00\x00", "\x00\x18"), image.ErrMalformed, "24 × 0"},
		{"no width", size("\x00\x10", "\x00\x00"), image.ErrMalformed, "0 × 16"},
		{"arithmetic", file("arithmetic.jpg"), image.ErrUnsupported, "arithmetic"},
		{"lossless", replace(base, frame, "\xff\xc3"+frame[2:]), image.ErrUnsupported, "lossless"},
		{"12 bits", replace(base, frame, "\xff\xc1\x00\x11\x0c"+frame[5:]), image.ErrUnsupported, "12 bits"},
		{"2 components", jpegWith(base, segment(0xC0, "\x08\x00\x10\x00\x18\x02123123")), image.ErrUnsupported, "2 colour components"},
		{"frame header too short", jpegWith(base, segment(0xC0, "\x08\x00\x10\x00\x18\x03123123")), image.ErrMalformed, "frame header"},
		{"frame header empty", jpegWith(base, segment(0xC0, "")), image.ErrMalformed, "frame header"},
		{"two frame headers", jpegWith(base, segment(0xC0, "\x08\x00\x10\x00\x18\x03123123123")), image.ErrMalformed, "two frame headers"},
		{"no frame header", join(base[:2], base[scan:]), image.ErrMalformed, "no frame header"},
		{"no scan", join(base[:scan], []byte("\xff\xd9")), image.ErrMalformed, "holds no picture"},
		{"end at once", []byte("\xff\xd8\xff\xd9"), image.ErrMalformed, "holds no picture"},
		{"second start", jpegWith(base, []byte("\xff\xd8\xff\xd8")), image.ErrMalformed, "marker 0xd8"},
		{"unknown marker", jpegWith(base, segment(0xF0, "")), image.ErrMalformed, "marker 0xf0"},
		{"height in the end", join(base[:len(base)-2], segment(0xDC, "\x00\x10"), base[len(base)-2:]), image.ErrMalformed, "marker 0xdc"},
		{"arithmetic conditioning", jpegWith(base, segment(0xCC, "\x00\x00")), image.ErrMalformed, "marker 0xcc"},
		{"restart outside of a scan", jpegWith(base, []byte("\xff\xd0")), image.ErrMalformed, "marker 0xd0"},
		{"length 0", jpegWith(base, []byte("\xff\xfe\x00\x00")), image.ErrMalformed, "impossible length"},
		{"length 1", jpegWith(base, []byte("\xff\xe1\x00\x01")), image.ErrMalformed, "impossible length"},
		{"length beyond the end", join(base[:2], []byte("\xff\xfe\xff\xff"), base[2:]), image.ErrMalformed, "cut short"},
		{"too many segments", jpegWith(base, bytes.Repeat(segment(0xFE, ""), 1<<16)), image.ErrMalformed, "more than 65536 parts"},
		{"too many scans", join(base[:len(base)-2], bytes.Repeat(base[scan:len(base)-2], 100), base[len(base)-2:]), image.ErrMalformed, "more than 100 scans"},
	})
}

func TestRefusePNG(t *testing.T) {
	t.Parallel()
	base, moving := pngEncode(gradient(0)), apng()
	header := func(w, h uint32, rest string) []byte {
		size := binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(nil, w), h)
		return join(base[:8], chunk("IHDR", string(size)+rest), base[33:])
	}
	palette := palettedPNG()
	parts := func(kinds ...string) (b []byte) { // of the base in another order
		b = slices.Clone(base[:8])
		for _, kind := range kinds {
			for _, c := range chunks(base) {
				if c.kind == kind {
					b = append(b, chunk(c.kind, c.data)...)
				}
			}
		}
		return b
	}
	pixels := chunks(palette)
	refuse(t, []refusal{
		{"100 000 squared", header(100_000, 100_000, "\x08\x02\x00\x00\x00"), image.ErrTooManyPx, "100000 × 100000"},
		{"as large as can be", header(1<<32-1, 1<<32-1, "\x08\x02\x00\x00\x00"), image.ErrTooManyPx, "4294967295"},
		{"no width", header(0, 16, "\x08\x02\x00\x00\x00"), image.ErrMalformed, "0 × 16"},
		{"no height", header(24, 0, "\x08\x02\x00\x00\x00"), image.ErrMalformed, "24 × 0"},
		{"2 bits of colour", header(24, 16, "\x02\x02\x00\x00\x00"), image.ErrMalformed, "header"},
		{"16 bits of palette", header(24, 16, "\x10\x03\x00\x00\x00"), image.ErrMalformed, "header"},
		{"3 bits of gray", header(24, 16, "\x03\x00\x00\x00\x00"), image.ErrMalformed, "header"},
		{"unknown colours", header(24, 16, "\x08\x05\x00\x00\x00"), image.ErrMalformed, "header"},
		{"unknown compression", header(24, 16, "\x08\x02\x01\x00\x00"), image.ErrMalformed, "header"},
		{"unknown filter", header(24, 16, "\x08\x02\x00\x01\x00"), image.ErrMalformed, "header"},
		{"unknown interlacing", header(24, 16, "\x08\x02\x00\x00\x02"), image.ErrMalformed, "header"},
		{"header too short", join(base[:8], chunk("IHDR", "\x00\x00\x00\x18\x00\x00\x00\x10\x08\x02\x00\x00"), base[33:]), image.ErrMalformed, "header"},
		{"header's checksum", replace(base, "\x00\x00\x00\x18\x00\x00\x00\x10", "\x00\x00\x00\x18\x00\x00\x00\x11"), image.ErrMalformed, "checksum in IHDR"},
		{"end's checksum", append(slices.Clone(base[:len(base)-1]), 0), image.ErrMalformed, "checksum in IEND"},
		{"profile's checksum", pngWith(base, replace(chunk("iCCP", profile), profile, strings.ToUpper(profile)), nil), image.ErrMalformed, "checksum in iCCP"},
		{"two headers", parts("IHDR", "IHDR", "IDAT", "IEND"), image.ErrMalformed, "no header, or two"},
		{"no header", parts("IDAT", "IEND"), image.ErrMalformed, "no header, or two"},
		{"text before the header", join(base[:8], chunk("tEXt", ""), base[8:]), image.ErrMalformed, "no header, or two"},
		{"no data", parts("IHDR", "IEND"), image.ErrMalformed, "holds no picture"},
		{"data in two places", pngWith(base, nil, join(chunk("tEXt", ""), chunk("IDAT", ""))), image.ErrMalformed, "data that is out of place"},
		{"palette after the data", pngWith(base, nil, chunk("PLTE", "rgb")), image.ErrMalformed, "palette that is out of place"},
		{"two palettes", pngWith(palette, chunk("PLTE", "rgb"), nil), image.ErrMalformed, "palette that is out of place"},
		{"palette missing", join(palette[:8], chunk("IHDR", pixels[0].data), chunk("IDAT", ""), chunk("IEND", "")), image.ErrMalformed, "data that is out of place"},
		{"palette too long", pngWith(base, chunk("PLTE", strings.Repeat("rgb", 257)), nil), image.ErrMalformed, "PLTE"},
		{"end too long", join(base[:len(base)-12], chunk("IEND", "x")), image.ErrMalformed, "IEND"},
		{"unknown critical chunk", pngWith(base, chunk("CgBI", "1234"), nil), image.ErrMalformed, "CgBI"},
		{"no letters", pngWith(base, chunk("t\x00Xt", ""), nil), image.ErrMalformed, "chunk header"},
		{"length of 2 GB", pngWith(base, []byte("\x80\x00\x00\x00tEXt"), nil), image.ErrMalformed, "chunk header"},
		{"length beyond the end", pngWith(base, []byte("\x7f\xff\xff\xfftEXt"), nil), image.ErrMalformed, "cut short"},
		{"too many chunks", pngWith(base, bytes.Repeat(chunk("tEXt", ""), 1<<16), nil), image.ErrMalformed, "more than 65536 parts"},
		{"no frames", pngWith(base, chunk("acTL", "\x00\x00\x00\x00\x00\x00\x00\x00"), nil), image.ErrMalformed, "number of frames"},
		{"too many frames", pngWith(base, chunk("acTL", "\x00\x00\x07\xd1\x00\x00\x00\x00"), nil), image.ErrMalformed, "number of frames"},
		{"frames announced too briefly", pngWith(base, chunk("acTL", "\x00\x00\x00\x01"), nil), image.ErrMalformed, "number of frames"},
		{"frames missing", pngWith(base, chunk("acTL", "\x00\x00\x00\x01\x00\x00\x00\x00"), nil), image.ErrMalformed, "0 frames and announces 1"},
		{"frame out of order", pngWith(moving, nil, chunk("fdAT", "\x00\x00\x00\x07")), image.ErrMalformed, "out of order"},
		{"frame data too short", pngWith(moving, nil, chunk("fdAT", "\x00\x00\x00")), image.ErrMalformed, "fdAT"},
		{"frame data before the picture", pngWith(base, join(chunk("acTL", "\x00\x00\x00\x01\x00\x00\x00\x00"), chunk("fdAT", "\x00\x00\x00\x00")), nil), image.ErrMalformed, "fdAT"},
		{"frame control too short", pngWith(moving, nil, chunk("fcTL", "\x00\x00\x00\x06")), image.ErrMalformed, "fcTL"},
		{"frame beyond the picture", pngWith(moving, nil, chunk("fcTL", "\x00\x00\x00\x06\x00\x00\x00\x18\x00\x00\x00\x10\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00")), image.ErrMalformed, "beyond the picture"},
		{"frame without height", pngWith(moving, nil, chunk("fcTL", "\x00\x00\x00\x06\x00\x00\x00\x18"+strings.Repeat("\x00", 18))), image.ErrMalformed, "24 × 0"},
		{"frame too large", pngWith(moving, nil, chunk("fcTL", "\x00\x00\x00\x06\xff\xff\xff\xff\xff\xff\xff\xff"+strings.Repeat("\x00", 14))), image.ErrTooManyPx, "4294967295"},
	})
}

func TestRefuseGIF(t *testing.T) {
	t.Parallel()
	base := gifEncode(1)
	size := func(b string) []byte { return join(base[:6], []byte(b), base[10:]) }
	image0 := bytes.Index(base, []byte("\x2c\x00\x00\x00\x00"))
	frame := func(b string) []byte { return join(base[:image0+1], []byte(b), base[image0+9:]) }
	refuse(t, []refusal{
		{"65 535 squared", size("\xff\xff\xff\xff"), image.ErrTooManyPx, "65535 × 65535"},
		{"no width", size("\x00\x00\x01\x00"), image.ErrMalformed, "0 × 1"},
		{"no height", size("\x01\x00\x00\x00"), image.ErrMalformed, "1 × 0"},
		{"frame too large", frame("\x00\x00\x00\x00\xff\xff\xff\xff"), image.ErrTooManyPx, "65535 × 65535"},
		{"frame without width", frame("\x00\x00\x00\x00\x00\x00\x01\x00"), image.ErrMalformed, "0 × 1"},
		{"frame beyond the right", frame("\x18\x00\x00\x00\x01\x00\x01\x00"), image.ErrMalformed, "beyond the picture"},
		{"frame beyond the bottom", frame("\x00\x00\xff\xff\x01\x00\x01\x00"), image.ErrMalformed, "beyond the picture"},
		{"no frame", join(base[:13], []byte(";")), image.ErrMalformed, "holds no picture"},
		{"unknown block", gifWith(base, []byte{0}, nil), image.ErrMalformed, "block 0x0"},
		{"control too long", gifWith(base, extension(0xF9, "12345"), nil), image.ErrMalformed, "graphic control"},
		{"control in two", gifWith(base, extension(0xF9, "1234", "5"), nil), image.ErrMalformed, "graphic control"},
		{"text too short", gifWith(base, extension(0x01, "text"), nil), image.ErrMalformed, "plain text"},
		{"application without a name", gifWith(base, extension(0xFF), nil), image.ErrMalformed, "application extension"},
		{"too many blocks", gifWith(base, bytes.Repeat(extension(0xFE), 1<<16), nil), image.ErrMalformed, "more than 65536 parts"},
		{"too many frames", join(base[:13], bytes.Repeat(base[13:len(base)-1], 2001), base[len(base)-1:]), image.ErrMalformed, "more than 2000 frames"},
	})
}

func TestRefuseWebP(t *testing.T) {
	t.Parallel()
	lossy, lossless := webpBody(file("lossy.webp")), webpBody(file("lossless.webp"))
	large := riffChunk("VP8X", "\x00\x00\x00\x00\xff\xff\xff\xff\xff\xff")
	frames := webpChunks(webpBody(file("animated.webp")))
	anim := riffChunk(frames[1].name, frames[1].data)
	anmf := func(head, body string) []byte { return riff(vp8x(0x02), anim, riffChunk("ANMF", head+body)) }
	head, body := frames[2].data[:16], frames[2].data[16:]
	refuse(t, []refusal{
		{"canvas of 16 777 216 squared", riff(large, lossy), image.ErrTooManyPx, "16777216 × 16777216"},
		{"lossy, 16 383 squared", riff(replace(lossy, "\x2a\x18\x00\x10\x00", "\x2a\xff\x3f\xff\x3f")), image.ErrTooManyPx, "16383 × 16383"},
		{"lossless, 16 384 squared", riff(riffChunk("VP8L", "\x2f\xff\xff\xff\x0f"+string(lossless[13:]))), image.ErrTooManyPx, "16384 × 16384"},
		{"lossy, no width", riff(replace(lossy, "\x2a\x18\x00\x10\x00", "\x2a\x00\x00\x10\x00")), image.ErrMalformed, "0 × 16"},
		{"lossy, no start code", riff(replace(lossy, "\x9d\x01\x2a", "\x9d\x01\x2b")), image.ErrMalformed, "picture data"},
		{"lossy, no key frame", riff(riffChunk("VP8 ", "\x01"+string(lossy[9:]))), image.ErrMalformed, "picture data"},
		{"lossy, too short", riff(riffChunk("VP8 ", string(lossy[8:17])), riffChunk("JUNK", "")), image.ErrMalformed, "picture data"},
		{"lossless, no signature", riff(riffChunk("VP8L", "\x2e"+string(lossless[9:]))), image.ErrMalformed, "picture data"},
		{"lossless, unknown version", riff(riffChunk("VP8L", "\x2f\x17\xc0\x03\x20"+string(lossless[13:]))), image.ErrMalformed, "picture data"},
		{"lossless, too short", riff(riffChunk("VP8L", "\x2f\x17\xc0\x03"), riffChunk("JUNK", "")), image.ErrMalformed, "picture data"},
		{"nothing", riff(), image.ErrMalformed, "holds no picture"},
		{"no picture", riff(vp8x(0)), image.ErrMalformed, "holds no picture"},
		{"two pictures", riff(lossy, lossless), image.ErrMalformed, "two pictures"},
		{"begins with something else", riff(riffChunk("EXIF", secret), lossy), image.ErrMalformed, "out of place"},
		{"header too long", riff(riffChunk("VP8X", strings.Repeat("\x00", 12)), lossy), image.ErrMalformed, "header"},
		{"two sizes", riff(riffChunk("VP8X", "\x00\x00\x00\x00\x01\x00\x00\x01\x00\x00"), lossy), image.ErrMalformed, "2 × 2 pixels and 24 × 16"},
		{"chunk beyond the end", riff(lossy, []byte("EXIF\xff\xff\xff\xff")), image.ErrMalformed, "beyond its end"},
		{"stray bytes", riff(lossy, []byte("EXI\x00")), image.ErrMalformed, "stray bytes"},
		{"longer than it says", append([]byte("RIFF\x0c\x00\x00\x00WEBP"), lossy...), image.ErrMalformed, "beyond its end"},
		{"shorter than it says", replace(file("lossy.webp"), "RIFF\x80", "RIFF\x8a"), image.ErrMalformed, "cut short"},
		{"less than nothing", []byte("RIFF\x00\x00\x00\x00WEBPVP8 "), image.ErrMalformed, "holds no picture"},
		{"too many chunks", riff(lossy, bytes.Repeat(riffChunk("XMP ", ""), 1<<16)), image.ErrMalformed, "more than 65536 parts"},
		{"frame of no animation", riff(vp8x(0), riffChunk("ANMF", frames[2].data)), image.ErrMalformed, "out of place"},
		{"picture in an animation", riff(vp8x(0x02), anim, lossy), image.ErrMalformed, "out of place"},
		{"animation without frames", riff(vp8x(0x02), anim), image.ErrMalformed, "holds no picture"},
		{"frame without picture", anmf(head, ""), image.ErrMalformed, "frame without a picture"},
		{"frame of metadata", anmf(head, string(riffChunk("EXIF", secret))), image.ErrMalformed, "frame without a picture"},
		{"frame of two pictures", anmf(head, body+body), image.ErrMalformed, "two pictures"},
		{"frame in a frame", anmf(head, string(riffChunk("ANMF", head+body))), image.ErrMalformed, "out of place"},
		{"frame with stray bytes", anmf(head, body+"1234"), image.ErrMalformed, "stray bytes"},
		{"frame too short", anmf(head[:14], ""), image.ErrMalformed, "impossible length"},
		{"frame of odd length", anmf(head, body+"1"), image.ErrMalformed, "impossible length"},
		{"chunk beyond its frame", anmf(head, "VP8L\xff\x00\x00\x00"), image.ErrMalformed, "beyond its end"},
		{"frame beyond the picture", anmf("\x01"+head[1:], body), image.ErrMalformed, "beyond the picture"},
		{"frame too large", anmf(head[:6]+"\xff\xff\xff\xff\xff\xff"+head[12:], body), image.ErrTooManyPx, "16777216"},
		{"frame of two sizes", anmf(head[:6]+"\x00\x00\x00\x00\x00\x00"+head[12:], body), image.ErrMalformed, "1 × 1 pixels and 24 × 16"},
		{"too many frames", riff(vp8x(0x02), anim, bytes.Repeat(riffChunk("ANMF", frames[2].data), 2001)), image.ErrMalformed, "more than 2000 frames"},
	})
}

// A picture with too many pixels is refused by its header, before more of it is read.
func TestBombsAreNotRead(t *testing.T) {
	t.Parallel()
	for _, header := range []string{
		"\xff\xd8\xff\xc0\x00\x11\x08\xfa\xfa\xfa\xfa\x03\x01\x22\x00\x02\x11\x01\x03\x11\x01",
		"\x89PNG\r\n\x1a\n\x00\x00\x00\x0dIHDR\x00\x01\x86\xa0\x00\x01\x86\xa0\x08\x02\x00\x00\x00",
		"GIF89a\xff\xff\xff\xff\x00\x00\x00",
		"RIFF\xff\xff\x0f\x00WEBPVP8X\x0a\x00\x00\x00\x00\x00\x00\x00\xff\xff\xff\xff\xff\xff",
	} {
		n := 0
		rest := readFunc(func(p []byte) (int, error) { n += len(p); return len(p), nil })
		if _, _, err := clean(io.MultiReader(strings.NewReader(header), rest), image.Limits{}); !errors.Is(err, image.ErrTooManyPx) {
			t.Errorf("%q: %v", header, err)
		}
		if n > 32<<10 {
			t.Errorf("%q: %d bytes were read after the header", header, n)
		}
	}
}

// However long the parts are that a picture announces or has, little of it is held. (Not parallel: it measures.)
func TestHoldsLittle(t *testing.T) {
	const length = 8 << 20
	filling := func(before string, after []byte) io.Reader {
		zeros := readFunc(func(p []byte) (int, error) { clear(p); return len(p), nil })
		return io.MultiReader(strings.NewReader(before), io.LimitReader(zeros, length), bytes.NewReader(after))
	}
	jpeg, png, gif := jpegEncode(gradient(0)), pngEncode(gradient(0)), gifEncode(1)
	size := binary.LittleEndian.AppendUint32(nil, length)
	lossy := string(file("lossy.webp")[12:])
	webp := "RIFF" + string(binary.LittleEndian.AppendUint32(nil, uint32(4+18+len(lossy)+8+length))) + "WEBP" + string(vp8x(0x08)) + lossy
	for name, r := range map[string]io.Reader{
		"JPEG entropy data": filling(string(jpeg[:len(jpeg)-2]), jpeg[len(jpeg)-2:]),
		"JPEG stray bytes":  filling(string(jpeg[:2])+"\xff\xfe\x00\x02", jpeg[2:]),
		"PNG text":          filling(string(png[:33])+"\x00\x80\x00\x00tEXt", join([]byte("crc!"), png[33:])),
		"PNG Exif":          filling(string(png[:33])+"\x00\x80\x00\x00eXIf", join([]byte("crc!"), png[33:])),
		"PNG profile":       filling(string(png[:33])+"\x7f\xff\xff\xffiCCP", nil),
		"GIF after the end": filling(string(gif), nil),
		"WebP Exif":         filling(webp+"EXIF"+string(size), nil),
		"WebP XMP":          filling(webp+"XMP "+string(size), nil),
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		picture, err := image.NewReader(r, image.Limits{})
		if err != nil {
			t.Fatal(err)
		}
		_, err = io.Copy(io.Discard, picture)
		runtime.ReadMemStats(&after)
		if err != nil && name != "PNG profile" {
			t.Errorf("%s: %v", name, err)
		}
		if got := after.TotalAlloc - before.TotalAlloc; got > 128<<10 {
			t.Errorf("%s: %d bytes allocated", name, got)
		}
	}
}
