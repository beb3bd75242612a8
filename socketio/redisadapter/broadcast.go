package redisadapter

import (
	"bytes"
	"strconv"
	"time"

	"loupe/socketio"
	"loupe/socketio/packet"
)

// The types of an event's packet. The binary one is not used between processes, but understood.
const (
	eventType       = int64(packet.Event)
	binaryEventType = int64(packet.BinaryEvent)
)

// appendOrigin begins [uid, packet, options].
func appendOrigin(b []byte, uid string) []byte { return appendStr(appendArray(b, 3), uid) }

// encodeBroadcast encodes [uid, packet, options].
func encodeBroadcast(uid, namespace string, e *socketio.Emission) ([]byte, error) {
	b := appendOrigin(make([]byte, 0, 128+e.Packet.Len()), uid)
	b, err := appendPacket(b, namespace, e)
	if err != nil {
		return nil, err
	}
	return appendOptions(b, e, 0), nil
}

// encodeAckRequest encodes the request that others send an event too and report what is acknowledged within a time.
func encodeAckRequest(uid, requestID, namespace string, e *socketio.Emission, within time.Duration) ([]byte, error) {
	b := make([]byte, 0, 160+e.Packet.Len())
	b = appendMap(b, 5)
	b = appendStr(appendStr(b, "uid"), uid)
	b = appendStr(appendStr(b, "requestId"), requestID)
	b = append(appendStr(b, "type"), typeBroadcast)
	b, err := appendPacket(appendStr(b, "packet"), namespace, e)
	if err != nil {
		return nil, err
	}
	return appendOptions(appendStr(b, "opts"), e, within), nil
}

func appendPacket(b []byte, namespace string, e *socketio.Emission) ([]byte, error) {
	args, binary, err := arguments(e.Packet.Text, namespace)
	if err != nil {
		return nil, err
	}
	attachments := e.Packet.Attachments
	if !binary {
		attachments = nil
	}
	b = append(appendStr(appendMap(b, 3), "type"), byte(eventType))
	if b, err = appendJSON(appendStr(b, "data"), args, attachments); err != nil {
		return nil, err
	}
	return appendStr(appendStr(b, "nsp"), namespace), nil
}

// appendOptions appends all three options. Node dies of a message that lacks them.
func appendOptions(b []byte, e *socketio.Emission, within time.Duration) []byte {
	b = appendRooms(appendStr(appendMap(b, 3), "rooms"), e.Rooms)
	b = appendRooms(appendStr(b, "except"), e.Except)
	b = appendStr(b, "flags")
	switch {
	case within > 0:
		b = appendInt(appendStr(appendMap(b, 1), "timeout"), within.Milliseconds())
	case e.Volatile:
		b = append(appendStr(appendMap(b, 1), "volatile"), 0xc3)
	default:
		b = appendMap(b, 0)
	}
	return b
}

func appendRooms(b []byte, rooms []string) []byte {
	n := len(rooms)
	for _, room := range rooms {
		if _, ok := roomNumber(room); ok {
			n++
		}
	}
	b = appendArray(b, n)
	for _, room := range rooms {
		b = appendStr(b, room)
		if number, ok := roomNumber(room); ok {
			b = appendInt(b, number)
		}
	}
	return b
}

// arguments cuts the array of an event's name and arguments out of its packet, and tells whether that has placeholders.
func arguments(text []byte, namespace string) (args []byte, binary bool, err error) {
	if len(text) == 0 {
		return nil, false, errShape
	}
	rest := text[1:]
	switch packet.Type(text[0] - '0') {
	case packet.Event:
	case packet.BinaryEvent:
		_, rest, binary = bytes.Cut(rest, []byte{'-'})
	default:
		return nil, false, errShape
	}
	if namespace != "/" {
		rest = bytes.TrimPrefix(rest, []byte(namespace+","))
	}
	rest = bytes.TrimLeft(rest, "0123456789") // the id
	if len(rest) == 0 || rest[0] != '[' {
		return nil, false, errShape
	}
	return rest, binary, nil
}

// broadcast is an event from another process.
type broadcast struct {
	namespace string
	options
	data string // the event's name and arguments, in MessagePack
}

type options struct {
	target   socketio.Target
	volatile bool
	timeout  time.Duration // 0 if there is none
}

// parseBroadcast takes [uid, packet, options] apart but does not look into the packet's data.
func parseBroadcast(msg string) (*broadcast, error) {
	t, i, err := expect(msg, 0, kindArray)
	if err != nil {
		return nil, err
	}
	if t.n != 3 {
		return nil, errShape
	}
	if i, err = skip(msg, i); err != nil {
		return nil, err
	}
	var b broadcast
	if i, err = b.parsePacket(msg, i); err != nil {
		return nil, err
	}
	if i, err = b.parseOptions(msg, i); err != nil {
		return nil, err
	}
	if i != len(msg) {
		return nil, errTrailing
	}
	return &b, nil
}

// ackRequest is the request of typeBroadcast: an event whose acknowledgements another process wants.
type ackRequest struct {
	broadcast
	uid, id string
}

