package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"loupe/internal/asset"
	"loupe/internal/asset/mongostore"
	"loupe/internal/asset/sqlitestore"
	"loupe/internal/httpapi"
	"loupe/internal/image"
	"loupe/internal/image/cloudinarystore"
	"loupe/internal/image/diskstore"
	"loupe/internal/pipeline"
	"loupe/internal/queue"
	"loupe/internal/queue/redisqueue"
	"loupe/internal/queue/sqlitequeue"
	"loupe/internal/sqlitedb"
	"loupe/socketio"
	"loupe/socketio/redisadapter"
)

// backends play the roles. The three switch statements below choose them, and nothing else does.
type backends struct {
	assets   asset.Store
	ledger   asset.Ledger // of the pictures, with the assets
	images   image.Store
	served   image.Store      // images that this server serves itself, or nil
	previews httpapi.Previews // of these
	queue    queue.Queue
	jobs     queue.Admin
	gate     queue.Gate
	rooms    func(*socketio.Namespace) socketio.Adapter // nil: within the process
	confirm  func(context.Context, func() error) error  // that other processes are told; nil: there are none
	rejoined func(context.Context, time.Time)           // is called when this process hears of others again; set before wired
	wired    chan struct{}                              // closed when all parts know each other
	analyzer pipeline.Analyzer                          // of a worker

	report  []backend       // a line for each role
	checks  []httpapi.Check // what readiness depends on
	closers []func() error  // closed last to first

	db  *sqlitedb.DB // opened for the first role that lives in it
	log *slog.Logger
}

// backend is one line of the start-up report.
type backend struct{ role, name, where, why string }

// openBackends opens what the settings choose.
func openBackends(ctx context.Context, c *config, log *slog.Logger) (*backends, error) {
	b := &backends{log: log, wired: make(chan struct{})}
	for _, open := range []func(context.Context, *config) error{b.openAssets, b.openImages, b.openQueue, b.openAnalyzer} {
		if err := open(ctx, c); err != nil {
			b.close()
			return nil, err
		}
	}
	return b, nil
}

func (b *backends) close() {
	for i := len(b.closers) - 1; i >= 0; i-- {
		if err := b.closers[i](); err != nil {
			b.log.Error("close", "error", err)
		}
	}
}

// plays notes which back end plays a role, and why.
func (b *backends) plays(role, name, where, why string) {
	b.report = append(b.report, backend{role, name, where, why})
}

func (b *backends) openAssets(ctx context.Context, c *config) error {
	switch {
	case c.mongoURI != "":
		store, err := mongostore.Open(ctx, c.mongoURI, b.log)
		if err != nil {
			return fmt.Errorf("MONGODB_URI: %w", err)
		}
		b.assets, b.ledger = store, store
		b.closers = append(b.closers, func() error { return store.Close(context.WithoutCancel(ctx)) })
		b.checks = append(b.checks, httpapi.Check{Name: "assets", Backend: "mongodb", Ping: store.Ping})
		b.plays("assets", "mongodb", store.Where(), "MONGODB_URI is set")
	default:
		if err := b.openDB(ctx, c); err != nil {
			return err
		}
		store := sqlitestore.New(b.db)
		b.assets, b.ledger = store, store
		b.checks = append(b.checks, httpapi.Check{Name: "assets", Backend: "sqlite", Ping: b.db.Ping})
		b.plays("assets", "sqlite", databasePath(c), "MONGODB_URI is not set")
	}
	return nil
}

func (b *backends) openImages(ctx context.Context, c *config) error {
	switch {
	case c.cloudinaryURL != "":
		store, err := cloudinarystore.New(cloudinarystore.Config{URL: c.cloudinaryURL})
		if err != nil {
			return err
		}
		ping := func(ctx context.Context) error { return store.Delete(ctx, image.NewKey(image.JPEG)) } // nobody has it
		if err := ping(ctx); err != nil {
			if failure, ok := errors.AsType[*cloudinarystore.Error](err); ok && failure.Class == cloudinarystore.Credentials {
				return fmt.Errorf("CLOUDINARY_URL: %w", err)
			}
			b.log.Warn("Cloudinary does not answer; going on without it", "error", err)
		}
		b.images = store
		b.closers = append(b.closers, func() error { store.Close(); return nil })
		b.checks = append(b.checks, httpapi.Check{Name: "images", Backend: "cloudinary", Ping: seldom(time.Minute, ping)})
		b.plays("images", "cloudinary", store.Where(), "CLOUDINARY_URL is set")
	default:
		dir := filepath.Join(c.dataDir, "images")
		store, err := diskstore.Open(diskstore.Config{Dir: dir, BaseURL: c.publicURL})
		if err != nil {
			return err
		}
		b.images, b.served, b.previews = store, store, newPreviews(store, b.log).open
		b.closers = append(b.closers, store.Close)
		b.checks = append(b.checks, httpapi.Check{
			Name: "images", Backend: "disk", Ping: func(ctx context.Context) error { return pingImages(ctx, store) },
		})
		b.plays("images", "disk", dir, "CLOUDINARY_URL is not set")
	}
	return nil
}

