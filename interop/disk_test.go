package interop

import (
	"bytes"
	"encoding/json"
	"image"
	"image/jpeg"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"loupe/internal/asset"
	"loupe/internal/testenv"
)

// No file of the server can grow beyond two megabytes, as if the disk were full. What does not fit is refused, what was
// taken is kept, and all goes on when there is room again.
func TestDiskFull(t *testing.T) {
	t.Parallel()
	dir, port := t.TempDir(), "PORT="+testenv.FreePort(t)
	binary := testenv.BuildLoupe(t)
	full := launch(t, exec.Command("sh", "-c", "ulimit -f 4096 && exec "+binary+" serve"), dir, port) // in 512 bytes
	owner := token(t, asset.NewID(), "")
	heard := hear(t, full.url, owner)
	c := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	random := rand.New(rand.NewPCG(1, 2))

	_, err := uploadPhoto(t.Context(), c, full.url, owner, "sneaker", noise(random, 1600), "large")
	if err == nil || !strings.Contains(err.Error(), "503") || !strings.Contains(err.Error(), "UNAVAILABLE") {
		t.Errorf("a photo without room: %v", err)
	}
	var taken []string
	for i := range 500 {
		id, err := uploadPhoto(t.Context(), c, full.url, owner, "sneaker", smallPhoto(random), strconv.Itoa(i))
		if err != nil {
			if !strings.Contains(err.Error(), "503") {
				t.Errorf("when the database has no room: %v", err)
			}
			break
		}
		taken = append(taken, id)
	}
	if len(taken) == 0 || len(taken) == 500 {
		t.Fatalf("%d photos were taken", len(taken))
	}
	if status := request(t.Context(), t, http.MethodGet, full.url+"/healthz", owner); status != http.StatusOK {
		t.Errorf("healthz answers %d", status)
	}
	if got := shownAssets(t, full, owner); len(got) == 0 {
		t.Error("no asset can be read")
	}
	// It says why it ends, for what it has under way can be written down nowhere.
	full.Signal(t, syscall.SIGTERM)
	if code := full.ExitCode(t); code != 0 && (code != 1 || !strings.Contains(full.Output(), "loupe serve: database unavailable")) {
		t.Errorf("ended with code %d", code)
	}

	serve(t, dir, port)
	for _, id := range taken {
		eventually(t, "asset "+id+" to be told of", func() bool { return len(heard.of(id)) == 1 })
	}
	left, err := filepath.Glob(filepath.Join(dir, "images", "tmp", "*"))
	if err != nil || len(left) > 0 {
		t.Errorf("half pictures are left: %q, %v", left, err)
	}
}

// noise is a photo that hardly gets smaller by compression.
func noise(random *rand.Rand, size int) []byte {
	picture := image.NewRGBA(image.Rect(0, 0, size, size))
	for i := range picture.Pix {
		picture.Pix[i] = uint8(random.Uint32())
	}
	var b bytes.Buffer
	if err := jpeg.Encode(&b, picture, &jpeg.Options{Quality: 100}); err != nil {
		panic(err)
	}
	return b.Bytes()
}

// A data directory that cannot be made ends the start with one line that names it.
func TestReadOnlyDataDirectory(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "read-only", "data")
	if err := os.Mkdir(filepath.Dir(dir), 0o500); err != nil {
		t.Fatal(err)
	}
	if os.Getuid() == 0 { // who may write anywhere, but here
		dir = "/proc/loupe"
	}
	cmd := exec.Command(testenv.BuildLoupe(t), "serve")
	cmd.Env = []string{"PORT=0", "JWT_SECRET=" + jwtSecret, "LOUPE_DATA_DIR=" + dir}
	p := testenv.Start(t, cmd)
	if code := p.ExitCode(t); code != 1 || strings.Count(p.Output(), "\n") != 1 || !strings.Contains(p.Output(), dir) {
		t.Errorf("code %d, printed %q", code, p.Output())
	}
}

