package analyze

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
)

// HandlerTransport returns a transport that answers every request by calling h in this process, whatever the request's
// host. It behaves like a connection to a server of h:
//
//   - The answer streams: RoundTrip returns as soon as h writes, a Write of h waits until it is read.
//   - When the request's context ends, or the answer's body is closed, the context that h sees is cancelled and its Writes
//     fail. RoundTrip and reads return at once, even if h takes longer.
//   - When h panics, RoundTrip or the reading of the body fails; the process goes on.
//
// h runs in a goroutine that ends when h returns. It can flush, but not hijack, and has no trailers. Values of the request's
// context do not reach it.
func HandlerTransport(h http.Handler) http.RoundTripper { return handlerTransport{h} }

var errGoexit = errors.New("handler ended its goroutine")

type handlerTransport struct{ handler http.Handler }

func (t handlerTransport) RoundTrip(req *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithCancel(valueless{context.WithoutCancel(req.Context())})
	body, sink := io.Pipe()
	w := &responseWriter{header: http.Header{}, head: make(chan *http.Response, 1), sink: sink, left: -1}
	w.response = &http.Response{
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Request: req,
		Body:    &responseBody{body, cancel},
	}
	unhook := context.AfterFunc(req.Context(), func() {
		cancel()
		sink.CloseWithError(context.Cause(req.Context())) // for a reader; a Write gets io.ErrClosedPipe
	})

	ended := make(chan error, 1)
	go func() {
		err := errGoexit
		defer func() {
			if v := recover(); v != nil {
				err = fmt.Errorf("handler panicked: %v", v)
			}
			ended <- err
			sink.CloseWithError(err) // nil becomes io.EOF
			unhook()
			cancel()
			if req.Body != nil {
				_ = req.Body.Close()
			}
		}()
		t.handler.ServeHTTP(w, serverRequest(ctx, req))
		err = w.finish()
	}()

	select {
	case resp := <-w.head:
		return resp, nil
	case <-req.Context().Done():
		return nil, context.Cause(req.Context())
	case err := <-ended:
		// The head may have been written just before.
		select {
		case resp := <-w.head:
			return resp, nil
		default:
			return nil, err
		}
	}
}

// serverRequest turns a client's request into what a server would have read.
func serverRequest(ctx context.Context, req *http.Request) *http.Request {
	r := req.Clone(ctx)
	r.URL = &url.URL{Path: req.URL.Path, RawPath: req.URL.RawPath, RawQuery: req.URL.RawQuery}
	r.RequestURI = req.URL.RequestURI()
	r.RemoteAddr = "in-process"
	r.Proto, r.ProtoMajor, r.ProtoMinor = "HTTP/1.1", 1, 1
	r.GetBody = nil
	if r.Method == "" {
		r.Method = http.MethodGet
	}
	if r.Host == "" {
		r.Host = req.URL.Host
	}
	if r.Body == nil {
		r.Body = http.NoBody
	}
	return r
}

// valueless hides the values of a context: those of the asking side, such as its connection trace, are not for the handler.
type valueless struct{ context.Context }

func (valueless) Value(any) any { return nil }

type responseBody struct {
	*io.PipeReader
	cancel context.CancelFunc
}

// Close tells the handler that nobody reads on.
func (b *responseBody) Close() error {
	b.cancel()
	return b.PipeReader.Close()
}

// responseWriter is what the handler writes to, one goroutine at a time.
type responseWriter struct {
	header   http.Header
	response *http.Response
	head     chan *http.Response // gets response once
	sent     bool
	bodyless bool // a body is not allowed in this answer
	sink     *io.PipeWriter
	left     int64 // of the declared length, -1 when none was declared
}

func (w *responseWriter) Header() http.Header { return w.header }

func (w *responseWriter) WriteHeader(status int) {
	if status < 100 || status > 999 {
		panic(fmt.Sprintf("invalid status %d", status))
	}
	if w.sent || status < 200 { // nobody here waits for an informational answer
		return
	}
	w.sent = true
	resp := w.response
	resp.StatusCode = status
	resp.Status = fmt.Sprintf("%03d %s", status, http.StatusText(status))
	resp.Header = w.header.Clone()
	w.bodyless = status == http.StatusNoContent || status == http.StatusNotModified || resp.Request.Method == http.MethodHead
	if n, err := strconv.ParseInt(w.header.Get("Content-Length"), 10, 64); err == nil && n >= 0 {
		resp.ContentLength, w.left = n, n
	} else if !w.bodyless {
		resp.ContentLength = -1
		resp.TransferEncoding = []string{"chunked"} // in effect: the reader learns whether the body is whole
	}
	w.head <- resp
}

func (w *responseWriter) Write(p []byte) (int, error) {
	if w.header.Get("Content-Type") == "" {
		w.header.Set("Content-Type", http.DetectContentType(p))
	}
	w.WriteHeader(http.StatusOK)
	if w.bodyless {
		return 0, http.ErrBodyNotAllowed
	}
	if w.left >= 0 && int64(len(p)) > w.left {
		return 0, http.ErrContentLength
	}
	n, err := w.sink.Write(p)
	if w.left >= 0 {
		w.left -= int64(n)
	}
	return n, err
}

// Flush sends the head; what was written has been sent already.
func (w *responseWriter) Flush() { w.WriteHeader(http.StatusOK) }

// finish ends an answer that the handler has returned from.
func (w *responseWriter) finish() error {
	w.WriteHeader(http.StatusOK)
	if w.left > 0 && !w.bodyless {
		return io.ErrUnexpectedEOF
	}
	return nil
}
