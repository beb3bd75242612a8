package main

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"loupe/internal/testenv"
)

func TestMain(m *testing.M) { testenv.Main(m) }

const (
	shoe   = "aaaaaaaaaaaaaaaaaaaaaaaa" // an asset that is no poison
	boot   = "bbbbbbbbbbbbbbbbbbbbbbbb"
	worker = "api,worker"
)

// at is a moment of the made-up histories, in seconds.
func at(seconds float64) time.Time {
	return time.Date(2026, 1, 2, 3, 0, 0, 0, time.UTC).Add(time.Duration(seconds * float64(time.Second)))
}

// event is what sockets are told when the first run of an asset has ended well at second 3.
func event(asset string) string {
	return fmt.Sprintf(`{"event":"asset_processed","assetId":%q,"status":"active","aiMetadata":{"brand":{"value":"Nike","confidence":1},`+
		`"model":{"value":"%s-1","confidence":1}},"timestamp":%q}`, asset, asset, at(3).Format("2006-01-02T15:04:05.000Z"))
}

// finalRow is the asset of that event.
func finalRow(asset string, photo int) *row {
	r := &row{
		ID: asset, UserID: "ann", Category: "sneaker", Status: "active", JobID: asset + "-1", Run: 1, UpdatedAt: at(3),
		Analysis: &analysis{Brand: &field{"Nike", 1}, Model: &field{asset + "-1", 1}, ProcessedAt: at(3)},
		Details:  map[string]string{"brand": "mine"},
		Timeline: []step{
			{At: at(0), Event: "received"},
			{At: at(0.1), Event: "stored"},
			{At: at(0.2), Event: "queued"},
			{At: at(1), Event: "started", Attempt: 1},
			{At: at(3), Event: "finished", Attempt: 1},
		},
	}
	r.Images.Original.Width, r.Images.Original.Height = smallSide+photo, smallSide
	return r
}

// goodHistory is one in which every check has something to look at, and nothing to find.
func goodHistory() []entry {
	list := []entry{
		{At: at(0), Kind: started, Process: worker, Number: 7},
		{At: at(0), Kind: mood, What: denying, End: at(0.5)},
		{At: at(0), End: at(0.2), Kind: called, What: "upload", User: "ann", Photo: 1, Key: "k", Status: 503, Wait: "5"},
		{At: at(0.3), End: at(0.4), Kind: called, What: "upload", User: "ann", Photo: 1, Key: "k", Status: 202, Asset: shoe, Job: shoe + "-1"},
		{At: at(0.5), End: at(0.6), Kind: called, What: "upload", User: "ann", Photo: 2, Status: 202, Asset: boot, Job: boot + "-1"},
		{At: at(0.7), End: at(0.8), Kind: called, What: "edit", User: "ann", Asset: shoe, Key: "mine", Status: 200},
		{At: at(0.7), End: at(0.8), Kind: called, What: "stranger", User: "bob", Asset: shoe, Status: 404},
		{At: at(0.8), Kind: measured, Process: worker, Number: 40 << 20},
		{At: at(1), End: at(2), Kind: asked, What: answers, Asset: shoe, Job: shoe + "-1", Status: 200},
		{At: at(1), End: at(2), Kind: asked, What: answers, Asset: boot, Job: boot + "-1", Status: 200},
	}
	for n, asset := range []string{shoe, boot} {
		for _, socket := range []string{"ann 1", "ann 2"} {
			list = append(list, entry{At: at(3.1), Kind: heard, User: "ann", Socket: socket, Asset: asset, Event: event(asset)})
		}
		list = append(list, entry{At: at(9), Kind: found, User: "ann", Asset: asset, Row: finalRow(asset, n+1)})
	}
	return append(list,
		entry{At: at(3.2), Kind: told, User: "bob", Socket: "bob 1", What: "connected"},
		entry{At: at(4), End: at(4.1), Kind: called, What: "read", User: "ann", Asset: shoe, Status: 200, Row: finalRow(shoe, 1)},
		entry{At: at(10), End: at(11), Kind: ended, What: byTerm, Process: worker},
	)
}

func judge(history []entry) *report { return check(gather(history), concurrency) }

func TestAGoodHistoryIsGood(t *testing.T) {
	t.Parallel()
	r := judge(goodHistory())
	for n := 1; n < len(promises); n++ {
		if r.checked[n] == 0 {
			t.Errorf("invariant %d is not checked", n)
		}
	}
	if r.failed() {
		t.Errorf("found %v", r.findings)
	}
}

// change makes a history of goodHistory in which the entry is another that first is found by which.
func change(which func(entry) bool, to func(*entry)) []entry {
	history := goodHistory()
	for i := range history {
		if which(history[i]) {
			to(&history[i])
			return history
		}
	}
	panic("no such entry")
}

func of(k kind, asset string) func(entry) bool {
	return func(e entry) bool { return e.Kind == k && e.Asset == asset }
}

