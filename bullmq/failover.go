package bullmq

import (
	"context"
	"errors"
	"time"

	"github.com/redis/rueidis"
)

// masterLook is how often it is looked whether the Sentinels have told of another master.
const masterLook = 100 * time.Millisecond

var errNewMaster = errors.New("another server is the master now")

// whileMaster returns a context that ends when another server than `at` has become the client's master, because Sentinels
// say so. A dedicated connection stays with the old one, which may live on for long and tell of nothing any more. stop
// frees what that takes.
func whileMaster(ctx context.Context, client rueidis.Client, at string) (while context.Context, stop func()) {
	while, cancel := context.WithCancelCause(ctx)
	if client.Mode() != rueidis.ClientModeSentinel {
		return while, func() { cancel(nil) }
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		tick := time.NewTicker(masterLook)
		defer tick.Stop()
		for masterOf(client) == at {
			select {
			case <-tick.C:
			case <-while.Done():
				return
			}
		}
		cancel(errNewMaster)
	}()
	return while, func() { cancel(nil); <-ended }
}

// masterOf returns the address of the server that a client of Sentinels takes for the master.
func masterOf(client rueidis.Client) string {
	if client.Mode() != rueidis.ClientModeSentinel {
		return ""
	}
	for address := range client.Nodes() {
		return address
	}
	return ""
}
