package engineio

import (
	"encoding/base64"
	"errors"
)

// Message is what is sent and received: text, which must be valid UTF-8, or binary.
type Message struct {
	// Data must not be changed once it was handed over: it may wait in a queue, and in many queues at once.
	Data   []byte
	Binary bool
}

// packetType is the first character of a packet on the wire.
type packetType byte

const (
	packetOpen    packetType = '0'
	packetClose   packetType = '1'
	packetPing    packetType = '2'
	packetPong    packetType = '3'
	packetMessage packetType = '4'
	packetUpgrade packetType = '5'
	packetNoop    packetType = '6'

	// framePong and frameClose are frames of the WebSocket, not packets; they wait in the same queue.
	framePong  packetType = 'p'
	frameClose packetType = 'c'
)

type packet struct {
	data   []byte
	typ    packetType
	binary bool // only ever a message
}

func (p packet) cost() int { return len(p.data) + MessageOverhead }

var (
	errEmptyPacket   = errors.New("engineio: empty packet")
	errUnknownPacket = errors.New("engineio: unknown packet type")
	errTooMany       = errors.New("engineio: too many packets in one payload")
)

// parsePacket reads a packet in text form. Its data shares memory with text unless it is binary.
func parsePacket(text []byte) (packet, error) {
	if len(text) == 0 {
		return packet{}, errEmptyPacket
	}
	switch typ := packetType(text[0]); typ {
	case packetOpen, packetClose, packetPing, packetPong, packetMessage, packetUpgrade, packetNoop:
		return packet{typ: typ, data: text[1:]}, nil
	case 'b':
		data := make([]byte, base64.StdEncoding.DecodedLen(len(text)-1))
		n, err := base64.StdEncoding.Decode(data, text[1:])
		return packet{typ: packetMessage, binary: true, data: data[:n]}, err
	default:
		return packet{}, errUnknownPacket
	}
}

// appendText appends a packet in text form.
func (p packet) appendText(dst []byte) []byte {
	if p.binary {
		return base64.StdEncoding.AppendEncode(append(dst, 'b'), p.data)
	}
	return append(append(dst, byte(p.typ)), p.data...)
}
