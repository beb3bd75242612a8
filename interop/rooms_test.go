package interop

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis/rueidis"

	"loupe/internal/testenv"
	"loupe/socketio"
	"loupe/socketio/redisadapter"
)

// roomsCluster is a Node server and two Go servers that share rooms, with a Node emitter, and official clients on each
// server.
type roomsCluster struct {
	redisPort string
	redis     *testenv.Process
	clients   *testenv.Process
	sources   map[string]roomsSource
	servers   map[string]string // URLs
	sockets   map[string][]any  // their rooms
	goA, goB  *roomsGo
	node      *roomsNode
}

// roomsCommand is what a source of events is to do.
type roomsCommand struct {
	ID       int    `json:"id"`
	Do       string `json:"do"`
	Rooms    []any  `json:"rooms,omitempty"`
	Except   []any  `json:"except,omitempty"`
	Volatile bool   `json:"volatile,omitempty"`
	Args     any    `json:"args,omitempty"`
}

// roomsSource is something that can emit to rooms. It returns what the command is answered with.
type roomsSource interface {
	do(t *testing.T, c roomsCommand) json.RawMessage
}

// roomsNode is a Node process that reads commands.
type roomsNode struct {
	*testenv.Process
	last int
}

func (n *roomsNode) do(t *testing.T, c roomsCommand) json.RawMessage {
	t.Helper()
	value, err := n.try(t, c)
	if err != nil {
		t.Fatalf("%s: %v", c.Do, err)
	}
	return value
}

func (n *roomsNode) try(t *testing.T, c roomsCommand) (json.RawMessage, error) {
	t.Helper()
	n.last++
	c.ID = n.last
	line, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	n.Say(t, string(line))
	var answer struct {
		Value json.RawMessage
		Error string
	}
	if err := json.Unmarshal([]byte(n.Line(t, fmt.Sprintf(`{"done":%d,`, c.ID))), &answer); err != nil {
		t.Fatal(err)
	}
	if answer.Error != "" {
		return nil, errors.New(answer.Error)
	}
	return answer.Value, nil
}

// roomsEmitter is the emitter, whose answers have no more than the id.
type roomsEmitter struct{ roomsNode }

func (e *roomsEmitter) do(t *testing.T, c roomsCommand) json.RawMessage {
	t.Helper()
	e.last++
	c.ID = e.last
	line, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	e.Say(t, string(line))
	e.Line(t, fmt.Sprintf(`{"done":%d}`, c.ID))
	return nil
}

// roomsGo is a Go server in this process.
type roomsGo struct {
	*socketio.Server
	cluster *redisadapter.Cluster
	url     string
}

func (s *roomsGo) do(t *testing.T, c roomsCommand) json.RawMessage {
	t.Helper()
	b := s.All().To(roomNames(c.Rooms)...).Except(roomNames(c.Except)...)
	if c.Volatile {
		b = b.Volatile()
	}
	args, _ := c.Args.([]any)
	var err error
	switch c.Do {
	case "emit":
		plain := slices.Clone(args[1:])
		for i, arg := range plain {
			if binary, ok := arg.(roomsBinary); ok {
				plain[i] = []byte(binary)
			}
		}
		err = b.Emit(args[0].(string), plain...)
	case "join":
		err = b.Join(roomNames(args)...)
	case "leave":
		err = b.Leave(roomNames(args)...)
	case "disconnect":
		err = b.Disconnect(false)
	case "serverSideEmit":
		err = s.cluster.Of("/").ServerSideEmit(args[0].(string), args[1:]...)
	default:
		t.Fatalf("%s is nothing that a Go server is told here", c.Do)
	}
	if err != nil {
		t.Errorf("%s: %v", c.Do, err)
	}
	return nil
}

// roomsBinary is binary data in the form of values.mjs.
type roomsBinary []byte

func (b roomsBinary) MarshalJSON() ([]byte, error) {
	return json.Marshal(map[string][]byte{"$binary": b})
}

// roomNames makes names of rooms of numbers and strings, which are the same to us.
func roomNames(rooms []any) []string {
	names := make([]string, len(rooms))
	for i, room := range rooms {
		names[i] = fmt.Sprint(room)
	}
	return names
}

