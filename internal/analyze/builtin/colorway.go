package builtin

import (
	"cmp"
	"math"
	"slices"
	"strings"
)

const (
	clusters      = 6
	rounds        = 12
	minShare      = 0.06 // of the subject; what has less is no colour of it, but a detail or a reflection
	maxNames      = 3
	minConfidence = 0.2 // below it the colours are unknown
	maxConfidence = 0.9 // colours alone never say more
)

// colorwayOf names the main colours of what the scene shows, largest area first, like "Red / White / Black". It is nil when
// nothing can be told from its background, or too little of it.
func colorwayOf(s *scene) *field {
	subject, ok := findSubject(s)
	if !ok {
		return nil
	}
	type named struct {
		name         string
		share, clear float64
	}
	var names []named
	for _, c := range dominant(s, subject) {
		name, clear := nameOf(c.color)
		i := slices.IndexFunc(names, func(n named) bool { return n.name == name })
		if i < 0 {
			i = len(names)
			names = append(names, named{name: name})
		}
		names[i].share += c.share
		names[i].clear += c.share * clear
	}
	slices.SortStableFunc(names, func(a, b named) int { return cmp.Compare(b.share, a.share) })
	names = slices.DeleteFunc(names, func(n named) bool { return n.share < minShare })
	names = names[:min(len(names), maxNames)]

	// The area that the names cover, times how clearly each colour is its name's, times how clearly the subject stands out.
	var words []string
	confidence := 0.0
	for _, n := range names {
		words = append(words, n.name)
		confidence += (n.share + n.clear) / 2
	}
	confidence = math.Round(100*min(confidence*subject.quality, maxConfidence)) / 100
	if confidence < minConfidence {
		return nil
	}
	return &field{strings.Join(words, " / "), confidence}
}

// cluster is a colour and its share of the subject.
type cluster struct {
	color lab
	share float64
}

// dominant groups the colours of the subject by k-means and joins what is one surface in different light.
func dominant(s *scene, subject subject) []cluster {
	weight := func(i int) float64 {
		w := subject.weights[i]
		if c := s.colors[i]; c.chroma() < 0.02 && (c.l > 0.97 || c.l < 0.15) {
			w *= 0.7 // a reflection or a deep shadow, perhaps
		}
		return w
	}
	centres := seeds(s, weight)
	sums := make([]cluster, len(centres))
	for range rounds {
		clear(sums)
		for i, color := range s.colors {
			if w := weight(i); w > 0 {
				c := nearest(centres, color)
				sums[c].color = sums[c].color.plus(color, w)
				sums[c].share += w
			}
		}
		for i, sum := range sums {
			if sum.share > 0 {
				centres[i] = sum.color.times(1 / sum.share)
			}
		}
	}
	total := 0.0
	for i := range sums {
		sums[i].color = centres[i]
		total += sums[i].share
	}
	for i := range sums {
		sums[i].share /= total
	}
	return joinShades(sums)
}

func nearest(centres []lab, color lab) int {
	best, at := math.Inf(1), 0
	for i, c := range centres {
		if d := c.distance(color); d < best {
			best, at = d, i
		}
	}
	return at
}

// seeds returns up to six colours to start from: the fullest cells of a coarse grid that are not close to each other. The
// same picture always has the same.
func seeds(s *scene, weight func(int) float64) []lab {
	const cell, apart = 0.05, 0.1
	type key [3]int
	cells := map[key]cluster{}
	for i, c := range s.colors {
		if w := weight(i); w > 0 {
			k := key{int(math.Floor(c.l / cell)), int(math.Floor(c.a / cell)), int(math.Floor(c.b / cell))}
			sum := cells[k]
			cells[k] = cluster{sum.color.plus(c, w), sum.share + w}
		}
	}
	keys := make([]key, 0, len(cells))
	for k := range cells {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, func(a, b key) int {
		return cmp.Or(cmp.Compare(cells[b].share, cells[a].share), slices.Compare(a[:], b[:]))
	})
	var found []lab
	for _, k := range keys {
		c := cells[k].color.times(1 / cells[k].share)
		if len(found) < clusters && !slices.ContainsFunc(found, func(f lab) bool { return f.distance(c) < apart }) {
			found = append(found, c)
		}
	}
	return found
}

// joinShades joins each cluster to the largest one that it is a shade of.
func joinShades(all []cluster) []cluster {
	slices.SortStableFunc(all, func(a, b cluster) int { return cmp.Compare(b.share, a.share) })
	var joined []cluster
	for _, c := range all {
		i := slices.IndexFunc(joined, func(j cluster) bool { return sameSurface(j.color, c.color) })
		if i < 0 {
			joined = append(joined, c)
			continue
		}
		joined[i].share += c.share // and keeps its colour: that of most of the surface
	}
	return joined
}

// sameSurface reports whether two colours may be one surface in more and in less light. Less light scales all of OKLab, so
// that the ratios of its axes stay.
func sameSurface(c, d lab) bool {
	if c.distance(d) < 0.06 {
		return true
	}
	darker, lighter := min(c.l, d.l), max(c.l, d.l)
	if darker <= 0.05 {
		return false
	}
	colourful := c.chroma()/c.l > 0.1 && d.chroma()/d.l > 0.1
	limit := 0.88 // white in shadow; a darker grey is a grey
	if colourful {
		limit = 0.7
	}
	return darker/lighter > limit && math.Hypot(c.a/c.l-d.a/d.l, c.b/c.l-d.b/d.l) < 0.06
}
