package bullmq

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/redis/rueidis"
)

var (
	upsertScript     = newScript("schedule_upsert")
	unscheduleScript = newScript("schedule_remove")
)

// Scheduler makes jobs by a schedule: there is always one to come, and the worker that starts it makes the next. So it goes
// on as long as some worker does, in whatever language.
type Scheduler struct {
	ID      string
	Name    string          // of its jobs
	Data    json.RawMessage // of its jobs; nil for none
	Options JobOptions      // of its jobs
	Repeat  Repeat
	Next    time.Time // the next run; once it has come to its end, the last
	Count   int       // jobs that it has made
}

var (
	// ErrSchedulerNotFound means that there is no scheduler of that id.
	ErrSchedulerNotFound = errors.New("scheduler not found")
	// ErrRunsTaken means that a scheduler cannot begin: jobs that have started, or ended, have the ids of all its next
	// runs. BullMQ says so with its errors -10 and -11.
	ErrRunsTaken = errors.New("next runs are taken by other jobs")
)

const (
	maxUpsertTries = 10 // against workers and others that change the scheduler at the same time
	maxRunsTaken   = 10 // runs that a new schedule leaves out because their jobs exist
)

// UpsertScheduler makes a job scheduler of this id, or changes the one there is, and returns its next job. The job that is
// there for its next run is replaced, unless it has started. A schedule whose interval stays as it was keeps its times,
// whatever Start and Offset say now, so it may be set anew with every start of a program.
//
// The id may have up to three colons, and no number behind one. The jobs are like the template, whose name defaults to the
// id and whose options may not have what belongs to a single job: ID, Delay, Timestamp, Deduplication, Parent. Nothing is
// written if r or the template is not valid.
func (q *Queue) UpsertScheduler(ctx context.Context, id string, r Repeat, template NewJob) (*Job, error) {
	job, err := q.upsertScheduler(ctx, id, r, template)
	if err != nil {
		return nil, fmt.Errorf("scheduler %.40q: %w", id, err)
	}
	return job, nil
}

func (q *Queue) upsertScheduler(ctx context.Context, id string, r Repeat, template NewJob) (*Job, error) {
	if err := validateSchedulerID(id); err != nil {
		return nil, err
	}
	if err := r.validate(time.Now()); err != nil {
		return nil, err
	}
	job, definition, err := q.prepareScheduler(ctx, id, template)
	if err != nil {
		return nil, err
	}
	for range maxUpsertTries {
		code, err := q.tryUpsert(ctx, id, r, job, definition)
		switch {
		case err != nil:
			return nil, err
		case code == upserted:
			return job, nil
		case code == upsertTaken:
			return nil, ErrRunsTaken
		}
	}
	return nil, errors.New("others keep changing it")
}

// validateSchedulerID returns why a scheduler cannot have this id: its hash might be a job of another, or BullMQ 5 would
// leave it alone.
func validateSchedulerID(id string) error {
	parts := strings.Split(id, ":")
	if id == "" || len(id) > MaxIDBytes || !utf8.ValidString(id) || strings.ContainsFunc(id, isControl) || len(parts) > 4 {
		return fmt.Errorf("its id needs 1 to %d bytes of plain UTF-8 and has at most 3 colons", MaxIDBytes)
	}
	for _, part := range parts[1:] {
		if strings.Trim(part, "0123456789") == "" {
			return errors.New("its id may not have a number, or nothing, behind a colon")
		}
	}
	return nil
}

// prepareScheduler returns a job made of the template, which still needs its time, and what the scheduler stores of it:
// fields and values.
func (q *Queue) prepareScheduler(ctx context.Context, id string, template NewJob) (*Job, []string, error) {
	o := template.Options
	if o.ID != "" || o.Delay != 0 || !o.Timestamp.IsZero() || o.Deduplication != nil || o.Parent != nil || o.Repeat != nil {
		return nil, nil, errors.New("template: an option that belongs to one job only")
	}
	if template.Name == "" {
		template.Name = id
	}
	addition, err := q.prepare(ctx, template)
	if err != nil {
		return nil, nil, fmt.Errorf("template: %w", err)
	}
	job := addition.job
	definition := []string{fieldName, job.Name}
	if template.Data != nil {
		definition = append(definition, fieldData, string(job.Data))
	}
	if text := string(appendOptions(nil, &o)); text != string(appendOptions(nil, &JobOptions{})) {
		definition = append(definition, fieldOpts, text)
	}
	return job, definition, nil
}

// What schedule_upsert replies.
const (
	upserted    = 1   // 0 would say that the scheduler is not as it was read
	upsertTaken = -10 // the job of the first run exists, and cannot be replaced
)

// tryUpsert plans the schedule from what is there, and makes it unless that has changed meanwhile.
func (q *Queue) tryUpsert(ctx context.Context, id string, r Repeat, job *Job, definition []string) (code int64, err error) {
	was, err := readScheduler(ctx, q.client, q.keys, id, nil)
	present := ""
	switch {
	case err == nil:
		present = milliseconds(was.Next)
	case !errors.Is(err, ErrSchedulerNotFound):
		return 0, err
	}
	now := time.Now().Truncate(time.Millisecond)
	next, planned, err := r.begin(was, now)
	if err != nil {
		return 0, err
	}
	code = upsertTaken
	for range maxRunsTaken {
		planRun(job, id, next, now, r.option(), r.Pattern != "")
		args := append(runArgs(job, id, present, next, now), definition...)
		args = append(args, planned.fields()...)
		code, err = upsertScript.run(ctx, q.client, q.keys, args...).AsInt64()
		if err != nil || code != upsertTaken {
			return code, err
		}
		if next, err = planned.following(next, now); err != nil {
			return 0, err
		}
	}
	return code, nil
}