func startRoomsCluster(t *testing.T, library string) *roomsCluster {
	t.Helper()
	testenv.Need(t, testenv.Redis, testenv.Node)
	c := &roomsCluster{redisPort: testenv.FreePort(t), sockets: map[string][]any{}}
	c.startRedis(t)
	c.node = &roomsNode{Process: testenv.StartNode(t, "rooms/server.mjs", c.redisPort, library)}
	c.goA, c.goB = c.startGo(t), c.startGo(t)
	c.clients = testenv.StartNode(t, "rooms/clients.mjs")
	c.sources = map[string]roomsSource{
		"emitter": &roomsEmitter{roomsNode{Process: testenv.StartNode(t, "rooms/emitter.mjs", c.redisPort)}},
		"node":    c.node, "goA": c.goA, "goB": c.goB,
	}
	var hello struct{ Listening int }
	if err := json.Unmarshal([]byte(c.node.Line(t, `{"listening"`)), &hello); err != nil {
		t.Fatal(err)
	}
	c.servers = map[string]string{"node": fmt.Sprint("http://127.0.0.1:", hello.Listening), "goA": c.goA.url, "goB": c.goB.url}
	for server := range c.servers {
		c.connect(t, server, "none")
		c.connect(t, server, "r", "r")
		c.connect(t, server, "q", "q")
		c.connect(t, server, "both", "r", "q")
		c.connect(t, server, "number", 42)
	}
	c.connect(t, "goA", "only", "only")
	c.complete(t)
	return c
}

func (c *roomsCluster) startRedis(t *testing.T) {
	t.Helper()
	c.redis = testenv.Start(t, exec.Command("redis-server",
		"--bind", "127.0.0.1", "--port", c.redisPort, "--dir", t.TempDir(), "--save", "", "--appendonly", "no"))
	c.redis.Line(t, "Ready to accept connections")
}

func (c *roomsCluster) startGo(t *testing.T) *roomsGo {
	t.Helper()
	cluster, err := redisadapter.New(redisadapter.Config{
		Options:        rueidis.ClientOption{InitAddress: []string{"127.0.0.1:" + c.redisPort}},
		RequestTimeout: 20 * time.Second,
		Describe:       func(*socketio.Socket) any { return map[string]string{"from": "go"} },
	})
	if err != nil {
		t.Fatal(err)
	}
	s := &roomsGo{Server: socketio.NewServer(socketio.Config{Adapter: cluster.Adapter}), cluster: cluster}
	s.OnConnect(func(socket *socketio.Socket) {
		socket.On("join", socketio.Typed(func(_ context.Context, e *socketio.Event, rooms []any) {
			socket.Join(roomNames(rooms)...)
			e.Ack()
		}))
	})
	s.cluster.Of("/").On("sum", func(_ context.Context, args []json.RawMessage) any {
		var a, b int
		json.Unmarshal(args[0], &a)
		json.Unmarshal(args[1], &b)
		return a + b
	})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.url = "http://" + l.Addr().String()
	srv := &http.Server{Handler: s}
	served := make(chan struct{})
	go func() {
		defer close(served)
		srv.Serve(l)
	}()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := s.Close(ctx); err != nil {
			t.Errorf("closing a server: %v", err)
		}
		srv.Close()
		<-served
	})
	return s
}

// connect adds a socket. Its name is that of the server, a colon, and the name given.
func (c *roomsCluster) connect(t *testing.T, server, name string, rooms ...any) {
	t.Helper()
	name = server + ":" + name
	c.sockets[name] = rooms
	line, err := json.Marshal(map[string]any{"name": name, "url": c.servers[server], "rooms": append([]any{}, rooms...)})
	if err != nil {
		t.Fatal(err)
	}
	c.clients.Say(t, string(line))
	c.clients.Line(t, `{"joined":"`+name+`"}`)
}

// complete waits until each source is heard at every server.
func (c *roomsCluster) complete(t *testing.T) {
	t.Helper()
	eventually(t, "three servers", func() bool {
		n, err := c.goA.cluster.Of("/").Servers(t.Context())
		return err == nil && n == 3
	})
	for name, source := range c.sources {
		for server := range c.servers {
			from := len(c.clients.Output())
			eventually(t, name+" to be heard at "+server, func() bool {
				source.do(t, roomsCommand{Do: "emit", Args: []any{"probe", name}})
				return strings.Contains(c.clients.Output()[from:], `{"to":"`+server+`:none","got":["probe","`+name+`"]}`)
			})
		}
	}
}

