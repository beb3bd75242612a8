package client_test

import (
	"context"
	"errors"
	"fmt"
	"net/http/httptest"

	"loupe/socketio"
	"loupe/socketio/client"
)

// Connecting with a token, hearing an event and asking a question.
func ExampleDial() {
	io := socketio.NewServer(socketio.Config{})
	io.OnConnect(func(s *socketio.Socket) { s.Emit("welcome", "hello") })
	io.On("double", socketio.Typed(func(_ context.Context, e *socketio.Event, n int) { e.Ack(2 * n) }))
	web := httptest.NewServer(io)
	defer web.Close()
	ctx := context.Background()
	defer io.Close(ctx)

	heard := make(chan string, 1)
	c, err := client.Dial(ctx, web.URL, client.Config{
		Auth:     map[string]string{"token": "…"},
		Handlers: map[string]client.Handler{"welcome": func(args []client.Value) { heard <- args[0].String() }},
	})
	if refusal, ok := errors.AsType[*client.ConnectError](err); ok {
		fmt.Println("refused:", refusal.Message, string(refusal.Data))
		return
	} else if err != nil {
		fmt.Println(err)
		return
	}
	defer c.Close()
	fmt.Println(<-heard)
	answer, err := c.EmitWithAck(ctx, "double", 21)
	fmt.Println(answer, err)
	// Output:
	// "hello"
	// [42] <nil>
}
