package cron

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// maxPattern is how long a pattern may be, in bytes: enough to list every value of every field, by name and twice.
const maxPattern = 2048

// everyMinute is where the fields are from that a pattern leaves out.
const everyMinute = "0 * * * * *"

// predefined are the patterns that have a name.
var predefined = map[string]string{
	"@yearly":   "0 0 0 1 1 *",
	"@annually": "0 0 0 1 1 *",
	"@monthly":  "0 0 0 1 * *",
	"@weekly":   "0 0 0 * * 0",
	"@daily":    "0 0 0 * * *",
	"@hourly":   "0 0 * * * *",
	"@minutely": "0 * * * * *",
	"@secondly": "* * * * * *",
	"@weekdays": "0 0 0 * * 1-5",
	"@weekends": "0 0 0 * * 0,6",
}

// A field says what one of the six fields may hold.
type field struct {
	name      string
	low, high int
	names     []string // of the values from low on
}

var (
	secondField  = field{name: "second", high: 59}
	minuteField  = field{name: "minute", high: 59}
	hourField    = field{name: "hour", high: 23}
	dayField     = field{name: "day of month", low: 1, high: 31}
	monthField   = field{name: "month", low: 1, high: 12, names: []string{"jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"}}
	weekdayField = field{name: "day of week", high: 7, names: []string{"sun", "mon", "tue", "wed", "thu", "fri", "sat"}}
)

// Parse reads a pattern, to be followed by the clocks of zone; nil is UTC. The error names the field that is wrong, what
// is wrong with it and what is allowed.
func Parse(pattern string, zone *time.Location) (Schedule, error) {
	s, err := parse(pattern)
	if err != nil {
		return Schedule{}, fmt.Errorf("cron pattern %.100q: %w", pattern, err)
	}
	s.zone = zone
	return s, nil
}

func parse(pattern string) (s Schedule, err error) {
	if len(pattern) > maxPattern {
		return s, fmt.Errorf("has %d bytes, at most %d are allowed", len(pattern), maxPattern)
	}
	if full, ok := predefined[pattern]; ok {
		pattern = full
	}
	if strings.HasPrefix(pattern, "@") {
		return s, errors.New("is not one of the predefined: @yearly, @annually, @monthly, @weekly, @daily, @hourly, " +
			"@minutely, @secondly, @weekdays, @weekends")
	}
	f := strings.Fields(pattern)
	if len(f) == 0 || len(f) > 6 {
		return s, fmt.Errorf("has %d fields, 1 to 6 are allowed", len(f))
	}
	f = append(strings.Fields(everyMinute)[:6-len(f)], f...)

	if s.seconds, err = secondField.set(f[0]); err != nil {
		return s, err
	}
	if s.minutes, err = minuteField.set(f[1]); err != nil {
		return s, err
	}
	if s.hours, err = hourField.set(f[2]); err != nil {
		return s, err
	}
	if err := s.parseDays(f[3]); err != nil {
		return s, err
	}
	if s.months, err = monthField.set(f[4]); err != nil {
		return s, err
	}
	if err := s.parseWeekdays(f[5]); err != nil {
		return s, err
	}
	return s, s.checkDays(f[3], f[4])
}

// parseDays reads the day of month.
func (s *Schedule) parseDays(text string) error {
	s.anyDay = isAny(text)
	for item := range strings.SplitSeq(text, ",") {
		if item == "L" {
			s.lastDay = true
			continue
		}
		days, err := dayField.item(item)
		if err != nil {
			return err
		}
		s.days |= days
	}
	return nil
}

