package bench

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"image"
	"image/png"
	"io"
	"math/rand/v2"
	"mime/multipart"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// The load: so many photos at once, each sent over so long a time.
const (
	uploads    = 100
	photoSide  = 1860 // pixels; noise of that size makes a PNG of 10.4 MB, just below the limit
	chunk      = 64 << 10
	uploadTime = 20 * time.Second
)

// BenchmarkSlowUploads sends 100 photos of 10 MB at once, slowly, to a server of its own. Every upload must be answered
// 202. It reports the server's peak resident memory when the last one was, and when the last photo was analysed.
func BenchmarkSlowUploads(b *testing.B) {
	body, contentType := form(b)
	for b.Loop() {
		s := start(b)
		results := make(chan error, uploads)
		for n := range uploads {
			go func() { results <- upload(b.Context(), s.url, n, body, contentType) }()
		}
		for range uploads {
			if err := <-results; err != nil {
				b.Error(err)
			}
		}
		b.ReportMetric(s.peakMiB(b), "peak-MiB")
		s.drain(b)
		b.ReportMetric(s.peakMiB(b), "peak-MiB-analysed")
		s.stop(b)
	}
	b.ReportMetric(float64(len(body))/1e6, "MB/photo")
}

const secret = "a secret that only this benchmark knows"

// token signs in a user who is an admin too, as RFC 7519 has it.
func token(user string) string {
	encode := base64.RawURLEncoding.EncodeToString
	unsigned := encode([]byte(`{"alg":"HS256","typ":"JWT"}`)) + "." +
		encode(fmt.Appendf(nil, `{"sub":%q,"role":"admin","exp":%d}`, user, time.Now().Add(time.Hour).Unix()))
	mac := hmac.New(sha256.New, []byte(secret))
	io.WriteString(mac, unsigned)
	return unsigned + "." + encode(mac.Sum(nil))
}

// form is a whole upload: category and photo.
func form(b *testing.B) (body []byte, contentType string) {
	noise := rand.NewChaCha8([32]byte{1})
	picture := image.NewNRGBA(image.Rect(0, 0, photoSide, photoSide))
	noise.Read(picture.Pix)
	for i := 3; i < len(picture.Pix); i += 4 {
		picture.Pix[i] = 0xff
	}
	var buf bytes.Buffer
	w := multipart.NewWriter(&buf)
	w.WriteField("category", "sneaker")
	file, err := w.CreateFormFile("image", "noise.png")
	if err == nil {
		err = (&png.Encoder{CompressionLevel: png.NoCompression}).Encode(file, picture)
	}
	if err = errors.Join(err, w.Close()); err != nil {
		b.Fatal(err)
	}
	return buf.Bytes(), w.FormDataContentType()
}

// upload sends a form in chunks, evenly over uploadTime.
func upload(ctx context.Context, url string, n int, body []byte, contentType string) error {
	r, w := io.Pipe()
	go func() {
		tick := time.NewTicker(uploadTime / time.Duration(len(body)/chunk+1))
		defer tick.Stop()
		for from := 0; from < len(body); from += chunk {
			<-tick.C
			if _, err := w.Write(body[from:min(from+chunk, len(body))]); err != nil {
				return
			}
		}
		w.Close()
	}()
	defer r.Close()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, url+"/api/assets/analyze-queue", r)
	if err != nil {
		return err
	}
	request.ContentLength = int64(len(body))
	request.Header.Set("Content-Type", contentType)
	request.Header.Set("Authorization", "Bearer "+token("user-"+strconv.Itoa(n)))
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if said, _ := io.ReadAll(answer.Body); answer.StatusCode != http.StatusAccepted {
		return fmt.Errorf("upload %d: %s %s", n, answer.Status, said)
	}
	return nil
}

// server is `loupe serve` on embedded back ends, built from the tree around us.
type server struct {
	cmd *exec.Cmd
	url string
}

var listening = regexp.MustCompile(`listening.*(http://127\.0\.0\.1:\d+)`)

func start(b *testing.B) server {
	dir := b.TempDir()
	binary := filepath.Join(dir, "loupe")
	build := exec.Command("go", "build", "-o", binary, "./cmd/loupe")
	build.Dir = ".."
	if out, err := build.CombinedOutput(); err != nil {
		b.Fatalf("go build: %v\n%s", err, out)
	}
	logFile, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		b.Fatal(err)
	}
	defer logFile.Close()
	cmd := exec.Command(binary, "serve")
	cmd.Env = []string{"PORT=0", "LOUPE_DATA_DIR=" + filepath.Join(dir, "data"), "JWT_SECRET=" + secret}
	cmd.Stdout, cmd.Stderr = logFile, logFile
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { cmd.Process.Kill() })
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
		said, err := os.ReadFile(logFile.Name())
		if match := listening.FindSubmatch(said); match != nil {
			return server{cmd, string(match[1])}
		}
		if err != nil || time.Now().After(deadline) {
			b.Fatalf("the server does not listen: %v\n%s", err, said)
		}
	}
}

// peakMiB is the most memory that the server has had resident, by Linux's word.
func (s server) peakMiB(b *testing.B) float64 {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.cmd.Process.Pid))
	if err != nil {
		b.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(status), "VmHWM:")
	kib, err := strconv.ParseFloat(strings.Fields(rest)[0], 64)
	if err != nil {
		b.Fatal(err)
	}
	return kib / 1024
}

// drain waits until the last job has ended.
func (s server) drain(b *testing.B) {
	for deadline := time.Now().Add(10 * time.Minute); ; time.Sleep(100 * time.Millisecond) {
		request, err := http.NewRequestWithContext(b.Context(), http.MethodGet, s.url+"/api/assets/queue-status", nil)
		if err != nil {
			b.Fatal(err)
		}
		request.Header.Set("Authorization", "Bearer "+token("operator"))
		answer, err := http.DefaultClient.Do(request)
		if err != nil {
			b.Fatal(err)
		}
		var counts struct {
			Data struct{ Completed, Failed int }
		}
		err = json.NewDecoder(answer.Body).Decode(&counts)
		answer.Body.Close()
		if err != nil || counts.Data.Failed > 0 || time.Now().After(deadline) {
			b.Fatalf("%v, after %+v", err, counts.Data)
		}
		if counts.Data.Completed == uploads {
			return
		}
	}
}

func (s server) stop(b *testing.B) {
	s.cmd.Process.Signal(syscall.SIGTERM)
	if err := s.cmd.Wait(); err != nil {
		b.Errorf("the server ended with %v", err)
	}
}