// got reads what the socket gets up to the last event of each source, by source. Probes are left out.
func (c *roomsCluster) got(t *testing.T, socket string) map[string][]string {
	t.Helper()
	all := map[string][]string{}
	for lasts := 0; lasts < len(c.sources); {
		var line struct{ Got []json.RawMessage }
		if err := json.Unmarshal([]byte(c.clients.Line(t, `{"to":"`+socket+`",`)), &line); err != nil {
			t.Fatal(err)
		}
		event, source := string(line.Got[0]), ""
		if json.Unmarshal(line.Got[1], &source); event == `"probe"` {
			continue
		}
		shown, _ := json.Marshal(line.Got)
		all[source] = append(all[source], string(shown))
		if event == `"last"` {
			lasts++
		}
	}
	return all
}

// exchange has every source emit to all kinds of rooms and compares what each socket gets with what it should.
func (c *roomsCluster) exchange(t *testing.T) {
	t.Helper()
	want := map[string]map[string][]string{}
	for name := range c.sockets {
		want[name] = map[string][]string{}
	}
	for source := range c.sources {
		for i, e := range []roomsCommand{
			{Args: []any{"all", source, map[string]any{"n": 1.5, "big": 4294967296, "nil": nil, "ü": "\u2028\"\n😀"}, []any{[]any{}, true}}},
			{Args: []any{"room", source}, Rooms: []any{"r"}},
			{Args: []any{"rooms", source}, Rooms: []any{"r", "q"}},
			{Args: []any{"except", source}, Rooms: []any{"r"}, Except: []any{"q"}},
			{Args: []any{"but", source}, Except: []any{"r", "q"}},
			{Args: []any{"number", source, 42}, Rooms: []any{42}},
			{Args: []any{"not number", source}, Except: []any{42}},
			{Args: []any{"only", source}, Rooms: []any{"only"}},
			{Args: []any{"nobody", source}, Rooms: []any{"nobody"}},
			{Args: []any{"binary", source, roomsBinary{0, 1, 255}, "text", roomsBinary{}}, Rooms: []any{"q"}},
			{Args: []any{"last", source}},
		} {
			e.Do = "emit"
			c.sources[source].do(t, e)
			shown, err := json.Marshal(e.Args)
			if err != nil {
				t.Fatal(i, err)
			}
			var sorted any // the order of an object's keys is not compared
			json.Unmarshal(shown, &sorted)
			shown, _ = json.Marshal(sorted)
			for socket, rooms := range c.sockets {
				in := func(some []any) bool {
					return slices.ContainsFunc(some, func(room any) bool { return slices.Contains(rooms, room) })
				}
				if (len(e.Rooms) == 0 || in(e.Rooms)) && !in(e.Except) {
					want[socket][source] = append(want[socket][source], string(shown))
				}
			}
		}
	}
	for socket := range c.sockets {
		got := c.got(t, socket)
		for source, events := range got {
			for i, e := range events {
				var sorted any
				json.Unmarshal([]byte(e), &sorted)
				b, _ := json.Marshal(sorted)
				events[i] = string(b)
			}
			if !slices.Equal(events, want[socket][source]) {
				t.Errorf("%s → %s: got\n\t%s\nwant\n\t%s", source, socket, strings.Join(events, "\n\t"), strings.Join(want[socket][source], "\n\t"))
			}
		}
	}
}

// Every emit reaches exactly the right sockets, each once, from the emitter, a Node server and two Go servers to the
// sockets of the three servers; also after Redis was killed and started again.
func TestRoomsInAllDirections(t *testing.T) {
	t.Parallel()
	for _, library := range []string{"ioredis", "redis"} {
		t.Run(library, func(t *testing.T) {
			t.Parallel()
			c := startRoomsCluster(t, library)
			c.exchange(t)

			c.redis.Kill()
			eventually(t, "the servers to notice", func() bool {
				return c.goA.cluster.Stats().Outages > 0 && c.goB.cluster.Stats().Outages > 0
			})
			c.goA.To("only").Emit("meanwhile")
			c.clients.Line(t, `{"to":"goA:only","got":["meanwhile"]}`)
			c.startRedis(t)
			c.complete(t)
			c.drain(t)
			c.exchange(t)
			for name, s := range map[string]*roomsGo{"goA": c.goA, "goB": c.goB} {
				if st := s.cluster.Stats(); st.Malformed > 0 {
					t.Errorf("%s: %+v", name, st)
				}
			}
		})
	}
}

