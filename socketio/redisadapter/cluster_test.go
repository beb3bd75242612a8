package redisadapter_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis/rueidis"

	"loupe/internal/testenv"
	"loupe/socketio"
	"loupe/socketio/client"
	"loupe/socketio/internal/wiretest"
	"loupe/socketio/redisadapter"
)

// redis is a Redis that can be killed and started again at the same port.
type redis struct {
	addr    string
	process *testenv.Process
}

func startRedis(t *testing.T) *redis {
	t.Helper()
	testenv.Need(t, testenv.Redis)
	r := &redis{addr: "127.0.0.1:" + testenv.FreePort(t)}
	r.start(t)
	return r
}

// noRedis is one that is not started, at a host of its own, so that no other test's gets its port.
func noRedis(t *testing.T, host string) *redis {
	t.Helper()
	return &redis{addr: net.JoinHostPort(host, testenv.FreePort(t))}
}

func (r *redis) start(t *testing.T) {
	t.Helper()
	host, port, err := net.SplitHostPort(r.addr)
	if err != nil {
		t.Fatal(err)
	}
	r.process = testenv.Start(t, exec.Command("redis-server",
		"--bind", host, "--port", port, "--dir", t.TempDir(), "--save", "", "--appendonly", "no"))
	r.process.Line(t, "Ready to accept connections")
}

func eventually(t *testing.T, what string, so func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !so(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

// server is a Socket.IO server in a cluster.
type server struct {
	*socketio.Server
	cluster *redisadapter.Cluster
	addr    string
	log     *wiretest.Log
}

func serve(t *testing.T, r *redis, cfg redisadapter.Config, namespaces ...string) *server {
	t.Helper()
	return serveIO(t, r, cfg, socketio.Config{}, namespaces...)
}

func serveIO(t *testing.T, r *redis, cfg redisadapter.Config, ioConfig socketio.Config, namespaces ...string) *server {
	t.Helper()
	s := &server{log: &wiretest.Log{}}
	cfg.Options.InitAddress = []string{r.addr}
	cfg.Logger = slog.New(slog.NewTextHandler(s.log, nil))
	var err error
	if s.cluster, err = redisadapter.New(cfg); err != nil {
		t.Fatal(err)
	}
	ioConfig.Adapter = s.cluster.Adapter
	s.Server = socketio.NewServer(ioConfig)
	for _, name := range namespaces {
		s.Of(name)
	}
	for _, name := range append(namespaces, "/") {
		s.Of(name).OnConnect(func(socket *socketio.Socket) {
			socket.On("join", socketio.Typed(func(_ context.Context, e *socketio.Event, room string) {
				socket.Join(room)
				e.Ack()
			}))
		})
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("log:\n%s", s.log)
		}
	})
	s.addr, _ = wiretest.ServeTCP(t, s, wiretest.AnyPort)
	return s
}

func (s *server) ready(t *testing.T) *server {
	t.Helper()
	if err := s.cluster.Ready(wiretest.Context(t)); err != nil {
		t.Fatalf("not ready: %v\n%s", err, s.log)
	}
	return s
}

// socket is a client of a server.
type socket struct {
	*client.Client
	name   string
	events chan string // each with its arguments, as JSON
}

func (s *server) connect(t *testing.T, name string, rooms ...string) *socket {
	t.Helper()
	return s.connectTo(t, "/", name, rooms...)
}

