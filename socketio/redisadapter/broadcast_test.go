package redisadapter

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"loupe/socketio"
	"loupe/socketio/packet"
)

func event(t testing.TB, namespace string, id int64, args ...any) packet.Encoded {
	t.Helper()
	p, err := packet.EncodeEvent(namespace, id, args[0].(string), args[1:], 10)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// goldenBroadcasts are what @socket.io/redis-adapter 8.3.0 publishes for the same emits, Node's uid being q-hVbn.
var goldenBroadcasts = []struct {
	namespace, channel, hex string
	emission                func(t testing.TB) *socketio.Emission
}{
	{
		"/", "socket.io#/#",
		"93a6712d6856626e83a47479706502a46461746191a176a36e7370a12f83a5726f6f6d7390a665786365707490a5666c61677380",
		func(t testing.TB) *socketio.Emission {
			return &socketio.Emission{Packet: event(t, "/", packet.NoID, "v")}
		},
	},
	{
		"/", "socket.io#/#user:1#",
		"93a6712d6856626e83a47479706502a46461746191a176a36e7370a12f83a5726f6f6d7391a6757365723a31a665786365707490a5666c61677381a8766f6c6174696c65c3",
		func(t testing.TB) *socketio.Emission {
			return &socketio.Emission{Target: socketio.Target{Rooms: []string{"user:1"}}, Volatile: true, Packet: event(t, "/", packet.NoID, "v")}
		},
	},
	{
		"/adm", "socket.io#/adm#",
		"93a6712d6856626e83a47479706502a46461746193a16582a16201a16191c4020102a178a36e7370a42f61646d83a5726f6f6d7392a27231a27232a665786365707491a27233a5666c61677380",
		func(t testing.TB) *socketio.Emission {
			return &socketio.Emission{
				Target: socketio.Target{Rooms: []string{"r1", "r2"}, Except: []string{"r3"}},
				Packet: event(t, "/adm", packet.NoID, "e", struct {
					B int               `json:"b"`
					A []socketio.Binary `json:"a"`
				}{1, []socketio.Binary{{1, 2}}}, "x"),
			}
		},
	},
	{
		"/", "socket.io#/#42#", // Node's rooms are either "42" or 42, and it is sent to both
		"93a6712d6856626e83a47479706502a46461746192a16e2aa36e7370a12f83a5726f6f6d7392a234322aa665786365707490a5666c61677380",
		func(t testing.TB) *socketio.Emission {
			return &socketio.Emission{Target: socketio.Target{Rooms: []string{"42"}}, Packet: event(t, "/", packet.NoID, "n", 42)}
		},
	},
}

func TestBroadcastsAreNodes(t *testing.T) {
	t.Parallel()
	for _, g := range goldenBroadcasts {
		e := g.emission(t)
		got, err := encodeBroadcast("q-hVbn", g.namespace, e)
		if err != nil || hex.EncodeToString(got) != g.hex {
			t.Errorf("%s: encoded as\n%x, %v, want\n%s", g.channel, got, err, g.hex)
		}
		channels := newChannels("socket.io", g.namespace, "q-hVbn")
		if channel := channels.to(e.Rooms); channel != g.channel {
			t.Errorf("channel %s, want %s", channel, g.channel)
		}
		b, err := parseBroadcast(string(got))
		if err != nil || b.namespace != g.namespace || b.volatile != e.Volatile ||
			!slices.Equal(b.target.Rooms, e.Rooms) || !slices.Equal(b.target.Except, e.Except) {
			t.Errorf("%s is parsed as %+v, %v", g.channel, b, err)
			continue
		}
		if p, err := eventPacket(g.namespace, packet.NoID, b.data, 10); err != nil || !reflect.DeepEqual(p, e.Packet) {
			t.Errorf("%s becomes the packet %q %q, %v, want %q %q", g.channel, p.Text, p.Attachments, err, e.Packet.Text, e.Packet.Attachments)
		}
	}
}

func TestAckRequestIsNodes(t *testing.T) {
	t.Parallel()
	const want = "85a3756964a6712d6856626ea9726571756573744964a6616263313233a47479706507a67061636b657483a47479706502a46461746192a2657601a36e7370a12fa46f70747383a5726f6f6d7390a665786365707490a5666c61677381a774696d656f7574cd03e8"
	got, err := encodeAckRequest("q-hVbn", "abc123", "/", &socketio.Emission{Packet: event(t, "/", 17, "ev", 1), ID: 17}, time.Second)
	if err != nil || hex.EncodeToString(got) != want {
		t.Errorf("encoded as\n%x, %v, want\n%s", got, err, want)
	}
	r, err := parseAckRequest(string(got))
	if err != nil || r == nil || r.uid != "q-hVbn" || r.id != "abc123" || r.timeout != time.Second {
		t.Fatalf("parsed as %+v, %v", r, err)
	}
	if p, err := eventPacket("/", 5, r.data, 10); err != nil || string(p.Text) != `25["ev",1]` {
		t.Errorf("becomes %q, %v", p.Text, err)
	}
}

func TestAcksAreNodes(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ value, hex string }{
		{`{"a":["\u000aBw=="]}`, "83a47479706509a9726571756573744964a6616263313233a67061636b657481a16191c40107"}, // a marked value: an attachment
		{`"ok"`, "83a47479706509a9726571756573744964a6616263313233a67061636b6574a26f6b"},
		{``, "83a47479706509a9726571756573744964a6616263313233a67061636b6574c0"},
	} {
		v := packet.Value(c.value)
		if c.value == "" {
			v = nil
		}
		got, err := encodeAck("abc123", v)
		if err != nil || hex.EncodeToString(got) != c.hex {
			t.Errorf("%s is encoded as\n%x, %v, want\n%s", c.value, got, err, c.hex)
		}
		var r response
		r.attachments, err = unmarshal(string(got), &r)
		back, err2 := ackValue(&r)
		if want := v.String(); err != nil || err2 != nil || string(back) != want && want != "" {
			t.Errorf("%s comes back as %s, %v, %v", c.value, back, err, err2)
		}
	}
	var r response // of a client that acknowledged without a value
	if _, err := unmarshal(unhex(t, "82a47479706509a9726571756573744964a6616263313233"), &r); err != nil {
		t.Error(err)
	}
	if v, err := ackValue(&r); err != nil || string(v) != "null" {
		t.Errorf("no value is %s, %v", v, err)
	}
}

