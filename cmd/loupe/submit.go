package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"

	"loupe/internal/auth"
	"loupe/socketio/client"
)

func submitCommand() *command {
	var server, user, category string
	var asJSON bool
	var timeout time.Duration
	return &command{
		name:  "submit",
		args:  "FILE…",
		short: "upload photos and watch what becomes of them",
		long: "Each photo is uploaded, then its steps are shown as the server tells them, then the result. Several go side by\n" +
			"side. The exit code is 0 if all ended well, 3 if an asset ended as failed, 1 if something else went wrong.\n" +
			"It talks to the running server with LOUPE_TOKEN, or with a token for --user that it mints with JWT_SECRET or\n" +
			"the secret in the data directory.",
		example: "loupe submit --category sneaker left.jpg right.jpg",
		setFlags: func(f *flag.FlagSet) {
			f.StringVar(&category, "category", "", "`category` of the photos (required)")
			f.StringVar(&server, "server", "", "`URL` of the server (default LOUPE_PUBLIC_URL, else this machine at PORT)")
			f.StringVar(&user, "user", localUser, "`id` of the user to be, where the token is minted")
			f.DurationVar(&timeout, "timeout", 10*time.Minute, "give up after this time")
			f.BoolVar(&asJSON, "json", false, "print the final event of each photo as JSON, one a line, and nothing else")
		},
		run: func(ctx context.Context, in *invocation) error {
			if category == "" {
				return usagef("--category is required")
			}
			if len(in.args) == 0 {
				return usagef("name at least one photo")
			}
			photos := make([]photo, len(in.args))
			for i, path := range in.args {
				info, err := os.Stat(path)
				if err != nil {
					return err
				}
				photos[i] = photo{
					name: filepath.Base(path), size: info.Size(), category: category,
					open: func() (io.ReadCloser, error) { return os.Open(path) },
				}
			}
			if server == "" {
				server = in.config.serverURL()
			}
			api, err := newAPIClient(in.config, server, auth.User{ID: user})
			if err != nil {
				return err
			}
			ctx, cancel := context.WithTimeoutCause(ctx, timeout, fmt.Errorf("gave up after %s", timeout))
			defer cancel()
			var show watcher = newBoard(in.stdout, photos)
			if asJSON {
				show = &jsonLines{w: in.stdout}
			}
			return submit(ctx, api, photos, show)
		},
	}
}

// photo is one photo to submit.
type photo struct {
	name     string
	size     int64
	category string
	open     func() (io.ReadCloser, error)
}

// watcher is told how each photo, named by its index, fares. Calls come from many goroutines.
type watcher interface {
	sent(i int, bytes int64)
	step(i int, text string)
	done(i int, event json.RawMessage, text string)
}

// sideBySide is how many photos are uploaded at once.
const sideBySide = 4

// pollEvery is how often an asset is asked for, in case its event was lost on the way.
const pollEvery = 5 * time.Second

// submission is one call of submit.
type submission struct {
	api    *apiClient
	photos []photo
	show   watcher

	mu     sync.Mutex
	assets map[string]*waiting // by asset id
}

// waiting is an asset whose events are awaited; events may come before the answer to its upload.
type waiting struct {
	index  int // of its photo, -1 until the upload is answered
	steps  []json.RawMessage
	result chan json.RawMessage
}

// submit uploads photos and returns when each has its result.
func submit(ctx context.Context, api *apiClient, photos []photo, show watcher) error {
	s := &submission{api: api, photos: photos, show: show, assets: make(map[string]*waiting)}
	socket, err := client.Dial(ctx, api.base, client.Config{
		Auth:     map[string]string{"token": api.token},
		Handlers: map[string]client.Handler{"asset_progress": s.progress, "asset_processed": s.processed},
	})
	if err != nil {
		return api.unreachable(err)
	}
	defer socket.Close()

	slots := make(chan struct{}, sideBySide)
	errs := make([]error, len(photos))
	var wait sync.WaitGroup
	for i := range photos {
		wait.Go(func() { errs[i] = s.one(ctx, i, slots) })
	}
	wait.Wait()
	for i, err := range errs {
		if err != nil && !errors.Is(err, errSomeFailed) {
			errs[i] = fmt.Errorf("%s: %w", photos[i].name, err)
		}
	}
	return worst(errs)
}

// worst returns all errors but errSomeFailed, or that if there is no other.
func worst(errs []error) error {
	var failed error
	var others []error
	for _, err := range errs {
		if errors.Is(err, errSomeFailed) {
			failed = err
		} else if err != nil {
			others = append(others, err)
		}
	}
	if len(others) > 0 {
		return errors.Join(others...)
	}
	return failed
}

