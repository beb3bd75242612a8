package builtin

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/color/palette"
	"image/draw"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"loupe/internal/analyze"
	"loupe/internal/sample"
)

// house is what surrounds the analyzer: pictures by URL, and what was saved.
type house struct {
	files map[string][]byte

	mu    sync.Mutex
	saved map[string][]byte // by type
}

func (h *house) config() Config {
	return Config{
		Open: func(_ context.Context, imageURL string) (io.ReadCloser, error) {
			file, ok := h.files[imageURL]
			if !ok {
				return nil, ErrNotFound
			}
			return io.NopCloser(bytes.NewReader(file)), nil
		},
		Save: func(_ context.Context, p Processed) (string, error) {
			data, err := io.ReadAll(p)
			h.mu.Lock()
			defer h.mu.Unlock()
			h.saved = map[string][]byte{p.MIMEType: data}
			return p.ImageURL + ".processed" + p.AssetID, err
		},
	}
}

// redPhoto is a small JPEG of something red.
func redPhoto(t testing.TB) []byte {
	t.Helper()
	return jpegFile(t, sheet(white).noise(0.1).ellipse(0, 0, 0.5, 0.4, red))
}

// ask posts a question and returns status and body of the answer.
func ask(t testing.TB, h http.Handler, body string) (int, http.Header, string) {
	t.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/analyze", strings.NewReader(body)))
	return w.Code, w.Header(), w.Body.String()
}

const question1 = `{"imageUrl":"http://x/a","category":"sneaker"}`

// The way the server goes: the client of the contract, over the transport in the process.
func TestThroughTheClient(t *testing.T) {
	t.Parallel()
	h := house{files: map[string][]byte{"http://x/a": sample.Sneaker(), "http://x/text": []byte("text")}}
	client, err := analyze.New(analyze.Config{URL: "http://builtin", Transport: analyze.HandlerTransport(New(h.config())), SnakeCase: true})
	if err != nil {
		t.Fatal(err)
	}
	if err := client.Health(t.Context()); err != nil {
		t.Error(err)
	}
	r, err := client.Analyze(t.Context(), analyze.Request{ImageURL: "http://x/a", Category: "sneaker", AssetID: "7"})
	if err != nil {
		t.Fatal(err)
	}
	if r.Colorway == nil || r.Colorway.Value != "Red / White / Black" || r.Brand != nil || r.Model != nil || r.ProcessedImageURL != "http://x/a.processed7" {
		t.Errorf("got %+v of %+v", r, r.Colorway)
	}
	_, err = client.Analyze(t.Context(), analyze.Request{ImageURL: "http://x/text"})
	if e := (*analyze.Error)(nil); !errors.As(err, &e) || e.Class != analyze.Permanent || e.Status != 422 {
		t.Errorf("got %v, want a permanent 422", err)
	}
}

