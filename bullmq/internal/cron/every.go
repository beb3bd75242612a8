package cron

// Every returns when a schedule with a fixed interval runs next: one interval after the run before, or, if that has gone
// by, at the first full interval after now, counted from 1970 and moved by the offset. Without a run before, prevMS is
// 0. It is what BullMQ 5.81 and 6.7 compute; 5.66 sometimes leaves out one more. An offset of less than minus one
// interval leads them to a time that has gone by, and us with them.
//
// All values are milliseconds, those of time since 1970; none may exceed 2^53. An interval below 1 counts as 1.
func Every(everyMS, offsetMS, prevMS, nowMS int64) int64 {
	everyMS = max(everyMS, 1)
	if next := prevMS + everyMS; prevMS > 0 && next >= nowMS {
		return next
	}
	next := nowMS - nowMS%everyMS + offsetMS
	if next <= nowMS {
		next += everyMS
	}
	return next
}
