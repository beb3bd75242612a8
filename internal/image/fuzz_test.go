package image_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"testing"
	"testing/iotest"

	"loupe/internal/image"
)

// Whatever comes, it is refused with one of our errors, or what comes out is a picture that is let through unchanged and
// shows what came in.
func FuzzReader(f *testing.F) {
	for _, fixture := range fixtures() {
		if len(fixture.data) < 8<<10 {
			f.Add(fixture.data)
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		checkReader(t, data)
		checkReader(t, repaired(data))
	})
}

func checkReader(t *testing.T, data []byte) {
	limits := image.Limits{MaxBytes: 64 << 10, MaxPixels: 1 << 14}
	once, meta, err := clean(bytes.NewReader(data), limits)
	if err != nil {
		for _, known := range []error{image.ErrEmpty, image.ErrUnsupported, image.ErrMalformed, image.ErrTooLarge, image.ErrTooManyPx} {
			if errors.Is(err, known) {
				return
			}
		}
		t.Fatalf("unknown error %v", err)
	}
	if int64(meta.Width)*int64(meta.Height) > limits.MaxPixels || meta.Width <= 0 || meta.Height <= 0 || meta.Bytes != int64(len(once)) {
		t.Errorf("Meta = %+v of %d bytes", meta, len(once))
	}
	if len(once) > len(data)+8 { // an Exif that lacks its end gets one
		t.Errorf("%d bytes come out of %d", len(once), len(data))
	}
	bytewise, bytewiseMeta, err := clean(iotest.OneByteReader(bytes.NewReader(data)), limits)
	if err != nil || !bytes.Equal(once, bytewise) || meta != bytewiseMeta {
		t.Errorf("byte by byte something else comes out: %v", err)
	}

	room := image.Limits{MaxBytes: limits.MaxBytes + 8, MaxPixels: limits.MaxPixels}
	twice, metaTwice, err := clean(bytes.NewReader(once), room)
	if err != nil || !bytes.Equal(once, twice) || metaTwice != meta {
		t.Errorf("the second time: %v, %+v\n%q\nthe first time: %+v\n%q", err, metaTwice, twice, meta, once)
	}

	if before, err := decodeStandard(meta.MIMEType, data); err == nil {
		after, err := decodeStandard(meta.MIMEType, once)
		if err != nil || !samePixels(before, after) {
			t.Errorf("the picture changed: %v", err)
		}
	}
}

// repaired returns what a change has left of a PNG with the right checksums, so that not every change ends there.
func repaired(data []byte) []byte {
	b := bytes.Clone(data)
	if !bytes.HasPrefix(b, []byte("\x89PNG")) {
		return b
	}
	for i := 8; i+12 <= len(b); {
		end := i + 8 + int(binary.BigEndian.Uint32(b[i:]))
		if end+4 > len(b) {
			break
		}
		binary.BigEndian.PutUint32(b[end:], crc32.ChecksumIEEE(b[i+4:end]))
		i = end + 4
	}
	return b
}
