// Package sample draws photos: two pretty ones to try Loupe with, and large ones for load tests. The same call always draws
// the same picture.
package sample

// Sneaker returns a JPEG of 1280 × 960 pixels: a red sneaker with a white sole and a black heel on a sheet of yellow paper.
func Sneaker() []byte {
	p := newPicture(0xf2c14e)
	red, dark := lit(0xc8242c, 330, 660, 0.25), lit(0x8e1a22, 330, 660, 0.15)
	black, white := lit(0x1d1d22, 400, 660, 0.2), lit(0xf0eeea, 590, 700, 0.06)

	p.shadow(646, 706, 470, 40, 0.6)
	p.shadow(690, 726, 540, 100, 0.3)

	// The far side of the collar, then the tongue, then what is in front.
	p.fill(curve(point{300, 420}, point{330, 384}, point{470, 418}, point{560, 360}, point{600, 420}, point{470, 520}, point{320, 500}), plain(0x4a0f14))
	p.fill(curve(point{500, 440}, point{536, 336}, point{590, 306}, point{634, 320}, point{668, 420}, point{640, 480}), dark)
	upper := curve(
		point{252, 656}, point{252, 656}, point{246, 540}, point{262, 430}, point{288, 376}, point{322, 384}, point{368, 432}, point{446, 452},
		point{520, 420}, point{560, 366}, point{600, 358}, point{650, 410}, point{730, 478}, point{820, 528}, point{930, 552},
		point{1010, 584}, point{1046, 656}, point{1046, 656},
	)
	p.fill(upper, red)
	p.fill(curve(point{252, 640}, point{252, 640}, point{246, 540}, point{258, 450}, point{300, 470}, point{352, 540}, point{372, 640}, point{372, 640}), black)
	p.fill(curve(point{870, 644}, point{870, 644}, point{872, 590}, point{906, 556}, point{960, 562}, point{1014, 588}, point{1046, 644}, point{1046, 644}), white)
	for _, ring := range []struct { // a loupe for a badge
		radius float64
		color  paint
	}{{44, white}, {34, red}} {
		p.fill(stroke(point{486, 548}, point{486 + ring.radius/44*66, 548 + ring.radius/44*66}, ring.radius/2-7), white)
		p.fill(ellipse(486, 548, ring.radius, ring.radius), ring.color)
	}
	p.fill(ellipse(474, 536, 9, 9), plain(0xe86a70))

	// Laces over a darker strip.
	p.fill(curve(point{566, 374}, point{600, 366}, point{650, 418}, point{730, 486}, point{800, 526}, point{780, 548}, point{700, 516}, point{610, 446}), dark)
	for i := range 6 {
		t := float64(i) / 5
		at := point{592 + 176*t, 396 + 134*t - 22*t*(1-t)}
		p.fill(stroke(at, point{at.x + 26 - 4*t, at.y - 40 + 18*t}, 15), lit(0xf6f4f0, at.y-50, at.y+10, 0.06))
	}

	p.fill(box(256, 680, 1052, 717, 14), lit(0xa9733f, 690, 717, 0.15))
	p.fill(box(236, 632, 1068, 700, 28), white)
	for i := range 26 { // stitches along the sole
		x := 268 + 30*float64(i)
		p.fill(stroke(point{x, 658}, point{x + 15, 658}, 3.5), plain(0xc9c4ba))
	}
	return p.jpeg()
}

// Camera returns a JPEG of 1280 × 960 pixels: a black and silver camera on a sheet of blue paper.
func Camera() []byte {
	p := newPicture(0x4f8fc0)
	silver, leather := lit(0xc4c6c8, 280, 400, 0.18), lit(0x232326, 380, 700, 0.3)

	p.shadow(640, 712, 480, 46, 0.65)
	p.shadow(690, 740, 540, 110, 0.35)

	// What stands on the top plate: shutter button, speed dial, hot shoe.
	p.fill(box(296, 262, 376, 310, 10), lit(0xa9abae, 262, 310, 0.2))
	p.fill(box(318, 246, 354, 272, 8), lit(0xd8dadb, 246, 272, 0.15))
	p.fill(box(846, 252, 976, 310, 10), lit(0x8f9194, 252, 310, 0.25))
	for i := range 12 {
		x := 854 + 10.5*float64(i)
		p.fill(stroke(point{x, 262}, point{x, 296}, 3), plain(0x6a6c6f))
	}
	p.fill(box(572, 268, 708, 310, 6), lit(0x77797c, 268, 310, 0.2))

	p.fill(box(220, 298, 1060, 712, 56), silver)
	p.fill(box(220, 560, 1060, 712, 56), lit(0xb4b6b8, 664, 712, 0.2))
	p.fill(box(220, 394, 1060, 664, 12), leather)
	for i := range 900 { // grain
		x, y := float64(i*7919%820), float64(i*104729%254)
		p.fill(ellipse(230+x, 402+y, 2.2, 1.6), plain(0x34343a))
	}
	p.fill(box(222, 656, 1058, 666, 2), plain(0x6f7174))

	// Viewfinder and rangefinder windows, self-timer lamp.
	p.fill(box(264, 322, 380, 380, 12), plain(0x3a3c40))
	p.fill(box(274, 330, 370, 372, 8), lit(0x2c4a5c, 330, 372, 0.5))
	p.fill(box(880, 326, 960, 376, 10), plain(0x3a3c40))
	p.fill(box(888, 334, 952, 368, 8), lit(0x4a3b56, 334, 368, 0.4))
	p.fill(ellipse(1006, 350, 14, 14), plain(0x7a1d1d))
	p.fill(ellipse(1002, 346, 5, 5), plain(0xe05a4a))

	// The lens, ring by ring.
	p.shadow(652, 550, 236, 232, 0.75)
	for _, ring := range []struct {
		radius float64
		color  rgb
	}{
		{192, 0x9ea0a3}, {182, 0xd0d2d4}, {168, 0x2a2a2d}, {150, 0x17171a}, {146, 0x3a3a3e}, {122, 0x1b1b1e}, {112, 0x0d0d10},
	} {
		p.fill(ellipse(640, 530, ring.radius, ring.radius), lit(ring.color, 530-ring.radius, 530+ring.radius, 0.25))
	}
	for i := range 48 { // the grip of the focus ring
		a := ellipse(640, 530, 159, 159)[2*i]
		p.fill(ellipse(a.x, a.y, 4.5, 4.5), plain(0x4a4a4f))
	}
	p.fill(ellipse(640, 530, 92, 92), lit(0x1a2440, 430, 630, 0.5))
	p.fill(ellipse(640, 538, 66, 66), lit(0x2a1a4a, 460, 610, 0.6))
	p.fill(ellipse(640, 546, 34, 34), plain(0x0a0812))
	p.fill(curve(point{580, 488}, point{612, 462}, point{654, 458}, point{622, 484}, point{594, 512}), plain(0x8fb4d8))
	p.fill(ellipse(686, 576, 11, 8), plain(0x6a5a9a))
	return p.jpeg()
}
