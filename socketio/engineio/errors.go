package engineio

import (
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
)

// Reason tells why a connection ended, in the words of the Node server.
type Reason string

// The reasons. After all of them but a goodbye of its own a client comes back by itself.
const (
	TransportClose     Reason = "transport close"      // the client went away
	TransportError     Reason = "transport error"      // the client broke the protocol of the transport
	PingTimeout        Reason = "ping timeout"         // the client did not answer a ping
	ForcedClose        Reason = "forced close"         // the Receiver had enough of the client
	ForcedServerClose  Reason = "forced server close"  // [Conn.CloseAfter] was due
	ServerShuttingDown Reason = "server shutting down" // [Server.Close]
	SlowConsumer       Reason = "slow consumer"        // the client read too slowly; see [Config.MaxSendBuffer]
)

// clients tells whether the end was the client's doing, so that what it said before still counts.
func (r Reason) clients() bool { return r == TransportClose || r == TransportError }

// ErrClosed is what sending on a closed connection returns.
var ErrClosed = errors.New("engineio: connection is closed")

// ErrSlowConsumer is what sending returns when it has overflowed the client's queue and closed its connection.
var ErrSlowConsumer = errors.New("engineio: client reads too slowly")

// ErrBusy is what an accept function returns for clients that may try again later: they are answered 503.
var ErrBusy = errors.New("too many connections")

// requestError is a refused HTTP request. The codes and messages are those of the Node server.
type requestError struct {
	code    int
	message string
}

var (
	errUnknownTransport   = &requestError{0, "Transport unknown"}
	errUnknownSession     = &requestError{1, "Session ID unknown"}
	errBadMethod          = &requestError{2, "Bad handshake method"}
	errBadRequest         = &requestError{3, "Bad request"}
	errForbidden          = &requestError{4, "Forbidden"}
	errUnsupportedVersion = &requestError{5, "Unsupported protocol version"}
)

// write answers a request. One that asked for a WebSocket gets the bare message, and never 403: so Node does it.
func (e *requestError) write(w http.ResponseWriter, upgrade bool) {
	h := w.Header()
	if upgrade {
		h.Set("Connection", "close")
		writeBody(w, http.StatusBadRequest, "text/html", []byte(e.message))
		return
	}
	status := http.StatusBadRequest
	if e.code == errForbidden.code {
		status = http.StatusForbidden
	}
	body, _ := json.Marshal(struct {
		Code    int    `json:"code"`
		Message string `json:"message"`
	}{e.code, e.message})
	writeBody(w, status, "application/json", body)
}

func writeUnavailable(w http.ResponseWriter, why string) {
	w.Header().Set("Connection", "close")
	writeBody(w, http.StatusServiceUnavailable, "text/plain; charset=UTF-8", []byte(why))
}

func writeBody(w http.ResponseWriter, status int, contentType string, body []byte) {
	h := w.Header()
	h.Set("Content-Type", contentType)
	h.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	w.Write(body) // an error here is the client's going away, which the request's context tells
}
