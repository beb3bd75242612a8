package analyze

import (
	"errors"
	"io"
	"math"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
)

func TestParse(t *testing.T) {
	t.Parallel()
	var (
		long = strings.Repeat("é", 201)
		cut  = long[:400]
	)
	for name, tt := range map[string]struct {
		body string
		want Result
	}{
		"the contract's example": {
			`{"brand": {"value": "Nike", "confidence": 0.95}, "model": {"value": "Air Jordan 1", "confidence": 0.88},
			  "colorway": {"value": "Chicago", "confidence": 0.82}, "processedImageUrl": "https://x/processed.png"}`,
			Result{&Field{"Nike", 0.95}, &Field{"Air Jordan 1", 0.88}, &Field{"Chicago", 0.82}, "https://x/processed.png"},
		},
		"bare strings": {
			`{"brand":"Nike","model":"Dunk","colorway":"Panda"}`,
			Result{&Field{"Nike", 0.8}, &Field{"Dunk", 0.8}, &Field{"Panda", 0.7}, ""},
		},
		"objects without confidence": {
			`{"brand":{"value":"Nike"},"model":{"value":"Dunk","confidence":null},"colorway":{"value":"Panda"}}`,
			Result{&Field{"Nike", 0.8}, &Field{"Dunk", 0.8}, &Field{"Panda", 0.7}, ""},
		},
		"unknown in every spelling": {
			`{"brand":null,"model":{"value":null,"confidence":0},"colorway":{"value":" \t ","confidence":1},"processed_image_url":"http://x/p.png"}`,
			Result{ProcessedImageURL: "http://x/p.png"},
		},
		"empty objects":          {`{"brand":{},"model":"","colorway":"Red","processedImageUrl":""}`, Result{Colorway: &Field{"Red", 0.7}}},
		"trimmed":                {`{"brand":"\n  Nike　 "}`, Result{Brand: &Field{"Nike", 0.8}}},
		"200 characters":         {`{"brand":"` + cut + `"}`, Result{Brand: &Field{cut, 0.8}}},
		"201 characters":         {`{"brand":"` + long + `"}`, Result{Brand: &Field{cut, 0.8}}},
		"control characters":     {`{"brand":"\u001b[2JNi\u0000ke\u009b\u2028!"}`, Result{Brand: &Field{"[2JNi ke  !", 0.8}}},
		"confidence 0":           {`{"brand":{"value":"Nike","confidence":0}}`, Result{Brand: &Field{"Nike", 0}}},
		"confidence 1":           {`{"brand":{"value":"Nike","confidence":1e0}}`, Result{Brand: &Field{"Nike", 1}}},
		"camel before snake":     {`{"processed_image_url":"http://x/s","processedImageUrl":"http://x/c"}`, Result{ProcessedImageURL: "http://x/c"}},
		"snake for empty camel":  {`{"processed_image_url":"http://x/s","processedImageUrl":null}`, Result{ProcessedImageURL: "http://x/s"}},
		"URL as given":           {`{"processedImageUrl":" HTTPS://u:p@X:8443/a b/../ü?q=%zz#f "}`, Result{ProcessedImageURL: "HTTPS://u:p@X:8443/a b/../ü?q=%zz#f"}},
		"the last of two counts": {`{"brand":{"value":"A","confidence":0.1},"brand":{"value":"B"}}`, Result{Brand: &Field{"B", 0.8}}},
		"unknown keys":           {`{"brand":"Nike","size":1e999,"raw":[{}],"BRAND":7}`, Result{Brand: &Field{"Nike", 0.8}}},
		"white space around":     {" \r\n{\"brand\" : \"Nike\"}\t\n", Result{Brand: &Field{"Nike", 0.8}}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := parse([]byte(tt.body))
			if diff := cmp.Diff(tt.want, got); err != nil || diff != "" {
				t.Errorf("%v\n%s", err, diff)
			}
		})
	}
}

