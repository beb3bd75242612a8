package cron

import (
	"strings"
	"testing"
)

// What Parse refuses, and how it says so.
func TestParseRefuses(t *testing.T) {
	t.Parallel()
	const random = "H is a random value"
	for _, tc := range []struct{ pattern, want string }{
		{"", "has 0 fields, 1 to 6 are allowed"},
		{" \t", "has 0 fields, 1 to 6 are allowed"},
		{"* * * * * * *", "has 7 fields, 1 to 6 are allowed"},
		{strings.Repeat("1,", 1024) + "1 * * * *", "has 2057 bytes, at most 2048 are allowed"},
		{"@never", "is not one of the predefined: @yearly, "},

		{"60 * * * * *", `second "60" is not in 0-59`},
		{"60 * * * *", `minute "60" is not in 0-59`},
		{"* 24 * * *", `hour "24" is not in 0-23`},
		{"* * 0 * *", `day of month "0" is not in 1-31`},
		{"* * * 13 *", `month "13" is not in 1-12 or jan-dec`},
		{"* * * * 8", `day of week "8" is not in 0-7 or sun-sat`},
		{"* * * monday *", `month "monday" is not in 1-12 or jan-dec`},
		{"5,x * * * *", `minute "x" is not in 0-59`},
		{"5,,6 * * * *", `minute "" is not in 0-59`},
		{"50-10 * * * *", `minute "50-10": the range ends before it begins`},
		{"* * * * fri-mon", `day of week "fri-mon": the range ends before it begins`},
		{"*/0 * * * *", `minute "*/0": the step must be a number above 0`},
		{"*/1.5 * * * *", `minute "*/1.5": the step must be a number above 0`},
		{"* * * * L", `day of week "L": L needs a digit 0-7 or a name before it`},
		{"* * * * 1#6", `day of week "1#6": # needs one day before it and 1-5 behind`},
		{"* * * * 1-3#2", `day of week "1-3#2": # needs one day before it and 1-5 behind`},
		{"0 0 30 2 *", `day of month "30": month "2" has no such day`},
		{"0 0 31 4,6 ?", `day of month "31": month "4,6" has no such day`},

		// What cron-parser accepts, but differently each time or in ways that nobody expects.
		{"H * * * *", random},
		{"H/15 * * * *", random},
		{"0 H(0-5) * * *", random},
		{"0 0 * * H#3", random},
		{"0 0 1L * *", `day of month "1L" is not in 1-31`},
		{"0 0 * jan1 *", `month "jan1" is not in 1-12`},
		{"0 0 * 0jan *", `month "0jan" is not in 1-12`},
		{"5-6-7 * * * *", `minute "6-7" is not in 0-59`},
		{"5* * * * *", `minute "5*" is not in 0-59`},
		{"*-5 * * * *", `minute "*" is not in 0-59`},
		{"0 0 * * 8L", `L needs a digit 0-7 or a name before it`},
		{"0 0 * * 05L", `L needs a digit 0-7 or a name before it`},
		{"0 0 * * 1-3L", `L needs a digit 0-7 or a name before it`},
		{"0 0 * * *L", `L needs a digit 0-7 or a name before it`},
		{"0 0 * * 5L#2", `# needs one day before it and 1-5 behind`},
		{"0 0 * * 1#+2", `# needs one day before it and 1-5 behind`},
	} {
		t.Run(tc.pattern, func(t *testing.T) {
			t.Parallel()
			s, err := Parse(tc.pattern, nil)
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want %s", err, tc.want)
			}
			if s != (Schedule{}) {
				t.Errorf("got %+v as well", s)
			}
		})
	}
}

// An error quotes what it is about, but not without end.
func TestErrorsAreShort(t *testing.T) {
	t.Parallel()
	_, err := Parse(strings.Repeat("x", maxPattern), nil)
	if err == nil || len(err.Error()) > 400 {
		t.Errorf("got %v", err)
	}
}