// parseAckRequest returns nil for a request of another type.
func parseAckRequest(msg string) (*ackRequest, error) {
	var r ackRequest
	var kind int64
	i, err := fields(msg, 0, func(key string, i int) (end int, err error) {
		switch key {
		case "uid":
			r.uid, end, err = parseString(msg, i)
		case "requestId":
			r.id, end, err = parseString(msg, i)
		case "type":
			kind, end, err = parseInt(msg, i)
		case "packet":
			end, err = r.parsePacket(msg, i)
		case "opts":
			end, err = r.parseOptions(msg, i)
		default:
			end, err = skip(msg, i)
		}
		return end, err
	})
	switch {
	case err != nil:
		return nil, err
	case i != len(msg):
		return nil, errTrailing
	case kind != typeBroadcast:
		return nil, nil
	case r.data == "" || r.id == "":
		return nil, errShape
	}
	return &r, nil
}

// parsePacket reads the packet at s[i] and returns the index behind it.
func (b *broadcast) parsePacket(s string, i int) (int, error) {
	b.namespace = "/"
	i, err := fields(s, i, func(key string, i int) (end int, err error) {
		switch key {
		case "type":
			var kind int64
			if kind, end, err = parseInt(s, i); err == nil && kind != eventType && kind != binaryEventType {
				err = errShape
			}
		case "nsp":
			b.namespace, end, err = parseString(s, i)
		case "data":
			if end, err = skip(s, i); err == nil {
				b.data = s[i:end]
			}
		default:
			end, err = skip(s, i)
		}
		return end, err
	})
	if err == nil && b.data == "" {
		err = errShape
	}
	return i, err
}

// parseOptions reads the options at s[i] and returns the index behind them. Without rooms they choose all sockets.
func (o *options) parseOptions(s string, i int) (int, error) {
	return fields(s, i, func(key string, i int) (end int, err error) {
		switch key {
		case "rooms":
			o.target.Rooms, end, err = parseRooms(s, i)
		case "except":
			o.target.Except, end, err = parseRooms(s, i)
		case "flags":
			end, err = o.parseFlags(s, i)
		default:
			end, err = skip(s, i)
		}
		return end, err
	})
}

func (o *options) parseFlags(s string, i int) (int, error) {
	if t, end, err := next(s, i); err != nil || t.kind == kindNil {
		return end, err
	}
	return fields(s, i, func(key string, i int) (int, error) {
		t, _, err := next(s, i)
		switch {
		case err != nil:
			return 0, err
		case key == "volatile":
			o.volatile = t.kind == kindBool && t.bits != 0
		case key == "timeout" && t.kind == kindInt && t.int() > 0:
			o.timeout = time.Duration(min(t.int(), int64(maxAckWait/time.Millisecond))) * time.Millisecond
		}
		return skip(s, i)
	})
}

// parseRooms reads names of rooms; nil and none are the same.
func parseRooms(s string, i int) (rooms names, end int, err error) {
	list, i, err := next(s, i)
	if err != nil || list.kind == kindNil {
		return nil, i, err
	}
	if list.kind != kindArray {
		return nil, 0, errShape
	}
	for range list.n {
		var t token
		if t, i, err = next(s, i); err != nil {
			return nil, 0, err
		}
		room, ok := t.name()
		if !ok {
			return nil, 0, errShape
		}
		rooms.add(room)
	}
	return rooms, i, nil
}

func parseString(s string, i int) (string, int, error) {
	t, i, err := expect(s, i, kindString)
	return t.body, i, err
}

func parseInt(s string, i int) (int64, int, error) {
	t, i, err := expect(s, i, kindInt)
	return t.int(), i, err
}

// fields calls f for each member of the map at s[i], with its key and the index of its value; f returns the index behind
// the value. It returns the index behind the map.
func fields(s string, i int, f func(key string, i int) (int, error)) (int, error) {
	m, i, err := expect(s, i, kindMap)
	for range m.n {
		var key token
		if key, i, err = expect(s, i, kindString); err != nil {
			return 0, err
		}
		if i, err = f(key.body, i); err != nil {
			return 0, err
		}
	}
	return i, err
}

// eventPacket makes the packet of an event, with an acknowledgement id or [packet.NoID].
func eventPacket(namespace string, id int64, data string, maxAttachments int) (packet.Encoded, error) {
	if err := checkEvent(data); err != nil {
		return packet.Encoded{}, err
	}
	const header = len("5999999-,9007199254740991") // at most, beside the namespace
	room := header + len(namespace)
	d := decoder{src: data, json: make([]byte, room, room+len(data)+len(data)/2)}
	if err := d.value(0); err != nil {
		return packet.Encoded{}, err
	}
	if len(d.attachments) > maxAttachments {
		return packet.Encoded{}, errAttachments
	}
	var space [64]byte
	h := space[:0]
	if n := len(d.attachments); n == 0 {
		h = append(h, '0'+byte(packet.Event))
	} else {
		h = append(strconv.AppendInt(append(h, '0'+byte(packet.BinaryEvent)), int64(n), 10), '-')
	}
	if namespace != "/" {
		h = append(append(h, namespace...), ',')
	}
	if id != packet.NoID {
		h = strconv.AppendInt(h, id, 10)
	}
	text := d.json[room-len(h):]
	copy(text, h)
	return packet.Encoded{Text: text, Attachments: d.attachments}, nil
}

// checkEvent checks that data begins like an event that clients can be sent.
func checkEvent(data string) error {
	t, i, err := expect(data, 0, kindArray)
	if err != nil {
		return err
	}
	if t.n == 0 || t.n > packet.MaxArgs {
		return errShape
	}
	if t, _, err = next(data, i); err != nil {
		return err
	}
	switch t.kind {
	case kindInt, kindUint, kindFloat:
		return nil
	case kindString:
		if !packet.Reserved(t.body) {
			return nil
		}
	}
	return errEvent
}
