package asset

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// Errors of every [Store]. Anything else it returns means that the store is unreachable or broken.
var (
	ErrNotFound = errors.New("asset not found")
	ErrExists   = errors.New("asset exists already")
	// ErrConflict: the compare of a compare-and-set failed; someone else has moved the asset on.
	ErrConflict = errors.New("asset is not in the expected state")
	// ErrCursor: a page cursor that this store did not make.
	ErrCursor = errors.New("invalid cursor")
)

// Store keeps assets. It is the truth: the queue can be rebuilt from it. A write that has returned nil survives a power
// cut. Implementations are safe for concurrent use by many processes, as far as their database is.
type Store interface {
	// Create adds a new asset with the first entries of its timeline. An id in use is [ErrExists].
	Create(ctx context.Context, a Asset, log ...Entry) error

	// Get returns one asset, whoever owns it: callers that answer a user compare Owner. Absent is [ErrNotFound].
	Get(ctx context.Context, id string) (Asset, error)

	// List returns one page of an owner's assets, newest first.
	List(ctx context.Context, q Query) (Page, error)

	// Transition applies c to the asset if its status is one of c.From and its job is c.JobID, as one atomic step, and
	// returns the asset as it is then. Otherwise it changes nothing: [ErrConflict] together with the asset as it is,
	// or [ErrNotFound].
	Transition(ctx context.Context, id string, c Change) (Asset, error)

	// Update applies the owner's edit as one atomic step and returns the asset as it is then. Another owner's asset is
	// [ErrNotFound]; a status that the present one cannot become is [ErrConflict].
	Update(ctx context.Context, id, owner string, p Patch) (Asset, error)

	// Delete removes the asset with its timeline and returns what it was, so that its images and job can follow.
	// Another owner's asset is [ErrNotFound].
	Delete(ctx context.Context, id, owner string) (Asset, error)

	// Unfinished returns up to limit assets that still owe something (status draft or processing, or EventPending) and
	// have not changed since olderThan, by id, beginning after the id given ("" for the first page).
	Unfinished(ctx context.Context, olderThan time.Time, after string, limit int) ([]Asset, error)

	// Timeline returns entries, oldest first: with an asset id all of that asset, else the finished runs of all the
	// owner's assets after q.Since, at most q.Limit. An unknown asset has an empty timeline.
	Timeline(ctx context.Context, q TimelineQuery) ([]Entry, error)
}

// Change is a compare-and-set: what must hold, and what then becomes of the asset. Zero members stay as they are.
type Change struct {
	// The compare.
	From  []Status // one of these
	JobID string   // the job of the asset's present run

	// The set.
	At        time.Time // becomes UpdatedAt; zero keeps it
	To        Status    // "" or the present status keeps it; else its arrow must exist, or the change is ErrConflict
	NextRun   int       // > 0: the run becomes this, and the job id follows by [JobID]
	Adopt     string    // the job becomes this: one that somebody else has put on the queue
	Original  *Image
	Processed *Image
	Analysis  *Analysis
	// EventPending, when not nil, is what Asset.EventPending becomes.
	EventPending *bool

	Log []Entry // appended to the timeline
}

// Apply makes the change, but for its Log, if its compare holds; otherwise a stays as it is, and the error is
// [ErrConflict]. Every store calls it within the atomic step of Transition.
func (c Change) Apply(a *Asset) error {
	if a.JobID != c.JobID || !slices.Contains(c.From, a.Status) {
		return ErrConflict
	}
	if c.To != "" && c.To != a.Status {
		if !a.Status.CanBecome(c.To) {
			return fmt.Errorf("%w: %s cannot become %s", ErrConflict, a.Status, c.To)
		}
		a.Status = c.To
	}
	if c.NextRun > 0 {
		a.Run, a.JobID = c.NextRun, JobID(a.ID, c.NextRun)
	}
	if c.Adopt != "" {
		a.JobID = c.Adopt
	}
	if c.Original != nil {
		a.Original = *c.Original
	}
	if c.Processed != nil {
		a.Processed = c.Processed
	}
	if c.Analysis != nil {
		a.Analysis = c.Analysis
	}
	if c.EventPending != nil {
		a.EventPending = *c.EventPending
	}
	if !c.At.IsZero() {
		a.UpdatedAt = c.At
	}
	return nil
}

// Patch is an owner's edit. Nil members stay as they are; an empty string clears a detail.
type Patch struct {
	At       time.Time // becomes UpdatedAt; required
	Category *string
	Status   *Status // Active or Archived
	Brand    *string
	Model    *string
	Colorway *string
}

// Apply makes the edit, or returns [ErrConflict] if the present status does not allow it: an owner moves an asset
// between active and archived, and nowhere else.
func (p Patch) Apply(a *Asset) error {
	if p.Status != nil && *p.Status != a.Status {
		if from := map[Status]Status{Archived: Active, Active: Archived}[*p.Status]; a.Status != from {
			return fmt.Errorf("%w: %s cannot become %s by its owner", ErrConflict, a.Status, *p.Status)
		}
		a.Status = *p.Status
	}
	if p.Category != nil {
		a.Category = *p.Category
	}
	var details Details
	if a.Details != nil {
		details = *a.Details
	}
	for _, edit := range []struct{ from, to *string }{
		{p.Brand, &details.Brand}, {p.Model, &details.Model}, {p.Colorway, &details.Colorway},
	} {
		if edit.from != nil {
			*edit.to = *edit.from
		}
	}
	a.Details = nil
	if details != (Details{}) {
		a.Details = &details
	}
	a.UpdatedAt = p.At
	return nil
}

// Query selects one page of an owner's assets.
type Query struct {
	Owner        string    // required
	Status       Status    // "" for all
	Category     string    // "" for all
	UpdatedAfter time.Time // zero for all; strictly after
	SHA256       string    // of the original as Image has it; "" for all
	Limit        int       // 1 to MaxPage; beyond, the nearest of them
	Cursor       string    // Page.Next of the page before; "" for the first
}

// MaxPage is the length of the longest page.
const MaxPage = 100

// Page is one page of assets and the cursor of the next, "" when there is none.
type Page struct {
	Items []Asset
	Next  string
}

// TimelineQuery selects timeline entries: those of AssetID, or else the finished runs of Owner after Since.
type TimelineQuery struct {
	AssetID string
	Owner   string
	Since   time.Time
	Limit   int // 0: no limit; for an owner's finished runs it is required
}
