package engineio_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"

	"loupe/socketio/engineio"
)

// echoing sends back what it gets, and then closes the session.
type echoing struct{ *engineio.Conn }

func (e echoing) Receive(m engineio.Message) {
	e.Send(m)
	e.Close(engineio.ForcedClose)
}

func (e echoing) Closed(engineio.Reason) {}

// printing prints what it gets.
type printing chan engineio.Reason

func (p printing) Receive(m engineio.Message) { fmt.Println(string(m.Data)) }
func (p printing) Closed(r engineio.Reason)   { p <- r }

// A server that sends back what it gets, and a client of it by each transport. What is sent before a close arrives.
func Example() {
	srv := engineio.NewServer(engineio.Config{}, func(c *engineio.Conn, _ *http.Request) (engineio.Receiver, error) {
		return echoing{c}, nil
	})
	web := httptest.NewServer(srv)
	defer web.Close()
	ctx := context.Background()
	defer srv.Close(ctx)

	for _, transport := range []string{"polling", "websocket"} {
		closed := make(printing, 1)
		c, err := engineio.Dial(ctx, web.URL+"/engine.io/", engineio.DialConfig{Transport: transport}, closed)
		if err != nil {
			fmt.Println(err)
			return
		}
		c.Send(ctx, engineio.Message{Data: []byte("hello by " + transport)})
		fmt.Println(<-closed)
		c.Close(ctx)
	}
	// Output:
	// hello by polling
	// transport close
	// hello by websocket
	// transport close
}
