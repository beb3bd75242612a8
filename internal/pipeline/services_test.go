package pipeline_test

import (
	"context"
	"testing"

	"github.com/redis/rueidis"

	"loupe/internal/asset/mongostore"
	"loupe/internal/asset/mongostore/mongotest"
	"loupe/internal/pipeline"
	"loupe/internal/queue/redisqueue"
	"loupe/internal/testenv"
)

// everywhere runs a test on both sets of back ends. What it is given makes worlds on one of them.
func everywhere(t *testing.T, test func(t *testing.T, newWorld func(*testing.T, func(*pipeline.Config)) *world)) {
	t.Helper()
	redis, mongo := testenv.StartRedis(t), mongotest.Start(t)
	services := func(t *testing.T) (assets, jobs) { return openServices(t, redis, mongo) }
	for name, open := range map[string]func(*testing.T) (assets, jobs){"embedded": embedded, "services": services} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, func(t *testing.T, change func(*pipeline.Config)) *world {
				t.Helper()
				return newWorldOn(t, open, change)
			})
		})
	}
}

// openServices opens a fresh database of that MongoDB server and a fresh queue on that Redis.
func openServices(t *testing.T, redis, mongo string) (assets, jobs) {
	t.Helper()
	store, err := mongostore.Open(t.Context(), mongotest.Database(t, mongo), newLog(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close(context.Background()) })
	options, err := rueidis.ParseURL(redis)
	if err != nil {
		t.Fatal(err)
	}
	options.DisableCache = true
	client, err := rueidis.NewClient(options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	queue, err := redisqueue.NewPrefixed(client, testenv.Prefix(t), queueConfig, newLog(t))
	if err != nil {
		t.Fatal(err)
	}
	return store, queue
}
