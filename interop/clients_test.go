package interop

import (
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"loupe/internal/testenv"
	"loupe/socketio"
)

// The clients that others wrote, in Node, in Python and in a browser, do with our Socket.IO server all that they can do
// with Node's.
func TestSocketIOClients(t *testing.T) {
	t.Parallel()
	for _, p := range programs {
		t.Run(p.name, func(t *testing.T) {
			t.Parallel()
			running := p.start(t)
			for _, mode := range p.modes {
				c := clientCase{running, mode}
				t.Run(mode+"/refused", c.isRefused)
				t.Run(mode+"/talks", c.talks)
				t.Run(mode+"/order", c.keepsOrder)
				t.Run(mode+"/crash", c.returnsAfterCrash)
				if p.official {
					t.Run(mode+"/restart", c.returnsAfterRestart)
				}
			}
			if p.official {
				t.Run("cut", func(t *testing.T) { missesNothing(t, running, p.modes) })
			}
			if p.name == "chromium" {
				t.Run("origins", func(t *testing.T) { keepsToOrigins(t, running, p.modes) })
			}
		})
	}
}

type clientCase struct {
	*testenv.Process
	mode string
}

// visits lets a guest in.
func (c clientCase) visits(t *testing.T, s *site) (guest, *socketio.Socket) {
	t.Helper()
	g := visit(t, c.Process, c.mode, s.url, s.url, "good")
	socket := next(t, s.arrived)
	if a := g.arrives(t); a.ID != socket.ID() || a.Recovered || !slices.Contains(transports[c.mode], a.Connected) {
		t.Fatalf("%+v, want socket %s, new, by one of %s", a, socket.ID(), transports[c.mode])
	}
	return g, socket
}

func (c clientCase) isRefused(t *testing.T) {
	s := openSite(t, socketio.Config{})
	r := visit(t, c.Process, c.mode, s.url, s.url, "bad").refused(t)
	if r.Message != "not authorized" || !sameJSON(t, r.Data, `{"code":"E_TOKEN","retry":[1,2]}`) {
		t.Errorf("refused with %q, %s", r.Message, r.Data)
	}
	if len(s.arrived) > 0 {
		t.Error("it got a socket all the same")
	}
}

// Arguments with binary data in several places, and as clients see them.
var (
	arguments = []any{
		"grüße, 世界 \U0001f389 \u2028 \x1e \" \\ \u0000", -1.5, nil, true,
		[]byte{0, 1, 0xff},
		map[string]any{"list": []any{1, socketio.Binary{2, 3}, map[string]any{"empty": socketio.Binary{}}}, "__proto__x": nil},
	}
	seen = `["grüße, 世界 🎉 \u2028 \u001e \" \\ \u0000", -1.5, null, true, {"bytes": [0, 1, 255]},
		{"list": [1, {"bytes": [2, 3]}, {"empty": {"bytes": []}}], "__proto__x": null}]`
)

func (c clientCase) talks(t *testing.T) {
	s := openSite(t, socketio.Config{})
	close(s.upgrade)
	_, socket := c.visits(t, s)

	// An event to the client and one back, then both once more with what came.
	args := arguments
	for range 2 {
		emit(t, socket, "say", args...)
		args = s.isSaid(t)
	}
	// An acknowledgement by the client, and one by the server, with what it was sent.
	values, err := socket.EmitWithAck(t.Context(), "echo", arguments...)
	if err != nil {
		t.Fatal(err)
	}
	emit(t, socket, "say", anys(values)...)
	s.isSaid(t)
	emit(t, socket, "ask", arguments...)
	s.isSaid(t)

	// As much as a message may have, there and back.
	text := strings.Repeat("0123456789", 99_999)
	values, err = socket.EmitWithAck(t.Context(), "echo", text)
	if err != nil || len(values) != 1 || string(values[0]) != `"`+text+`"` {
		t.Errorf("%d values came back for 1 MB of text, %v", len(values), err)
	}
}

