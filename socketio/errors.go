package socketio

import (
	"encoding/json"
	"errors"

	"loupe/socketio/engineio"
	"loupe/socketio/packet"
)

// Reason tells why a socket was disconnected, in the words of the Node server.
type Reason = engineio.Reason

// The reasons that concern a single socket; the connection may live on.
const (
	ClientDisconnect Reason = "client namespace disconnect" // the client said goodbye and will not come back by itself
	ServerDisconnect Reason = "server namespace disconnect" // [Socket.Disconnect]; the client will not come back by itself
)

// The reasons for which a connection ends, and all sockets on it. The client comes back by itself.
const (
	TransportClose     = engineio.TransportClose     // the client went away
	TransportError     = engineio.TransportError     // the client broke the protocol of the transport
	PingTimeout        = engineio.PingTimeout        // the client did not answer a ping
	ForcedClose        = engineio.ForcedClose        // the client broke the Socket.IO protocol, or a handler panicked
	ForcedServerClose  = engineio.ForcedServerClose  // no namespace was joined within [Config.ConnectTimeout]
	ServerShuttingDown = engineio.ServerShuttingDown // [Server.Close]
	SlowConsumer       = engineio.SlowConsumer       // the client read too slowly; see [Config.MaxSendBuffer]
)

var (
	// ErrDisconnected is what sending to a socket returns that is not connected any more, and waiting for its
	// acknowledgement when it disconnects meanwhile.
	ErrDisconnected = errors.New("socketio: socket is disconnected")
	// ErrTooManyAcks is returned when [Config.MaxPendingAcks] are waited for already.
	ErrTooManyAcks = errors.New("socketio: too many pending acknowledgements")
	// ErrAcked is returned by a second acknowledgement of an event, and by one that was not asked for.
	ErrAcked = errors.New("socketio: event wants no acknowledgement")
	// ErrInvalid is wrapped by the errors for what can not be sent: a reserved event name, a RawMessage that is not
	// JSON, JSON nested deeper than 500, too many arguments or attachments.
	ErrInvalid = packet.ErrInvalid
)

// ConnectError refuses a client when middleware returns it. The client gets it as its connect_error event: an Error with
// the message and, unless it is nil, the data.
type ConnectError struct {
	Message string
	Data    any // as [json.Marshal] encodes it
}

func (e *ConnectError) Error() string { return "socketio: connect: " + e.Message }

func (e *ConnectError) payload() []byte {
	b, err := json.Marshal(struct {
		Message string `json:"message"`
		Data    any    `json:"data,omitempty"`
	}{e.Message, e.Data})
	if err != nil {
		b, _ = json.Marshal(map[string]string{"message": e.Message})
	}
	return b
}