func TestProcessedImage(t *testing.T) {
	t.Parallel()
	box := func(w, h int) image.Rectangle { return image.Rect(0, 0, w, h) }
	glass := image.NewNRGBA(box(40, 30))
	draw.Draw(glass, box(20, 30), image.NewUniform(red), image.Point{}, draw.Src)
	deep := image.NewNRGBA64(box(40, 30))
	draw.Draw(deep, deep.Rect, image.NewUniform(navy), image.Point{}, draw.Src)
	plain := func(img draw.Image, c color.Color) draw.Image {
		draw.Draw(img, img.Bounds(), image.NewUniform(c), image.Point{}, draw.Src)
		return img
	}
	paletted := func(c color.Color) *image.Paletted {
		return plain(image.NewPaletted(box(40, 30), palette.WebSafe), c).(*image.Paletted)
	}
	cyan, blue := rgb(0x00ffff), rgb(0x0000ff)
	always := func(int, int) bool { return true }

	for name, tt := range map[string]struct {
		file     []byte
		w, h     int
		mimeType string
		middle   color.Color
	}{
		"one pixel":           {pngFile(t, plain(image.NewGray(box(1, 1)), grey)), 1, 1, "image/jpeg", grey},
		"never enlarged":      {jpegFile(t, plain(image.NewRGBA(box(40, 30)), red)), 40, 30, "image/jpeg", red},
		"wide":                {jpegFile(t, plain(image.NewGray(box(4100, 100)), grey)), 2048, 50, "image/jpeg", grey},
		"high":                {pngFile(t, plain(image.NewGray(box(3, 9000)), grey)), 1, 2048, "image/jpeg", grey},
		"grey JPEG":           {jpegFile(t, plain(image.NewGray(box(40, 30)), grey)), 40, 30, "image/jpeg", grey},
		"grey with 16 bits":   {pngFile(t, plain(image.NewGray16(box(40, 30)), grey)), 40, 30, "image/jpeg", grey},
		"colour with 16 bits": {pngFile(t, deep), 40, 30, "image/jpeg", navy},
		"transparent":         {pngFile(t, glass), 40, 30, "image/png", color.NRGBA{}},
		"palette":             {pngFile(t, paletted(color.RGBA{204, 0, 0, 255})), 40, 30, "image/jpeg", color.RGBA{204, 0, 0, 255}},
		"GIF":                 {gifFile(t, paletted(color.RGBA{0, 0, 204, 255}), paletted(white)), 40, 30, "image/jpeg", color.RGBA{0, 0, 204, 255}},
		"progressive JPEG":    {solidJPEG(40, 30, true, 120), 40, 30, "image/jpeg", color.Gray{120}},
		"RGB JPEG":            {solidJPEG(40, 30, false, 200, 32, 42), 40, 30, "image/jpeg", red},
		"CMYK JPEG":           {solidJPEG(40, 30, false, 255, 0, 0, 255), 40, 30, "image/jpeg", color.RGBA{255, 0, 0, 255}},
		"WebP":                {webpFile(vp8l(40, 30, 255, always)), 40, 30, "image/jpeg", cyan},
		"transparent WebP":    {webpFile(vp8x(16, 40, 30), vp8l(40, 30, 77, never)), 40, 30, "image/png", color.NRGBA{0, 0, 255, 77}},
		"animated WebP": {
			webpFile(vp8x(2|16, 40, 30), riffChunk("ANIM", make([]byte, 6)), anmf(40, 30, vp8l(40, 30, 255, never)), anmf(40, 30, vp8l(40, 30, 255, always))),
			40, 30, "image/jpeg", blue,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := house{files: map[string][]byte{"http://x/a": tt.file}}
			status, _, body := ask(t, New(h.config()), question1)
			if status != 200 || !strings.Contains(body, `"processedImageUrl":"http://x/a.processed"`) {
				t.Fatalf("got %d %s", status, body)
			}
			data, ok := h.saved[tt.mimeType]
			if !ok {
				t.Fatalf("saved no %s", tt.mimeType)
			}
			img, err := formatOf(data).decode(bytes.NewReader(data))
			if err != nil {
				t.Fatal(err)
			}
			if size := img.Bounds(); size.Dx() != tt.w || size.Dy() != tt.h {
				t.Errorf("size %v, want %d × %d", size, tt.w, tt.h)
			}
			got := color.NRGBAModel.Convert(img.At(tt.w/2, tt.h/2)).(color.NRGBA)
			want := color.NRGBAModel.Convert(tt.middle).(color.NRGBA)
			if want.A == 0 && got.A == 0 {
				return
			}
			for i, d := range []int{int(got.R) - int(want.R), int(got.G) - int(want.G), int(got.B) - int(want.B), int(got.A) - int(want.A)} {
				if d < -6 || d > 6 {
					t.Errorf("channel %d of the middle: %v, want %v", i, got, want)
				}
			}
		})
	}
}

// The upper left quarter of the upright picture is bright. Metadata is gone: nothing but the pixels tells which way is up.
func TestProcessedImageIsUpright(t *testing.T) {
	t.Parallel()
	for o := 1; o <= 8; o++ {
		const w, h = 60, 40 // as stored
		bright := func(x, y int) bool {
			dx, dy := upright(x, y, w, h, o)
			if o >= 5 {
				return dx < h/2 && dy < w/2
			}
			return dx < w/2 && dy < h/2
		}
		stored := image.NewGray(image.Rect(0, 0, w, h))
		for i := range stored.Pix {
			if bright(i%w, i/w) {
				stored.Pix[i] = 255
			}
		}
		exif := exifBlock(binary.BigEndian, uint16(o))
		for name, file := range map[string][]byte{
			"JPEG": withEXIF(jpegFile(t, stored), exif), "PNG": withEXIF(pngFile(t, stored), exif),
			"WebP": withEXIF(webpFile(vp8x(8, w, h), vp8l(w, h, 255, bright)), exif),
		} {
			house := house{files: map[string][]byte{"http://x/a": file}}
			if status, _, body := ask(t, New(house.config()), question1); status != 200 {
				t.Fatalf("%s %d: got %d %s", name, o, status, body)
			}
			data := house.saved["image/jpeg"]
			if bytes.Contains(data, []byte("Exif")) {
				t.Errorf("%s %d: metadata is left", name, o)
			}
			img, err := formatJPEG.decode(bytes.NewReader(data))
			if err != nil {
				t.Fatal(err)
			}
			wantW, wantH := w, h
			if o >= 5 {
				wantW, wantH = h, w
			}
			if b := img.Bounds(); b.Dx() != wantW || b.Dy() != wantH {
				t.Errorf("%s %d: size %v", name, o, b)
			}
			for i, at := range []image.Point{{5, 5}, {wantW - 5, 5}, {5, wantH - 5}, {wantW - 5, wantH - 5}} {
				if _, g, _, _ := img.At(at.X, at.Y).RGBA(); (g > 0x8000) != (i == 0) {
					t.Errorf("%s %d: corner %d has green %d", name, o, i, g>>8)
				}
			}
		}
	}
}

