// Package socketio is a server for the clients of Socket.IO 3 and 4: rooms, acknowledgements, binary data, namespaces,
// and a connection that falls back to HTTP polling and comes back when it was lost. It speaks protocol version 5 over
// Engine.IO 4.
//
//	io := socketio.NewServer(socketio.Config{AllowedOrigins: []string{"https://app.example"}})
//	io.Use(authenticate)                                       // who may connect
//	io.OnConnect(func(s *socketio.Socket) { s.Join("news") })  // what to do with each new socket
//	io.On("chat", socketio.Typed(chat))                        // what to do with an event
//	http.Handle("/socket.io/", io)
//	…
//	io.To("news").Emit("headline", story)
//	…
//	io.Close(ctx) // before http.Server.Shutdown
//
// What it promises:
//
//   - A socket gets what is sent to it in order, across an upgrade of its transport too, and each event at most once;
//     with [Recovery] it also gets what it missed while its connection was lost.
//   - Rooms joined in OnConnect miss nothing from the moment the client knows that it is connected.
//   - An idle WebSocket costs one goroutine with the smallest stack and a place in a heap of deadlines, but no timer, buffer
//     or request: about 5.4 KiB in all, and under the default GOGC some 2 KiB of garbage not yet given back.
//   - An event is encoded once, however many sockets it goes to.
//   - All that a client can make the server keep is bounded, by names in [Config] and in package packet. A client that
//     reads too slowly is disconnected as a [SlowConsumer]; one that sends too fast is not read for a while.
//   - Handlers of one socket run in order. A handler that blocks holds up neither other sockets nor the heartbeat, and
//     one that panics ends its connection, not the process.
//   - Pages of foreign origins are refused, WebSockets included, unless they are listed.
//
// Where it differs from the Node server on purpose: an unlisted origin is refused; an error of middleware that is no
// [ConnectError] is hidden from the client; auth middleware always runs when a socket is recovered, and a socket is
// recovered once; JSON is bounded in depth and number of arguments; there are no namespaces by pattern, no JSONP and no
// cookies. Events that a client sends before it can know of its disconnection are ignored instead of punished.
//
// Package engineio below is the transport, package packet the codec, package client a small client.
package socketio
