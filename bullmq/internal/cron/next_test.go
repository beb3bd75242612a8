package cron

import (
	"strings"
	"testing"
	"time"
)

func mustParse(t testing.TB, pattern, zone string) Schedule {
	t.Helper()
	loc, err := time.LoadLocation(zone)
	if err != nil {
		t.Fatal(err)
	}
	s, err := Parse(pattern, loc)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// runs returns the next n runs as the clocks of the zone show them.
func runs(t *testing.T, pattern, zone, after string, n int) string {
	t.Helper()
	s := mustParse(t, pattern, zone)
	at, err := time.Parse(time.RFC3339Nano, after)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for range n {
		next, ok := s.Next(at)
		if !ok {
			t.Fatalf("%q has no run after %v", pattern, at)
		}
		if next.Location().String() != zone {
			t.Errorf("%q runs in %v, not %s", pattern, next.Location(), zone)
		}
		out = append(out, next.Format("2006-01-02T15:04:05-0700"))
		at = next
	}
	return strings.Join(out, " ")
}

func TestNext(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ name, pattern, zone, after, want string }{
		{"daily", "0 3 * * *", "UTC", "2026-01-15T10:20:30Z", "2026-01-16T03:00:00+0000 2026-01-17T03:00:00+0000"},
		{"in a zone", "0 3 * * *", "Europe/Berlin", "2026-01-15T10:20:30Z", "2026-01-16T03:00:00+0100 2026-01-17T03:00:00+0100"},
		{"within a second", "* * * * * *", "UTC", "2026-01-15T10:20:30.5Z", "2026-01-15T10:20:31+0000 2026-01-15T10:20:32+0000"},
		{"over a year's end", "0 0 1 1 *", "UTC", "2025-12-31T23:59:59.999Z", "2026-01-01T00:00:00+0000 2027-01-01T00:00:00+0000"},
		{"leap days", "0 0 29 2 *", "UTC", "2096-02-29T00:00:00Z", "2104-02-29T00:00:00+0000 2108-02-29T00:00:00+0000"},
		{"the longest wait", "0 0 * 2 1#5", "UTC", "2072-02-29T00:00:00Z", "2112-02-29T00:00:00+0000 2140-02-29T00:00:00+0000"},
		{"long ago", "@yearly", "UTC", "0001-01-01T00:00:00Z", "0002-01-01T00:00:00+0000 0003-01-01T00:00:00+0000"},

		{"skipped", "30 2 * * *", "Europe/Berlin", "2026-03-28T12:00:00Z", "2026-03-29T03:30:00+0200 2026-03-30T02:30:00+0200"},
		{"skipped at midnight", "30 0 * * *", "America/Sao_Paulo", "2018-11-03T12:00:00Z", "2018-11-05T00:30:00-0200 2018-11-06T00:30:00-0200"},
		{"two hours skipped", "30 1 * * *", "Antarctica/Troll", "2026-03-28T12:00:00Z", "2026-03-29T03:30:00+0200 2026-03-30T01:30:00+0200"},
		{"skipped, another day", "30 22,23 * * 6", "America/Nuuk", "2026-03-29T00:30:00Z", "2026-04-04T22:30:00-0100 2026-04-04T23:30:00-0100"},
		{"twice", "30 2 * * *", "Europe/Berlin", "2026-10-24T12:00:00Z", "2026-10-25T02:30:00+0200 2026-10-26T02:30:00+0100"},
		{"twice, every hour", "30 * * * *", "Europe/Berlin", "2026-10-25T00:00:00Z", "2026-10-25T02:30:00+0200 2026-10-25T02:30:00+0100"},
		{"twice, from the second", "30 2 * * *", "Europe/Berlin", "2026-10-25T01:10:00Z", "2026-10-25T02:30:00+0100 2026-10-26T02:30:00+0100"},
		{"two midnights", "0 0 * * *", "Atlantic/Azores", "2026-10-24T12:00:00Z", "2026-10-25T00:00:00-0100 2026-10-26T00:00:00-0100"},
		{"a day left out", "30 23 * * *", "Pacific/Apia", "2011-12-29T12:00:00Z", "2011-12-29T23:30:00-1000 2011-12-31T23:30:00+1400"},

		// Half hours, where no version of cron-parser is right.
		{"half an hour skipped", "15 2 * * *", "Australia/Lord_Howe", "2026-10-03T12:00:00Z", "2026-10-05T02:15:00+1100 2026-10-06T02:15:00+1100"},
		{"half an hour left", "15,45 2 * * *", "Australia/Lord_Howe", "2026-10-03T12:00:00Z", "2026-10-04T02:45:00+1100 2026-10-05T02:15:00+1100"},
		{"behind half an hour", "45 * * * *", "Australia/Lord_Howe", "2026-10-03T15:00:00Z", "2026-10-04T01:45:00+1030 2026-10-04T02:45:00+1100"},
		{"half an hour twice", "45 1 * * *", "Australia/Lord_Howe", "2026-04-04T12:00:00Z", "2026-04-05T01:45:00+1100 2026-04-06T01:45:00+1030"},
		{"half an hour twice, every hour", "45 * * * *", "Australia/Lord_Howe", "2026-04-04T14:40:00Z", "2026-04-05T01:45:00+1100 2026-04-05T01:45:00+1030"},
		{"before half an hour", "0 2 * * *", "Australia/Lord_Howe", "2026-04-04T14:10:00Z", "2026-04-05T02:00:00+1030 2026-04-06T02:00:00+1030"},
		{"at a quarter to", "0 3 * * *", "Pacific/Chatham", "2026-04-04T12:00:00Z", "2026-04-05T03:00:00+1345 2026-04-06T03:00:00+1245"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			if got := runs(t, tc.pattern, tc.zone, tc.after, 2); got != tc.want {
				t.Errorf("%q after %s:\n got %s\nwant %s", tc.pattern, tc.after, got, tc.want)
			}
		})
	}
}

