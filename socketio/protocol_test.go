package socketio_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"loupe/socketio"
)

// Every input that was tried on the Node server, and what comes back: the answers, and whether the connection is closed.
// A message that begins with "b:" is binary. Where Node does something else, node says so.
func TestInputs(t *testing.T) {
	const (
		echoed  = `42["event","x",[]]` // what the test server answers to 42["x"]
		invalid = `{"message":"Invalid namespace"}`
	)
	deep := func(n int) string { return `42["x",` + strings.Repeat("[", n) + strings.Repeat("]", n) + "]" }
	for _, c := range []struct {
		name   string
		join   bool // the main namespace first
		send   []string
		want   []string
		closed bool
		node   string
	}{
		{name: "connect", send: []string{"40", `42["x"]`}, want: []string{"40{}", echoed}},
		{name: "connect with an empty object", send: []string{"40{}", `42["x"]`}, want: []string{"40{}", echoed}},
		{name: "connect with auth", send: []string{`40{"token":"t"}`, `42["x"]`}, want: []string{"40{}", echoed}},
		{name: "the main namespace by name", send: []string{"40/,{}", `42["x"]`}, want: []string{"40{}", echoed}},
		{name: "auth an array", send: []string{"40[]"}, closed: true},
		{name: "auth a string", send: []string{`40"x"`}, closed: true},
		{name: "auth null", send: []string{"40null"}, closed: true},
		{name: "auth cut off", send: []string{"40{"}, closed: true},
		{name: "connect with an id", send: []string{"407{}"}, closed: true, node: "ignores the id"},
		{name: "connect twice", join: true, send: []string{"40"}, closed: true},
		{name: "event before connect", send: []string{`42["x"]`}, closed: true},
		{name: "event for another namespace", join: true, send: []string{`42/adm,["x"]`}, closed: true},
		{name: "ack before connect", send: []string{`431["x"]`}, closed: true},
		{name: "disconnect before connect", send: []string{"41"}, closed: true},
		{name: "connect error from a client", join: true, send: []string{`44{"message":"x"}`}, closed: true},
		{name: "event while connecting", send: []string{"40/slow", `42/slow,["x"]`}, closed: true},
		{name: "connect while connecting", send: []string{"40/slow", "40/slow"}, closed: true, node: "makes two sockets"},
		{name: "unknown namespace", send: []string{"40/nope", "40", `42["x"]`}, want: []string{"44/nope," + invalid, "40{}", echoed}},
		{name: "unknown namespace with a query", send: []string{"40/adm?a=1,"}, want: []string{"44/adm?a=1," + invalid}},
		{name: "prototype as a namespace", send: []string{"40/__proto__,"}, want: []string{"44/__proto__," + invalid}},
		{name: "control characters in a namespace", send: []string{"40/\r\n\x00*", "40", `42["x"]`}, want: []string{"44/\r\n\x00*," + invalid, "40{}", echoed}},
		{name: "longest namespace", send: []string{"40/" + strings.Repeat("n", 255)}, want: []string{"44/" + strings.Repeat("n", 255) + "," + invalid}},
		{name: "too long a namespace", send: []string{"40/" + strings.Repeat("n", 256)}, closed: true, node: "has no limit"},
		{name: "refused, then again", send: []string{"40/refuse", "40/refuse", "40", `42["x"]`}, want: []string{
			`44/refuse,{"message":"not authorized","data":{"code":1}}`, `44/refuse,{"message":"not authorized","data":{"code":1}}`, "40{}", echoed,
		}},
		{name: "refused without data", send: []string{"40/refuse-plain"}, want: []string{`44/refuse-plain,{"message":"no"}`}},
		{name: "middleware fails", send: []string{"40/broken"}, want: []string{`44/broken,{"message":"Internal server error"}`}, node: "tells the client the error"},
		{name: "disconnect and connect again", join: true, send: []string{"41", "40", `42["x"]`}, want: []string{"40{}", echoed}},
		{name: "event after disconnect", join: true, send: []string{"41", `42["x"]`}, closed: true},
		{name: "disconnect with a payload", join: true, send: []string{"41{}"}, closed: true},
		{
			name: "two namespaces", join: true, send: []string{"40/adm,", `42/adm,["x"]`, "41/adm,", `42["x"]`},
			want: []string{"40/adm,{}", `42/adm,["event","x",[]]`, echoed},
		},
		{name: "no name", join: true, send: []string{"42[]"}, closed: true},
		{name: "object", join: true, send: []string{"42{}"}, closed: true},
		{name: "name null", join: true, send: []string{"42[null]"}, closed: true},
		{name: "name true", join: true, send: []string{"42[true]"}, closed: true},
		{name: "name an object", join: true, send: []string{`42[{"toString":"x"}]`}, closed: true},
		{name: "name an array", join: true, send: []string{`42[["x"]]`}, closed: true},
		{name: "trailing junk", join: true, send: []string{`42["x"]y`}, closed: true},
		{name: "cut off", join: true, send: []string{`42["x"`}, closed: true},
		{name: "name a number", join: true, send: []string{"42[1,2]"}, want: []string{`42["event","1",[2]]`}},
		{name: "name error", join: true, send: []string{`42["error"]`}, want: []string{`42["event","error",[]]`}},
		{name: "name connection", join: true, send: []string{`42["connection"]`}, want: []string{`42["event","connection",[]]`}},
		{name: "name __proto__", join: true, send: []string{`42["__proto__",{"__proto__":1}]`}, want: []string{`42["event","__proto__",[{"__proto__":1}]]`}},
		{name: "name with escapes", join: true, send: []string{`42["\u0065vent\n"]`}, want: []string{`42["event","event\n",[]]`}},
		{name: "reserved: connect", join: true, send: []string{`42["connect"]`}, closed: true},
		{name: "reserved: connect_error", join: true, send: []string{`42["connect_error"]`}, closed: true},
		{name: "reserved: disconnect", join: true, send: []string{`42["disconnect"]`}, closed: true},
		{name: "reserved: disconnecting", join: true, send: []string{`42["disconnecting"]`}, closed: true},
		{name: "reserved: newListener", join: true, send: []string{`42["newListener"]`}, closed: true},
		{name: "reserved: removeListener", join: true, send: []string{`42["removeListener"]`}, closed: true},
		{name: "reserved in disguise", join: true, send: []string{`42["\u0063onnect"]`}, closed: true},
		{name: "event without payload", join: true, send: []string{"42"}, closed: true, node: "delivers an event without a name"},
		{name: "event with an id without payload", join: true, send: []string{"427"}, closed: true, node: "delivers an event without a name"},
		{name: "ack id", join: true, send: []string{`420["ack"]`, `427["ack",1]`}, want: []string{"430[]", "437[1]"}},
		{name: "ack id with zeros", join: true, send: []string{`42007["ack"]`}, want: []string{"437[]"}},
		{name: "largest ack id", join: true, send: []string{`429007199254740991["ack"]`}, want: []string{"439007199254740991[]"}},
		{name: "too large an ack id", join: true, send: []string{`429007199254740992["ack"]`}, closed: true, node: "rounds it"},
		{name: "huge ack id", join: true, send: []string{`4299999999999999999999["ack"]`}, closed: true, node: "rounds it"},
		{name: "space as ack id", join: true, send: []string{`42 ["ack"]`}, closed: true, node: "takes it for 0"},
		{name: "negative ack id", join: true, send: []string{`42-1["ack"]`}, closed: true},
		{name: "fractional ack id", join: true, send: []string{`421.5["ack"]`}, closed: true},
		{name: "exponent as ack id", join: true, send: []string{`421e3["ack"]`}, closed: true},
		{name: "letters as ack id", join: true, send: []string{`42abc["ack"]`}, closed: true},
		{name: "unknown ack", join: true, send: []string{"43123[]", `43["x"]`, "431", `42["x"]`}, want: []string{echoed}},
		{name: "ack an object", join: true, send: []string{"431{}"}, closed: true},
		{name: "attachments: none", join: true, send: []string{`450-["x"]`}, closed: true},
		{name: "attachments: no number", join: true, send: []string{`45-["x"]`}, closed: true},
		{name: "attachments: negative", join: true, send: []string{`45-1-["x"]`}, closed: true},
		{name: "attachments: no dash", join: true, send: []string{`451["x"]`}, closed: true},
		{name: "attachments: letters", join: true, send: []string{`45abc-["x"]`}, closed: true},
		{
			name: "attachments: ten", join: true, send: append([]string{`4510-["x",{"_placeholder":true,"num":9}]`}, slices.Repeat([]string{"b:y"}, 10)...),
			want: []string{`451-["event","x",[{"_placeholder":true,"num":0}]]`, "b:y"},
		},
		{name: "attachments: eleven", join: true, send: []string{`4511-["x"]`}, closed: true},
		{name: "attachments: a bomb", join: true, send: []string{`4599999999999999999999-["x"]`}, closed: true},
		{name: "attachments: fraction", join: true, send: []string{`451.0-["x"]`}, closed: true, node: "takes it for 1"},
		{name: "attachments: exponent", join: true, send: []string{`451e0-["x"]`}, closed: true, node: "takes it for 1"},
		{name: "attachments: hexadecimal", join: true, send: []string{`450x1-["x"]`}, closed: true, node: "takes it for 1"},
		{
			name: "attachment of no bytes", join: true, send: []string{`451-["x",{"_placeholder":true,"num":0}]`, "b:"},
			want: []string{`451-["event","x",[{"_placeholder":true,"num":0}]]`, "b:"},
		},
		{
			name: "nested attachments", join: true,
			send: []string{`452-["x",{"a":[{"_placeholder":true,"num":1},{"b":{"_placeholder":true,"num":0}}]}]`, "b:0", "b:1"},
			want: []string{`452-["event","x",[{"a":[{"_placeholder":true,"num":0},{"b":{"_placeholder":true,"num":1}}]}]]`, "b:1", "b:0"},
		},
		{
			name: "one attachment twice", join: true,
			send: []string{`451-["x",{"_placeholder":true,"num":0},{"num":0,"_placeholder":true}]`, "b:z"},
			want: []string{`452-["event","x",[{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]]`, "b:z", "b:z"},
		},
		{
			name: "one attachment eleven times", join: true,
			send: []string{`451-["x"` + strings.Repeat(`,{"_placeholder":true,"num":0}`, 11) + "]", "b:z"}, closed: true, node: "has no limit",
		},
		{name: "attachment without a place", join: true, send: []string{`451-["x"]`, "b:y"}, want: []string{echoed}},
		{
			name: "placeholder without attachments", join: true, send: []string{`42["x",{"_placeholder":true,"num":0}]`},
			want: []string{`42["event","x",[{"_placeholder":true,"num":0}]]`},
		},
		{name: "placeholder: too large", join: true, send: []string{`451-["x",{"_placeholder":true,"num":1}]`, "b:y"}, closed: true},
		{name: "placeholder: negative", join: true, send: []string{`451-["x",{"_placeholder":true,"num":-1}]`, "b:y"}, closed: true},
		{name: "placeholder: a string", join: true, send: []string{`451-["x",{"_placeholder":true,"num":"splice"}]`, "b:y"}, closed: true},
		{
			name: "placeholder: an object", join: true, send: []string{`451-["x",{"_placeholder":true,"num":{}}]`, "b:y"},
			want: []string{`42["event","x",[{"_placeholder":true,"num":{}}]]`}, node: "closes",
		},
		{
			name: "placeholder as a value", join: true, send: []string{`451-["x",{"a":"_placeholder","b":{}}]`, "b:y"},
			want: []string{`42["event","x",[{"a":"_placeholder","b":{}}]]`},
		},
		{name: "placeholder: a fraction", join: true, send: []string{`451-["x",{"_placeholder":true,"num":0.5}]`, "b:y"}, closed: true, node: "makes null of it"},
		{name: "placeholder: no number", join: true, send: []string{`451-["x",{"_placeholder":true}]`, "b:y"}, closed: true},
		{
			name: "placeholder: false", join: true, send: []string{`451-["x",{"_placeholder":false,"num":0}]`, "b:y"},
			want: []string{`42["event","x",[{"_placeholder":false,"num":0}]]`},
		},
		{name: "text while attachments are missing", join: true, send: []string{`451-["x"]`, `42["x"]`}, closed: true},
		{name: "binary without a header", join: true, send: []string{"b:y"}, closed: true},
		{name: "binary event cut off", join: true, send: []string{`451-["x"`}, closed: true},
		{name: "binary ack of nothing", join: true, send: []string{`461-5[{"_placeholder":true,"num":0}]`, "b:y", `42["x"]`}, want: []string{echoed}},
		{name: "engine's packet before the attachment", join: true, send: []string{`451-["x"]`, "engine:3", "b:y"}, want: []string{echoed}},
		{name: "empty message", join: true, send: []string{"4"}, closed: true},
		{name: "unknown type", join: true, send: []string{"47"}, closed: true},
		{name: "letter as type", join: true, send: []string{"4x"}, closed: true},
		{name: "separator in a frame", join: true, send: []string{"42[\"x\"]\x1e42[\"x\"]"}, closed: true},
		{name: "deep, but not too deep", join: true, send: []string{strings.Replace(deep(497), `"x"`, `"quiet"`, 1), `42["x"]`}, want: []string{echoed}},
		{name: "too deep", join: true, send: []string{deep(500)}, closed: true, node: "dies of 5,000 when it sends them back"},
		{name: "5,000 deep", join: true, send: []string{deep(5_000)}, closed: true},
		{name: "100,000 deep", join: true, send: []string{deep(100_000)}, closed: true},
		{name: "never closed", join: true, send: []string{`42["x",` + strings.Repeat(`{"a":`, 100_000)}, closed: true},
		{name: "1,000 arguments", join: true, send: []string{`42["quiet"` + strings.Repeat(",1", 999) + "]", `42["x"]`}, want: []string{echoed}},
		{name: "1,001 arguments", join: true, send: []string{`42["quiet"` + strings.Repeat(",1", 1000) + "]"}, closed: true, node: "has no limit"},
		{
			name: "strings that look like ours", join: true, send: []string{`42["x","\u000aQUJD","\\\u000a","\u000AQUJD"]`},
			want: []string{`42["event","x",["\nQUJD","\\\u000a","\u000AQUJD"]]`},
		},
		{name: "line separator", join: true, send: []string{`42["x","a\u001eb"]`}, want: []string{`42["event","x",["a\u001eb"]]`}},
	} {
		t.Run(c.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				h := serve(t, socketio.Config{})
				testServer(h)
				w := h.OpenWebSocket()
				if c.join {
					w.Send("40")
					w.Read()
				}
				for _, m := range c.send {
					if data, binary := strings.CutPrefix(m, "b:"); binary {
						w.SendBinary([]byte(data)...)
					} else if packet, engine := strings.CutPrefix(m, "engine:"); engine {
						w.Send(packet)
					} else {
						w.Send(m)
					}
					synctest.Wait() // an answer may depend on the order
				}
				for _, want := range c.want {
					got := w.Read()
					if strings.HasPrefix(want, "40") { // the ids are random
						got = got[:strings.IndexByte(got, '{')] + "{}"
					}
					if got != want {
						t.Fatalf("got %.300q, want %.300q", got, want)
					}
				}
				if c.closed {
					if ms := w.ExpectClose(); len(ms) > 0 && !strings.HasPrefix(ms[0], "40") {
						t.Errorf("got %.300q before the end", ms)
					}
					return
				}
				w.Send("1")
				w.ExpectClose()
			})
		})
	}
}

