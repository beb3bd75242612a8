// Command go is the server under measurement, ours: the same as ../node/server.mjs.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	_ "net/http/pprof" // at /debug/pprof/
	"os"
	"strconv"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"loupe/socketio"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run() error {
	secret, payload := []byte(os.Getenv("JWT_SECRET")), json.RawMessage(os.Getenv("PAYLOAD"))
	parser := jwt.NewParser(jwt.WithValidMethods([]string{"HS256"}), jwt.WithExpirationRequired())

	io := socketio.NewServer(socketio.Config{})
	io.Use(func(_ context.Context, h *socketio.Handshake) error {
		var auth struct{ Token string }
		if err := json.Unmarshal(h.Auth, &auth); err != nil {
			return err
		}
		token, err := parser.Parse(auth.Token, func(*jwt.Token) (any, error) { return secret, nil })
		if err != nil {
			return &socketio.ConnectError{Message: "Invalid token"}
		}
		h.Data, err = token.Claims.GetSubject()
		return err
	})
	io.OnConnect(func(s *socketio.Socket) { s.Join("user:" + s.Data().(string)) })

	http.Handle("/socket.io/", io)
	http.HandleFunc("/emit", func(_ http.ResponseWriter, r *http.Request) {
		events, _ := strconv.Atoi(r.FormValue("events"))
		rooms, _ := strconv.Atoi(r.FormValue("rooms"))
		rate, _ := strconv.Atoi(r.FormValue("rate"))
		go emit(io, payload, events, rooms, rate)
	})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Println("listening on", l.Addr().(*net.TCPAddr).Port)
	return (&http.Server{ReadHeaderTimeout: 10 * time.Second}).Serve(l)
}

// emit emits to one room after the other: so many a second, or as fast as it goes.
func emit(io *socketio.Server, payload json.RawMessage, events, rooms, rate int) {
	start := time.Now()
	for n := 0; n < events; {
		due := events
		if rate > 0 {
			time.Sleep(10 * time.Millisecond)
			due = min(events, int(time.Since(start).Seconds()*float64(rate)))
		}
		for ; n < due; n++ {
			if err := io.To("user:"+strconv.Itoa(n%rooms)).Emit("asset_processed", payload); err != nil {
				panic(err)
			}
		}
	}
}
