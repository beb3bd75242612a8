package cron

import "time"

// maxSteps bounds a search. The rarest days that a pattern can name, those of 29 February on one day of the week, are up
// to 40 years apart, and it takes about 40 steps to see that a year has none.
const maxSteps = 4096

// Next returns the first instant after the given one at which the schedule runs: a full second, in the schedule's zone.
// It is false if none was found in 4096 steps, which take a search over 40 years and more. A schedule from [Parse] runs
// more often.
func (s Schedule) Next(after time.Time) (time.Time, bool) {
	zone := s.zone
	if zone == nil {
		zone = time.UTC
	}
	c := clock{t: after.In(zone).Truncate(time.Second)}
	if !c.t.Equal(after) {
		c.step(time.Second)
	}
	for range maxSteps {
		if !s.seek(&c) {
			continue
		}
		if c.t.After(after) {
			return c.t, true
		}
		c.step(time.Second)
	}
	return time.Time{}, false
}

// seek takes one step towards the next run, or tells that the clock shows it.
func (s *Schedule) seek(c *clock) bool {
	hour, minute, second := c.t.Clock()
	nextMinute, thisHour := s.minutes.from(minute)
	nextSecond, thisMinute := s.seconds.from(second)
	switch {
	case !s.months.has(int(c.t.Month())):
		c.nextMonth()
	case !s.matchesDay(c.t):
		c.nextDay()
	case !s.hours.has(hour) && c.skipped&s.hours == 0:
		s.seekHour(c, hour)
	case c.again && s.hours != allHours, !thisHour:
		c.step(time.Hour)
	case nextMinute > minute:
		c.set(hour, nextMinute, 0)
	case !thisMinute:
		c.step(time.Minute)
	case nextSecond > second:
		c.set(hour, minute, nextSecond)
	default:
		return true
	}
	return false
}

// seekHour goes on towards the next hour of the schedule: to that hour if no clock changes on the day, otherwise by one
// of the steps in which a change is seen.
func (s *Schedule) seekHour(c *clock, hour int) {
	next, ok := s.hours.from(hour)
	switch {
	case !ok:
		c.nextDay()
	case c.changesToday():
		c.step(time.Hour)
	default:
		c.skipped, c.again = 0, false
		c.set(next, 0, 0)
	}
}
