package interop

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"golang.org/x/sync/errgroup"

	"loupe/internal/asset"
	"loupe/internal/asset/sqlitestore"
	"loupe/internal/sample"
	"loupe/internal/sqlitedb"
	"loupe/internal/testenv"
)

// webRunner is web/runner.mjs: a browser, and an AI service that scenarios tell what to answer.
type webRunner struct {
	*testenv.Process
	ai     string
	photos []string
}

// startWeb starts one. The browser is no child of the test's process group and so must be asked to end.
func startWeb(t *testing.T) webRunner {
	t.Helper()
	testenv.Need(t, testenv.Node, testenv.Chromium)
	chromium, err := exec.LookPath("chromium")
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "") // t.TempDir's name would make the path of the browser's socket too long
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	p := testenv.Start(t, exec.Command("node", "web/runner.mjs", chromium, dir))
	t.Cleanup(func() { p.Stop(t) })
	var said struct{ AI string }
	if err := json.Unmarshal([]byte(p.Line(t, `{"ai"`)), &said); err != nil {
		t.Fatal(err)
	}
	r := webRunner{Process: p, ai: said.AI}
	sneaker, camera := filepath.Join(t.TempDir(), "sneaker.jpg"), filepath.Join(t.TempDir(), "camera.jpg")
	if err := errors.Join(os.WriteFile(sneaker, sample.Sneaker(), 0o600), os.WriteFile(camera, sample.Camera(), 0o600)); err != nil {
		t.Fatal(err)
	}
	r.photos = []string{sneaker, camera, photo(t)}
	return r
}

// runs has a scenario of web/scenarios.mjs run against a server as a user, with what else it wants to know.
func (r webRunner) runs(t *testing.T, scenario string, s server, user string, more map[string]any) {
	t.Helper()
	order := map[string]any{"scenario": scenario, "url": s.url, "token": token(t, user, ""), "photos": r.photos}
	for name, value := range more {
		order[name] = value
	}
	line, err := json.Marshal(order)
	if err != nil {
		t.Fatal(err)
	}
	r.Say(t, string(line))
	var result struct {
		Passed bool
		Failed string
	}
	if err := json.Unmarshal([]byte(r.Line(t, fmt.Sprintf(`{"scenario":%q`, scenario))), &result); err != nil {
		t.Fatal(err)
	}
	if !result.Passed {
		t.Error(result.Failed)
	}
}

// The web app does in Chromium what it is for, as a user does it.
func TestWebApp(t *testing.T) {
	t.Parallel()
	r := startWeb(t)
	s := serve(t, t.TempDir(), "AI_SERVICE_URL="+r.ai, "LOUPE_MAX_UPLOAD=1MB")
	for _, scenario := range []string{
		"uploads", "details", "retries", "deleting", "keyboard",
		"losesConnection", "connectsByPolling", "reloads", "waitsAndCancels", "losesService", "socketClient",
		"accessible", "keepsPolicy",
	} {
		t.Run(scenario, func(t *testing.T) { r.runs(t, scenario, s, scenario, nil) })
	}
	t.Run("speaks", func(t *testing.T) { r.runs(t, "speaks", s, "speaks", map[string]any{"modules": webModules(t)}) })
	t.Run("signsIn", func(t *testing.T) {
		r.runs(t, "signsIn", s, "signsIn", map[string]any{"tokens": map[string]string{
			"soon": tokenFor(t, "signsIn", 4*time.Minute), "brief": tokenFor(t, "signsIn", 3*time.Second),
		}})
	})
	t.Run("signsInByItself", func(t *testing.T) {
		local := serve(t, t.TempDir(), "JWT_SECRET=")
		r.runs(t, "signsInByItself", local, "local", nil)
	})
}

// tokenFor signs a user in for a while.
func tokenFor(t *testing.T, user string, lasts time.Duration) string {
	t.Helper()
	claims := jwt.MapClaims{"sub": user, "exp": time.Now().Add(lasts).Unix()}
	signed, err := jwt.NewWithClaims(jwt.SigningMethodHS256, claims).SignedString([]byte(jwtSecret))
	if err != nil {
		t.Fatal(err)
	}
	return signed
}

