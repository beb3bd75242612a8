package bullmq

import (
	"context"
	"strconv"
	"time"
)

var stalledScript = newScript("stalled")

// checkStalled looks for jobs whose worker is gone, whenever no other worker has just done so, until ctx ends.
func (s *shift) checkStalled(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	failed := false
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		ids, err := stalledScript.run(context.WithoutCancel(ctx), s.client, s.keys,
			millisNow(), decimal(s.cfg.StalledEvery), strconv.Itoa(s.cfg.MaxStalls)).AsStrSlice()
		if err != nil && !failed {
			s.cfg.Log.Warn("stalled jobs not looked for, trying again", "queue", s.queue, "error", err)
		}
		failed = err != nil
		for _, id := range ids {
			s.cfg.Log.Warn("job has lost its worker, given back", "queue", s.queue, "job", id)
			if s.cfg.Hooks.Stalled != nil {
				s.cfg.Hooks.Stalled(id)
			}
		}
		timer.Reset(s.cfg.StalledEvery)
	}
}
