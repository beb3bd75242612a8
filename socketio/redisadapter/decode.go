package redisadapter

import (
	"fmt"
	"math"
	"strconv"
	"time"
	"unicode/utf8"

	"loupe/socketio/packet"
)

// decoder makes JSON of MessagePack, in the dialect of the npm package notepack.io, as JavaScript would: dates become
// strings, what is undefined becomes null or is left out, and for binary data stand placeholders.
type decoder struct {
	src         string
	i           int
	json        []byte
	attachments [][]byte
}

// decode makes JSON of one value and nothing behind it.
func decode(src string) (json []byte, attachments [][]byte, err error) {
	d := decoder{src: src, json: make([]byte, 0, len(src)+len(src)/2)}
	if err := d.value(0); err != nil {
		return nil, nil, err
	}
	if d.i != len(src) {
		return nil, nil, errTrailing
	}
	return d.json, d.attachments, nil
}

// value appends the value at d.i, which stands in depth containers.
func (d *decoder) value(depth int) error {
	t, i, err := next(d.src, d.i)
	if err != nil {
		return err
	}
	d.i = i
	switch t.kind {
	case kindNil:
		d.json = append(d.json, "null"...)
	case kindBool:
		d.json = strconv.AppendBool(d.json, t.bits != 0)
	case kindInt:
		d.json = strconv.AppendInt(d.json, t.int(), 10)
	case kindUint:
		d.json = strconv.AppendUint(d.json, t.bits, 10)
	case kindFloat:
		d.json = appendFloat(d.json, t.float())
	case kindString:
		d.json = appendString(d.json, t.body)
	case kindBinary:
		d.binary(t.body)
	case kindArray:
		return d.array(t.n, depth+1)
	case kindMap:
		return d.object(t.n, depth+1)
	case kindExt:
		d.extension(t)
	}
	return nil
}

func (d *decoder) array(n, depth int) error {
	if depth > packet.MaxDepth {
		return errDepth
	}
	d.json = append(d.json, '[')
	for j := range n {
		if j > 0 {
			d.json = append(d.json, ',')
		}
		if err := d.value(depth); err != nil {
			return err
		}
	}
	d.json = append(d.json, ']')
	return nil
}

func (d *decoder) object(n, depth int) error {
	if depth > packet.MaxDepth {
		return errDepth
	}
	d.json = append(d.json, '{')
	empty := true
	for range n {
		before := len(d.json)
		if !empty {
			d.json = append(d.json, ',')
		}
		if err := d.key(); err != nil {
			return err
		}
		t, end, err := next(d.src, d.i)
		if err != nil {
			return err
		}
		if t.undefined() {
			d.i, d.json = end, d.json[:before]
			continue
		}
		d.json = append(d.json, ':')
		if err := d.value(depth); err != nil {
			return err
		}
		empty = false
	}
	d.json = append(d.json, '}')
	return nil
}

// key appends a key.
func (d *decoder) key() error {
	t, i, err := next(d.src, d.i)
	if err != nil {
		return err
	}
	name, ok := t.name()
	if !ok {
		return errShape
	}
	d.i, d.json = i, appendString(d.json, name)
	return nil
}

// name is what JavaScript makes of a value as a key; false for what nobody has for one. Rooms are compared by it too.
func (t token) name() (string, bool) {
	switch t.kind {
	case kindString:
		return t.body, true
	case kindInt:
		return strconv.FormatInt(t.int(), 10), true
	case kindUint:
		return strconv.FormatUint(t.bits, 10), true
	case kindFloat:
		return string(appendFloat(nil, t.float())), true
	case kindBool:
		return strconv.FormatBool(t.bits != 0), true
	case kindNil:
		return "null", true
	default:
		return "", false
	}
}

func (d *decoder) binary(data string) {
	d.json = append(d.json, `{"_placeholder":true,"num":`...)
	d.json = strconv.AppendInt(d.json, int64(len(d.attachments)), 10)
	d.json = append(d.json, '}')
	d.attachments = append(d.attachments, []byte(data))
}

// undefined tells whether the token is how older versions of notepack encode undefined.
func (t token) undefined() bool { return t.fix && t.ext == 0 && len(t.body) == 1 }

func (d *decoder) extension(t token) {
	const timestamp = -1
	switch n := len(t.body); {
	case t.undefined():
		d.json = append(d.json, "null"...)
	case t.ext == 0 && t.fix && n == 8: // as older versions encode a date
		d.date(float64(int64(bigEndian(t.body))))
	case t.ext == 0 && !t.fix: // an ArrayBuffer, as older versions encode it
		d.binary(t.body)
	case t.ext == timestamp && n == 4:
		d.date(1000 * float64(bigEndian(t.body)))
	case t.ext == timestamp && n == 8:
		u := bigEndian(t.body)
		d.date(1000*float64(u&(1<<34-1)) + float64(u>>34)/1e6)
	case t.ext == timestamp && n == 12:
		d.date(1000*float64(int64(bigEndian(t.body[4:]))) + float64(bigEndian(t.body[:4]))/1e6)
	default: // notepack makes an array of what it does not know
		d.json = append(d.json, '[')
		d.json = strconv.AppendInt(d.json, int64(t.ext), 10)
		d.json = append(d.json, ',')
		d.binary(t.body)
		d.json = append(d.json, ']')
	}
}

// date appends a time in milliseconds since 1970 in the form of JavaScript's Date.
func (d *decoder) date(ms float64) {
	const most = 8.64e15
	if math.Abs(ms) > most {
		d.json = append(d.json, "null"...)
		return
	}
	t := time.UnixMilli(int64(ms)).UTC()
	if year := t.Year(); year < 0 || year > 9999 {
		d.json = fmt.Appendf(d.json, `"%+07d`, year)
	} else {
		d.json = fmt.Appendf(d.json, `"%04d`, year)
	}
	d.json = t.AppendFormat(d.json, `-01-02T15:04:05.000Z"`)
}

// appendFloat appends a number as JavaScript does.
func appendFloat(b []byte, f float64) []byte {
	abs := math.Abs(f)
	switch {
	case math.IsNaN(f) || math.IsInf(f, 0):
		return append(b, "null"...)
	case f == 0:
		return append(b, '0')
	case abs >= 1e-6 && abs < 1e21:
		return strconv.AppendFloat(b, f, 'f', -1, 64)
	}
	b = strconv.AppendFloat(b, f, 'e', -1, 64)
	if n := len(b); b[n-2] == '0' && (b[n-3] == '-' || b[n-3] == '+') { // e-07 is e-7
		b = append(b[:n-2], b[n-1])
	}
	return b
}

// appendString appends s as a JSON string. What is not UTF-8 becomes U+FFFD.
func appendString(b []byte, s string) []byte {
	const hex = "0123456789abcdef"
	b = append(b, '"')
	for {
		plain := plainPrefix(s)
		b, s = append(b, s[:plain]...), s[plain:]
		if s == "" {
			return append(b, '"')
		}
		r, size := utf8.DecodeRuneInString(s)
		s = s[size:]
		switch {
		case r == '"' || r == '\\':
			b = append(b, '\\', byte(r))
		case r == '\n': // never \u000a, which means something in package packet
			b = append(b, '\\', 'n')
		case r < ' ':
			b = append(b, '\\', 'u', '0', '0', hex[r>>4], hex[r&15])
		default:
			b = utf8.AppendRune(b, r)
		}
	}
}

// plainPrefix is how many bytes at the beginning of s are ASCII that JSON has as it is.
func plainPrefix(s string) int {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c >= utf8.RuneSelf || c == '"' || c == '\\' {
			return i
		}
	}
	return len(s)
}