func TestParseInvalid(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]string{
		``:                                      "JSON ends too early",
		`{"brand":"Ni`:                          "JSON ends too early",
		`<html>`:                                "no JSON: invalid character '<'",
		`[]`:                                    "not a JSON object, but an array",
		`"Nike"`:                                "not a JSON object, but a string",
		`true`:                                  "not a JSON object, but a boolean",
		`7`:                                     "not a JSON object, but a number",
		`null`:                                  "neither brand, model, colorway nor a processed image",
		`{}`:                                    "neither brand, model, colorway nor a processed image",
		`{"brand":"","model":null}`:             "neither brand, model, colorway nor a processed image",
		`{"brand":"A"}{"brand":"B"}`:            "more than one JSON value",
		`{"brand":"A"} x`:                       "more than one JSON value",
		"{\"brand\":\"\xff\"}":                  "not UTF-8",
		`{"brand":7}`:                           "brand is a number, not a string",
		`{"model":["A"]}`:                       "model is an array, not a string",
		`{"colorway":false}`:                    "colorway is a boolean, not a string",
		`{"brand":{"value":{"value":"A"}}}`:     "brand is an object, not a string",
		`{"brand":{"value":"","confidence":2}}`: "confidence of brand is 2, not a number from 0 to 1",
		`{"brand":{"value":"A","confidence":1.0000001}}`:                                 "confidence of brand is 1.0000001",
		`{"model":{"value":"A","confidence":-0.1}}`:                                      "confidence of model is -0.1",
		`{"brand":{"value":"A","confidence":1e999}}`:                                     "confidence of brand is 1e999",
		`{"brand":{"value":"A","confidence":"0.9"}}`:                                     `confidence of brand is "0.9"`,
		`{"brand":{"value":"A","confidence":[]}}`:                                        "confidence of brand is []",
		`{"brand":{"value":"A","confidence":NaN}}`:                                       "no JSON: invalid character 'N'",
		`{"brand":{"value":"A","confidence":Infinity}}`:                                  "no JSON: invalid character 'I'",
		`{"brand":"A","processedImageUrl":7}`:                                            "processedImageUrl is a number",
		`{"brand":"A","processedImageUrl":"/p.png"}`:                                     `processedImageUrl "/p.png" is no absolute http or https URL`,
		`{"brand":"A","processedImageUrl":"http:p.png"}`:                                 "is no absolute http or https URL",
		`{"brand":"A","processedImageUrl":"http://:80/p"}`:                               "is no absolute http or https URL",
		`{"brand":"A","processedImageUrl":"file:///etc/passwd"}`:                         "is no absolute http or https URL",
		`{"brand":"A","processedImageUrl":"javascript:alert(1)"}`:                        "is no absolute http or https URL",
		`{"brand":"A","processedImageUrl":"data:image/png;base64,"}`:                     "is no absolute http or https URL",
		`{"brand":"A","processedImageUrl":"http://x/\u0000"}`:                            "is no absolute http or https URL",
		`{"brand":"A","processed_image_url":"x","processedImageUrl":"http://x"}`:         "processed_image_url",
		`{"brand":"A","processedImageUrl":"http://x/` + strings.Repeat("p", 2048) + `"}`: "is no absolute http or https URL",
		`{"x":` + strings.Repeat("[", 20_000) + strings.Repeat("]", 20_000) + `}`:        "exceeded max depth",
	} {
		if _, err := parse([]byte(body)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.100s: got %v, want %s", body, err, want)
		}
	}
}

// Some services answer 200 and put the error into the body.
func TestInvalidAnswerKeepsWords(t *testing.T) {
	t.Parallel()
	_, err := answer{status: 200, body: []byte(`{"error":{"message":"model not loaded"}}`)}.result()
	var e *Error
	const want = "invalid answer: neither brand, model, colorway nor a processed image; the service says: model not loaded"
	if !errors.As(err, &e) || e.Class != Permanent || e.Message != want {
		t.Errorf("got %v", err)
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{
		`{"brand":{"value":"Nike","confidence":0.95},"model":"Dunk","colorway":null,"processedImageUrl":"https://x/p.png"}`,
		`{"brand":{"value":" ","confidence":1e-999}}`, `{"error":{"message":"x"},"detail":[{"loc":["a",0],"msg":"b"}]}`,
		"{\"brand\":\"\\ud800\\u0000\"}", `[[[`, `{"brand":{"value":"A","confidence":-0}}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		if words := saidError(body); utf8.RuneCountInString(words) > maxMessage || words != printable(words, maxMessage) {
			t.Errorf("words %q", words)
		}
		r, err := parse(body)
		if err != nil {
			if r != (Result{}) {
				t.Errorf("got both %+v and %v", r, err)
			}
			if errors.Is(err, io.EOF) {
				t.Errorf("a bare io.EOF")
			}
			return
		}
		for _, field := range []*Field{r.Brand, r.Model, r.Colorway} {
			if field == nil {
				continue
			}
			n := utf8.RuneCountInString(field.Value)
			if n < 1 || n > maxValue || field.Value != clean(field.Value) || !utf8.ValidString(field.Value) {
				t.Errorf("value %q", field.Value)
			}
			if math.IsNaN(field.Confidence) || field.Confidence < 0 || field.Confidence > 1 {
				t.Errorf("confidence %v", field.Confidence)
			}
		}
		if u := r.ProcessedImageURL; u != "" && !strings.HasPrefix(strings.ToLower(u), "http") {
			t.Errorf("URL %q", u)
		}
	})
}

var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

func TestParseRetryAfter(t *testing.T) {
	t.Parallel()
	for s, want := range map[string]time.Duration{
		"120":                            2 * time.Minute,
		" 1 ":                            time.Second,
		"0":                              time.Second,
		"301":                            5 * time.Minute,
		"18446744073709551616":           5 * time.Minute,
		strings.Repeat("9", 400):         5 * time.Minute,
		"Mon, 23 Nov 2026 12:01:30 GMT":  90 * time.Second,
		"Monday, 23-Nov-26 12:01:30 GMT": 90 * time.Second,
		"Mon Nov 23 12:01:30 2026":       90 * time.Second,
		"Mon, 23 Nov 2026 11:00:00 GMT":  time.Second,
		"Mon, 23 Nov 2099 11:00:00 GMT":  5 * time.Minute,
	} {
		if got, ok := parseRetryAfter(s, noon); !ok || got != want {
			t.Errorf("%q: got %v, %v; want %v", s, got, ok, want)
		}
	}
	for _, s := range []string{"", " ", "-1", "+1", "1.5", "1e3", "soon", "0x10", "٣"} {
		if got, ok := parseRetryAfter(s, noon); ok {
			t.Errorf("%q: got %v, want nothing", s, got)
		}
	}
}

func FuzzParseRetryAfter(f *testing.F) {
	f.Add("120")
	f.Add("99999999999999999999")
	f.Add("Mon, 23 Nov 2026 12:01:30 GMT")
	f.Add("Fri, 31 Dec 9999 23:59:59 GMT")
	f.Fuzz(func(t *testing.T, s string) {
		got, ok := parseRetryAfter(s, noon)
		if ok && (got < minRetryAfter || got > maxRetryAfter) || !ok && got != 0 {
			t.Errorf("got %v, %v", got, ok)
		}
	})
}
