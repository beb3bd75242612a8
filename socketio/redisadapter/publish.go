package redisadapter

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/redis/rueidis"
)

const (
	maxBatch        = 256         // messages published in one round trip
	messageOverhead = 64          // bytes that a message in the queue costs beside its channel and content
	closeTimeout    = time.Second // how long the last messages may take at the end
)

// message is what is to be published.
type message struct {
	channel  string
	content  []byte
	at       time.Time
	volatile bool // not worth waiting for Redis

	// taken makes this a mark, which is not published: it is closed when all messages before it have been, or are lost.
	taken chan struct{}
}

func (m message) cost() int { return len(m.channel) + len(m.content) + messageOverhead }

// queue holds the messages that wait to be published.
type queue struct {
	max  int
	wake chan struct{} // holds one when there is something

	mu      sync.Mutex
	waiting []message
	bytes   int // of those waiting and of those taken that are not done
}

func (q *queue) init(maxBytes int) { q.max, q.wake = maxBytes, make(chan struct{}, 1) }

func (q *queue) add(m message) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.bytes+m.cost() > q.max {
		return ErrQueueFull
	}
	q.bytes += m.cost()
	q.waiting = append(q.waiting, m)
	select {
	case q.wake <- struct{}{}:
	default:
	}
	return nil
}

func (q *queue) take() []message {
	q.mu.Lock()
	defer q.mu.Unlock()
	taken := q.waiting
	q.waiting = nil
	return taken
}

// done makes room in the place of messages that were taken.
func (q *queue) done(ms ...message) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, m := range ms {
		q.bytes -= m.cost()
	}
}

// send puts a message into the queue, unless it is not worth waiting and would have to.
func (c *Cluster) send(m message) error {
	if m.volatile && (c.link.suspend.Load() || !c.link.up()) {
		c.stats.dropped.Add(1)
		return nil
	}
	m.at = time.Now()
	err := c.queue.add(m)
	if err != nil {
		c.stats.dropped.Add(1)
	}
	return err
}

// publish publishes what is in the queue, in order, until ctx is done and then what is left.
func (c *Cluster) publish(ctx context.Context) {
	// What is under way at the end gets a little more time.
	late, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	defer context.AfterFunc(ctx, func() { time.AfterFunc(closeTimeout, cancel) })()
	for {
		for batch := range slices.Chunk(c.queue.take(), maxBatch) {
			c.publishBatch(ctx, late, batch)
		}
		select {
		case <-c.queue.wake:
		case <-ctx.Done():
			for batch := range slices.Chunk(c.queue.take(), maxBatch) {
				c.publishBatch(ctx, late, batch)
			}
			return
		}
	}
}

// publishBatch publishes messages once Redis is there, or drops them. Those that were given to a connection which then
// fails are not published again: it is not known how far they came.
func (c *Cluster) publishBatch(ctx, late context.Context, batch []message) {
	batch, marks := parted(batch)
	defer func() {
		c.queue.done(marks...)
		for _, m := range marks {
			close(m.taken)
		}
	}()
	var client rueidis.Client
	for retry := (backoff{}); ; {
		batch = c.dropStale(batch)
		if len(batch) == 0 {
			return
		}
		var err error
		if client, err = c.link.reach(late); err == nil {
			break
		}
		c.link.suspect(err)
		if batch = c.dropVolatile(batch); !retry.wait(ctx) {
			c.drop(batch)
			return
		}
	}
	defer c.queue.done(batch...)
	commands := make(rueidis.Commands, len(batch))
	for i, m := range batch {
		commands[i] = client.B().Publish().Channel(m.channel).Message(rueidis.BinaryString(m.content)).Build()
	}
	callCtx, cancel := context.WithTimeout(late, c.cfg.RequestTimeout)
	defer cancel()
	for _, result := range client.DoMulti(callCtx, commands...) {
		switch err := result.Error(); {
		case err == nil:
			c.stats.published.Add(1)
			continue
		case result.NonRedisError() != nil:
			c.link.suspect(err)
		default:
			c.link.faults.log(c.cfg.Logger, "redis refuses a message of socket.io", "error", err)
		}
		c.stats.failed.Add(1)
	}
}

// parted parts messages from marks.
func parted(batch []message) (messages, marks []message) {
	for _, m := range batch {
		if m.taken != nil {
			marks = append(marks, m)
		} else {
			messages = append(messages, m)
		}
	}
	return messages, marks
}

func (c *Cluster) dropStale(batch []message) []message {
	stale := 0
	for stale < len(batch) && time.Since(batch[stale].at) > c.cfg.HoldFor {
		stale++
	}
	c.drop(batch[:stale])
	return batch[stale:]
}

func (c *Cluster) dropVolatile(batch []message) (rest []message) {
	for _, m := range batch {
		if m.volatile {
			c.drop([]message{m})
		} else {
			rest = append(rest, m)
		}
	}
	return rest
}

func (c *Cluster) drop(batch []message) {
	c.stats.dropped.Add(int64(len(batch)))
	c.queue.done(batch...)
}