func (s *server) connectTo(t *testing.T, namespace, name string, rooms ...string) *socket {
	t.Helper()
	k := &socket{name: name, events: make(chan string, 1000)}
	handlers := map[string]client.Handler{}
	c, err := client.Dial(wiretest.Context(t), "http://"+s.addr, client.Config{
		Namespace:   namespace,
		NoReconnect: true,
		Handlers:    handlers,
		Any: func(event string, args []client.Value) {
			k.events <- event + " " + joined(args)
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	k.Client = c
	t.Cleanup(func() { c.Close() })
	for _, room := range rooms {
		if _, err := c.EmitWithAck(wiretest.Context(t), "join", room); err != nil {
			t.Fatal(err)
		}
	}
	return k
}

func joined(values []client.Value) string {
	var list []string
	for _, v := range values {
		list = append(list, v.String())
	}
	return strings.Join(list, ",")
}

func (k *socket) next(t *testing.T) string {
	t.Helper()
	select {
	case e := <-k.events:
		return e
	case <-time.After(10 * time.Second):
		t.Fatalf("%s gets nothing", k.name)
		return ""
	}
}

// expect wants the next events of a socket to be these.
func (k *socket) expect(t *testing.T, want ...string) {
	t.Helper()
	for _, w := range want {
		if got := k.next(t); got != w {
			t.Errorf("%s gets %q, want %q", k.name, got, w)
		}
	}
}

// unmarked makes binary data in a value plain base64.
func unmarked(s string) string { return strings.ReplaceAll(s, `\u000a`, "") }

// TestEachSocketGetsEachEventOnce has three servers emit, and each socket wait for a last event, behind which nothing more
// can come from the same server.
func TestEachSocketGetsEachEventOnce(t *testing.T) {
	t.Parallel()
	r := startRedis(t)
	var servers []*server
	for range 3 {
		servers = append(servers, serve(t, r, redisadapter.Config{}, "/adm").ready(t))
	}
	var sockets []*socket
	rooms := map[string][]string{}
	for i, s := range servers {
		for _, k := range []struct {
			name  string
			rooms []string
		}{
			{"lonely", nil}, {"r", []string{"r"}}, {"both", []string{"r", "q"}}, {"number", []string{"42"}}, {"glob", []string{"a*b?[c]"}}, {"q", []string{"q", "#"}},
		} {
			name := fmt.Sprintf("%s at %d", k.name, i)
			sockets = append(sockets, s.connect(t, name, k.rooms...))
			rooms[name] = k.rooms
		}
	}
	adm := servers[1].connectTo(t, "/adm", "admin", "r")

	in := func(names ...string) func([]string) bool {
		return func(rooms []string) bool {
			return slices.ContainsFunc(names, func(name string) bool { return slices.Contains(rooms, name) })
		}
	}
	want := map[string]map[int][]string{}
	for from, s := range servers {
		expect := func(event string, gets func([]string) bool, sockets socketio.Broadcast, args ...any) {
			t.Helper()
			if err := sockets.Emit(event, args...); err != nil {
				t.Error(err)
			}
			b, _ := json.Marshal(args)
			shown := unmarked(string(b))
			for name, rooms := range rooms {
				if gets(rooms) {
					if want[name] == nil {
						want[name] = map[int][]string{}
					}
					want[name][from] = append(want[name][from], event+" "+string(shown[1:len(shown)-1]))
				}
			}
		}
		origin := fmt.Sprint("from ", from)
		expect("all", func([]string) bool { return true }, s.All(), origin, map[string]any{"n": 1.5, "s": "ü\"\n", "x": nil})
		expect("room", in("r"), s.To("r"), origin)
		expect("rooms", in("r", "q"), s.To("r", "q"), origin)
		expect("except", func(rooms []string) bool { return in("r")(rooms) && !in("q")(rooms) }, s.To("r").Except("q"), origin)
		expect("but", func(rooms []string) bool { return !in("r")(rooms) }, s.Except("r"), origin)
		expect("number", in("42"), s.To("42"), origin)
		expect("glob", in("a*b?[c]"), s.To("a*b?[c]"), origin)
		expect("hash", in("#"), s.To("#"), origin)
		expect("nobody", in("nobody"), s.To("nobody"), origin)
		expect("binary", in("q"), s.To("q"), origin, []byte{1, 2, 255}, map[string]any{"b": socketio.Binary("x")})
		expect("last", func([]string) bool { return true }, s.All(), origin)
	}
	for _, k := range sockets {
		got := map[int][]string{}
		for last := 0; last < len(servers); {
			e := k.next(t)
			var from int
			fmt.Sscanf(e[strings.Index(e, "from "):], "from %d", &from)
			got[from] = append(got[from], unmarked(e))
			if strings.HasPrefix(e, "last ") {
				last++
			}
		}
		if fmt.Sprint(got) != fmt.Sprint(want[k.name]) {
			t.Errorf("%s gets\n%v\nwant\n%v", k.name, got, want[k.name])
		}
	}
	servers[2].Of("/adm").To("r").Emit("only", "admins")
	adm.expect(t, `only "admins"`)
	for _, s := range servers {
		if st := s.cluster.Stats(); st.Malformed+st.Dropped+st.Failed+st.Outages != 0 || st.Foreign == 0 || st.Published == 0 {
			t.Errorf("stats %+v", st)
		}
	}
}

func TestChangesReachOtherServers(t *testing.T) {
	t.Parallel()
	r := startRedis(t)
	a, b := serve(t, r, redisadapter.Config{}).ready(t), serve(t, r, redisadapter.Config{}).ready(t)
	here, there := a.connect(t, "here", "old"), b.connect(t, "there", "old")

	// What one server asks for is done in order at the others.
	if err := a.To("old").Join("new", "7"); err != nil {
		t.Error(err)
	}
	a.To("new").Emit("one")
	if err := a.To("old").Leave("new"); err != nil {
		t.Error(err)
	}
	a.To("new").Emit("two")
	a.To("7").Emit("three")
	here.expect(t, "one ", "three ")
	there.expect(t, "one ", "three ")

	if err := b.To("7").Disconnect(false); err != nil {
		t.Error(err)
	}
	for _, k := range []*socket{here, there} {
		select {
		case <-k.Done():
			if !errors.Is(k.Err(), client.ErrServerDisconnect) {
				t.Errorf("%s ends with %v", k.name, k.Err())
			}
		case <-time.After(10 * time.Second):
			t.Errorf("%s stays", k.name)
		}
	}
}

func TestServersAnswerEachOther(t *testing.T) {
	t.Parallel()
	r := startRedis(t)
	cfg := redisadapter.Config{Describe: func(s *socketio.Socket) any { return map[string]int{"rooms": len(s.Rooms())} }}
	a, b := serve(t, r, cfg).ready(t), serve(t, r, redisadapter.Config{}).ready(t)
	a.connect(t, "here", "x")
	b.connect(t, "there", "x", "12")
	ctx := wiretest.Context(t)
	all := b.cluster.Of("/")

	if n, err := all.Servers(ctx); n != 2 || err != nil {
		t.Errorf("%d servers, %v", n, err)
	}
	sockets, err := all.FetchSockets(ctx, socketio.Target{Rooms: []string{"x"}})
	if err != nil || len(sockets) != 2 {
		t.Fatalf("sockets %v, %v", sockets, err)
	}
	if here := sockets[1]; string(here.Data) != `{"rooms":2}` || !slices.Contains(here.Rooms, "x") || here.Rooms[0] != here.ID {
		t.Errorf("the other server's socket is %+v", here)
	}
	if there := sockets[0]; string(there.Data) != `{}` || !slices.Contains(there.Rooms, "12") {
		t.Errorf("the own socket is %+v", there)
	}
	if sockets, err := all.FetchSockets(ctx, socketio.Target{Except: []string{"12"}}); err != nil || len(sockets) != 1 {
		t.Errorf("sockets %v, %v", sockets, err)
	}
	if rooms, err := a.cluster.Of("/").AllRooms(ctx); err != nil || len(rooms) != 4 || !slices.Contains(rooms, "12") {
		t.Errorf("rooms %q, %v", rooms, err)
	}

	a.cluster.Of("/").On("add", func(_ context.Context, args []json.RawMessage) any {
		var x, y int
		json.Unmarshal(args[0], &x)
		json.Unmarshal(args[1], &y)
		return x + y
	})
	a.cluster.Of("/").On("panics", func(context.Context, []json.RawMessage) any { panic("oh") })
	for event, want := range map[string]string{"add": "3", "unknown": "null", "panics": "null"} {
		replies, err := all.ServerSideEmitWithAck(ctx, event, 1, 2)
		if err != nil || len(replies) != 1 || string(replies[0]) != want {
			t.Errorf("%s is answered with %s, %v, want %s", event, replies, err, want)
		}
	}
	got := make(chan int, 100)
	a.cluster.Of("/").On("count", func(_ context.Context, args []json.RawMessage) any {
		var n int
		json.Unmarshal(args[0], &n)
		got <- n
		return nil
	})
	for i := range cap(got) {
		if err := all.ServerSideEmit("count", i); err != nil {
			t.Error(err)
		}
	}
	for i := range cap(got) {
		if n := <-got; n != i {
			t.Fatalf("message %d is %d", i, n)
		}
	}
	for _, event := range []string{"error", "connection"} { // would end a Node server, or confuse it
		if err := all.ServerSideEmit(event); err == nil {
			t.Errorf("%q is sent", event)
		}
	}
	if err := all.ServerSideEmit("deep", json.RawMessage(strings.Repeat("[", 501)+strings.Repeat("]", 501))); err == nil {
		t.Error("what is nested too deep is sent")
	}
}

// peer speaks to the server byte by byte.
func (s *server) peer(t *testing.T) *wiretest.Peer {
	return wiretest.NewPeer(t, wiretest.TCP(s.addr), "/socket.io/")
}

// answering connects a socket in the room that acknowledges the next event with what the arguments are in JSON; if they
// are none it never does. It returns what it got.
func (s *server) answering(t *testing.T, room, args string) <-chan string {
	t.Helper()
	w := s.peer(t).OpenWebSocket()
	w.Send("40")
	w.Read()
	w.Send(`420["join","` + room + `"]`)
	w.Expect("430[]")
	got := make(chan string, 1)
	t.Cleanup(w.Close)
	go func() {
		event, err := w.Next()
		if err == nil && args != "" {
			header, _, _ := strings.Cut(event, "[")
			id := header[max(len("42"), strings.Index(header, "-")+1):]
			w.Send("43" + id + args)
		}
		got <- event
	}()
	return got
}

func TestAcknowledgementsComeFromAllServers(t *testing.T) {
	t.Parallel()
	r := startRedis(t)
	cfg := redisadapter.Config{RequestTimeout: 10 * time.Second}
	a, b := serve(t, r, cfg).ready(t), serve(t, r, cfg).ready(t)
	c := serve(t, r, cfg).ready(t) // has nobody to ask, and says so
	a.answering(t, "x", `["a"]`)
	b.answering(t, "x", `["b","more"]`)
	b.answering(t, "x", `[]`)
	b.answering(t, "y", `["y"]`)

	values, err := a.To("x").EmitWithAck(wiretest.Context(t), "ask", 1)
	var got []string
	for _, v := range values {
		got = append(got, v.String())
	}
	if slices.Sort(got); err != nil || !slices.Equal(got, []string{"", `"a"`, `"b"`}) && !slices.Equal(got, []string{`"a"`, `"b"`, "null"}) {
		t.Errorf("acknowledged with %q, %v", got, err)
	}
	if values, err := c.To("nobody").EmitWithAck(wiretest.Context(t), "ask"); err != nil || len(values) != 0 {
		t.Errorf("nobody acknowledges with %q, %v", values, err)
	}

	silent := b.answering(t, "silent", "")
	b.answering(t, "silent", `["heard"]`)
	short, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	values, err = a.To("silent").EmitWithAck(short, "ask", []byte{1})
	if !errors.Is(err, context.DeadlineExceeded) || len(values) != 1 || values[0].String() != `"heard"` {
		t.Errorf("in time there were %q, %v", values, err)
	}
	if event := <-silent; !strings.HasPrefix(event, "451-") {
		t.Errorf("the silent socket got %q", event)
	}
}

func TestOutage(t *testing.T) {
	t.Parallel()
	r := startRedis(t)
	cfg := redisadapter.Config{HoldFor: time.Minute}
	a, b := serve(t, r, cfg, "/adm").ready(t), serve(t, r, cfg, "/adm").ready(t)
	here, there := a.connect(t, "here", "x"), b.connect(t, "there", "x", "only there")
	admin := b.connectTo(t, "/adm", "admin", "x")
	a.To("x").Emit("before")
	here.expect(t, "before ")
	there.expect(t, "before ")

	r.process.Kill()
	eventually(t, "the outage to be noticed", func() bool {
		return a.cluster.Stats().Outages > 0 && b.cluster.Stats().Outages > 0
	})
	for i := range 100 {
		if err := a.To("x").Emit("during", i); err != nil {
			t.Error(err)
		}
		here.expect(t, fmt.Sprint("during ", i))
	}
	a.To("only there").Volatile().Emit("volatile") // not worth keeping
	if _, err := a.cluster.Of("/").FetchSockets(wiretest.Context(t), socketio.Target{}); !errors.Is(err, redisadapter.ErrAway) {
		t.Errorf("listing sockets without Redis: %v", err)
	}

	r.start(t)
	a.ready(t)
	b.ready(t)
	a.Of("/adm").To("x").Emit("after")
	admin.expect(t, "after ")
	a.To("x").Emit("after")
	here.expect(t, "after ")
	// Whether the other server was back when the first of what waited was published is chance, but the rest is in order.
	last := ""
	for n := -1; last != "after "; {
		if last = there.next(t); last == "after " {
			break
		}
		var i int
		if _, err := fmt.Sscanf(last, "during %d", &i); err != nil || i <= n {
			t.Fatalf("there gets %q after %d", last, n)
		}
		n = i
	}
	for _, s := range []*server{a, b} {
		if away, again := strings.Count(s.log.String(), "cut off from Redis"), strings.Count(s.log.String(), "share rooms again"); away != 1 || again != 1 {
			t.Errorf("an outage is logged %d times, its end %d times:\n%s", away, again, s.log)
		}
	}
}

// A server starts, serves its own sockets and ends without Redis, and finds it when it comes.
func TestStartsWithoutRedis(t *testing.T) {
	t.Parallel()
	testenv.Need(t, testenv.Redis)
	r := noRedis(t, "127.0.0.2")
	alone := serve(t, r, redisadapter.Config{})
	k := alone.connect(t, "here", "x")
	alone.To("x").Emit("hello")
	k.expect(t, "hello ")
	never, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := alone.cluster.Ready(never); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("ready without Redis: %v", err)
	}
	ended := serve(t, r, redisadapter.Config{})
	if err := ended.Close(wiretest.Context(t)); err != nil {
		t.Error(err)
	}
	if err := ended.Emit("late"); !errors.Is(err, redisadapter.ErrClosed) {
		t.Errorf("emitting after the end: %v", err)
	}
	if err := ended.cluster.Ready(wiretest.Context(t)); !errors.Is(err, redisadapter.ErrClosed) {
		t.Errorf("ready after the end: %v", err)
	}

	r.start(t)
	other := serve(t, r, redisadapter.Config{}).ready(t)
	alone.ready(t)
	other.To("x").Emit("welcome")
	k.expect(t, "welcome ")
}

func TestQueueIsBounded(t *testing.T) {
	t.Parallel()
	r := noRedis(t, "127.0.0.3")
	s := serve(t, r, redisadapter.Config{MaxQueue: 10_000, HoldFor: time.Second})
	k := s.connect(t, "here")
	full := 0
	for i := range 200 {
		if err := s.Emit("e", i); errors.Is(err, redisadapter.ErrQueueFull) {
			full++
		} else if err != nil {
			t.Fatal(err)
		}
	}
	for i := range 200 {
		k.expect(t, fmt.Sprint("e ", i))
	}
	if full == 0 {
		t.Error("the queue has no end")
	}
	eventually(t, "what waits too long to be dropped", func() bool { return s.cluster.Stats().Dropped == 200 })
	if err := s.Emit("e"); err != nil {
		t.Errorf("the queue stays full: %v", err)
	}
}

// What another server emits to a room is kept for a socket that was in it and may come back, though nobody else is in it.
func TestLostSocketMissesNothing(t *testing.T) {
	t.Parallel()
	r := startRedis(t)
	a := serveIO(t, r, redisadapter.Config{}, socketio.Config{Recovery: socketio.Recovery{Window: time.Minute}}).ready(t)
	b := serve(t, r, redisadapter.Config{}).ready(t)
	peer := a.peer(t)
	w := peer.OpenWebSocket()
	w.Send("40")
	var hello struct{ SID, PID string }
	if err := json.Unmarshal([]byte(strings.TrimPrefix(w.Read(), "40")), &hello); err != nil {
		t.Fatal(err)
	}
	w.Send(`420["join","x"]`)
	w.Expect("430[]")
	b.To("x").Emit("first")
	offset := strings.TrimSuffix(strings.TrimPrefix(w.Read(), `42["first",`), "]")
	w.Close()
	eventually(t, "the loss to be noticed", func() bool { return a.Stats().Sockets == 0 })
	b.To("x").Emit("missed", []byte{1})
	eventually(t, "the event to arrive", func() bool { return a.cluster.Stats().Received == 2 })
	w = peer.OpenWebSocket()
	defer w.Close()
	w.Send(`40{"pid":"` + hello.PID + `","offset":` + offset + `}`)
	if got := w.Read(); !strings.HasPrefix(got, `451-["missed",{"_placeholder":true,"num":0},"`) {
		t.Errorf("the client that comes back gets %q first", got)
	}
	w.Expect("b:\x01")
	if got := w.Read(); !strings.Contains(got, hello.SID) {
		t.Errorf("and is then told %q", got)
	}
}

// On a Redis Cluster servers that know different nodes share rooms like others, all are counted, and what one emits
// arrives in order. While the node that they publish at is away, messages wait as they do for any Redis.
func TestRedisCluster(t *testing.T) {
	t.Parallel()
	nodes := testenv.StartRedisCluster(t)
	var servers []*server
	var sockets []*socket
	for i := range 6 {
		s := serve(t, &redis{addr: nodes[i%len(nodes)].Address}, redisadapter.Config{HoldFor: 100 * time.Millisecond}).ready(t)
		servers, sockets = append(servers, s), append(sockets, s.connect(t, fmt.Sprint("at ", i), "x"))
	}
	for i, s := range servers {
		if n, err := s.cluster.Of("/").Servers(wiretest.Context(t)); n != len(servers) || err != nil {
			t.Errorf("server %d counts %d servers, %v", i, n, err)
		}
		if listed, err := s.cluster.Of("/").FetchSockets(wiretest.Context(t), socketio.Target{Rooms: []string{"x"}}); len(listed) != len(servers) || err != nil {
			t.Errorf("server %d lists %d sockets, %v", i, len(listed), err)
		}
	}
	const each = 50
	for n := range each {
		for from, s := range servers {
			s.To("x").Emit("event", from, n)
		}
	}
	for _, k := range sockets {
		got := make([]int, len(servers))
		for range each * len(servers) {
			var from, n int
			if _, err := fmt.Sscanf(k.next(t), "event %d,%d", &from, &n); err != nil || n != got[from] {
				t.Fatalf("%s gets event %d of server %d, %v, want %d", k.name, n, from, err, got[from])
			}
			got[from]++
		}
	}

	nodes[0].Kill()
	failed := make([]int64, len(servers))
	for i, s := range servers {
		held := func(n int64) {
			eventually(t, "messages to be held up", func() bool {
				s.Emit("waits")
				return s.cluster.Stats().Dropped >= n
			})
		}
		held(1)
		failed[i] = s.cluster.Stats().Failed // those on their way
		held(50)
		s.ready(t) // at another node
	}
	nodes[0].Restart(t)
	for from, s := range servers {
		back := fmt.Sprint("back ", from)
		heard := map[*socket]bool{}
		eventually(t, "everybody to hear of server "+fmt.Sprint(from), func() bool { // the node has to find the others first
			s.Emit("back", from)
			for _, k := range sockets {
				for len(k.events) > 0 {
					heard[k] = <-k.events == back || heard[k]
				}
			}
			return len(heard) == len(sockets) && !slices.Contains(slices.Collect(maps.Values(heard)), false)
		})
		if st := s.cluster.Stats(); st.Failed != failed[from] || st.Malformed != 0 {
			t.Errorf("stats %+v, want %d failed", st, failed[from])
		}
	}
}

// When Sentinels give a master's place to another server, messages go there; the old one, which goes on for some seconds as
// if nothing had happened, is left at once.
func TestFailover(t *testing.T) {
	t.Parallel()
	master, replica := startRedis(t), startRedis(t)
	order := func(address string, command ...string) error {
		client, err := rueidis.NewClient(rueidis.ClientOption{InitAddress: []string{address}, DisableCache: true, ForceSingleClient: true})
		if err != nil {
			t.Fatal(err)
		}
		defer client.Close()
		return client.Do(wiretest.Context(t), client.B().Arbitrary(command...).Build()).Error()
	}
	_, port, _ := net.SplitHostPort(master.addr)
	if err := order(replica.addr, "REPLICAOF", "127.0.0.1", port); err != nil {
		t.Fatal(err)
	}
	address, sentinel := testenv.StartSentinel(t, port, 1)
	sentinels := &redis{addr: address}
	options := rueidis.ClientOption{Sentinel: rueidis.SentinelOption{MasterSet: "main"}}
	began, returned := time.Now(), make(chan time.Time, 10)
	a := serve(t, sentinels, redisadapter.Config{
		Options: options, Rejoined: func(_ context.Context, since time.Time) { returned <- since },
	}).ready(t)
	b := serve(t, sentinels, redisadapter.Config{Options: options}).ready(t)
	k := a.connect(t, "here")
	b.Emit("before")
	k.expect(t, "before ")

	eventually(t, "a replica to take over", func() bool { return order(address, "SENTINEL", "FAILOVER", "main") == nil })
	sentinel.Line(t, "+switch-master")
	left := func() bool { return a.cluster.Stats().Outages > 0 && b.cluster.Stats().Outages > 0 }
	eventually(t, "the old master to be left", left)
	a.ready(t)
	b.ready(t)
	b.Emit("after")
	k.expect(t, "after ")
	if since := <-returned; since.Before(began) || time.Since(since) < 0 {
		t.Errorf("away since %s", since)
	}
}

// A client that is lent is used and not closed.
func TestLentClient(t *testing.T) {
	t.Parallel()
	r := startRedis(t)
	lent, err := rueidis.NewClient(rueidis.ClientOption{
		InitAddress: []string{r.addr}, DisableCache: true, ForceSingleClient: true, PipelineMultiplex: -1,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(lent.Close)
	a, b := serve(t, r, redisadapter.Config{Client: lent}).ready(t), serve(t, r, redisadapter.Config{Client: lent}).ready(t)
	k := a.connect(t, "here")
	b.Emit("hello")
	k.expect(t, "hello ")
	if err := b.Close(wiretest.Context(t)); err != nil {
		t.Error(err)
	}
	a.Emit("still here")
	k.expect(t, "still here ")
	if err := lent.Do(wiretest.Context(t), lent.B().Ping().Build()).Error(); err != nil {
		t.Errorf("the lent client is unusable: %v", err)
	}
	if n, err := a.cluster.Of("/").Servers(wiretest.Context(t)); n != 1 || err != nil {
		t.Errorf("%d servers are left, %v", n, err)
	}
}

// Hostile or foreign publishers on our channels.
func TestMalformedMessagesAreDropped(t *testing.T) {
	t.Parallel()
	r := startRedis(t)
	s := serve(t, r, redisadapter.Config{}).ready(t)
	k := s.connect(t, "here", "x")
	pub, err := rueidis.NewClient(rueidis.ClientOption{InitAddress: []string{r.addr}, DisableCache: true, ForceSingleClient: true})
	if err != nil {
		t.Fatal(err)
	}
	defer pub.Close()
	deep := strings.Repeat("\x91", 5000) + "\x90"
	messages := []struct{ channel, content string }{
		{"socket.io#/#", "hello"},
		{"socket.io#/#", ""},
		{"socket.io#/#x#", "\xdd\xff\xff\xff\xff"},
		{"socket.io#/#", "\x83\xa3uid\x01"},
		{"socket.io#/#", "\x93\xa1a\x82\xa4type\x02\xa4data\x91\xa1v\xc0"},
		{"socket.io#/#", "\x93\xa1a\x81\xa4type\x02\x80"},
		{"socket.io#/#", "\x93\xa1a\x82\xa4type\x02\xa4data\x92\xa1v" + deep + "\x80"},
		{"socket.io#/#", "\x93\xa1a\x82\xa4type\x02\xa4data\x91\xaadisconnect\x80"},
		{"socket.io-request#/#", ""},
		{"socket.io-request#/#", "{"},
		{"socket.io-request#/#", "{}"},
		{"socket.io-request#/#", `{"type":5}`},
		{"socket.io-request#/#", `{"type":6,"data":{}}`},
		{"socket.io-request#/#", `{"type":6,"data":[]}`},
		{"socket.io-request#/#", `{"type":2,"opts":{"rooms":{}}}`},
		{"socket.io-request#/#", "\x81\xa4type\x07"},
		{"socket.io-request#/#", deep},
	}
	for _, m := range messages {
		if err := pub.Do(wiretest.Context(t), pub.B().Publish().Channel(m.channel).Message(m.content).Build()).Error(); err != nil {
			t.Fatal(err)
		}
	}
	// None of these is malformed, or of any effect.
	for _, m := range []struct{ channel, content string }{
		{"socket.io-request#/#", `{"type":99}`},
		{"socket.io-request#/#", `{"type":4,"opts":{"rooms":["nobody"],"except":[]}}`},
		{"socket.io-response#/#", `{"requestId":"nobody's"}`},
		{"socket.io-response#/#", `{"`},
		{"socket.io#/#nobody#", "hello"},
		{"socket.io#/other#", "hello"},
	} {
		pub.Do(wiretest.Context(t), pub.B().Publish().Channel(m.channel).Message(m.content).Build())
	}
	good := "\x93\xa7emitter\x82\xa4type\x02\xa4data\x91\xa2ok\x80"
	pub.Do(wiretest.Context(t), pub.B().Publish().Channel("socket.io#/#").Message(good).Build())
	k.expect(t, "ok ")
	if got := s.cluster.Stats().Malformed; got != int64(len(messages)) {
		t.Errorf("%d malformed messages, want %d", got, len(messages))
	}
	if n := strings.Count(s.log.String(), "malformed"); n != 1 {
		t.Errorf("logged %d times:\n%s", n, s.log)
	}
}

func TestConfig(t *testing.T) {
	t.Parallel()
	if _, err := redisadapter.New(redisadapter.Config{}); err == nil {
		t.Error("a config without Redis is taken")
	}
}
