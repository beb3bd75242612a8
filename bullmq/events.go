package bullmq

import (
	"cmp"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/redis/rueidis"
)

const (
	eventBatch     = 500                     // events read at once
	eventBlock     = 5 * time.Second         // how long the server waits for the next event; then the stream is looked at
	eventGrace     = 10 * time.Second        // by how much its answer may be late before the connection counts as dead
	eventLook      = time.Second             // how often what was read is compared with what there is, at least
	eventRetry     = 50 * time.Millisecond   // pause after the connection has failed, doubled with each further failure
	eventRetryMost = 3200 * time.Millisecond // the longest pause
)

// EventsConfig configures [NewQueueEvents].
type EventsConfig struct {
	// Prefix begins the keys of the queue. Defaults to [DefaultPrefix].
	Prefix string

	// From is the [Event.ID] of the last event that was seen; "0" delivers all that the server has kept. Defaults to what
	// happens from now on.
	From string

	// Log is told when events cannot be read. Defaults to none.
	Log *slog.Logger
}

// QueueEvents reads what happens in a queue, whoever makes it happen: every event once, in order. It survives the loss of
// its connection, a restart of Redis and a failover, and goes on behind the last event that it has delivered. The server
// keeps the last 10,000 events or so, unless the queue is set otherwise; where it has dropped some that were still to be
// delivered, an [EventMissed] stands for them, as it does where a replica has taken over that had not got all that was
// read.
//
// [QueueEvents.Run] does the work. All methods may be called concurrently.
type QueueEvents struct {
	client rueidis.Client
	stream string
	name   string // of the connection: BullMQ lists it by that
	from   string
	log    *slog.Logger
	block  time.Duration // how long the server waits for the next event
	ready  chan struct{} // closed once place is known

	place place // how far events were delivered; belongs to Run

	mu       sync.Mutex // protects following
	running  bool
	told     streamID             // events up to this one were passed on to the waiting
	finishes map[string][]*finish // by job id: who waits for the end of the job
	passages []passage
}

// NewQueueEvents returns the events of a queue. It connects to nothing yet. While it runs it takes one connection of its
// own from the client, which stays the caller's.
func NewQueueEvents(client rueidis.Client, queue string, config EventsConfig) (*QueueEvents, error) {
	prefix := cmp.Or(config.Prefix, DefaultPrefix)
	k, err := keysFor(client, prefix, queue)
	if err != nil {
		return nil, err
	}
	if _, ok := parseStreamID(config.From); !ok && config.From != "" {
		return nil, fmt.Errorf("bullmq: events of queue %q: From: %q is not the id of an event", queue, config.From)
	}
	return &QueueEvents{
		client:   client,
		stream:   k.of(keyEvents),
		name:     prefix + ":" + base64.StdEncoding.EncodeToString([]byte(queue)) + ":qe",
		from:     config.From,
		log:      cmp.Or(config.Log, slog.New(slog.DiscardHandler)),
		block:    eventBlock,
		ready:    make(chan struct{}),
		finishes: make(map[string][]*finish),
	}, nil
}

// Ready waits until Run knows where it begins: whatever happens later will be delivered. The error is that of ctx.
func (e *QueueEvents) Ready(ctx context.Context) error {
	select {
	case <-e.ready:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Run delivers events, one after the other, until ctx ends; then it returns nil. deliver may be nil where only
// [Queue.WaitFinished] is of interest. Run may be called again after it has returned, and goes on where it was.
//
// A server that cannot be reached or answers with errors is asked again and again. What ends Run with an error is that the
// client was closed.
func (e *QueueEvents) Run(ctx context.Context, deliver func(Event)) error {
	if err := e.begin(); err != nil {
		return err
	}
	defer e.end()
	if deliver == nil {
		deliver = func(Event) {}
	}
	for pause := eventRetry; ; pause = min(2*pause, eventRetryMost) {
		connected, err := e.follow(ctx, deliver)
		if ctx.Err() != nil {
			return nil
		}
		if errors.Is(err, rueidis.ErrClosing) && clientClosed(ctx, e.client, e.stream) {
			return fmt.Errorf("events of %s: %w", e.stream, err)
		}
		if connected {
			pause = eventRetry
		}
		e.log.WarnContext(ctx, "bullmq: cannot read events; trying again", "stream", e.stream, "error", err)
		select {
		case <-time.After(pause/2 + rand.N(pause/2)):
		case <-ctx.Done():
			return nil
		}
	}
}

func (e *QueueEvents) begin() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.running {
		return fmt.Errorf("events of %s: Run runs already", e.stream)
	}
	e.running = true
	return nil
}

func (e *QueueEvents) end() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.running = false
	e.tellEnded()
}

