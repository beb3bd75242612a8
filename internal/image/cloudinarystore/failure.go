package cloudinarystore

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"loupe/internal/image"
)

// Class says what kind of trouble an [Error] is: who can end it, and whether time does.
type Class string

// The classes of trouble.
const (
	Refused     Class = "refused"      // the service does not want this request or picture, now or later
	Credentials Class = "credentials"  // key, secret or cloud are wrong, or the account may not do this
	RateLimited Class = "rate limited" // too many requests, or a quota is spent
	Unavailable Class = "unavailable"  // no connection, no answer in time, or the service says that it cannot now
	Malformed   Class = "malformed"    // an answer that is not Cloudinary's: something else may be at this address
)

// Error is trouble with the service. It is an [image.ErrStorage], and wraps what caused it.
type Error struct {
	Call    string // upload, destroy or fetch
	Class   Class
	Status  int    // of the HTTP answer, 0 when none came
	Message string // what happened, with the service's own words if it said any; holds no secret
	Err     error  // the cause, nil when it is the answer that Message tells of

	again bool // it may go well if tried again at once
}

func (e *Error) Error() string {
	return fmt.Sprintf("cloudinary %s: %s: %s", e.Call, e.Class, e.Message)
}

// Unwrap returns [image.ErrStorage] and the cause.
func (e *Error) Unwrap() []error {
	if e.Err == nil {
		return []error{image.ErrStorage}
	}
	return []error{image.ErrStorage, e.Err}
}

// final returns err, as one that is not to be tried again.
func final(err error) error {
	if trouble, ok := errors.AsType[*Error](err); ok {
		trouble.again = false
	}
	return err
}

// denied reports whether the service said no, and so has done nothing of what it was asked.
func (e *Error) denied() bool { return e.Status >= 400 && e.Class != Unavailable }

func classOf(status int) Class {
	switch {
	case status == http.StatusUnauthorized, status == http.StatusForbidden:
		return Credentials
	case status == http.StatusTooManyRequests, status == statusEnhanceYourCalm:
		return RateLimited
	case status >= 500, status == http.StatusRequestTimeout, status == http.StatusLocked, status == http.StatusTooEarly:
		return Unavailable
	case status >= 400:
		return Refused
	}
	return Malformed
}

// statusEnhanceYourCalm is the status that Cloudinary uses, beside 429, when a limit is reached.
const statusEnhanceYourCalm = 420

const maxWords = 300 // of the service that an Error repeats, in characters

// refusal is the error for an answer whose status is not 200.
func refusal(call string, status int, header http.Header, body []byte) *Error {
	e := &Error{Call: call, Class: classOf(status), Status: status}
	e.again = e.Class == Unavailable
	e.Message = strings.TrimSpace(fmt.Sprintf("answered %d %s", status, http.StatusText(status)))
	switch words := said(header, body); {
	case words != "":
		e.Message += fmt.Sprintf(": %.*q", maxWords, words)
	case status/100 == 3:
		e.Message += fmt.Sprintf(" to %.*q; redirects are not followed", maxWords, header.Get("Location"))
	default:
		e.Message += fmt.Sprintf(", with %.*q instead of Cloudinary's reasons", maxWords, header.Get("Content-Type"))
	}
	switch {
	case e.Class != Credentials:
	case call == callFetch:
		e.Message += "; the account restricts the delivery of its pictures"
	default:
		e.Message += "; check key, secret and cloud in CLOUDINARY_URL"
	}
	return e
}

// said returns the service's own words: in the body of an answer of its API, in a header where a picture was wanted.
func said(header http.Header, body []byte) string {
	var answer struct {
		Error struct {
			Message string `json:"message"`
		} `json:"error"`
	}
	if json.Unmarshal(body, &answer) == nil && answer.Error.Message != "" {
		return answer.Error.Message
	}
	return header.Get("X-Cld-Error")
}