// seldom makes a question that costs something one that is asked once in a while; in between its last answer stands.
func seldom(every time.Duration, ping func(context.Context) error) func(context.Context) error {
	var mu sync.Mutex
	var asked time.Time
	var answer error
	return func(ctx context.Context) error {
		mu.Lock()
		defer mu.Unlock()
		if answer != nil || time.Since(asked) > every {
			answer, asked = ping(ctx), time.Now()
		}
		return answer
	}
}

// openQueue opens the queue and, where it is shared, the rooms that are shared the same way.
func (b *backends) openQueue(ctx context.Context, c *config) error {
	config := queue.Config{
		Concurrency: c.concurrency, Attempts: c.attempts, Backoff: c.backoff, Timeout: c.jobTimeout,
		Grace: jobGrace, Lease: c.lease, KeepDone: c.keepCompleted, KeepFailed: c.keepFailed,
	}
	switch {
	case c.redisURL != "":
		client, options, err := dialRedis(ctx, c.redisURL)
		if err != nil {
			return err
		}
		b.closers = append(b.closers, func() error { client.Close(); return nil })
		jobs, err := redisqueue.New(client, config, b.log)
		if err != nil {
			return err
		}
		b.queue, b.jobs, b.gate = jobs, jobs, jobs
		b.closers = append(b.closers, jobs.Close)
		where := fmt.Sprintf("%s (%s)", strings.Join(options.InitAddress, ","), client.Mode())
		b.checks = append(b.checks, httpapi.Check{Name: "queue", Backend: "redis", Ping: jobs.Ping})
		b.plays("queue", "redis", where, "REDIS_URL is set")
		cluster, err := redisadapter.New(redisadapter.Config{Options: options, Logger: b.log, Rejoined: b.rejoin})
		if err != nil {
			return fmt.Errorf("REDIS_URL: rooms: %w", err)
		}
		b.rooms, b.confirm = cluster.Adapter, cluster.Confirm
		b.plays("rooms", "redis", where, "REDIS_URL is set")
	default:
		if err := b.openDB(ctx, c); err != nil {
			return err
		}
		config.Sole = true
		jobs := sqlitequeue.New(b.db, config, b.log)
		b.queue, b.jobs, b.gate = jobs, jobs, jobs
		b.checks = append(b.checks, httpapi.Check{Name: "queue", Backend: "sqlite", Ping: b.db.Ping})
		b.plays("queue", "sqlite", databasePath(c), "REDIS_URL is not set")
		b.plays("rooms", "process", "in this process", "REDIS_URL is not set")
	}
	return nil
}

// rejoin passes on that this process hears of others again, which can be while it is being wired together.
func (b *backends) rejoin(ctx context.Context, since time.Time) {
	select {
	case <-b.wired:
		b.rejoined(ctx, since)
	case <-ctx.Done():
	}
}

// openAnalyzer opens what workers ask.
func (b *backends) openAnalyzer(_ context.Context, c *config) error {
	if !c.hasRole("worker") {
		return nil
	}
	analyzer, err := newAnalyzer(c, b.images, b.ledger, b.log)
	if err != nil {
		return err
	}
	b.analyzer = analyzer
	b.closers = append(b.closers, func() error { analyzer.Close(); return nil })
	if c.aiServiceURL == "" {
		b.plays("analyzer", "builtin", "in this process", "AI_SERVICE_URL is not set")
	} else {
		b.plays("analyzer", "http", c.aiServiceURL, "AI_SERVICE_URL is set")
	}
	return nil
}

func databasePath(c *config) string { return filepath.Join(c.dataDir, "loupe.db") }

// openDB opens the embedded database, whose directory is then this process's alone.
func (b *backends) openDB(ctx context.Context, c *config) error {
	if b.db != nil {
		return nil
	}
	dir, err := openDataDir(c.dataDir)
	if err != nil {
		return err
	}
	b.closers = append(b.closers, dir.Close)
	db, err := sqlitedb.Open(ctx, databasePath(c))
	if err != nil {
		return err
	}
	b.closers = append(b.closers, db.Close)
	b.db = db
	return nil
}

// pingImages asks the store for a picture that nobody has.
func pingImages(ctx context.Context, images image.Store) error {
	file, _, err := images.Open(ctx, image.NewKey(image.JPEG))
	if errors.Is(err, image.ErrNotFound) {
		return nil
	}
	if err == nil {
		file.Close()
	}
	return err
}
