package builtin

import "math"

// lab is a colour in OKLab (https://bottosson.github.io/posts/oklab/): lightness from 0 (black) to 1 (white), and two axes
// that are 0 for every grey. Distances in it are close to how different colours look: 0.02 is just visible.
type lab struct{ l, a, b float64 }

func labOf(r, g, b uint8) lab {
	lr, lg, lb := float64(linear[r])/65535, float64(linear[g])/65535, float64(linear[b])/65535
	l := math.Cbrt(0.4122214708*lr + 0.5363325363*lg + 0.0514459929*lb)
	m := math.Cbrt(0.2119034982*lr + 0.6806995451*lg + 0.1073969566*lb)
	s := math.Cbrt(0.0883024619*lr + 0.2817188376*lg + 0.6299787005*lb)
	return lab{
		0.2104542553*l + 0.7936177850*m - 0.0040720468*s,
		1.9779984951*l - 2.4285922050*m + 0.4505937099*s,
		0.0259040371*l + 0.7827717662*m - 0.8086757660*s,
	}
}

func (c lab) minus(d lab) lab { return lab{c.l - d.l, c.a - d.a, c.b - d.b} }

func (c lab) plus(d lab, weight float64) lab {
	return lab{c.l + d.l*weight, c.a + d.a*weight, c.b + d.b*weight}
}

func (c lab) times(f float64) lab { return lab{c.l * f, c.a * f, c.b * f} }

// chroma is the distance from grey.
func (c lab) chroma() float64 { return math.Hypot(c.a, c.b) }

func (c lab) distance(d lab) float64 {
	c = c.minus(d)
	return math.Sqrt(c.l*c.l + c.a*c.a + c.b*c.b)
}
