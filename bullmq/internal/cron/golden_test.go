package cron

import (
	"encoding/json"
	"os"
	"reflect"
	"testing"
	"time"
	_ "time/tzdata" // for machines that have no zones of their own
)

// TestGolden holds us against what cron-parser computes: version 5, and version 4 for what fails in 5.
func TestGolden(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile("testdata/golden.json")
	if err != nil {
		t.Fatal(err)
	}
	var cases [][]any
	if err := json.Unmarshal(data, &cases); err != nil {
		t.Fatal(err)
	}
	if len(cases) < 400 {
		t.Fatalf("%d cases are left", len(cases))
	}
	for _, c := range cases {
		pattern, zone, start, want := c[0].(string), c[1].(string), c[2].(float64), c[3].([]any)
		if len(c) > 4 && fails(want) {
			want = c[4].([]any)
		}
		got := results(t, pattern, zone, start, len(want))
		if fails(want) {
			got, want = got[:min(len(got), len(want)-1)], want[:len(want)-1]
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%q in %s from %.3f:\n got %v\nwant %v", pattern, zone, start, got, want)
		}
	}
}

// results returns up to n results as the golden file has them: none if the pattern is refused.
func results(t *testing.T, pattern, zone string, start float64, n int) []any {
	t.Helper()
	loc, err := time.LoadLocation(zone)
	if err != nil {
		t.Fatal(err)
	}
	out := []any{}
	s, err := Parse(pattern, loc)
	if err != nil {
		return out
	}
	at := time.UnixMilli(int64(start*1000 + .5))
	for len(out) < n {
		next, ok := s.Next(at)
		if !ok {
			break
		}
		out = append(out, float64(next.UnixMilli()-at.UnixMilli())/1000)
		at = next
	}
	return out
}

// fails tells whether results end with an error.
func fails(results []any) bool {
	if len(results) == 0 {
		return false
	}
	_, failed := results[len(results)-1].(string)
	return failed
}