func TestBadPictures(t *testing.T) {
	t.Parallel()
	photo := jpegFile(t, image.NewRGBA(image.Rect(0, 0, 200, 200)))
	for name, tt := range map[string]struct {
		file   []byte
		status int
		code   string
	}{
		"empty":             {nil, 422, "unprocessable_image"},
		"text":              {[]byte("<svg xmlns='http://www.w3.org/2000/svg'/>"), 422, "unprocessable_image"},
		"truncated JPEG":    {photo[:len(photo)-100], 422, "unprocessable_image"},
		"JPEG of a head":    {photo[:30], 422, "unprocessable_image"},
		"truncated PNG":     {pngHead(20, 20), 422, "unprocessable_image"},
		"truncated WebP":    {webpFile(vp8l(20, 20, 255, never))[:28], 422, "unprocessable_image"},
		"still of nothing":  {webpFile(vp8x(2, 20, 20)), 422, "unprocessable_image"},
		"100,000 × 100,000": {pngHead(100_000, 100_000), 413, "image_too_large"},
		"a long line":       {pngHead(1_000_000, 1), 413, "image_too_large"},
		"no pixels":         {pngHead(0, 5), 422, "unprocessable_image"},
		"64,250 × 64,250":   {declare(solidJPEG(8, 8, false, 9), 64_250, 64_250), 413, "image_too_large"},
		"65,535² GIF":       {[]byte("GIF89a\xff\xff\xff\xff\x00\x00\x00"), 413, "image_too_large"},
		"costly pixels":     {declare(solidJPEG(8, 8, true, 9, 9, 9), 7300, 5400), 413, "image_too_large"},
		"16,384² WebP":      {webpFile(vp8x(0, 16384, 16384)), 413, "image_too_large"},
		"too many bytes":    {append(bytes.Clone(photo[:2]), bytes.Repeat(segment(0xe2, make([]byte, 60_000)...), 30)...), 413, "image_too_large"},
		"endless garbage":   {append(bytes.Clone(photo[:len(photo)-2]), bytes.Repeat([]byte{0xff, 0}, 1<<20)...), 413, "image_too_large"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := house{files: map[string][]byte{"http://x/a": tt.file}}
			cfg := h.config()
			cfg.MaxBytes = 1 << 20
			checkError(t, New(cfg), question1, tt.status, tt.code)
			if h.saved != nil {
				t.Error("something was saved")
			}
		})
	}
}

// declare changes the size that a JPEG claims to have.
func declare(file []byte, width, height uint16) []byte {
	sof := max(bytes.Index(file, []byte{0xff, 0xc0}), bytes.Index(file, []byte{0xff, 0xc2}))
	binary.BigEndian.PutUint16(file[sof+5:], height)
	binary.BigEndian.PutUint16(file[sof+7:], width)
	return file
}

// checkError asks and expects that status and code, in the shape of the contract.
func checkError(t *testing.T, h http.Handler, question string, status int, code string) {
	t.Helper()
	got, header, body := ask(t, h, question)
	var e struct {
		Error struct{ Code, Message string }
	}
	if err := json.Unmarshal([]byte(body), &e); err != nil || got != status || e.Error.Code != code || e.Error.Message == "" {
		t.Errorf("got %d %s, want %d %s", got, body, status, code)
	}
	if (status == 503) != (header.Get("Retry-After") == "5") || header.Get("Content-Type") != "application/json" {
		t.Errorf("header %v", header)
	}
}