// parseWeekdays reads the day of week.
func (s *Schedule) parseWeekdays(text string) error {
	s.anyWeekday = isAny(text)
	day, nth, found := strings.Cut(text, "#")
	if found {
		n, ok := number(nth)
		if !ok || n < 1 || n > 5 || strings.ContainsAny(day, ",-/L") {
			return weekdayField.wrong(text, "# needs one day before it and 1-5 behind")
		}
		s.nth = n
	}
	for item := range strings.SplitSeq(day, ",") {
		weekday, last := strings.CutSuffix(item, "L")
		if last {
			n, err := weekdayField.value(weekday)
			if err != nil || len(weekday) == 2 { // cron-parser reads 02L as 0L
				return weekdayField.wrong(item, "L needs a digit 0-7 or a name before it")
			}
			s.lastWeekdays |= 1 << n
			continue
		}
		weekdays, err := weekdayField.item(item)
		if err != nil {
			return err
		}
		s.weekdays |= weekdays
	}
	s.weekdays = sundayAs0(s.weekdays)
	s.lastWeekdays = sundayAs0(s.lastWeekdays)
	return nil
}

// sundayAs0 replaces the 7 in a set of days of the week.
func sundayAs0(weekdays set) set { return weekdays&^(1<<7) | weekdays>>7 }

// checkDays refuses a pattern that can never run: none of its months has one of its days.
func (s *Schedule) checkDays(days, months string) error {
	if s.lastDay || !s.anyWeekday {
		return nil
	}
	const leapYear = 2000
	for m := time.January; m <= time.December; m++ {
		if first, _ := s.days.from(1); s.months.has(int(m)) && first <= daysIn(leapYear, m) {
			return nil
		}
	}
	return dayField.wrong(days, fmt.Sprintf("month %q has no such day", months))
}

// set reads a list.
func (f field) set(text string) (set, error) {
	var all set
	for item := range strings.SplitSeq(text, ",") {
		s, err := f.item(item)
		if err != nil {
			return 0, err
		}
		all |= s
	}
	return all, nil
}

// item reads what may stand in a list: a value, a range, every value, each of them with a step or without.
func (f field) item(text string) (set, error) {
	values, step, stepped := strings.Cut(text, "/")
	by := 1
	if stepped {
		var ok bool
		if by, ok = number(step); !ok || by == 0 {
			return 0, f.wrong(text, "the step must be a number above 0")
		}
	}

	low, high := f.low, f.high
	if !isAny(values) {
		from, to, ranged := strings.Cut(values, "-")
		var err error
		if low, err = f.value(from); err != nil {
			return 0, err
		}
		switch {
		case ranged:
			if high, err = f.value(to); err != nil {
				return 0, err
			}
		case !stepped:
			high = low
		}
		if low > high {
			return 0, f.wrong(text, "the range ends before it begins")
		}
	}

	var s set
	for n := low; n <= high; n += by {
		s |= 1 << n
	}
	return s, nil
}

// value reads a number or a name.
func (f field) value(text string) (int, error) {
	for i, name := range f.names {
		if strings.EqualFold(text, name) {
			return f.low + i, nil
		}
	}
	if n, ok := number(text); ok && f.low <= n && n <= f.high {
		return n, nil
	}
	if strings.HasPrefix(text, "H") {
		return 0, f.wrong(text, "H is a random value, on which no two workers agree; write the value that is meant")
	}
	return 0, f.wrong(text, "")
}

// wrong is the error of a field: why, or that it is not what is allowed.
func (f field) wrong(text, why string) error {
	if why != "" {
		return fmt.Errorf("%s %.100q: %s", f.name, text, why)
	}
	allowed := fmt.Sprintf("%d-%d", f.low, f.high)
	if len(f.names) > 0 {
		allowed += fmt.Sprintf(" or %s-%s", f.names[0], f.names[len(f.names)-1])
	}
	return fmt.Errorf("%s %.100q is not in %s", f.name, text, allowed)
}

func isAny(text string) bool { return text == "*" || text == "?" }

// number reads decimal digits, and only those. One above 99 counts as 99, which is above every value and every range.
func number(text string) (int, bool) {
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil && !errors.Is(err, strconv.ErrRange) {
		return 0, false
	}
	return int(min(n, 99)), true
}
