package redisadapter

import (
	"encoding/binary"
	"encoding/json"
	"math"
	"strconv"
	"unicode/utf8"

	"loupe/socketio/packet"
)

// The append functions write MessagePack as notepack.io does: whole numbers and lengths in the shortest form, all other
// numbers as float64.

func appendHeader(b []byte, n int, fix byte, fixMax int, wide byte) []byte {
	switch {
	case n <= fixMax:
		return append(b, fix|byte(n))
	case n <= math.MaxUint16:
		return binary.BigEndian.AppendUint16(append(b, wide), uint16(n))
	default:
		return binary.BigEndian.AppendUint32(append(b, wide+1), uint32(n))
	}
}

func appendArray(b []byte, n int) []byte { return appendHeader(b, n, 0x90, 15, 0xdc) }
func appendMap(b []byte, n int) []byte   { return appendHeader(b, n, 0x80, 15, 0xde) }

func appendStr[S string | []byte](b []byte, s S) []byte {
	if n := len(s); n > 31 && n <= math.MaxUint8 {
		b = append(b, 0xd9, byte(n))
	} else {
		b = appendHeader(b, n, 0xa0, 31, 0xda)
	}
	return append(b, s...)
}

func appendBin(b, data []byte) []byte {
	if n := len(data); n <= math.MaxUint8 {
		b = append(b, 0xc4, byte(n))
	} else {
		b = appendHeader(b, n, 0, -1, 0xc5)
	}
	return append(b, data...)
}

func appendInt(b []byte, v int64) []byte {
	switch {
	case v >= 0:
		return appendUint(b, uint64(v))
	case v >= -32:
		return append(b, byte(v))
	case v >= math.MinInt8:
		return append(b, 0xd0, byte(v))
	case v >= math.MinInt16:
		return binary.BigEndian.AppendUint16(append(b, 0xd1), uint16(v))
	case v >= math.MinInt32:
		return binary.BigEndian.AppendUint32(append(b, 0xd2), uint32(v))
	default:
		return binary.BigEndian.AppendUint64(append(b, 0xd3), uint64(v))
	}
}

func appendUint(b []byte, v uint64) []byte {
	switch {
	case v < 0x80:
		return append(b, byte(v))
	case v <= math.MaxUint8:
		return append(b, 0xcc, byte(v))
	case v <= math.MaxUint16:
		return binary.BigEndian.AppendUint16(append(b, 0xcd), uint16(v))
	case v <= math.MaxUint32:
		return binary.BigEndian.AppendUint32(append(b, 0xce), uint32(v))
	default:
		return binary.BigEndian.AppendUint64(append(b, 0xcf), v)
	}
}

// encoder makes MessagePack of JSON.
type encoder struct {
	src         []byte
	i           int
	sizes       []int // of the containers, in the order in which they open
	attachments [][]byte
	out         []byte
}

// appendJSON appends the JSON value src. The attachments, if there are any, take the place of their placeholders.
func appendJSON(dst, src []byte, attachments [][]byte) ([]byte, error) {
	var room [32]int
	e := encoder{src: src, sizes: sizes(room[:0], src), attachments: attachments, out: dst}
	if err := e.value(0); err != nil {
		return nil, err
	}
	if e.space(); e.i != len(src) {
		return nil, errJSON
	}
	return e.out, nil
}

// sizes appends how many elements, or pairs, each container has. Of invalid JSON it may miss some or count what is not
// there; the encoder notices.
func sizes(dst []int, src []byte) []int {
	var room [16]int
	open := room[:0] // indices in dst
	filled := false  // something was in the innermost container since its beginning
	for i := 0; i < len(src); i++ {
		switch src[i] {
		case ' ', '\n', '\r', '\t':
			continue
		case '"':
			for i++; i < len(src) && src[i] != '"'; i++ {
				if src[i] == '\\' {
					i++
				}
			}
		case '[', '{':
			open, dst = append(open, len(dst)), append(dst, 0)
			filled = false
			continue
		case ',':
			if len(open) > 0 {
				dst[open[len(open)-1]]++
			}
		case ']', '}':
			if len(open) > 0 {
				if filled {
					dst[open[len(open)-1]]++
				}
				open = open[:len(open)-1]
			}
		}
		filled = true
	}
	return dst
}

func (e *encoder) space() {
	for e.i < len(e.src) && (e.src[e.i] == ' ' || e.src[e.i] == '\n' || e.src[e.i] == '\r' || e.src[e.i] == '\t') {
		e.i++
	}
}

