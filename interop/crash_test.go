package interop

import (
	"testing"

	"loupe/internal/testenv"
)

// The server is killed while it waits for the AI service. Started again on the same data it finishes by itself, and the
// owner is told: the app that was open all the time, and one that comes back later and says what it saw last.
func TestKilledDuringAnAnalysis(t *testing.T) {
	t.Parallel()
	ai := startAI(t, "0")
	ai.behave(t, map[string][]answer{"camera": {{Fault: "hang"}, {Body: whole}}})
	dir := t.TempDir()
	env := []string{"AI_SERVICE_URL=" + ai.url, "PORT=" + testenv.FreePort(t)}
	s := serve(t, dir, env...)
	signedIn := token(t, "owner", "")
	owner := open(t, s, "websocket", signedIn, "")
	owner.connected(t, "websocket")
	owner.upload(t, "sneaker")
	seen := owner.processed(t)

	asset := owner.upload(t, "camera")
	eventually(t, "the analysis to begin", func() bool { return len(ai.seen(t, "camera")) == 1 })
	s.Kill()
	owner.next(t, `{"disconnected"`)

	s = serve(t, dir, env...)
	owner.connected(t, "websocket")
	told := owner.processed(t)
	if told.AssetID != asset || told.Status != "active" {
		t.Errorf("told %s, want asset %s active", told.raw, asset)
	}

	late := open(t, s, "polling", signedIn, seen.Timestamp)
	late.connected(t, "polling")
	if again := late.processed(t); again.raw != told.raw {
		t.Errorf("told %s, and later %s", told.raw, again.raw)
	}
}
