package cron

import "testing"

// The results of BullMQ 5.81.5 and 6.7.0 in the same places.
func TestEvery(t *testing.T) {
	t.Parallel()
	const prev = 1_700_000_000_123
	for _, tc := range []struct {
		name                     string
		every, offset, prev, now int64
		want                     int64
	}{
		{"on time", 1000, 123, prev, prev, prev + 1000},
		{"late", 1000, 123, prev, prev + 400, prev + 1000},
		{"just not too late", 1000, 123, prev, prev + 1000, prev + 1000},
		{"too late", 1000, 123, prev, prev + 1001, prev + 2000},
		{"on a later turn", 1000, 123, prev, prev + 2000, prev + 3000},
		{"much too late", 1000, 123, prev, prev + 123_456, prev + 124_000},
		{"ahead of time", 1000, 123, prev, prev - 5000, prev + 1000},
		{"another offset, in time", 1000, 0, prev, prev + 900, prev + 1000},
		{"another offset, too late", 1000, 0, prev, prev + 1001, prev + 1877},
		{"no offset, on a turn", 1000, 0, prev, prev + 2877, prev + 3877},
		{"an offset above the interval", 1000, 1500, prev, prev + 1001, prev + 2377},
		{"a negative offset", 1000, -200, prev, prev + 1001, prev + 1677},
		{"a negative offset above the interval", 1000, -1500, prev, prev + 1001, prev + 377},
		{"the first", 1000, 250, 0, prev, prev + 127},
		{"the first, next turn", 1000, 50, 0, prev, prev + 927},
		{"the first, offset above the interval", 1000, 1250, 0, prev, prev + 1127},
		{"a minute", 60_000, 42_163, 1_795_435_422_163, 1_795_435_422_170, 1_795_435_482_163},
		{"no interval", 0, 0, prev, prev, prev + 1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			if got := Every(tc.every, tc.offset, tc.prev, tc.now); got != tc.want {
				t.Errorf("got %d (the run before %+d), want %d", got, got-prev, tc.want)
			}
		})
	}
}
