package httpapi

import (
	"context"
	"errors"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"os"
	"strings"
	"time"

	"loupe/internal/asset"
	"loupe/internal/auth"
	"loupe/internal/image"
	"loupe/internal/pipeline"
)

// The bounds of an upload, besides the size of the photo.
const (
	maxParts      = 20               // fields and files of one form
	maxPartHeader = 64 << 10         // bytes of a part's header, boundary included
	maxField      = 64 << 10         // bytes of a text field that we do not know; it is ignored
	maxCategory   = 100              // bytes of the field "category"
	maxOverhead   = 64 << 10         // bytes of a form beyond its photo
	readIdle      = 30 * time.Second // a sender that sends nothing for so long has gone
	uploadTime    = 15 * time.Minute // for a whole upload
	lingerTime    = 2 * time.Second  // we go on reading after an error, so that the sender reads the answer
)

// upload takes a photo in: POST /api/assets/analyze-queue.
func (a *api) upload(w http.ResponseWriter, r *http.Request, u auth.User) error {
	select {
	case a.inflight <- struct{}{}:
		defer func() { <-a.inflight }()
	default:
		return &apiError{code: codeUnavailable, message: "Too many uploads at once, try again later"}
	}
	if a.Pipeline.Unfinished(r.Context()) >= a.MaxQueue {
		return &apiError{code: codeUnavailable, message: "Too many photos wait for their analysis, try again later"}
	}
	body := newUploadBody(w, r, a.MaxUpload+maxOverhead)
	receipt, err := a.receive(r, body, u)
	if err != nil {
		a.fail(w, r, err)
		body.linger(r)
		return nil
	}
	writeReceipt(w, receipt)
	return nil
}

func writeReceipt(w http.ResponseWriter, receipt pipeline.Receipt) {
	writeData(w, http.StatusAccepted, struct {
		AssetID string       `json:"assetId"`
		JobID   string       `json:"jobId"`
		Status  asset.Status `json:"status"`
		Message string       `json:"message"`
	}{receipt.AssetID, receipt.JobID, receipt.Status, "Asset queued for AI analysis"})
}

// receive reads the form and submits its photo.
func (a *api) receive(r *http.Request, body *uploadBody, u auth.User) (pipeline.Receipt, error) {
	key := r.Header.Get("Idempotency-Key")
	if err := validKey(key); err != nil {
		return pipeline.Receipt{}, err
	}
	if r.ContentLength > body.limit {
		return pipeline.Receipt{}, a.tooLarge()
	}
	r.Body = body
	form, err := r.MultipartReader()
	if err != nil {
		return pipeline.Receipt{}, invalid("Invalid form", "Content-Type", "Must be multipart/form-data with a boundary")
	}
	// The body tells by itself, by its errors and deadlines, when its sender is gone. The context would end as well when
	// a sender that has sent everything closes its half of the connection, and that one waits for an answer.
	f, err := a.readForm(context.WithoutCancel(r.Context()), form, body)
	if err != nil {
		return pipeline.Receipt{}, a.formError(err)
	}
	body.done()
	receipt, err := a.Pipeline.Submit(r.Context(), u.ID, f.category, *f.photo, key)
	if err != nil {
		return receipt, unavailable(err)
	}
	return receipt, nil
}

func validKey(key string) error {
	if len(key) > 255 || strings.ContainsFunc(key, func(r rune) bool { return r < ' ' || r > '~' }) {
		return invalid("Invalid Idempotency-Key", "Idempotency-Key", "Must be at most 255 printable ASCII characters")
	}
	return nil
}

// form is what an upload brings.
type form struct {
	category string
	photo    *pipeline.Photo
}

// readForm reads the parts in whatever order they come. When it fails, a photo that came before is forgotten.
func (a *api) readForm(ctx context.Context, parts *multipart.Reader, body *uploadBody) (f form, err error) {
	defer func() {
		if err != nil && f.photo != nil {
			a.Pipeline.Forget(ctx, *f.photo)
		}
	}()
	for n := 0; ; n++ {
		part, err := body.nextPart(parts)
		if errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
			break
		}
		if err != nil {
			return f, err
		}
		if n == maxParts {
			return f, invalid("Invalid form", "body", fmt.Sprintf("Must have at most %d parts", maxParts))
		}
		if err := a.readPart(ctx, part, &f); err != nil {
			return f, err
		}
	}
	switch {
	case f.photo == nil:
		return f, invalid("Image file is required", "image", "Must be one image file")
	case f.category == "":
		return f, a.badCategory()
	}
	return f, nil
}

func (a *api) readPart(ctx context.Context, part *multipart.Part, f *form) error {
	isFile := part.FileName() != "" || part.Header.Get("Content-Type") != "" && part.FormName() == "image"
	switch name := part.FormName(); {
	case isFile && name != "image":
		return invalid("Unexpected file", name, `The photo must come as the field "image"`)
	case isFile && f.photo != nil:
		return invalid("Too many files", "image", "Must be exactly one image file")
	case isFile:
		photo, err := a.Pipeline.Receive(ctx, part)
		if err != nil {
			return err
		}
		f.photo = &photo
		return nil
	case name == "image":
		return invalid("Image file is required", "image", "Must be a file, with a file name")
	case name == "category":
		value, err := readField(part, maxCategory)
		if err != nil {
			return err
		}
		if f.category != "" || !a.Pipeline.ValidCategory(value) {
			return a.badCategory()
		}
		f.category = value
		return nil
	default:
		_, err := readField(part, maxField)
		return err
	}
}