// peek returns the next character that is no space, 0 at the end.
func (e *encoder) peek() byte {
	if e.space(); e.i == len(e.src) {
		return 0
	}
	return e.src[e.i]
}

// accept steps over the character c if it comes next.
func (e *encoder) accept(c byte) error {
	if e.peek() != c {
		return errJSON
	}
	e.i++
	return nil
}

// value encodes the value at e.i, which stands in depth containers.
func (e *encoder) value(depth int) error {
	switch c := e.peek(); c {
	case '[', '{':
		if depth == packet.MaxDepth {
			return errDepth
		}
		return e.container(c == '{', depth+1)
	case '"':
		return e.string()
	case 't':
		return e.literal("true", 0xc3)
	case 'f':
		return e.literal("false", 0xc2)
	case 'n':
		return e.literal("null", 0xc0)
	default:
		return e.number()
	}
}

func (e *encoder) container(object bool, depth int) error {
	if len(e.sizes) == 0 {
		return errJSON
	}
	n := e.sizes[0]
	e.sizes = e.sizes[1:]
	closing := byte(']')
	if object {
		if e.placeholder() {
			return nil
		}
		closing = '}'
		e.out = appendMap(e.out, n)
	} else {
		e.out = appendArray(e.out, n)
	}
	e.i++
	for j := range n {
		if j > 0 {
			if err := e.accept(','); err != nil {
				return err
			}
		}
		if object {
			if e.peek() != '"' {
				return errJSON
			}
			if err := e.string(); err != nil {
				return err
			}
			if err := e.accept(':'); err != nil {
				return err
			}
		}
		if err := e.value(depth); err != nil {
			return err
		}
	}
	return e.accept(closing)
}

// placeholder encodes the attachment for which the object at e.i stands, if it does. Package packet writes it in this
// very form.
func (e *encoder) placeholder() bool {
	const form = `{"_placeholder":true,"num":`
	if len(e.attachments) == 0 || len(e.src)-e.i < len(form) || string(e.src[e.i:e.i+len(form)]) != form {
		return false
	}
	digits := e.src[e.i+len(form):]
	n := 0
	for n < len(digits) && n < 9 && digits[n] >= '0' && digits[n] <= '9' {
		n++
	}
	num, err := strconv.Atoi(string(digits[:n]))
	if err != nil || num >= len(e.attachments) || n == len(digits) || digits[n] != '}' {
		return false
	}
	e.i, e.out = e.i+len(form)+n+1, appendBin(e.out, e.attachments[num])
	return true
}

// string encodes the string at e.i. What is not UTF-8 becomes U+FFFD.
func (e *encoder) string() error {
	start, plain := e.i, true
	for e.i++; e.i < len(e.src) && e.src[e.i] != '"'; e.i++ {
		if e.src[e.i] == '\\' {
			e.i++
			plain = false
		}
	}
	if e.i >= len(e.src) {
		return errJSON
	}
	e.i++
	if body := e.src[start+1 : e.i-1]; plain && utf8.Valid(body) {
		e.out = appendStr(e.out, body)
		return nil
	}
	var s string
	if json.Unmarshal(e.src[start:e.i], &s) != nil {
		return errJSON
	}
	e.out = appendStr(e.out, s)
	return nil
}

func (e *encoder) literal(text string, code byte) error {
	if len(e.src)-e.i < len(text) || string(e.src[e.i:e.i+len(text)]) != text {
		return errJSON
	}
	e.i += len(text)
	e.out = append(e.out, code)
	return nil
}

func (e *encoder) number() error {
	start, whole := e.i, true
loop:
	for ; e.i < len(e.src); e.i++ {
		switch c := e.src[e.i]; {
		case c >= '0' && c <= '9' || c == '-':
		case c == '.' || c == 'e' || c == 'E' || c == '+':
			whole = false
		default:
			break loop
		}
	}
	text := string(e.src[start:e.i])
	if whole {
		if v, err := strconv.ParseInt(text, 10, 64); err == nil {
			e.out = appendInt(e.out, v)
			return nil
		}
		if v, err := strconv.ParseUint(text, 10, 64); err == nil {
			e.out = appendUint(e.out, v)
			return nil
		}
	}
	f, err := strconv.ParseFloat(text, 64)
	if err != nil && !math.IsInf(f, 0) {
		return errJSON
	}
	const safe = 1 << 53 // beyond it not every whole number is one in JavaScript
	if f == math.Trunc(f) && math.Abs(f) <= safe {
		e.out = appendInt(e.out, int64(f))
	} else {
		e.out = binary.BigEndian.AppendUint64(append(e.out, 0xcb), math.Float64bits(f))
	}
	return nil
}
