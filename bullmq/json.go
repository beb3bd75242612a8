package bullmq

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// What other versions and Redis' own JSON encoder store is read leniently: an empty array arrives as {}, a null as
// nothing, a long integer as a float, and what somebody set by hand as a string. What is written is plain compact JSON.

var errNoObject = errors.New("not a JSON object")

// eachMember calls visit with the name and the raw value of each member of the object s, in order. An empty text, null
// and an array have none. It checks the structure of s only: a value may still be invalid in itself.
func eachMember(s string, visit func(name, value string)) error {
	i := skipSpace(s, 0)
	if i == len(s) || s[i] == '[' || s[i:] == "null" {
		return nil
	}
	if s[i] != '{' {
		return errNoObject
	}
	for i = skipSpace(s, i+1); i < len(s); i = skipSpace(s, i+1) {
		if s[i] == '}' {
			return nil
		}
		end := skipValue(s, i)
		colon := skipSpace(s, end)
		start := skipSpace(s, colon+1)
		if s[i] != '"' || colon >= len(s) || s[colon] != ':' {
			return errNoObject
		}
		name := text(s[i:end])
		end = skipValue(s, start)
		if i = skipSpace(s, end); end == start || i == len(s) || s[i] != ',' && s[i] != '}' {
			return errNoObject
		}
		visit(name, s[start:end])
		if s[i] == '}' {
			return nil
		}
	}
	return errNoObject
}

// skipSpace returns the index of the first byte from i on that is no white space; it may be called beyond the end.
func skipSpace(s string, i int) int {
	for i < len(s) && (s[i] == ' ' || s[i] == '\n' || s[i] == '\t' || s[i] == '\r') {
		i++
	}
	return min(i, len(s))
}

// skipValue returns the index behind the value that starts at i, which is i if none does.
func skipValue(s string, i int) int {
	depth := 0
	for ; i < len(s); i++ {
		switch s[i] {
		case '"':
			for i++; i < len(s) && s[i] != '"'; i++ {
				if s[i] == '\\' {
					i++
				}
			}
			if depth == 0 {
				return min(i+1, len(s))
			}
		case '{', '[':
			depth++
		case '}', ']':
			if depth--; depth < 0 {
				return i
			}
			if depth == 0 {
				return i + 1
			}
		case ',', ':', ' ', '\n', '\t', '\r':
			if depth == 0 {
				return i
			}
		}
	}
	return len(s)
}

// text reads a string; what is none stands for itself, except null.
func text(raw string) string {
	switch {
	case raw == "null":
		return ""
	case len(raw) < 2 || raw[0] != '"':
		return strings.ToValidUTF8(raw, "\ufffd")
	}
	inner := raw[1 : len(raw)-1]
	for i := range len(inner) {
		if inner[i] == '\\' || inner[i] < ' ' || inner[i] >= utf8.RuneSelf {
			var s string
			if json.Unmarshal([]byte(raw), &s) != nil {
				return strings.ToValidUTF8(inner, "\ufffd")
			}
			return s
		}
	}
	return inner
}

// number reads a number, or a string that holds one.
func number(raw string) (float64, bool) {
	f, err := strconv.ParseFloat(text(raw), 64)
	if errors.Is(err, strconv.ErrSyntax) || math.IsNaN(f) {
		return 0, false
	}
	return f, true // an infinity is cut off by who uses it
}

// integer reads a number without its fraction, and 0 where there is none.
func integer(raw string) int {
	f, _ := number(raw)
	return int(clamp(f))
}

// millis reads a number of milliseconds.
func millis(raw string) time.Duration {
	f, _ := number(raw)
	return duration(f, time.Millisecond)
}

// duration returns n units, or what comes closest.
func duration(n float64, unit time.Duration) time.Duration {
	most := float64(math.MaxInt64 / unit)
	return time.Duration(max(-most, min(n, most)) * float64(unit))
}

// moment reads a time in milliseconds since 1970; where there is none, or 0, the zero time.
func moment(raw string) time.Time {
	f, _ := number(raw)
	if f == 0 {
		return time.Time{}
	}
	return time.UnixMilli(clamp(f))
}

// truth reads a value as JavaScript does where it asks for a bool.
func truth(raw string) bool {
	switch raw {
	case "", "false", "null", `""`, "0":
		return false
	}
	return true
}

// clamp converts to an integer of at most 53 bits, which is all that a script or a Node process can count with.
func clamp(f float64) int64 {
	const most = 1 << 53
	return int64(max(-most, min(f, most)))
}

// encode returns v as compact JSON without HTML escapes. A [json.RawMessage] is taken as it is.
func encode(v any) ([]byte, error) {
	if raw, ok := v.(json.RawMessage); ok {
		if !json.Valid(raw) {
			return nil, errors.New("the raw message is not JSON")
		}
		return raw, nil
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, fmt.Errorf("encode %T: %w", v, err)
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// appendText appends s as a JSON string.
func appendText(b []byte, s string) []byte {
	for i := range len(s) {
		if s[i] < ' ' || s[i] == '"' || s[i] == '\\' || s[i] >= utf8.RuneSelf {
			quoted, err := encode(s)
			if err != nil {
				panic(err) // a string can always be encoded
			}
			return append(b, quoted...)
		}
	}
	b = append(b, '"')
	b = append(b, s...)
	return append(b, '"')
}
