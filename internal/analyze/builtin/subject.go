package builtin

import (
	"image"
	"iter"
	"math"
	"slices"
)

// How a background is told from a subject. The distances are those of OKLab.
const (
	frameShare     = 0.04  // of the shorter edge: how wide the frame is that shows the background
	minTolerance   = 0.035 // a background is within this of its model, however even it is
	maxTolerance   = 0.12  // more than that is no background, but a scene
	minHomogeneous = 0.7   // share of the frame that must be within the tolerance
	minSubject     = 0.005 // share of the picture; less is a speck
	maxSubject     = 0.98

	// Light falls off and shadows are soft: where a background changes little from pixel to pixel, it may change more.
	maxStep    = 0.02
	maxDrift   = 0.1  // altogether
	maxShadow  = 0.35 // in lightness only,
	shadowTint = 0.04 // with the colours that less light has, give or take
)

// scene is a small picture in OKLab.
type scene struct {
	w, h   int
	colors []lab
	alpha  []uint8
}

func newScene(img *image.NRGBA) *scene {
	s := &scene{w: img.Rect.Dx(), h: img.Rect.Dy()}
	for y := range s.h {
		for p := img.Pix[y*img.Stride:][:4*s.w]; len(p) > 0; p = p[4:] {
			s.colors = append(s.colors, labOf(p[0], p[1], p[2]))
			s.alpha = append(s.alpha, p[3])
		}
	}
	s.expose()
	return s
}

// expose takes the brightest part of the scene for white if it nearly is: most photos of white things are a little dark.
func (s *scene) expose() {
	const nearlyWhite, white = 0.8, 0.97
	var light []float64
	for i, c := range s.colors {
		if s.alpha[i] > 0 {
			light = append(light, c.l)
		}
	}
	if len(light) == 0 {
		return
	}
	slices.Sort(light)
	if brightest := light[len(light)*98/100]; brightest >= nearlyWhite && brightest < white {
		for i, c := range s.colors {
			s.colors[i] = c.times(white / brightest) // as more light would
		}
	}
}

// subject says how much each pixel of a scene belongs to what the photo is of.
type subject struct {
	weights []float64 // 0 to 1
	area    float64   // their sum
	quality float64   // how much the separation can be trusted, 0 to 1
}

// findSubject separates what the photo is of from an even background. It takes the transparency for the mask if there is any;
// if the frame of the picture is not even, everything counts, the more the nearer it is to the centre. It is false when
// there is nothing to be seen in front of the background.
func findSubject(s *scene) (subject, bool) {
	if mask, ok := opaque(s); ok {
		return masked(s, mask, 1)
	}
	background, tolerance, ok := backgroundOf(s)
	if !ok {
		return centred(s), true
	}
	mask := flood(s, background, tolerance)
	return masked(s, mask, contrast(s, mask, background, tolerance))
}

// opaque is false when the whole picture is.
func opaque(s *scene) (mask []bool, ok bool) {
	mask = make([]bool, len(s.alpha))
	for i, a := range s.alpha {
		mask[i] = a >= 230
		ok = ok || a < 128
	}
	return mask, ok
}

func masked(s *scene, mask []bool, quality float64) (subject, bool) {
	r := subject{weights: make([]float64, len(mask)), quality: quality}
	if area := count(mask); area < minSubject*float64(len(mask)) || area < 4 {
		return subject{}, false
	}
	inner := erode(s, mask) // the pixels at the edge are mixtures
	if count(inner) < count(mask)/4 {
		inner = mask
	}
	for i, in := range inner {
		if in {
			r.weights[i] = 1
			r.area++
		}
	}
	return r, true
}

func centred(s *scene) subject {
	const sigma = 0.3 // of the edges
	r := subject{weights: make([]float64, len(s.colors)), quality: 0.5}
	for i := range s.colors {
		dx := (float64(i%s.w)+0.5)/float64(s.w) - 0.5
		dy := (float64(i/s.w)+0.5)/float64(s.h) - 0.5
		r.weights[i] = math.Exp(-(dx*dx + dy*dy) / (2 * sigma * sigma))
		r.area += r.weights[i]
	}
	return r
}

// background is a colour that changes evenly over the picture, as light does on a sheet of paper.
type background struct {
	base, dx, dy lab
	w, h         int
}

// position maps a pixel to -1..1.
func (b background) position(i int) (x, y float64) {
	return float64(2*(i%b.w)+1)/float64(b.w) - 1, float64(2*(i/b.w)+1)/float64(b.h) - 1
}

func (b background) at(i int) lab {
	x, y := b.position(i)
	return b.base.plus(b.dx, x).plus(b.dy, y)
}

