package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// The bounds that the checks know, besides the settings of topology.go.
const (
	maxMemory   = 512 << 20        // bytes of one loupe
	maxStop     = 35 * time.Second // from SIGTERM to the end: jobs have 20 s, connections 5 s, the machine may be busy
	maxStalls   = 3                // deaths of a job's workers that it survives
	maxFindings = 1000             // kept; the rest is counted
)

// promises are the invariants, by number.
var promises = [...]string{
	1: "accepted means finished: each photo answered 202 ends, each deleted one stays away",
	2: "one writer: an end stands, and its result is that of its own run",
	3: "told: each end came to each socket of its owner, always in the same bytes",
	4: "only the owner: no event to others, 404 to strangers",
	5: "one job per run: one asset per photo and key, one end per run",
	6: "an outage burns nothing: every attempt spent and every failure has its cause, and an absent service is left alone",
	7: "bounds: memory, and a refusal is 503 with Retry-After",
	8: "the row is the truth: it equals the last event and holds its owner's edits",
	9: "shutting down: code 0 and in time; nothing ends by itself, panics or races",
}

// finding is a violation.
type finding struct {
	invariant int
	asset     string // "" if it is about none
	what      string
}

// report is what a history comes to.
type report struct {
	checked, violated [len(promises)]int
	findings          []finding
}

// expect counts a check, and a violation unless it is ok.
func (r *report) expect(ok bool, invariant int, asset, format string, args ...any) {
	r.checked[invariant]++
	if ok {
		return
	}
	r.violated[invariant]++
	if len(r.findings) < maxFindings {
		r.findings = append(r.findings, finding{invariant, asset, fmt.Sprintf(format, args...)})
	}
}

// check judges a history: nothing else counts. capacity is how many jobs the workers do at a time.
func check(ev *evidence, capacity int) *report {
	r := &report{}
	for _, id := range slices.Sorted(maps.Keys(ev.assets)) {
		t := ev.assets[id]
		r.finished(t)
		r.alone(ev, t)
		r.same(t)
		if t.row == nil {
			continue
		}
		r.standing(t)
		r.everywhere(ev, t)
		r.oncePerRun(t)
		r.unburnt(ev, t)
		r.truth(t)
	}
	r.onePerKey(ev)
	r.outages(ev, capacity)
	r.bounds(ev)
	r.ends(ev)
	return r
}

// finished is invariant 1.
func (r *report) finished(t *traces) {
	if t.taken == nil {
		return
	}
	switch deletion := t.deletion(); {
	case deletion == gone:
		r.expect(t.row == nil, 1, t.id, "was deleted and is there again")
	case t.row == nil:
		r.expect(deletion == perhaps, 1, t.id, "was accepted and is not there")
	default:
		r.expect(t.row.terminal(), 1, t.id, "was accepted and is still %s", t.row.Status)
	}
}

// standing is invariant 2: what was seen of an ended run is never seen otherwise again, but for archiving and the next
// run; and a result is that of the job it was asked for, which the AI service has put in as the model.
func (r *report) standing(t *traces) {
	type view struct {
		from, to time.Time
		row      *row
	}
	var views []view
	for _, e := range t.calls {
		if e.What == "read" && e.Status == 200 && e.Row.ID == t.id {
			views = append(views, view{e.At, e.End, e.Row})
		}
	}
	for _, e := range t.listings {
		views = append(views, view{e.At.Add(-requestTimeout), e.At, e.Row})
	}
	views = append(views, view{row: t.row})
	last := &views[len(views)-1]
	for _, v := range views {
		last.from = later(last.from, v.to)
	}
	for i, before := range views {
		if !before.row.terminal() {
			continue
		}
		for _, after := range views[i+1:] {
			if after.from.Before(before.to) {
				continue
			}
			same := after.row.Run == before.row.Run && after.row.terminal() && after.row.endedAt().Equal(before.row.endedAt())
			r.expect(same || after.row.Run > before.row.Run, 2, t.id, "was %s in run %d, and later %s in run %d",
				before.row.Status, before.row.Run, after.row.Status, after.row.Run)
		}
	}
	if a := t.row.Analysis; t.row.terminal() && a != nil && a.Model != nil {
		r.expect(a.Model.Value == t.row.JobID, 2, t.id, "job %s has the result of %s", t.row.JobID, a.Model.Value)
	}
	ends := t.ends()
	for _, e := range t.told {
		r.expect(slices.ContainsFunc(ends, e.says.Timestamp.Equal), 2, t.id, "an end at %s was told that is not in the timeline", clock(e.says.Timestamp))
	}
}

// ends are the times of the ends of runs.
func (t *traces) ends() (times []time.Time) {
	for _, s := range t.row.Timeline {
		if s.Event == "finished" {
			times = append(times, s.At)
		}
	}
	return times
}

// everywhere is the first half of invariant 3. An app that was told to list its assets, and did so after the end, knows
// of it as well.
func (r *report) everywhere(ev *evidence, t *traces) {
	for _, at := range t.ends() {
		if missing := ev.missing(t, at); len(missing) > 0 {
			r.expect(false, 3, t.id, "the end at %s was not told to %s", clock(at), strings.Join(missing, ", "))
			r.checked[3] += len(ev.ears[t.owner]) - 1
			r.violated[3] += len(missing) - 1
		} else {
			r.checked[3] += len(ev.ears[t.owner])
		}
	}
}

