package httpapi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"time"

	"loupe/internal/asset"
	"loupe/internal/auth"
	"loupe/internal/image"
	"loupe/internal/pipeline"
	"loupe/internal/queue"
)

// code is an error code of the contract.
type code string

const (
	codeValidation   code = "VALIDATION_ERROR"
	codeUnauthorized code = "UNAUTHORIZED"
	codeInvalidToken code = "INVALID_TOKEN"
	codeTokenExpired code = "TOKEN_EXPIRED"
	codeForbidden    code = "FORBIDDEN"
	codeNotFound     code = "NOT_FOUND"
	codeMethod       code = "METHOD_NOT_ALLOWED"
	codeConflict     code = "CONFLICT"
	codeTooLarge     code = "TOO_LARGE"
	codeUnsupported  code = "UNSUPPORTED_MEDIA_TYPE"
	codeInternal     code = "INTERNAL_ERROR"
	codeUnavailable  code = "UNAVAILABLE"
)

// statuses is the one table from code to HTTP status.
var statuses = map[code]int{
	codeValidation:   http.StatusBadRequest,
	codeUnauthorized: http.StatusUnauthorized,
	codeInvalidToken: http.StatusUnauthorized,
	codeTokenExpired: http.StatusUnauthorized,
	codeForbidden:    http.StatusForbidden,
	codeNotFound:     http.StatusNotFound,
	codeMethod:       http.StatusMethodNotAllowed,
	codeConflict:     http.StatusConflict,
	codeTooLarge:     http.StatusRequestEntityTooLarge,
	codeUnsupported:  http.StatusUnsupportedMediaType,
	codeInternal:     http.StatusInternalServerError,
	codeUnavailable:  http.StatusServiceUnavailable,
}

// retryAfter is what an UNAVAILABLE answer asks the client to wait.
const retryAfter = 5 * time.Second

// apiError is an error as the client sees it. cause, if any, is for the log alone.
type apiError struct {
	code    code
	message string
	details []detail
	cause   error
}

type detail struct {
	Field   string `json:"field"`
	Message string `json:"message"`
}

func (e *apiError) Error() string {
	if e.cause != nil {
		return e.message + ": " + e.cause.Error()
	}
	return e.message
}

func (e *apiError) Unwrap() error { return e.cause }

// invalid is the error of a request with one bad field.
func invalid(message, field, what string) *apiError {
	return &apiError{code: codeValidation, message: message, details: []detail{{field, what}}}
}

// known translates the errors of the packages below. The first that matches counts.
var known = []struct {
	err     error
	code    code
	message string
}{
	{auth.ErrMissing, codeUnauthorized, "Authentication required"},
	{auth.ErrInvalid, codeInvalidToken, "Invalid token"},
	{auth.ErrExpired, codeTokenExpired, "Token expired"},
	{asset.ErrNotFound, codeNotFound, "Asset not found"},
	{asset.ErrConflict, codeConflict, "The asset is not in a state for that"},
	{queue.ErrNotFound, codeNotFound, "Job not found"},
	{queue.ErrState, codeConflict, "The job is not in a state for that"},
	{image.ErrNotFound, codeNotFound, "Image not found"},
	{image.ErrStorage, codeUnavailable, "The image store is unavailable, try again later"},
	{pipeline.ErrKeyReused, codeConflict, "This Idempotency-Key was used for another upload"},
	{pipeline.ErrSuperseded, codeConflict, "The job's asset is gone or has moved on, so replaying it would change nothing"},
}

// asAPIError translates any error. What nobody knows is an internal error, and its text stays inside.
func asAPIError(err error) *apiError {
	if e, ok := errors.AsType[*apiError](err); ok {
		return e
	}
	for _, k := range known {
		if errors.Is(err, k.err) {
			return &apiError{code: k.code, message: k.message, cause: err}
		}
	}
	switch {
	case errors.Is(err, asset.ErrCursor), errors.Is(err, queue.ErrCursor):
		return invalid("Invalid cursor", "cursor", "Must be the nextCursor of an earlier page")
	case errors.Is(err, context.DeadlineExceeded):
		return &apiError{code: codeUnavailable, message: "The server is too busy, try again later", cause: err}
	}
	return &apiError{code: codeInternal, message: "Internal error", cause: err}
}

// unavailable marks the failure of a store or queue that may work again later.
func unavailable(err error) error {
	if e := asAPIError(err); e.code != codeInternal {
		return e
	}
	return &apiError{code: codeUnavailable, message: "The service is unavailable, try again later", cause: err}
}

// fail answers with the one error shape of the contract, and logs what the client is not told.
func (a *api) fail(w http.ResponseWriter, r *http.Request, err error) {
	e := asAPIError(err)
	status := statuses[e.code]
	level := slog.LevelInfo
	if status >= 500 {
		level = slog.LevelError
	}
	a.Log.Log(r.Context(), level, "request refused", "code", e.code, "error", err, "path", r.URL.Path, "requestId", requestID(r))
	if e.code == codeUnavailable {
		w.Header().Set("Retry-After", strconv.Itoa(int(retryAfter.Seconds())))
	}
	if status == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", "Bearer")
	}
	type body struct {
		Code      code     `json:"code"`
		Message   string   `json:"message"`
		RequestID string   `json:"requestId"`
		Details   []detail `json:"details,omitempty"`
	}
	writeJSON(w, status, struct {
		Success bool `json:"success"`
		Error   body `json:"error"`
	}{Error: body{e.code, e.message, requestID(r), e.details}})
}

// writeJSON answers with a JSON body.
func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // the client has gone; there is nobody to tell
}

// writeData answers with the shape that the contract's older routes have.
func writeData(w http.ResponseWriter, status int, data any) {
	writeJSON(w, status, struct {
		Success bool `json:"success"`
		Data    any  `json:"data"`
	}{true, data})
}

// maxJSON bounds the body of a JSON request.
const maxJSON = 64 << 10

// readJSON reads a JSON body into v, which must name every member that may come.
func readJSON(w http.ResponseWriter, r *http.Request, v any) error {
	decoder := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxJSON))
	decoder.DisallowUnknownFields()
	err := decoder.Decode(v)
	if err == nil && decoder.More() {
		err = errors.New("more than one JSON value")
	}
	if err == nil {
		return nil
	}
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return &apiError{code: codeTooLarge, message: fmt.Sprintf("The body is larger than %d bytes", maxJSON)}
	}
	what := strings.TrimPrefix(err.Error(), "json: ")
	if typeError, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		return invalid("Invalid body", typeError.Field, "Must not be a "+typeError.Value)
	}
	return invalid("Invalid body", "body", "Must be a JSON object as documented: "+what)
}