// one submits one photo and waits for its result.
func (s *submission) one(ctx context.Context, i int, slots chan struct{}) error {
	slots <- struct{}{}
	id, err := s.upload(ctx, i)
	<-slots
	if err != nil {
		s.show.step(i, "refused: "+err.Error())
		return err
	}
	w := s.await(id, i)
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		select {
		case event := <-w.result:
			status, text := describe(event)
			s.show.done(i, event, text)
			if status == "failed" {
				return errSomeFailed
			}
			return nil
		case <-tick.C:
			if event := s.ask(ctx, id); event != nil {
				w.tell(event)
			}
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// upload sends the photo as a stream and returns the id of its asset.
func (s *submission) upload(ctx context.Context, i int) (assetID string, err error) {
	p := s.photos[i]
	file, err := p.open()
	if err != nil {
		return "", err
	}
	defer file.Close()
	reader, writer := io.Pipe()
	defer reader.Close()
	form := multipart.NewWriter(writer)
	go func() {
		counted := &countingReader{Reader: file, tell: func(n int64) { s.show.sent(i, n) }}
		writer.CloseWithError(writeForm(form, p, counted))
	}()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.api.base+"/api/assets/analyze-queue", reader)
	if err != nil {
		return "", err
	}
	req.Header.Set("Content-Type", form.FormDataContentType())
	var receipt struct{ Data struct{ AssetID string } }
	if err := s.api.send(req, &receipt); err != nil {
		return "", err
	}
	return receipt.Data.AssetID, nil
}

func writeForm(form *multipart.Writer, p photo, r io.Reader) error {
	if err := form.WriteField("category", p.category); err != nil {
		return err
	}
	part, err := form.CreateFormFile("image", p.name)
	if err != nil {
		return err
	}
	if _, err := io.Copy(part, r); err != nil {
		return err
	}
	return form.Close()
}

// countingReader tells how much has been read.
type countingReader struct {
	io.Reader
	n    int64
	tell func(int64)
}

func (r *countingReader) Read(p []byte) (int, error) {
	n, err := r.Reader.Read(p)
	if n > 0 {
		r.n += int64(n)
		r.tell(r.n)
	}
	return n, err
}

// asset returns what is awaited of an asset, known or not yet.
func (s *submission) asset(id string) *waiting {
	w := s.assets[id]
	if w == nil {
		w = &waiting{index: -1, result: make(chan json.RawMessage, 1)}
		s.assets[id] = w
	}
	return w
}

// await connects a photo with its asset and shows the steps that came before the answer.
func (s *submission) await(id string, i int) *waiting {
	s.mu.Lock()
	defer s.mu.Unlock()
	w := s.asset(id)
	w.index = i
	for _, step := range w.steps {
		s.showStep(i, step)
	}
	w.steps = nil
	return w
}

func (w *waiting) tell(event json.RawMessage) {
	select {
	case w.result <- event:
	default: // it has been told
	}
}

func (s *submission) progress(args []client.Value) {
	id, event := eventOf(args)
	if id == "" {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if w := s.asset(id); w.index >= 0 {
		s.showStep(w.index, event)
	} else {
		w.steps = append(w.steps, event)
	}
}

func (s *submission) processed(args []client.Value) {
	id, event := eventOf(args)
	if id == "" {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asset(id).tell(event)
}

// eventOf returns an event and the id of the asset it is about; an event without one is nobody's.
func eventOf(args []client.Value) (assetID string, event json.RawMessage) {
	if len(args) == 0 {
		return "", nil
	}
	var about struct{ AssetID string }
	if err := json.Unmarshal(args[0], &about); err != nil {
		return "", nil
	}
	return about.AssetID, json.RawMessage(args[0])
}

func (s *submission) showStep(i int, raw json.RawMessage) {
	var p struct {
		Status               string
		Attempt, MaxAttempts int
		RetryAt              time.Time
	}
	if json.Unmarshal(raw, &p) != nil {
		return
	}
	text := p.Status
	if p.Attempt > 0 {
		text = fmt.Sprintf("%s, attempt %d of %d", p.Status, p.Attempt, p.MaxAttempts)
	}
	if !p.RetryAt.IsZero() {
		text = fmt.Sprintf("attempt %d of %d failed, next at %s", p.Attempt, p.MaxAttempts, p.RetryAt.Local().Format(time.TimeOnly))
	}
	s.show.step(i, text)
}

// ask returns the event that a finished asset amounts to, nil for one that is not finished.
func (s *submission) ask(ctx context.Context, id string) json.RawMessage {
	var a struct {
		ID     string
		Status string
		Images struct{ Processed struct{ URL string } }
		AI     struct {
			Brand, Model, Colorway json.RawMessage
			Error                  string
		} `json:"aiMetadata"`
	}
	if s.api.do(ctx, http.MethodGet, "/api/assets/"+id, nil, &a) != nil {
		return nil // it will be asked again
	}
	switch a.Status {
	case "active", "partial", "failed":
	default:
		return nil
	}
	event, _ := json.Marshal(map[string]any{
		"assetId": a.ID, "status": a.Status, "error": a.AI.Error, "processedImageUrl": a.Images.Processed.URL,
		"aiMetadata": map[string]any{"brand": a.AI.Brand, "model": a.AI.Model, "colorway": a.AI.Colorway},
	})
	return event
}

// describe puts a final event into words.
func describe(event json.RawMessage) (status, text string) {
	type field struct {
		Value      string
		Confidence float64
	}
	var e struct {
		Status, Error, ProcessedImageURL string
		AIMetadata                       struct{ Brand, Model, Colorway field }
	}
	if err := json.Unmarshal(event, &e); err != nil {
		return "", "strange event: " + err.Error()
	}
	text = e.Status
	if e.Error != "" {
		return e.Status, text + ": " + e.Error
	}
	for _, f := range []struct {
		name string
		field
	}{{"brand", e.AIMetadata.Brand}, {"model", e.AIMetadata.Model}, {"colorway", e.AIMetadata.Colorway}} {
		if f.Value != "" {
			text += fmt.Sprintf(", %s %s (%.0f%%)", f.name, f.Value, 100*f.Confidence)
		}
	}
	if e.ProcessedImageURL != "" {
		text += ", " + e.ProcessedImageURL
	}
	return e.Status, text
}
