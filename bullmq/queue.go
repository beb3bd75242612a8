package bullmq

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"unicode/utf8"

	"github.com/redis/rueidis"
)

// QueueConfig is what a queue may be given beyond its name. The zero value is good.
type QueueConfig struct {
	// Prefix begins all keys of the queue. On a cluster it must hold a hash tag, like "{bull}", to keep them together.
	// Defaults to [DefaultPrefix].
	Prefix string

	// Defaults are the options for what the options of a job leave open. What makes a job that very job is no default:
	// ID, Timestamp, Deduplication, Parent, TelemetryMetadata, Repeat, Extra. Defaults to none.
	Defaults JobOptions

	// BatchSize is how many jobs one call of a script adds, at most [MaxBatch]. Defaults to 50.
	BatchSize int

	// Log gets what a program should know but no caller can be told. Defaults to nothing.
	Log *slog.Logger

	// Telemetry gives each job the trace that it is added in. Defaults to none.
	Telemetry Telemetry
}

const (
	// MaxBatch is the most jobs that one call of a script can add: Redis does nothing else meanwhile.
	MaxBatch = 500

	defaultBatch = 50
)

func (c QueueConfig) withDefaults() QueueConfig {
	c.Prefix = cmp.Or(c.Prefix, DefaultPrefix)
	c.BatchSize = cmp.Or(c.BatchSize, defaultBatch)
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return c
}

func (c QueueConfig) validate() error {
	if c.BatchSize < 1 || c.BatchSize > MaxBatch {
		return fmt.Errorf("batch size %d is not within 1 and %d", c.BatchSize, MaxBatch)
	}
	d := &c.Defaults
	if d.ID != "" || !d.Timestamp.IsZero() || d.Deduplication != nil || d.Parent != nil || d.TelemetryMetadata != "" || d.Repeat != nil || d.Extra != nil {
		return errors.New("defaults: an option that belongs to one job only")
	}
	if err := d.validate(); err != nil {
		return fmt.Errorf("defaults: %w", err)
	}
	return nil
}

// Queue adds jobs to a queue, and reads and changes what is in it. Its methods may be called concurrently.
//
// Redis is asked with the context that a method is given. Where it answers with an error, that is returned; what was
// asked for may then have been done or not, if the connection was lost meanwhile.
type Queue struct {
	client rueidis.Client
	name   string
	keys   keys
	config QueueConfig
	adder  adder
}

// NewQueue returns the queue of this name. It connects to nothing: the client is the caller's, and is closed by the
// caller after the queue.
func NewQueue(client rueidis.Client, name string, config QueueConfig) (*Queue, error) {
	config = config.withDefaults()
	if err := config.validate(); err != nil {
		return nil, fmt.Errorf("bullmq: queue %q: %w", name, err)
	}
	k, err := keysFor(client, config.Prefix, name)
	if err != nil {
		return nil, err
	}
	q := &Queue{client: client, name: name, keys: k, config: config}
	q.adder.queue = q
	return q, nil
}

// Name returns the name of the queue.
func (q *Queue) Name() string { return q.name }

// Close waits for the calls of Add that are under way; later ones fail with [ErrClosed]. It leaves the client open.
func (q *Queue) Close() { q.adder.close() }

// keysFor returns the keys of a queue, if it can have that prefix and name on that server.
func keysFor(client rueidis.Client, prefix, name string) (keys, error) {
	k := newKeys(prefix, name)
	switch {
	case name == "" || prefix == "":
		return k, fmt.Errorf("bullmq: queue %q with prefix %q: both need a name", name, prefix)
	case strings.Contains(name, ":"):
		return k, fmt.Errorf("bullmq: queue %q: a colon is not allowed in its name", name)
	case !utf8.ValidString(k.prefix) || strings.ContainsFunc(k.prefix, isControl):
		return k, fmt.Errorf("bullmq: queue %q with prefix %q: not plain UTF-8", name, prefix)
	case client.Mode() == rueidis.ClientModeCluster && !hasHashTag(k.prefix):
		return k, fmt.Errorf("bullmq: queue %q with prefix %q: a cluster keeps its keys together only with a hash tag: use %q", name, prefix, "{"+prefix+"}")
	}
	return k, nil
}

func isControl(r rune) bool { return r < ' ' || r == 0x7f }

// hasHashTag tells whether a cluster keeps all keys that begin with prefix in one slot: it looks at what is between the
// first { and the next }.
func hasHashTag(prefix string) bool {
	_, rest, open := strings.Cut(prefix, "{")
	tag, _, closed := strings.Cut(rest, "}")
	return open && closed && tag != ""
}