func emit(t *testing.T, s *socketio.Socket, event string, args ...any) {
	t.Helper()
	if err := s.Emit(event, args...); err != nil {
		t.Fatal(err)
	}
}

// isSaid waits for the client to say the arguments, and returns them as they came.
func (s *site) isSaid(t *testing.T) []any {
	t.Helper()
	args := next(t, s.said).Args
	if !sameJSON(t, args[0], seen) {
		t.Errorf("the client saw %s", args[0])
	}
	var first []byte
	var nested struct{ List []json.RawMessage }
	var second []byte
	if err := args[5].Bind(&first); err != nil || !slices.Equal(first, []byte{0, 1, 0xff}) {
		t.Errorf("%v came, %v", first, err)
	}
	if err := args[6].Bind(&nested); err != nil || len(nested.List) != 3 {
		t.Fatalf("%s came, %v", args[6], err)
	}
	if err := socketio.Value(nested.List[1]).Bind(&second); err != nil || !slices.Equal(second, []byte{2, 3}) {
		t.Errorf("%v came, %v", second, err)
	}
	return anys(args[1:])
}

func sameJSON(t *testing.T, got []byte, want string) bool {
	t.Helper()
	var g, w any
	if err := json.Unmarshal(got, &g); err != nil {
		t.Fatalf("%v in %s", err, got)
	}
	if err := json.Unmarshal([]byte(want), &w); err != nil {
		t.Fatal(err)
	}
	return reflect.DeepEqual(g, w)
}

const numbers = 10_000 // messages each way

// Numbered messages keep their order both ways, without loss or repetition. Where the client upgrades, some go before,
// some meanwhile, some after.
func (c clientCase) keepsOrder(t *testing.T) {
	s := openSite(t, socketio.Config{})
	_, socket := c.visits(t, s)
	last := transports[c.mode][len(transports[c.mode])-1]
	emit(t, socket, "count", numbers, last)

	held := func(n, received int) bool { // of ours: half goes before the upgrade ends, a tenth after
		return n == numbers/2 && received < numbers/5 ||
			n == numbers*9/10 && last == "websocket" && s.io.Stats().WebSockets == 0
	}
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for n, received := 0, 0; n < numbers || received < numbers; {
		select {
		case got := <-s.numbers:
			if got != received {
				t.Fatalf("the client's message %d came when %d was due", got, received)
			}
			if received++; received == numbers/5 {
				close(s.upgrade)
			}
		case <-tick.C:
			for i := 0; i < 50 && n < numbers && !held(n, received); i++ {
				emit(t, socket, "number", n)
				n++
			}
		case <-t.Context().Done():
			t.Fatal(t.Context().Err())
		}
	}

	values, err := socket.EmitWithAck(t.Context(), "received")
	if err != nil {
		t.Fatal(err)
	}
	var received struct {
		Next  int
		Wrong [][2]int
		By    []string
	}
	if err := values[0].Bind(&received); err != nil {
		t.Fatal(err)
	}
	slices.Sort(received.By)
	if received.Next != numbers || len(received.Wrong) > 0 || !slices.Equal(received.By, transports[c.mode]) {
		t.Errorf("the client received %+v", received)
	}
	select {
	case n := <-s.numbers:
		t.Errorf("the client's message %d came again", n)
	default:
	}
}

// The server tells the clients that it goes, and begins anew on the same port.
func (c clientCase) returnsAfterRestart(t *testing.T) {
	s := openSite(t, socketio.Config{})
	close(s.upgrade)
	g, before := c.visits(t, s)
	s.end(t)
	s.begin(t)
	s.isBack(t, g, before.ID())
}

// The connections of the server break without a word, and it begins anew.
func (c clientCase) returnsAfterCrash(t *testing.T) {
	s := openSite(t, socketio.Config{})
	close(s.upgrade)
	l := lay(t, s.addr, false)
	g := visit(t, c.Process, c.mode, l.url, l.url, "good")
	before := g.arrives(t).ID
	l.setCut(true)
	s.end(t)
	s.begin(t)
	l.setCut(false)
	s.isBack(t, g, before)
}

