package bullmq

import (
	"context"
	"strconv"
	"strings"
	"time"
)

var stalledScript = newScript("stalled")

// checkStalled looks for jobs whose worker is gone, whenever no other worker has just done so, until ctx ends.
func (s *shift) checkStalled(ctx context.Context) {
	s.warnOfEviction(ctx)
	timer := time.NewTimer(0)
	defer timer.Stop()
	failed := false
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		ids, err := stalledScript.try(context.WithoutCancel(ctx), s.client, s.keys,
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

// warnOfEviction tells the log if the server may drop keys of the queue when its memory is full. Nothing comes of a server
// that does not say.
func (s *shift) warnOfEviction(ctx context.Context) {
	info, err := s.client.Do(ctx, s.client.B().Info().Section("memory").Build()).ToString()
	if err != nil {
		return
	}
	_, policy, found := strings.Cut(info, "maxmemory_policy:")
	policy, _, _ = strings.Cut(policy, "\r")
	if found && policy != "noeviction" {
		s.cfg.Log.Warn("Redis may lose jobs when its memory is full, set its maxmemory-policy to noeviction", "queue", s.queue, "policy", policy)
	}
}