// A schedule without a zone follows UTC.
func TestNoZone(t *testing.T) {
	t.Parallel()
	s, err := Parse("0 3 * * *", nil)
	if err != nil {
		t.Fatal(err)
	}
	next, ok := s.Next(time.Date(2026, 1, 15, 2, 0, 0, 0, time.FixedZone("", -3600)))
	if want := time.Date(2026, 1, 16, 3, 0, 0, 0, time.UTC); !ok || next != want {
		t.Errorf("got %v, %v; want %v", next, ok, want)
	}
}

// A search for what never comes ends.
func TestNever(t *testing.T) {
	t.Parallel()
	if next, ok := (Schedule{}).Next(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)); ok {
		t.Errorf("found %v", next)
	}
}

func FuzzNext(f *testing.F) {
	for _, pattern := range []string{
		"*/5 * * * *", "0 30 2 * * *", "0 0 L * *", "0 0 * * 1,3L", "0 0 * 2 1#5", "59 59 23 29 2 ?", "15,45 1,2 * * *",
		"@weekends", "5", "* * * * * * *", "0 0 31 4,6 *", "H * * * *", "5-1 * * * *", "*/0 * * * *", "0 0 1 jan-DEC/3 7",
	} {
		f.Add(pattern, uint8(0), int64(1_774_746_000_000))
		f.Add(pattern, uint8(2), int64(1_792_893_599_999))
	}
	zones := make([]*time.Location, 0, 6)
	for _, zone := range []string{
		"UTC", "Europe/Berlin", "Australia/Lord_Howe", "America/Sao_Paulo", "Pacific/Apia", "Pacific/Chatham",
	} {
		loc, err := time.LoadLocation(zone)
		if err != nil {
			f.Fatal(err)
		}
		zones = append(zones, loc)
	}
	f.Fuzz(func(t *testing.T, pattern string, zone uint8, ms int64) {
		s, err := Parse(pattern, zones[int(zone)%len(zones)])
		if err != nil {
			return
		}
		after := time.UnixMilli(ms)
		began := time.Now()
		next, ok := s.Next(after)
		if took := time.Since(began); took > time.Second {
			t.Errorf("%q after %v took %v", pattern, after, took)
		}
		switch {
		case !ok:
			t.Errorf("%q never runs after %v", pattern, after)
		case !next.After(after) || next.Nanosecond() != 0:
			t.Errorf("%q after %v runs at %v", pattern, after, next)
		case !s.months.has(int(next.Month())) || !s.matchesDay(next) || !s.minutes.has(next.Minute()) || !s.seconds.has(next.Second()):
			t.Errorf("%q does not match %v", pattern, next)
		}
	})
}

func BenchmarkNext(b *testing.B) {
	for _, pattern := range []string{"*/5 * * * *", "0 3 * * *", "0 9 1 * 1", "0 0 29 2 *"} {
		b.Run(pattern, func(b *testing.B) {
			s := mustParse(b, pattern, "Europe/Berlin")
			after := time.Date(2026, 1, 15, 10, 20, 30, 0, time.UTC)
			b.ReportAllocs()
			for b.Loop() {
				if _, ok := s.Next(after); !ok {
					b.Fatal("not found")
				}
			}
		})
	}
}
