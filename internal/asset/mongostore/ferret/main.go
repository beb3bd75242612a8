// Command ferret is the MongoDB protocol server of the tests: FerretDB on a SQLite directory. It prints its URI in one
// line and ends when its standard input does.
//
//	ferret DIRECTORY
//
// FerretDB reads, compares and writes in three steps, where MongoDB takes one: of two findOneAndUpdate at once both can
// win. So that tests may expect of it what every MongoDB server does, the server here takes one command at a time.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/url"
	"os"
	"sync"

	"github.com/FerretDB/FerretDB/ferretdb"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: ferret DIRECTORY")
		os.Exit(2)
	}
	if err := run(os.Args[1], os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// run serves until in ends.
func run(directory string, in io.Reader, out io.Writer) error {
	store := url.URL{Scheme: "file", Opaque: directory + "/", RawQuery: "_pragma=synchronous(off)"}
	ferret, err := ferretdb.New(&ferretdb.Config{
		Listener:  ferretdb.ListenerConfig{TCP: "127.0.0.1:0"},
		Logger:    slog.New(slog.DiscardHandler),
		Handler:   "sqlite",
		SQLiteURL: store.String(),
	})
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}

	ctx, stop := context.WithCancel(context.Background())
	var wait sync.WaitGroup
	wait.Go(func() { ferret.Run(ctx) })
	inner, err := url.Parse(ferret.MongoDBURI())
	if err == nil {
		turns := &turns{server: inner.Host}
		wait.Go(func() { turns.serve(ctx, listener) })
		fmt.Fprintf(out, "mongodb://%s/\n", listener.Addr())
		_, err = io.Copy(io.Discard, in)
	}
	stop()
	err = errors.Join(err, listener.Close())
	wait.Wait()
	return err
}
