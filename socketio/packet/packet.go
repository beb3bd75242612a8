// Package packet is the codec of the Socket.IO protocol, version 5: events to bytes and back. The server, the client and
// the adapters share it; users of a server meet its [Value] and [Binary] and need nothing else.
//
// A packet is a text
//
//	<type>[<attachments>-][<namespace>,][<ack id>][<json>]
//
// followed by its attachments, each a binary message of its own. Where an attachment belongs in the JSON stands
// {"_placeholder":true,"num":<index>}.
//
// Everything that comes in is hostile until it was decoded; the limits are [MaxDepth], [MaxArgs], [MaxNamespace] and
// [Decoder.MaxAttachments].
package packet

import (
	"encoding/json"
	"errors"
)

// Type is what a packet is for.
type Type byte

// The types, with their numbers on the wire.
const (
	Connect Type = iota
	Disconnect
	Event
	Ack
	ConnectError
	BinaryEvent
	BinaryAck
)

// Binary reports whether attachments follow packets of the type.
func (t Type) Binary() bool { return t == BinaryEvent || t == BinaryAck }

// Limits of every packet, in and out.
const (
	// MaxDepth is how deep arrays and objects may be nested, the array of the arguments included. Node dies of 5,000.
	MaxDepth = 500
	// MaxArgs is how many arguments an event or an acknowledgement may have, the event's name included.
	MaxArgs = 1000
	// MaxNamespace is the length of the longest name of a namespace, in bytes.
	MaxNamespace = 256
	// MaxID is the largest acknowledgement id: the largest integer that JavaScript has.
	MaxID = 1<<53 - 1
	// DefaultMaxAttachments is what the official clients take.
	DefaultMaxAttachments = 10
)

// NoID is the ID of a packet that has none.
const NoID = -1

// Packet is a decoded packet. Its parts share memory with what it was decoded from.
type Packet struct {
	Type      Type // Event and Ack stand for their binary forms too
	Namespace string
	ID        int64 // of the acknowledgement, or [NoID]

	// Name and Args are those of an event; an acknowledgement has only Args.
	Name string
	Args []Value

	// Data is the payload of the other types: nothing, an object, or for ConnectError also a string.
	Data json.RawMessage
}

// The ways in which a packet can be wrong. All wrap [ErrInvalid].
var (
	// ErrInvalid is wrapped by every error of this package about bytes, received or to be sent.
	ErrInvalid = errors.New("invalid packet")

	errEmpty       = invalid("empty")
	errType        = invalid("unknown type")
	errAttachments = invalid("number of attachments")
	errNamespace   = invalid("name of namespace too long")
	errID          = invalid("acknowledgement id")
	errPayload     = invalid("payload")
	errJSON        = invalid("JSON")
	errUTF8        = invalid("text is not UTF-8")
	errDepth       = invalid("JSON nested too deep")
	errArgs        = invalid("too many arguments")
	errPlaceholder = invalid("placeholder")
	errReserved    = invalid("reserved event name")
	errOrder       = invalid("attachment out of order")
)

type invalidError struct{ what string }

func invalid(what string) error { return &invalidError{what} }

func (e *invalidError) Error() string { return "socketio: invalid packet: " + e.what }
func (e *invalidError) Unwrap() error { return ErrInvalid }

// Reserved reports whether an event may not have the name, because the libraries on either side use it themselves.
func Reserved(name string) bool {
	switch name {
	case "connect", "connect_error", "disconnect", "disconnecting", "newListener", "removeListener":
		return true
	}
	return false
}
