package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"os"
	"slices"
	"sync"
	"time"
)

// kind is what an entry of the history tells of. The comments say which members it has besides At.
type kind string

const (
	called    kind = "called"    // a client asked the API: End, What, User, Process, Status or Error; Asset, Photo, Key, Job
	heard     kind = "heard"     // a socket was told asset_processed: User, Socket, Asset, Event
	told      kind = "told"      // a socket was told something else, or what became of it: User, Socket, What, Event
	listed    kind = "listed"    // an app that was told to list its assets saw one: User, Socket, Asset, Row
	asked     kind = "asked"     // the AI service was asked: End, What it did, Asset, Job, Status; Error if the asker left
	probed    kind = "probed"    // the AI service was asked how it is: End, What it is, Status
	mood      kind = "mood"      // how the AI service was, from At to End: What
	disturbed kind = "disturbed" // something was done to a part, from At to End: What, Process
	started   kind = "started"   // a process works: Process, Number is its pid
	ended     kind = "ended"     // a process is gone: What made it go, Process, Number is its exit code; from At, the asking, to End
	measured  kind = "measured"  // memory of a process: Process, Number in bytes
	found     kind = "found"     // an asset at the end, as its owner sees it: User, Asset, Row
	complaint kind = "complaint" // what a process logged that no program should: Process, Error
)

// entry is one line of the history. Who reads the file finds only the members that its kind has.
type entry struct {
	At      time.Time `json:"at"`
	End     time.Time `json:"end,omitzero"`
	Kind    kind      `json:"kind"`
	What    string    `json:"what,omitempty"`
	Process string    `json:"process,omitempty"`
	User    string    `json:"user,omitempty"`
	Socket  string    `json:"socket,omitempty"`
	Photo   int       `json:"photo,omitempty"` // from 1
	Key     string    `json:"key,omitempty"`   // Idempotency-Key
	Asset   string    `json:"asset,omitempty"`
	Job     string    `json:"job,omitempty"`
	Status  int       `json:"status,omitempty"` // of HTTP; 0: no answer
	Wait    string    `json:"wait,omitempty"`   // Retry-After of the answer
	Error   string    `json:"error,omitempty"`
	Number  int64     `json:"number,omitempty"`
	Event   string    `json:"event,omitempty"` // the very bytes
	Row     *row      `json:"row,omitempty"`
}

// row is an asset as the API shows it, with its timeline.
type row struct {
	ID       string `json:"id"`
	UserID   string `json:"userId"`
	Category string `json:"category"`
	Status   string `json:"status"`
	Images   struct {
		Original struct {
			Width  int `json:"width"`
			Height int `json:"height"`
		} `json:"original"`
	} `json:"images"`
	Analysis  *analysis         `json:"aiMetadata,omitempty"`
	Details   map[string]string `json:"details,omitempty"`
	JobID     string            `json:"jobId"`
	Run       int               `json:"run"`
	UpdatedAt time.Time         `json:"updatedAt"`
	Timeline  []step            `json:"timeline,omitempty"`
}

// analysis is what the AI service said, or the last failure.
type analysis struct {
	Brand       *field    `json:"brand,omitempty"`
	Model       *field    `json:"model,omitempty"`
	Colorway    *field    `json:"colorway,omitempty"`
	ProcessedAt time.Time `json:"processedAt,omitzero"`
	Error       string    `json:"error,omitempty"`
	FailedAt    time.Time `json:"failedAt,omitzero"`
}

type field struct {
	Value      string  `json:"value"`
	Confidence float64 `json:"confidence"`
}

// step is one line of a timeline.
type step struct {
	At         time.Time `json:"at"`
	Event      string    `json:"event"`
	Attempt    int       `json:"attempt,omitempty"`
	Error      string    `json:"error,omitempty"`
	DurationMS int64     `json:"durationMs,omitempty"`
}

// terminal reports whether a run of the asset has ended and no other goes on.
func (r *row) terminal() bool {
	return slices.Contains([]string{"active", "partial", "failed", "archived"}, r.Status)
}

// endedAt is when the run ended whose result the row shows; zero if there is none.
func (r *row) endedAt() time.Time {
	if r.Analysis == nil {
		return time.Time{}
	}
	if r.Analysis.FailedAt.After(r.Analysis.ProcessedAt) {
		return r.Analysis.FailedAt
	}
	return r.Analysis.ProcessedAt
}

// processed is asset_processed.
type processed struct {
	AssetID           string    `json:"assetId"`
	Status            string    `json:"status"`
	Analysis          *analysis `json:"aiMetadata"`
	ProcessedImageURL string    `json:"processedImageUrl"`
	Error             string    `json:"error"`
	Timestamp         time.Time `json:"timestamp"`
}

// history is all that has happened, in memory and, if there is a file, there as lines of JSON.
type history struct {
	mu      sync.Mutex
	entries []entry
	file    *os.File
	out     *bufio.Writer
	err     error // of writing
}

// newHistory returns an empty history that is also written to that file, unless its name is "".
func newHistory(name string) (*history, error) {
	h := &history{}
	if name == "" {
		return h, nil
	}
	var err error
	if h.file, err = os.Create(name); err != nil {
		return nil, err
	}
	h.out = bufio.NewWriter(h.file)
	return h, nil
}

// add takes note of something. A zero At is now.
func (h *history) add(e entry) {
	if e.At.IsZero() {
		e.At = time.Now()
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.entries = append(h.entries, e)
	if h.out != nil && h.err == nil {
		h.err = json.NewEncoder(h.out).Encode(e)
	}
}

// all returns what there is so far, in the order in which it became known.
func (h *history) all() []entry {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clip(h.entries)
}

// close ends the file.
func (h *history) close() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.file == nil {
		return nil
	}
	return errors.Join(h.err, h.out.Flush(), h.file.Close())
}