// drain reads what is left of the outage at each socket, so that the next exchange begins with nothing.
func (c *roomsCluster) drain(t *testing.T) {
	t.Helper()
	for _, source := range c.sources {
		source.do(t, roomsCommand{Do: "emit", Args: []any{"drained"}})
	}
	for socket := range c.sockets {
		for range c.sources {
			for !strings.Contains(c.clients.Line(t, `{"to":"`+socket+`",`), `["drained"]`) {
			}
		}
	}
}

// What servers ask of each other is answered in time by all, in every direction.
func TestRoomsServersAskEachOther(t *testing.T) {
	t.Parallel()
	c := startRoomsCluster(t, "ioredis")
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	all := c.goA.cluster.Of("/")

	// Lists of sockets and rooms.
	var sockets []struct {
		ID        string
		Rooms     []any
		Data      struct{ From string }
		Handshake map[string]any
	}
	answer := c.node.do(t, roomsCommand{Do: "fetchSockets"})
	if err := json.Unmarshal(answer, &sockets); err != nil || len(sockets) != len(c.sockets) {
		t.Errorf("Node lists %d sockets, %v, want %d", len(sockets), err, len(c.sockets))
	}
	for _, s := range sockets {
		if secret := strings.Contains(fmt.Sprint(s.Handshake), "secret"); secret != (s.Data.From == "node") {
			t.Errorf("Node lists %+v", s)
		}
	}
	if err := json.Unmarshal(c.node.do(t, roomsCommand{Do: "fetchSockets", Rooms: []any{"r", 42}, Except: []any{"q"}}), &sockets); err != nil || len(sockets) != 6 {
		t.Errorf("Node lists %d sockets, %v, want 6", len(sockets), err)
	}
	if listed, err := all.FetchSockets(ctx, socketio.Target{}); err != nil || len(listed) != len(c.sockets) {
		t.Errorf("Go lists %+v, %v", listed, err)
	} else if strings.Contains(fmt.Sprintf("%s", listed), "secret") {
		t.Errorf("Go lists secrets: %s", listed)
	}
	if listed, err := all.FetchSockets(ctx, socketio.Target{Rooms: []string{"r", "42"}, Except: []string{"q"}}); err != nil || len(listed) != 6 {
		t.Errorf("Go lists %+v, %v", listed, err)
	}
	var rooms []any
	if err := json.Unmarshal(c.node.do(t, roomsCommand{Do: "allRooms"}), &rooms); err != nil || !slices.Contains(rooms, any("only")) {
		t.Errorf("Node lists the rooms %v, %v", rooms, err)
	}
	if listed, err := all.AllRooms(ctx); err != nil || len(listed) != len(c.sockets)+4 || !slices.Contains(listed, "42") {
		t.Errorf("Go lists the rooms %q, %v", listed, err)
	}

	// Messages between servers.
	if got := c.node.do(t, roomsCommand{Do: "serverSideEmitWithAck", Args: []any{"sum", 1, 2}}); string(got) != "[3,3]" {
		t.Errorf("Node is answered %s", got)
	}
	if got, err := all.ServerSideEmitWithAck(ctx, "sum", 20, 3); err != nil || fmt.Sprintf("%s", got) != "[23 23]" {
		t.Errorf("Go is answered %s, %v", got, err)
	}
	told := make(chan string, 10)
	for name, s := range map[string]*roomsGo{"goA": c.goA, "goB": c.goB} {
		s.cluster.Of("/").On("told", func(_ context.Context, args []json.RawMessage) any {
			told <- fmt.Sprintf("%s by %s", name, args[0])
			return nil
		})
	}
	for source := range c.sources {
		c.sources[source].do(t, roomsCommand{Do: "serverSideEmit", Args: []any{"told", source}})
	}
	got := map[string]bool{}
	for range 6 {
		got[<-told] = true
	}
	if want := []string{`goA by "emitter"`, `goA by "goB"`, `goA by "node"`, `goB by "emitter"`, `goB by "goA"`, `goB by "node"`}; !slices.Equal(slices.Sorted(maps.Keys(got)), want) {
		t.Errorf("told %v", got)
	}
	for _, source := range []string{"emitter", "goA", "goB"} {
		c.node.Line(t, `{"told":["`+source+`"]}`)
	}

	// Acknowledgements.
	want := []string{"goA:both", "goA:r", "goB:both", "goB:r", "node:both", "node:r"}
	var acks []struct {
		Name  string
		Bytes struct {
			Binary []byte `json:"$binary"`
		}
	}
	answer = c.node.do(t, roomsCommand{Do: "emitWithAck", Rooms: []any{"r"}, Args: []any{"ask", roomsBinary("x")}})
	var names []string
	if err := json.Unmarshal(answer, &acks); err != nil {
		t.Fatal(err)
	}
	for _, a := range acks {
		if string(a.Bytes.Binary) == a.Name {
			names = append(names, a.Name)
		}
	}
	if slices.Sort(names); !slices.Equal(names, want) {
		t.Errorf("acknowledged to Node: %s", answer)
	}
	values, err := c.goA.To("r").EmitWithAck(ctx, "ask", []byte("x"))
	names = nil
	for _, v := range values {
		var a struct {
			Name  string
			Bytes socketio.Binary
		}
		if err := v.Bind(&a); err == nil && string(a.Bytes) == a.Name {
			names = append(names, a.Name)
		}
	}
	if slices.Sort(names); err != nil || !slices.Equal(names, want) {
		t.Errorf("acknowledged to Go: %q, %v", values, err)
	}
	if got := c.node.do(t, roomsCommand{Do: "emitWithAck", Rooms: []any{"nobody"}, Args: []any{"ask"}}); string(got) != "[]" {
		t.Errorf("nobody has acknowledged with %s", got)
	}

	// Joining, leaving, disconnecting.
	for _, source := range slices.Sorted(maps.Keys(c.sources)) {
		room := "by " + source
		c.sources[source].do(t, roomsCommand{Do: "join", Rooms: []any{"r"}, Args: []any{room, room + " not"}})
		c.sources[source].do(t, roomsCommand{Do: "leave", Rooms: []any{"r"}, Except: []any{"q"}, Args: []any{room + " not"}})
		for suffix, want := range map[string]int{"": 6, " not": 3} {
			eventually(t, room+suffix, func() bool {
				sockets, err := all.FetchSockets(ctx, socketio.Target{Rooms: []string{room + suffix}})
				return err == nil && len(sockets) == want
			})
		}
	}
	for i, source := range slices.Sorted(maps.Keys(c.sources)) {
		victims := []string{"none", "number", "q", "r"}[i]
		choice := map[string]roomsCommand{
			"none":   {Except: []any{"r", "q", 42, "only"}},
			"number": {Rooms: []any{42}},
			"q":      {Rooms: []any{"q"}, Except: []any{"r"}},
			"r":      {Rooms: []any{"r"}, Except: []any{"q"}},
		}[victims]
		choice.Do = "disconnect"
		c.sources[source].do(t, choice)
		for server := range c.servers {
			c.clients.Line(t, `{"left":"`+server+":"+victims+`","why":"io server disconnect"}`)
		}
	}
	if left := strings.Count(c.clients.Output(), `{"left"`); left != 12 {
		t.Errorf("%d sockets were disconnected, want 12", left)
	}
}

