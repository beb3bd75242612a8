package cron

import (
	"strings"
	"testing"
	"time"
)

func TestZone(t *testing.T) {
	t.Parallel()
	const noon = "2026-07-01T12:00:00Z"
	for name, want := range map[string]string{
		"UTC":              "2026-07-01T12:00:00Z",
		"utc":              "2026-07-01T12:00:00Z",
		"UTC+3":            "2026-07-01T15:00:00+03:00",
		"utc-5:30":         "2026-07-01T06:30:00-05:30",
		"Etc/GMT+3":        "2026-07-01T09:00:00-03:00",
		"Europe/Berlin":    "2026-07-01T14:00:00+02:00",
		"europe/BERLIN":    "2026-07-01T14:00:00+02:00",
		"america/new_york": "2026-07-01T08:00:00-04:00",
		"cet":              "2026-07-01T14:00:00+02:00",
	} {
		zone, err := Zone(name)
		if err != nil {
			t.Error(err)
			continue
		}
		at, err := time.Parse(time.RFC3339, noon)
		if err != nil {
			t.Fatal(err)
		}
		if got := at.In(zone).Format(time.RFC3339); got != want {
			t.Errorf("%q: got %s, want %s", name, got, want)
		}
	}
	for _, name := range []string{"", "local", "System", "DEFAULT"} {
		if zone, err := Zone(name); err != nil || zone != time.Local {
			t.Errorf("%q: got %v, %v", name, zone, err)
		}
	}
	for _, name := range []string{"Nope/Zone", "GMT+3", "UTC+5:3", "UTC+0530", "+03:00", "3", "../zone", "/etc/passwd", strings.Repeat("x", 1<<20)} {
		zone, err := Zone(name)
		if err == nil || zone != nil || len(err.Error()) > 300 {
			t.Errorf("%.20q: got %v, %v", name, zone, err)
		}
	}
}
