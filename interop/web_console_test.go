package interop

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"loupe/internal/asset"
	"loupe/internal/queue"
	"loupe/internal/queue/sqlitequeue"
	"loupe/internal/sqlitedb"
)

// The console in Chromium, over a thousand dead letters of which 37 have failed alike.
func TestWebConsole(t *testing.T) {
	t.Parallel()
	const letters = 1000
	r := startWeb(t)
	dir := t.TempDir()
	now := time.Now().UTC().Truncate(time.Millisecond)
	reasons := make(map[string]string, letters) // by job
	assets := make([]asset.Asset, letters)
	for i := range assets {
		at := now.Add(-time.Duration(i) * time.Second)
		a := asset.Asset{
			ID: asset.NewID(), Owner: "operator", Category: "sneaker", Status: asset.Failed, Run: 1, CreatedAt: at, UpdatedAt: at,
			Original: asset.Image{URL: r.ai + "/photo.jpg", Width: 1280, Height: 960, Bytes: 100_000, MIMEType: "image/jpeg"},
			Analysis: &asset.Analysis{Error: "The photo could not be analysed.", FailedAt: at},
		}
		a.JobID = asset.JobID(a.ID, 1)
		switch assets[i] = a; {
		case i%27 == 0 && i/27 < 37:
			reasons[a.JobID] = "AI service: quota of tenant acme exceeded\n    at attempt 3"
		case i%5 == 0:
			reasons[a.JobID] = fmt.Sprintf(`AI service: <img src=x onerror="window.pwned=%d">`, i)
		default:
			reasons[a.JobID] = "AI service: unsupported colour profile"
		}
	}
	stock(t, dir, assets)
	bury(t, dir, assets, reasons)
	s := serve(t, dir, "AI_SERVICE_URL="+r.ai)
	more := map[string]any{"token": token(t, "operator", "admin"), "guest": token(t, "guest", ""), "letters": letters}
	for _, scenario := range []string{"consoleMends", "consoleWatches", "consoleByKeyboard", "consoleAccessible"} {
		t.Run(scenario, func(t *testing.T) { r.runs(t, scenario, s, "operator", more) })
	}
}

// doomed is a worker that fails every job for its reason.
type doomed map[string]string

func (d doomed) Process(_ context.Context, job queue.Job) error {
	return queue.Permanent(errors.New(d[job.ID]))
}

func (doomed) Dead(context.Context, queue.Job, string) {}

// bury makes dead letters of the assets' jobs in the database of a server that has yet to start.
func bury(t *testing.T, dataDir string, assets []asset.Asset, reasons map[string]string) {
	t.Helper()
	db, err := sqlitedb.Open(t.Context(), filepath.Join(dataDir, "loupe.db"))
	if err != nil {
		t.Fatal(err)
	}
	jobs := sqlitequeue.New(db, queue.Config{Concurrency: 100, Sole: true}, slog.New(slog.DiscardHandler))
	var group errgroup.Group
	group.SetLimit(64) // they share commits
	for _, a := range assets {
		group.Go(func() error {
			data, err := json.Marshal(map[string]string{
				"assetId": a.ID, "userId": a.Owner, "imageUrl": a.Original.URL, "category": a.Category, "createdAt": a.CreatedAt.Format("2006-01-02T15:04:05.000Z"),
			})
			if err != nil {
				return err
			}
			return jobs.Enqueue(t.Context(), a.JobID, data)
		})
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- jobs.Consume(ctx, doomed(reasons)) }()
	for {
		counts, err := jobs.Counts(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if counts.Failed == len(assets) {
			break
		}
		<-time.After(10 * time.Millisecond)
	}
	cancel()
	if err := errors.Join(<-done, db.Close()); err != nil {
		t.Fatal(err)
	}
}
