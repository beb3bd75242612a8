package analyze

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

const (
	maxMessage = 500 // characters of an Error's Message
	maxExcerpt = 200 // characters of a body that has no message we know

	minRetryAfter = time.Second
	maxRetryAfter = 5 * time.Minute

	// defaultRetryAfter is for a 429 that does not say how long.
	defaultRetryAfter = 30 * time.Second
)

// refusal classifies an answer by its status. Redirects, and successes other than 200, are answers that the contract does
// not know: permanent, because asking again would bring them again.
func (a answer) refusal() *Error {
	e := &Error{Class: Permanent, Status: a.status, Message: a.words()}
	retryAfter, told := parseRetryAfter(a.header.Get("Retry-After"), time.Now())
	switch {
	case a.status == http.StatusTooManyRequests && !told:
		e.Class, e.RetryAfter = RateLimited, defaultRetryAfter
	case a.status == http.StatusTooManyRequests, a.status == http.StatusServiceUnavailable && told:
		e.Class, e.RetryAfter = RateLimited, retryAfter
	case a.status == http.StatusBadGateway, a.status == http.StatusServiceUnavailable, a.status == http.StatusGatewayTimeout:
		e.Class = Unavailable
	case a.status == http.StatusRequestTimeout, a.status == http.StatusTooEarly, a.status >= 500:
		e.Class = Transient
	}
	return e
}

// words returns what the operator should read of a refusal: the service's own message, else the beginning of its answer.
func (a answer) words() string {
	status := strings.TrimSpace(fmt.Sprintf("answered %d %s", a.status, http.StatusText(a.status)))
	if a.status/100 == 3 {
		if location := a.header.Get("Location"); location != "" {
			status += " to " + location
		}
		return printable(status+"; redirects are not followed, configure the final address", maxMessage)
	}
	if a.status/100 == 2 {
		return status + ", not 200"
	}
	if words := saidError(a.body); words != "" {
		return words
	}
	if words := printable(string(a.body), maxExcerpt); words != "" {
		return words
	}
	return status
}

// saidError returns the message of an error body: error.message, error, or the detail of FastAPI, which is a string or a
// list of what was wrong where. It is "" when the body has none of them.
func saidError(body []byte) string {
	var said struct {
		Error  json.RawMessage `json:"error"`
		Detail json.RawMessage `json:"detail"`
	}
	if json.Unmarshal(body, &said) != nil {
		return ""
	}
	var (
		words  string
		nested struct {
			Message string `json:"message"`
		}
		list []struct {
			Where []any  `json:"loc"`
			What  string `json:"msg"`
		}
	)
	switch {
	case json.Unmarshal(said.Error, &nested) == nil && nested.Message != "":
		words = nested.Message
	case json.Unmarshal(said.Error, &words) == nil && words != "":
	case json.Unmarshal(said.Detail, &words) == nil && words != "":
	case json.Unmarshal(said.Detail, &list) == nil:
		for _, item := range list {
			where := strings.ReplaceAll(strings.Trim(fmt.Sprint(item.Where), "[]"), " ", ".")
			words += strings.TrimPrefix(where+": ", ": ") + item.What + "; "
		}
		words = strings.TrimSuffix(words, "; ")
	}
	return printable(words, maxMessage)
}

// parseRetryAfter reads the header's seconds or HTTP date (RFC 9110, 10.2.3) as a wait from 1 s to 5 min. It is false when
// there is neither.
func parseRetryAfter(s string, now time.Time) (time.Duration, bool) {
	s = strings.TrimSpace(s)
	var wait time.Duration
	if seconds, err := strconv.ParseUint(s, 10, 64); err == nil {
		wait = time.Duration(min(seconds, uint64(maxRetryAfter/time.Second))) * time.Second
	} else if s != "" && strings.Trim(s, "0123456789") == "" {
		wait = maxRetryAfter // more seconds than a uint64 holds
	} else if at, err := http.ParseTime(s); err == nil {
		wait = at.Sub(now)
	} else {
		return 0, false
	}
	return min(max(wait, minRetryAfter), maxRetryAfter), true
}

// printable returns the first limit printable characters of s, each run of others as one space.
func printable(s string, limit int) string {
	var out []rune
	for _, r := range s {
		if r == utf8.RuneError || !unicode.IsPrint(r) {
			r = ' '
		}
		if r == ' ' && (len(out) == 0 || out[len(out)-1] == ' ') {
			continue
		}
		if out = append(out, r); len(out) == limit {
			break
		}
	}
	return strings.TrimSpace(string(out))
}
