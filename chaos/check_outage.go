package main

import (
	"slices"
	"time"
)

// unburnt is the half of invariant 6 about attempts. Each that was spent must have a cause that the AI service knows of,
// or that we are guilty of; and each run that failed must have been refused, or have had all its attempts, or have had
// workers that died, again and again.
//
// The timeline says how many attempts a run had: the highest number that it mentions, of which the last is spent only if
// the run failed with it.
func (r *report) unburnt(ev *evidence, t *traces) {
	for _, run := range t.runs() {
		asks := t.asksOf(run.job)
		spent := max(0, run.attempt-1)
		failed := run.end != nil && run.end.Error != ""
		refused := slices.ContainsFunc(asks, func(e entry) bool { return e.What == refuses || e.What == garbles })
		if failed && !refused {
			spent = run.end.Attempt
		}
		from, to := run.from.Add(-time.Second), run.until(t).Add(time.Second)
		causes := len(ev.within(from, to, aiGone))
		for _, e := range asks {
			if ev.spends(e) {
				causes++
			}
		}
		deaths := len(ev.within(from, to, killed, stopped, restarted, flushed, emptied, parted, dropped, held))
		died := failed && !refused && deaths > maxStalls
		r.expect(spent <= causes || died, 6, t.id, "job %s has spent %d attempts, for which there are %d causes", run.job, spent, causes)
		if failed {
			r.expect(refused || run.end.Attempt >= attempts || died, 6, t.id, "job %s has failed in attempt %d without a reason", run.job, run.end.Attempt)
		}
	}
}

// spends reports whether a question to the AI service may have cost an attempt. One that came while a worker was stopped
// may have had its answer too late.
func (ev *evidence) spends(e entry) bool {
	switch e.What {
	case breaks, tears, hangs, vanishes:
		return true
	case denies:
		return poisonous(e.Asset) == denies // it is down for this photo alone
	}
	return len(ev.within(e.At, e.End, stopped)) > 0
}

// outages is the other half: while the service says to everybody that it is down, or asks for time, it is left alone.
// Allowed are the jobs that are under way, once for every process that starts meanwhile, and one question a second; where
// it names a time, once more each time that this is over. It may be asked as often how it is.
func (r *report) outages(ev *evidence, capacity int) {
	for _, m := range ev.moods {
		does := map[string]string{denying: denies, limiting: limits}[m.What]
		if does == "" {
			continue
		}
		asks, probes := 0, 0
		during := func(e entry) bool { return !e.At.Before(m.At) && e.At.Before(m.End) }
		for _, e := range ev.asks {
			if e.What == does && during(e) {
				asks++
			}
		}
		for _, e := range ev.probes {
			if during(e) {
				probes++
			}
		}
		length := m.End.Sub(m.At)
		rounds := 1 + len(ev.within(m.At, m.End, killed, restarted))
		if m.What == limiting {
			rounds += int(length / retryAfter)
		}
		allowed := capacity*rounds + int(length/time.Second) + 1
		r.expect(max(asks, probes) <= allowed, 6, "",
			"the AI service was asked %d times, and %d times how it is, in the %.1f s from %s in which it was %s; %d are allowed",
			asks, probes, length.Seconds(), clock(m.At), m.What, allowed)
	}
}
