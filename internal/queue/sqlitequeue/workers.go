package sqlitequeue

import (
	"context"
	_ "embed"
	"encoding/json"
	"strings"

	"loupe/internal/queue"
	"loupe/internal/sqlitedb"
)

//go:embed sql/running.sql
var runningSQL string

// Workers implements [queue.Admin]. Of other processes it knows only those that have a job.
func (q *Queue) Workers(ctx context.Context) ([]queue.Worker, error) {
	workers := queue.Roster{}
	if since := q.consuming.Load(); since != nil {
		workers.Seen(shownName(q.worker), *since)
	}
	_, err := q.db.Query(ctx, func(row sqlitedb.Row) error {
		var worker, data string
		var job queue.Running
		var started int64
		if err := row.Scan(&worker, &job.ID, &data, &job.Attempt, &started); err != nil {
			return err
		}
		job.AssetID, job.StartedAt = queue.AssetOf(json.RawMessage(data)), millis(started)
		job.Attempt++ // spent are those before it
		workers.Works(shownName(worker), job)
		return nil
	}, runningSQL, queue.MaxRunning)
	return workers.List(), err
}

// shownName is a worker's name without what tells it from an earlier process of that number.
func shownName(worker string) string {
	name, _, _ := strings.Cut(worker, " ")
	return name
}
