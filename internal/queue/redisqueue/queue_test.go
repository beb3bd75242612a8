package redisqueue_test

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net"
	"sync"
	"testing"

	"github.com/redis/rueidis"

	"loupe/internal/queue"
	"loupe/internal/queue/queuetest"
	"loupe/internal/queue/redisqueue"
	"loupe/internal/testenv"
)

func TestMain(m *testing.M) { testenv.Main(m) }

func TestQueue(t *testing.T) {
	t.Parallel()
	url := testenv.StartRedis(t)
	queuetest.Run(t, queuetest.Harness{
		WorksOn:    true,
		SharedGate: true,
		New: func(t *testing.T) func(queue.Config) queuetest.Instance {
			prefix := testenv.Prefix(t)
			return func(c queue.Config) queuetest.Instance { return open(t, url, prefix, c) }
		},
	})
}

func open(t *testing.T, url, prefix string, c queue.Config) queuetest.Instance {
	t.Helper()
	options, err := rueidis.ParseURL(url)
	if err != nil {
		t.Fatal(err)
	}
	options.DisableCache = true
	connected, disconnect := context.WithCancel(context.Background())
	options.DialCtxFn = func(ctx context.Context, address string, d *net.Dialer, _ *tls.Config) (net.Conn, error) {
		conn, err := d.DialContext(ctx, "tcp", address)
		if err == nil {
			context.AfterFunc(connected, func() { conn.Close() })
		}
		return conn, err
	}
	client, err := rueidis.NewClient(options)
	if err != nil {
		t.Fatal(err)
	}
	q, err := redisqueue.NewPrefixed(client, prefix, c, slog.New(slog.NewTextHandler(t.Output(), nil)))
	if err != nil {
		t.Fatal(err)
	}
	cut := sync.OnceFunc(func() {
		client.Close()
		disconnect() // a connection that was being made meanwhile is not closed
	})
	t.Cleanup(cut)
	return queuetest.Instance{Queue: q, Admin: q, Cut: cut}
}
