// Package analyze asks an AI service what is on a photo, by the contract POST /analyze.
//
// [Client] speaks to a service over HTTP or, through the same code, to the built-in analyzer of package builtin.
// It classifies every failure once ([Error]); what follows from a class is the pipeline's matter.
package analyze

import (
	"context"
	"time"
)

// Analyzer looks at one photo.
type Analyzer interface {
	// Analyze returns what the service says, or an [*Error] that carries the class of the failure. When ctx ended
	// early the error wraps its cause and has no class.
	Analyze(ctx context.Context, r Request) (Result, error)
}

// Request is one question.
type Request struct {
	ImageURL string
	Category string

	// For the headers X-Asset-Id, X-Job-Id and X-Request-Id; the trace id of traceparent is made of the asset id, so
	// that all attempts at an asset are one trace.
	AssetID   string
	JobID     string
	RequestID string
}

// Result is a valid answer. Unknown fields are nil; one of them, or the processed image, is always known.
type Result struct {
	Brand, Model, Colorway *Field
	ProcessedImageURL      string // "" when there is none
}

// Field is one recognised property: 1 to 200 characters, with a confidence from 0 to 1.
type Field struct {
	Value      string
	Confidence float64
}

// Class says what kind of failure an [Error] is.
type Class string

// The classes of the AI contract.
const (
	Permanent   Class = "permanent"    // no further attempt can help
	Transient   Class = "transient"    // counts an attempt, then backoff
	RateLimited Class = "rate_limited" // the service asks to wait; spends nothing
	Unavailable Class = "unavailable"  // the service is not there; spends nothing
)

// Error is a failed question.
type Error struct {
	Class      Class
	Status     int           // HTTP status of the answer, 0 when there was none
	Message    string        // the service's own words for the operator, at most 500 characters; or ours
	RetryAfter time.Duration // with RateLimited: how long to wait, from 1 s to 5 min
	Err        error         // the cause, may be nil
}

func (e *Error) Error() string { return "AI service: " + e.Message }

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }
