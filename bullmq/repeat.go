package bullmq

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"strconv"
	"time"

	"loupe/bullmq/internal/cron"
)

// Repeat says when the jobs of a scheduler run: at an interval, or by a pattern. Either Every or Pattern is needed.
type Repeat struct {
	// Every is the time from one run to the next, in whole milliseconds. The first run is at once, unless Start or Offset
	// say otherwise.
	Every time.Duration

	// Offset has the runs of Every come so long after its multiples since 1970; it is less than Every. Defaults to where
	// the first run comes.
	Offset time.Duration

	// Pattern is a cron expression in the dialect of Node's cron-parser: five fields (minute, hour, day of month, month, day
	// of week), or six with seconds first. Each is *, or a list of values, ranges and steps ("1-30/7"); months and days of
	// the week have names ("MON-FRI"), L is the last day ("5L" the last Friday), "1#2" the second Monday. "@daily" and its
	// like stand for whole patterns. H is refused: no two processes would agree on it.
	Pattern string

	// TZ is the time zone of Pattern, like "Europe/Berlin". Defaults to that of whichever process computes a run, so it
	// should be given.
	TZ string

	// Limit is how many jobs there will be; 0 is no limit. Defaults to 0.
	Limit int

	// Start and End bound the runs, to the millisecond. As in Node, a schedule with Every ends with the first run behind
	// End. Default to no bounds.
	Start, End time.Time

	// Immediately has a Pattern begin with a run at once, whenever it is set; Every does so anyway. Defaults to false.
	Immediately bool
}

// validate returns what is wrong with a schedule that is to begin now, for its author.
func (r *Repeat) validate(now time.Time) error {
	switch {
	case r.Every != 0 && r.Pattern != "":
		return errors.New("repeat: has both an interval and a pattern")
	case r.Pattern == "" && r.Every < time.Millisecond:
		return errors.New("repeat: needs an interval of a millisecond at least, or a pattern")
	case r.Limit < 0:
		return fmt.Errorf("repeat: limit %d is negative", r.Limit)
	case r.Offset < 0 || r.Offset > 0 && r.Offset >= r.Every:
		return fmt.Errorf("repeat: offset %s is not within the interval", r.Offset)
	case !r.End.IsZero() && !r.End.After(now):
		return errors.New("repeat: its end has passed")
	case !r.End.IsZero() && !r.End.After(r.Start):
		return errors.New("repeat: it ends before it starts")
	case r.Immediately && !r.Start.IsZero():
		return errors.New("repeat: has both a start and a run at once")
	}
	if r.Pattern == "" {
		return nil
	}
	_, err := r.following(now, now)
	return err
}

// begin returns the run with which the schedule begins, and the schedule with the offset that it then has. was is the
// scheduler as it has been until now, or nil: one that keeps its interval keeps its next run.
func (r Repeat) begin(was *Scheduler, now time.Time) (time.Time, Repeat, error) {
	start := now
	if now.Before(r.Start) {
		start = time.UnixMilli(r.Start.UnixMilli())
	}
	switch {
	case r.Pattern != "" && r.Immediately:
		return now, r, nil
	case r.Pattern != "":
		next, err := r.following(now, now)
		return next, r, err
	case was != nil && was.Repeat.Every == r.Every:
		if r.Offset == 0 {
			r.Offset = was.Repeat.Offset
		}
		return was.Next, r, nil
	case r.Offset == 0:
		r.Offset = time.Duration(start.UnixMilli()%r.Every.Milliseconds()) * time.Millisecond
		return start, r, nil
	}
	return r.aligned(time.Time{}, start), r, nil
}

// following returns the run of a new schedule after one that it cannot begin with.
func (r *Repeat) following(run, now time.Time) (time.Time, error) {
	if r.Pattern == "" {
		return r.aligned(run, now), nil
	}
	next, ok, err := r.byPattern(run)
	if err == nil && !ok {
		err = errors.New("repeat: has no run to come")
	}
	return next, err
}

var errNoNextRun = errors.New("repeat: no next run can be computed")

// after returns the run that comes after the one at prev, at which it is now or later; false if that was the last.
func (r *Repeat) after(prev, now time.Time) (time.Time, bool, error) {
	switch {
	case r.Pattern != "":
		if now.Before(prev) {
			now = prev
		}
		next, ok, err := r.byPattern(now)
		if err != nil {
			err = fmt.Errorf("%w: %w", errNoNextRun, err)
		}
		return next, ok, err
	case r.Every < time.Millisecond:
		return time.Time{}, false, fmt.Errorf("%w: it has neither an interval nor a pattern", errNoNextRun)
	}
	return r.aligned(prev, now), r.End.IsZero() || !now.After(r.End), nil
}

