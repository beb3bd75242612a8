package httpapi

import (
	"context"
	"crypto/rand"
	"fmt"
	"net"
	"net/http"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"loupe/internal/auth"
)

// wrap puts around every request what all of them need: an id, CORS, a last resort against panics, log and figures.
func (a *api) wrap(mux *http.ServeMux) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		started := time.Now()
		id := r.Header.Get("X-Request-Id")
		if !validRequestID(id) {
			id = rand.Text()
		}
		r = r.WithContext(context.WithValue(r.Context(), requestIDKey{}, id))
		h, pattern := mux.Handler(r)
		welcome := a.LocalToken == nil || loopbackHost(r.Host)
		if pattern == realtimePattern && welcome {
			h.ServeHTTP(w, r) // takes connections over, and answers CORS by its own rules
			return
		}

		answer := &answer{ResponseWriter: w}
		answer.Header().Set("X-Request-Id", id)
		answer.Header().Set("X-Content-Type-Options", "nosniff")
		defer func() {
			if v := recover(); v != nil {
				a.recovered(answer, r, v)
			}
			took := time.Since(started)
			a.Log.DebugContext(r.Context(), "request", "method", r.Method, "route", pattern, "status", answer.status,
				"took", took, "requestId", id)
			if a.Observe != nil {
				a.Observe(pattern, r.Method, answer.status, took)
			}
		}()
		switch {
		case !welcome:
			a.fail(answer, r, &apiError{code: codeForbidden, message: "Without JWT_SECRET this server answers to loopback names only"})
		case a.cors(answer, r):
		case pattern == "":
			a.noRoute(answer, r, h)
		default:
			mux.ServeHTTP(answer, r)
		}
	})
}

// noRoute answers in our shape where the mux would answer 404 or 405 in plain text.
func (a *api) noRoute(w http.ResponseWriter, r *http.Request, h http.Handler) {
	plain := &discard{header: http.Header{}}
	h.ServeHTTP(plain, r)
	if plain.status == http.StatusMethodNotAllowed {
		allow := plain.header.Get("Allow")
		w.Header().Set("Allow", allow)
		a.fail(w, r, &apiError{code: codeMethod, message: "This address takes " + allow})
		return
	}
	a.fail(w, r, &apiError{code: codeNotFound, message: "No such address"})
}

func (a *api) recovered(w *answer, r *http.Request, v any) {
	err := fmt.Errorf("panic: %v\n%s", v, debug.Stack())
	if w.status == 0 {
		a.fail(w, r, err)
		return
	}
	a.Log.ErrorContext(r.Context(), "request failed half answered", "error", err, "requestId", requestID(r))
	panic(http.ErrAbortHandler) // the client must not take half an answer for a whole one
}

// cors lets the configured origins in, and reports whether it has answered the request, which it does for preflights.
func (a *api) cors(w http.ResponseWriter, r *http.Request) (answered bool) {
	origin := r.Header.Get("Origin")
	if origin == "" || len(a.CORSOrigins) == 0 {
		return false
	}
	w.Header().Add("Vary", "Origin")
	if !slices.Contains(a.CORSOrigins, origin) {
		return false
	}
	w.Header().Set("Access-Control-Allow-Origin", origin)
	w.Header().Set("Access-Control-Expose-Headers", "X-Request-Id, Retry-After")
	if r.Method != http.MethodOptions || r.Header.Get("Access-Control-Request-Method") == "" {
		return false
	}
	w.Header().Set("Access-Control-Allow-Methods", "GET, POST, PATCH, DELETE")
	w.Header().Set("Access-Control-Allow-Headers", "Authorization, Content-Type, Idempotency-Key, X-Request-Id")
	w.Header().Set("Access-Control-Max-Age", "7200")
	w.WriteHeader(http.StatusNoContent)
	return true
}

// loopbackHost reports whether a Host header names this machine's loopback: without a secret this keeps a web page
// elsewhere from reaching us under a name of its own (DNS rebinding).
func loopbackHost(hostport string) bool {
	host, _, err := net.SplitHostPort(hostport)
	if err != nil {
		host = hostport
	}
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return true
	}
	ip := net.ParseIP(strings.Trim(host, "[]"))
	return ip != nil && ip.IsLoopback()
}

type requestIDKey struct{}

// requestID returns the id of the request, which its error answer and the log bear.
func requestID(r *http.Request) string {
	id, _ := r.Context().Value(requestIDKey{}).(string)
	return id
}

// validRequestID accepts a client's own id if it is short and plain.
func validRequestID(id string) bool {
	return id != "" && len(id) <= 64 && strings.Trim(id, "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-_.") == ""
}

// userHandler answers a request of a known user, or returns the error to answer with.
type userHandler func(w http.ResponseWriter, r *http.Request, u auth.User) error

func (a *api) user(h userHandler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		u, err := a.Auth.Verify(bearer(r))
		if err == nil {
			err = h(w, r, u)
		}
		if err != nil {
			a.fail(w, r, err)
		}
	})
}

func (a *api) admin(h userHandler) http.Handler {
	return a.user(func(w http.ResponseWriter, r *http.Request, u auth.User) error {
		if !u.Admin {
			return &apiError{code: codeForbidden, message: "This needs a token with role admin"}
		}
		return h(w, r, u)
	})
}

// bearer returns the token of the Authorization header, "" when there is none. A header of another scheme is returned
// as it is and will not verify.
func bearer(r *http.Request) string {
	header := r.Header.Get("Authorization")
	if scheme, token, _ := strings.Cut(header, " "); strings.EqualFold(scheme, "Bearer") {
		return strings.TrimSpace(token)
	}
	return header
}

// answer remembers the status that was sent.
type answer struct {
	http.ResponseWriter
	status int
}

func (w *answer) WriteHeader(status int) {
	if w.status == 0 && status >= 200 {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *answer) Write(b []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	return w.ResponseWriter.Write(b)
}

// Unwrap is for http.ResponseController.
func (w *answer) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// discard takes an answer and keeps its head only.
type discard struct {
	header http.Header
	status int
}

func (d *discard) Header() http.Header         { return d.header }
func (d *discard) WriteHeader(status int)      { d.status = status }
func (d *discard) Write(b []byte) (int, error) { return len(b), nil }
