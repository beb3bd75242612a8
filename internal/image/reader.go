package image

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
)

// What [NewReader] and [Reader.Read] refuse. Each comes wrapped with what was wrong in the words of the sender.
var (
	ErrEmpty       = errors.New("empty file")
	ErrUnsupported = errors.New("not a JPEG, PNG, WebP or GIF image that can be read")
	ErrMalformed   = errors.New("damaged image") // the right type, but cut short or breaking its format
	ErrTooLarge    = errors.New("image file too large")
	ErrTooManyPx   = errors.New("image has too many pixels")
)

// Limits bound what the intake lets through.
type Limits struct {
	MaxBytes  int64 // of the file as sent. Default 10 MB (10,485,760).
	MaxPixels int64 // width × height, of the canvas and of each frame. Default 40 megapixels (40,000,000).
}

func (l Limits) withDefaults() Limits {
	if l.MaxBytes <= 0 {
		l.MaxBytes = 10 << 20
	}
	if l.MaxPixels <= 0 {
		l.MaxPixels = 40_000_000
	}
	return l
}

// Meta is what is known of a picture after it has been read to its end.
type Meta struct {
	MIMEType string // by the content, one of JPEG, PNG, WebP, GIF
	Width    int    // as displayed: the orientation tag is applied
	Height   int
	Bytes    int64  // that came out of the reader
	SHA256   string // hex, of the bytes that came out of the reader
}

// Reader lets one photo through without its metadata. What comes out is a file of the same type with the same picture
// data, byte for byte; the metadata of the file as sent (Exif with GPS, XMP, IPTC, comments, thumbnails, unknown parts,
// whatever follows the picture) is gone, orientation and colour profile are kept. What someone hides inside the picture
// data or the colour profile itself is not looked for.
//
// It holds a few tens of kilobytes, however large the picture is. Use it from one goroutine at a time.
type Reader struct {
	mimeType string
	picture  *picture
	filter   filter
	out      []byte // what the next Read returns
	ended    bool   // the filter has given its last piece
	err      error  // what Read returns after out
	hash     hash.Hash
	bytes    int64
}

// A filter lets the pictures of one format through, a piece at a time.
type filter interface {
	// next returns the next piece of what goes out: it is valid until the next call, and may be empty. The last one
	// comes with errEnd. errInputEnd means that the picture as sent is cut short.
	next() ([]byte, error)
}

var (
	errEnd      = errors.New("end of the picture")
	errInputEnd = errors.New("end of the input")
)

// formats are the types of picture that are let through, by the first bytes of the file.
var formats = []struct {
	mimeType, name string
	sniff          func(head []byte) bool
	filter         func(*picture) filter
}{
	{JPEG, "JPEG", startsWith("\xff\xd8\xff"), func(p *picture) filter { return &jpegFilter{picture: p} }},
	{PNG, "PNG", startsWith(pngSignature), func(p *picture) filter { return &pngFilter{picture: p} }},
	{GIF, "GIF", startsWith("GIF87a", "GIF89a"), func(p *picture) filter { return &gifFilter{picture: p} }},
	{WebP, "WebP", isWebP, func(p *picture) filter { return &webpFilter{picture: p} }},
}

// sniffLength is how many bytes tell the type.
const sniffLength = 12

func startsWith(prefixes ...string) func([]byte) bool {
	return func(head []byte) bool {
		for _, prefix := range prefixes {
			if bytes.HasPrefix(head, []byte(prefix)) {
				return true
			}
		}
		return false
	}
}

// NewReader returns a reader of the photo in r, whose type it tells by the first bytes. It fails with [ErrEmpty],
// [ErrUnsupported], or with r's error, wrapped; then no more of r has been read than fits the reader's buffer.
func NewReader(r io.Reader, l Limits) (*Reader, error) {
	l = l.withDefaults()
	in := bufio.NewReaderSize(&input{r: r, max: l.MaxBytes}, bufferSize)
	head, err := in.Peek(sniffLength)
	if err != nil && !errors.Is(err, errInputEnd) {
		return nil, err
	}
	if len(head) == 0 {
		return nil, ErrEmpty
	}
	for _, f := range formats {
		if f.sniff(head) {
			p := &picture{format: f.name, in: in, maxBytes: l.MaxBytes, maxPixels: l.MaxPixels}
			return &Reader{mimeType: f.mimeType, picture: p, filter: f.filter(p), hash: sha256.New()}, nil
		}
	}
	return nil, ErrUnsupported
}

// MIMEType returns the type that the content has: one of [JPEG], [PNG], [WebP], [GIF].
func (r *Reader) MIMEType() string { return r.mimeType }

// Read returns the next bytes of the clean picture. It returns [io.EOF] only when the whole picture has come and was in
// order, and the input has been read to its end; else [ErrTooLarge], [ErrTooManyPx], [ErrMalformed], [ErrUnsupported] or
// the error of the underlying reader, wrapped. What was read until then is of no use.
func (r *Reader) Read(p []byte) (int, error) {
	for len(r.out) == 0 && len(p) > 0 {
		if r.err != nil {
			return 0, r.err
		}
		r.out, r.err = r.next()
	}
	n := copy(p, r.out)
	r.out = r.out[n:]
	r.hash.Write(p[:n])
	r.bytes += int64(n)
	return n, nil
}

// next returns the filter's next piece and, when all pieces have come, what Read ends with.
func (r *Reader) next() ([]byte, error) {
	if r.ended {
		return nil, r.drain()
	}
	piece, err := r.filter.next()
	switch {
	case errors.Is(err, errEnd):
		r.ended = true
		return piece, nil
	case errors.Is(err, errInputEnd):
		return nil, r.picture.malformed("ends too early: the file is cut short")
	}
	return piece, err
}

// drain reads what follows the picture: it is not let through, but it counts, and its sender may yet fail.
func (r *Reader) drain() error {
	for {
		_, err := r.picture.some(bufferSize)
		switch {
		case errors.Is(err, errInputEnd):
			return io.EOF
		case err != nil:
			return err
		}
	}
}

// Meta returns what is known of the picture once Read has returned [io.EOF]; before, it is zero.
func (r *Reader) Meta() Meta {
	if r.err != io.EOF { //nolint:errorlint // ours, never wrapped
		return Meta{}
	}
	m := Meta{
		MIMEType: r.mimeType,
		Width:    int(r.picture.width),
		Height:   int(r.picture.height),
		Bytes:    r.bytes,
		SHA256:   hex.EncodeToString(r.hash.Sum(nil)),
	}
	if r.picture.orientation >= 5 { // 5 to 8 lay the picture on its side
		m.Width, m.Height = m.Height, m.Width
	}
	return m
}

// input is the file as sent, up to max bytes. Its errors are final: a reader that would go on after one is not asked
// again. The end of the file is errInputEnd, so that no error of the underlying reader can be taken for it.
type input struct {
	r   io.Reader
	n   int64 // bytes read
	max int64
	err error
}

func (in *input) Read(p []byte) (int, error) {
	if in.err != nil {
		return 0, in.err
	}
	if rest := in.max - in.n; rest < int64(len(p)) {
		p = p[:rest+1] // one more tells that there is more
	}
	n, err := in.r.Read(p)
	in.n += int64(n)
	switch {
	case in.n > in.max:
		in.err = fmt.Errorf("%w: more than %d bytes", ErrTooLarge, in.max)
		return 0, in.err
	case err == io.EOF: // itself; a wrapped one is a failure
		in.err = errInputEnd
	case err != nil:
		in.err = fmt.Errorf("read image: %w", err)
	}
	return n, in.err
}
