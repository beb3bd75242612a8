package queue

import (
	"context"
	"time"
)

// Gate holds the jobs of a queue back, in all its processes, while the service that they need is away, and says whose
// turn it is to look whether that is back.
//
//	open ──Shut───▶ closed ──its time is up──▶ Claim: one process looks ──▶ Shut again, Admit, or Open
//
// A closed gate that nobody comes to look at opens by itself, [Unattended] after the time for the next look.
type Gate interface {
	// Closure returns what is known of a closed gate; the zero value if it is open.
	Closure(ctx context.Context) (Closure, error)

	// Claim gives the caller the turn to look at the service, and reports whether it has. Nobody gets it while another
	// has it, or before the time of the last Shut or Admit is up. It ends with the next Shut, Admit or Open, and at the
	// latest after lease: who dies over it does not keep it.
	Claim(ctx context.Context, lease time.Duration) (bool, error)

	// Shut lets no job start, anywhere, and says what is known: c.Left is the time until the next look, at most MaxHold.
	// If the gate is closed already its Since stays.
	Shut(ctx context.Context, c Closure) error

	// Admit lets one job through the closed gate, in whatever process, so that it looks; another look may follow after d.
	Admit(ctx context.Context, d time.Duration) error

	// Open lets jobs start again. If the gate was never closed it only ends the turn.
	Open(ctx context.Context) error

	// Throttle bounds how many jobs this process works on at once, to 1 at least and [Config].Concurrency at most.
	Throttle(n int)
}

// Closure is what all processes know of a closed gate.
type Closure struct {
	Since    time.Time     // when it was closed, to the millisecond
	Reason   string        // for whoever asks; a word
	Failures int           // looks that found no change
	Left     time.Duration // until the next look; 0 or less: anybody may claim it
}

// Closed reports whether c is of a closed gate.
func (c Closure) Closed() bool { return !c.Since.IsZero() }

// Bounds of holding jobs back.
const (
	MaxHold    = 5 * time.Minute  // by a handler, or from one look to the next
	Unattended = 30 * time.Second // for how long a closed gate waits for somebody to look
)