// The emitter has another order of keys and says nothing that Node does not say either. Newer versions may say more.
func TestParsesOtherFormsOfBroadcasts(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, hex, nsp, rooms, except string }{
		{"emitter", "93a7656d697474657283a47479706502a46461746192a17601a36e7370a12f83a5726f6f6d7391a172a5666c61677380a665786365707491a178", "/", "r", "x"},
		{"no namespace", "93a16182a47479706502a46461746191a17680", "/", "", ""},
		{"nil options", "93a16182a47479706502a46461746191a17683a5726f6f6d73c0a6657863657074c0a5666c616773c0", "/", "", ""},
		{"numbers for rooms", "93a16182a47479706502a46461746191a17681a5726f6f6d7393a2343229cd03e8", "/", "42 41 1000", ""},
		{"anything for rooms", "93a16182a47479706502a46461746191a17681a5726f6f6d7393c0c3cb3ff8000000000000", "/", "null true 1.5", ""},
		{"more than is known", "93a16183a47479706502a46461746191a176a16e8182a16e9301c0a17aa1620781a16ec2", "", "", ""},
	} {
		b, err := parseBroadcast(unhex(t, c.hex))
		if c.nsp == "" {
			if err == nil {
				t.Errorf("%s: a key that is no string was taken: %+v", c.name, b)
			}
			continue
		}
		if err != nil || b.namespace != c.nsp || strings.Join(b.target.Rooms, " ") != c.rooms || strings.Join(b.target.Except, " ") != c.except {
			t.Errorf("%s: parsed as %+v, %v", c.name, b, err)
		}
	}
}

func TestRefusesWhatIsNoBroadcast(t *testing.T) {
	t.Parallel()
	whole := unhex(t, goldenBroadcasts[2].hex)
	for i := range len(whole) {
		if b, err := parseBroadcast(whole[:i]); err == nil {
			t.Errorf("cut at %d: %+v", i, b)
		}
	}
	for name, s := range map[string]string{
		"garbage":          "hello",
		"a map":            "\x80",
		"JSON":             `{"type":3}`,
		"nil options":      unhex(t, "93a16182a47479706502a46461746191a176c0"),
		"no data":          unhex(t, "93a16181a4747970650280"),
		"an ack's type":    unhex(t, "93a16182a47479706503a46461746191a17680"),
		"rooms no array":   unhex(t, "93a16182a47479706502a46461746191a17681a5726f6f6d73a172"),
		"an array as room": unhex(t, "93a16182a47479706502a46461746191a17681a5726f6f6d739190"),
		"more behind it":   whole + "\xc0",
	} {
		if b, err := parseBroadcast(s); err == nil {
			t.Errorf("%s: %+v", name, b)
		}
	}
}

func TestRefusesEventsThatClientsCanNotTake(t *testing.T) {
	t.Parallel()
	for data, want := range map[string]error{
		`[]`: errShape, `{}`: errShape, `"x"`: errShape, `[null]`: errEvent, `[{}]`: errEvent,
		`["disconnect"]`: errEvent, `["connect_error",1]`: errEvent, `["newListener"]`: errEvent,
		`["x"` + strings.Repeat(",0", packet.MaxArgs) + `]`:           errShape,
		`["x",` + strings.Repeat("[", 600) + strings.Repeat("]", 600): errDepth,
		`["x"]`: nil, `[1]`: nil, `["error"]`: nil, `["connection"]`: nil,
	} {
		if want == errDepth {
			data = "\x92\xa1x" + strings.Repeat("\x91", 600) + "\x90"
		} else if b, err := appendJSON(nil, []byte(data), nil); err != nil {
			t.Fatal(err)
		} else {
			data = string(b)
		}
		if p, err := eventPacket("/", packet.NoID, data, 10); !errors.Is(err, want) {
			t.Errorf("%.20q: %.20q, %v, want %v", data, p.Text, err, want)
		}
	}
	binary := "\x9c\xa1x" + strings.Repeat("\xc4\x00", 11)
	if _, err := eventPacket("/", packet.NoID, binary, 10); !errors.Is(err, errAttachments) {
		t.Errorf("11 attachments: %v", err)
	}
	if p, err := eventPacket("/", packet.NoID, binary, 11); err != nil || len(p.Attachments) != 11 {
		t.Errorf("11 attachments, if that is allowed: %v", err)
	}
}

