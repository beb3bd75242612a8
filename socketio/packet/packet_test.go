package packet

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"
)

// The scanner takes what encoding/json takes, but for depth.
func FuzzScan(f *testing.F) {
	for _, seed := range []string{
		`null`, `true`, `false`, `0`, `-0`, `01`, `1.`, `1.5e+10`, `1e`, `-`, `"a"`, `"\u00e9\n"`, `"\x"`, `"\u12"`, "\"\x1f\"", `[]`, `[1,]`, `[,]`,
		`{}`, `{"a":1}`, `{"a"}`, `{"a":1,}`, `{1:2}`, ` [ { "a" : [ ] } , null ] `, `[1}`, `{"a":[}`, `nul`, `truex`, `1 2`, ``, `[[[[`, `"\ud800"`, "\"\xff\"",
		strings.Repeat("[", 500) + strings.Repeat("]", 500), strings.Repeat("[", 501) + strings.Repeat("]", 501),
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		err := checkValue(b)
		if errors.Is(err, errDepth) {
			if bytes.Count(b, []byte("["))+bytes.Count(b, []byte("{")) <= MaxDepth {
				t.Fatalf("too deep: %q", b)
			}
			return
		}
		if valid := json.Valid(b); valid != (err == nil) {
			t.Fatalf("%q: %v, encoding/json says %t", b, err, valid)
		}
		if err != nil || b[0] != '[' {
			return
		}
		got, err := splitArray(b)
		if errors.Is(err, errArgs) {
			return
		}
		var want []json.RawMessage
		if json.Unmarshal(b, &want) != nil || err != nil || len(got) != len(want) {
			t.Fatalf("%q: %q %v, want %q", b, got, err, want)
		}
		for i := range got {
			if !bytes.Equal(got[i], want[i]) {
				t.Fatalf("%q: element %d %q, want %q", b, i, got[i], want[i])
			}
		}
	})
}

// No text and attachments make the decoder panic or go beyond its limits; and what it takes means the same when it is
// encoded and decoded again.
func FuzzDecoder(f *testing.F) {
	for _, seed := range []string{
		"0", `0{"token":"x"}`, "0/adm,", "1", "1/adm", `2["x"]`, `2/adm,7["x",{"a":[1]}]`, `37[1]`, "3", `4{"message":"x"}`, `4"x"`,
		`51-["x",{"_placeholder":true,"num":0}]`, `52-/adm,1["x",{"a":{"num":1,"_placeholder":true}},{"_placeholder":true,"num":0}]`, `61-0[{"_placeholder":true,"num":0}]`,
		`50-["x"]`, `5999999-["x"]`, `51-["x",{"_placeholder":true,"num":"splice"}]`, `51-["x",{"_placeholder":true,"num":0.5}]`, `2["connect"]`,
		`51-["x",{"_placeholder":true,"num":0,"more":1}]`, `51-["x",{"_placeholder":{},"num":0}]`, `51-["x",{"num":[],"_placeholder":true}]`,
		`2["x","\u000aQUJD","\\\u000aQUJD"]`, `2[1,2]`, "2[\"\\u0065\"]", `29007199254740992["x"]`, "7", "", "2", `2{}`, `2[]`, `2["x"]]`,
	} {
		f.Add([]byte(seed), []byte("one"), []byte{0xff})
	}
	f.Fuzz(func(t *testing.T, text, first, second []byte) {
		if !utf8.Valid(text) {
			return // no transport lets it pass
		}
		d := Decoder{}
		p, complete, err := d.Text(bytes.Clone(text))
		for _, a := range [][]byte{first, second} {
			if err == nil && !complete {
				p, complete, err = d.Binary(a)
			}
		}
		if err != nil {
			if !errors.Is(err, ErrInvalid) {
				t.Fatalf("error %v", err)
			}
			return
		}
		if !complete {
			return
		}
		if len(p.Args) >= MaxArgs || len(p.Namespace) > MaxNamespace || p.ID > MaxID || p.ID < NoID {
			t.Fatalf("packet %+v", p)
		}
		args := make([]any, len(p.Args))
		for i, a := range p.Args {
			if !json.Valid(a) {
				t.Fatalf("argument %q", a)
			}
			args[i] = a
		}
		var e Encoded
		switch p.Type {
		case Event:
			e, err = EncodeEvent(p.Namespace, p.ID, p.Name, args, DefaultMaxAttachments)
		case Ack:
			if p.Args == nil {
				return
			}
			e, err = EncodeAck(p.Namespace, p.ID, args, DefaultMaxAttachments)
		default:
			return
		}
		if err != nil {
			t.Fatalf("encoding %+v: %v", p, err)
		}
		again := decode(t, e)
		if again.Type != p.Type || again.Namespace != p.Namespace || again.ID != p.ID || again.Name != p.Name || len(again.Args) != len(p.Args) {
			t.Fatalf("%+v, again %+v", p, again)
		}
		for i := range p.Args {
			if meaning(t, p.Args[i]) != meaning(t, again.Args[i]) {
				t.Fatalf("argument %q, again %q", p.Args[i], again.Args[i])
			}
		}
	})
}

