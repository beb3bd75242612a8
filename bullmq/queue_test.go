package bullmq

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/redis/rueidis"

	"loupe/internal/testenv"
)

func TestNewQueueRefused(t *testing.T) {
	t.Parallel()
	client := newClient(t)
	tests := []struct {
		name   string
		config QueueConfig
		want   string
	}{
		{"", QueueConfig{}, "both need a name"},
		{"a:b", QueueConfig{}, "colon"},
		{"a\n", QueueConfig{}, "not plain UTF-8"},
		{"a", QueueConfig{Prefix: "\xff"}, "not plain UTF-8"},
		{"a", QueueConfig{BatchSize: -1}, "batch size -1"},
		{"a", QueueConfig{BatchSize: MaxBatch + 1}, "batch size 501"},
		{"a", QueueConfig{Defaults: JobOptions{Priority: -1}}, "defaults: priority"},
		{"a", QueueConfig{Defaults: JobOptions{ID: "x"}}, "one job only"},
		{"a", QueueConfig{Defaults: JobOptions{Deduplication: &Deduplication{ID: "x"}}}, "one job only"},
	}
	for _, test := range tests {
		if _, err := NewQueue(client, test.name, test.config); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%q, %+v: %v, want %q", test.name, test.config, err, test.want)
		}
	}
	for _, prefix := range []string{"", "a:b", "{a}", "ü"} {
		if _, err := NewQueue(client, "mail ☂", QueueConfig{Prefix: prefix}); err != nil {
			t.Errorf("prefix %q: %v", prefix, err)
		}
	}
}

func TestHasHashTag(t *testing.T) {
	t.Parallel()
	for prefix, want := range map[string]bool{
		"bull:mail:": false, "{bull}:mail:": true, "bull:{mail}:": true, "{}:mail:": false, "{:mail:": false, "}{:": false,
		"{}{a}:":    false, // Redis looks at the first { only
		"a{b}c{d}:": true,
	} {
		if got := hasHashTag(prefix); got != want {
			t.Errorf("%s: %v", prefix, got)
		}
	}
}

// Every operation stays within one slot of a cluster.
func TestCluster(t *testing.T) {
	t.Parallel()
	server := redisServer{args: []string{"--cluster-enabled", "yes", "--cluster-port", testenv.FreePort(t), "--cluster-config-file", t.TempDir() + "/nodes.conf"}}
	addr := server.start(t)
	t.Cleanup(func() {
		if err := server.stop(); err != nil {
			t.Error(err)
		}
	})
	single, err := rueidis.NewClient(rueidis.ClientOption{InitAddress: []string{addr}, DisableCache: true, ForceSingleClient: true})
	if err != nil {
		t.Fatal(err)
	}
	defer single.Close()
	if err := single.Do(t.Context(), single.B().ClusterAddslotsrange().StartSlotEndSlot().StartSlotEndSlot(0, 16383).Build()).Error(); err != nil {
		t.Fatal(err)
	}
	waitFor(t, func() bool {
		info, err := single.Do(t.Context(), single.B().ClusterInfo().Build()).ToString()
		return err == nil && strings.Contains(info, "cluster_state:ok")
	})

	client := connect(t, addr)
	if mode := client.Mode(); mode != rueidis.ClientModeCluster {
		t.Fatalf("the client is of mode %s", mode)
	}
	if _, err := NewQueue(client, "mail", QueueConfig{}); err == nil || !strings.Contains(err.Error(), `use "{bull}"`) {
		t.Errorf("without a hash tag: %v", err)
	}
	q, err := NewQueue(client, "mail", QueueConfig{Prefix: "{bull}"})
	if err != nil {
		t.Fatal(err)
	}
	defer q.Close()
	ctx := t.Context()
	for _, o := range []JobOptions{
		{}, {Delay: time.Hour}, {Priority: 1}, {ID: "x"}, {ID: "x"}, {Deduplication: &Deduplication{ID: "d"}}, {Parent: &Parent{ID: "1", Queue: "{bull}:mail"}},
	} {
		mustAdd(t, q, 1, o)
	}
	if _, err := q.AddBulk(ctx, []NewJob{{"a", 1, JobOptions{}}, {"a", 1, JobOptions{}}}); err != nil {
		t.Error(err)
	}
	put(t, q, StateFailed, "5", "f")
	put(t, q, StateFailed, "5", "g")
	_, logErr := q.AddLog(ctx, "1", "line", 0)
	_, _, logsErr := q.Logs(ctx, "1", 0, -1, true)
	for i, err := range []error{
		q.Retry(ctx, "f", RetryOptions{}), second(q.RetryAll(ctx, RetryFilter{})), q.Promote(ctx, "2"), second(q.PromoteAll(ctx)),
		q.ChangePriority(ctx, "x", 3, false), q.UpdateProgress(ctx, "1", 1), q.UpdateData(ctx, "1", 1), logErr, logsErr, q.ClearLogs(ctx, "1", 0),
		q.Pause(ctx), q.Resume(ctx), q.SetGlobalConcurrency(ctx, 1), q.RemoveGlobalConcurrency(ctx), q.RateLimit(ctx, time.Hour),
		second(q.RateLimitTTL(ctx)), q.RemoveRateLimit(ctx), second(q.Counts(ctx)), second(q.CountsPerPriority(ctx, 0, 3)),
		second(q.Jobs(ctx, Range{States: States, End: -1})), second(q.State(ctx, "1")), second(q.Dependencies(ctx, "1")),
		second(q.Metrics(ctx, StateFailed, 0, -1)), second(q.Workers(ctx)), second(q.TrimEvents(ctx, 5)), second(q.Finished(ctx, StateFailed, Cursor{}, 5)),
		q.Remove(ctx, "1", RemoveOptions{}), second(q.Clean(ctx, 0, 1, StateWaiting)), q.Drain(ctx, true), q.Obliterate(ctx, false),
	} {
		if err != nil {
			t.Errorf("operation %d: %v", i, err)
		}
	}
}

// A queue goes on working when the server has forgotten its scripts.
func TestScriptsForgotten(t *testing.T) {
	t.Parallel()
	var server redisServer
	client := connect(t, server.start(t))
	t.Cleanup(func() {
		if err := server.stop(); err != nil {
			t.Error(err)
		}
	})
	q, err := NewQueue(client, "mail", QueueConfig{})
	if err != nil {
		t.Fatal(err)
	}
	defer q.Close()
	for range 3 {
		mustAdd(t, q, 1, JobOptions{})
		do(t, q, "SCRIPT", "FLUSH")
	}
	if n, err := q.Count(t.Context()); err != nil || n != 3 {
		t.Errorf("%d jobs, %v", n, err)
	}
	do(t, q, "CONFIG", "SET", "maxmemory", "1")
	if _, err := q.Add(t.Context(), "a", 1, JobOptions{}); err == nil || !strings.Contains(err.Error(), "OOM") {
		t.Errorf("without memory: %v", err)
	}
	do(t, q, "CONFIG", "SET", "maxmemory", "0")
	if job := mustAdd(t, q, 1, JobOptions{}); job.ID != "4" {
		t.Errorf("the job that was refused has used up an id: now %s", job.ID)
	}
	if _, err := q.Job(t.Context(), "5"); !errors.Is(err, ErrJobNotFound) {
		t.Error(err)
	}
}
