package asset

import "slices"

// Status is where an asset stands:
//
//	draft ──▶ processing ──▶ active ◀──▶ archived
//	             │  ▲   └──▶ partial ─┐
//	             ▼  │                 │ retry (run+1)
//	           failed ────────────────┘
//
// Every arrow is one compare-and-set in the [Store].
type Status string

// The statuses, as they stand in the HTTP contract and in the database.
const (
	Draft      Status = "draft"      // recorded, not yet queued
	Processing Status = "processing" // queued or being analysed
	Active     Status = "active"     // at least one of brand, model, colorway is known
	Partial    Status = "partial"    // none is known, but a processed image exists
	Failed     Status = "failed"     // the attempts are spent, or the error is permanent
	Archived   Status = "archived"   // put away by its owner
)

// Statuses lists every status in the order of an asset's life.
var Statuses = []Status{Draft, Processing, Active, Partial, Failed, Archived}

// Terminal reports whether a run ends in s.
func (s Status) Terminal() bool { return s == Active || s == Partial || s == Failed }

// Valid reports whether s is one of [Statuses].
func (s Status) Valid() bool {
	return slices.Contains(Statuses, s)
}

// arrows are the allowed changes. Failed to Processing is a retry by the owner or the replay of a dead letter.
var arrows = map[Status][]Status{
	Draft:      {Processing},
	Processing: {Active, Partial, Failed},
	Active:     {Archived},
	Partial:    {Processing},
	Failed:     {Processing},
	Archived:   {Active},
}

// CanBecome reports whether the arrow from s to t exists.
func (s Status) CanBecome(t Status) bool {
	return slices.Contains(arrows[s], t)
}