func without(which func(entry) bool) []entry {
	return change(which, func(e *entry) { *e = entry{At: e.At, Kind: "nothing"} })
}

func with(more ...entry) []entry { return append(goodHistory(), more...) }

// failing is a run of shoe that failed in that attempt, after those answers of the AI service.
func failing(attempt int, does ...string) []entry {
	history := change(of(found, shoe), func(e *entry) {
		last := &e.Row.Timeline[len(e.Row.Timeline)-1]
		last.Attempt, last.Error = attempt, "The analysis failed."
		e.Row.Status, e.Row.Analysis = "failed", &analysis{Error: last.Error, FailedAt: at(3)}
	})
	var kept []entry
	for _, e := range history {
		if (e.Kind == heard || e.Kind == asked || e.What == "read") && e.Asset == shoe {
			continue
		}
		kept = append(kept, e)
	}
	told := fmt.Sprintf(`{"assetId":%q,"status":"failed","error":"The analysis failed.","timestamp":%q}`, shoe, at(3).Format(time.RFC3339Nano))
	for _, socket := range []string{"ann 1", "ann 2"} {
		kept = append(kept, entry{At: at(3.1), Kind: heard, User: "ann", Socket: socket, Asset: shoe, Event: told})
	}
	for i, what := range does {
		kept = append(kept, entry{At: at(1 + float64(i)/10), End: at(1.05 + float64(i)/10), Kind: asked, What: what, Asset: shoe, Job: shoe + "-1"})
	}
	return kept
}

// deeds are so many disturbances while shoe is on its way.
func deeds(n int, what string) (list []entry) {
	for range n {
		list = append(list, entry{At: at(2), End: at(2.5), Kind: disturbed, What: what, Process: worker})
	}
	return list
}

// asksIn are questions to the AI service in the half second in which it denies.
func asksIn(n int) (list []entry) {
	for range n {
		list = append(list, entry{At: at(0.1), End: at(0.2), Kind: asked, What: denies, Asset: boot, Job: boot + "-1"})
	}
	return list
}

