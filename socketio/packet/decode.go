package packet

import (
	"bytes"
	"encoding/json"
	"strconv"
)

// Decoder puts packets together again. It belongs to one connection and is not safe for concurrent use. After an error
// it must not be used again, for the connection can not be either.
type Decoder struct {
	// MaxAttachments is how many attachments a packet may have, and how many places it may have for them. Defaults to
	// [DefaultMaxAttachments].
	MaxAttachments int

	pending *pending
}

// pending is a packet whose attachments have not all come.
type pending struct {
	packet      Packet
	payload     []byte
	attachments [][]byte
	want        int
}

// Text takes a text message, which must be valid UTF-8. It returns false when the packet waits for attachments.
func (d *Decoder) Text(text []byte) (Packet, bool, error) {
	if d.pending != nil {
		return Packet{}, false, errOrder
	}
	p, want, payload, err := d.header(text)
	if err != nil {
		return Packet{}, false, err
	}
	payload = unmark(payload)
	if want > 0 {
		if err := checkValue(payload); err != nil {
			return Packet{}, false, err
		}
		d.pending = &pending{packet: p, payload: payload, want: want}
		return Packet{}, false, nil
	}
	err = p.fill(payload)
	return p, err == nil, err
}

// Binary takes a binary message. It returns false when the packet waits for more.
func (d *Decoder) Binary(data []byte) (Packet, bool, error) {
	w := d.pending
	if w == nil {
		return Packet{}, false, errOrder
	}
	w.attachments = append(w.attachments, data)
	if len(w.attachments) < w.want {
		return Packet{}, false, nil
	}
	d.pending = nil
	payload, err := attach(w.payload, w.attachments, d.maxAttachments())
	if err != nil {
		return Packet{}, false, err
	}
	err = w.packet.fill(payload)
	return w.packet, err == nil, err
}

func (d *Decoder) maxAttachments() int {
	if d.MaxAttachments <= 0 {
		return DefaultMaxAttachments
	}
	return d.MaxAttachments
}

// header takes the text of a packet apart.
func (d *Decoder) header(text []byte) (p Packet, attachments int, payload []byte, err error) {
	if len(text) == 0 {
		return p, 0, nil, errEmpty
	}
	p = Packet{Type: Type(text[0] - '0'), Namespace: "/", ID: NoID}
	if p.Type > BinaryAck {
		return p, 0, nil, errType
	}
	rest := text[1:]
	if p.Type.Binary() {
		digits := skipDigits(rest, 0)
		n, err := strconv.Atoi(string(rest[:min(digits, 9)]))
		if err != nil || n < 1 || n > d.maxAttachments() || digits == len(rest) || rest[digits] != '-' {
			return p, 0, nil, errAttachments
		}
		attachments, rest = n, rest[digits+1:]
		p.Type -= BinaryEvent - Event
	}
	if len(rest) > 0 && rest[0] == '/' {
		var name []byte
		name, rest, _ = bytes.Cut(rest, []byte{','})
		if len(name) > MaxNamespace {
			return p, 0, nil, errNamespace
		}
		if len(name) > 1 {
			p.Namespace = string(name)
		}
	}
	if digits := skipDigits(rest, 0); digits > 0 {
		id, err := strconv.ParseUint(string(rest[:min(digits, 20)]), 10, 64)
		if err != nil || id > MaxID {
			return p, 0, nil, errID
		}
		p.ID, rest = int64(id), rest[digits:]
	}
	return p, attachments, rest, nil
}

// fill puts the payload into the packet.
func (p *Packet) fill(payload []byte) (err error) {
	switch p.Type {
	case Event:
		if p.Args, err = splitArray(payload); err != nil {
			return err
		}
		if len(p.Args) == 0 {
			return errPayload
		}
		p.Name, err = eventName(p.Args[0])
		p.Args = p.Args[1:]
		return err
	case Ack:
		if len(payload) > 0 { // Node takes one without
			p.Args, err = splitArray(payload)
		}
		return err
	case Disconnect:
		if len(payload) > 0 || p.ID != NoID {
			return errPayload
		}
		return nil
	default: // Connect, ConnectError
		if len(payload) == 0 {
			return nil
		}
		if p.ID != NoID || payload[0] != '{' && (p.Type == Connect || payload[0] != '"') {
			return errPayload
		}
		p.Data = payload
		return checkValue(payload)
	}
}

// eventName is the name that an event begins with: a string, or a number, as Node allows.
func eventName(v Value) (string, error) {
	if c := v[0]; c == '-' || isDigit(c) {
		return string(v), nil
	} else if c != '"' {
		return "", errPayload
	}
	name := string(v[1 : len(v)-1])
	if bytes.IndexByte(v, '\\') >= 0 {
		if err := json.Unmarshal(v, &name); err != nil {
			return "", errPayload
		}
	}
	if Reserved(name) {
		return "", errReserved
	}
	return name, nil
}

// attach puts marked strings in place of the placeholders in b, which is valid JSON.
func attach(b []byte, attachments [][]byte, limit int) ([]byte, error) {
	var out []byte
	places := 0
	for from, i := 0, 0; ; {
		switch {
		case i == len(b):
			return append(out, b[from:]...), nil
		case b[i] == '"':
			i = skipString(b, i)
		case b[i] == '{':
			num, size, err := parsePlaceholder(b[i:])
			if err != nil {
				return nil, err
			}
			if size == 0 { // another object
				i++
				continue
			}
			if places++; num >= len(attachments) || places > limit {
				return nil, errPlaceholder
			}
			out = appendMarked(append(out, b[from:i]...), attachments[num])
			i += size
			from = i
		default:
			i++
		}
	}
}

// maxPlaceholder is the length of the longest object that is taken for a placeholder, in bytes.
const maxPlaceholder = 64

// parsePlaceholder reads the placeholder that b begins with. The size is 0 if the object there is none; a placeholder with
// another number than a whole one is an error.
func parsePlaceholder(b []byte) (num, size int, err error) {
	size = bytes.IndexByte(b[:min(len(b), maxPlaceholder)], '}') + 1
	if !bytes.Contains(b[:size], []byte(`"_placeholder"`)) {
		return 0, 0, nil
	}
	var p struct {
		Placeholder bool            `json:"_placeholder"`
		Num         json.RawMessage `json:"num"`
	}
	if json.Unmarshal(b[:size], &p) != nil || !p.Placeholder {
		return 0, 0, nil
	}
	num, err = strconv.Atoi(string(p.Num))
	if err != nil || num < 0 {
		return 0, 0, errPlaceholder
	}
	return num, size, nil
}