// webModules are the addresses of all modules of the web app.
func webModules(t *testing.T) (modules []string) {
	t.Helper()
	dir := os.DirFS(filepath.Join(testenv.Root(), "internal/web"))
	err := fs.WalkDir(dir, "app", func(name string, _ fs.DirEntry, err error) error {
		if strings.HasSuffix(name, ".js") {
			modules = append(modules, "/"+name)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return modules
}

// stock puts assets into the database of a server that has yet to start.
func stock(t *testing.T, dataDir string, assets []asset.Asset, log ...asset.Entry) {
	t.Helper()
	db, err := sqlitedb.Open(t.Context(), filepath.Join(dataDir, "loupe.db"))
	if err != nil {
		t.Fatal(err)
	}
	store := sqlitestore.New(db)
	var group errgroup.Group
	group.SetLimit(64) // they share commits
	for _, a := range assets {
		group.Go(func() error { return store.Create(t.Context(), a, log...) })
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
}

// Markup in everything that others write stays text.
func TestWebAppKeepsTextText(t *testing.T) {
	t.Parallel()
	r := startWeb(t)
	evil := func(where string) string { return fmt.Sprintf(`<img src=x onerror="window.pwned='%s'">`, where) }
	now := time.Now().UTC().Truncate(time.Millisecond)
	failed := asset.Asset{
		ID: asset.NewID(), Owner: "victim", Category: "sneaker", Status: asset.Failed, Run: 1, CreatedAt: now, UpdatedAt: now,
		Original: asset.Image{URL: `javascript:window.pwned="url"`, MIMEType: evil("type")},
		Analysis: &asset.Analysis{Error: evil("error"), FailedAt: now},
	}
	failed.JobID = asset.JobID(failed.ID, 1)
	named := failed
	named.ID, named.Category, named.Status = asset.NewID(), evil("category"), asset.Active
	named.JobID = evil("job")
	named.Analysis = &asset.Analysis{Brand: &asset.Field{Value: evil("brand"), Confidence: 0.9}, Model: &asset.Field{Value: evil("model"), Confidence: 0.9}}
	named.Details = &asset.Details{Colorway: evil("details")}
	named.Processed = &asset.Image{URL: `https://evil.example/"><script>window.pwned=1</script>`}

	dir := t.TempDir()
	stock(t, dir, []asset.Asset{failed, named}, asset.Entry{At: now, Event: asset.EventRetrying, Attempt: 1, Error: evil("timeline")})
	s := serve(t, dir, "LOUPE_CATEGORIES=sneaker,"+evil("category"))
	r.runs(t, "staysText", s, "victim", map[string]any{"evil": map[string]any{
		"ids":  []string{named.ID, failed.ID},
		"seen": []string{evil("brand") + " " + evil("model")},
		"told": []string{evil("error"), evil("timeline")},
	}})
}

// A collection of 5,000 costs no more than one of fifty, but for what is known of each.
func TestWebAppWithManyPhotos(t *testing.T) {
	t.Parallel()
	r := startWeb(t)
	dir := t.TempDir()
	now := time.Now().UTC().Truncate(time.Millisecond)
	assets := make([]asset.Asset, 5000)
	for i := range assets {
		at := now.Add(-time.Duration(i) * time.Minute)
		picture := asset.Image{URL: r.ai + "/photo.jpg", Width: 1280, Height: 960, Bytes: 100_000, MIMEType: "image/jpeg"}
		assets[i] = asset.Asset{
			ID: asset.NewID(), Owner: "collector", Category: "sneaker", Status: asset.Active, Run: 1, CreatedAt: at, UpdatedAt: at,
			Original: picture, Processed: &picture,
			Analysis: &asset.Analysis{Brand: &asset.Field{Value: "Nike", Confidence: 0.9}, Model: &asset.Field{Value: fmt.Sprint(i + 1), Confidence: 0.9}},
		}
		assets[i].JobID = asset.JobID(assets[i].ID, 1)
	}
	stock(t, dir, assets)
	s := serve(t, dir, "AI_SERVICE_URL="+r.ai)
	r.runs(t, "manyPhotos", s, "collector", nil)
	for _, line := range strings.Split(r.Output(), "\n") {
		if line != "" && !strings.HasPrefix(line, "{") {
			t.Log(line)
		}
	}
}
