package builtin

import (
	"context"
	"errors"
	"image"
	"image/color"
	"image/draw"
	"testing"
)

func TestFit(t *testing.T) {
	t.Parallel()
	for _, tt := range [][5]int{ // width, height, limit, and what becomes of it
		{4000, 3000, 2048, 2048, 1536},
		{3000, 4000, 2048, 1536, 2048},
		{2048, 2048, 2048, 2048, 2048},
		{2049, 1, 2048, 2048, 1},
		{100, 50, 2048, 100, 50},
		{1, 1, 2048, 1, 1},
		{65535, 3, 2048, 2048, 1},
	} {
		if w, h := fit(tt[0], tt[1], tt[2]); w != tt[3] || h != tt[4] {
			t.Errorf("%v: got %d × %d", tt, w, h)
		}
	}
}

func TestEncodedIsTheInverseOfLinear(t *testing.T) {
	t.Parallel()
	for v, light := range linear {
		if encoded[light] != uint8(v) {
			t.Errorf("%d comes back as %d", v, encoded[light])
		}
	}
}

func shrunk(t *testing.T, img image.Image, limit, orientation int) *image.NRGBA {
	t.Helper()
	out, err := shrink(t.Context(), img, limit, orientation)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestShrinkAverages(t *testing.T) {
	t.Parallel()
	row := func(colors ...color.NRGBA) *image.NRGBA {
		img := image.NewNRGBA(image.Rect(0, 0, len(colors), 1))
		for x, c := range colors {
			img.SetNRGBA(x, 0, c)
		}
		return img
	}
	w, b, none := rgb(0xffffff), rgb(0), color.NRGBA{255, 0, 0, 0}
	for name, tt := range map[string]struct{ in, want *image.NRGBA }{
		"half of the light is not half of the value": {row(w, b), row(rgb(0xbcbcbc))},
		"thirds":                    {row(w, b, b), row(rgb(0x9c9c9c))},
		"a pixel shared by two":     {row(w, b, w), row(rgb(0xd5d5d5), rgb(0xd5d5d5))},
		"the transparent is no red": {row(w, none), row(color.NRGBA{255, 255, 255, 128})},
		"nothing at all":            {row(none, none), row(color.NRGBA{})},
	} {
		if got := shrunk(t, tt.in, tt.want.Rect.Dx(), 1); string(got.Pix) != string(tt.want.Pix) {
			t.Errorf("%s: got %v, want %v", name, got.Pix, tt.want.Pix)
		}
	}
	// A plain picture stays plain, whatever the ratio.
	for width := 1; width < 60; width += 7 {
		for limit := 1; limit < 60; limit += 5 {
			img := image.NewNRGBA(image.Rect(0, 0, width, 41))
			draw.Draw(img, img.Rect, image.NewUniform(color.NRGBA{200, 100, 50, 255}), image.Point{}, draw.Src)
			out := shrunk(t, img, limit, 1)
			for p := out.Pix; len(p) > 0; p = p[4:] {
				if string(p[:4]) != string([]byte{200, 100, 50, 255}) {
					t.Fatalf("%d × 41 to %d: got %v", width, limit, p[:4])
				}
			}
		}
	}
}

// Every kind of picture that a decoder makes, against the slow way of the standard library. The bounds do not start at 0.
func TestRowReader(t *testing.T) {
	t.Parallel()
	bounds := image.Rect(4, 8, 36, 24)
	source := image.NewRGBA(bounds)
	for y := bounds.Min.Y; y < bounds.Max.Y; y++ {
		for x := bounds.Min.X; x < bounds.Max.X; x++ {
			source.SetRGBA(x, y, color.RGBA{uint8(7 * x), uint8(9 * y), uint8(3 * x * y), 255})
		}
	}
	glass := image.NewRGBA(bounds)
	draw.DrawMask(glass, bounds, source, bounds.Min, image.NewUniform(color.Alpha{100}), image.Point{}, draw.Src)
	palette := color.Palette{color.RGBA{}, color.RGBA{200, 0, 0, 255}, color.NRGBA{0, 200, 0, 128}, color.Gray{77}}
	for name, img := range map[string]draw.Image{
		"Gray": image.NewGray(bounds), "Gray16": image.NewGray16(bounds), "NRGBA": image.NewNRGBA(bounds), "NRGBA64": image.NewNRGBA64(bounds),
		"RGBA": image.NewRGBA(bounds), "RGBA64": image.NewRGBA64(bounds), "CMYK": image.NewCMYK(bounds),
		"Paletted": image.NewPaletted(bounds, palette), "Alpha": image.NewAlpha(bounds),
	} {
		for _, from := range []image.Image{source, glass} {
			draw.Draw(img, bounds, from, bounds.Min, draw.Src)
			checkRows(t, name, img)
		}
	}
	for _, ratio := range []image.YCbCrSubsampleRatio{
		image.YCbCrSubsampleRatio444, image.YCbCrSubsampleRatio422, image.YCbCrSubsampleRatio420, image.YCbCrSubsampleRatio440,
		image.YCbCrSubsampleRatio411, image.YCbCrSubsampleRatio410,
	} {
		img := image.NewNYCbCrA(bounds, ratio)
		for _, plane := range [][]uint8{img.Y, img.Cb, img.Cr, img.A} {
			for i := range plane {
				plane[i] = uint8(37*i + len(plane))
			}
		}
		checkRows(t, ratio.String(), &img.YCbCr)
		checkRows(t, ratio.String()+" with alpha", img)
	}
}

func checkRows(t *testing.T, name string, img image.Image) {
	t.Helper()
	b := img.Bounds()
	read := rowReader(img)
	row := make([]uint8, 4*b.Dx())
	for y := range b.Dy() {
		read(y, row)
		for x := range b.Dx() {
			want := color.NRGBAModel.Convert(img.At(b.Min.X+x, b.Min.Y+y)).(color.NRGBA)
			got := color.NRGBA{row[4*x], row[4*x+1], row[4*x+2], row[4*x+3]}
			if want.A == 0 && got.A == 0 {
				continue
			}
			for i, w := range []uint8{want.R, want.G, want.B, want.A} {
				if d := int(row[4*x+i]) - int(w); d < -1 || d > 1 {
					t.Fatalf("%s: pixel %d,%d is %v, want %v", name, x, y, got, want)
				}
			}
		}
	}
}

// The letter F, as each orientation stores it, must come out as an F.
func TestShrinkTurnsUpright(t *testing.T) {
	t.Parallel()
	stored := []string{
		1: "##.\n#..\n##.\n#..",
		2: ".##\n..#\n.##\n..#",
		3: "..#\n.##\n..#\n.##",
		4: "#..\n##.\n#..\n##.",
		5: "####\n#.#.\n....",
		6: "....\n#.#.\n####",
		7: "....\n.#.#\n####",
		8: "####\n.#.#\n....",
	}
	for o := 1; o <= 8; o++ {
		if got := text(shrunk(t, fromText(stored[o]), 100, o)); got != stored[1] {
			t.Errorf("orientation %d:\n%s\nwant\n%s", o, got, stored[1])
		}
	}
}

func fromText(s string) *image.NRGBA {
	var rows [][]byte
	rows = append(rows, nil)
	for _, c := range []byte(s) {
		if c == '\n' {
			rows = append(rows, nil)
		} else {
			rows[len(rows)-1] = append(rows[len(rows)-1], c)
		}
	}
	img := image.NewNRGBA(image.Rect(0, 0, len(rows[0]), len(rows)))
	for y, row := range rows {
		for x, c := range row {
			img.SetNRGBA(x, y, rgb(0xffffff))
			if c == '#' {
				img.SetNRGBA(x, y, rgb(0))
			}
		}
	}
	return img
}

func text(img *image.NRGBA) string {
	s := ""
	for y := range img.Rect.Dy() {
		for x := range img.Rect.Dx() {
			if img.NRGBAAt(x, y).G < 128 {
				s += "#"
			} else {
				s += "."
			}
		}
		s += "\n"
	}
	return s[:len(s)-1]
}

func TestShrinkStops(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancelCause(t.Context())
	mine := errors.New("enough")
	cancel(mine)
	if _, err := shrink(ctx, image.NewGray(image.Rect(0, 0, 9, 9)), 4, 1); !errors.Is(err, mine) {
		t.Errorf("got %v, want the cause", err)
	}
}
