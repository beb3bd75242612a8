package redisadapter_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log"
	"net/http"
	"time"

	"github.com/redis/rueidis"

	"loupe/socketio"
	"loupe/socketio/redisadapter"
)

// A server whose rooms are those of all servers at the same Redis.
func Example() {
	cluster, err := redisadapter.New(redisadapter.Config{
		Options: rueidis.ClientOption{InitAddress: []string{"127.0.0.1:6379"}},
	})
	if err != nil {
		log.Fatal(err)
	}
	io := socketio.NewServer(socketio.Config{Adapter: cluster.Adapter})
	defer io.Close(context.Background()) // ends the cluster too

	io.OnConnect(func(s *socketio.Socket) { s.Join("news") })
	http.Handle("/socket.io/", io)

	io.To("news").Emit("headline", "Rooms have no walls")
}

// Servers can ask each other.
func ExampleAdapter_ServerSideEmitWithAck() {
	cluster, err := redisadapter.New(redisadapter.Config{
		Options: rueidis.ClientOption{InitAddress: []string{"127.0.0.1:6379"}},
	})
	if err != nil {
		log.Fatal(err)
	}
	io := socketio.NewServer(socketio.Config{Adapter: cluster.Adapter})
	defer io.Close(context.Background())

	servers := cluster.Of("/")
	servers.On("sockets", func(context.Context, []json.RawMessage) any { return io.Stats().Sockets })

	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	counts, err := servers.ServerSideEmitWithAck(ctx, "sockets")
	fmt.Println(counts, err)
}
