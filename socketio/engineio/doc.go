// Package engineio is the transport of Socket.IO: Engine.IO, protocol version 4. A session begins by HTTP polling or on a
// WebSocket, may go from the first to the second without losing or moving a message, and is kept alive by the server's
// pings. [Server] is the server's side, [Dial] the client's.
//
// A session is a [Conn]; its user is a [Receiver]. Sending never blocks: messages queue up to a bound, and a client that
// overflows its queue is disconnected as a [SlowConsumer].
//
// How it stays cheap: the WebSocket's handler returns, and with it go the request and the buffers of the HTTP server.
// What remains is one goroutine that waits for bytes on the smallest stack there is. Whatever else happens, writing and
// telling the Receiver, happens on goroutines that live as long as there is something to do. All deadlines of a server
// are in one heap behind one timer.
//
//	opening ──open──▶ open ──end──▶ closed      on polling a closed session lingers until its last packets
//	                                            are fetched, 30 s at most
package engineio
