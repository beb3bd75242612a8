package redisadapter

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"math"
	"strings"
	"testing"

	"loupe/socketio/packet"
)

// golden is what notepack.io 3.0.1 makes of JSON.parse(json).
var golden = []struct{ json, hex string }{
	{`null`, "c0"},
	{`true`, "c3"},
	{`false`, "c2"},
	{`0`, "00"},
	{`1`, "01"},
	{`127`, "7f"},
	{`128`, "cc80"},
	{`255`, "ccff"},
	{`256`, "cd0100"},
	{`65535`, "cdffff"},
	{`65536`, "ce00010000"},
	{`4294967295`, "ceffffffff"},
	{`4294967296`, "cf0000000100000000"},
	{`9007199254740991`, "cf001fffffffffffff"},
	{`-1`, "ff"},
	{`-32`, "e0"},
	{`-33`, "d0df"},
	{`-128`, "d080"},
	{`-129`, "d1ff7f"},
	{`-32768`, "d18000"},
	{`-32769`, "d2ffff7fff"},
	{`-2147483648`, "d280000000"},
	{`-2147483649`, "d3ffffffff7fffffff"},
	{`-9007199254740991`, "d3ffe0000000000001"},
	{`0.5`, "cb3fe0000000000000"},
	{`-1.25`, "cbbff4000000000000"},
	{`5e-324`, "cb0000000000000001"},
	{`1e-7`, "cb3e7ad7f29abcaf48"},
	{`3.141592653589793`, "cb400921fb54442d18"},
	{`""`, "a0"},
	{`"hello"`, "a568656c6c6f"},
	{`"ünïcödé 😀 \u2028"`, "b4c3bc6ec3af63c3b664c3a920f09f988020e280a8"},
	{`"q\"b\\n\nt\tu\u0001"`, "aa7122625c6e0a74097501"},
	{`[]`, "90"},
	{`{}`, "80"},
	{`[1,[2,[3]]]`, "920192029103"},
	{`{"z":1,"a":{"y":[true,null]},"m":"x"}`, "83a17a01a16181a17992c3c0a16da178"},
	{`{"1":"one"}`, "81a131a36f6e65"},
	{`"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"`, "bf61616161616161616161616161616161616161616161616161616161616161"},
	{`"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"`, "d9206161616161616161616161616161616161616161616161616161616161616161"},
	{`[7,7,7,7,7,7,7,7,7,7,7,7,7,7,7]`, "9f070707070707070707070707070707"},
	{`[7,7,7,7,7,7,7,7,7,7,7,7,7,7,7,7]`, "dc001007070707070707070707070707070707"},
	{`{"k0":0,"k1":1,"k2":2,"k3":3,"k4":4,"k5":5,"k6":6,"k7":7,"k8":8,"k9":9,"k10":10,"k11":11,"k12":12,"k13":13,"k14":14,"k15":15}`, "de0010a26b3000a26b3101a26b3202a26b3303a26b3404a26b3505a26b3606a26b3707a26b3808a26b3909a36b31300aa36b31310ba36b31320ca36b31330da36b31340ea36b31350f"},
}