// A page of the database is damaged. What stands on it cannot be read, and that is said; everything else goes on.
func TestDamagedPage(t *testing.T) {
	t.Parallel()
	dir, port := t.TempDir(), "PORT="+testenv.FreePort(t)
	s := launch(t, exec.Command(testenv.BuildLoupe(t), "serve"), dir, port)
	owner := token(t, asset.NewID(), "")
	heard := hear(t, s.url, owner)
	var ids []string
	c := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	random := rand.New(rand.NewPCG(3, 4))
	for i := range 30 {
		id, err := uploadPhoto(t.Context(), c, s.url, owner, "sneaker", smallPhoto(random), strconv.Itoa(i))
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, id)
	}
	for _, id := range ids {
		eventually(t, "asset "+id+" to be told of", func() bool { return len(heard.of(id)) == 1 })
	}
	var shown struct {
		Images struct{ Original struct{ URL string } }
	}
	s.get(t, "/api/assets/"+ids[0], owner, &shown)
	s.Stop(t)
	s.Kill() // it has ended; now the cleanup knows
	damage(t, filepath.Join(dir, "loupe.db"), `{"key":"`+filepath.Base(shown.Images.Original.URL))

	s = serve(t, dir, port)
	if status := request(t.Context(), t, http.MethodGet, s.url+"/api/assets/"+ids[0], owner); status < 500 {
		t.Errorf("the damaged asset is answered with %d", status)
	}
	s.Line(t, "database is damaged")
	readable := 0
	for _, id := range ids {
		if request(t.Context(), t, http.MethodGet, s.url+"/api/assets/"+id, owner) == http.StatusOK {
			readable++
		}
	}
	id, err := uploadPhoto(t.Context(), c, s.url, owner, "sneaker", smallPhoto(random), "after")
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "a new asset to be told of", func() bool { return len(heard.of(id)) == 1 })
	if readable == 0 || readable == len(ids) {
		t.Errorf("%d of %d assets can be read", readable, len(ids))
	}
}

// damage spoils the page of a table in a database file on which text stands.
func damage(t *testing.T, file, text string) {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	const pageSize, tableLeaf = 4096, 0x0d // https://sqlite.org/fileformat.html#b_tree_pages
	found := 0
	for page := range slices.Chunk(data, pageSize) {
		if page[0] == tableLeaf && bytes.Contains(page, []byte(text)) { // elsewhere it may have stood once
			found++
			for i := range 64 {
				page[i] = 0xff
			}
		}
	}
	if found != 1 {
		t.Fatalf("%q stands on %d pages", text, found)
	}
	if err := os.WriteFile(file, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

// A stored photo is damaged before it is looked at. Its asset fails and says so, others do not.
func TestDamagedImage(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := serve(t, dir)
	owner, admin := token(t, asset.NewID(), ""), token(t, asset.NewID(), "admin")
	heard := hear(t, s.url, owner)
	if status := request(t.Context(), t, http.MethodPost, s.url+"/api/admin/queue/pause", admin); status != http.StatusNoContent {
		t.Fatalf("pause: %d", status)
	}
	var ids []string
	uploads(t, s.url, owner, 1, func(id string) { ids = append(ids, id) })
	files, err := filepath.Glob(filepath.Join(dir, "images", "*.jpg"))
	if err != nil || len(files) != 1 {
		t.Fatalf("images %q, %v", files, err)
	}
	if err := os.WriteFile(files[0], []byte("this was a photo"), 0o600); err != nil {
		t.Fatal(err)
	}
	uploads(t, s.url, owner, 1, func(id string) { ids = append(ids, id) })
	if status := request(t.Context(), t, http.MethodPost, s.url+"/api/admin/queue/resume", admin); status != http.StatusNoContent {
		t.Fatalf("resume: %d", status)
	}
	for i, want := range []string{"failed", "active"} {
		eventually(t, "the end of the run", func() bool { return len(heard.of(ids[i])) == 1 })
		var p processed
		if err := json.Unmarshal([]byte(heard.of(ids[i])[0]), &p); err != nil || p.Status != want || (p.Error == "") != (want == "active") {
			t.Errorf("told %s, want %s", heard.of(ids[i])[0], want)
		}
	}
}
