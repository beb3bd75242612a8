package main

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"time"
)

// settleEvery is how often we look whether everything has come to rest.
const settleEvery = 500 * time.Millisecond

// settle waits until every asset has ended and every socket knows, at most until ctx ends, and puts into the history how
// each asset then is. It returns an error if it cannot be read.
func settle(ctx context.Context, users []*user, h *history) error {
	for ctx.Err() == nil && !rested(ctx, users) {
		pause(ctx, settleEvery)
	}
	for {
		final, err := readAll(context.WithoutCancel(ctx), users)
		if err != nil {
			return err
		}
		ev := gather(slices.Concat(h.all(), final))
		if ctx.Err() != nil || ev.heardAll() {
			for _, e := range final {
				h.add(e)
			}
			return nil
		}
		pause(ctx, 2*settleEvery)
	}
}

// rested reports whether no asset is on its way.
func rested(ctx context.Context, users []*user) bool {
	for _, u := range users {
		rows, ok := u.list(ctx, u.doors[0], "")
		if !ok || slices.ContainsFunc(rows, func(r row) bool { return !r.terminal() }) {
			return false
		}
	}
	return true
}

// heardAll reports whether every end was told to whom it concerns.
func (ev *evidence) heardAll() bool {
	for _, t := range ev.assets {
		if t.row == nil {
			continue
		}
		for _, at := range t.ends() {
			if len(ev.missing(t, at)) > 0 {
				return false
			}
		}
	}
	return true
}

// readTries is how often the final reading of a user's assets is tried: nothing is disturbed any more.
const readTries = 20

// readAll returns the entries of all assets as they are.
func readAll(ctx context.Context, users []*user) ([]entry, error) {
	var (
		reading sync.WaitGroup
		entries = make([][]entry, len(users))
		errs    = make([]error, len(users))
	)
	for i, u := range users {
		reading.Go(func() { entries[i], errs[i] = u.readAll(ctx) })
	}
	reading.Wait()
	for _, err := range errs {
		if err != nil {
			return nil, err
		}
	}
	return slices.Concat(entries...), nil
}

func (u *user) readAll(ctx context.Context) (entries []entry, err error) {
	var rows []row
	read := false
	for n := 0; n < readTries && !read; n++ {
		if rows, read = u.list(ctx, u.doors[0], ""); !read {
			pause(ctx, settleEvery)
		}
	}
	if !read {
		return nil, fmt.Errorf("the assets of %s cannot be listed at the end", u.id)
	}
	for i := range rows {
		var timeline struct{ Items []step }
		e := entry{What: "timeline", Asset: rows[i].ID}
		for n := 0; n < readTries; n++ {
			if e = u.ask(ctx, u.doors[0], e, http.MethodGet, "/api/assets/"+rows[i].ID+"/events", nil, nil, &timeline); e.Error == "" {
				break
			}
			pause(ctx, settleEvery)
		}
		if e.Error != "" {
			return nil, fmt.Errorf("the timeline of asset %s cannot be read at the end: %s", rows[i].ID, e.Error)
		}
		rows[i].Timeline = timeline.Items
		entries = append(entries, entry{At: e.End, Kind: found, User: u.id, Asset: rows[i].ID, Row: &rows[i]})
	}
	return entries, nil
}
