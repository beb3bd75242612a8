package queue

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"time"
)

// Worker is a process that works on a queue, or several that share a name.
type Worker struct {
	Name        string // "" for those that have none
	Connections int    // by which the name is known; 0: it is known only by its jobs, it may have died
	Since       time.Time
	Running     []Running // what it works on, the longest first
}

// Running is a job that a worker has.
type Running struct {
	ID        string
	AssetID   string // member "assetId" of the payload, "" if that has none
	Attempt   int    // from 1
	StartedAt time.Time
}

// Bounds of what [Admin.Workers] returns.
const (
	MaxWorkers = 1000
	MaxRunning = 1000
)

// ProcessName is how this process is called where workers are listed: by its machine and its number there.
func ProcessName() string {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	return fmt.Sprintf("loupe-%s-%d", strings.ReplaceAll(host, ":", "-"), os.Getpid())
}

// AssetOf returns the member "assetId" of a payload, "" if it has none.
func AssetOf(data json.RawMessage) string {
	var d struct{ AssetID string }
	_ = json.Unmarshal(data, &d) // a foreign payload names none
	return d.AssetID
}

// Roster gathers workers by their names.
type Roster map[string]*Worker

// Seen notes a connection of a worker that has been there since then.
func (r Roster) Seen(name string, since time.Time) {
	w := r.named(name)
	w.Connections++
	if w.Since.IsZero() || since.Before(w.Since) {
		w.Since = since
	}
}

// Works notes a job of a worker.
func (r Roster) Works(name string, job Running) {
	w := r.named(name)
	w.Running = append(w.Running, job)
}

func (r Roster) named(name string) *Worker {
	if r[name] == nil {
		r[name] = &Worker{Name: name}
	}
	return r[name]
}

// List returns the workers as [Admin.Workers] does.
func (r Roster) List() []Worker {
	names := slices.Sorted(maps.Keys(r))
	list := make([]Worker, 0, min(len(names), MaxWorkers))
	for _, name := range names[:min(len(names), MaxWorkers)] {
		w := *r[name]
		slices.SortFunc(w.Running, func(a, b Running) int {
			return cmp.Or(a.StartedAt.Compare(b.StartedAt), cmp.Compare(a.ID, b.ID))
		})
		list = append(list, w)
	}
	return list
}
