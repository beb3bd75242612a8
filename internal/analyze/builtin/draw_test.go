package builtin

import (
	"image"
	"image/color"
	"math"
	"math/rand/v2"
)

// canvas is a picture that tests draw on: 320 × 240 unless said otherwise.
type canvas struct{ *image.NRGBA }

func sheet(c color.NRGBA) canvas {
	d := canvas{image.NewNRGBA(image.Rect(0, 0, 320, 240))}
	d.each(func(_, _ float64, p *color.NRGBA) { *p = c })
	return d
}

// each calls f for every pixel, with its position from -1 to 1.
func (d canvas) each(f func(x, y float64, p *color.NRGBA)) {
	for y := range d.Rect.Dy() {
		for x := range d.Rect.Dx() {
			p := d.NRGBAAt(x, y)
			f(float64(2*x+1)/float64(d.Rect.Dx())-1, float64(2*y+1)/float64(d.Rect.Dy())-1, &p)
			d.SetNRGBA(x, y, p)
		}
	}
}

// ellipse draws one with a soft edge of one pixel.
func (d canvas) ellipse(cx, cy, rx, ry float64, c color.NRGBA) canvas {
	d.each(func(x, y float64, p *color.NRGBA) {
		r := math.Hypot((x-cx)/rx, (y-cy)/ry)
		mix(p, c, (1-r)*min(rx, ry)*float64(d.Rect.Dy())/2+0.5)
	})
	return d
}

// shadow darkens an ellipse with a wide soft edge.
func (d canvas) shadow(cx, cy, rx, ry, strength float64) canvas {
	d.each(func(x, y float64, p *color.NRGBA) {
		r := math.Hypot((x-cx)/rx, (y-cy)/ry)
		shade(p, 1-strength*math.Exp(-2*r*r))
	})
	return d
}

// light makes the picture brighter to the upper left, darker to the lower right.
func (d canvas) light(strength float64) canvas {
	d.each(func(x, y float64, p *color.NRGBA) { shade(p, 1-strength*(x+y+2)/4) })
	return d
}

// noise makes the picture grainy.
func (d canvas) noise(amount float64) canvas {
	random := rand.New(rand.NewPCG(1, 2))
	d.each(func(_, _ float64, p *color.NRGBA) { shade(p, 1+amount*(2*random.Float64()-1)) })
	return d
}

// grain makes it look like a board.
func (d canvas) grain(amount float64) canvas {
	d.each(func(x, y float64, p *color.NRGBA) {
		shade(p, 1+amount*math.Sin(40*y+6*math.Sin(2*x)+3*math.Sin(9*y)))
	})
	return d
}

func mix(p *color.NRGBA, c color.NRGBA, share float64) {
	share = min(1, max(0, share))
	blend := func(a, b uint8) uint8 { return uint8(math.Round(float64(a)*(1-share) + float64(b)*share)) }
	*p = color.NRGBA{blend(p.R, c.R), blend(p.G, c.G), blend(p.B, c.B), blend(p.A, c.A)}
}

func shade(p *color.NRGBA, f float64) {
	scale := func(v uint8) uint8 { return uint8(min(255, max(0, math.Round(float64(v)*f)))) }
	p.R, p.G, p.B = scale(p.R), scale(p.G), scale(p.B)
}

func rgb(hex uint32) color.NRGBA {
	return color.NRGBA{uint8(hex >> 16), uint8(hex >> 8), uint8(hex), 255}
}
