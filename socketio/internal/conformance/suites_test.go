package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"loupe/socketio/internal/wiretest"
)

func TestMain(m *testing.M) { wiretest.Main(m) }

// The tests of the two official suites, by their names, without Node and without waiting. "go run ." runs the suites
// themselves.

type suiteCase struct {
	name string
	run  func(*testing.T, *wiretest.Peer)
}

func runSuite(t *testing.T, path string, cases []suiteCase) {
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				l := wiretest.NewListener()
				served := make(chan error, 1)
				go func() { served <- serve(ctx, l) }()
				t.Cleanup(func() {
					cancel()
					if err := <-served; err != nil {
						t.Errorf("closing: %v", err)
					}
				})
				c.run(t, wiretest.NewPeer(t, l.Dial, path))
			})
		})
	}
}

func TestEngineIOSuite(t *testing.T) {
	t.Parallel()
	runSuite(t, "/engine.io/", slices.Concat(transportCases(func(s string) string { return s }), messageCases))
}

func TestSocketIOSuite(t *testing.T) {
	t.Parallel()
	should := func(s string) string { // the suites differ in how they put it
		verb, rest, _ := strings.Cut(s, " ")
		if verb == "successfully" {
			verb, rest, _ = strings.Cut(rest, " ")
			return "should successfully " + strings.TrimSuffix(verb, "s") + " " + rest
		}
		return "should " + strings.TrimSuffix(verb, "s") + " " + rest
	}
	runSuite(t, "/socket.io/", slices.Concat(transportCases(should), socketCases))
}

