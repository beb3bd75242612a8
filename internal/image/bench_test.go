package image_test

import (
	"bytes"
	"io"
	"math/rand/v2"
	"testing"

	"loupe/internal/image"
)

const benchSize = 10<<20 - 64<<10

// BenchmarkReader reads pictures of 10 MB, made of random data as compressed pictures are. It includes SHA-256.
func BenchmarkReader(b *testing.B) {
	noise := make([]byte, benchSize)
	if _, err := rand.NewChaCha8([32]byte{}).Read(noise); err != nil {
		b.Fatal(err)
	}
	jpeg, png := jpegEncode(gradient(0)), pngEncode(gradient(0))
	var idats []byte
	for rest := noise; len(rest) > 0; rest = rest[min(8192, len(rest)):] {
		idats = append(idats, chunk("IDAT", string(rest[:min(8192, len(rest))]))...)
	}
	for name, data := range map[string][]byte{
		"jpeg": join(jpeg[:len(jpeg)-2], bytes.ReplaceAll(noise, []byte{0xFF}, []byte{0xFF, 0})[:benchSize], []byte{0}, jpeg[len(jpeg)-2:]),
		"png":  join(png[:len(png)-12], idats, png[len(png)-12:]),
	} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(data)))
			b.ReportAllocs()
			for b.Loop() {
				r, err := image.NewReader(bytes.NewReader(data), image.Limits{})
				if err != nil {
					b.Fatal(err)
				}
				if _, err := io.Copy(io.Discard, r); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