func unhex(t testing.TB, s string) string {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestEncodesAsNotepackDoes(t *testing.T) {
	t.Parallel()
	for _, g := range golden {
		got, err := appendJSON(nil, []byte(g.json), nil)
		if err != nil || hex.EncodeToString(got) != g.hex {
			t.Errorf("%s is encoded as %x, %v, want %s", g.json, got, err, g.hex)
		}
		spaced, err := appendJSON(nil, []byte(" "+strings.NewReplacer("[", "[ ", "}", "\n}", ",", " ,\t").Replace(g.json)+" "), nil)
		if err != nil || !bytes.Equal(spaced, got) {
			t.Errorf("%s with spaces is encoded as %x, %v, want %s", g.json, spaced, err, g.hex)
		}
	}
}

func TestDecodesWhatNotepackEncodes(t *testing.T) {
	t.Parallel()
	for _, g := range golden {
		got, attachments, err := decode(unhex(t, g.hex))
		var want, have any
		if json.Unmarshal([]byte(g.json), &want) != nil || json.Unmarshal(got, &have) != nil {
			t.Fatalf("%s became %s", g.json, got)
		}
		a, _ := json.Marshal(want)
		b, _ := json.Marshal(have)
		if err != nil || !bytes.Equal(a, b) || len(attachments) > 0 {
			t.Errorf("%s is decoded as %s, %v", g.json, got, err)
		}
	}
}

// Long things whose headers are not in the list above.
func TestLongHeaders(t *testing.T) {
	t.Parallel()
	quoted := func(n int) string { return `"` + strings.Repeat("x", n) + `"` }
	array := func(n int) string { return "[" + strings.Repeat("0,", n-1) + "0]" }
	for _, c := range []struct{ json, header string }{
		{quoted(255), "d9ff"},
		{quoted(256), "da0100"},
		{quoted(65536), "db00010000"},
		{array(65535), "dcffff"},
		{array(65536), "dd00010000"},
	} {
		b, err := appendJSON(nil, []byte(c.json), nil)
		if err != nil || !strings.HasPrefix(hex.EncodeToString(b), c.header) {
			t.Errorf("header %x, %v, want %s", b[:min(len(b), 5)], err, c.header)
			continue
		}
		if got, _, err := decode(string(b)); err != nil || string(got) != c.json {
			t.Errorf("what has the header %s is decoded otherwise: %v", c.header, err)
		}
	}
	for n, header := range map[int]string{255: "c4ff", 256: "c50100", 65536: "c600010000"} {
		b := appendBin(nil, make([]byte, n))
		if !strings.HasPrefix(hex.EncodeToString(b), header) {
			t.Errorf("header %x, want %s", b[:5], header)
		}
		if _, attachments, err := decode(string(b)); err != nil || len(attachments) != 1 || len(attachments[0]) != n {
			t.Errorf("%d bytes of binary data: %d attachments, %v", n, len(attachments), err)
		}
	}
}

// Numbers that JavaScript can not tell apart, or that notepack garbles.
func TestNumbersBeyondJavaScript(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ json, hex, back string }{
		{"9223372036854775807", "cf7fffffffffffffff", "9223372036854775807"},
		{"18446744073709551615", "cfffffffffffffffff", "18446744073709551615"},
		{"-9223372036854775808", "d38000000000000000", "-9223372036854775808"},
		{"18446744073709551616", "cb43f0000000000000", "18446744073709552000"},
		{"1e3", "cd03e8", "1000"},
		{"2.0", "02", "2"},
		{"-0", "00", "0"},
		{"1e999", "cb7ff0000000000000", "null"},
		{"1.7976931348623157e+308", "cb7fefffffffffffff", "1.7976931348623157e+308"},
	} {
		b, err := appendJSON(nil, []byte(c.json), nil)
		if err != nil || hex.EncodeToString(b) != c.hex {
			t.Errorf("%s is encoded as %x, %v, want %s", c.json, b, err, c.hex)
		}
		if got, _, err := decode(string(b)); err != nil || string(got) != c.back {
			t.Errorf("%s comes back as %s, %v, want %s", c.json, got, err, c.back)
		}
	}
}

