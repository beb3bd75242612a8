package bullmq

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Cursor is a place among the finished jobs of a queue: before the newest, or right after a certain job, be that still
// there or not. Pages that begin at cursors miss no job and show none twice, however many finish meanwhile. The zero value
// is before the newest.
type Cursor struct {
	at int64 // ms; 0 is before the newest
	id string
}

// CursorAfter returns the place after a finished job.
func CursorAfter(job *Job) Cursor { return Cursor{job.FinishedOn.UnixMilli(), job.ID} }

var errCursor = errors.New("not a cursor of finished jobs")

// ParseCursor reads what [Cursor.String] has made; "" is before the newest.
func ParseCursor(text string) (Cursor, error) {
	if text == "" {
		return Cursor{}, nil
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil {
		return Cursor{}, errCursor
	}
	digits, id, found := strings.Cut(string(raw), " ")
	at, err := strconv.ParseInt(digits, 10, 64)
	if !found || err != nil || at <= 0 || id == "" {
		return Cursor{}, errCursor
	}
	return Cursor{at, id}, nil
}

// String returns the cursor in letters, digits, - and _, so that it can stand in a URL.
func (c Cursor) String() string {
	if c.at == 0 {
		return ""
	}
	return base64.RawURLEncoding.EncodeToString(fmt.Appendf(nil, "%d %s", c.at, c.id))
}

// finishedAtOnce is how many ids are read in one go.
const finishedAtOnce = 128

// Finished returns up to limit jobs after a cursor, the newest first: those that completed, or those that failed. None
// means that there are no more.
func (q *Queue) Finished(ctx context.Context, state State, after Cursor, limit int) ([]*Job, error) {
	if state != StateCompleted && state != StateFailed {
		return nil, fmt.Errorf("no job finishes in state %q", state)
	}
	var jobs []*Job
	for limit > 0 && len(jobs) < limit {
		ids, next, err := q.finishedIDs(ctx, state, after)
		if err != nil {
			return nil, fmt.Errorf("%s jobs of queue %s: %w", state, q.name, err)
		}
		if len(ids) == 0 {
			break
		}
		more, err := q.load(ctx, ids)
		if err != nil {
			return nil, fmt.Errorf("%s jobs of queue %s: %w", state, q.name, err)
		}
		jobs, after = append(jobs, more...), next
	}
	return jobs[:min(limit, len(jobs))], nil
}

// finishedIDs returns some ids after a cursor, and the place after them. Those of one ms are in the reverse order of
// their bytes, as Redis has them.
func (q *Queue) finishedIDs(ctx context.Context, state State, after Cursor) (ids []string, next Cursor, err error) {
	highest := strconv.FormatInt(math.MaxInt64, 10)
	if after.at != 0 {
		highest = strconv.FormatInt(after.at, 10)
	}
	for offset := int64(0); ; offset += finishedAtOnce {
		members, err := q.client.Do(ctx, q.client.B().Zrevrangebyscore().Key(q.keys.of(string(state))).
			Max(highest).Min("-inf").Withscores().Limit(offset, finishedAtOnce).Build()).AsZScores()
		if err != nil {
			return nil, Cursor{}, err
		}
		for _, m := range members {
			if at := int64(m.Score); after.at == 0 || at < after.at || m.Member < after.id {
				ids, next = append(ids, m.Member), Cursor{at, m.Member}
			}
		}
		if len(ids) > 0 || len(members) < finishedAtOnce {
			return ids, next, nil
		}
	}
}
