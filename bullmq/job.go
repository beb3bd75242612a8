package bullmq

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/redis/rueidis"
)

// Job is a job as it was when it was read; its methods that write change the stored job, and the fields of this copy.
// Times that have not come yet are zero. A Job is not safe for concurrent use, but for its methods Progress and Log.
type Job struct {
	ID      string
	Name    string
	Data    json.RawMessage // as it is stored: read it with Bind
	Options JobOptions

	Timestamp   time.Time // when it was made
	ProcessedOn time.Time // when its last attempt began
	FinishedOn  time.Time // when it completed or failed for good

	Delay    time.Duration // of a delayed job, counted from when that was set; 0 once it was promoted
	Priority int

	AttemptsMade    int // attempts that have ended and were counted
	AttemptsStarted int // attempts begun, with those that stalled or were handed back
	StalledCount    int // times its worker was lost

	FailedReason  string          // of the last attempt that failed, even if a later one did not
	Stacktrace    []string        // one text for each failed attempt, oldest first
	ReturnValue   json.RawMessage // of a completed job
	ProgressValue json.RawMessage

	DeferredFailure string // why the job will fail as soon as a worker gets it
	ProcessedBy     string // the name of the last worker
	DeduplicationID string
	SchedulerID     string
	ParentKey       string // the whole Redis key of the parent

	// Existing marks what [Queue.Add] returns when it has added nothing: ID is that of the job in its place, and the other
	// fields are those that were asked for.
	Existing bool

	client rueidis.Client
	keys   keys
}

// newJob returns a job that knows where it is stored, and nothing else yet.
func newJob(client rueidis.Client, k keys, id string) *Job {
	return &Job{ID: id, client: client, keys: k}
}

// setField takes over one field of the stored hash. What cannot be read counts as missing; only for options that means
// an error, because the job would run otherwise than it was asked for.
func (j *Job) setField(name, value string) (err error) {
	switch name {
	case fieldName:
		j.Name = value
	case fieldData:
		j.Data = json.RawMessage(value)
	case fieldOpts:
		j.Options, err = decodeOptions(value)
	case fieldTimestamp:
		j.Timestamp = moment(value)
	case fieldProcessedOn:
		j.ProcessedOn = moment(value)
	case fieldFinishedOn:
		j.FinishedOn = moment(value)
	case fieldDelay:
		j.Delay = max(millis(value), 0)
	case fieldPriority:
		j.Priority = max(integer(value), 0)
	case fieldAttempts:
		if j.AttemptsMade == 0 { // the old field wins, wherever it stands
			j.AttemptsMade = max(integer(value), 0)
		}
	case fieldAttemptsOld:
		j.AttemptsMade = max(integer(value), 0)
	case fieldStarts:
		j.AttemptsStarted = max(integer(value), 0)
	case fieldStalls:
		j.StalledCount = max(integer(value), 0)
	case fieldFailedReason:
		j.FailedReason = value
	case fieldStacktrace:
		j.Stacktrace = decodeTexts(value)
	case fieldReturnValue:
		j.ReturnValue = rawOrText(value)
	case fieldProgress:
		j.ProgressValue = rawOrText(value)
	case fieldDeferredFailure:
		j.DeferredFailure = value
	case fieldProcessedBy:
		j.ProcessedBy = value
	case fieldDedup:
		j.DeduplicationID = value
	case fieldScheduler:
		j.SchedulerID = value
	case fieldParentKey:
		j.ParentKey = value
	}
	if err != nil {
		return fmt.Errorf("job %s: %w", j.ID, err)
	}
	return nil
}

// decodeTexts reads a JSON array of strings; other values in it stand as their JSON.
func decodeTexts(s string) []string {
	var items []json.RawMessage
	if json.Unmarshal([]byte(s), &items) != nil {
		return nil
	}
	texts := make([]string, len(items))
	for i, item := range items {
		texts[i] = text(string(item))
	}
	return texts
}

// rawOrText returns a stored value as JSON: what some client stored without encoding it is a string.
func rawOrText(s string) json.RawMessage {
	if json.Valid([]byte(s)) {
		return json.RawMessage(s)
	}
	return appendText(nil, s)
}

// Bind decodes the job's data into v, as [json.Unmarshal] does.
func (j *Job) Bind(v any) error {
	if err := json.Unmarshal(j.Data, v); err != nil {
		return fmt.Errorf("data of job %s: %w", j.ID, err)
	}
	return nil
}

// Attempt is the number of the attempt that a handler is making, from 1 on. Attempts that were not counted do not count
// here either.
func (j *Job) Attempt() int { return j.AttemptsMade + 1 }

// Progress stores v as JSON for all to see how far the job is, and emits an event with it. It may be called at any time,
// by others than the job's handler too. The error is [ErrJobNotFound] if the job is gone.
func (j *Job) Progress(ctx context.Context, v any) error {
	return updateProgress(ctx, j.client, j.keys, j.ID, v)
}

// Log appends a line to the job's log and returns how many it has now. The oldest go once there are more than the
// option KeepLogs allows. The error is [ErrJobNotFound] if the job is gone.
func (j *Job) Log(ctx context.Context, line string) (int64, error) {
	return addLog(ctx, j.client, j.keys, j.ID, line, j.Options.KeepLogs)
}

// UpdateData replaces the job's data. The error is [ErrJobNotFound] if the job is gone.
func (j *Job) UpdateData(ctx context.Context, data any) error {
	raw, err := updateData(ctx, j.client, j.keys, j.ID, data)
	if err == nil {
		j.Data = raw
	}
	return err
}
