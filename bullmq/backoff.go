package bullmq

import (
	"fmt"
	"math"
	"math/rand/v2"
	"time"
)

// BackoffStrategy returns the pause before a job is tried again: after so many attempts, the last of which ended with err.
// 0 is no pause; a negative one fails the job. It is called concurrently.
type BackoffStrategy func(attempts int, err error, job *Job) time.Duration

// MaxPause is the longest time that a job waits for its next attempt, whatever doubling comes to, a strategy says or
// [DelayFor] asks for.
const MaxPause = 365 * 24 * time.Hour

// backoff returns how long the job waits for its next attempt after so many; negative is that there is none. The error is
// that its kind of backoff is not known here.
func (w *Worker) backoff(job *Job, attempts int, err error) (time.Duration, error) {
	b := job.Options.Backoff
	base := b.Delay
	switch b.Type {
	case "", BackoffFixed:
	case BackoffExponential:
		base = doubled(base, attempts-1)
	default:
		strategy := w.cfg.BackoffStrategies[b.Type]
		if strategy == nil {
			return 0, fmt.Errorf("no backoff strategy %q", b.Type)
		}
		return min(strategy(attempts, err, job), MaxPause), nil
	}
	return jittered(min(base, MaxPause), b.Jitter), nil
}

// doubled is d doubled n times.
func doubled(d time.Duration, n int) time.Duration {
	return time.Duration(min(float64(d)*math.Pow(2, float64(n)), float64(MaxPause)))
}

// jittered leaves the share j of d to chance.
func jittered(d time.Duration, j float64) time.Duration {
	if j <= 0 {
		return d
	}
	return time.Duration(float64(d) * (1 - j + j*rand.Float64()))
}
