package packet

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
)

// Value is an argument as it came: JSON, in which binary data stands as a base64 string, wherever it was nested. Sent on
// as an argument, or as part of one, it is what it was, attachments included.
type Value []byte

// Bind decodes the value into the variable that dst points to, as [json.Unmarshal] does. Binary data goes into []byte
// and [Binary].
func (v Value) Bind(dst any) error { return json.Unmarshal(v, dst) }

// MarshalJSON returns the value itself.
func (v Value) MarshalJSON() ([]byte, error) {
	if v == nil {
		return []byte("null"), nil
	}
	return v, nil
}

// UnmarshalJSON keeps a copy of data.
func (v *Value) UnmarshalJSON(data []byte) error {
	*v = bytes.Clone(data)
	return nil
}

// String returns the JSON.
func (v Value) String() string { return string(v) }

// Binary is data that leaves as an attachment, wherever it stands in an argument. Outside of packets it is the same JSON
// as a []byte. A []byte that is an argument itself needs no conversion.
type Binary []byte

// MarshalJSON returns base64.
func (b Binary) MarshalJSON() ([]byte, error) { return appendMarked(nil, b), nil }

// mark is how the base64 strings begin that stand for attachments. It is an escaped newline, which decoders of base64
// pass over and which no encoder of JSON writes so: they write \n. Strings that come in with it are rewritten.
var (
	mark     = []byte(`"\u000a`)
	unmarked = []byte(`"\n`)
)

func appendMarked(dst, data []byte) []byte {
	return append(base64.StdEncoding.AppendEncode(append(dst, mark...), data), '"')
}

// nextMark returns the index of the next string in b that begins with the mark, -1 if there is none. A quotation mark
// behind a backslash does not begin a string.
func nextMark(b []byte) int {
	for from := 0; ; {
		i := bytes.Index(b[from:], mark)
		if i < 0 {
			return -1
		}
		if i += from; i == 0 || b[i-1] != '\\' {
			return i
		}
		from = i + len(mark)
	}
}

// unmark takes from the strings in received JSON what would make them look like attachments.
func unmark(b []byte) []byte {
	i := nextMark(b)
	if i < 0 {
		return b
	}
	clean := make([]byte, 0, len(b))
	for ; i >= 0; i = nextMark(b) {
		clean = append(append(clean, b[:i]...), unmarked...)
		b = b[i+len(mark):]
	}
	return append(clean, b...)
}

// detach appends JSON to dst with placeholders for its marked strings, whose data it appends to attachments.
func detach(dst, b []byte, attachments [][]byte) ([]byte, [][]byte) {
	for {
		i := nextMark(b)
		if i < 0 {
			return append(dst, b...), attachments
		}
		text := b[i+len(mark):]
		end := max(0, bytes.IndexByte(text, '"'))
		data := make([]byte, base64.StdEncoding.DecodedLen(end))
		n, err := base64.StdEncoding.Decode(data, text[:end])
		if err != nil { // not ours
			dst = append(dst, b[:i+len(mark)]...)
			b = text
			continue
		}
		dst = appendPlaceholder(append(dst, b[:i]...), len(attachments))
		attachments = append(attachments, data[:n])
		b = text[end+1:]
	}
}
