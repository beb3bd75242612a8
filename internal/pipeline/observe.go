package pipeline

import (
	"time"

	"loupe/internal/asset"
	"loupe/internal/queue"
)

// observeStart tells how long a job waited before its first attempt. A dead letter that was put back waits since then,
// and so does one that came with its asset's next run.
func (p *Pipeline) observeStart(a asset.Asset, job queue.Job) {
	if p.Observe.Started == nil || job.Starts != 1 {
		return
	}
	since := job.EnqueuedAt
	if a.UpdatedAt.After(since) {
		since = a.UpdatedAt
	}
	p.Observe.Started(max(0, time.Since(since)))
}
