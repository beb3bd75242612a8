package packet

import (
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"sync"
	"unicode/utf8"
)

// Encoded is a packet ready to be sent: its text and the binary messages that follow it. It may be sent to any number of
// connections and must not be changed.
type Encoded struct {
	Text        []byte
	Attachments [][]byte
}

// Len is the size of the packet in bytes.
func (e Encoded) Len() int {
	n := len(e.Text)
	for _, a := range e.Attachments {
		n += len(a)
	}
	return n
}

// EndsInString reports whether the last argument of an event, or its name if it has none, is a string.
func (e Encoded) EndsInString() bool {
	return len(e.Text) > 1 && e.Text[len(e.Text)-2] == '"'
}

// WithString returns a copy of an event with one argument more.
func (e Encoded) WithString(s string) Encoded {
	text := make([]byte, 0, len(e.Text)+len(s)+len(`,""`))
	text = append(append(text, e.Text[:len(e.Text)-1]...), ',')
	e.Text = append(appendString(text, s), ']')
	return e
}

// EncodeEvent encodes an event. Of its arguments a [json.RawMessage] goes out byte for byte if it is valid, a []byte and
// every [Binary] in an argument as an attachment, a [Value] as what it was; the rest as [json.Marshal] encodes it. A
// float that is no number becomes null, as in JavaScript. The id is that of the acknowledgement wanted, or [NoID].
func EncodeEvent(namespace string, id int64, name string, args []any, maxAttachments int) (Encoded, error) {
	if Reserved(name) {
		return Encoded{}, fmt.Errorf("%w: %q", errReserved, name)
	}
	return encode(Event, namespace, id, &name, args, maxAttachments)
}

// EncodeAck encodes the answer to the event that had the id.
func EncodeAck(namespace string, id int64, args []any, maxAttachments int) (Encoded, error) {
	return encode(Ack, namespace, id, nil, args, maxAttachments)
}

// EncodeConnect encodes a Connect or ConnectError packet with its payload, which is JSON or empty.
func EncodeConnect(t Type, namespace string, payload []byte) Encoded {
	return Encoded{Text: append(appendHeader(nil, t, 0, namespace, NoID), payload...)}
}

// EncodeDisconnect encodes a Disconnect packet.
func EncodeDisconnect(namespace string) Encoded {
	return Encoded{Text: appendHeader(nil, Disconnect, 0, namespace, NoID)}
}

// scratch holds buffers for the arguments, whose attachments must be counted before the header can be written.
var scratch = sync.Pool{New: func() any { return new([]byte) }}

// maxScratch is the capacity up to which a buffer is kept, in bytes.
const maxScratch = 64 << 10

func encode(t Type, namespace string, id int64, name *string, args []any, maxAttachments int) (Encoded, error) {
	buf := scratch.Get().(*[]byte)
	defer func() {
		if cap(*buf) <= maxScratch {
			scratch.Put(buf)
		}
	}()
	b := append((*buf)[:0], '[')
	if name != nil {
		b = appendString(b, *name)
	}
	var attachments [][]byte
	for i, arg := range args {
		if i > 0 || name != nil {
			b = append(b, ',')
		}
		var err error
		if b, attachments, err = appendArg(b, arg, attachments); err != nil {
			return Encoded{}, fmt.Errorf("socketio: argument %d: %w", i, err)
		}
	}
	b = append(b, ']')
	*buf = b
	switch {
	case len(args) >= MaxArgs:
		return Encoded{}, errArgs
	case len(attachments) > max(maxAttachments, 0):
		return Encoded{}, errAttachments
	}
	if !utf8.Valid(b) {
		return Encoded{}, errUTF8 // it would end the connections of those it is sent to
	}
	if err := checkValue(b); err != nil {
		return Encoded{}, err
	}
	const header = len("6999-,9007199254740991") // at most, beside the namespace
	text := appendHeader(make([]byte, 0, header+len(namespace)+len(b)), t, len(attachments), namespace, id)
	return Encoded{Text: append(text, b...), Attachments: attachments}, nil
}

func appendHeader(dst []byte, t Type, attachments int, namespace string, id int64) []byte {
	if attachments > 0 {
		dst = append(dst, '0'+byte(t+BinaryEvent-Event))
		dst = append(strconv.AppendInt(dst, int64(attachments), 10), '-')
	} else {
		dst = append(dst, '0'+byte(t))
	}
	if namespace != "/" {
		dst = append(append(dst, namespace...), ',')
	}
	if id != NoID {
		dst = strconv.AppendInt(dst, id, 10)
	}
	return dst
}

func appendArg(b []byte, arg any, attachments [][]byte) ([]byte, [][]byte, error) {
	switch v := arg.(type) {
	case nil:
		return append(b, "null"...), attachments, nil
	case json.RawMessage:
		if v == nil {
			return append(b, "null"...), attachments, nil
		}
		// Checked here, for "1,2" would pass in the array.
		return append(b, v...), attachments, checkValue(v)
	case []byte:
		return appendPlaceholder(b, len(attachments)), append(attachments, v), nil
	case Binary:
		return appendPlaceholder(b, len(attachments)), append(attachments, v), nil
	case Value:
		if v == nil {
			return append(b, "null"...), attachments, nil
		}
		b, attachments = detach(b, v, attachments)
		return b, attachments, checkValue(v)
	case string:
		return appendString(b, v), attachments, nil
	case bool:
		return strconv.AppendBool(b, v), attachments, nil
	case int:
		return strconv.AppendInt(b, int64(v), 10), attachments, nil
	case int64:
		return strconv.AppendInt(b, v, 10), attachments, nil
	case float64:
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return append(b, "null"...), attachments, nil
		}
	}
	encoded, err := json.Marshal(arg)
	if err != nil {
		return b, attachments, err
	}
	b, attachments = detach(b, encoded, attachments)
	return b, attachments, nil
}

func appendPlaceholder(b []byte, num int) []byte {
	b = append(b, `{"_placeholder":true,"num":`...)
	return append(strconv.AppendInt(b, int64(num), 10), '}')
}

// appendString appends s as a JSON string. What is not UTF-8 becomes U+FFFD.
func appendString(b []byte, s string) []byte {
	const hex = "0123456789abcdef"
	b = append(b, '"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b = append(b, '\\', byte(r))
		case r == '\n':
			b = append(b, '\\', 'n')
		case r < ' ':
			b = append(b, '\\', 'u', '0', '0', hex[r>>4], hex[r&15])
		default:
			b = utf8.AppendRune(b, r)
		}
	}
	return append(b, '"')
}
