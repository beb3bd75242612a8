package analyze

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
)

const maxHeaderValue = 256 // bytes of an id that is sent as a header

// encode returns the body of a question.
func encode(r Request, snakeCase bool) []byte {
	var question any = struct {
		ImageURL string `json:"imageUrl"`
		Category string `json:"category"`
	}{r.ImageURL, r.Category}
	if snakeCase {
		question = struct {
			ImageURL string `json:"image_url"`
			Category string `json:"category"`
		}{r.ImageURL, r.Category}
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false) // URLs are full of ampersands
	if err := e.Encode(question); err != nil {
		panic(err) // two strings can always be encoded
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}

// setHeaders sets what the contract wants beside the body. Ids that are empty are left out.
func setHeaders(h http.Header, r Request) {
	h.Set("Content-Type", "application/json")
	h.Set("Accept", "application/json")
	for name, id := range map[string]string{"X-Request-Id": r.RequestID, "X-Asset-Id": r.AssetID, "X-Job-Id": r.JobID} {
		if id = headerValue(id); id != "" {
			h.Set(name, id)
		}
	}
	h.Set("Traceparent", traceparent(r.AssetID))
}

// headerValue makes an id fit for a header: a job that another producer put on the queue may have any id, and one that a
// header cannot carry must not fail the question.
func headerValue(id string) string {
	id = strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, id)
	return strings.TrimSpace(id[:min(len(id), maxHeaderValue)])
}

// traceparent returns a W3C Trace Context header: version 00, the trace of the asset, a fresh span, sampled.
// See https://www.w3.org/TR/trace-context/#traceparent-header.
func traceparent(assetID string) string {
	trace := sha256.Sum256([]byte(assetID))
	var span [8]byte
	rand.Read(span[:])
	span[7] |= 1 // a span id of zeros only is invalid
	return fmt.Sprintf("00-%x-%x-01", trace[:16], span)
}