// testServer answers every event x with an event of its name and arguments, and ack with an acknowledgement of them.
func testServer(h *host) {
	echo := func(_ context.Context, e *socketio.Event) {
		e.Socket.Emit("event", e.Name, nest(e.Args))
	}
	for _, name := range []string{"x", "1", "error", "connection", "__proto__", "event\n"} {
		h.On(name, echo)
		h.Of("/adm").On(name, echo)
	}
	h.On("ack", func(_ context.Context, e *socketio.Event) { e.Ack(anys(e.Args)...) })
	h.Of("/refuse").Use(func(context.Context, *socketio.Handshake) error {
		return &socketio.ConnectError{Message: "not authorized", Data: map[string]int{"code": 1}}
	})
	h.Of("/refuse-plain").Use(func(context.Context, *socketio.Handshake) error { return &socketio.ConnectError{Message: "no"} })
	h.Of("/broken").Use(func(context.Context, *socketio.Handshake) error { return context.DeadlineExceeded })
	h.Of("/slow").Use(func(ctx context.Context, _ *socketio.Handshake) error {
		<-ctx.Done()
		return ctx.Err()
	})
}

// nest makes one argument of several.
func nest(values []socketio.Value) socketio.Value {
	all := []string{}
	for _, v := range values {
		all = append(all, v.String())
	}
	return socketio.Value("[" + strings.Join(all, ",") + "]")
}