// transportCases are the tests that both suites have.
func transportCases(name func(string) string) []suiteCase {
	cases := []suiteCase{
		{"handshake/HTTP long-polling/successfully opens a session", func(t *testing.T, p *wiretest.Peer) {
			a := p.Get("EIO=4&transport=polling")
			expectStatus(t, a, 200)
			expectOpen(t, a.Body, `["websocket"]`)
		}},
		{"handshake/HTTP long-polling/fails with an invalid 'EIO' query parameter", func(t *testing.T, p *wiretest.Peer) {
			expectStatus(t, p.Get("transport=polling"), 400)
			expectStatus(t, p.Get("EIO=abc&transport=polling"), 400)
		}},
		{"handshake/HTTP long-polling/fails with an invalid 'transport' query parameter", func(t *testing.T, p *wiretest.Peer) {
			expectStatus(t, p.Get("EIO=4"), 400)
			expectStatus(t, p.Get("EIO=4&transport=abc"), 400)
		}},
		{"handshake/HTTP long-polling/fails with an invalid request method", func(t *testing.T, p *wiretest.Peer) {
			for _, method := range []string{http.MethodPost, http.MethodPut} {
				a, err := p.Do(t.Context(), wiretest.Request{Method: method, Query: "EIO=4&transport=polling"})
				if err != nil {
					t.Fatal(err)
				}
				expectStatus(t, a, 400)
			}
		}},
		{"handshake/WebSocket/successfully opens a session", func(t *testing.T, p *wiretest.Peer) {
			expectOpen(t, p.WebSocket("").Read(), `[]`)
		}},
		{"handshake/WebSocket/fails with an invalid 'EIO' query parameter", func(t *testing.T, p *wiretest.Peer) {
			expectRefusal(t, p, "transport=websocket", "EIO=abc&transport=websocket")
		}},
		{"handshake/WebSocket/fails with an invalid 'transport' query parameter", func(t *testing.T, p *wiretest.Peer) {
			expectRefusal(t, p, "EIO=4", "EIO=4&transport=abc")
		}},
		{"heartbeat/HTTP long-polling/sends ping/pong packets", func(t *testing.T, p *wiretest.Peer) {
			sid := p.Open()
			for range 3 {
				expectAnswer(t, p.Poll(sid), 200, "2")
				expectAnswer(t, p.Post(sid, "3"), 200, "ok")
			}
		}},
		{"heartbeat/HTTP long-polling/closes the session upon ping timeout", func(t *testing.T, p *wiretest.Peer) {
			sid := p.Open()
			time.Sleep(pingInterval + pingTimeout)
			expectStatus(t, p.Poll(sid), 400)
		}},
		{"heartbeat/WebSocket/sends ping/pong packets", func(t *testing.T, p *wiretest.Peer) {
			w := p.OpenWebSocket()
			for range 3 {
				w.Expect("2")
				w.Send("3")
			}
		}},
		{"heartbeat/WebSocket/closes the session upon ping timeout", func(t *testing.T, p *wiretest.Peer) {
			start := time.Now()
			p.OpenWebSocket().ExpectClose()
			if took := time.Since(start); took != pingInterval+pingTimeout {
				t.Errorf("closed after %v", took)
			}
		}},
		{"close/HTTP long-polling/forcefully closes the session", func(t *testing.T, p *wiretest.Peer) {
			for _, postFirst := range []bool{true, false} { // in the suite at the same time
				sid := p.Open()
				polled := make(chan wiretest.Answer, 1)
				poll := func() {
					a, _ := p.Do(t.Context(), wiretest.Request{Query: "EIO=4&transport=polling&sid=" + sid})
					polled <- a
				}
				if !postFirst {
					go poll()
					synctest.Wait()
				}
				expectAnswer(t, p.Post(sid, "1"), 200, "ok")
				if postFirst {
					go poll()
				}
				expectAnswer(t, <-polled, 200, "6")
				expectStatus(t, p.Poll(sid), 400)
			}
		}},
		{"close/WebSocket/forcefully closes the session", func(t *testing.T, p *wiretest.Peer) {
			w := p.OpenWebSocket()
			w.Send("1")
			w.ExpectClose()
		}},
		{"upgrade/successfully upgrades from HTTP long-polling to WebSocket", func(t *testing.T, p *wiretest.Peer) {
			sid := p.Open()
			w := p.WebSocket(sid)
			w.Probe()
			expectAnswer(t, p.Poll(sid), 200, "6")
			w.Send("5")
			expectAlive(t, p, w)
		}},
		{"upgrade/ignores HTTP requests with same sid after upgrade", func(t *testing.T, p *wiretest.Peer) {
			sid := p.Open()
			w := p.Upgrade(sid)
			expectStatus(t, p.Poll(sid), 400)
			expectAlive(t, p, w)
		}},
		{"upgrade/ignores WebSocket connection with same sid after upgrade", func(t *testing.T, p *wiretest.Peer) {
			sid := p.Open()
			w := p.Upgrade(sid)
			p.WebSocket(sid).ExpectClose()
			expectAlive(t, p, w)
		}},
	}
	for i, c := range cases {
		dir, base, _ := cutLast(c.name)
		if strings.HasSuffix(c.name, "sends ping/pong packets") {
			dir, base, _ = cutLast(strings.TrimSuffix(c.name, "/pong packets"))
			base += "/pong packets"
		}
		cases[i].name = dir + "/" + name(base)
	}
	return cases
}

func cutLast(s string) (string, string, bool) {
	i := strings.LastIndexByte(s, '/')
	return s[:i], s[i+1:], true
}

