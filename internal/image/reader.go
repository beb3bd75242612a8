package image

import "errors"

// What [NewReader] and its Read refuse. Each comes wrapped with what was wrong in the words of the sender.
var (
	ErrEmpty       = errors.New("empty file")
	ErrUnsupported = errors.New("not a JPEG, PNG, WebP or GIF image")
	ErrMalformed   = errors.New("damaged image") // the right type, but cut short or breaking its format
	ErrTooLarge    = errors.New("image file too large")
	ErrTooManyPx   = errors.New("image has too many pixels")
)

// Limits bound what the intake lets through.
type Limits struct {
	MaxBytes  int64 // of the file as sent. Default 10 MB (10,485,760).
	MaxPixels int64 // width × height, of the canvas and of each frame. Default 40 megapixels (40,000,000).
}

// Meta is what is known of a picture after it has been read to its end.
type Meta struct {
	MIMEType string // by the content, one of JPEG, PNG, WebP, GIF
	Width    int    // as displayed: the orientation tag is applied
	Height   int
	Bytes    int64  // that came out of the reader
	SHA256   string // hex, of the bytes that came out of the reader
}
