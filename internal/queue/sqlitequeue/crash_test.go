package sqlitequeue_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"loupe/internal/queue"
	"loupe/internal/queue/sqlitequeue"
	"loupe/internal/testenv"
)

// victimVar makes a process of this test binary the victim: it works on the database file that the variable names.
const victimVar = "LOUPE_TEST_QUEUE_VICTIM"

// TestKilled kills a process that enqueues and works, again and again, at moments nobody has chosen, and then settles the
// account: no job that was accepted is lost, and none has spent an attempt on a death.
func TestKilled(t *testing.T) {
	t.Parallel()
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	path := filepath.Join(t.TempDir(), "loupe.db")
	var accepted []string
	for round := range 8 {
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestVictim$")
		cmd.Env = append(os.Environ(), victimVar+"="+path, fmt.Sprintf("LOUPE_TEST_ROUND=%d", round))
		victim := testenv.Start(t, cmd)
		victim.Line(t, "accepted")
		<-time.After(time.Duration(random.IntN(150_000)) * time.Microsecond)
		victim.Kill()
		for line := range strings.Lines(victim.Output()) {
			if id, whole := strings.CutPrefix(line, "accepted "); whole && strings.HasSuffix(id, "\n") {
				accepted = append(accepted, strings.TrimSpace(id))
			}
		}
	}
	t.Logf("%d jobs accepted", len(accepted))

	q := sqlitequeue.New(openDB(t, path), queue.Config{Sole: true, MaxStalls: 100}, logTo(t))
	before, err := q.Counts(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("left behind: %+v", before)
	consume(t, q, done)
	for deadline := time.After(time.Minute); ; {
		n, err := q.Counts(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if n.Waiting+n.Active+n.Delayed == 0 {
			break
		}
		select {
		case <-deadline:
			t.Fatalf("%+v", n)
		case <-time.After(5 * time.Millisecond):
		}
	}
	for _, id := range accepted {
		if r, err := q.Get(t.Context(), id); err != nil || r.State != queue.Completed || r.AttemptsMade != 1 || len(r.Errors) > 0 {
			t.Errorf("%s: %+v, %v", id, r, err)
		}
	}
}

// TestVictim is the process that TestKilled kills. It is no test of its own.
func TestVictim(t *testing.T) {
	path := os.Getenv(victimVar)
	if path == "" {
		return
	}
	q := sqlitequeue.New(openDB(t, path), queue.Config{Sole: true, MaxStalls: 100}, logTo(t))
	consume(t, q, func(context.Context, queue.Job) error {
		<-time.After(time.Millisecond)
		return nil
	})
	for i := 0; ; i++ {
		id := fmt.Sprintf("%s-%d", os.Getenv("LOUPE_TEST_ROUND"), i)
		enqueue(t, q, id)
		fmt.Printf("accepted %s\n", id)
	}
}
