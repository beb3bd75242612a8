package builtin

import "math"

// vocabulary has the names we give to colours: the eleven basic colour terms, and words for what lies between them that people use
// for shoes, bricks and cameras. More names would not say more: nobody tells two hundred colours apart in the same way. A name
// may have several colours, so that it reaches as far as people use it.
var vocabulary = []struct {
	name  string
	color lab
}{
	{"White", hex(0xffffff)},
	{"White", hex(0xf2f2f0)},
	{"Light Grey", hex(0xd3d3d3)},
	{"Light Grey", hex(0xc2c3c5)},
	{"Grey", hex(0x9a9a9a)},
	{"Grey", hex(0x808080)},
	{"Dark Grey", hex(0x5f5f5f)},
	{"Charcoal", hex(0x3f4145)},
	{"Black", hex(0x000000)},
	{"Black", hex(0x1a1a1a)},
	{"Black", hex(0x28282a)},

	{"Red", hex(0xff0000)},
	{"Red", hex(0xd01c1f)},
	{"Red", hex(0xe53935)},
	{"Red", hex(0xb11226)},
	{"Burgundy", hex(0x7a1428)},
	{"Burgundy", hex(0x5c0f1f)},
	{"Coral", hex(0xff7052)},
	{"Pink", hex(0xffb6c8)},
	{"Pink", hex(0xf78fb3)},
	{"Hot Pink", hex(0xf5409a)},
	{"Hot Pink", hex(0xff69b4)},
	{"Magenta", hex(0xd000a8)},
	{"Magenta", hex(0xd860c8)},

	{"Orange", hex(0xff8000)},
	{"Orange", hex(0xf57c1f)},
	{"Peach", hex(0xffcba4)},
	{"Rust", hex(0xb04a1a)},
	{"Brown", hex(0x7b4a25)},
	{"Brown", hex(0x654321)},
	{"Brown", hex(0x9a683a)},
	{"Dark Brown", hex(0x3d2615)},
	{"Dark Brown", hex(0x4b3621)},
	{"Tan", hex(0xc69c6d)},
	{"Beige", hex(0xdcc9a8)},
	{"Cream", hex(0xf7ecd0)},

	{"Yellow", hex(0xffe000)},
	{"Yellow", hex(0xffff00)},
	{"Yellow", hex(0xf7c815)},
	{"Light Yellow", hex(0xfff3a0)},
	{"Mustard", hex(0xc99a1e)},
	{"Khaki", hex(0xa89968)},
	{"Olive", hex(0x6b6b2a)},
	{"Olive", hex(0x4b5320)},
	{"Olive", hex(0x3b3b1b)},

	{"Lime", hex(0xa8e61d)},
	{"Lime", hex(0xceff00)},
	{"Green", hex(0x00a550)},
	{"Green", hex(0x2e8b2e)},
	{"Green", hex(0x00d000)},
	{"Green", hex(0x20e030)},
	{"Dark Green", hex(0x0f4d2a)},
	{"Mint", hex(0xa8e8c8)},
	{"Mint", hex(0x98f5a8)},
	{"Sage", hex(0x9caf88)},
	{"Teal", hex(0x0f7c7c)},
	{"Teal", hex(0x0b3c44)},
	{"Turquoise", hex(0x30d5c8)},
	{"Turquoise", hex(0x00e5ee)},

	{"Light Blue", hex(0xa8d0ee)},
	{"Sky Blue", hex(0x5ab4e8)},
	{"Blue", hex(0x0060d0)},
	{"Blue", hex(0x0000ff)},
	{"Blue", hex(0x2a5bd7)},
	{"Blue", hex(0x3d6a9a)},
	{"Navy", hex(0x14213d)},
	{"Navy", hex(0x0a1f5c)},
	{"Slate", hex(0x5f7186)},

	{"Purple", hex(0x7d2ea8)},
	{"Purple", hex(0x5a1a82)},
	{"Purple", hex(0x301934)},
	{"Violet", hex(0x8a4fe8)},
	{"Lavender", hex(0xc4b4ea)},
	{"Mauve", hex(0xa07a98)},
}

func hex(rgb uint32) lab { return labOf(uint8(rgb>>16), uint8(rgb>>8), uint8(rgb)) }

// nameOf returns the name nearest to a colour, and how clearly it is that one: 1 right on it, 0 half way to the next name.
func nameOf(c lab) (name string, clear float64) {
	best, second := 10.0, 10.0
	for _, v := range vocabulary {
		d := nameDistance(c, v.color)
		switch {
		case d < best && v.name != name:
			name, best, second = v.name, d, best
		case d < best:
			best = d
		case d < second && v.name != name:
			second = d
		}
	}
	return name, 1 - best/second
}

// nameDistance counts hue more than lightness: a dark brown is sooner called brown than black.
func nameDistance(c, d lab) float64 {
	c = c.minus(d)
	return math.Hypot(c.l, 2*c.chroma())
}