func TestQuestions(t *testing.T) {
	t.Parallel()
	h := house{files: map[string][]byte{"http://x/a": redPhoto(t)}}
	handler := New(h.config())
	for question, code := range map[string]string{
		``: "bad_request", `{`: "bad_request", `[]`: "bad_request", `null`: "bad_request", `{}`: "bad_request", `{"imageUrl":7}`: "bad_request",
		`{"imageUrl":"","category":"sneaker"}`: "bad_request",
	} {
		checkError(t, handler, question, 400, code)
	}
	checkError(t, handler, `{"imageUrl":"`+strings.Repeat("x", 70_000)+`"}`, 413, "too_large")
	checkError(t, handler, `{"imageUrl":"http://x/other"}`, 404, "image_not_found")
	for _, question := range []string{question1, `{"image_url":"http://x/a","category":7,"more":[]}`} {
		if status, _, body := ask(t, handler, question); status != 200 {
			t.Errorf("%s: got %d %s", question, status, body)
		}
	}
	for _, tt := range []struct {
		method, path string
		status       int
		body         string
	}{
		{"GET", "/health", 200, `{"status":"ok"}`},
		{"POST", "/health", 405, `{"error":{"code":"method_not_allowed","message":"use GET"}}`},
		{"GET", "/analyze", 405, `{"error":{"code":"method_not_allowed","message":"use POST"}}`},
		{"GET", "/", 404, `{"error":{"code":"not_found","message":"there are only /analyze and /health"}}`},
	} {
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, httptest.NewRequest(tt.method, tt.path, nil))
		if w.Code != tt.status || strings.TrimSpace(w.Body.String()) != tt.body {
			t.Errorf("%s %s: got %d %s", tt.method, tt.path, w.Code, w.Body)
		}
	}
}

func TestOpenAndSaveFail(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		err    error
		status int
		code   string
	}{
		{ErrNotFound, 404, "image_not_found"},
		{fmt.Errorf("x: %w", ErrRefused), 403, "image_refused"},
		{ErrTooLarge, 413, "image_too_large"},
		{ErrUnavailable, 503, "unavailable"},
		{errors.New("host is down"), 500, "internal"},
		{context.DeadlineExceeded, 500, "internal"},
	} {
		h := house{files: map[string][]byte{"http://x/a": redPhoto(t)}}
		cfg := h.config()
		cfg.Save = func(context.Context, Processed) (string, error) { return "", tt.err }
		checkError(t, New(cfg), question1, tt.status, tt.code)
		cfg.Open = func(context.Context, string) (io.ReadCloser, error) { return nil, tt.err }
		checkError(t, New(cfg), question1, tt.status, tt.code)
		cfg.Open = func(context.Context, string) (io.ReadCloser, error) {
			file := io.MultiReader(bytes.NewReader(h.files["http://x/a"][:len(h.files["http://x/a"])/2]), failing{tt.err})
			return io.NopCloser(file), nil
		}
		checkError(t, New(cfg), question1, tt.status, tt.code) // in the middle of the file
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

func TestNoSave(t *testing.T) {
	t.Parallel()
	h := house{files: map[string][]byte{"http://x/a": redPhoto(t)}}
	cfg := h.config()
	cfg.Save = nil
	status, _, body := ask(t, New(cfg), question1)
	if status != 200 || strings.Contains(body, "processedImageUrl") || !strings.Contains(body, `"Red"`) {
		t.Errorf("got %d %s", status, body)
	}
}

func TestBusy(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		handler := New(Config{MaxRequests: 2, Open: func(context.Context, string) (io.ReadCloser, error) {
			<-release
			return nil, ErrNotFound
		}})
		var others sync.WaitGroup
		for range 2 {
			others.Go(func() { ask(t, handler, question1) })
		}
		synctest.Wait()
		checkError(t, handler, question1, 503, "busy")
		close(release)
		others.Wait()
		checkError(t, handler, question1, 404, "image_not_found")
	})
}

// A photo that arrives too slowly once it has its memory is given up, for now.
func TestSlowPicture(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		file := sample.NoiseJPEG(1, 600, 400)
		cfg := Config{Open: func(context.Context, string) (io.ReadCloser, error) {
			return io.NopCloser(io.MultiReader(bytes.NewReader(file[:minHead]), &slow{file[minHead:]})), nil
		}}
		start := time.Now()
		checkError(t, New(cfg), question1, 500, "too_slow")
		if took := time.Since(start); took < decodeTimeout || took > decodeTimeout+time.Second {
			t.Errorf("took %v", took)
		}
	})
}

// slow gives a byte a second.
type slow struct{ rest []byte }

func (s *slow) Read(p []byte) (int, error) {
	<-time.After(time.Second)
	n := copy(p[:1], s.rest)
	s.rest = s.rest[n:]
	return n, nil
}