// messageCases are those of Engine.IO alone.
var messageCases = []suiteCase{
	{"message/HTTP long-polling/sends and receives a payload containing one plain text packet", echoByPolling("4hello")},
	{"message/HTTP long-polling/sends and receives a payload containing several plain text packets", echoByPolling("4test1\x1e4test2\x1e4test3")},
	{"message/HTTP long-polling/sends and receives a payload containing plain text and binary packets", echoByPolling("4hello\x1ebAQIDBA==")},
	{"message/HTTP long-polling/closes the session upon invalid packet format", func(t *testing.T, p *wiretest.Peer) {
		sid := p.Open()
		expectStatus(t, p.Post(sid, "abc"), 400)
		expectStatus(t, p.Poll(sid), 400)
	}},
	{"message/HTTP long-polling/closes the session upon duplicate poll requests", func(t *testing.T, p *wiretest.Peer) {
		sid := p.Open()
		first := make(chan wiretest.Answer, 1)
		go func() {
			a, _ := p.Do(t.Context(), wiretest.Request{Query: "EIO=4&transport=polling&sid=" + sid})
			first <- a
		}()
		synctest.Wait()
		expectAnswer(t, p.Get("EIO=4&transport=polling&t=burst&sid="+sid), 400, "")
		expectAnswer(t, <-first, 200, "1")
		expectStatus(t, p.Poll(sid), 400)
	}},
	{"message/HTTP long-polling/closes the session upon cancelled polling request", func(t *testing.T, p *wiretest.Peer) {
		sid := p.Open()
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Millisecond)
		defer cancel()
		if a, err := p.Do(ctx, wiretest.Request{Query: "EIO=4&transport=polling&sid=" + sid}); err == nil {
			t.Fatalf("answered with %v", a)
		}
		expectStatus(t, p.Poll(sid), 400)
	}},
	{"message/WebSocket/sends and receives a plain text packet", func(t *testing.T, p *wiretest.Peer) {
		w := p.OpenWebSocket()
		w.Send("4hello")
		w.Expect("4hello")
	}},
	{"message/WebSocket/sends and receives a binary packet", func(t *testing.T, p *wiretest.Peer) {
		w := p.OpenWebSocket()
		w.SendBinary(1, 2, 3, 4)
		w.Expect("b:\x01\x02\x03\x04")
	}},
	{"message/WebSocket/closes the session upon invalid packet format", func(t *testing.T, p *wiretest.Peer) {
		w := p.OpenWebSocket()
		w.Send("abc")
		w.ExpectClose()
	}},
}

func echoByPolling(body string) func(*testing.T, *wiretest.Peer) {
	return func(t *testing.T, p *wiretest.Peer) {
		sid := p.Open()
		expectAnswer(t, p.Post(sid, body), 200, "ok")
		synctest.Wait() // the echo of the first could else be polled before that of the second
		expectAnswer(t, p.Poll(sid), 200, body)
	}
}

// socketCases are those of Socket.IO alone.
var socketCases = []suiteCase{
	{"connect/should allow connection to the main namespace", connects("40", "40", `42["auth",{}]`)},
	{
		"connect/should allow connection to the main namespace with a payload",
		connects(`40{"token":"123"}`, "40", `42["auth",{"token":"123"}]`),
	},
	{"connect/should allow connection to a custom namespace", connects("40/custom,", "40/custom,", `42/custom,["auth",{}]`)},
	{
		"connect/should allow connection to a custom namespace with a payload",
		connects(`40/custom,{"token":"abc"}`, "40/custom,", `42/custom,["auth",{"token":"abc"}]`),
	},
	{"connect/should disallow connection to an unknown namespace", func(t *testing.T, p *wiretest.Peer) {
		w := p.OpenWebSocket()
		w.Send("40/random")
		w.Expect(`44/random,{"message":"Invalid namespace"}`)
	}},
	{"connect/should disallow connection with an invalid handshake", func(t *testing.T, p *wiretest.Peer) {
		w := p.OpenWebSocket()
		w.Send("4abc")
		w.ExpectClose()
	}},
	{"connect/should close the connection if no handshake is received", func(t *testing.T, p *wiretest.Peer) {
		start := time.Now()
		w := p.OpenWebSocket()
		for {
			m, err := w.Next()
			if err != nil {
				break
			}
			if m == "2" {
				w.Send("3")
			}
		}
		if took := time.Since(start); took != connectTimeout {
			t.Errorf("closed after %v", took)
		}
	}},
	{"disconnect/should disconnect from the main namespace", func(t *testing.T, p *wiretest.Peer) {
		w := connected(p)
		w.Send("41")
		w.Expect("2")
	}},
	{"disconnect/should connect then disconnect from a custom namespace", func(t *testing.T, p *wiretest.Peer) {
		w := connected(p)
		w.Expect("2")
		w.Send("40/custom")
		w.Read()
		w.Expect(`42/custom,["auth",{}]`)
		w.Send("41/custom")
		w.Send(`42["message","message to main namespace"]`)
		w.Expect(`42["message-back","message to main namespace"]`)
	}},
	{"message/should send a plain-text packet", func(t *testing.T, p *wiretest.Peer) {
		w := connected(p)
		w.Send(`42["message",1,"2",{"3":[true]}]`)
		w.Expect(`42["message-back",1,"2",{"3":[true]}]`)
	}},
	{"message/should send a packet with binary attachments", func(t *testing.T, p *wiretest.Peer) {
		w := connected(p)
		w.Send(`452-["message",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]`)
		w.SendBinary(1, 2, 3)
		w.SendBinary(4, 5, 6)
		w.Expect(`452-["message-back",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]`, "b:\x01\x02\x03", "b:\x04\x05\x06")
	}},
	{"message/should send a plain-text packet with an ack", func(t *testing.T, p *wiretest.Peer) {
		w := connected(p)
		w.Send(`42456["message-with-ack",1,"2",{"3":[false]}]`)
		w.Expect(`43456[1,"2",{"3":[false]}]`)
	}},
	{"message/should send a packet with binary attachments and an ack", func(t *testing.T, p *wiretest.Peer) {
		w := connected(p)
		w.Send(`452-789["message-with-ack",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]`)
		w.SendBinary(1, 2, 3)
		w.SendBinary(4, 5, 6)
		w.Expect(`462-789[{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]`, "b:\x01\x02\x03", "b:\x04\x05\x06")
	}},
	{"message/should close the connection upon invalid format (unknown packet type)", closesUpon("4abc")},
	{"message/should close the connection upon invalid format (invalid payload format)", closesUpon("42{}")},
	{
		"message/should close the connection upon invalid format (invalid ack id)",
		closesUpon(`42abc["message-with-ack",1,"2",{"3":[false]}]`),
	},
}

