package redisadapter

import (
	"bytes"
	"fmt"
	"math"

	"loupe/socketio/packet"
)

// encodeAck encodes the response of typeAck.
func encodeAck(requestID string, v packet.Value) ([]byte, error) {
	p, err := packet.EncodeAck("/", 0, []any{v}, math.MaxInt)
	if err != nil {
		return nil, err
	}
	_, array, _ := bytes.Cut(p.Text, []byte{'['})
	b := append(appendStr(appendMap(nil, 3), "type"), typeAck)
	b = appendStr(appendStr(b, "requestId"), requestID)
	return appendJSON(appendStr(b, "packet"), array[:len(array)-1], p.Attachments)
}

// ackValue is what a client of another server has acknowledged with.
func ackValue(r *response) (packet.Value, error) {
	text := []byte{'0' + byte(packet.Ack)}
	if n := len(r.attachments); n > 0 {
		text = fmt.Appendf(nil, "%d%d-", packet.BinaryAck, n)
	}
	text = append(text, '[')
	if len(r.Packet) == 0 {
		text = append(text, "null"...)
	}
	text = append(append(text, r.Packet...), ']')

	d := packet.Decoder{MaxAttachments: math.MaxInt32}
	p, whole, err := d.Text(text)
	for i := 0; err == nil && !whole && i < len(r.attachments); i++ {
		p, whole, err = d.Binary(r.attachments[i])
	}
	if err != nil {
		return nil, err
	}
	if len(p.Args) != 1 {
		return nil, errShape
	}
	return p.Args[0], nil
}
