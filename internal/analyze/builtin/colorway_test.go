package builtin

import (
	"image"
	"image/color"
	"testing"
)

var (
	white, grey, black = rgb(0xf5f5f5), rgb(0x9b9b9b), rgb(0x161616)
	red, navy, yellow  = rgb(0xc8202a), rgb(0x17244a), rgb(0xf5c518)
	green, wood        = rgb(0x1f7a3a), rgb(0xb58a5a)
)

func colorwayIn(t *testing.T, d canvas) *field {
	t.Helper()
	tiny, err := shrink(t.Context(), d.NRGBA, sceneLength, 1)
	if err != nil {
		t.Fatal(err)
	}
	return colorwayOf(newScene(tiny))
}

func TestColorway(t *testing.T) {
	t.Parallel()
	clear := color.NRGBA{}
	for name, tt := range map[string]struct {
		scene canvas
		want  string
	}{
		"red on white":         {sheet(white).ellipse(0, 0, 0.5, 0.4, red), "Red"},
		"in uneven light":      {sheet(white).shadow(0.1, 0.5, 0.6, 0.3, 0.4).ellipse(0, 0, 0.5, 0.4, red).light(0.4).noise(0.05), "Red"},
		"black on grey":        {sheet(grey).ellipse(0, 0, 0.5, 0.4, black), "Black"},
		"with its shadow":      {sheet(grey).shadow(0.1, 0.3, 0.6, 0.4, 0.5).ellipse(0, 0, 0.5, 0.4, black).noise(0.05), "Black"},
		"navy on wood":         {sheet(wood).grain(0.12).noise(0.1).ellipse(0, 0, 0.5, 0.4, navy), "Navy"},
		"white on grey":        {sheet(grey).shadow(0.1, 0.3, 0.6, 0.4, 0.3).ellipse(0, 0, 0.5, 0.4, rgb(0xffffff)), "White"},
		"underexposed white":   {sheet(rgb(0x2a5bb7)).ellipse(0, 0, 0.5, 0.4, white).light(0.3), "White"},
		"cut out":              {sheet(clear).ellipse(0, 0, 0.5, 0.4, green), "Green"},
		"over the edge":        {sheet(white).ellipse(-0.8, 0, 0.7, 0.5, green), "Green"},
		"with a small sticker": {sheet(white).ellipse(0, 0, 0.5, 0.4, red).ellipse(0.2, 0, 0.08, 0.08, yellow), "Red"},
		"three by area": {
			sheet(yellow).shadow(0, 0.5, 0.7, 0.2, 0.4).ellipse(0, 0, 0.6, 0.5, red).ellipse(0, 0.1, 0.4, 0.25, white).
				ellipse(-0.3, 0, 0.12, 0.2, black).light(0.3).noise(0.04),
			"Red / White / Black",
		},
		"four are three": {
			sheet(grey).ellipse(0, 0, 0.8, 0.7, navy).ellipse(-0.35, 0, 0.35, 0.4, white).ellipse(0.35, 0, 0.25, 0.3, red).
				ellipse(0, 0.45, 0.25, 0.2, yellow),
			"Navy / White / Red",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := colorwayIn(t, tt.scene)
			if got == nil || got.Value != tt.want || got.Confidence < 0.6 || got.Confidence > maxConfidence {
				t.Errorf("got %+v, want %s", got, tt.want)
			}
		})
	}
}

// What cannot be told is not told, or with little confidence.
func TestColorwayIsHonest(t *testing.T) {
	t.Parallel()
	for name, scene := range map[string]canvas{
		"nothing there":       sheet(white).noise(0.03),
		"red from end to end": sheet(red).light(0.3),
		"white on white":      sheet(white).ellipse(0, 0, 0.5, 0.4, rgb(0xfafafa)),
		"only its shadow":     sheet(white).shadow(0.1, 0.3, 0.6, 0.4, 0.3).ellipse(0, 0, 0.5, 0.4, rgb(0xffffff)),
		"a speck":             sheet(white).ellipse(0, 0, 0.03, 0.03, black),
		"all transparent":     sheet(color.NRGBA{}),
	} {
		if got := colorwayIn(t, scene); got != nil {
			t.Errorf("%s: got %+v", name, got)
		}
	}
	for name, scene := range map[string]canvas{
		"clutter":        sheet(wood).grain(0.3).noise(0.3).ellipse(0, 0, 0.5, 0.4, navy),
		"a low contrast": sheet(white).ellipse(0, 0, 0.5, 0.4, rgb(0xe2e2e2)),
	} {
		if got := colorwayIn(t, scene); got != nil && got.Confidence > 0.5 {
			t.Errorf("%s: got %+v", name, got)
		}
	}
}

func TestColorwayOfTinyPictures(t *testing.T) {
	t.Parallel()
	for _, size := range []image.Rectangle{image.Rect(0, 0, 1, 1), image.Rect(0, 0, 2, 1), image.Rect(0, 0, 1, 300), image.Rect(0, 0, 3, 3)} {
		d := canvas{image.NewNRGBA(size)}
		d.each(func(_, _ float64, p *color.NRGBA) { *p = red })
		if got := colorwayIn(t, d); got != nil {
			t.Errorf("%v: got %+v", size, got)
		}
	}
}

func TestNames(t *testing.T) {
	t.Parallel()
	names := map[string]bool{}
	for _, v := range vocabulary {
		names[v.name] = true
		if name, clear := nameOf(v.color); name != v.name || clear != 1 {
			t.Errorf("%s is called %s, clear by %v", v.name, name, clear)
		}
	}
	if len(names) < 35 || len(names) > 50 {
		t.Errorf("%d names", len(names))
	}
	for rgb, want := range map[uint32]string{
		0xb40000: "Red", 0x0055bf: "Blue", 0xf2cd37: "Yellow", 0x228b22: "Green", 0x191970: "Navy", 0x722f37: "Burgundy", 0xa0703c: "Brown",
		0xb58a5a: "Tan", 0xfaf3e6: "White", 0x9b9ea3: "Grey", 0xc0c0c0: "Light Grey", 0x10141c: "Black", 0xff6347: "Coral", 0x7bafd4: "Sky Blue",
	} {
		if got, _ := nameOf(hex(rgb)); got != want {
			t.Errorf("%06x is called %s, want %s", rgb, got, want)
		}
	}
}
