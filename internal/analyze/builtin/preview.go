package builtin

import (
	"context"
	"io"
)

// Previews makes small pictures of large ones.
type Previews struct{ analyzer *analyzer }

// NewPreviews returns a maker of pictures of at most cfg.MaxLength pixels, within the bounds that cfg sets an analyzer. It
// needs no Open and no Save.
func NewPreviews(cfg Config) *Previews {
	cfg = cfg.withDefaults()
	return &Previews{&analyzer{cfg: cfg, memory: newBudget(cfg.DecodeMemory)}}
}

// Make reads a picture and returns it as a processed image is, only smaller. The error says what is wrong with the picture,
// or is that of file or of ctx.
func (p *Previews) Make(ctx context.Context, file io.Reader) (data []byte, mimeType string, err error) {
	made, memory, err := p.analyzer.process(ctx, file, encode)
	if err != nil {
		return nil, "", err
	}
	memory.release()
	return made.data, made.mimeType, nil
}
