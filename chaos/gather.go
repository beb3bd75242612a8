package main

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"
)

// evidence is a history in the order in which the checks ask for it.
type evidence struct {
	entries []entry // by their beginning
	assets  map[string]*traces
	ears    map[string][]string // sockets by user
	uploads map[string][]entry  // by user and key
	photos  map[int][]string    // assets found at the end, by photo
	moods   []entry
	deeds   []entry // disturbances
	asks    []entry // of the AI service
	probes  []entry // of its health
}

// traces are what the history has of one asset.
type traces struct {
	id       string
	owner    string // "" while nobody knows
	taken    *entry // the first 202
	calls    []entry
	asks     []entry // of the AI service
	told     []telling
	listings []entry
	row      *row // at the end; nil: there is none
}

// telling is an asset_processed that came to a socket.
type telling struct {
	entry
	says processed
}

func gather(history []entry) *evidence {
	ev := &evidence{
		entries: slices.Clone(history), assets: map[string]*traces{}, ears: map[string][]string{},
		uploads: map[string][]entry{}, photos: map[int][]string{},
	}
	slices.SortStableFunc(ev.entries, func(a, b entry) int { return a.At.Compare(b.At) })
	for _, e := range ev.entries {
		ev.add(e)
	}
	return ev
}

func (ev *evidence) add(e entry) {
	switch e.Kind {
	case called:
		ev.addCall(e)
	case heard, listed:
		ev.addEar(e)
		if e.Asset == "" {
			return
		}
		t := ev.of(e.Asset)
		if e.Kind == listed {
			t.listings = append(t.listings, e)
			return
		}
		var p processed
		_ = json.Unmarshal([]byte(e.Event), &p) // what is no JSON equals no other telling, and is found so
		t.told = append(t.told, telling{e, p})
	case told:
		ev.addEar(e)
	case asked:
		ev.of(e.Asset).asks = append(ev.of(e.Asset).asks, e)
		ev.asks = append(ev.asks, e)
	case probed:
		ev.probes = append(ev.probes, e)
	case mood:
		ev.moods = append(ev.moods, e)
	case disturbed:
		ev.deeds = append(ev.deeds, e)
	case found:
		t := ev.of(e.Asset)
		t.row, t.owner = e.Row, e.User
		if photo := drawn(e.Row.Images.Original.Width, e.Row.Images.Original.Height); photo > 0 {
			ev.photos[photo] = append(ev.photos[photo], e.Asset)
		}
	}
}

func (ev *evidence) addCall(e entry) {
	if e.What == "upload" {
		if e.Key != "" {
			ev.uploads[e.User+" "+e.Key] = append(ev.uploads[e.User+" "+e.Key], e)
		}
		if e.Status == 202 && e.Asset != "" {
			if t := ev.of(e.Asset); t.taken == nil {
				t.taken, t.owner = &e, e.User
			}
		}
	}
	if e.Asset != "" {
		ev.of(e.Asset).calls = append(ev.of(e.Asset).calls, e)
	}
}

func (ev *evidence) addEar(e entry) {
	if !slices.Contains(ev.ears[e.User], e.Socket) {
		ev.ears[e.User] = append(ev.ears[e.User], e.Socket)
	}
}

func (ev *evidence) of(asset string) *traces {
	t := ev.assets[asset]
	if t == nil {
		t = &traces{id: asset}
		ev.assets[asset] = t
	}
	return t
}

// within returns the deeds that overlap a span of time and are one of those.
func (ev *evidence) within(from, to time.Time, what ...string) (deeds []entry) {
	for _, d := range ev.deeds {
		if slices.Contains(what, d.What) && !d.At.After(to) && !later(d.At, d.End).Before(from) {
			deeds = append(deeds, d)
		}
	}
	return deeds
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// What is known of a deletion.
const (
	kept    = iota // nobody asked for it
	perhaps        // somebody did, and was not answered that it is done
	gone
)

func (t *traces) deletion() (state int) {
	for _, e := range t.calls {
		switch {
		case e.What != "delete":
		case e.Status == 404 && state == kept: // it was not there to be deleted
		case e.Status == 204:
			return gone
		default:
			state = perhaps
		}
	}
	return state
}

// lap is one run of an asset, as its timeline has it.
type lap struct {
	job     string
	from    time.Time // the end of the run before it, or the upload
	end     *step     // nil: it goes on
	attempt int       // the highest that is mentioned
}

// runs splits the timeline at the ends of runs.
func (t *traces) runs() (all []lap) {
	var now lap
	for _, s := range t.row.Timeline {
		if now.from.IsZero() {
			now.from = s.At
		}
		now.attempt = max(now.attempt, s.Attempt)
		if s.Event == "finished" {
			now.end = &s
			all = append(all, now)
			now = lap{from: s.At}
		}
	}
	if now.attempt > 0 {
		all = append(all, now)
	}
	for i := range all {
		all[i].job = fmt.Sprint(t.id, "-", i+1)
	}
	return all
}

// until is when the run ended, or the moment of the last entry of the asset.
func (r lap) until(t *traces) time.Time {
	if r.end != nil {
		return r.end.At
	}
	last := r.from
	for _, e := range t.asks {
		last = later(last, e.End)
	}
	return last
}

// asksOf are the questions to the AI service about one run.
func (t *traces) asksOf(job string) (asks []entry) {
	for _, e := range t.asks {
		if e.Job == job {
			asks = append(asks, e)
		}
	}
	return asks
}
