package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"text/tabwriter"

	"golang.org/x/sync/errgroup"

	"loupe/internal/auth"
	"loupe/internal/sample"
	"loupe/internal/telemetry"
)

func demoCommand() *command {
	return &command{
		name:  "demo",
		short: "run the server and submit two sample photos to it",
		long: "It is \"loupe serve\" on this machine with two photos that Loupe draws itself, submitted by the client that\n" +
			"\"loupe submit\" is. The server stays up until Ctrl-C.",
		example: "PORT=3001 loupe demo",
		run: func(ctx context.Context, in *invocation) error {
			if len(in.args) > 0 {
				return usagef("takes no arguments")
			}
			return demo(ctx, in)
		},
	}
}

// demo serves and, as soon as the server listens, submits the samples.
func demo(ctx context.Context, in *invocation) error {
	log := telemetry.NewLogger(in.stderr, "text", slog.LevelWarn)
	address := make(chan string, 1)
	ready := func(url string, report []backend) {
		printReport(in.stdout, url, report)
		address <- url
	}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		return serve(ctx, in.config, log, ready)
	})
	group.Go(func() error {
		select {
		case url := <-address:
			return showSamples(ctx, in, url)
		case <-ctx.Done():
			return nil
		}
	})
	return group.Wait()
}

// printReport says where the server is, and which back end plays each role.
func printReport(w io.Writer, url string, report []backend) {
	fmt.Fprintf(w, "Loupe listens on %s.\n\n", url)
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, b := range report {
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\n", b.role, b.name, b.where, b.why)
	}
	_ = table.Flush() // who cannot be told cannot be told of that
}

func showSamples(ctx context.Context, in *invocation, url string) error {
	api, err := newAPIClient(in.config, url, auth.User{ID: localUser})
	if err != nil {
		return err
	}
	photos := []photo{
		samplePhoto("sneaker.jpg", "sneaker", sample.Sneaker()),
		samplePhoto("camera.jpg", "camera", sample.Camera()),
	}
	fmt.Fprint(in.stdout, "\nSubmitting two sample photos:\n\n")
	board := newBoard(in.stdout, photos)
	board.terminal = false // a transcript, step by step, is the point here
	if err := submit(ctx, api, photos, &narrator{board: board}); err != nil {
		return err
	}
	fmt.Fprintf(in.stdout, "\nOpen %s to see them and to add your own. Ctrl-C stops the server.\n", url)
	return nil
}

func samplePhoto(name, category string, data []byte) photo {
	return photo{name: name, category: category, size: int64(len(data)), open: func() (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(data)), nil
	}}
}

// narrator shows each step, and the final event as the apps get it.
type narrator struct{ *board }

func (n *narrator) sent(i int, bytes int64) {
	if bytes == n.sizes[i] {
		n.step(i, "uploading "+byteSize(bytes))
	}
}

func (n *narrator) done(i int, event json.RawMessage, text string) {
	n.step(i, text)
	n.step(i, "asset_processed "+string(event))
}
