// Package cron computes when the schedules of BullMQ's job schedulers run: for a pattern in the dialect of npm's
// cron-parser, which BullMQ uses, and for a fixed interval. It knows nothing of Redis or of jobs.
//
// # The dialect
//
// A pattern has up to six fields, parted by white space: second, minute, hour, day of month, month, day of week. Fields
// that are missing are those at the beginning; they are then taken from `0 * * * * *`, so that five fields run at second
// 0. A field is a list of values, ranges (`1-5`) and steps (`*/15`, `1-30/7`, `5/15` for from 5 on); `*` and `?` are
// every value. Months and days of the week have English names of three letters in any case, and Sunday is 0 and 7. The
// day of month takes `L`, the last; the day of week takes `5L`, the last Friday of the month, and, if it stands alone,
// `1#2`, the second Monday. When both the day of month and the day of week say more than `*` or `?`, either suffices.
// For a whole pattern there are names: `@yearly` and `@annually`, `@monthly`, `@weekly`, `@daily`, `@hourly`,
// `@minutely`, `@secondly`, `@weekdays` and `@weekends`.
//
// # When clocks change
//
// An hour that is skipped within a day counts as part of the first hour after it: where clocks go from 2:00 to 3:00,
// what should run at 2:30 runs at 3:30. Times that do not exist because a day begins or ends too late or too early, do
// not run on that day. An hour that comes twice runs once, at its first coming; only a schedule of all 24 hours runs
// in both, and a search that begins within the second finds what is in it. Each search stands alone, as each of
// BullMQ's does: it knows the instant that it begins at, and not what has run before.
//
// # Versions
//
// BullMQ 5 uses cron-parser 4, BullMQ 6 uses 5. The dialect here is that of 5, which is the wider one, and instants are
// those of 5 wherever the two differ: whether `*/1` and `1-31` mean `*` (not in 5) when both days are given, what runs
// when clocks change by other than an hour, and which of two midnights counts. The exceptions:
//
//   - A value may be given twice (`5,5`), which 4 allows.
//   - What both versions read in odd ways is refused: an empty pattern, a name or an L next to other digits (`jan1`,
//     `L` with a number in the day of month), a range of three (`5-6-7`), `5*`, `*-5`, L after a range, `5L#2`.
//   - `H`, in 5 a new random value each time, is refused: no two workers would agree on the next run.
//   - A day that no month of the pattern has (31 April and June) is refused at once; 5 finds out when it searches.
//   - Where a half-hour change makes 5 search without end (Australia/Lord_Howe in April), the search here goes on, and
//     where 5 remembers a skipped hour until a later day (America/Nuuk in March), it is forgotten here.
package cron

import (
	"math/bits"
	"time"
)

// Schedule is a pattern in a time zone, made by [Parse]. It is immutable and small enough to be copied.
type Schedule struct {
	zone *time.Location

	seconds, minutes, hours, days, months, weekdays set

	lastDay      bool // the last day of the month too
	lastWeekdays set  // these days of the week too, the last time in the month
	nth          int  // the days of the week only this time in the month, 1-5; 0 is every time

	anyDay, anyWeekday bool // the field leaves the choice of day to the other
}

// A set holds values from 0 to 63.
type set uint64

func (s set) has(n int) bool { return s>>n&1 != 0 }

// from returns the least value of s that is at least n.
func (s set) from(n int) (int, bool) {
	n += bits.TrailingZeros64(uint64(s >> n))
	return n, n < 64
}

// span is the set of the values from low to high.
func span(low, high int) set { return 1<<(high+1) - 1<<low }

var allHours = span(0, 23)

// matchesDay tells whether the schedule runs on t's day, if that is in one of its months.
func (s *Schedule) matchesDay(t time.Time) bool {
	day, weekday := t.Day(), int(t.Weekday())
	last := daysIn(t.Year(), t.Month())

	byDay := s.days.has(day) || s.lastDay && day == last
	byWeekday := s.weekdays.has(weekday) && (s.nth == 0 || s.nth == (day+6)/7) ||
		s.lastWeekdays.has(weekday) && day+7 > last
	switch {
	case s.anyDay:
		return s.anyWeekday || byWeekday
	case s.anyWeekday:
		return byDay
	default:
		return byDay || byWeekday
	}
}

func daysIn(year int, month time.Month) int {
	return time.Date(year, month+1, 0, 0, 0, 0, 0, time.UTC).Day()
}
