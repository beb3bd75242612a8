package builtin

import (
	"context"
	"image"
	"image/color"
	"math"
)

// linear has the light of an 8-bit sRGB value, from 0 to 65535 (IEC 61966-2-1). encoded is its inverse: the nearest value.
var linear, encoded = func() (l [256]uint16, e [65536]uint8) {
	for i := range l {
		v := float64(i) / 255
		if v <= 0.04045 {
			v /= 12.92
		} else {
			v = math.Pow((v+0.055)/1.055, 2.4)
		}
		l[i] = uint16(math.Round(v * 65535))
	}
	for v := 1; v < len(e); v++ {
		e[v] = e[v-1]
		for e[v] < 255 && int(l[e[v]+1])-v < v-int(l[e[v]]) {
			e[v]++
		}
	}
	return l, e
}()

// fit returns the size of a picture whose longer side is at most limit. It never enlarges.
func fit(width, height, limit int) (int, int) {
	longer := max(width, height)
	if longer <= limit {
		return width, height
	}
	scale := func(n int) int { return max(1, (n*limit+longer/2)/longer) }
	return scale(width), scale(height)
}

// shrink returns img with its longer side at most limit, turned upright. Every pixel of the result is the mean of the area
// that it covers, in linear light and weighted by alpha. The rows of img are converted one at a time, so that img is never
// there twice.
func shrink(ctx context.Context, img image.Image, limit, orientation int) (*image.NRGBA, error) {
	bounds := img.Bounds()
	sw, sh := bounds.Dx(), bounds.Dy()
	dw, dh := fit(sw, sh, limit)
	dst := image.NewNRGBA(image.Rect(0, 0, dw, dh))
	if orientation >= 5 {
		dst = image.NewNRGBA(image.Rect(0, 0, dh, dw))
	}

	// All in whole numbers: a source pixel is dw wide and dh high, a pixel of the result sw wide and sh high. The sums stay
	// below 2^16 (light) × 2^8 (alpha) × 2^16 × 2^16 (longest edges).
	read := rowReader(img)
	row := make([]uint8, 4*sw)
	line := make([]sum, dw) // the current source row, averaged across
	acc := make([]sum, dw)  // the current row of the result
	y, left := 0, sh
	for sy := range sh {
		if sy%64 == 0 && ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		read(sy, row)
		across(row, line, dw, sw)
		part := min(dh, left)
		addLine(acc, line, part)
		if left -= part; left > 0 {
			continue
		}
		storeRow(dst, acc, y, dw, dh, uint64(sw)*uint64(sh), orientation)
		clear(acc)
		addLine(acc, line, dh-part)
		y, left = y+1, sh-(dh-part)
	}
	return dst, nil
}

// sum is light times alpha times area, and alpha times area.
type sum struct{ r, g, b, a uint64 }

func (s *sum) add(t sum, weight uint64) {
	s.r += t.r * weight
	s.g += t.g * weight
	s.b += t.b * weight
	s.a += t.a * weight
}

// across sums the pixels of row, each dw wide, into the sums of line, each sw wide.
func across(row []uint8, line []sum, dw, sw int) {
	clear(line)
	x, left := 0, sw
	for ; len(row) >= 4; row = row[4:] {
		a := uint64(row[3])
		p := sum{uint64(linear[row[0]]) * a, uint64(linear[row[1]]) * a, uint64(linear[row[2]]) * a, a}
		part := min(dw, left)
		line[x].add(p, uint64(part))
		if left -= part; left > 0 {
			continue
		}
		x, left = x+1, sw-(dw-part)
		if part < dw {
			line[x].add(p, uint64(dw-part))
		}
	}
}

func addLine(acc, line []sum, weight int) {
	if weight > 0 {
		for i := range acc {
			acc[i].add(line[i], uint64(weight))
		}
	}
}

// storeRow writes row y of a result that is w × h before it is turned upright.
func storeRow(dst *image.NRGBA, acc []sum, y, w, h int, area uint64, orientation int) {
	for x, s := range acc {
		if s.a == 0 {
			continue
		}
		dx, dy := upright(x, y, w, h, orientation)
		p := dst.Pix[dst.PixOffset(dx, dy):][:4]
		p[0] = encoded[(s.r+s.a/2)/s.a]
		p[1] = encoded[(s.g+s.a/2)/s.a]
		p[2] = encoded[(s.b+s.a/2)/s.a]
		p[3] = uint8((s.a + area/2) / area)
	}
}

