// Package cron computes when the schedules of BullMQ's job schedulers run: for a pattern in the dialect of npm's
// cron-parser, which BullMQ uses, and for a fixed interval. It knows nothing of Redis or of jobs.
//
// # The dialect
//
// A pattern has up to six fields, parted by white space: second, minute, hour, day of month, month, day of week. Fields
// that are missing are the first ones; they are taken from `0 * * * * *`, so that a pattern of five runs at second 0. A
// field is a list of values, ranges (`1-5`) and steps (`*/15`, `1-30/7`, `5/15` for from 5 on); `*` and `?` are every
// value. Months and days of the week have English names of three letters in any case, and Sunday is 0 and 7. The day of
// month takes `L`, the last; the day of week takes `5L`, the last Friday of the month, and, if it stands alone, `1#2`,
// the second Monday. When both the day of month and the day of week say other than `*` or `?`, either suffices. For
// whole patterns there are `@yearly` and `@annually`, `@monthly`, `@weekly`, `@daily`, `@hourly`, `@minutely`,
// `@secondly`, `@weekdays` and `@weekends`.
//
// # When clocks change
//
// An hour that is skipped within a day counts as part of the first hour behind it: where clocks go from 2:00 to 3:00,
// what should run at 2:30 runs at 3:30. If a day begins late or ends early, what is missing of it is missed. An hour
// that comes twice runs once, at its first coming; only a schedule of all 24 hours runs in both, and a search that
// begins within the second finds what is left of it. Where midnight comes twice, the day begins with the second one,
// except for a search that comes by from an earlier day's first hour. Each search stands alone, as each of BullMQ's
// does: it knows where it begins, and not what has run.
//
// # Versions
//
// BullMQ 5 has cron-parser 4, BullMQ 6 has 5. We follow 5 where they differ: in `?` outside the days and the later
// predefined patterns, which 4 lacks; in `*/1` and `1-31`, which are other than `*` when both days are given; in `#`
// next to a day of month, which 4 restricts to the same week; in steps of days of the week, where 4 adds Sunday to
// `2/4`; and where two hours are skipped or midnight comes twice. Exceptions:
//
//   - A value may be given twice (`5,5`), as in 4.
//   - `H`, in 5 a new random value each time, is refused, because no two workers would agree on the next run.
//   - What both read in ways that nobody expects is refused: an empty pattern, names next to digits (`jan1`), an L next
//     to two digits, behind a range or in the day of month with a number, `5-6-7`, `5*`, `*-5`.
//   - A day that no month of the pattern has (31 April and June) is refused at once. There 5 fails when it searches.
//   - Where clocks change by half an hour or between full hours (Australia/Lord_Howe, Pacific/Chatham), both lose runs,
//     and 5 also goes back in time and searches without end. Here each time that a clock shows runs at least once.
//   - Where clocks go back by two hours (Antarctica/Troll), both run some hours twice, as it happens, and so do we, but
//     not always the same.
//   - An hour that was skipped is forgotten on the next day. In 5 it may run then (America/Nuuk, in March).
package cron

import (
	"math/bits"
	"time"
)

// Schedule is a pattern in a time zone, made by [Parse]. It is immutable.
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