// follow reads over one connection until that fails or ctx ends.
func (e *QueueEvents) follow(ctx context.Context, deliver func(Event)) (connected bool, err error) {
	master := masterOf(e.client)
	conn, _ := e.client.Dedicate()
	defer conn.Close() // it has a name, so it does not go back into the pool
	ctx, stop := whileMaster(ctx, e.client, master)
	defer stop()
	if err := e.connect(ctx, conn, deliver); err != nil {
		return false, err
	}
	looked := time.Now()
	for {
		events, err := e.read(ctx, conn)
		if err != nil {
			return true, err
		}
		next, lost := e.place, int64(0)
		for _, event := range events {
			next.read(event.streamID())
		}
		if len(events) == 0 || len(events) == eventBatch || time.Since(looked) >= eventLook {
			looked = time.Now()
			info, err := e.look(ctx, conn)
			if err != nil {
				return true, err
			}
			lost = next.compare(info, e.place.last, events)
		}
		e.tell(events, next.last, lost != 0)
		if lost != 0 {
			deliver(e.missed(lost))
		}
		for _, event := range events {
			if ctx.Err() != nil {
				return true, ctx.Err()
			}
			deliver(event)
			e.place.last, e.place.count = event.streamID(), unknown // until all are delivered
		}
		e.place = next
	}
}

// connect names the connection and finds the place to read from.
func (e *QueueEvents) connect(ctx context.Context, conn rueidis.DedicatedClient, deliver func(Event)) error {
	// A call on this connection ends with its context only if the first one has a context that can be cancelled and has
	// no deadline. And on a cluster the first one must have a key.
	opening, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	defer context.AfterFunc(ctx, cancel)()
	info, err := e.look(opening, conn)
	if err != nil {
		return err
	}
	if err := conn.Do(opening, conn.B().ClientSetname().ConnectionName(e.name).Build()).Error(); err != nil {
		if _, refused := rueidis.IsRedisErr(err); !refused {
			return fmt.Errorf("name the connection: %w", err)
		}
		e.log.WarnContext(ctx, "bullmq: this reader of events will not be listed", "stream", e.stream, "error", err)
	}
	forked := false
	if !e.isReady() {
		e.place = begin(info, e.from)
	} else if forked, err = e.forked(opening, conn, info); err != nil {
		return err
	}
	lost := e.place.compare(info, e.place.last, nil)
	if forked {
		lost = unknown
	}
	e.tell(nil, e.place.last, lost != 0)
	if !e.isReady() {
		close(e.ready)
	}
	if lost != 0 {
		deliver(e.missed(lost))
	}
	return nil
}

func (e *QueueEvents) isReady() bool {
	select {
	case <-e.ready:
		return true
	default:
		return false
	}
}

// missed stands for lost events, behind the place that was reached.
func (e *QueueEvents) missed(lost int64) Event {
	return newEvent(e.place.last.String(), []rueidis.XRangeFieldValue{
		{Field: eventName, Value: EventMissed},
		{Field: eventMissed, Value: strconv.FormatInt(max(lost, 0), 10)},
	})
}

// forked tells whether the stream has another past than the one that was read, because a server has taken over that had
// not got all of it: the last event that was read should be there and is not.
func (e *QueueEvents) forked(ctx context.Context, conn rueidis.DedicatedClient, info streamInfo) (bool, error) {
	last := e.place.last
	if info.length == 0 || last.before(info.first) || info.last.before(last) {
		return false, nil
	}
	entries, err := conn.Do(ctx, conn.B().Xrange().Key(e.stream).Start(last.String()).End(last.String()).Build()).AsXRange()
	if err != nil {
		return false, fmt.Errorf("look for the last event: %w", err)
	}
	return len(entries) == 0, nil
}

// look asks how the stream is.
func (e *QueueEvents) look(ctx context.Context, conn rueidis.DedicatedClient) (streamInfo, error) {
	fields, err := conn.Do(ctx, conn.B().XinfoStream().Key(e.stream).Build()).AsMap()
	if reply, ok := rueidis.IsRedisErr(err); ok && strings.Contains(reply.Error(), "no such key") {
		return streamInfo{}, nil
	}
	if err != nil {
		return streamInfo{}, fmt.Errorf("look at the stream: %w", err)
	}
	return decodeInfo(fields), nil
}

// decodeInfo reads the answer of XINFO STREAM.
func decodeInfo(fields map[string]rueidis.RedisMessage) streamInfo {
	number := func(name string) int64 {
		m := fields[name]
		n, err := m.AsInt64()
		if err != nil {
			return unknown
		}
		return n
	}
	id := func(m rueidis.RedisMessage) streamID {
		s, _ := m.ToString()
		id, _ := parseStreamID(s)
		return id
	}
	info := streamInfo{
		exists: true,
		length: number("length"),
		added:  number("entries-added"),
		last:   id(fields["last-generated-id"]),
	}
	first := fields["first-entry"]
	if entry, err := first.ToArray(); err == nil && len(entry) > 0 {
		info.first = id(entry[0])
	}
	return info
}

// read waits for events behind the place that was reached; after a while there may be none.
func (e *QueueEvents) read(ctx context.Context, conn rueidis.DedicatedClient) ([]Event, error) {
	ctx, cancel := context.WithTimeout(ctx, e.block+eventGrace)
	defer cancel()
	streams, err := conn.Do(ctx, conn.B().Xread().Count(eventBatch).Block(e.block.Milliseconds()).
		Streams().Key(e.stream).Id(e.place.last.String()).Build()).AsXReadSlices()
	if rueidis.IsRedisNil(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the stream: %w", err)
	}
	entries := streams[e.stream]
	events := make([]Event, len(entries))
	for i, entry := range entries {
		events[i] = newEvent(entry.ID, entry.FieldValues)
	}
	return events, nil
}
