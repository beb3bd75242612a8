package bullmq

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"
)

var endedScript = newScript("ended")

// endedRecheck is how often WaitFinished asks anew: a job can be removed in ways that make no event.
const endedRecheck = 30 * time.Second

// FailedError is the end of a job that has failed for good.
type FailedError struct {
	JobID  string
	Reason string
}

func (e *FailedError) Error() string { return fmt.Sprintf("job %s failed: %s", e.JobID, e.Reason) }

// ErrEventsEnded says that the events that a call waits for are no longer read.
var ErrEventsEnded = errors.New("events are no longer read")

// WaitFinished waits until a job has ended, which may have happened already. It returns the value of a job that has
// completed; one that has failed for good makes a *[FailedError]. The value comes with the event even if the job is removed
// with its end; for a job that was gone before, the error wraps [ErrJobNotFound]. If [QueueEvents.Run] returns meanwhile
// it wraps [ErrEventsEnded].
//
// e must be of this queue, and run or be about to; any number of calls can share it.
func (q *Queue) WaitFinished(ctx context.Context, id string, e *QueueEvents) (json.RawMessage, error) {
	if e.stream != q.keys.of(keyEvents) {
		return nil, fmt.Errorf("wait for job %s: the events are those of %s", id, e.stream)
	}
	f := e.watch(id)
	defer e.unwatch(id, f)
	value, err := q.waitFinished(ctx, id, e, f)
	if failed := (*FailedError)(nil); err != nil && !errors.As(err, &failed) {
		return nil, fmt.Errorf("wait for job %s: %w", id, err)
	}
	return value, err
}

func (q *Queue) waitFinished(ctx context.Context, id string, e *QueueEvents, f *finish) (json.RawMessage, error) {
	if err := e.Ready(ctx); err != nil {
		return nil, err
	}
	recheck := time.NewTicker(endedRecheck)
	defer recheck.Stop()
	for {
		state, text, last, err := q.ended(ctx, id)
		if err != nil {
			return nil, err
		}
		var told <-chan struct{}
		switch state {
		case EventCompleted:
			return rawOrText(text), nil
		case EventFailed:
			return nil, &FailedError{id, text}
		case "":
			told = e.whenTold(last) // it may have ended since we read events: then one of those up to the last tells
		default:
			e.ignore(f, last) // those up to the last tell of a job that had this id before
		}

		gone := false
		select {
		case <-f.news:
		case <-told:
			gone = true
		case <-recheck.C:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		switch event, ended := e.found(f); {
		case event.Name == EventCompleted:
			return event.ReturnValue(), nil
		case event.Name == EventFailed:
			return nil, &FailedError{id, event.FailedReason()}
		case ended:
			return nil, ErrEventsEnded
		case gone:
			return nil, ErrJobNotFound
		}
	}
}

// ended asks how a job is: how it has ended, with its value or the reason; something else if it has not; ""
// if it is gone. last is the last event at that time.
func (q *Queue) ended(ctx context.Context, id string) (state, text string, last streamID, err error) {
	reply, err := endedScript.run(ctx, q.client, q.keys, millisNow(), id).AsStrSlice()
	if err != nil {
		return "", "", streamID{}, err
	}
	if len(reply) != 3 {
		return "", "", streamID{}, errReply
	}
	last, _ = parseStreamID(reply[2])
	return reply[0], reply[1], last, nil
}

// finish is somebody who waits for the end of a job. [QueueEvents.mu] protects all but news.
type finish struct {
	news   chan struct{} // gets one, if there is room, when something below has changed or the job should be asked for
	behind streamID      // events up to this one are not about the job
	event  Event         // that the job has ended, if it has
	ended  bool          // no events are read any more
}

func (f *finish) wake() {
	select {
	case f.news <- struct{}{}:
	default:
	}
}

// passage closes done when all events up to id were told, or never will be.
type passage struct {
	id   streamID
	done chan struct{}
}

func (e *QueueEvents) watch(jobID string) *finish {
	e.mu.Lock()
	defer e.mu.Unlock()
	f := &finish{news: make(chan struct{}, 1)}
	e.finishes[jobID] = append(e.finishes[jobID], f)
	return f
}

func (e *QueueEvents) unwatch(jobID string, f *finish) {
	e.mu.Lock()
	defer e.mu.Unlock()
	rest := slices.DeleteFunc(e.finishes[jobID], func(other *finish) bool { return other == f })
	if e.finishes[jobID] = rest; len(rest) == 0 {
		delete(e.finishes, jobID)
	}
}

func (e *QueueEvents) ignore(f *finish, last streamID) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if f.behind = last; !last.before(f.event.streamID()) {
		f.event = Event{}
	}
}

func (e *QueueEvents) found(f *finish) (event Event, ended bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return f.event, f.ended
}

func (e *QueueEvents) whenTold(id streamID) <-chan struct{} {
	e.mu.Lock()
	defer e.mu.Unlock()
	p := passage{id, make(chan struct{})}
	e.passages = append(e.passages, p)
	e.openPassages(false)
	return p.done
}

// openPassages lets those through whose events were told, or all of them.
func (e *QueueEvents) openPassages(all bool) {
	e.passages = slices.DeleteFunc(e.passages, func(p passage) bool {
		open := all || !e.told.before(p.id)
		if open {
			close(p.done)
		}
		return open
	})
}

// tell passes on to those who wait for the end of jobs what was read, up to last.
func (e *QueueEvents) tell(events []Event, last streamID, lost bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.told = last
	if len(e.finishes) > 0 {
		ask := lost
		for _, event := range events {
			switch event.Name {
			case EventCompleted, EventFailed, EventRemoved:
				e.tellEnd(event)
			case EventCleaned:
				ask = true
			}
		}
		if ask {
			e.wakeAll()
		}
	}
	e.openPassages(lost)
}

func (e *QueueEvents) tellEnd(event Event) {
	for _, f := range e.finishes[event.JobID] {
		if f.behind.before(event.streamID()) && event.Name != EventRemoved {
			f.event = event
		}
		f.wake()
	}
}

func (e *QueueEvents) wakeAll() {
	for _, all := range e.finishes {
		for _, f := range all {
			f.wake()
		}
	}
}

// tellEnded tells all that nothing will follow.
func (e *QueueEvents) tellEnded() {
	for _, all := range e.finishes {
		for _, f := range all {
			f.ended = true
			f.wake()
		}
	}
	e.openPassages(true)
}
