package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"loupe/internal/asset/mongostore"
	"loupe/internal/asset/sqlitestore"
	"loupe/internal/image"
	"loupe/internal/image/cloudinarystore"
	"loupe/internal/image/diskstore"
	"loupe/internal/migrate"
	"loupe/internal/queue"
	"loupe/internal/queue/redisqueue"
	"loupe/internal/queue/sqlitequeue"
	"loupe/internal/telemetry"
)

func migrateCommand() *command {
	var to string
	var verify bool
	return &command{
		name:  "migrate",
		short: "move an embedded installation to services",
		long: "mongodb     moves the assets with their timelines to MONGODB_URI\n" +
			"redis       moves the queue to REDIS_URL: what waits, in its order, and the dead letters\n" +
			"cloudinary  moves the pictures to CLOUDINARY_URL; the records then have the new URLs\n\n" +
			"Stop the server first. Whatever ends the command, run it again and it goes on: what is there already is passed\n" +
			"over, and what somebody has gone on with there is named and left alone. The data directory stays as it is; only\n" +
			"if the pictures go and the assets stay, the URLs in its database change.\n\n" +
			"Exit code 0 says that everything is there, 1 that something is not: lines before the table name it. Once the\n" +
			"servers run on the services do not run it again: what was deleted there since would come back.",
		example: "export MONGODB_URI=… REDIS_URL=… CLOUDINARY_URL=…\n" +
			"loupe migrate --to mongodb,redis,cloudinary\n" +
			"loupe migrate --to mongodb,redis,cloudinary --verify",
		setFlags: func(f *flag.FlagSet) {
			f.StringVar(&to, "to", "", "`services` by comma: mongodb, redis, cloudinary (required)")
			f.BoolVar(&verify, "verify", false, "change nothing, compare everything, the pictures by their SHA-256")
		},
		run: func(ctx context.Context, in *invocation) error {
			if len(in.args) > 0 {
				return usagef("takes no arguments; say --to %s", strings.Join(in.args, ","))
			}
			targets, err := migrationTargets(in.config, to)
			if err != nil {
				return err
			}
			log := telemetry.NewLogger(in.stderr, in.config.logForm(in.stderr), slog.LevelInfo)
			return runMigration(ctx, in, targets, verify, log)
		},
	}
}

// migrationTargets reads what --to says.
func migrationTargets(c *config, to string) (map[string]bool, error) {
	variables := map[string]struct{ name, value string }{
		"mongodb": {"MONGODB_URI", c.mongoURI}, "redis": {"REDIS_URL", c.redisURL}, "cloudinary": {"CLOUDINARY_URL", c.cloudinaryURL},
	}
	targets := map[string]bool{}
	for word := range strings.SplitSeq(to, ",") {
		word = strings.TrimSpace(word)
		variable, known := variables[word]
		switch {
		case !known:
			return nil, usagef("--to wants mongodb, redis, cloudinary or several of them by comma, not %q", word)
		case variable.value == "":
			return nil, usagef("--to %s needs %s", word, variable.name)
		}
		targets[word] = true
	}
	if targets["cloudinary"] && !targets["mongodb"] && c.mongoURI != "" {
		return nil, usagef("MONGODB_URI is set, so the records that name the pictures are there: say --to mongodb,cloudinary")
	}
	return targets, nil
}

func runMigration(ctx context.Context, in *invocation, targets map[string]bool, verify bool, log *slog.Logger) error {
	b := &backends{log: log}
	defer b.close()
	c, err := b.openMigration(ctx, in.config, targets)
	if err != nil {
		return err
	}
	c.Out = in.stdout
	do := migrate.Copy
	if verify {
		do = migrate.Verify
	}
	switch whole, err := do(ctx, c); {
	case ctx.Err() != nil:
		return errors.New("interrupted; run it again, and it goes on")
	case err != nil:
		return fmt.Errorf("%w; run it again, and it goes on", err)
	case !whole:
		return errors.New("not everything is there; the lines above name what is not")
	}
	fmt.Fprintln(in.stdout, "Everything is there.")
	return nil
}

// openMigration opens the installation, which is then this process's alone, and the services.
func (b *backends) openMigration(ctx context.Context, c *config, targets map[string]bool) (m migrate.Config, err error) {
	if err := b.openInstallation(ctx, c, &m); err != nil {
		return m, err
	}
	if targets["mongodb"] {
		store, err := mongostore.Open(ctx, c.mongoURI, b.log)
		if err != nil {
			return m, fmt.Errorf("MONGODB_URI: %w", err)
		}
		b.closers = append(b.closers, func() error { return store.Close(context.WithoutCancel(ctx)) })
		m.ToAssets = store
	}
	if targets["cloudinary"] {
		store, err := cloudinarystore.New(cloudinarystore.Config{URL: c.cloudinaryURL})
		if err != nil {
			return m, err
		}
		b.closers = append(b.closers, func() error { store.Close(); return nil })
		if err := store.Delete(ctx, image.NewKey(image.JPEG)); err != nil { // no such picture: are we let in?
			return m, fmt.Errorf("CLOUDINARY_URL: %w", err)
		}
		m.ToImages, m.Refused = store, refusedByCloudinary
	}
	if targets["redis"] {
		client, _, err := dialRedis(ctx, c.redisURL)
		if err != nil {
			return m, err
		}
		b.closers = append(b.closers, func() error { client.Close(); return nil })
		jobs, err := redisqueue.New(client, queue.Config{Backoff: c.backoff, KeepDone: c.keepCompleted, KeepFailed: c.keepFailed}, b.log)
		if err != nil {
			return m, err
		}
		b.closers = append(b.closers, jobs.Close)
		m.ToJobs = jobs
	}
	return m, nil
}

// openInstallation opens what is in the data directory.
func (b *backends) openInstallation(ctx context.Context, c *config, m *migrate.Config) error {
	if _, err := os.Stat(databasePath(c)); errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("there is no %s: LOUPE_DATA_DIR must name the server's data directory", databasePath(c))
	}
	err := b.openDB(ctx, c)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return fmt.Errorf("stop the server first: %w", err)
	}
	if err != nil {
		return err
	}
	images, err := diskstore.Open(diskstore.Config{Dir: filepath.Join(c.dataDir, "images"), BaseURL: c.serverURL()})
	if err != nil {
		return err
	}
	b.closers = append(b.closers, images.Close)
	m.Assets, m.Images, m.Jobs = sqlitestore.New(b.db), images, sqlitequeue.New(b.db, queue.Config{}, b.log)
	return nil
}

// refusedByCloudinary reports whether it will never take a picture, because it is too large for the plan, say.
func refusedByCloudinary(err error) bool {
	trouble, ok := errors.AsType[*cloudinarystore.Error](err)
	return ok && trouble.Class == cloudinarystore.Refused
}
