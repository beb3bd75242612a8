package bullmq

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// What a schedule stores is read as the same schedule, from its scheduler and from its job.
func TestRepeatIsReadAsWritten(t *testing.T) {
	t.Parallel()
	start := time.UnixMilli(1795435105922)
	for _, r := range []Repeat{
		{Every: time.Millisecond},
		{Every: time.Hour, Offset: time.Minute, Limit: 3, Start: start, End: start.Add(time.Hour)},
		{Pattern: "0 0 3 * * *"},
		{Pattern: `*/5 * * * "\`, TZ: "Europe/Berlin", Limit: 1, End: start},
	} {
		fields := make(map[string]string)
		for pair := range slices.Chunk(r.fields(), 2) {
			fields[pair[0]] = pair[1]
		}
		if diff := cmp.Diff(r, decodeRepeat(fields, nil)); diff != "" {
			t.Errorf("fields %q (-want +got):\n%s", fields, diff)
		}
		if diff := cmp.Diff(r, decodeRepeat(nil, r.option())); diff != "" || !json.Valid(r.option()) {
			t.Errorf("option %s (-want +got):\n%s", r.option(), diff)
		}
	}
}

// The scheduler has the last word on what both say, and says alone whether it runs by an interval or by a pattern.
func TestRepeatOfSchedulerAndJob(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		fields map[string]string
		option string
		want   Repeat
	}{
		{map[string]string{"every": "1000"}, `{"pattern":"* * * * *","limit":3}`, Repeat{Every: time.Second, Limit: 3}},
		{map[string]string{"pattern": "* * * * *"}, `{"every":1000,"utc":true}`, Repeat{Pattern: "* * * * *", TZ: "UTC"}},
		{map[string]string{"pattern": "* * * * *", "tz": "Asia/Tokyo"}, `{"utc":true,"tz":"Asia/Seoul"}`, Repeat{Pattern: "* * * * *", TZ: "Asia/Tokyo"}},
		{map[string]string{"every": "1000", "limit": "5"}, `{"limit":3,"every":7}`, Repeat{Every: time.Second, Limit: 5}},
		{nil, `{"every":1e3,"endDate":"1795435105922"}`, Repeat{Every: time.Second, End: time.UnixMilli(1795435105922)}},
		{map[string]string{"every": "1000", "offset": "-2500"}, ``, Repeat{Every: time.Second, Offset: -500 * time.Millisecond}},
		{map[string]string{"every": "x", "limit": "-1", "startDate": "soon"}, `[]`, Repeat{}},
	} {
		if diff := cmp.Diff(test.want, decodeRepeat(test.fields, json.RawMessage(test.option))); diff != "" {
			t.Errorf("%v, %s (-want +got):\n%s", test.fields, test.option, diff)
		}
	}
}

func TestCountRun(t *testing.T) {
	t.Parallel()
	for option, want := range map[string]string{
		``:                                   `1 {"count":1}`,
		`[]`:                                 `1 {"count":1}`,
		`"x"`:                                `1 {"count":1}`,
		`{"count":1}`:                        `2 {"count":2}`,
		`{"every":60000,"count":"4"}`:        `5 {"every":60000,"count":5}`,
		`{"count":-5,"key":"\"\u00e9"}`:      `1 {"key":"\"\u00e9","count":1}`,
		`{"count":1e99}`:                     `9007199254740993 {"count":9007199254740993}`,
		`{"count":null,"tz":"Europe\/Rome"}`: `1 {"tz":"Europe\/Rome","count":1}`,
	} {
		count, next := countRun(json.RawMessage(option))
		if got := fmt.Sprint(count, " ", string(next)); got != want {
			t.Errorf("%s: %s, not %s", option, got, want)
		}
	}
}

// A scheduler that anybody has put together in Redis can be read and gone on with: there is no next run, or one that is
// not in the past and whose options can be read by all.
func FuzzReadScheduler(f *testing.F) {
	f.Add("every", "60000", "offset", "42163", 1795435422163.0, `{"attempts":2,"repeat":{"every":60000,"count":1}}`)
	f.Add("pattern", "0 0 3 * * *", "tz", "UTC", 1795435422163.0, `{"prevMillis":1,"repeat":{"count":1,"limit":5}}`)
	f.Add("every", "0", "endDate", "1e99", -1e300, `{"repeat":{"utc":true,"pattern":"@hourly"}}`)
	f.Add("every", "1e300", "offset", "-1e300", 1e300, `{"repeat":[],"repeatJobKey":null}`)
	f.Add("pattern", "* * 29 2 1", "startDate", "9007199254740992", 0.5, `{"repeat":{"count":-1},"prevMillis":{}}`)
	f.Add("opts", "{{", "data", "\xff", 1.0, `{"repeat":{"every":0.001,"\n":"\u2028"}}`)
	now := time.UnixMilli(1795435422999)
	f.Fuzz(func(t *testing.T, name1, value1, name2, value2 string, score float64, opts string) {
		job := newJob(nil, newKeys("bull", "mail"), "1")
		job.setField(fieldOpts, opts)
		s := decodeScheduler("s", score, map[string]string{name1: value1, name2: value2}, job.Options.Repeat)
		if s.Count < 0 || s.Repeat.Limit < 0 || s.Repeat.Every < 0 {
			t.Errorf("%+v", s)
		}
		at, ok, err := s.Repeat.after(s.Next, now)
		if err != nil || !ok {
			return
		}
		if prev := s.Next; at.Before(now.Add(-time.Millisecond)) || prev.UnixMilli() > 0 && prev.Before(now) && !at.After(prev) {
			t.Errorf("at %s, after %s, by %+v", at, prev, s.Repeat)
		}
		count, option := countRun(job.Options.Repeat)
		planRun(job, "s", at, now, option, s.Repeat.Pattern != "")
		text := string(appendOptions(nil, &job.Options))
		if !json.Valid([]byte(text)) || count < 1 {
			t.Errorf("run %d has the options %q", count, text)
		}
		if again, err := decodeOptions(text); err != nil || again.ID != job.ID || !strings.Contains(string(again.Repeat), `"count":`) {
			t.Errorf("options %s are read as %+v, %v", text, again, err)
		}
	})
}