// The names of namespaces are no patterns; those of rooms are looked at by nobody but us.
func TestChannels(t *testing.T) {
	t.Parallel()
	c := newChannels("pre*fix", `/a*b?[c]\`, "uid123")
	if want := `pre\*fix#/a\*b\?\[c\]\\#*`; c.pattern != want {
		t.Errorf("pattern %s, want %s", c.pattern, want)
	}
	c = newChannels("socket.io", "/", "uid123")
	if c.pattern != "socket.io#/#*" || c.request != "socket.io-request#/#" || c.own != "socket.io-response#/#uid123#" || c.of("") != "socket.io-response#/#" {
		t.Errorf("%+v", c)
	}
	for _, room := range []string{"", "r", "*", "a#b", "r#", "#", "[x]?"} {
		if got := c.room(c.to([]string{room})); got != room {
			t.Errorf("room %q is read as %q", room, got)
		}
	}
	if c.room(c.to(nil)) != "" || c.room(c.to([]string{"a", "b"})) != "" {
		t.Error("the channel for all is that of a room")
	}
}

func TestRoomNumbers(t *testing.T) {
	t.Parallel()
	for room, want := range map[string]string{
		"0": `["0",0]`, "42": `["42",42]`, "007": `["007"]`, "": `[""]`, "-1": `["-1"]`, "1e3": `["1e3"]`, "4 2": `["4 2"]`,
		"999999999999999": `["999999999999999",999999999999999]`, "9007199254740993": `["9007199254740993"]`,
	} {
		b, err := json.Marshal(asked{room})
		if err != nil || string(b) != want {
			t.Errorf("room %q is asked for as %s, %v, want %s", room, b, err, want)
		}
		var back names
		if err := json.Unmarshal(b, &back); err != nil || !slices.Equal(back, names{room}) {
			t.Errorf("%s comes back as %q, %v", b, back, err)
		}
	}
}

func FuzzParseBroadcast(f *testing.F) {
	for _, g := range goldenBroadcasts {
		f.Add(unhex(f, g.hex))
	}
	f.Add(unhex(f, "93a7656d697474657283a47479706502a46461746192a17601a36e7370a12f83a5726f6f6d7391a172a5666c61677380a665786365707491a178"))
	f.Fuzz(func(t *testing.T, s string) {
		b, err := parseBroadcast(s)
		if err != nil {
			return
		}
		p, err := eventPacket("/x", 7, b.data, 10)
		if err != nil {
			return
		}
		d := packet.Decoder{}
		_, whole, err := d.Text(slices.Clone(p.Text))
		for _, a := range p.Attachments {
			if err == nil && !whole {
				_, whole, err = d.Binary(a)
			}
		}
		// What looks like a placeholder beside real ones is the sender's fault.
		if (err != nil || !whole) && !strings.Contains(s, "_placeholder") {
			t.Fatalf("%q became %q: %v", s, p.Text, err)
		}
	})
}

func FuzzParseRequest(f *testing.F) {
	for _, s := range []string{
		`{"uid":"a","requestId":"b","type":0,"rooms":["r",1]}`, `{"type":2,"opts":{"rooms":[],"except":[]},"rooms":["x"]}`,
		`{"uid":"emitter","type":6,"data":["ev",1]}`, `{"type":3,"sid":"a","room":"b","requestId":"c"}`, `{"requestId":"x","sockets":[{"id":"a","rooms":[1]}]}`,
	} {
		f.Add(s)
	}
	f.Add(unhex(f, "85a3756964a6712d6856626ea9726571756573744964a6616263313233a47479706507a67061636b657483a47479706502a46461746192a2657601a36e7370a12fa46f70747383a5726f6f6d7390a665786365707490a5666c61677381a774696d656f7574cd03e8"))
	f.Add(unhex(f, "83a47479706509a9726571756573744964a6616263313233a67061636b657481a16191c40107"))
	f.Fuzz(func(t *testing.T, s string) {
		if r, err := parseAckRequest(s); err == nil && r != nil && (r.id == "" || r.data == "" || r.timeout < 0 || r.timeout > maxAckWait) {
			t.Fatalf("%q is taken for %+v", s, r)
		}
		var q request
		unmarshal(s, &q)
		var r response
		var err error
		if r.attachments, err = unmarshal(s, &r); err != nil {
			return
		}
		if v, err := ackValue(&r); err == nil && !json.Valid(v) {
			t.Fatalf("%q acknowledges with %q", s, v)
		}
	})
}