func TestDecodesTheDialect(t *testing.T) {
	t.Parallel()
	const bin0 = `{"_placeholder":true,"num":0}`
	for _, c := range []struct {
		name, hex, json string
		attachments     string // in hex, each with a comma behind it
	}{
		{"NaN", "cb7ff8000000000000", "null", ""},
		{"Infinity", "cb7ff0000000000000", "null", ""},
		{"float32", "ca3f800000", "1", ""},
		{"undefined in array", "92c001", "[null,1]", ""},
		{"date 0", "d6ff00000000", `"1970-01-01T00:00:00.000Z"`, ""},
		{"date with ms", "d7ffbc1cbd006b0432f0", `"2026-11-23T12:34:56.789Z"`, ""},
		{"date of year 1", "c70cff00000000fffffff1886e0900", `"0001-01-01T00:00:00.000Z"`, ""},
		{"date of year -1", "c70cff00000000fffffff184aa5080", `"-000001-01-01T00:00:00.000Z"`, ""},
		{"date of year 10000", "c70cff000000000000003afff44180", `"+010000-01-01T00:00:00.000Z"`, ""},
		{"last date", "c70cff00000000000007dba8218000", `"+275760-09-13T00:00:00.000Z"`, ""},
		{"first date", "c70cff00000000fffff82457de8000", `"-271821-04-20T00:00:00.000Z"`, ""},
		{"no date", "c70cff000000007fffffffffffffff", "null", ""},
		{"binary", "c403010203", bin0, "010203,"},
		{"empty binary", "c400", bin0, ","},
		{"nested binary", "82a16191c401ffa162c4026869", `{"a":[` + bin0 + `],"b":{"_placeholder":true,"num":1}}`, "ff,6869,"},
		{"1e21", "cf35c9adc5dea00000", "3875820019684212736", ""}, // notepack garbles it
		{"1e-7", "cb3e7ad7f29abcaf48", "1e-7", ""},
		{"1e100", "cb54b249ad2594c37d", "1e+100", ""},
		{"legacy undefined", "92d4000001", "[null,1]", ""},
		{"legacy undefined members", "83a161d40000a16201a163d40000", `{"b":1}`, ""},
		{"legacy undefined first", "82a161d40000a16201", `{"b":1}`, ""},
		{"legacy date", "d700000001919f7e3a15", `"2024-08-29T18:55:35.445Z"`, ""},
		{"legacy ArrayBuffer", "c7020009ff", bin0, "09ff,"},
		{"legacy ArrayBuffer of 1", "c7010009", bin0, "09,"},
		{"legacy ArrayBuffer of 8", "c708000102030405060708", bin0, "0102030405060708,"},
		{"legacy ArrayBuffer, 16", "c800020009ff", bin0, "09ff,"},
		{"legacy ArrayBuffer, 32", "c9000000020009ff", bin0, "09ff,"},
		{"unknown extension", "d40507", `[5,` + bin0 + `]`, "07,"},
		{"number as key", "8101a178", `{"1":"x"}`, ""},
		{"not UTF-8", "a2ff41", "\"\ufffdA\"", ""},
		{"what marks attachments in package packet", "a20a41", `"\nA"`, ""},
	} {
		got, attachments, err := decode(unhex(t, c.hex))
		list := ""
		for _, a := range attachments {
			list += hex.EncodeToString(a) + ","
		}
		if err != nil || string(got) != c.json || list != c.attachments {
			t.Errorf("%s is decoded as %s with %q, %v, want %s with %q", c.name, got, list, err, c.json, c.attachments)
		}
	}
}

func TestAttachmentsTakeTheirPlaces(t *testing.T) {
	t.Parallel()
	const text = `[{"_placeholder":true,"num":1},{"a":{"_placeholder":true,"num":0}},{"_placeholder":true,"num":2}]`
	b, err := appendJSON(nil, []byte(text), [][]byte{{1}, {2, 3}})
	want := "93" + "c4020203" + "81a161c40101" + "82ac5f706c616365686f6c646572c3a36e756d02" // the last stands for nothing
	if err != nil || hex.EncodeToString(b) != want {
		t.Errorf("encoded %x, %v, want %s", b, err, want)
	}
	if b, err = appendJSON(nil, []byte(`{"_placeholder":true,"num":0}`), nil); err != nil || b[0] != 0x82 {
		t.Errorf("without attachments it is an object like others: %x, %v", b, err)
	}
}

func TestRefusesWhatIsNoMessagePack(t *testing.T) {
	t.Parallel()
	for _, s := range []string{
		"", "c1", "cc", "cd00", "ce000000", "cf00000000000000", "cb00", "a1", "d9", "d905", "da0001", "db7fffffff", "c4", "c405", "c6ffffffff",
		"91", "dc", "dcffff", "ddffffffff", "dfffffffff", "df80000000", "81a161", "819001", "c7", "c70100", "d4", "d400", "d8", "c9ffffffff00",
	} {
		if got, _, err := decode(unhex(t, s)); !errors.Is(err, errMsgpack) && !errors.Is(err, errShape) {
			t.Errorf("%s is decoded as %s, %v", s, got, err)
		}
	}
	if _, _, err := decode("\x01\x02"); !errors.Is(err, errTrailing) {
		t.Errorf("two values: %v", err)
	}
}