// missing are the owner's sockets that do not know of the end of a run.
func (ev *evidence) missing(t *traces, at time.Time) (sockets []string) {
	for _, socket := range ev.ears[t.owner] {
		knows := slices.ContainsFunc(t.told, func(e telling) bool { return e.Socket == socket && e.says.Timestamp.Equal(at) }) ||
			slices.ContainsFunc(t.listings, func(e entry) bool { return e.Socket == socket && !e.Row.UpdatedAt.Before(at) })
		if !knows {
			sockets = append(sockets, socket)
		}
	}
	return sockets
}

// same is the second half of invariant 3.
func (r *report) same(t *traces) {
	first := map[time.Time]string{}
	for _, e := range t.told {
		at := e.says.Timestamp.UTC()
		if before, known := first[at]; known {
			r.expect(before == e.Event, 3, t.id, "told in two ways:\n    %s\n    %s", before, e.Event)
		} else {
			first[at] = e.Event
		}
	}
}

// alone is invariant 4. An asset whose owner nobody knows, because its upload was not answered and it was deleted, has
// told nobody either.
func (r *report) alone(ev *evidence, t *traces) {
	for _, e := range t.told {
		r.expect(t.owner == e.User, 4, t.id, "of %s was told to %s", t.owner, e.User)
	}
	for _, e := range t.calls {
		if e.What == "stranger" && !again(e) {
			r.expect(e.Status == 404, 4, t.id, "of %s was shown to %s: status %d", t.owner, e.User, e.Status)
		}
	}
}

// oncePerRun is the half of invariant 5 about runs.
func (r *report) oncePerRun(t *traces) {
	if t.row.terminal() {
		r.expect(len(t.ends()) == t.row.Run, 5, t.id, "has ended %d times in %d runs", len(t.ends()), t.row.Run)
	}
}

// onePerKey is the other half: of equal uploads, however many and however often, comes one asset; and nothing comes of
// nothing.
func (r *report) onePerKey(ev *evidence) {
	for _, key := range slices.Sorted(maps.Keys(ev.uploads)) {
		assets := map[string]bool{}
		for _, e := range ev.uploads[key] {
			if e.Status == 202 {
				assets[e.Asset] = true
				r.expect(strings.HasPrefix(e.Job, e.Asset+"-"), 5, e.Asset, "has the job %s", e.Job)
			}
			r.expect(e.Status == 202 || again(e), 5, e.Asset, "an upload with the key %s was refused: %d %s", key, e.Status, e.Error)
		}
		r.expect(len(assets) <= 1, 5, "", "%d assets of the key %s: %v", len(assets), key, slices.Sorted(maps.Keys(assets)))
	}
	for _, photo := range slices.Sorted(maps.Keys(ev.photos)) {
		assets := ev.photos[photo]
		r.expect(len(assets) == 1, 5, assets[len(assets)-1], "photo %d has %d assets: %v", photo, len(assets), assets)
	}
}

// truth is invariant 8.
func (r *report) truth(t *traces) {
	if !t.row.terminal() {
		return
	}
	var last *telling
	for i, e := range t.told {
		if last == nil || e.says.Timestamp.After(last.says.Timestamp) {
			last = &t.told[i]
		}
	}
	if last != nil {
		r.expect(equal(t.row, last.says), 8, t.id, "the row is not what was told last: %s", last.Event)
	}
	var edited *entry
	for i, e := range t.calls {
		if e.What == "edit" {
			edited = &t.calls[i]
		}
	}
	if edited != nil && edited.Status == 200 {
		r.expect(t.row.Details["brand"] == edited.Key, 8, t.id, "the owner wrote %q, and it is %q", edited.Key, t.row.Details["brand"])
	}
}

// equal reports whether a row shows what an event told.
func equal(row *row, p processed) bool {
	a := row.Analysis
	if a == nil || !row.endedAt().Equal(p.Timestamp) || row.Status != p.Status && row.Status != "archived" {
		return false
	}
	if p.Status == "failed" {
		return a.Error == p.Error
	}
	if p.Analysis == nil {
		return false
	}
	value := func(f *field) field {
		if f == nil {
			return field{}
		}
		return *f
	}
	return value(a.Brand) == value(p.Analysis.Brand) && value(a.Model) == value(p.Analysis.Model) &&
		value(a.Colorway) == value(p.Analysis.Colorway)
}

// bounds is invariant 7.
func (r *report) bounds(ev *evidence) {
	most := map[string]int64{}
	for _, e := range ev.entries {
		switch e.Kind {
		case measured:
			most[e.Process] = max(most[e.Process], e.Number)
		case called:
			if e.Status >= 500 {
				r.expect(e.Status == 503 && e.Wait != "", 7, e.Asset, "%s was answered %d, Retry-After %q: %s", e.What, e.Status, e.Wait, e.Error)
			} else if e.Status >= 400 {
				r.expect(e.Status == 404 || e.Status == 409 && e.What == "retry", 7, e.Asset, "%s was answered %d: %s", e.What, e.Status, e.Error)
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(most)) {
		r.expect(most[name] <= maxMemory, 7, "", "%s took %d MiB", name, most[name]>>20)
	}
}

// ends is invariant 9.
func (r *report) ends(ev *evidence) {
	for _, e := range ev.entries {
		switch {
		case e.Kind == complaint:
			r.expect(false, 9, "", "%s printed: %s", e.Process, e.Error)
		case e.Kind != ended:
		case e.What == byTerm:
			took := e.End.Sub(e.At)
			r.expect(e.Number == 0 && took <= maxStop, 9, "", "%s ended %.1f s after SIGTERM with code %d", e.Process, took.Seconds(), e.Number)
		case e.What == byItself:
			r.expect(false, 9, "", "%s ended by itself at %s with code %d: %s", e.Process, clock(e.At), e.Number, e.Error)
		}
	}
}

func clock(t time.Time) string { return t.UTC().Format("15:04:05.000") }
