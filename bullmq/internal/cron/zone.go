package cron

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// utcOffset is how a zone without a name is written: UTC, UTC+3, utc-5:30.
var utcOffset = regexp.MustCompile(`^(?i:utc)(?:([+-])(\d{1,2})(?::(\d{2}))?)?$`)

// errZone says what a zone may be.
var errZone = errors.New("is not a zone: a name like Europe/Berlin, UTC or UTC-5:30 is, and none for the local zone")

// Zone is the time zone that a schedule names, read as BullMQ's parser does: no name, local, system and default are the
// zone of this process; UTC may have an offset; names of the zone database may be in the wrong case, but for the few
// with small words in them (America/Port_of_Spain).
func Zone(name string) (*time.Location, error) {
	switch strings.ToLower(name) {
	case "", "local", "system", "default":
		return time.Local, nil
	}
	if m := utcOffset.FindStringSubmatch(name); m != nil {
		if m[1] == "" {
			return time.UTC, nil
		}
		hours, _ := strconv.Atoi(m[2]) // digits, by the expression
		minutes, _ := strconv.Atoi("0" + m[3])
		offset := (hours*60 + minutes) * 60
		if m[1] == "-" {
			offset = -offset
		}
		return time.FixedZone(name, offset), nil
	}
	for _, spelling := range []string{name, capitalized(name), strings.ToUpper(name)} {
		if zone, err := time.LoadLocation(spelling); err == nil {
			return zone, nil
		}
	}
	return nil, fmt.Errorf("%.100q %w", name, errZone)
}

// capitalized spells a zone's name as most are: each word, and each part of one, with a capital.
func capitalized(name string) string {
	begins := true
	return strings.Map(func(r rune) rune {
		first := begins
		begins = strings.ContainsRune("/_-", r)
		if first {
			return unicode.ToUpper(r)
		}
		return r
	}, strings.ToLower(name))
}