// A Go server that dies is not waited for.
func TestRoomsAfterAServerIsKilled(t *testing.T) {
	t.Parallel()
	c := startRoomsCluster(t, "ioredis")
	binary := filepath.Join(t.TempDir(), "rooms")
	build := exec.Command("go", "build", "-o", binary, "./interop/rooms")
	build.Dir = testenv.Root()
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	victim := testenv.Start(t, exec.Command(binary, "127.0.0.1:"+c.redisPort))
	victim.Line(t, "listening")
	ask := roomsCommand{Do: "serverSideEmitWithAck", Args: []any{"sum", 2, 2}}
	if got := c.node.do(t, ask); string(got) != "[null,4,4]" && string(got) != "[4,null,4]" && string(got) != "[4,4,null]" {
		t.Errorf("Node is answered %s", got)
	}
	victim.Kill()
	eventually(t, "Node to be answered by the living", func() bool {
		got, err := c.node.try(t, ask)
		return err == nil && string(got) == "[4,4]"
	})
	before := time.Now()
	for _, do := range []string{"fetchSockets", "allRooms"} {
		c.node.do(t, roomsCommand{Do: do})
	}
	if got, err := c.goA.cluster.Of("/").FetchSockets(t.Context(), socketio.Target{}); err != nil || len(got) != len(c.sockets) {
		t.Errorf("Go lists %v, %v", got, err)
	}
	if took := time.Since(before); took > 10*time.Second {
		t.Errorf("the dead are still waited for: %s", took)
	}
}
