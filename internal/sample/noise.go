package sample

import (
	"bytes"
	"encoding/binary"
	"image"
	"image/jpeg"
	"image/png"
	"math/rand/v2"
)

// NoiseJPEG returns a photo of nothing but grain, different for every seed: about 0.85 bytes for a pixel, so that 4000 × 3000
// pixels are a little less than the 10 MB (10,485,760 bytes) of an upload.
func NoiseJPEG(seed uint64, width, height int) []byte {
	const grain = 80 // levels of brightness, chosen for the size
	img := image.NewYCbCr(image.Rect(0, 0, width, height), image.YCbCrSubsampleRatio420)
	random := noise(seed)
	for _, plane := range [][]uint8{img.Y, img.Cb, img.Cr} {
		_, _ = random.Read(plane) // never fails
		for i, v := range plane {
			plane[i] = 128 + v%grain - grain/2
		}
	}
	var b bytes.Buffer
	b.Grow(width * height)
	if err := jpeg.Encode(&b, img, &jpeg.Options{Quality: 93}); err != nil {
		panic(err) // a buffer takes everything
	}
	return b.Bytes()
}

// NoisePNG returns a picture of random colours, different for every seed: 3 bytes for a pixel, because there is nothing to
// compress.
func NoisePNG(seed uint64, width, height int) []byte {
	img := image.NewRGBA(image.Rect(0, 0, width, height))
	_, _ = noise(seed).Read(img.Pix) // never fails
	for i := 3; i < len(img.Pix); i += 4 {
		img.Pix[i] = 255
	}
	var b bytes.Buffer
	b.Grow(3*width*height + height + 1<<16)
	if err := (&png.Encoder{CompressionLevel: png.NoCompression}).Encode(&b, img); err != nil {
		panic(err) // a buffer takes everything
	}
	return b.Bytes()
}

func noise(seed uint64) *rand.ChaCha8 {
	var key [32]byte
	binary.LittleEndian.PutUint64(key[:], seed)
	return rand.NewChaCha8(key)
}
