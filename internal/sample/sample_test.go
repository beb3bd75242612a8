package sample

import (
	"bytes"
	"image/jpeg"
	"image/png"
	"testing"

	"loupe/internal/testenv"
)

func TestMain(m *testing.M) { testenv.Main(m) }

func TestPhotos(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		draw       func() []byte
		background [3]int // of the upper left corner
		middle     [3]int
	}{
		"sneaker": {Sneaker, [3]int{225, 180, 75}, [3]int{185, 30, 40}},
		"camera":  {Camera, [3]int{75, 135, 180}, [3]int{10, 10, 25}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			img, err := jpeg.Decode(bytes.NewReader(tt.draw()))
			if err != nil {
				t.Fatal(err)
			}
			if b := img.Bounds(); b.Dx() != 1280 || b.Dy() != 960 {
				t.Errorf("size %v", b)
			}
			for at, want := range map[[2]int][3]int{{10, 10}: tt.background, {640, 560}: tt.middle} {
				r, g, b, _ := img.At(at[0], at[1]).RGBA()
				for i, got := range []int{int(r >> 8), int(g >> 8), int(b >> 8)} {
					if got < want[i]-20 || got > want[i]+20 {
						t.Errorf("channel %d at %v is %d, want about %d", i, at, got, want[i])
					}
				}
			}
		})
	}
}

func TestNoise(t *testing.T) {
	t.Parallel()
	if n := 16 * len(NoiseJPEG(1, 1000, 750)); n < 9_500_000 || n > 10_485_760 {
		t.Errorf("12 megapixels would be %d bytes, want just under 10 MB", n)
	}
	if !bytes.Equal(NoiseJPEG(1, 64, 48), NoiseJPEG(1, 64, 48)) {
		t.Error("one seed, two pictures")
	}
	if bytes.Equal(NoiseJPEG(1, 64, 48), NoiseJPEG(2, 64, 48)) || bytes.Equal(NoisePNG(1, 64, 48), NoisePNG(1<<56, 64, 48)) {
		t.Error("two seeds, one picture")
	}
	file := NoisePNG(1, 1000, 500)
	if img, err := png.Decode(bytes.NewReader(file)); err != nil || img.Bounds().Dx() != 1000 || len(file) < 1_500_000 {
		t.Errorf("%d bytes, %v", len(file), err)
	}
}
