package interop

import (
	"bytes"
	"encoding/json"
	"image"
	"image/color"
	"image/png"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"loupe/internal/testenv"
)

const jwtSecret = "a secret that only these tests know"

// server is `loupe serve`, with a data directory that outlives it.
type server struct {
	*testenv.Process
	url string
}

var listening = regexp.MustCompile(`listening.*(http://127\.0\.0\.1:\d+)`)

// serve starts the server on that data directory, with embedded back ends but for what env says. It is asked to stop
// when the test ends, and must then end well.
func serve(t *testing.T, dataDir string, env ...string) server {
	t.Helper()
	s := launch(t, exec.Command(testenv.BuildLoupe(t), "serve"), dataDir, env...)
	t.Cleanup(func() { s.Stop(t) })
	return s
}

// launch starts a command as serve does, and lets it end as it will.
func launch(t *testing.T, cmd *exec.Cmd, dataDir string, env ...string) server {
	t.Helper()
	cmd.Env = append([]string{
		"PATH=" + os.Getenv("PATH"),
		"TMPDIR=" + os.TempDir(),
		"PORT=0",
		"LOUPE_DATA_DIR=" + dataDir,
		"JWT_SECRET=" + jwtSecret,
		"LOUPE_BACKOFF=50ms",
	}, env...)
	p := testenv.Start(t, cmd)
	line := p.Line(t, "listening")
	match := listening.FindStringSubmatch(line)
	if match == nil {
		t.Fatalf("no address in %q", line)
	}
	return server{p, match[1]}
}

// token signs a user in.
func token(t *testing.T, user, role string) string {
	t.Helper()
	claims := jwt.MapClaims{"sub": user, "exp": time.Now().Add(time.Hour).Unix()}
	if role != "" {
		claims["role"] = role
	}
	signed, err := jwt.NewWithClaims(jwt.SigningMethodHS256, claims).SignedString([]byte(jwtSecret))
	if err != nil {
		t.Fatal(err)
	}
	return signed
}

// timeline is what GET /api/assets/{id}/events says.
type timeline struct {
	Items []struct {
		Event   string
		Attempt int
		Error   string
	}
}

// deadLetters is what GET /api/admin/failed-jobs says.
type deadLetters struct {
	Items []struct {
		AssetID       string
		FailureReason string
		AttemptsMade  int
	}
}

// get reads a JSON answer of the server into v.
func (s server) get(t *testing.T, path, token string, v any) {
	t.Helper()
	getJSON(t, s.url+path, token, v)
}

func getJSON(t *testing.T, url, token string, v any) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	if answer.StatusCode != http.StatusOK {
		t.Fatalf("GET %s: %s %s", url, answer.Status, body)
	}
	if err := json.Unmarshal(body, v); err != nil {
		t.Fatalf("GET %s: %v in %s", url, err, body)
	}
}

// photo draws a small picture and returns its file.
func photo(t *testing.T) string {
	t.Helper()
	picture := image.NewNRGBA(image.Rect(0, 0, 64, 48))
	for i := range 64 * 48 {
		picture.Set(i%64, i/64, color.NRGBA{R: 200, G: uint8(i % 64), B: 40, A: 255})
	}
	var buf bytes.Buffer
	if err := png.Encode(&buf, picture); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "photo.png")
	if err := os.WriteFile(file, buf.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}
