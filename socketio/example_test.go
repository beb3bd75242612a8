package socketio_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http/httptest"
	"time"

	"loupe/socketio"
	"loupe/socketio/client"
)

// A server that lets users in by a token, puts each into a room of its own, and tells one of them something.
func Example() {
	io := socketio.NewServer(socketio.Config{})
	io.Use(func(_ context.Context, h *socketio.Handshake) error {
		var auth struct{ Token string }
		if json.Unmarshal(h.Auth, &auth) != nil || auth.Token != "secret of ada" {
			return &socketio.ConnectError{Message: "Invalid token", Data: map[string]string{"code": "bad_token"}}
		}
		h.User, h.Data = "ada", "ada"
		return nil
	})
	io.OnConnect(func(s *socketio.Socket) { s.Join("user:" + s.Data().(string)) })
	web := httptest.NewServer(io)
	defer web.Close()
	ctx := context.Background()
	defer io.Close(ctx)

	_, err := client.Dial(ctx, web.URL, client.Config{})
	fmt.Println(err)

	news := make(chan string)
	c, err := client.Dial(ctx, web.URL, client.Config{
		Auth:     map[string]string{"token": "secret of ada"},
		Handlers: map[string]client.Handler{"news": func(args []client.Value) { news <- args[0].String() }},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer c.Close()
	io.To("user:bob").Emit("news", "for bob")
	io.To("user:ada").Emit("news", json.RawMessage(`{"for":  "ada"}`)) // goes out byte for byte
	fmt.Println(<-news)
	// Output:
	// socket.io: connect: Invalid token
	// {"for":  "ada"}
}

// serveOne serves io and connects one client to it.
func serveOne(io *socketio.Server, handlers map[string]client.Handler) (c *client.Client, stop func()) {
	web := httptest.NewServer(io)
	c, err := client.Dial(context.Background(), web.URL, client.Config{Handlers: handlers})
	if err != nil {
		panic(err)
	}
	return c, func() {
		c.Close()
		io.Close(context.Background())
		web.Close()
	}
}

// An event that wants an acknowledgement, answered with a value and with binary data.
func ExampleEvent_Ack() {
	io := socketio.NewServer(socketio.Config{})
	io.On("add", func(_ context.Context, e *socketio.Event) {
		var a, b int
		if err := e.Bind(&a, &b); err != nil {
			return
		}
		e.Ack(a+b, []byte("bytes"))
	})
	c, stop := serveOne(io, nil)
	defer stop()

	answer, err := c.EmitWithAck(context.Background(), "add", 40, 2)
	var data []byte
	answer[1].Bind(&data)
	fmt.Println(answer[0], string(data), err)
	// Output: 42 bytes <nil>
}

// A handler whose argument is decoded for it.
func ExampleTyped() {
	io := socketio.NewServer(socketio.Config{})
	type move struct{ X, Y int }
	io.On("move", socketio.Typed(func(_ context.Context, e *socketio.Event, m move) { e.Ack(m.X * m.Y) }))
	c, stop := serveOne(io, nil)
	defer stop()

	answer, err := c.EmitWithAck(context.Background(), "move", move{6, 7})
	fmt.Println(answer, err)
	// Output: [42] <nil>
}

// The server asks, and does not wait forever.
func ExampleSocket_EmitWithAck() {
	io := socketio.NewServer(socketio.Config{})
	answers := make(chan error)
	io.OnConnect(func(s *socketio.Socket) {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
		defer cancel()
		_, err := s.EmitWithAck(ctx, "are you there?")
		answers <- err
	})
	_, stop := serveOne(io, nil) // this client answers nothing
	defer stop()
	fmt.Println(<-answers)
	// Output: context deadline exceeded
}

// What OnConnect joins and emits, the client has when it is connected.
func ExampleNamespace_OnConnect() {
	io := socketio.NewServer(socketio.Config{})
	io.OnConnect(func(s *socketio.Socket) {
		s.Join("room")
		s.Emit("welcome", len(s.Rooms()))
		io.To("room").Emit("welcome", "everybody")
	})
	welcome := make(chan client.Value, 2)
	_, stop := serveOne(io, map[string]client.Handler{"welcome": func(args []client.Value) { welcome <- args[0] }})
	defer stop()
	fmt.Println(<-welcome, <-welcome)
	// Output: 2 "everybody"
}

// Binary data may stand anywhere in an argument.
func ExampleBinary() {
	type photo struct {
		Name string          `json:"name"`
		Data socketio.Binary `json:"data"`
	}
	io := socketio.NewServer(socketio.Config{})
	io.On("get", func(_ context.Context, e *socketio.Event) { e.Ack(photo{"leica.jpg", []byte("\xff\xd8")}) })
	c, stop := serveOne(io, nil)
	defer stop()

	answer, err := c.EmitWithAck(context.Background(), "get")
	var p photo
	if err := errors.Join(err, answer[0].Bind(&p)); err != nil {
		fmt.Println(err)
	}
	fmt.Printf("%s %x\n", p.Name, []byte(p.Data))
	// Output: leica.jpg ffd8
}

// A socket that may stay only for a while.
func ExampleSocket_DisconnectAt() {
	io := socketio.NewServer(socketio.Config{})
	io.OnConnect(func(s *socketio.Socket) { s.DisconnectAt(time.Now().Add(10 * time.Millisecond)) })
	c, stop := serveOne(io, nil)
	defer stop()
	<-c.Done()
	fmt.Println(c.Err())
	// Output: socket.io: disconnected by the server
}

// Everybody in a room but some, each once.
func ExampleBroadcast() {
	io := socketio.NewServer(socketio.Config{})
	io.OnConnect(func(s *socketio.Socket) {
		s.Join("a", "b")
		io.To("a", "b").Emit("said", "once")
		s.To("a").Emit("said", "to the others")
		io.Except("b").Emit("said", "to nobody here")
		io.To(s.ID()).Emit("said", "to this one")
	})
	said := make(chan client.Value, 4)
	_, stop := serveOne(io, map[string]client.Handler{"said": func(args []client.Value) { said <- args[0] }})
	defer stop()
	fmt.Println(<-said, <-said)
	// Output: "once" "to this one"
}