// byPattern returns the first run by the pattern after a time; false if there is none.
func (r *Repeat) byPattern(after time.Time) (time.Time, bool, error) {
	zone, err := cron.Zone(r.TZ)
	if err != nil {
		return time.Time{}, false, fmt.Errorf("repeat: %w", err)
	}
	schedule, err := cron.Parse(r.Pattern, zone)
	if err != nil {
		return time.Time{}, false, fmt.Errorf("repeat: pattern %.100q: %w", r.Pattern, err)
	}
	if after.Before(r.Start) {
		after = r.Start
	}
	next, ok := schedule.Next(after)
	return next, ok && (r.End.IsZero() || !next.After(r.End)), nil
}

// aligned returns the run of an interval after prev, which may be zero.
func (r *Repeat) aligned(prev, now time.Time) time.Time {
	before := int64(0)
	if !prev.IsZero() {
		before = prev.UnixMilli()
	}
	return time.UnixMilli(cron.Every(r.Every.Milliseconds(), r.Offset.Milliseconds(), before, now.UnixMilli()))
}

// fields are the schedule as its scheduler stores it, names and values in turn.
func (r *Repeat) fields() []string {
	f := make([]string, 0, 12)
	if r.Pattern != "" {
		f = append(f, repeatPattern, r.Pattern)
	} else {
		f = append(f, repeatEvery, decimal(r.Every))
	}
	f = append(f, repeatOffset, decimal(r.Offset))
	if r.TZ != "" {
		f = append(f, repeatTZ, r.TZ)
	}
	if r.Limit > 0 {
		f = append(f, repeatLimit, strconv.Itoa(r.Limit))
	}
	if !r.Start.IsZero() {
		f = append(f, repeatStart, strconv.FormatInt(r.Start.UnixMilli(), 10))
	}
	if !r.End.IsZero() {
		f = append(f, repeatEnd, strconv.FormatInt(r.End.UnixMilli(), 10))
	}
	return f
}

// option is the schedule as its first job stores it.
func (r *Repeat) option() json.RawMessage {
	b := []byte(`{"count":1`)
	fields := r.fields()
	for i := 0; i < len(fields); i += 2 {
		switch name, value := fields[i], fields[i+1]; name {
		case repeatPattern, repeatTZ:
			b = appendText(appendName(b, name), value)
		case repeatOffset:
			b = appendNumber(b, name, r.Offset.Milliseconds())
		default:
			b = append(appendName(b, name), value...)
		}
	}
	return append(b, '}')
}

// countRun returns the count of the run after one with this option, and that run's option.
func countRun(option json.RawMessage) (int, json.RawMessage) {
	count := 1
	b := []byte{'{'}
	eachMember(string(option), func(name, value string) { //nolint:errcheck // what can be read of it is taken over
		if name == repeatCount {
			count = max(integer(value), 0) + 1
			return
		}
		b = append(appendText(b, name), ':')
		b = append(append(b, value...), ',')
	})
	b = strconv.AppendInt(append(b, `"count":`...), int64(count), 10)
	return count, append(b, '}')
}

// decodeRepeat reads the schedule of a scheduler's fields. What is not there is taken from the option of its present job:
// of the repeatable jobs that BullMQ 5 has besides schedulers, only that says all.
func decodeRepeat(fields map[string]string, option json.RawMessage) Repeat {
	all := make(map[string]string)
	eachMember(string(option), func(name, value string) { //nolint:errcheck // what can be read of it counts
		all[name] = text(value)
	})
	if fields[repeatEvery] != "" || fields[repeatPattern] != "" {
		delete(all, repeatEvery)
		delete(all, repeatPattern)
	}
	maps.Copy(all, fields)
	r := Repeat{
		Every: max(millis(all[repeatEvery]), 0), Offset: millis(all[repeatOffset]), Pattern: all[repeatPattern], TZ: all[repeatTZ],
		Limit: max(integer(all[repeatLimit]), 0), Start: moment(all[repeatStart]), End: moment(all[repeatEnd]),
	}
	if r.TZ == "" && truth(all[repeatUTC]) {
		r.TZ = "UTC"
	}
	if r.Offset <= -r.Every && r.Every > 0 {
		r.Offset %= r.Every // else every run would be in the past
	}
	return r
}