func decode(t *testing.T, e Encoded) Packet {
	t.Helper()
	d := Decoder{}
	p, complete, err := d.Text(e.Text)
	for _, a := range e.Attachments {
		if err != nil || complete {
			break
		}
		p, complete, err = d.Binary(a)
	}
	if err != nil || !complete {
		t.Fatalf("%s with %d attachments: complete %t, %v", e.Text, len(e.Attachments), complete, err)
	}
	return p
}

// meaning is a value without the freedom that JSON leaves.
func meaning(t *testing.T, v Value) string {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(v))
	d.UseNumber()
	var x any
	if err := d.Decode(&x); err != nil {
		t.Fatalf("%q: %v", v, err)
	}
	b, err := json.Marshal(x)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// Any name and string comes through as it is, with what is not UTF-8 replaced.
func FuzzStrings(f *testing.F) {
	f.Add("event", "text", []byte("data"))
	f.Add("", "\x00\x1e\"\\\n\u2028", []byte{})
	f.Add("\xff", "\ufffd<>&", []byte("\u000a"))
	f.Fuzz(func(t *testing.T, name, s string, data []byte) {
		args := []any{s, data, map[string]any{"s": s, "b": Binary(data), "raw": data}}
		e, err := EncodeEvent("/", 5, name, args, DefaultMaxAttachments)
		if Reserved(name) {
			if err == nil {
				t.Fatal("a reserved name")
			}
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		if want := 2; len(e.Attachments) != want {
			t.Fatalf("%d attachments, want %d", len(e.Attachments), want)
		}
		p := decode(t, e)
		var gotS string
		var gotB []byte
		var gotM struct {
			S   string
			B   Binary
			Raw []byte
		}
		for i, dst := range []any{&gotS, &gotB, &gotM} {
			if err := p.Args[i].Bind(dst); err != nil {
				t.Fatal(err)
			}
		}
		wantS := strings.ToValidUTF8(s, "\ufffd")
		if strings.ToValidUTF8(name, "\ufffd") == name && p.Name != name {
			t.Errorf("name %q, want %q", p.Name, name)
		}
		if !strings.Contains(wantS, "\ufffd") && (gotS != s || gotM.S != s) {
			t.Errorf("string %q and %q, want %q", gotS, gotM.S, s)
		}
		if !bytes.Equal(gotB, data) || !bytes.Equal(gotM.B, data) || !bytes.Equal(gotM.Raw, data) {
			t.Errorf("data %q, %q, %q, want %q", gotB, gotM.B, gotM.Raw, data)
		}
	})
}

func TestHeaders(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]Packet{
		"0":                    {Type: Connect, Namespace: "/", ID: NoID},
		"0/":                   {Type: Connect, Namespace: "/", ID: NoID},
		"0/,":                  {Type: Connect, Namespace: "/", ID: NoID},
		"0/adm":                {Type: Connect, Namespace: "/adm", ID: NoID},
		`0/adm,{"a":1}`:        {Type: Connect, Namespace: "/adm", ID: NoID, Data: json.RawMessage(`{"a":1}`)},
		"1/adm,":               {Type: Disconnect, Namespace: "/adm", ID: NoID},
		`2["x"]`:               {Type: Event, Namespace: "/", ID: NoID, Name: "x", Args: []Value{}},
		`2/adm,12["x",1]`:      {Type: Event, Namespace: "/adm", ID: 12, Name: "x", Args: []Value{Value("1")}},
		`20["x"]`:              {Type: Event, Namespace: "/", ID: 0, Name: "x", Args: []Value{}},
		`31[]`:                 {Type: Ack, Namespace: "/", ID: 1},
		`4{"message":"no"}`:    {Type: ConnectError, Namespace: "/", ID: NoID, Data: json.RawMessage(`{"message":"no"}`)},
		`4/adm,"no"`:           {Type: ConnectError, Namespace: "/adm", ID: NoID, Data: json.RawMessage(`"no"`)},
		"2[ \"x\" , 1 , [ ] ]": {Type: Event, Namespace: "/", ID: NoID, Name: "x", Args: []Value{Value("1"), Value("[ ]")}},
	} {
		d := Decoder{}
		got, complete, err := d.Text([]byte(text))
		if err != nil || !complete || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %+v %t %v, want %+v", text, got, complete, err, want)
		}
	}
}