// isBack waits until a guest is connected anew, and talks to it.
func (s *site) isBack(t *testing.T, g guest, before string) {
	t.Helper()
	a := g.arrives(t)
	socket := s.io.Socket(a.ID)
	if socket == nil || a.ID == before || a.Recovered {
		t.Fatalf("%+v, want a new socket", a)
	}
	emit(t, socket, "say", arguments...)
	s.isSaid(t)
}

// missesNothing cuts the lines of guests of all modes for five seconds, while things happen.
func missesNothing(t *testing.T, p *testenv.Process, modes []string) {
	t.Parallel()
	s := openSite(t, socketio.Config{Recovery: socketio.Recovery{Window: time.Minute}})
	close(s.upgrade)
	lines := []*line{lay(t, s.addr, false), lay(t, s.addr, true)}
	ids := make(map[guest]string)
	webSockets := 0
	for _, l := range lines {
		for _, mode := range modes {
			g := visit(t, p, mode, l.url, l.url, "good")
			ids[g] = g.arrives(t).ID
			next(t, s.arrived)
			if slices.Contains(transports[mode], "websocket") {
				webSockets++
			}
		}
	}
	eventually(t, "the upgrades", func() bool { return s.io.Stats().WebSockets == webSockets })

	published := 0
	publish := func() {
		if err := s.io.To("readers").Emit("news", published, socketio.Binary{1}); err != nil {
			t.Fatal(err)
		}
		published++
	}
	publish()
	for _, id := range ids {
		s.checkNews(t, id, published)
	}
	for _, l := range lines {
		l.setCut(true)
	}
	tick := time.NewTicker(250 * time.Millisecond)
	defer tick.Stop()
	for range 20 {
		<-tick.C
		publish()
	}
	for _, l := range lines {
		l.setCut(false)
	}
	for range ids {
		if socket := next(t, s.arrived); !socket.Recovered() {
			t.Errorf("socket %s is new", socket.ID())
		}
	}
	publish()
	for g, id := range ids {
		if a := g.arrives(t); a.ID != id || !a.Recovered {
			t.Errorf("%+v, want socket %s recovered", a, id)
			continue
		}
		s.checkNews(t, id, published)
	}
}

// checkNews asks a client what it was told.
func (s *site) checkNews(t *testing.T, id string, published int) {
	t.Helper()
	socket := s.io.Socket(id)
	if socket == nil {
		t.Fatalf("socket %s is gone", id)
	}
	values, err := socket.EmitWithAck(t.Context(), "newspaper")
	if err != nil {
		t.Fatal(err)
	}
	var news []int
	if err := values[0].Bind(&news); err != nil {
		t.Fatal(err)
	}
	want := make([]int, published)
	for i := range want {
		want[i] = i
	}
	if !slices.Equal(news, want) {
		t.Errorf("socket %s was told %v, want up to %d", id, news, published-1)
	}
}

// keepsToOrigins opens a page of one site that connects to another, which lets pages of the first in, or not.
func keepsToOrigins(t *testing.T, p *testenv.Process, modes []string) {
	t.Parallel()
	home := openSite(t, socketio.Config{})
	friend := openSite(t, socketio.Config{AllowedOrigins: []string{home.url}})
	stranger := openSite(t, socketio.Config{})
	close(friend.upgrade)
	close(stranger.upgrade)
	for _, mode := range modes {
		g := visit(t, p, mode, friend.url, home.url, "good")
		socket := next(t, friend.arrived)
		g.arrives(t)
		emit(t, socket, "say", arguments...)
		friend.isSaid(t)
		r := visit(t, p, mode, stranger.url, home.url, "good").refused(t)
		if !strings.Contains(r.Message, "error") { // the browser does not tell pages why
			t.Errorf("by %s: refused with %q", mode, r.Message)
		}
	}
	if len(stranger.arrived) > 0 {
		t.Error("a page of a foreign origin got a socket")
	}
}
