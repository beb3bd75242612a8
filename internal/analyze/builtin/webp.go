package builtin

import (
	"encoding/binary"
)

// firstFrame returns a still WebP file with the first frame of an animated one, which the decoder does not know; every other
// picture comes back as it is. The format is at https://developers.google.com/speed/webp/docs/riff_container.
func firstFrame(f *format, file []byte) []byte {
	const (
		animated, hasAlpha = 1 << 1, 1 << 4 // flags of VP8X
		frameHead          = 16             // of ANMF: x, y, width-1, height-1 and duration in 3 bytes each, flags
	)
	if f != formatWebP || string(chunkName(file[12:])) != "VP8X" || len(file) < 30 || file[20]&animated == 0 {
		return file
	}
	frame := webpChunk(file[12:], "ANMF")
	if len(frame) < frameHead {
		return file
	}
	body := frame[frameHead:]
	canvas := append(make([]byte, 4), frame[6:12]...)
	if string(chunkName(body)) == "ALPH" {
		canvas[0] = hasAlpha
	}
	still := append([]byte("RIFF\x00\x00\x00\x00WEBPVP8X\x0a\x00\x00\x00"), canvas...)
	still = append(still, body...)
	// The head of a file may end in the middle of the frame: that is the decoder's matter.
	binary.LittleEndian.PutUint32(still[4:], uint32(len(still)-8))
	return still
}

func chunkName(p []byte) []byte { return p[:min(len(p), 4)] }

// webpChunk returns the first chunk of that name in a sequence of chunks, as much of it as there is; nil if there is none.
func webpChunk(p []byte, name string) []byte {
	for len(p) >= 8 {
		n := int64(binary.LittleEndian.Uint32(p[4:]))
		body := p[8:]
		if string(p[:4]) == name {
			return body[:min(n, int64(len(body)))]
		}
		if n += n & 1; n > int64(len(body)) { // chunks are padded to even lengths
			return nil
		}
		p = body[n:]
	}
	return nil
}
