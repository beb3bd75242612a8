package bullmq

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func ptr[T any](v T) *T { return &v }

// All that options can say comes back as it was.
func TestOptionsRoundTrip(t *testing.T) {
	t.Parallel()
	tests := map[string]JobOptions{
		`{"attempts":0}`: {},
		`{"attempts":3,"backoff":{"type":"fixed","delay":1000},"removeOnComplete":{"age":10,"count":5},"kl":3}`: {
			Attempts: 3, Backoff: Fixed(time.Second), RemoveOnComplete: &Keep{Age: 10 * time.Second, Count: 5}, KeepLogs: 3,
		},
		`{"attempts":1,"backoff":{"type":"exponential","delay":2000,"jitter":0.5},"delay":5000,"priority":7,"lifo":true,"jobId":"custom","removeOnComplete":true,"removeOnFail":false,"timeout":1500,"sizeLimit":10,"stackTraceLimit":0,"timestamp":1795435105922,"de":{"id":"dd","ttl":5000,"extend":true,"replace":true,"keepLastIfActive":true,"reschedule":true},"tm":"xx","omc":true,"repeat":{"every":60000,"count":1},"prevMillis":12,"x":[1]}`: {
			Attempts: 1, Backoff: Backoff{Type: "exponential", Delay: 2 * time.Second, Jitter: 0.5}, Delay: 5 * time.Second, Priority: 7,
			LIFO: true, ID: "custom", RemoveOnComplete: KeepNone(), RemoveOnFail: KeepAll(), Timeout: 1500 * time.Millisecond, SizeLimit: 10,
			StackTraceLimit: ptr(0), Timestamp: time.UnixMilli(1795435105922),
			Deduplication: &Deduplication{
				ID: "dd", TTL: 5 * time.Second, Extend: true, Replace: true, KeepLastIfActive: true, RescheduleDelayed: true,
			},
			TelemetryMetadata: "xx", OmitContext: true, Repeat: json.RawMessage(`{"every":60000,"count":1}`),
			Extra: map[string]json.RawMessage{"prevMillis": json.RawMessage("12"), "x": json.RawMessage("[1]")},
		},
		`{"attempts":0,"removeOnComplete":7,"removeOnFail":{"age":0.5,"limit":9},"parent":{"id":"p","queue":"bull:pq"},"fpof":true}`: {
			RemoveOnComplete: KeepLast(7), RemoveOnFail: &Keep{Age: time.Second / 2, Limit: 9},
			Parent: &Parent{ID: "p", Queue: "bull:pq"}, OnFailure: ParentFails,
		},
		`{"attempts":0,"jobId":"ü\"<&>\\\n\u0001","cpof":true}`: {ID: "ü\"<&>\\\n\x01", OnFailure: ParentContinues},
	}
	for want, o := range tests {
		if got := string(appendOptions(nil, &o)); got != want {
			t.Errorf("encoded:\n got %s\nwant %s", got, want)
		}
		got, err := decodeOptions(want)
		if err != nil {
			t.Errorf("%s: %v", want, err)
		}
		if diff := cmp.Diff(o, got); diff != "" {
			t.Errorf("%s decoded (-want +got):\n%s", want, diff)
		}
	}
}