// upright says where the pixel (x, y) of a picture stored as w × h is displayed (EXIF, tag 0x0112).
func upright(x, y, w, h, orientation int) (int, int) {
	switch orientation {
	case 2:
		return w - 1 - x, y
	case 3:
		return w - 1 - x, h - 1 - y
	case 4:
		return x, h - 1 - y
	case 5:
		return y, x
	case 6:
		return h - 1 - y, x
	case 7:
		return h - 1 - y, w - 1 - x
	case 8:
		return y, w - 1 - x
	}
	return x, y
}

// rowReader returns a function that writes row y of img, counted from 0, as RGBA with 8 bits each, not premultiplied.
func rowReader(img image.Image) func(y int, row []uint8) {
	r := img.Bounds()
	switch img := img.(type) {
	case *image.YCbCr:
		return func(y int, row []uint8) { rowYCbCr(img, r.Min.Y+y, row) }
	case *image.NYCbCrA:
		return func(y int, row []uint8) {
			rowYCbCr(&img.YCbCr, r.Min.Y+y, row)
			for x, a := range img.A[img.AOffset(r.Min.X, r.Min.Y+y):][:r.Dx()] {
				row[4*x+3] = a
			}
		}
	case *image.Gray:
		return func(y int, row []uint8) { rowGray(img.Pix[y*img.Stride:], 1, row) }
	case *image.Gray16:
		return func(y int, row []uint8) { rowGray(img.Pix[y*img.Stride:], 2, row) }
	case *image.NRGBA:
		return func(y int, row []uint8) { copy(row, img.Pix[y*img.Stride:]) }
	case *image.NRGBA64:
		return func(y int, row []uint8) { rowHigh(img.Pix[y*img.Stride:], row) }
	case *image.RGBA:
		return func(y int, row []uint8) {
			copy(row, img.Pix[y*img.Stride:])
			unmultiply(row)
		}
	case *image.RGBA64:
		return func(y int, row []uint8) {
			rowHigh(img.Pix[y*img.Stride:], row)
			unmultiply(row)
		}
	case *image.CMYK:
		return func(y int, row []uint8) {
			p := img.Pix[y*img.Stride:]
			for x := 0; x < len(row); x += 4 {
				row[x], row[x+1], row[x+2] = color.CMYKToRGB(p[x], p[x+1], p[x+2], p[x+3])
				row[x+3] = 255
			}
		}
	case *image.Paletted:
		var palette [256]color.NRGBA // an index without a colour is transparent
		for i, c := range img.Palette[:min(len(img.Palette), 256)] {
			palette[i] = color.NRGBAModel.Convert(c).(color.NRGBA)
		}
		return func(y int, row []uint8) {
			for x, i := range img.Pix[y*img.Stride:][:r.Dx()] {
				c := palette[i]
				row[4*x], row[4*x+1], row[4*x+2], row[4*x+3] = c.R, c.G, c.B, c.A
			}
		}
	}
	return func(y int, row []uint8) {
		for x := range r.Dx() {
			c := color.NRGBAModel.Convert(img.At(r.Min.X+x, r.Min.Y+y)).(color.NRGBA)
			row[4*x], row[4*x+1], row[4*x+2], row[4*x+3] = c.R, c.G, c.B, c.A
		}
	}
}

func rowYCbCr(img *image.YCbCr, y int, row []uint8) {
	shift := 0 // of a column to its chroma sample; a decoded picture starts at 0
	switch img.SubsampleRatio {
	case image.YCbCrSubsampleRatio422, image.YCbCrSubsampleRatio420:
		shift = 1
	case image.YCbCrSubsampleRatio411, image.YCbCrSubsampleRatio410:
		shift = 2
	}
	minX := img.Rect.Min.X
	luma := img.Y[img.YOffset(minX, y):]
	chroma := img.COffset(minX, y)
	cb, cr := img.Cb[chroma:], img.Cr[chroma:]
	for x := range len(row) / 4 {
		row[4*x], row[4*x+1], row[4*x+2] = color.YCbCrToRGB(luma[x], cb[x>>shift], cr[x>>shift])
		row[4*x+3] = 255
	}
}

// rowGray writes grey pixels whose most significant byte is the first of size.
func rowGray(p []uint8, size int, row []uint8) {
	for x := 0; x < len(row); x += 4 {
		v := p[x/4*size]
		row[x], row[x+1], row[x+2], row[x+3] = v, v, v, 255
	}
}

// rowHigh writes the most significant bytes of 16-bit channels.
func rowHigh(p, row []uint8) {
	for i := range row {
		row[i] = p[2*i]
	}
}

func unmultiply(row []uint8) {
	for ; len(row) >= 4; row = row[4:] {
		if a := int(row[3]); a != 255 && a != 0 {
			for i := range 3 {
				row[i] = uint8(min(255, (int(row[i])*255+a/2)/a))
			}
		}
	}
}