// backgroundOf fits a background to the frame of a picture, and says how far its pixels may be from it. It is false when the
// frame is not even.
func backgroundOf(s *scene) (b background, tolerance float64, ok bool) {
	var frame []int
	edge := max(1, int(frameShare*float64(min(s.w, s.h))))
	for i := range s.colors {
		x, y := i%s.w, i/s.w
		if x < edge || y < edge || x >= s.w-edge || y >= s.h-edge {
			frame = append(frame, i)
		}
	}
	// What reaches into the frame is no background: fit, drop what is far off, fit again.
	used := frame
	for range 4 {
		b = fitBackground(s, used)
		off := make([]float64, len(frame))
		for n, i := range frame {
			off[n] = s.colors[i].distance(b.at(i))
		}
		sorted := slices.Sorted(slices.Values(off))
		tolerance = max(minTolerance, 3*sorted[len(sorted)/2])
		used = nil
		for n, i := range frame {
			if off[n] <= tolerance {
				used = append(used, i)
			}
		}
	}
	return b, tolerance, tolerance <= maxTolerance && float64(len(used)) >= minHomogeneous*float64(len(frame))
}

// fitBackground fits by least squares. The frame is symmetric, so that 1, x and y are as good as independent.
func fitBackground(s *scene, pixels []int) background {
	b := background{w: s.w, h: s.h}
	if len(pixels) == 0 {
		return b
	}
	n := float64(len(pixels))
	var mx, my, xx, yy float64
	for _, i := range pixels {
		x, y := b.position(i)
		b.base = b.base.plus(s.colors[i], 1/n)
		mx += x / n
		my += y / n
	}
	for _, i := range pixels {
		x, y := b.position(i)
		c := s.colors[i].minus(b.base)
		b.dx, b.dy = b.dx.plus(c, x-mx), b.dy.plus(c, y-my)
		xx += (x - mx) * (x - mx)
		yy += (y - my) * (y - my)
	}
	b.dx, b.dy = b.dx.times(1/max(xx, 1e-9)), b.dy.times(1/max(yy, 1e-9))
	b.base = b.base.plus(b.dx, -mx).plus(b.dy, -my)
	return b
}

// flood returns the pixels that the background does not reach from the edge of the picture.
func flood(s *scene, b background, tolerance float64) []bool {
	mask := make([]bool, len(s.colors))
	for i := range mask {
		mask[i] = true
	}
	reach := func(i, from int) bool {
		c, expected := s.colors[i], b.at(i)
		off := c.distance(expected)
		if off <= tolerance {
			return true
		}
		if from < 0 || c.distance(s.colors[from]) > maxStep {
			return false
		}
		shadow := expected.times(c.l / expected.l)
		return off <= maxDrift || c.l < expected.l && c.l > expected.l-maxShadow && c.distance(shadow) <= shadowTint
	}
	var queue []int
	visit := func(i, from int) {
		if mask[i] && reach(i, from) {
			mask[i] = false
			queue = append(queue, i)
		}
	}
	for i := range mask {
		if x, y := i%s.w, i/s.w; x == 0 || y == 0 || x == s.w-1 || y == s.h-1 {
			visit(i, -1)
		}
	}
	for len(queue) > 0 {
		i := queue[len(queue)-1]
		queue = queue[:len(queue)-1]
		for n := range s.neighbours(i) {
			visit(n, i)
		}
	}
	return mask
}

// neighbours yields the up to four pixels beside i.
func (s *scene) neighbours(i int) iter.Seq[int] {
	return func(yield func(int) bool) {
		_ = (i%s.w == 0 || yield(i-1)) &&
			(i%s.w == s.w-1 || yield(i+1)) &&
			(i < s.w || yield(i-s.w)) &&
			(i >= len(s.colors)-s.w || yield(i+s.w))
	}
}

// erode takes away the pixels at the edge of a mask.
func erode(s *scene, mask []bool) []bool {
	inner := slices.Clone(mask)
	for i, in := range mask {
		for n := range s.neighbours(i) {
			if in && !mask[n] {
				inner[i] = false
			}
		}
	}
	return inner
}

// contrast says how clearly the subject differs from the background along its outline: 0 not more than the background does
// itself, 1 at least twice as much.
func contrast(s *scene, mask []bool, b background, tolerance float64) float64 {
	inner := erode(s, mask)
	innermost := erode(s, inner)
	total, n := 0.0, 0.0
	for i := range mask {
		if inner[i] && !innermost[i] {
			total += min(1, max(0, s.colors[i].distance(b.at(i))/tolerance-1))
			n++
		}
	}
	if n == 0 {
		return 0
	}
	return total / n
}

func count(mask []bool) (n float64) {
	for _, in := range mask {
		if in {
			n++
		}
	}
	return n
}