func TestViolations(t *testing.T) {
	t.Parallel()
	second := "cccccccccccccccccccccccc"
	for name, c := range map[string]struct {
		invariant int // 0: none is violated
		history   []entry
	}{
		"an accepted asset is not there":     {1, without(of(found, shoe))},
		"an accepted asset is still at work": {1, change(of(found, shoe), func(e *entry) { e.Row.Status = "processing" })},
		"a deleted asset comes back":         {1, with(entry{At: at(5), Kind: called, What: "delete", User: "ann", Asset: boot, Status: 204})},
		"a deleted asset was not there": {1, append(without(of(found, boot)),
			entry{At: at(5), Kind: called, What: "delete", User: "ann", Asset: boot, Status: 404})},
		"a deletion unanswered": {0, with(entry{At: at(5), Kind: called, What: "delete", User: "ann", Asset: boot, Error: "reset"})},

		"an end goes back": {2, change(func(e entry) bool { return e.What == "read" }, func(e *entry) {
			e.Row.Run, e.Row.Status = 2, "failed"
		})},
		"an end becomes another": {2, change(func(e entry) bool { return e.What == "read" }, func(e *entry) {
			e.Row.Analysis.ProcessedAt = at(2.9)
		})},
		"the result of another run":   {2, change(of(found, shoe), func(e *entry) { e.Row.Analysis.Model.Value = shoe + "-2" })},
		"an end that nobody recorded": {2, with(entry{At: at(3), Kind: heard, User: "ann", Socket: "ann 1", Asset: shoe, Event: strings.Replace(event(shoe), ":03.000Z", ":02.000Z", 1)})},

		"a socket was not told":      {3, without(of(heard, shoe))},
		"a socket was told no JSON":  {3, change(of(heard, shoe), func(e *entry) { e.Event = "{" })},
		"two ways of telling":        {3, change(of(heard, shoe), func(e *entry) { e.Event = strings.Replace(e.Event, ":1}", ":1.0}", 1) })},
		"a socket was told twice":    {0, with(entry{At: at(5), Kind: heard, User: "ann", Socket: "ann 1", Asset: shoe, Event: event(shoe)})},
		"a socket that never was on": {3, with(entry{At: at(1), Kind: told, User: "ann", Socket: "ann 3", What: "refused"})},
		"a socket that was told to list": {0, with(
			entry{At: at(1), Kind: told, User: "ann", Socket: "ann 3", What: "asset_resync"},
			entry{At: at(5), Kind: listed, User: "ann", Socket: "ann 3", Asset: shoe, Row: finalRow(shoe, 1)},
			entry{At: at(5), Kind: listed, User: "ann", Socket: "ann 3", Asset: boot, Row: finalRow(boot, 2)})},

		"a stranger is told":    {4, with(entry{At: at(3), Kind: heard, User: "bob", Socket: "bob 1", Asset: shoe, Event: event(shoe)})},
		"a stranger is shown":   {4, change(func(e entry) bool { return e.What == "stranger" }, func(e *entry) { e.Status = 200 })},
		"a stranger is refused": {4, change(func(e entry) bool { return e.What == "stranger" }, func(e *entry) { e.Status = 403 })},

		"two assets of one key": {5, with(entry{
			At: at(1), Kind: called, What: "upload", User: "ann", Key: "k", Status: 202, Asset: boot, Job: boot + "-1",
		})},
		"a key is refused": {5, with(entry{At: at(1), Kind: called, What: "upload", User: "ann", Key: "k", Status: 409})},
		"two assets of one photo": {5, with(entry{
			At: at(9), Kind: found, User: "ann", Asset: second, Row: finalRow(second, 1),
		})},
		"two ends of one run": {5, change(of(found, shoe), func(e *entry) {
			e.Row.Timeline = append(e.Row.Timeline, step{At: at(3), Event: "finished", Attempt: 1})
		})},

		"failed without being asked":      {6, failing(3)},
		"failed for want of an attempt":   {6, failing(2, breaks, breaks)},
		"failed by an outage":             {6, failing(3, denies, denies, denies)},
		"failed by one death":             {6, append(failing(1), deeds(1, killed)...)},
		"failed by attempts":              {0, failing(3, breaks, tears, hangs)},
		"failed by refusal":               {0, failing(1, refuses)},
		"failed by many deaths":           {0, append(failing(1), deeds(maxStalls+1, killed)...)},
		"failed while its worker stood":   {0, append(failing(3, breaks, tears, answers), entry{At: at(1), End: at(2), Kind: disturbed, What: stopped, Process: worker})},
		"failed as the service went down": {0, append(failing(3, breaks, tears), entry{At: at(2), Kind: disturbed, What: aiGone})},
		"an attempt burnt": {6, change(of(found, shoe), func(e *entry) {
			e.Row.Timeline[len(e.Row.Timeline)-1].Attempt = 2
		})},
		"an absent service is not left alone": {6, with(asksIn(concurrency + 2)...)},
		"an absent service is probed":         {0, with(asksIn(concurrency + 1)...)},

		"memory":                    {7, with(entry{At: at(5), Kind: measured, Process: worker, Number: maxMemory + 1})},
		"an internal error":         {7, with(entry{At: at(5), Kind: called, What: "list", User: "ann", Status: 500})},
		"no Retry-After":            {7, with(entry{At: at(5), Kind: called, What: "list", User: "ann", Status: 503})},
		"a good request is refused": {7, with(entry{At: at(5), Kind: called, What: "edit", User: "ann", Asset: boot, Status: 400})},

		"the row is not the event":  {8, change(of(found, shoe), func(e *entry) { e.Row.Analysis.Brand.Value = "Puma" })},
		"the row is another status": {8, change(of(found, shoe), func(e *entry) { e.Row.Status = "partial" })},
		"an edit is lost":           {8, change(of(found, shoe), func(e *entry) { e.Row.Details = nil })},
		"an archived asset":         {0, change(of(found, boot), func(e *entry) { e.Row.Status = "archived" })},

		"a bad exit":   {9, change(func(e entry) bool { return e.Kind == ended }, func(e *entry) { e.Number = 1 })},
		"a late exit":  {9, change(func(e entry) bool { return e.Kind == ended }, func(e *entry) { e.End = at(60) })},
		"an exit":      {9, with(entry{At: at(5), Kind: ended, What: byItself, Process: worker, Number: 2})},
		"a panic":      {9, with(entry{At: at(5), Kind: complaint, Process: worker, Error: "panic: nil"})},
		"killed by us": {0, with(entry{At: at(5), Kind: ended, What: byKill, Process: worker, Number: -1})},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := judge(c.history)
			if c.invariant == 0 {
				if r.failed() {
					t.Errorf("found %v", r.findings)
				}
				return
			}
			if r.violated[c.invariant] == 0 || !r.failed() {
				t.Errorf("invariant %d is not found violated, but %v", c.invariant, r.findings)
			}
		})
	}
}

// A violation is told with the whole story of its asset.
func TestReport(t *testing.T) {
	t.Parallel()
	ev := gather(append(failing(3, breaks), deeds(1, killed)...))
	var out bytes.Buffer
	check(ev, concurrency).print(&out, ev)
	for _, want := range []string{
		"6          4        1         an outage burns nothing", "4 heard by 3 sockets", "1 active, 1 failed",
		"invariant 6: " + shoe + " job " + shoe + "-1 has spent 3 attempts, for which there are 1 causes",
		"THE STORY OF " + shoe, "upload by ann", "the AI service breaks", "kill -9 api,worker until", "told ann 1", "the row at the end",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the report lacks %q:\n%s", want, &out)
		}
	}
}
