package analyze

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"unicode"
	"unicode/utf8"
)

const (
	maxValue = 200  // characters of a field's value; what is longer is cut
	maxURL   = 2048 // bytes of a processed image's URL; a longer one is invalid

	// What a field that comes without a confidence gets.
	identityConfidence = 0.8 // brand, model
	colorwayConfidence = 0.7
)

// answer is what came back, whatever its status.
type answer struct {
	status    int
	header    http.Header
	body      []byte // at most limit bytes
	limit     int64
	tooLarge  bool // there was more than limit
	openEnded bool // nothing but the end of the connection says that body is whole
}

// result reads an answer to a question.
func (a answer) result() (Result, error) {
	if a.status != http.StatusOK {
		return Result{}, a.refusal()
	}
	if a.tooLarge {
		return Result{}, a.invalid(fmt.Errorf("larger than %d bytes", a.limit))
	}
	r, err := parse(a.body)
	if errors.Is(err, io.ErrUnexpectedEOF) && a.openEnded {
		return Result{}, &Error{Class: Transient, Status: a.status, Message: "answer broke off", Err: err}
	}
	if err != nil {
		return Result{}, a.invalid(err)
	}
	return r, nil
}

// invalid is a 200 that says nothing we can use. Some services put their error there.
func (a answer) invalid(err error) *Error {
	message := "invalid answer: " + err.Error()
	if words := saidError(a.body); words != "" {
		message += "; the service says: " + words
	}
	return &Error{Class: Permanent, Status: a.status, Message: printable(message, maxMessage), Err: err}
}

// parse reads the body of a 200, leniently as the contract says. Of a key that stands there twice the last counts, keys
// we do not know are skipped. A body that ends too early is an [io.ErrUnexpectedEOF].
func parse(body []byte) (Result, error) {
	if !utf8.Valid(body) {
		return Result{}, errors.New("not UTF-8")
	}
	top, err := object(body)
	if err != nil {
		return Result{}, err
	}
	var r Result
	if r.Brand, err = field("brand", top["brand"], identityConfidence); err != nil {
		return Result{}, err
	}
	if r.Model, err = field("model", top["model"], identityConfidence); err != nil {
		return Result{}, err
	}
	if r.Colorway, err = field("colorway", top["colorway"], colorwayConfidence); err != nil {
		return Result{}, err
	}
	for _, name := range []string{"processedImageUrl", "processed_image_url"} {
		u, err := imageURL(name, top[name])
		if err != nil {
			return Result{}, err
		}
		if r.ProcessedImageURL == "" {
			r.ProcessedImageURL = u
		}
	}
	if r == (Result{}) {
		// Neither active nor partial could come of it, and asking again would not change that.
		return Result{}, errors.New("neither brand, model, colorway nor a processed image")
	}
	return r, nil
}

// field reads a bare string or {"value", "confidence"}. It is nil when the value is unknown.
func field(name string, raw json.RawMessage, confidence float64) (*Field, error) {
	value := raw
	if kind(raw) == "an object" {
		members, err := object(raw)
		if err != nil {
			return nil, err
		}
		value = members["value"]
		if c := members["confidence"]; kind(c) != "null" {
			// NaN is no JSON; what is too large for a float64 is an error here.
			if err := json.Unmarshal(c, &confidence); err != nil || confidence < 0 || confidence > 1 {
				return nil, fmt.Errorf("confidence of %s is %.40s, not a number from 0 to 1", name, c)
			}
		}
	}
	s, err := text(name, value)
	if err != nil {
		return nil, err
	}
	if s = clean(s); s == "" {
		return nil, nil
	}
	return &Field{Value: s, Confidence: confidence}, nil
}

// clean trims a value and cuts it to 200 characters. Control characters and line breaks of any kind become spaces: values
// end up on terminals.
func clean(s string) string {
	s = strings.TrimSpace(strings.Map(func(r rune) rune {
		if unicode.In(r, unicode.Cc, unicode.Zl, unicode.Zp) {
			return ' '
		}
		return r
	}, s))
	if utf8.RuneCountInString(s) > maxValue {
		s = strings.TrimSpace(string([]rune(s)[:maxValue]))
	}
	return s
}

// imageURL reads the address of a processed image, "" when there is none.
func imageURL(name string, raw json.RawMessage) (string, error) {
	s, err := text(name, raw)
	if err != nil {
		return "", err
	}
	if s = strings.TrimSpace(s); s == "" {
		return "", nil
	}
	if u, err := url.Parse(s); err != nil || !absoluteHTTP(u) || len(s) > maxURL {
		return "", fmt.Errorf("%s %.100q is no absolute http or https URL", name, s)
	}
	return s, nil
}

// text reads a string; null and nothing are "".
func text(name string, raw json.RawMessage) (string, error) {
	switch k := kind(raw); k {
	case "null":
		return "", nil
	case "a string":
		var s string
		err := json.Unmarshal(raw, &s)
		return s, err
	default:
		return "", fmt.Errorf("%s is %s, not a string", name, k)
	}
}

// kind names the type of a JSON value. Nothing counts as null.
func kind(raw json.RawMessage) string {
	switch raw = bytes.TrimSpace(raw); {
	case len(raw) == 0 || raw[0] == 'n':
		return "null"
	case raw[0] == '"':
		return "a string"
	case raw[0] == '{':
		return "an object"
	case raw[0] == '[':
		return "an array"
	case raw[0] == 't' || raw[0] == 'f':
		return "a boolean"
	default:
		return "a number"
	}
}

// object reads exactly one JSON object; null is an empty one.
func object(raw []byte) (map[string]json.RawMessage, error) {
	var members map[string]json.RawMessage
	d := json.NewDecoder(bytes.NewReader(raw))
	err := d.Decode(&members)
	if wrongType := (*json.UnmarshalTypeError)(nil); errors.As(err, &wrongType) {
		return nil, errors.New("not a JSON object, but " + kind(raw))
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return nil, fmt.Errorf("JSON ends too early: %w", io.ErrUnexpectedEOF)
	}
	if err != nil {
		return nil, fmt.Errorf("no JSON: %w", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("more than one JSON value")
	}
	return members, nil
}
