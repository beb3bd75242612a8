package sample

import (
	"bytes"
	"cmp"
	"image"
	"image/jpeg"
	"math"
	"math/rand/v2"
	"slices"
)

const width, height = 1280, 960

type point struct{ x, y float64 }

// rgb is a colour as in CSS.
type rgb uint32

// paint gives the colour of a place, channels from 0 to 1.
type paint func(x, y float64) [3]float64

func (c rgb) channels() [3]float64 {
	return [3]float64{float64(c>>16&255) / 255, float64(c>>8&255) / 255, float64(c&255) / 255}
}

// plain is the same colour everywhere.
func plain(c rgb) paint { return func(_, _ float64) [3]float64 { return c.channels() } }

// lit is a colour that light from above falls on: brighter at top, darker at bottom.
func lit(c rgb, top, bottom, strength float64) paint {
	return func(_, y float64) [3]float64 {
		f := 1 + strength*(1-2*min(1, max(0, (y-top)/(bottom-top))))
		r := c.channels()
		return [3]float64{min(1, r[0]*f), min(1, r[1]*f), min(1, r[2]*f)}
	}
}

// picture is what is drawn on.
type picture [width * height][3]float64

// newPicture is a sheet of paper in soft light from the upper left.
func newPicture(c rgb) *picture {
	p := new(picture)
	base := c.channels()
	for i := range p {
		f := 1.05 - 0.22*math.Hypot(float64(i%width)/width-0.35, float64(i/width)/height-0.3)
		for ch := range 3 {
			p[i][ch] = min(1, base[ch]*f)
		}
	}
	return p
}

// fill paints the inside of a closed path, anti-aliased.
func (p *picture) fill(path []point, paint paint) {
	coverage(path, func(x, y int, share float64) {
		c := paint(float64(x), float64(y))
		at := &p[y*width+x]
		for ch := range 3 {
			at[ch] += (c[ch] - at[ch]) * share
		}
	})
}

// shadow darkens an ellipse, in its middle by strength, with an edge as soft as that of a lamp's shadow.
func (p *picture) shadow(cx, cy, rx, ry, strength float64) {
	for y := max(0, int(cy-2*ry)); y < min(height, int(cy+2*ry)); y++ {
		for x := max(0, int(cx-2*rx)); x < min(width, int(cx+2*rx)); x++ {
			r := math.Hypot((float64(x)-cx)/rx, (float64(y)-cy)/ry)
			light := 1 - strength*math.Exp(-2.5*r*r*r)
			for ch := range 3 {
				p[y*width+x][ch] *= light
			}
		}
	}
}

// coverage tells for each pixel how much of it is inside a closed path (even-odd): exactly along x, on four lines per row.
func coverage(path []point, visit func(x, y int, share float64)) {
	const lines = 4
	byY := func(a, b point) int { return cmp.Compare(a.y, b.y) }
	top, bottom := slices.MinFunc(path, byY).y, slices.MaxFunc(path, byY).y
	row := make([]float64, width)
	for y := max(0, int(top)); y < height && float64(y) <= bottom; y++ {
		clear(row)
		for line := range lines {
			cy := float64(y) + (float64(line)+0.5)/lines
			var cuts []float64
			for i, a := range path {
				b := path[(i+1)%len(path)]
				if (a.y <= cy) != (b.y <= cy) {
					cuts = append(cuts, a.x+(cy-a.y)/(b.y-a.y)*(b.x-a.x))
				}
			}
			slices.Sort(cuts)
			for i := 0; i+1 < len(cuts); i += 2 {
				from, to := max(0, cuts[i]), min(width, cuts[i+1])
				for x := int(from); x < width && float64(x) < to; x++ {
					row[x] += (min(to, float64(x+1)) - max(from, float64(x))) / lines
				}
			}
		}
		for x, share := range row {
			if share > 0 {
				visit(x, y, min(1, share))
			}
		}
	}
}

// curve is a smooth closed path through the points (Catmull-Rom). A point given twice is a corner.
func curve(points ...point) []point {
	var path []point
	n := len(points)
	for i := range points {
		a, b, c, d := points[(i+n-1)%n], points[i], points[(i+1)%n], points[(i+2)%n]
		if b == c {
			continue
		}
		for step := range 16 {
			t := float64(step) / 16
			at := func(a, b, c, d float64) float64 {
				return b + t/2*(c-a+t*(2*a-5*b+4*c-d+t*(3*(b-c)+d-a)))
			}
			path = append(path, point{at(a.x, b.x, c.x, d.x), at(a.y, b.y, c.y, d.y)})
		}
	}
	return path
}

func ellipse(cx, cy, rx, ry float64) []point {
	var path []point
	for i := range 96 {
		sin, cos := math.Sincos(float64(i) / 96 * 2 * math.Pi)
		path = append(path, point{cx + rx*cos, cy + ry*sin})
	}
	return path
}

// box is a rectangle with round corners.
func box(left, top, right, bottom, radius float64) []point {
	var path []point
	for i := range 64 {
		sin, cos := math.Sincos((float64(i) + 0.5) / 64 * 2 * math.Pi)
		x, y := right-radius, bottom-radius
		if cos < 0 {
			x = left + radius
		}
		if sin < 0 {
			y = top + radius
		}
		path = append(path, point{x + radius*cos, y + radius*sin})
	}
	return path
}

// stroke is a straight line with round ends.
func stroke(a, b point, thickness float64) []point {
	angle := math.Atan2(b.y-a.y, b.x-a.x) + math.Pi/2
	var path []point
	for i := range 32 {
		end := b
		if i < 16 {
			end = a
		}
		sin, cos := math.Sincos(angle + float64(i)/31*2*math.Pi)
		path = append(path, point{end.x + cos*thickness/2, end.y + sin*thickness/2})
	}
	return path
}

// jpeg encodes the picture as a camera would, with a little grain.
func (p *picture) jpeg() []byte {
	img := image.NewRGBA(image.Rect(0, 0, width, height))
	random := rand.New(rand.NewPCG(1, 2))
	for i, c := range p {
		grain := 4 * (random.Float64() - 0.5)
		for ch := range 3 {
			img.Pix[4*i+ch] = uint8(math.Round(min(255, max(0, 255*c[ch]+grain))))
		}
		img.Pix[4*i+3] = 255
	}
	var b bytes.Buffer
	if err := jpeg.Encode(&b, img, &jpeg.Options{Quality: 90}); err != nil {
		panic(err) // a buffer takes everything
	}
	return b.Bytes()
}