// Who goes away frees what the photo held, in whichever stage it is.
func TestCancelled(t *testing.T) {
	t.Parallel()
	file := sample.NoiseJPEG(1, 600, 400)
	for name, cancelAt := range map[string]int{"in the head": 10, "among the pixels": 100_000} {
		ctx, cancel := context.WithCancel(t.Context())
		cfg := Config{Open: func(context.Context, string) (io.ReadCloser, error) {
			read := 0
			return io.NopCloser(readFunc(func(p []byte) (int, error) {
				n := copy(p[:min(len(p), 1000)], file[read:])
				if read += n; read > cancelAt {
					cancel()
				}
				return n, nil
			})), nil
		}}.withDefaults()
		a := &analyzer{cfg: cfg, memory: newBudget(1)}
		if _, err := a.analyze(ctx, "http://x/a", ""); !errors.Is(err, context.Canceled) {
			t.Errorf("%s: got %v", name, err)
		}
		if a.memory.free != 1 {
			t.Errorf("%s: memory is still claimed", name)
		}
	}
}

func TestDecoderPanic(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	a := &analyzer{cfg: Config{Logger: slog.New(slog.NewTextHandler(&log, nil))}}
	broken := &format{name: "Broken", decode: func(io.Reader) (image.Image, error) { panic("index out of range") }}
	_, err := a.decode(nil, &header{format: broken})
	if !errors.Is(err, errUnreadable) || !strings.Contains(log.String(), "index out of range") {
		t.Errorf("got %v, logged %s", err, &log)
	}
}

func FuzzHandler(f *testing.F) {
	gray := image.NewGray(image.Rect(0, 0, 30, 20))
	for _, file := range [][]byte{
		withEXIF(jpegFile(f, gray), exifBlock(binary.BigEndian, 6)), pngFile(f, gray), solidJPEG(9, 9, true, 1, 2, 3, 4),
		gifFile(f, image.NewPaletted(gray.Rect, color.Palette{color.Transparent, color.White})),
		webpFile(vp8x(2|16, 20, 10), riffChunk("ANIM", make([]byte, 6)), anmf(20, 10, vp8l(20, 10, 255, never))),
		withEXIF(webpFile(vp8x(8|16, 20, 10), vp8l(20, 10, 9, never)), exifBlock(binary.LittleEndian, 3)), pngHead(100_000, 100_000),
	} {
		f.Add(question1, file)
	}
	f.Add(`{"image_url":"http://x/a"}`, []byte("text"))
	f.Fuzz(func(t *testing.T, question string, file []byte) {
		h := house{files: map[string][]byte{"http://x/a": file}}
		cfg := h.config()
		cfg.MaxPixels = 100_000
		var failed string
		cfg.Logger = slog.New(slog.NewTextHandler(writeFunc(func(p []byte) { failed = string(p) }), nil))
		status, _, body := ask(t, New(cfg), question)
		var answer struct {
			Colorway *struct {
				Value      string
				Confidence float64
			}
			ProcessedImageURL string
			Error             *problem
		}
		if err := json.Unmarshal([]byte(body), &answer); err != nil {
			t.Errorf("%d %q", status, body)
		}
		switch status {
		case 200:
			if c := answer.Colorway; c != nil && (c.Value == "" || c.Confidence < minConfidence || c.Confidence > maxConfidence) {
				t.Errorf("colorway %+v", c)
			}
			data := cmp.Or(string(h.saved["image/jpeg"]), string(h.saved["image/png"]))
			if config, err := formatOf([]byte(data)).decodeConfig(strings.NewReader(data)); err != nil || max(config.Width, config.Height) > 2048 {
				t.Errorf("saved %+v, %v", config, err)
			}
		case 400, 404, 413, 422:
			if answer.Error == nil || h.saved != nil {
				t.Errorf("%d %q", status, body)
			}
		default:
			t.Errorf("%d %q", status, body)
		}
		if failed != "" {
			t.Error(failed)
		}
	})
}

type writeFunc func([]byte)

func (f writeFunc) Write(p []byte) (int, error) {
	f(p)
	return len(p), nil
}

// BenchmarkPhoto looks at a photo of a good camera: 12 megapixels, 10 MB.
func BenchmarkPhoto(b *testing.B) {
	h := house{files: map[string][]byte{"http://x/a": sample.NoiseJPEG(1, 4000, 3000)}}
	handler := New(h.config())
	b.ReportAllocs()
	for b.Loop() {
		if status, _, body := ask(b, handler, question1); status != 200 {
			b.Fatal(body)
		}
	}
}
