package interop

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"testing"

	"loupe/internal/testenv"
)

// program is a program in clients/ that runs clients which others wrote. Its clients do what clients/behave.mjs says.
type program struct {
	name     string
	modes    []string
	official bool // which knows what python3-socketio does not: see clients/client.py
	start    func(*testing.T) *testenv.Process
}

var programs = []program{
	{"node", []string{"websocket", "polling", "upgrade"}, true, func(t *testing.T) *testenv.Process {
		return testenv.StartNode(t, "clients/node.mjs")
	}},
	{"python", []string{"websocket", "polling"}, false, func(t *testing.T) *testenv.Process {
		return testenv.StartPython(t, "clients/client.py")
	}},
	{"chromium", []string{"websocket", "polling", "upgrade"}, true, startChromium},
}

// startChromium starts a browser, which is no child of the test's process group and so must be asked to end.
func startChromium(t *testing.T) *testenv.Process {
	t.Helper()
	testenv.Need(t, testenv.Node, testenv.Chromium)
	path, err := exec.LookPath("chromium")
	if err != nil {
		t.Fatal(err)
	}
	// Not t.TempDir, whose name would make the path of the browser's socket too long.
	dir, err := os.MkdirTemp("", "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	p := testenv.Start(t, exec.Command("node", "clients/chromium.mjs", path, dir))
	t.Cleanup(func() { p.Stop(t) })
	return p
}

// guest is a client in a program.
type guest struct {
	*testenv.Process
	name string
}

// arrival is what a guest tells when it is connected.
type arrival struct {
	Connected string // the transport
	ID        string
	Recovered bool
}

// refusal is what a guest tells when it may not connect.
type refusal struct {
	Message string
	Data    json.RawMessage
}

var transports = map[string][]string{
	"websocket": {"websocket"},
	"polling":   {"polling"},
	"upgrade":   {"polling", "websocket"},
}

// visit opens a guest that connects to the server at url. A browser does so from a page of the server at page.
func visit(t *testing.T, p *testenv.Process, mode, url, page, token string) guest {
	t.Helper()
	g := guest{p, testenv.Prefix(t)}
	order, err := json.Marshal(map[string]any{
		"name": g.name, "url": url, "transports": transports[mode], "token": token, "page": page + "/clients/page.html",
	})
	if err != nil {
		t.Fatal(err)
	}
	p.Say(t, string(order))
	return g
}

// tells waits for what happens next to the guest, of one kind, and reads it into v.
func (g guest) tells(t *testing.T, kind string, v any) {
	t.Helper()
	line := g.Line(t, fmt.Sprintf(`{"name":%q,%q:`, g.name, kind))
	if err := json.Unmarshal([]byte(line), v); err != nil {
		t.Fatalf("%v in %s", err, line)
	}
}

// arrives waits until the guest is connected.
func (g guest) arrives(t *testing.T) (a arrival) {
	t.Helper()
	g.tells(t, "connected", &a)
	return a
}

// refused waits until the guest is told that it may not connect.
func (g guest) refused(t *testing.T) refusal {
	t.Helper()
	var told struct{ Refused refusal }
	g.tells(t, "refused", &told)
	return told.Refused
}
