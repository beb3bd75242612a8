package builtin

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"image"
	"image/jpeg"
	"image/png"
	"io"
	"runtime/debug"
	"time"
)

const (
	decodeTimeout = 30 * time.Second // for one photo, once it has its memory; a hostile one could take hours
	largeDecode   = 8 << 20          // bytes
	jpegQuality   = 88
	sceneLength   = 160 // pixels of the longer side of the copy that colours are taken from
)

var errTooSlow = errors.New("image takes too long to decode")

// photo is what was made of a picture.
type photo struct {
	colorway *field // nil when unknown
	data     []byte // the processed image
	mimeType string
}

// develop reads a picture and makes of it what we answer. The claim, which the caller releases, is for the photo's data.
func (a *analyzer) develop(ctx context.Context, file io.Reader) (photo, *claim, error) {
	return a.process(ctx, file, finish)
}

// process reads a picture and has render make a photo of its pixels, upright and no more of them than are to be shown.
func (a *analyzer) process(ctx context.Context, file io.Reader, render func(context.Context, *image.NRGBA) (photo, error)) (photo, *claim, error) {
	var failed error // what the picture was read from; decoders hide it
	head, h, err := readHeader(bounded(ctx, file, a.cfg.MaxBytes, &failed))
	if err != nil {
		return photo{}, nil, cmp.Or(failed, err)
	}
	if max(h.width, h.height) > maxEdge || int64(h.width)*int64(h.height) > a.cfg.MaxPixels {
		return photo{}, nil, fmt.Errorf("%w: %d × %d pixels", errTooBig, h.width, h.height)
	}
	h.fileBytes = min(h.fileBytes, a.cfg.MaxBytes)
	h.decodeBytes += 3 * h.fileBytes // the growing buffer, and a copy of what is in it
	if h.decodeBytes > a.cfg.MaxDecode {
		return photo{}, nil, fmt.Errorf("%w: it would take %d MiB of memory", errTooBig, h.decodeBytes>>20)
	}
	width, height := fit(h.width, h.height, a.cfg.MaxLength)
	result := int64(width) * int64(height) * 6 // its pixels, and the file made of them
	memory, err := a.memory.claim(ctx, h.decodeBytes+result)
	if err != nil {
		return photo{}, nil, err
	}
	ctx, stop := context.WithTimeoutCause(ctx, decodeTimeout, errTooSlow)
	defer stop()
	whole := bounded(ctx, io.MultiReader(bytes.NewReader(head), file), a.cfg.MaxBytes, &failed)
	img, err := a.readPixels(ctx, whole, h)
	if h.decodeBytes >= largeDecode {
		// It is garbage now, but until it is collected it counts: the next one would come on top of it.
		debug.FreeOSMemory()
	}
	if err != nil {
		memory.release()
		return photo{}, nil, cmp.Or(failed, err)
	}
	p, err := render(ctx, img)
	if err != nil {
		memory.release()
		return photo{}, nil, err
	}
	memory.shrink(int64(len(p.data)))
	return p, memory, nil
}

// readPixels returns the picture upright and no larger than it will be shown; what was decoded is garbage then.
func (a *analyzer) readPixels(ctx context.Context, r io.Reader, h header) (*image.NRGBA, error) {
	img, err := a.decode(r, &h)
	if err != nil {
		return nil, err
	}
	return shrink(ctx, img, a.cfg.MaxLength, h.orientation)
}

// finish takes the colours from an upright picture and encodes it.
func finish(ctx context.Context, img *image.NRGBA) (photo, error) {
	tiny, err := shrink(ctx, img, sceneLength, 1)
	if err != nil {
		return photo{}, err
	}
	p, err := encode(ctx, img)
	p.colorway = colorwayOf(newScene(tiny))
	return p, err
}

// encode makes a file of pixels.
func encode(_ context.Context, img *image.NRGBA) (p photo, err error) {
	p.mimeType = "image/jpeg"
	var b bytes.Buffer
	if img.Opaque() {
		// The encoder is fast for RGBA only, and without alpha that is the same.
		err = jpeg.Encode(&b, &image.RGBA{Pix: img.Pix, Stride: img.Stride, Rect: img.Rect}, &jpeg.Options{Quality: jpegQuality})
	} else {
		p.mimeType = "image/png"
		err = png.Encode(&b, img)
	}
	p.data = b.Bytes()
	return p, err
}

// decode reads the pixels of a picture whose header is known; that of a WebP file is completed by what stands at its end.
func (a *analyzer) decode(r io.Reader, h *header) (img image.Image, err error) {
	defer func() {
		if v := recover(); v != nil {
			a.cfg.Logger.Error("an image broke its decoder", "format", h.format.name, "panic", v, "stack", string(debug.Stack()))
			err = errUnreadable
		}
	}()
	if h.format == formatWebP {
		file, err := io.ReadAll(io.LimitReader(r, h.fileBytes))
		if err != nil {
			return nil, err
		}
		h.orientation = orientation(bytes.TrimPrefix(webpChunk(file[12:], "EXIF"), []byte("Exif\x00\x00")))
		r = bytes.NewReader(firstFrame(h.format, file))
	}
	img, err = h.format.decode(r)
	if err == nil && img.Bounds().Empty() {
		err = errors.New("it has no pixels")
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errUnreadable, err)
	}
	return img, nil
}

// bounded returns r until ctx ends or limit bytes have been read. Its first error other than io.EOF goes to failed.
func bounded(ctx context.Context, r io.Reader, limit int64, failed *error) io.Reader {
	return readFunc(func(p []byte) (n int, err error) {
		switch {
		case ctx.Err() != nil:
			err = context.Cause(ctx)
		case limit == 0:
			// The file may end right here.
			if n, err = r.Read(p[:min(1, len(p))]); n > 0 {
				n, err = 0, ErrTooLarge
			}
		default:
			n, err = r.Read(p[:min(limit, int64(len(p)))])
			limit -= int64(n)
		}
		if err != nil && !errors.Is(err, io.EOF) && *failed == nil {
			*failed = err
		}
		return n, err
	})
}

type readFunc func([]byte) (int, error)

func (f readFunc) Read(p []byte) (int, error) { return f(p) }
