package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"path/filepath"

	"golang.org/x/sync/errgroup"

	"loupe/internal/analyze"
	"loupe/internal/analyze/builtin"
	"loupe/internal/asset"
	"loupe/internal/httpapi"
	"loupe/internal/image"
	"loupe/internal/image/diskstore"
	"loupe/internal/pipeline"
	"loupe/internal/telemetry"
)

// newAnalyzer returns the client of the AI service, or of the built-in analyzer through the same code.
func newAnalyzer(c *config, images image.Store, ledger asset.Ledger, log *slog.Logger) (*analyze.Client, error) {
	client := analyze.Config{URL: c.aiServiceURL, SnakeCase: c.aiFields == "snake", Timeout: c.aiTimeout}
	if c.aiServiceURL == "" {
		client.URL = "http://builtin"
		save := func(ctx context.Context, p builtin.Processed) (image.Info, error) {
			return pipeline.KeepProcessed(ctx, images, ledger, p.AssetID, p.MIMEType, p)
		}
		client.Transport = analyze.HandlerTransport(newBuiltin(c, images, save, log))
	}
	return analyze.New(client)
}

// newBuiltin returns the built-in analyzer. It opens our own pictures straight from the image store, others through a
// client that refuses private addresses, and has what it makes saved.
func newBuiltin(c *config, images image.Store, save func(context.Context, builtin.Processed) (image.Info, error), log *slog.Logger) http.Handler {
	fetch := builtin.NewFetcher(builtin.FetchConfig{MaxBytes: c.maxUpload})
	return builtin.New(builtin.Config{
		MaxBytes: c.maxUpload,
		Logger:   log,
		Open: func(ctx context.Context, url string) (io.ReadCloser, error) {
			key, ours := images.KeyOf(url)
			if !ours {
				return fetch(ctx, url)
			}
			file, _, err := images.Open(ctx, key)
			return file, asAnalyzerError(err)
		},
		Save: func(ctx context.Context, p builtin.Processed) (string, error) {
			info, err := save(ctx, p)
			return info.URL, asAnalyzerError(err)
		},
	})
}

// asAnalyzerError says an image store's error in the analyzer's words.
func asAnalyzerError(err error) error {
	switch {
	case errors.Is(err, image.ErrNotFound):
		return fmt.Errorf("%w: %w", builtin.ErrNotFound, err)
	case errors.Is(err, image.ErrStorage):
		return fmt.Errorf("%w: %w", builtin.ErrUnavailable, err)
	}
	return err
}

func analyzerCommand() *command {
	var port int
	return &command{
		name:  "analyzer",
		short: "run the built-in analyzer alone, as an AI service for others",
		long: "It answers POST /analyze and GET /health by the AI service contract, and serves the pictures it makes at\n" +
			"/images/ from the data directory. It listens on LOUPE_HOST, else on 127.0.0.1.",
		example: "loupe analyzer --port 8000",
		setFlags: func(f *flag.FlagSet) {
			f.IntVar(&port, "port", 8000, "TCP port; 0 takes a free one")
		},
		run: func(ctx context.Context, in *invocation) error {
			if len(in.args) > 0 || port < 0 || port > 65535 {
				return usagef("takes no arguments but a --port from 0 to 65535")
			}
			c := *in.config
			c.port = port
			if c.host == "" {
				c.host = "127.0.0.1"
			}
			log := telemetry.NewLogger(in.stderr, c.logForm(in.stderr), slog.LevelInfo)
			return serveAnalyzer(ctx, &c, log)
		},
	}
}

func serveAnalyzer(ctx context.Context, c *config, log *slog.Logger) error {
	listener, err := listen(ctx, c.host, c.port)
	if err != nil {
		return err
	}
	defer listener.Close()
	url := fmt.Sprintf("http://%s", listener.Addr())
	if c.publicURL != "" {
		url = c.publicURL
	}
	images, err := diskstore.Open(diskstore.Config{Dir: filepath.Join(c.dataDir, "analyzer-images"), BaseURL: url})
	if err != nil {
		return err
	}
	defer images.Close()
	save := func(ctx context.Context, p builtin.Processed) (image.Info, error) {
		return images.Put(ctx, image.NewProcessedKey(p.MIMEType), p)
	}
	mux := http.NewServeMux()
	mux.Handle("/", newBuiltin(c, images, save, log))
	mux.HandleFunc("GET /images/{key}", func(w http.ResponseWriter, r *http.Request) {
		if err := httpapi.ServeImage(w, r, images); err != nil {
			http.NotFound(w, r)
		}
	})
	server := newHTTPServer(mux, log)
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return ignoreClosed(server.Serve(listener)) })
	group.Go(func() error {
		<-ctx.Done()
		grace, cancel := context.WithTimeout(context.Background(), jobGrace)
		defer cancel()
		if server.Shutdown(grace) != nil {
			return server.Close()
		}
		return nil
	})
	log.Info("listening", "url", url, "version", version)
	return group.Wait()
}