// planRun makes of job the run of a scheduler at next.
func planRun(job *Job, scheduler string, next, now time.Time, repeat json.RawMessage, byPattern bool) {
	o := &job.Options
	o.ID = runID(scheduler, next)
	o.Timestamp, o.Delay, o.Repeat = now, max(next.Sub(now), 0), repeat
	o.Extra = maps.Clone(o.Extra)
	if o.Extra == nil {
		o.Extra = make(map[string]json.RawMessage)
	}
	o.Extra["repeatJobKey"] = appendText(nil, scheduler)
	delete(o.Extra, "prevMillis")
	if byPattern {
		o.Extra["prevMillis"] = strconv.AppendInt(nil, next.UnixMilli(), 10)
	}
	job.ID, job.SchedulerID = o.ID, scheduler
	job.Timestamp, job.Delay, job.Priority = now, o.Delay, o.Priority
}

// runID is the id of a scheduler's job.
func runID(scheduler string, at time.Time) string {
	return keyRepeat + ":" + scheduler + ":" + milliseconds(at)
}

// runArgs are what the scripts want to know of the next run, with present as when the present one was to be, in ms.
func runArgs(job *Job, scheduler, present string, next, now time.Time) []string {
	return []string{
		milliseconds(now), scheduler, present, milliseconds(next), job.Name, string(job.Data),
		string(appendOptions(nil, &job.Options)), strconv.Itoa(job.Options.Priority), flag(job.Options.LIFO),
	}
}

// Scheduler returns a job scheduler. The error is [ErrSchedulerNotFound] if there is none.
func (q *Queue) Scheduler(ctx context.Context, id string) (*Scheduler, error) {
	s, err := readScheduler(ctx, q.client, q.keys, id, nil)
	if err != nil {
		return nil, fmt.Errorf("scheduler %.40q: %w", id, err)
	}
	return s, nil
}

// SchedulersCount returns how many job schedulers there are.
func (q *Queue) SchedulersCount(ctx context.Context) (int64, error) {
	n, err := q.client.Do(ctx, q.client.B().Zcard().Key(q.keys.of(keyRepeat)).Build()).AsInt64()
	if err != nil {
		return 0, fmt.Errorf("count schedulers: %w", err)
	}
	return n, nil
}

// Schedulers returns the job schedulers from start to end, which counts from the end if it is negative, in the order of
// their next runs: the latest first, or with ascending the next one first.
func (q *Queue) Schedulers(ctx context.Context, start, end int64, ascending bool) ([]*Scheduler, error) {
	schedulers, err := q.schedulers(ctx, start, end, ascending)
	if err != nil {
		return nil, fmt.Errorf("list schedulers: %w", err)
	}
	return schedulers, nil
}

func (q *Queue) schedulers(ctx context.Context, start, end int64, ascending bool) ([]*Scheduler, error) {
	key, from, to := q.keys.of(keyRepeat), strconv.FormatInt(start, 10), strconv.FormatInt(end, 10)
	list := q.client.B().Zrange().Key(key).Min(from).Max(to).Rev().Withscores().Build()
	if ascending {
		list = q.client.B().Zrange().Key(key).Min(from).Max(to).Withscores().Build()
	}
	scores, err := q.client.Do(ctx, list).AsZScores()
	if err != nil {
		return nil, err
	}
	commands := make(rueidis.Commands, len(scores))
	for i, score := range scores {
		commands[i] = q.client.B().Hgetall().Key(q.keys.of(keyRepeat + ":" + score.Member)).Build()
	}
	schedulers := make([]*Scheduler, len(scores))
	for i, reply := range q.client.DoMulti(ctx, commands...) {
		fields, err := reply.AsStrMap()
		if err != nil {
			return nil, err
		}
		schedulers[i] = decodeScheduler(scores[i].Member, scores[i].Score, fields, nil)
	}
	return schedulers, nil
}

// RemoveScheduler removes a job scheduler and its next job, unless that has started. It returns whether there was one.
// BullMQ lets the next job run if it is in the line already; this does not.
func (q *Queue) RemoveScheduler(ctx context.Context, id string) (bool, error) {
	found, err := unscheduleScript.run(ctx, q.client, q.keys, millisNow(), id).AsInt64()
	if err != nil {
		return false, fmt.Errorf("remove scheduler %.40q: %w", id, err)
	}
	return found == 1, nil
}

// readScheduler reads a scheduler, whose present job may have an option repeat that says more.
func readScheduler(ctx context.Context, client rueidis.Client, k keys, id string, option json.RawMessage) (*Scheduler, error) {
	replies := client.DoMulti(ctx,
		client.B().Zscore().Key(k.of(keyRepeat)).Member(id).Build(),
		client.B().Hgetall().Key(k.of(keyRepeat+":"+id)).Build())
	score, err := replies[0].AsFloat64()
	if rueidis.IsRedisNil(err) {
		return nil, ErrSchedulerNotFound
	}
	if err != nil {
		return nil, err
	}
	fields, err := replies[1].AsStrMap()
	if err != nil {
		return nil, err
	}
	return decodeScheduler(id, score, fields, option), nil
}

// decodeScheduler reads a scheduler as any version may have stored it. What is damaged counts as missing.
func decodeScheduler(id string, next float64, fields map[string]string, option json.RawMessage) *Scheduler {
	s := &Scheduler{
		ID: id, Name: fields[fieldName], Repeat: decodeRepeat(fields, option),
		Next: time.UnixMilli(clamp(next)), Count: max(integer(fields[fieldIterations]), 0),
	}
	if data := fields[fieldData]; data != "" {
		s.Data = json.RawMessage(data)
	}
	s.Options, _ = decodeOptions(fields[fieldOpts]) // the jobs have their own
	return s
}