func TestEncodedSimplePackets(t *testing.T) {
	t.Parallel()
	for want, e := range map[string]Encoded{
		`0{"sid":"x"}`:              EncodeConnect(Connect, "/", []byte(`{"sid":"x"}`)),
		`0/adm,`:                    EncodeConnect(Connect, "/adm", nil),
		`4/adm,{"message":"no"}`:    EncodeConnect(ConnectError, "/adm", []byte(`{"message":"no"}`)),
		"1":                         EncodeDisconnect("/"),
		"1/adm,":                    EncodeDisconnect("/adm"),
		`2["x","a\"b"]`:             must(EncodeEvent("/", NoID, "x", nil, 0)).WithString(`a"b`),
		`2["x",1,"end"]`:            must(EncodeEvent("/", NoID, "x", []any{1}, 0)).WithString("end"),
		`3/adm,9007199254740991[1]`: must(EncodeAck("/adm", MaxID, []any{1}, 0)),
	} {
		if string(e.Text) != want || e.Len() != len(want) {
			t.Errorf("%s, want %s", e.Text, want)
		}
	}
	if !must(EncodeEvent("/", NoID, "x", []any{"s"}, 0)).EndsInString() || must(EncodeEvent("/", NoID, "x", []any{1}, 0)).EndsInString() {
		t.Error("EndsInString")
	}
}

func must(e Encoded, err error) Encoded {
	if err != nil {
		panic(err)
	}
	return e
}

func TestInvalidUTF8IsNotSent(t *testing.T) {
	t.Parallel()
	for _, arg := range []any{json.RawMessage("\"\xff\""), Value("\"\xff\"")} {
		if _, err := EncodeEvent("/", NoID, "x", []any{arg}, 0); !errors.Is(err, ErrInvalid) {
			t.Errorf("%T: %v", arg, err)
		}
	}
}

// More attachments than the default are a matter of the limit on both sides.
func TestManyAttachments(t *testing.T) {
	t.Parallel()
	args := make([]any, 50)
	for i := range args {
		args[i] = []byte{byte(i)}
	}
	e, err := EncodeEvent("/", NoID, "x", args, 50)
	if err != nil {
		t.Fatal(err)
	}
	d := Decoder{MaxAttachments: 50}
	p, complete, err := d.Text(e.Text)
	for _, a := range e.Attachments {
		p, complete, err = d.Binary(a)
	}
	if err != nil || !complete || len(p.Args) != 50 {
		t.Fatalf("%d arguments, complete %t, %v", len(p.Args), complete, err)
	}
	if _, _, err := (&Decoder{MaxAttachments: 49}).Text(e.Text); !errors.Is(err, ErrInvalid) {
		t.Errorf("error %v", err)
	}
}

func TestValue(t *testing.T) {
	t.Parallel()
	var v Value
	if b, err := json.Marshal(v); err != nil || string(b) != "null" {
		t.Errorf("nil: %s %v", b, err)
	}
	if err := json.Unmarshal([]byte(`{"a": 1}`), &v); err != nil || v.String() != `{"a": 1}` {
		t.Errorf("value %s %v", v, err)
	}
	b, err := json.Marshal(Binary("hi"))
	var plain []byte
	if err != nil || json.Unmarshal(b, &plain) != nil || string(plain) != "hi" {
		t.Errorf("binary outside of packets: %s, %q, %v", b, plain, err)
	}
	if !bytes.Contains(b, []byte(base64.StdEncoding.EncodeToString([]byte("hi")))) {
		t.Errorf("binary as JSON: %s", b)
	}
}

// What looks like one of our strings and is none stays as it is.
func TestOtherMarkedStrings(t *testing.T) {
	t.Parallel()
	raw := Value(`["\u000anot base64!","\\\u000aQUJD"]`)
	e, err := EncodeEvent("/", NoID, "x", []any{raw}, 10)
	if want := `2["x",` + raw.String() + "]"; err != nil || string(e.Text) != want || len(e.Attachments) != 0 {
		t.Errorf("%s %v, want %s", e.Text, err, want)
	}
}

func BenchmarkEncodeEvent(b *testing.B) {
	payload := json.RawMessage(`{"id":"0123456789abcdef","status":"active","brand":"Leica","confidence":0.93}`)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := EncodeEvent("/", NoID, "asset_processed", []any{payload}, 10); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDecodeEvent(b *testing.B) {
	text := []byte(`2["asset_processed",{"id":"0123456789abcdef","status":"active","brand":"Leica","confidence":0.93}]`)
	d := Decoder{}
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := d.Text(text); err != nil {
			b.Fatal(err)
		}
	}
}
