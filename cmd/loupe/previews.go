package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"loupe/internal/analyze/builtin"
	"loupe/internal/image"
	"loupe/internal/image/diskstore"
)

const (
	previewLength = 640             // pixels of the longer side: what a card of the web app shows on a dense screen
	previewFrom   = 64 << 10        // bytes: a smaller picture is its own preview
	previewTime   = 5 * time.Second // for one: others wait
	maxUnfit      = 10_000          // pictures of which it is remembered that no preview can be made
)

// previews are the small copies of the pictures on disk. Each is made when it is first asked for, one at a time, and kept.
type previews struct {
	store *diskstore.Store
	maker *builtin.Previews
	log   *slog.Logger
	turn  chan struct{} // of one

	mu    sync.Mutex
	unfit map[string]bool // by key
}

func newPreviews(store *diskstore.Store, log *slog.Logger) *previews {
	return &previews{
		store: store, log: log, turn: make(chan struct{}, 1), unfit: make(map[string]bool),
		maker: builtin.NewPreviews(builtin.Config{MaxLength: previewLength, Logger: log}),
	}
}

// open returns the preview of the picture under key, or the picture itself if that is small or cannot be made so.
func (p *previews) open(ctx context.Context, key string) (io.ReadSeekCloser, string, error) {
	kept, mimeType, err := p.kept(ctx, key)
	if !errors.Is(err, image.ErrNotFound) {
		return kept, mimeType, err
	}
	file, info, err := p.store.Open(ctx, key)
	if err != nil {
		return nil, "", err
	}
	picture := file.(io.ReadSeekCloser) // says diskstore
	if info.Bytes <= previewFrom || p.isUnfit(key) {
		return picture, info.MIMEType, nil
	}
	select {
	case p.turn <- struct{}{}:
		defer func() { <-p.turn }()
	case <-ctx.Done():
		return nil, "", errors.Join(ctx.Err(), picture.Close())
	}
	if kept, mimeType, err := p.kept(ctx, key); err == nil { // made while we waited
		return kept, mimeType, picture.Close()
	}
	timed, stop := context.WithTimeout(ctx, previewTime)
	defer stop()
	data, mimeType, err := p.maker.Make(timed, picture)
	switch {
	case ctx.Err() != nil:
		return nil, "", errors.Join(ctx.Err(), picture.Close())
	case err != nil:
		p.log.Debug("picture has no preview", "key", key, "error", err)
		p.setUnfit(key)
		_, err := picture.Seek(0, io.SeekStart)
		return picture, info.MIMEType, err
	}
	if err := p.store.PutPreview(ctx, key, data); err != nil {
		p.log.Debug("preview not kept", "key", key, "error", err)
	}
	return inMemory{bytes.NewReader(data)}, mimeType, picture.Close()
}

// kept returns a preview that was made before.
func (p *previews) kept(ctx context.Context, key string) (io.ReadSeekCloser, string, error) {
	file, err := p.store.OpenPreview(ctx, key)
	if err != nil {
		return nil, "", err
	}
	head := make([]byte, 512)
	n, err := file.ReadAt(head, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, "", errors.Join(err, file.Close())
	}
	return file, http.DetectContentType(head[:n]), nil
}

func (p *previews) isUnfit(key string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.unfit[key]
}

func (p *previews) setUnfit(key string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.unfit) >= maxUnfit {
		clear(p.unfit)
	}
	p.unfit[key] = true
}

// inMemory is a picture that needs no closing.
type inMemory struct{ *bytes.Reader }

func (inMemory) Close() error { return nil }
