// Package builtin is the analyzer that needs no AI service: an [http.Handler] of the same contract, POST /analyze and
// GET /health.
//
// It sees what pixels show and never invents: colorway is the main colours, named from a small vocabulary; brand and model are
// always unknown. The processed image is the photo upright, without metadata, at most 2048 pixels long: a JPEG, or a PNG if it
// has transparency. Of an animation it is the first frame. Colour profiles are not applied: pixels count as sRGB.
//
// Decoding is bounded in pixels, in time, and in memory for all photos together.
package builtin

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strconv"
	"time"
)

const (
	maxBody    = 64 << 10        // of a question
	retryAfter = 5 * time.Second // what is told when busy or without store
)

// Errors that Open and Save may wrap to say what the answer should be. Every other error is a 500: worth another attempt.
var (
	ErrNotFound    = errors.New("image not found")           // 404
	ErrRefused     = errors.New("image address not allowed") // 403
	ErrTooLarge    = errors.New("image file too large")      // 413
	ErrUnavailable = errors.New("image store not available") // 503 with Retry-After: spends no attempt
)

// Config is what the analyzer needs of the house.
type Config struct {
	// Open returns the picture at a URL. Required.
	Open func(ctx context.Context, imageURL string) (io.ReadCloser, error)

	// Save keeps a processed picture and returns its URL. Default: none is made.
	Save func(ctx context.Context, p Processed) (url string, err error)

	MaxBytes    int64 // of a picture's file. Default 32 MiB.
	MaxPixels   int64 // width × height of a picture. Default 40 megapixels (40,000,000).
	MaxLength   int   // pixels of the longer side of the processed image. Default 2048.
	MaxRequests int   // at once; more are told to come again. Default 32.

	// DecodeMemory bounds what all pictures take at once while they are decoded, in bytes; one that needs more is decoded
	// alone. Default 64 MiB.
	DecodeMemory int64

	// MaxDecode bounds what a single picture may take, in bytes. It is for the few kinds that take much for a pixel: a
	// progressive JPEG 8 to 19, against 1.5 of a common one. Default 384 MiB.
	MaxDecode int64

	// Logger hears of pictures that broke a decoder. Default: nobody.
	Logger *slog.Logger
}

// Processed is a picture that was made of another.
type Processed struct {
	ImageURL string // of the other
	AssetID  string // of the question, as its header X-Asset-Id has it; "" without one
	MIMEType string
	io.Reader
}

func (c Config) withDefaults() Config {
	c.MaxBytes = cmp.Or(c.MaxBytes, 32<<20)
	c.MaxPixels = cmp.Or(c.MaxPixels, 40_000_000)
	c.MaxLength = cmp.Or(c.MaxLength, 2048)
	c.MaxRequests = cmp.Or(c.MaxRequests, 32)
	c.DecodeMemory = cmp.Or(c.DecodeMemory, 64<<20)
	c.MaxDecode = cmp.Or(c.MaxDecode, 384<<20)
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c
}

// New returns the handler.
func New(cfg Config) http.Handler {
	cfg = cfg.withDefaults()
	a := &analyzer{
		cfg:    cfg,
		memory: newBudget(cfg.DecodeMemory),
		places: make(chan struct{}, cfg.MaxRequests),
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/analyze", only(http.MethodPost, a.serveAnalyze))
	mux.HandleFunc("/health", only(http.MethodGet, func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, http.StatusOK, map[string]string{"status": "ok"})
	}))
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		writeError(w, problem{http.StatusNotFound, "not_found", "there are only /analyze and /health"})
	})
	return mux
}

func only(method string, h http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if r.Method != method {
			w.Header().Set("Allow", method)
			writeError(w, problem{http.StatusMethodNotAllowed, "method_not_allowed", "use " + method})
			return
		}
		h(w, r)
	}
}

type analyzer struct {
	cfg    Config
	memory *budget
	places chan struct{} // one for each request that is being served
}

// question is what a client sends, in either spelling. The category does not matter to us.
type question struct {
	Camel string `json:"imageUrl"`
	Snake string `json:"image_url"`
}

// answer is what it gets. Brand and model are never in it.
type answer struct {
	Colorway          *field `json:"colorway,omitempty"`
	ProcessedImageURL string `json:"processedImageUrl,omitempty"`
}

type field struct {
	Value      string  `json:"value"`
	Confidence float64 `json:"confidence"`
}

func (a *analyzer) serveAnalyze(w http.ResponseWriter, r *http.Request) {
	select {
	case a.places <- struct{}{}:
		defer func() { <-a.places }()
	default:
		writeError(w, problem{http.StatusServiceUnavailable, "busy", "too many photos at once"})
		return
	}
	var q question
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) {
		writeError(w, problem{http.StatusRequestEntityTooLarge, "too_large", "the question is larger than 64 KiB"})
		return
	}
	if err == nil {
		err = json.Unmarshal(body, &q)
	}
	if err != nil {
		writeError(w, problem{http.StatusBadRequest, "bad_request", "the question is no JSON object with an imageUrl"})
		return
	}
	imageURL := cmp.Or(q.Camel, q.Snake)
	if imageURL == "" {
		writeError(w, problem{http.StatusBadRequest, "bad_request", "imageUrl is missing"})
		return
	}
	result, err := a.analyze(r.Context(), imageURL, r.Header.Get("X-Asset-Id"))
	if err != nil {
		writeError(w, problemOf(err))
		return
	}
	writeJSON(w, http.StatusOK, result)
}

// analyze looks at one photo.
func (a *analyzer) analyze(ctx context.Context, imageURL, assetID string) (answer, error) {
	file, err := a.cfg.Open(ctx, imageURL)
	if err != nil {
		return answer{}, err
	}
	defer file.Close()
	p, memory, err := a.develop(ctx, file)
	if err != nil {
		return answer{}, err
	}
	defer memory.release()
	result := answer{Colorway: p.colorway}
	if a.cfg.Save != nil {
		result.ProcessedImageURL, err = a.cfg.Save(ctx, Processed{imageURL, assetID, p.mimeType, bytes.NewReader(p.data)})
	}
	return result, err
}

// problem is a failure as the client gets it.
type problem struct {
	status        int
	code, message string
}

// problemOf turns an error into an answer. The client is the pipeline, whose operator should read all of it.
func problemOf(err error) problem {
	for _, p := range []struct {
		err    error
		status int
		code   string
	}{
		{ErrNotFound, http.StatusNotFound, "image_not_found"},
		{ErrRefused, http.StatusForbidden, "image_refused"},
		{ErrTooLarge, http.StatusRequestEntityTooLarge, "image_too_large"},
		{errTooBig, http.StatusRequestEntityTooLarge, "image_too_large"},
		{errUnreadable, http.StatusUnprocessableEntity, "unprocessable_image"},
		{errTooSlow, http.StatusInternalServerError, "too_slow"},
		{ErrUnavailable, http.StatusServiceUnavailable, "unavailable"},
		{context.Canceled, http.StatusServiceUnavailable, "cancelled"}, // by a client that is gone, or a server that stops
	} {
		if errors.Is(err, p.err) {
			return problem{p.status, p.code, err.Error()}
		}
	}
	return problem{http.StatusInternalServerError, "internal", err.Error()}
}

func writeError(w http.ResponseWriter, p problem) {
	if p.status == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", strconv.Itoa(int(retryAfter.Seconds())))
	}
	writeJSON(w, p.status, map[string]any{"error": map[string]string{"code": p.code, "message": p.message}})
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // the client may be gone; nobody is left to tell
}