func TestRefusesWhatIsNoJSON(t *testing.T) {
	t.Parallel()
	for _, s := range []string{
		"", " ", "[", "]", "{", "}", "[1", "[1,", "[1,]", "[,1]", "[1 2]", `{"a"}`, `{"a":}`, `{"a":1,}`, `{1:2}`, `{a:1}`, `[1}`, `{"a":1]`,
		`"`, `"\`, `"\x"`, "tru", "nul", "1-2", "-", "1 2", "[]]", "[[]", "\"\x01\\u\"",
	} {
		if got, err := appendJSON(nil, []byte(s), nil); err == nil {
			t.Errorf("%q is encoded as %x", s, got)
		}
	}
}

// 5,000 nested arrays end a Node process.
func TestDepthIsLimited(t *testing.T) {
	t.Parallel()
	nested := func(n int) string { return strings.Repeat("[", n) + strings.Repeat("]", n) }
	packed := func(n int) string { return strings.Repeat("\x91", n-1) + "\x90" }
	if b, err := appendJSON(nil, []byte(nested(packet.MaxDepth)), nil); err != nil || string(b) != packed(packet.MaxDepth) {
		t.Errorf("the limit is too low: %v", err)
	}
	if _, err := appendJSON(nil, []byte(nested(packet.MaxDepth+1)), nil); !errors.Is(err, errDepth) {
		t.Errorf("encoding: %v", err)
	}
	if b, _, err := decode(packed(packet.MaxDepth)); err != nil || string(b) != nested(packet.MaxDepth) {
		t.Errorf("the limit is too low: %v", err)
	}
	if _, _, err := decode(packed(packet.MaxDepth + 1)); !errors.Is(err, errDepth) {
		t.Errorf("decoding: %v", err)
	}
	if _, _, err := decode(strings.Repeat("\x81\xa1a", 1_000_000) + "\x01"); !errors.Is(err, errDepth) {
		t.Errorf("decoding maps: %v", err)
	}
	if end, err := skip(strings.Repeat("\x91", 1_000_000)+"\x01", 0); err != nil || end != 1_000_001 {
		t.Errorf("skipping needs no limit, but: %d, %v", end, err)
	}
}

// Node dies of strings that are not UTF-8 in some of its decoders.
func TestSendsValidUTF8Only(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{"\"a\xffb\"": "a\ufffdb", `"\ud800x"`: "\ufffdx", `"\ud83d\ude00"`: "😀"} {
		b, err := appendJSON(nil, []byte(in), nil)
		if err != nil || string(b[1:]) != want {
			t.Errorf("%q is encoded as %q, %v", in, b, err)
		}
	}
}

func TestFloats(t *testing.T) {
	t.Parallel()
	for f, want := range map[float64]string{
		0.1: "0.1", 1e20: "100000000000000000000", 1e21: "1e+21", 1e-6: "0.000001", 1.5e-7: "1.5e-7", 1e-10: "1e-10", -2.5: "-2.5",
		math.MaxFloat64: "1.7976931348623157e+308", math.SmallestNonzeroFloat64: "5e-324", math.Inf(-1): "null", math.Copysign(0, -1): "0",
	} {
		if got := string(appendFloat(nil, f)); got != want {
			t.Errorf("%g is %s, want %s", f, got, want)
		}
	}
}

// What is decoded is JSON within the limits, needs memory in proportion to the input, and survives encoding.
func FuzzDecode(f *testing.F) {
	for _, g := range golden {
		f.Add(unhex(f, g.hex))
	}
	for _, s := range []string{"ddffffffff", "dfffffffff00", "c6ffffffff", "d40000", "c70cff00000000fffff82457de8000", "82a161d40000a16201", "d6ff00000000"} {
		f.Add(unhex(f, s))
	}
	f.Fuzz(func(t *testing.T, s string) {
		end, skipErr := skip(s, 0)
		b, attachments, err := decode(s)
		if err != nil {
			return
		}
		if skipErr != nil || end != len(s) {
			t.Fatalf("decoded, but skip says %d of %d, %v", end, len(s), skipErr)
		}
		if !json.Valid(b) || len(b) > 40*len(s) {
			t.Fatalf("%d bytes became %d: %s", len(s), len(b), b)
		}
		if strings.Contains(s, "_placeholder") { // may be taken for one
			return
		}
		again, err := appendJSON(nil, b, attachments)
		if err != nil {
			t.Fatalf("%s: %v", b, err)
		}
		b2, attachments2, err := decode(string(again))
		if err != nil || !bytes.Equal(b, b2) || len(attachments) != len(attachments2) {
			t.Fatalf("%s came back as %s, %v", b, b2, err)
		}
	})
}

// What is JSON can be encoded, and only that.
func FuzzEncode(f *testing.F) {
	for _, g := range golden {
		f.Add([]byte(g.json))
	}
	f.Add([]byte(`[{"_placeholder":true,"num":0}]`))
	f.Fuzz(func(t *testing.T, b []byte) {
		out, err := appendJSON(nil, b, [][]byte{{1}})
		if err != nil {
			return
		}
		if end, err := skip(string(out), 0); err != nil || end != len(out) {
			t.Fatalf("%q became %x: %v", b, out, err)
		}
		if got, _, err := decode(string(out)); err != nil || !json.Valid(got) {
			t.Fatalf("%q became %x: %v", b, out, err)
		}
	})
}
