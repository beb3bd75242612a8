package bullmq

import (
	"encoding/json"
	"iter"
	"time"

	"github.com/redis/rueidis"
)

// Names of events. Other clients may add events of other names; they are delivered too.
const (
	EventAdded            = "added"             // a job is new
	EventWaiting          = "waiting"           // a job has come into the line, as a new one or from [Event.Prev]
	EventDelayed          = "delayed"           // a job waits until [Event.Due]
	EventActive           = "active"            // a worker has taken a job
	EventProgress         = "progress"          // a job has told its [Event.Progress]
	EventCompleted        = "completed"         // a job has ended with [Event.ReturnValue]
	EventFailed           = "failed"            // a job has failed for good, for [Event.FailedReason]
	EventRetriesExhausted = "retries-exhausted" // with it: it has failed because its attempts are spent
	EventStalled          = "stalled"           // a job has lost its worker
	EventWaitingChildren  = "waiting-children"  // a job waits for its children
	EventDuplicated       = "duplicated"        // a job was not added, because one with its id exists
	EventDeduplicated     = "deduplicated"      // a job was not added, or has replaced another
	EventRemoved          = "removed"           // a job was removed by hand
	EventCleaned          = "cleaned"           // jobs were removed by hand, [Event.Count] of them
	EventDrained          = "drained"           // no job is left to do
	EventPaused           = "paused"            // the queue was paused
	EventResumed          = "resumed"           // the queue was resumed

	// EventMissed is not in the stream: [QueueEvents] tells with it that the server has dropped events before they could
	// be read, as many as [Event.Missed] says.
	EventMissed = "missed"
)

// Fields of events.
const (
	eventName         = "event"
	eventJobID        = "jobId"
	eventPrev         = "prev"
	eventDelay        = "delay"       // ms since 1970: when the job is due
	eventData         = "data"        // JSON, of progress
	eventReturnValue  = "returnvalue" // JSON
	eventFailedReason = "failedReason"
	eventAttempts     = "attemptsMade"
	eventCount        = "count"
	eventMissed       = "missed" // ours
)

// Event is something that has happened in a queue.
type Event struct {
	// ID is the event's place in the stream: [EventsConfig.From] takes it, to go on behind the event. That of an
	// [EventMissed] is the one of the event before.
	ID string

	Name  string // one of the names above, or a custom one
	JobID string // "" if it is not about one job

	fields []rueidis.XRangeFieldValue
}

func newEvent(id string, fields []rueidis.XRangeFieldValue) Event {
	e := Event{ID: id, fields: fields}
	e.Name, e.JobID = e.Field(eventName), e.Field(eventJobID)
	return e
}

// Field returns the value of a field as it is stored, or "".
func (e Event) Field(name string) string {
	for i := range e.fields {
		if e.fields[i].Field == name {
			return e.fields[i].Value
		}
	}
	return ""
}

// Fields returns all fields, `event` and `jobId` among them, in the order in which they are stored.
func (e Event) Fields() iter.Seq2[string, string] {
	return func(yield func(string, string) bool) {
		for _, f := range e.fields {
			if !yield(f.Field, f.Value) {
				return
			}
		}
	}
}

// Time is when the event happened, by the server's clock; the zero time if the id does not tell.
func (e Event) Time() time.Time {
	id := e.streamID()
	if id == (streamID{}) {
		return time.Time{}
	}
	return time.UnixMilli(int64(id.ms))
}

func (e Event) streamID() streamID {
	id, _ := parseStreamID(e.ID)
	return id
}

// Prev is the state that the job was in before, or "".
func (e Event) Prev() State {
	prev := e.Field(eventPrev)
	if prev == keyWait {
		return StateWaiting
	}
	return State(prev)
}

// ReturnValue is the value of a job that has completed, nil for other events. A value that is not JSON, which BullMQ
// never writes, is given as a JSON string.
func (e Event) ReturnValue() json.RawMessage { return e.json(eventReturnValue) }

// Progress is what a job has told of its progress, nil for other events. What is not JSON is given as a JSON string.
func (e Event) Progress() json.RawMessage { return e.json(eventData) }

func (e Event) json(field string) json.RawMessage {
	if s := e.Field(field); s != "" {
		return rawOrText(s)
	}
	return nil
}

// FailedReason is why a job has failed, or "".
func (e Event) FailedReason() string { return e.Field(eventFailedReason) }

// Due is when a delayed job is to start; the zero time for other events.
func (e Event) Due() time.Time { return moment(e.Field(eventDelay)) }

// AttemptsMade is how many attempts were spent when none was left, or 0.
func (e Event) AttemptsMade() int { return integer(e.Field(eventAttempts)) }

// Count is how many jobs a cleaning has removed, or 0.
func (e Event) Count() int { return integer(e.Field(eventCount)) }

// Missed is how many events an [EventMissed] stands for, or 0 if nobody can tell.
func (e Event) Missed() int { return integer(e.Field(eventMissed)) }