// What other versions and Redis' own encoder store is understood.
func TestDecodeOptionsLenient(t *testing.T) {
	t.Parallel()
	tests := map[string]JobOptions{
		"":      {},
		"null":  {},
		"[]":    {},
		" { } ": {},
		`{"attempts":3.0,"delay":"1500","priority":1e1,"lifo":1,"kl":{},"jobId":12}`: {
			Attempts: 3, Delay: 1500 * time.Millisecond, Priority: 10, LIFO: true, ID: "12",
		},
		`{"attempts":null,"backoff":null,"removeOnComplete":null,"stackTraceLimit":null,"de":null,"parent":null,"jobId":null,"tm":null,"repeat":null,"timestamp":null}`: {},
		`{"attempts":{},"backoff":{},"removeOnComplete":{},"de":{},"parent":{},"lifo":0,"delay":-5,"priority":-1}`:                                                      {RemoveOnComplete: KeepAll()},
		`{"backoff":1000}`:   {Backoff: Fixed(time.Second)},
		`{"backoff":"1000"}`: {Backoff: Fixed(time.Second)},
		`{"backoff":{"type":"exponential","delay":2e3,"jitter":7}}`: {
			Backoff: Backoff{Type: BackoffExponential, Delay: 2 * time.Second, Jitter: 1},
		},
		`{"removeOnComplete":-1,"removeOnFail":0}`:                        {RemoveOnComplete: KeepAll(), RemoveOnFail: KeepNone()},
		`{"removeOnComplete":"5","removeOnFail":{"count":-1,"age":"60"}}`: {RemoveOnComplete: KeepLast(5), RemoveOnFail: KeepFor(time.Minute)},
		`{"removeOnComplete":{"count":0,"age":9},"removeOnFail":[]}`:      {RemoveOnComplete: &Keep{None: true, Age: 9 * time.Second}, RemoveOnFail: KeepAll()},
		`{"removeOnComplete":"x"}`:                                        {},
		`{"timestamp":1.795435105922e+15}`:                                {Timestamp: time.UnixMilli(1795435105922000)},
		`{"delay":1e300,"attempts":1e300}`:                                {Delay: duration(1e300, time.Millisecond), Attempts: 1 << 53},
		`{"fpof":false,"rdof":true}`:                                      {OnFailure: ParentForgets},
		"{\n\t\"attempts\" : 2 ,\r\n \"a\\u0074tempts2\" : \"\\/\\u00e9\" , \"parent\" : {\"id\":\"1\",\"queue\":\"bull\\/x:q\"} }": {
			Attempts: 2, Extra: map[string]json.RawMessage{"attempts2": json.RawMessage(`"\/\u00e9"`)}, Parent: &Parent{ID: "1", Queue: "bull/x:q"},
		},
		`{"bad":tru,"attempts":2}`: {Attempts: 2},
	}
	for s, want := range tests {
		got, err := decodeOptions(s)
		if err != nil {
			t.Errorf("%s: %v", s, err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", s, diff)
		}
	}
	for _, s := range []string{"x", "7", `"a"`, "{", `{"a"`, `{"a":`, `{"a":1`, `{"a":1,`, `{"a" 1}`, `{a:1}`, `{"a":,}`, `{"a":1]`, `{"attempts":2,"b`} {
		if o, err := decodeOptions(s); err == nil {
			t.Errorf("%s is read as %+v", s, o)
		}
	}
}

func TestOptionsRefused(t *testing.T) {
	t.Parallel()
	tests := map[string]JobOptions{
		"delay":                 {Delay: -1},
		"priority -1":           {Priority: -1},
		"priority 2097152":      {Priority: MaxPriority + 1},
		"attempts":              {Attempts: -1},
		"backoff delay":         {Backoff: Fixed(-1)},
		"backoff jitter":        {Backoff: Backoff{Jitter: 1.5}},
		"timeout":               {Timeout: -1},
		"keep logs":             {KeepLogs: -1},
		"stack trace limit":     {StackTraceLimit: ptr(-1)},
		"no rule":               {OnFailure: 9},
		"repeat is not JSON":    {Repeat: json.RawMessage("{")},
		`option "x" is not`:     {Extra: map[string]json.RawMessage{"x": json.RawMessage("{")}},
		`option "delay" has`:    {Extra: map[string]json.RawMessage{"delay": json.RawMessage("1")}},
		`option "fpof" has`:     {Extra: map[string]json.RawMessage{"fpof": json.RawMessage("true")}},
		"parent":                {Parent: &Parent{ID: "1", Queue: "mail"}},
		"deduplication id":      {Deduplication: &Deduplication{}},
		"deduplication time":    {Deduplication: &Deduplication{ID: "a", TTL: -1}},
		"with a parent cannot":  {Deduplication: &Deduplication{ID: "a"}, Parent: &Parent{ID: "1", Queue: "bull:mail"}},
		`job id "0" is an int`:  {ID: "0"},
		`job id "12" is an int`: {ID: "12"},
		`job id "-7" is an int`: {ID: "-7"},
		`begins with 0:`:        {ID: "0:x:y"},
		"1 colons":              {ID: "a:b"},
		"3 colons":              {ID: "a:b:c:d"},
		"not UTF-8":             {ID: "\xff"},
		"longer than":           {ID: strings.Repeat("x", MaxIDBytes+1)},
		`"meta" is the name`:    {ID: "meta"},
		`"repeat:a:1" is`:       {ID: "repeat:a:1"},
		`"de:a:b" is`:           {ID: "de:a:b"},
	}
	for want, o := range tests {
		if err := o.validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: error %v, want one with %q", o, err, want)
		}
	}
	for _, id := range []string{"", "a", "a-1", "a:b:c", "007", "1.5", "de", "metrics", "00", strings.Repeat("x", MaxIDBytes)} {
		if err := (&JobOptions{ID: id}).validate(); err != nil {
			t.Errorf("id %q: %v", id, err)
		}
	}
}

func TestOptionDefaults(t *testing.T) {
	t.Parallel()
	defaults := JobOptions{Attempts: 3, Backoff: Fixed(time.Second), RemoveOnFail: KeepAll(), LIFO: true, Delay: time.Second, StackTraceLimit: ptr(1)}
	got := JobOptions{ID: "a", Attempts: 5, RemoveOnFail: KeepNone(), StackTraceLimit: ptr(0)}.withDefaults(&defaults)
	want := JobOptions{ID: "a", Attempts: 5, Backoff: Fixed(time.Second), RemoveOnFail: KeepNone(), LIFO: true, Delay: time.Second, StackTraceLimit: ptr(0)}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// Whatever is stored, reading it neither panics nor gives what could not be written and read again.
func FuzzDecodeOptions(f *testing.F) {
	for _, s := range []string{
		"", "{}", "[]", "null", `{"attempts":3,"backoff":{"type":"fixed","delay":1000},"removeOnComplete":{"age":10,"count":5},"kl":3}`,
		`{"de":{"id":"dd","ttl":5e3},"tm":"xx","omc":true,"jobId":"custom","priority":7,"x":[{"y":"\"]"}]}`,
		`{"delay":1e999,"timestamp":-1e999,"removeOnFail":-0.5,"stackTraceLimit":"NaN"}`, "{\"jobId\":\"\xff\\", `{"a":1}}`,
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		o, _ := decodeOptions(s)
		stored := appendOptions(nil, &o)
		if !json.Valid(stored) {
			t.Fatalf("%q is written as %q", s, stored)
		}
		again, err := decodeOptions(string(stored))
		if err != nil {
			t.Fatalf("%q is written as %q: %v", s, stored, err)
		}
		if twice := appendOptions(nil, &again); string(twice) != string(stored) {
			t.Fatalf("%q is written as %s and then as %s", s, stored, twice)
		}
	})
}
