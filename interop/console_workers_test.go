package interop

import (
	"encoding/json"
	"log/slog"
	"net/url"
	"testing"

	"github.com/redis/rueidis"

	"loupe/internal/queue"
	"loupe/internal/queue/redisqueue"
	"loupe/internal/testenv"
)

// A worker in Node stands in the console's list, with the job that it has.
func TestWorkersInNodeAreListed(t *testing.T) {
	t.Parallel()
	testenv.Need(t, testenv.Node)
	address, err := url.Parse(testenv.StartRedis(t))
	if err != nil {
		t.Fatal(err)
	}
	client, err := rueidis.NewClient(rueidis.ClientOption{InitAddress: []string{address.Host}, DisableCache: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	q, err := redisqueue.New(client, queue.Config{}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if err := q.Enqueue(t.Context(), "a-1", json.RawMessage(`{"assetId":"a"}`)); err != nil {
		t.Fatal(err)
	}
	testenv.StartNode(t, "bullmq/holder.mjs", address.Port(), "ai-processing", "node-1").Line(t, "holds")
	workers, err := q.Workers(t.Context())
	if err != nil || len(workers) != 1 || len(workers[0].Running) != 1 {
		t.Fatalf("workers %+v, %v", workers, err)
	}
	w := workers[0]
	if w.Name != "node-1" || w.Connections != 1 || w.Since.IsZero() || w.Running[0].ID != "a-1" || w.Running[0].AssetID != "a" || w.Running[0].Attempt != 1 {
		t.Errorf("worker %+v", w)
	}
}
