package main

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

const (
	maxStories    = 5   // told of violated assets
	maxStoryLines = 200 // of each
	maxListed     = 20  // findings that are printed
)

// print writes what came of a run.
func (r *report) print(w io.Writer, ev *evidence) {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "INVARIANT\tCHECKED\tVIOLATED\t")
	for n, promise := range promises {
		if n > 0 {
			fmt.Fprintf(table, "%d\t%d\t%d\t%s\n", n, r.checked[n], r.violated[n], promise)
		}
	}
	_ = table.Flush() // to w, as all here
	fmt.Fprintln(w)
	ev.summarize(w)
	r.explain(w, ev)
}

// failed reports whether an invariant was violated.
func (r *report) failed() bool {
	for n := 1; n < len(promises); n++ {
		if r.violated[n] > 0 {
			return true
		}
	}
	return false
}

// explain writes the violations, and the stories of the assets that they are about.
func (r *report) explain(w io.Writer, ev *evidence) {
	if !r.failed() {
		return
	}
	fmt.Fprintln(w, "\nVIOLATIONS")
	for i, f := range r.findings {
		if i == maxListed {
			fmt.Fprintf(w, "and %d more\n", len(r.findings)-maxListed)
			break
		}
		fmt.Fprintf(w, "invariant %d: %s %s\n", f.invariant, f.asset, f.what)
	}
	var assets []string
	for _, f := range r.findings {
		if f.asset != "" && !slices.Contains(assets, f.asset) {
			assets = append(assets, f.asset)
		}
	}
	for _, asset := range assets[:min(len(assets), maxStories)] {
		ev.story(w, asset)
	}
}

// story writes all that the history has of one asset, and what was disturbed meanwhile.
func (ev *evidence) story(w io.Writer, asset string) {
	fmt.Fprintf(w, "\nTHE STORY OF %s\n", asset)
	t := ev.assets[asset]
	lines := t.lines()
	if len(lines) == 0 {
		return
	}
	slices.SortStableFunc(lines, func(a, b storyLine) int { return a.at.Compare(b.at) })
	from, to := lines[0].at.Add(-time.Second), lines[len(lines)-1].at
	for _, d := range ev.deeds {
		if !d.At.After(to) && !later(d.At, d.End).Before(from) {
			lines = append(lines, storyLine{d.At, fmt.Sprintf("     %s %s until %s", d.What, d.Process, clock(later(d.At, d.End)))})
		}
	}
	for _, m := range ev.moods {
		if m.What != well && !m.At.After(to) && !m.End.Before(from) {
			lines = append(lines, storyLine{m.At, fmt.Sprintf("     the AI service is %s until %s", m.What, clock(m.End))})
		}
	}
	slices.SortStableFunc(lines, func(a, b storyLine) int { return a.at.Compare(b.at) })
	for i, l := range lines {
		if i == maxStoryLines {
			fmt.Fprintf(w, "and %d lines more\n", len(lines)-maxStoryLines)
			break
		}
		fmt.Fprintln(w, clock(l.at), l.text)
	}
}

type storyLine struct {
	at   time.Time
	text string
}

// lines are what an asset's traces say.
func (t *traces) lines() (lines []storyLine) {
	add := func(at time.Time, format string, args ...any) {
		lines = append(lines, storyLine{at, fmt.Sprintf(format, args...)})
	}
	for _, e := range t.calls {
		add(e.At, "%s by %s at %s %s: %d %s %s", e.What, e.User, e.Process, e.Key, e.Status, e.Job, e.Error)
	}
	for _, e := range t.asks {
		add(e.At, "the AI service %s, asked about %s, until %s %s", e.What, e.Job, clock(e.End), e.Error)
	}
	for _, e := range t.told {
		add(e.At, "told %s: %s", e.Socket, e.Event)
	}
	for _, e := range t.listings {
		add(e.At, "listed by %s: %s, run %d", e.Socket, e.Row.Status, e.Row.Run)
	}
	if t.row == nil {
		return lines
	}
	for _, s := range t.row.Timeline {
		attempt := ""
		if s.Attempt > 0 {
			attempt = fmt.Sprintf(", attempt %d", s.Attempt)
		}
		add(s.At, "timeline: %s%s %s", s.Event, attempt, s.Error)
	}
	shown := *t.row
	shown.Timeline = nil
	text, err := json.Marshal(shown)
	if err == nil {
		add(t.row.UpdatedAt, "the row at the end: %s", text)
	}
	return lines
}

// summarize writes the figures of a run.
func (ev *evidence) summarize(w io.Writer) {
	status, tally, memory := map[string]int{}, map[string]map[string]int{}, map[string]int64{}
	count := func(group, what string) {
		if tally[group] == nil {
			tally[group] = map[string]int{}
		}
		tally[group][what]++
	}
	for _, e := range ev.entries {
		switch e.Kind {
		case called:
			answer := fmt.Sprint(e.Status)
			if e.Status == 0 {
				answer = "none"
			}
			count("answers to "+e.What, answer)
		case disturbed:
			what := e.What
			if e.What == killed || e.What == stopped || e.What == restarted {
				what += " " + strings.TrimRight(e.Process, "0123456789")
			}
			count("disturbances", what)
		case asked:
			count("AI service", e.What)
		case told:
			count("sockets", strings.SplitN(e.What, ":", 2)[0])
		case mood:
			count("AI service was", e.What)
		case measured:
			memory[e.Process] = max(memory[e.Process], e.Number)
		}
	}
	events, repeated, missed := 0, 0, 0
	for _, t := range ev.assets {
		status[t.fate()]++
		known := map[string]bool{}
		for _, e := range t.told {
			events++
			if known[e.Socket+e.Event] {
				repeated++
			}
			known[e.Socket+e.Event] = true
		}
		if t.row == nil {
			continue
		}
		for _, at := range t.ends() {
			missed += len(ev.missing(t, at))
		}
	}
	fmt.Fprintf(w, "events: %d heard by %d sockets, %d of them repeated byte by byte, %d missed\n",
		events, len(slices.Concat(slices.Collect(maps.Values(ev.ears))...)), repeated, missed)
	fmt.Fprintln(w, "assets:", figures(status))
	for _, group := range slices.Sorted(maps.Keys(tally)) {
		fmt.Fprintf(w, "%s: %s\n", group, figures(tally[group]))
	}
	for _, name := range slices.Sorted(maps.Keys(memory)) {
		fmt.Fprintf(w, "memory of %s: %d MiB at most\n", name, memory[name]>>20)
	}
}

// fate is what has become of an asset.
func (t *traces) fate() string {
	switch {
	case t.row != nil && t.taken == nil:
		return t.row.Status + ", upload unanswered"
	case t.row != nil:
		return t.row.Status
	case t.deletion() != kept:
		return "deleted"
	case t.taken != nil:
		return "lost"
	}
	return "given up"
}

func figures(tally map[string]int) string {
	var words []string
	for _, what := range slices.Sorted(maps.Keys(tally)) {
		words = append(words, fmt.Sprintf("%d %s", tally[what], what))
	}
	return strings.Join(words, ", ")
}
