package asset

import (
	"context"
	"time"
)

// Note says that there may be a picture which no asset has: one that is about to be stored, or whose asset is about to
// be deleted or to replace it.
type Note struct {
	Key     string // of the picture in the image store
	AssetID string // the asset that has it, will have it or had it: no other ever does
	At      time.Time
}

// Ledger keeps notes, by key. A picture is noted before it can become ownerless, so one that a crash left behind is
// found without a look at all the others; and no picture that nobody noted is ever taken for one: an asset store that was
// restored from a backup, or that is not the one the images belong to, endangers none. It lives with the assets. A write
// that has returned nil survives a power cut. Implementations are safe for concurrent use.
type Ledger interface {
	// Note adds notes; one for a key that has a note replaces it.
	Note(ctx context.Context, notes ...Note) error

	// Noted returns up to limit notes made before a time, the oldest first.
	Noted(ctx context.Context, before time.Time, limit int) ([]Note, error)

	// Strike removes the notes for these keys; that there is none is no error.
	Strike(ctx context.Context, keys ...string) error
}