func connects(send, prefix, auth string) func(*testing.T, *wiretest.Peer) {
	return func(t *testing.T, p *wiretest.Peer) {
		w := p.OpenWebSocket()
		w.Send(send)
		payload, found := strings.CutPrefix(w.Read(), prefix)
		keys := map[string]string{}
		if err := json.Unmarshal([]byte(payload), &keys); !found || err != nil || len(keys) != 1 || keys["sid"] == "" {
			t.Errorf("connected with %q: %v", payload, err)
		}
		w.Expect(auth)
	}
}

func connected(p *wiretest.Peer) *wiretest.WebSocket {
	w := p.OpenWebSocket()
	w.Send("40")
	w.Read()
	w.Expect(`42["auth",{}]`)
	return w
}

func closesUpon(text string) func(*testing.T, *wiretest.Peer) {
	return func(t *testing.T, p *wiretest.Peer) {
		w := connected(p)
		w.Send(text)
		if ms := w.ExpectClose(); len(ms) > 0 {
			t.Errorf("got %q before the end", ms)
		}
	}
}

func expectStatus(t *testing.T, a wiretest.Answer, status int) {
	t.Helper()
	if a.Status != status {
		t.Fatalf("status %d %q, want %d", a.Status, a.Body, status)
	}
}

func expectAnswer(t *testing.T, a wiretest.Answer, status int, body string) {
	t.Helper()
	if a.Status != status || a.Body != body {
		t.Fatalf("answer %d %q, want %d %q", a.Status, a.Body, status, body)
	}
}

func expectOpen(t *testing.T, packet, upgrades string) {
	t.Helper()
	sid := wiretest.SID(t, packet)
	want := fmt.Sprintf(`0{"sid":"%s","upgrades":%s,"pingInterval":300,"pingTimeout":200,"maxPayload":1000000}`, sid, upgrades)
	if packet != want {
		t.Errorf("open packet %s, want %s", packet, want)
	}
}

func expectRefusal(t *testing.T, p *wiretest.Peer, queries ...string) {
	t.Helper()
	for _, query := range queries {
		if _, err := p.Dial(query, nil); err == nil {
			t.Errorf("%s: accepted", query)
		}
	}
}

// expectAlive checks that the session on w still answers.
func expectAlive(t *testing.T, p *wiretest.Peer, w *wiretest.WebSocket) {
	t.Helper()
	synctest.Wait()
	w.Send("40/random") // to the echo server a message like any other
	switch got := w.Read(); got {
	case "40/random", `44/random,{"message":"Invalid namespace"}`:
	default:
		t.Errorf("got %q", got)
	}
}
