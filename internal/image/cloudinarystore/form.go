package cloudinarystore

import (
	"bytes"
	"errors"
	"io"
	"maps"
	"mime/multipart"
	"net/url"
	"slices"
	"sync"
)

// A form is the body of an upload: the fields, the picture, the end. The transport reads it in a goroutine of its own,
// which may be inside Read still when the exchange is over. Only after end is the picture's reader the caller's again.
type form struct {
	contentType string
	picture     *picture
	closing     *bytes.Reader // what makes the form whole

	mu    sync.Mutex // held by Read
	parts io.Reader
	whole bool // all has been read
	ended bool
}

func newForm(fields url.Values, filename string, p *picture, x *exchange) *form {
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		w.WriteField(name, fields.Get(name)) //nolint:errcheck // a buffer takes everything
	}
	w.CreateFormFile("file", filename) //nolint:errcheck // see above
	opening := bytes.NewReader(bytes.Clone(b.Bytes()))
	b.Reset()
	w.Close()
	closing := bytes.NewReader(b.Bytes())
	p.exchange = x
	return &form{
		contentType: w.FormDataContentType(), picture: p, closing: closing,
		parts: io.MultiReader(opening, p, closing),
	}
}

var errEnded = errors.New("the exchange is over")

func (f *form) Read(b []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case f.whole:
		return 0, io.EOF
	case f.ended:
		return 0, errEnded
	}
	f.picture.exchange.pause() // it is the sender's turn
	defer f.picture.exchange.resume()
	n, err := f.parts.Read(b)
	f.whole = f.closing.Len() == 0
	f.picture.sent = f.whole
	return n, err
}

// end returns when nobody reads the picture any more.
func (f *form) end() {
	f.mu.Lock()
	f.ended = true
	f.mu.Unlock()
}

// A picture is what Put was given, and how far it has come.
type picture struct {
	r        io.Reader
	exchange *exchange // that carries it now
	asked    bool      // r has been read from
	sent     bool      // with the end of the form: the service may have it
	size     int64     // bytes that r has given
	err      error     // of r, not its end
	panicked any       // by r, in the transport's goroutine: nobody would recover there
}

func (p *picture) Read(b []byte) (n int, err error) {
	if err := p.exchange.over(); err != nil {
		return 0, err
	}
	p.asked = true
	defer func() {
		if p.panicked = recover(); p.panicked != nil {
			err = errEnded
		}
	}()
	n, err = p.r.Read(b)
	p.size += int64(n)
	if err != nil && err != io.EOF { // the end itself; one that is wrapped is a failure
		p.err = err
	}
	if err := p.exchange.over(); err != nil {
		return 0, err // before the form becomes whole
	}
	return n, err
}
