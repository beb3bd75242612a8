package migrate

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"time"
)

// tally counts the things of one kind.
type tally struct {
	kind  string
	total int // 0: not known before the end

	moved     int // by this run
	equal     int // there before
	missing   int
	different int
}

// source is how many of the installation have been looked at.
func (t *tally) source() int { return t.moved + t.equal + t.missing + t.different }

// report is what the operator is told.
type report struct {
	mu  sync.Mutex
	out io.Writer

	assets, pictures, jobs, deadLetters tally

	completed int // jobs, left out
	told      time.Time
}

func newReport(out io.Writer) *report {
	return &report{
		out: out, told: time.Now(),
		assets: tally{kind: "assets"}, pictures: tally{kind: "pictures"}, jobs: tally{kind: "jobs"}, deadLetters: tally{kind: "dead letters"},
	}
}

func (r *report) tallies() []*tally {
	return []*tally{&r.assets, &r.pictures, &r.jobs, &r.deadLetters}
}

func (r *report) say(line string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	fmt.Fprintln(r.out, line)
}

// count adds one to a member of a tally.
func (r *report) count(n *int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	*n++
}

// missing and different count a thing that is not as it should be, and name it.
func (r *report) missing(t *tally, name, why string)   { r.name(&t.missing, name, why) }
func (r *report) different(t *tally, name, why string) { r.name(&t.different, name, why) }

func (r *report) name(n *int, name, why string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	*n++
	fmt.Fprintf(r.out, "%s %s\n", name, why)
}

// progressEvery is how often progress is told.
const progressEvery = time.Second

// progress tells how far it has come, if that was not done just now.
func (r *report) progress() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if time.Since(r.told) < progressEvery {
		return
	}
	r.told = time.Now()
	var parts []string
	for _, t := range r.tallies() {
		switch {
		case t.total > 0:
			parts = append(parts, fmt.Sprintf("%s %d of %d", t.kind, t.source(), t.total))
		case t.source() > 0:
			parts = append(parts, fmt.Sprintf("%s %d", t.kind, t.source()))
		}
	}
	fmt.Fprintln(r.out, strings.Join(parts, ", "))
}

// end prints the table, with two columns by their names, and reports whether all is as it should be.
func (r *report) end(first, second string, columns func(*tally) (int, int)) (whole bool) {
	const row = "%-12s  %7v  %7v  %12v  %7v  %9v\n"
	fmt.Fprintf(r.out, row, "KIND", "SOURCE", first, second, "MISSING", "DIFFERENT")
	whole = true
	for _, t := range r.tallies() {
		a, b := columns(t)
		fmt.Fprintf(r.out, row, t.kind, t.source(), a, b, t.missing, t.different)
		whole = whole && t.missing+t.different == 0
	}
	if r.completed > 0 {
		fmt.Fprintf(r.out, "Completed jobs are left out, nothing is left to do of them: %d\n", r.completed)
	}
	return whole
}
