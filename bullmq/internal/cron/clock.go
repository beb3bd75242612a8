package cron

import "time"

// A clock is what a search moves forward. It notes when the hands were moved meanwhile.
type clock struct {
	t time.Time

	skipped set  // the hours that the last step leapt over
	again   bool // the last step led back to the beginning of its hour, or to within it
}

// step goes to where the next second, minute or hour begins.
func (c *clock) step(unit time.Duration) {
	before := face(c.t)
	perUnit := uint64(unit / time.Second)
	c.t = c.t.Add(time.Duration(perUnit-before%perUnit) * time.Second)
	after := face(c.t)

	from, to := before/3600, after/3600
	c.again = from == to && after <= before
	c.skipped = 0
	if to-from >= 24 { // back, or a whole day is left out
		return
	}
	for hour := from + 1; hour < to; hour++ {
		c.skipped |= 1 << (hour % 24)
	}
}

// set puts the hands to a later time of the day.
func (c *clock) set(hour, minute, second int) { c.t = at(c.t, 0, hour, minute, second) }

// nextDay goes to the beginning of the next day.
func (c *clock) nextDay() { *c = clock{t: tomorrow(c.t)} }

// nextMonth goes to the beginning of the next month. Of two midnights it is the one with the offset of this time in a
// month, or on that month's last day.
func (c *clock) nextMonth() {
	year, month, day := c.t.Date()
	hour, minute, second := c.t.Clock()
	tooFar := max(0, day-daysIn(year, month+1))
	t := at(c.t, daysIn(year, month)-tooFar, hour, minute, second)
	*c = clock{t: at(t, 1-t.Day(), 0, 0, 0)}
}

// changesToday tells whether the day ends with another offset than it began with.
func (c *clock) changesToday() bool {
	_, first := at(c.t, 0, 0, 0, 0).Zone()
	_, last := tomorrow(c.t).Add(-time.Second).Zone()
	return first != last
}

// face is the time on a clock's face, in seconds since a midnight before year 1.
func face(t time.Time) uint64 {
	const year0 = 62_167_219_200 // seconds before 1970
	_, offset := t.Zone()
	return uint64(t.Unix() + int64(offset) + year0)
}

// tomorrow is when the next day begins. Of two midnights it is the one with the offset of this time tomorrow.
func tomorrow(t time.Time) time.Time {
	hour, minute, second := t.Clock()
	return at(at(t, 1, hour, minute, second), 0, 0, 0, 0)
}

// at is the instant at which a clock shows this time, some days after t. Of two such instants it is the one with t's
// offset, if it has one. A time that is skipped is put off by as much as was skipped.
func at(t time.Time, days, hour, minute, second int) time.Time {
	shown := time.Date(t.Year(), t.Month(), t.Day()+days, hour, minute, second, 0, time.UTC)
	try := func(offset int) (guess time.Time, right bool, actual int) {
		guess = shown.Add(-time.Duration(offset) * time.Second).In(t.Location())
		_, actual = guess.Zone()
		return guess, actual == offset, actual
	}
	_, now := t.Zone()
	guess, right, before := try(now)
	if right {
		return guess
	}
	guess, right, after := try(before)
	if right {
		return guess
	}
	guess, _, _ = try(min(before, after))
	return guess
}
