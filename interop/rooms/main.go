// Command rooms is a Go server in a cluster of Socket.IO servers, for tests that kill it. It prints where it listens once
// it shares rooms with the others.
//
//	rooms <address of Redis>
package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"

	"github.com/redis/rueidis"

	"loupe/socketio"
	"loupe/socketio/redisadapter"
)

func main() {
	if err := run(context.Background(), os.Args[1]); err != nil { //nolint:forbidigo // this is main
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context, redis string) error {
	cluster, err := redisadapter.New(redisadapter.Config{Options: rueidis.ClientOption{InitAddress: []string{redis}}})
	if err != nil {
		return err
	}
	io := socketio.NewServer(socketio.Config{Adapter: cluster.Adapter})
	if err := cluster.Ready(ctx); err != nil {
		return err
	}
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Fprintln(os.Stdout, "listening http://"+l.Addr().String())
	return http.Serve(l, io)
}
