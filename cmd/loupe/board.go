package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"
)

// board shows how photos fare: on a terminal one line for each, redrawn in place; elsewhere a plain line for each step.
type board struct {
	w        io.Writer
	terminal bool
	names    []string
	sizes    []int64
	width    int // of the longest name

	mu    sync.Mutex
	lines []string
	drawn time.Time
	once  bool // the lines have been drawn, so that the next time the cursor must go up
}

func newBoard(w io.Writer, photos []photo) *board {
	b := &board{w: w, terminal: isTerminal(w), lines: make([]string, len(photos))}
	for _, p := range photos {
		b.names = append(b.names, p.name)
		b.sizes = append(b.sizes, p.size)
		b.width = max(b.width, len(p.name))
	}
	return b
}

// redrawEvery bounds how often upload progress is drawn.
const redrawEvery = 100 * time.Millisecond

func (b *board) sent(i int, bytes int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.terminal {
		return
	}
	const cells = 24
	part := 1.0
	if b.sizes[i] > 0 {
		part = min(1, float64(bytes)/float64(b.sizes[i]))
	}
	full := int(part * cells)
	b.lines[i] = fmt.Sprintf("[%s%s] %3.0f%% of %s", strings.Repeat("█", full), strings.Repeat("·", cells-full), 100*part, byteSize(b.sizes[i]))
	if part == 1 || time.Since(b.drawn) > redrawEvery {
		b.draw()
	}
}

func (b *board) step(i int, text string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.lines[i] = text
	if b.terminal {
		b.draw()
		return
	}
	fmt.Fprintf(b.w, "%-*s  %s\n", b.width, b.names[i], text)
}

func (b *board) done(i int, _ json.RawMessage, text string) { b.step(i, text) }

func (b *board) draw() {
	var s strings.Builder
	if b.once {
		fmt.Fprintf(&s, "\x1b[%dA", len(b.lines))
	}
	for i, line := range b.lines {
		fmt.Fprintf(&s, "\r\x1b[K%-*s  %s\n", b.width, b.names[i], line)
	}
	_, _ = io.WriteString(b.w, s.String())
	b.once, b.drawn = true, time.Now()
}

func byteSize(n int64) string {
	switch {
	case n >= 1<<20:
		return fmt.Sprintf("%.1f MB", float64(n)/(1<<20))
	case n >= 1<<10:
		return fmt.Sprintf("%d KB", n>>10)
	}
	return fmt.Sprintf("%d bytes", n)
}

// jsonLines prints the final events alone.
type jsonLines struct {
	w  io.Writer
	mu sync.Mutex
}

func (*jsonLines) sent(int, int64)  {}
func (*jsonLines) step(int, string) {}

func (j *jsonLines) done(_ int, event json.RawMessage, _ string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	fmt.Fprintf(j.w, "%s\n", event)
}