// readField reads a text field of at most limit bytes.
func readField(part *multipart.Part, limit int64) (string, error) {
	value, err := io.ReadAll(io.LimitReader(part, limit+1))
	if err != nil {
		return "", err
	}
	if int64(len(value)) > limit {
		return "", invalid("Field too long", part.FormName(), fmt.Sprintf("Must be at most %d bytes", limit))
	}
	return string(value), nil
}

func (a *api) badCategory() error {
	return invalid("Invalid category", "category", "Must be one of: "+strings.Join(a.Pipeline.Categories, ", "))
}

func (a *api) tooLarge() error {
	return &apiError{code: codeTooLarge, message: fmt.Sprintf("The photo is larger than %d bytes", a.MaxUpload)}
}

// formError says what was wrong with a form that could not be read to its end.
func (a *api) formError(err error) error {
	if _, ok := errors.AsType[*apiError](err); ok {
		return err
	}
	_, overLimit := errors.AsType[*http.MaxBytesError](err)
	switch {
	case overLimit, errors.Is(err, image.ErrTooLarge):
		return a.tooLarge()
	case errors.Is(err, image.ErrStorage):
		return err
	case errors.Is(err, image.ErrUnsupported):
		return &apiError{
			code: codeUnsupported, message: "The file is not a JPEG, PNG, WebP or GIF image", cause: err,
			details: []detail{{"image", "Must be a JPEG, PNG, WebP or GIF image"}},
		}
	case errors.Is(err, image.ErrEmpty), errors.Is(err, image.ErrTooManyPx), errors.Is(err, image.ErrMalformed):
		return invalid("Invalid image", "image", whatIsWrong(err))
	case errors.Is(err, os.ErrDeadlineExceeded):
		return invalid("The body stopped coming", "body", fmt.Sprintf("Must not pause for longer than %s", readIdle))
	case errors.Is(err, errPartHeader):
		return invalid("Invalid form", "body", fmt.Sprintf("A part's header must be at most %d bytes", maxPartHeader))
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
		return invalid("The body ends early", "body", "Must end with the closing boundary")
	case errors.Is(err, errBody):
		return invalid("Invalid form", "body", "Must be well-formed multipart/form-data")
	}
	return unavailable(err)
}

// whatIsWrong returns what the intake said of an image, without what others have wrapped around it.
func whatIsWrong(err error) string {
	text := err.Error()
	for inner := errors.Unwrap(err); errors.Unwrap(inner) != nil; inner = errors.Unwrap(inner) {
		text = inner.Error() // up to the one that wraps the bare sentinel
	}
	return strings.ToUpper(text[:1]) + text[1:]
}

// errPartHeader: a part's header is too long. errBody: the form is not well-formed, or the connection broke.
var (
	errPartHeader = errors.New("part header too long")
	errBody       = errors.New("cannot read the form")
)

// uploadBody is the body of an upload: bounded in size and in time, and in what a part's header may take.
type uploadBody struct {
	io.ReadCloser
	limit       int64
	control     *http.ResponseController
	end         time.Time
	inHeader    bool
	headerBytes int
	readAny     bool
}

func newUploadBody(w http.ResponseWriter, r *http.Request, limit int64) *uploadBody {
	return &uploadBody{
		ReadCloser: http.MaxBytesReader(w, r.Body, limit),
		limit:      limit,
		control:    http.NewResponseController(w),
		end:        time.Now().Add(uploadTime),
	}
}

// Read gives each read its own deadline, so that a slow sender may go on and a dead one does not.
func (b *uploadBody) Read(p []byte) (int, error) {
	if b.inHeader && b.headerBytes > maxPartHeader {
		return 0, errPartHeader
	}
	deadline := time.Now().Add(readIdle)
	if deadline.After(b.end) {
		deadline = b.end
	}
	_ = b.control.SetReadDeadline(deadline) // not supported by a test's recorder, which does not dawdle
	n, err := b.ReadCloser.Read(p)
	b.readAny = true
	b.headerBytes += n
	return n, err
}

// nextPart returns the next part, whose header is bounded: the reader itself would take 10 MB of it.
func (b *uploadBody) nextPart(parts *multipart.Reader) (*multipart.Part, error) {
	b.inHeader, b.headerBytes = true, 0
	part, err := parts.NextRawPart()
	b.inHeader = false
	if err == io.EOF { // bare, it is the closing boundary; wrapped, a cut body
		return nil, err
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errBody, err)
	}
	return part, nil
}

// done ends the deadlines: the body has come.
func (b *uploadBody) done() { _ = b.control.SetReadDeadline(time.Time{}) }

// linger reads on for a moment after an error answer. A connection that is closed while the sender still sends is reset,
// and the sender would see a broken pipe in place of our answer.
func (b *uploadBody) linger(r *http.Request) {
	if r.Header.Get("Expect") != "" && !b.readAny {
		return // the sender waits for our word before it sends
	}
	_ = b.control.Flush()
	b.end, b.inHeader = time.Now().Add(lingerTime), false
	_, _ = io.Copy(io.Discard, b)
}
