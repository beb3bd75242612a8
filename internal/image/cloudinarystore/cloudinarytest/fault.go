package cloudinarytest

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
)

// A Fault answers a call in place of the service; whole is what the service would do. Faults can be put around each other.
// Unless it says otherwise a fault answers before it has read what is sent.
type Fault func(w http.ResponseWriter, r *http.Request, whole http.Handler)

// Refuse answers with a status and an error of the API, the way Cloudinary does for 400, 401, 403, 404, 409, 420, 423, 429
// and 500.
func Refuse(status int, message string) Fault {
	return early(func(w http.ResponseWriter) { refuse(w, status, message) })
}

// Answer answers with a status and any body.
func Answer(status int, contentType, body string) Fault {
	return early(func(w http.ResponseWriter) {
		w.Header().Set("Content-Type", contentType)
		w.WriteHeader(status)
		io.WriteString(w, body)
	})
}

// HTML answers with a page, as load balancers and captive portals do.
func HTML(status int) Fault {
	return Answer(status, "text/html", "<!DOCTYPE html><html><body><h1>"+http.StatusText(status)+"</h1></body></html>")
}

// Endless answers with bytes that do not end before the client does.
func Endless(contentType string) Fault {
	return early(func(w http.ResponseWriter) {
		w.Header().Set("Content-Type", contentType)
		chunk := make([]byte, 64<<10)
		for {
			if _, err := w.Write(chunk); err != nil {
				return
			}
		}
	})
}

// Redirect answers with a redirect to the address that was asked.
func Redirect() Fault {
	return func(w http.ResponseWriter, r *http.Request, _ http.Handler) {
		fullDuplex(w)
		http.Redirect(w, r, r.URL.Path, http.StatusTemporaryRedirect)
	}
}

// Hang answers nothing until the client is gone or the test is over.
func Hang() Fault {
	return func(_ http.ResponseWriter, r *http.Request, _ http.Handler) { <-r.Context().Done() }
}

// Reset breaks the connection off.
func Reset() Fault {
	return func(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			panic(err)
		}
		conn.(*net.TCPConn).SetLinger(0)
		conn.Close()
	}
}

// Cut gives the service's own answer with its full length announced, but only its first half, and breaks the connection
// off.
func Cut() Fault {
	return func(w http.ResponseWriter, r *http.Request, whole http.Handler) {
		answer := httptest.NewRecorder()
		whole.ServeHTTP(answer, r)
		w.Header().Set("Content-Type", answer.Header().Get("Content-Type"))
		w.Header().Set("Content-Length", answer.Header().Get("Content-Length"))
		if w.Header().Get("Content-Length") == "" {
			w.Header().Set("Content-Length", "100000")
		}
		w.WriteHeader(answer.Code)
		w.Write(answer.Body.Bytes()[:answer.Body.Len()/2])
		http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	}
}

// Read reads what is sent to its end before f answers; nothing is kept.
func Read(f Fault) Fault {
	return func(w http.ResponseWriter, r *http.Request, whole http.Handler) {
		io.Copy(io.Discard, r.Body)
		f(w, r, whole)
	}
}

// Done does what was asked before f answers: the answer is wrong, the deed is done.
func Done(f Fault) Fault {
	return func(w http.ResponseWriter, r *http.Request, whole http.Handler) {
		whole.ServeHTTP(httptest.NewRecorder(), r)
		io.Copy(io.Discard, r.Body) // so that the connection's end is seen
		f(w, r, whole)
	}
}

// First lets f answer the first n calls; after them the service is whole.
func First(n int, f Fault) Fault {
	var calls atomic.Int64
	return func(w http.ResponseWriter, r *http.Request, whole http.Handler) {
		if calls.Add(1) > int64(n) {
			whole.ServeHTTP(w, r)
			return
		}
		f(w, r, whole)
	}
}

func early(f func(http.ResponseWriter)) Fault {
	return func(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
		fullDuplex(w)
		f(w)
	}
}

// fullDuplex lets an answer go out while the request is still coming in: net/http would read that first. The connection
// is of no use afterwards.
func fullDuplex(w http.ResponseWriter) {
	w.Header().Set("Connection", "close")
	if err := http.NewResponseController(w).EnableFullDuplex(); err != nil {
		panic(err)
	}
}
