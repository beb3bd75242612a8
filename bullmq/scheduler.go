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

	"github.com/redis/rueidis"

	"loupe/bullmq/internal/cron"
)

var (
	scheduleScript   = newScript("schedule")
	unscheduleScript = newScript("unschedule")
	iterateScript    = newScript("iterate")
)

// Repeat says when the jobs of a scheduler run: at an interval, or by a pattern. Either Every or Pattern is needed.
type Repeat struct {
	// Every is the time from one run to the next, in whole milliseconds. The first one is at once, unless Start or Offset
	// say otherwise.
	Every time.Duration

	// Offset moves the runs of Every away from the multiples of it since 1970. Defaults to where the first run comes.
	Offset time.Duration

	// Pattern is a cron expression of five fields, or of six with seconds first.
	Pattern string

	// Zone is the time zone of Pattern, like "Europe/Berlin". Defaults to that of the process which happens to compute a
	// run, so it should be given.
	Zone string

	// Limit is how many jobs there will be; 0 is no limit. Defaults to 0.
	Limit int

	// Start and End bound the runs. Default to no bounds.
	Start, End time.Time

	// Immediately has a Pattern begin with a run at once. Defaults to false.
	Immediately bool
}

func (r *Repeat) validate(now time.Time) error {
	switch {
	case r.Every != 0 && r.Pattern != "":
		return errors.New("repeat: has both an interval and a pattern")
	case r.Pattern == "" && r.Every < time.Millisecond:
		return errors.New("repeat: needs an interval of a millisecond at least, or a pattern")
	case r.Limit < 0:
		return fmt.Errorf("repeat: limit %d is negative", r.Limit)
	case r.Offset < 0 || r.Offset > 0 && r.Offset >= r.Every:
		return fmt.Errorf("repeat: offset %s is not within the interval", r.Offset)
	case !r.End.IsZero() && !r.End.After(now):
		return errors.New("repeat: its end has passed")
	}
	if r.Pattern == "" {
		return nil
	}
	_, _, err := r.byPattern(now)
	return err
}

// byPattern returns the first run by the pattern after a time.
func (r *Repeat) byPattern(after time.Time) (time.Time, bool, error) {
	zone, err := cron.Zone(r.Zone)
	if err != nil {
		return time.Time{}, false, fmt.Errorf("repeat: %w", err)
	}
	schedule, err := cron.Parse(r.Pattern, zone)
	if err != nil {
		return time.Time{}, false, fmt.Errorf("repeat: pattern %q: %w", r.Pattern, err)
	}
	if after.Before(r.Start) {
		after = r.Start
	}
	next, ok := schedule.Next(after)
	return next, ok && (r.End.IsZero() || !next.After(r.End)), nil
}

// after returns the run that follows the one at prev.
func (r *Repeat) after(prev, now time.Time) (time.Time, bool, error) {
	if r.Pattern != "" {
		if now.Before(prev) {
			now = prev
		}
		return r.byPattern(now)
	}
	return r.aligned(prev, now), r.End.IsZero() || !now.After(r.End), nil
}

// aligned returns the run of an interval after prev, which may be zero.
func (r *Repeat) aligned(prev, now time.Time) time.Time {
	before := int64(0)
	if !prev.IsZero() {
		before = prev.UnixMilli()
	}
	return time.UnixMilli(cron.Every(r.Every.Milliseconds(), r.Offset.Milliseconds(), before, now.UnixMilli()))
}

// fields returns the schedule as it is stored with its scheduler.
func (r *Repeat) fields() map[string]string {
	f := make(map[string]string)
	if r.Pattern != "" {
		f["pattern"] = r.Pattern
	} else {
		f["every"] = decimal(r.Every)
	}
	f["offset"] = decimal(r.Offset)
	if r.Zone != "" {
		f["tz"] = r.Zone
	}
	if r.Limit > 0 {
		f["limit"] = strconv.Itoa(r.Limit)
	}
	if !r.Start.IsZero() {
		f["startDate"] = strconv.FormatInt(r.Start.UnixMilli(), 10)
	}
	if !r.End.IsZero() {
		f["endDate"] = strconv.FormatInt(r.End.UnixMilli(), 10)
	}
	return f
}

// option returns the schedule as it is stored with the options of the first job.
func (r *Repeat) option() json.RawMessage {
	fields := r.fields()
	delete(fields, "offset")
	b := []byte(`{"count":1`)
	for name, value := range fields {
		b = append(appendText(append(b, ','), name), ':')
		if name == "pattern" || name == "tz" {
			b = appendText(b, value)
		} else {
			b = append(b, value...)
		}
	}
	return append(b, '}')
}

// decodeRepeat reads the schedule of a scheduler's fields.
func decodeRepeat(fields map[string]string) Repeat {
	return Repeat{
		Every: max(millis(fields["every"]), 0), Offset: millis(fields["offset"]), Pattern: fields["pattern"], Zone: fields["tz"],
		Limit: max(integer(fields["limit"]), 0), Start: moment(fields["startDate"]), End: moment(fields["endDate"]),
	}
}

// Scheduler makes jobs by a schedule: there is always one to come, and the worker that starts it makes the next. So it goes
// on as long as some worker does, in whatever language.
type Scheduler struct {
	ID      string
	Name    string // of its jobs
	Data    json.RawMessage
	Options JobOptions // of its jobs
	Repeat  Repeat
	Next    time.Time // the next run; once it has stopped, the last
	Count   int       // jobs that it has made
}

// ErrSchedulerNotFound means that there is no scheduler of that id.
var ErrSchedulerNotFound = errors.New("scheduler not found")

const maxScheduleTries = 10 // against workers and others that change the scheduler at the same time

// UpsertScheduler makes a job scheduler of this id, or changes the one there is, and returns its next job. Its jobs are
// like template, whose options may not have what belongs to a single job: ID, Delay, Timestamp, Deduplication, Parent.
func (q *Queue) UpsertScheduler(ctx context.Context, id string, r Repeat, template NewJob) (*Job, error) {
	job, err := q.upsertScheduler(ctx, id, r, template)
	if err != nil {
		return nil, fmt.Errorf("scheduler %.40q: %w", id, err)
	}
	return job, nil
}

func (q *Queue) upsertScheduler(ctx context.Context, id string, r Repeat, template NewJob) (*Job, error) {
	if id == "" || len(id) > MaxIDBytes || strings.Contains(id, ":") {
		return nil, fmt.Errorf("its id needs 1 to %d bytes and no colon", MaxIDBytes)
	}
	if err := r.validate(time.Now()); err != nil {
		return nil, err
	}
	o := &template.Options
	if o.ID != "" || o.Delay != 0 || !o.Timestamp.IsZero() || o.Deduplication != nil || o.Parent != nil || o.Repeat != nil {
		return nil, errors.New("template: an option that belongs to one job only")
	}
	given := *o
	if template.Name == "" {
		template.Name = id
	}
	addition, err := q.prepare(ctx, template)
	if err != nil {
		return nil, err
	}
	job := addition.job
	definition := []string{"name", job.Name}
	if template.Data != nil {
		definition = append(definition, "data", string(job.Data))
	}
	if text := string(appendOptions(nil, &given)); text != string(appendOptions(nil, &JobOptions{})) {
		definition = append(definition, "opts", text)
	}
	options := job.Options
	taken := false // there is a job in the place of the next run that cannot be replaced
	for range maxScheduleTries {
		present, was, err := q.schedule(ctx, id)
		if err != nil {
			return nil, err
		}
		now := time.Now().Truncate(time.Millisecond)
		next, planned, err := r.first(present, was, now, taken)
		if err != nil {
			return nil, err
		}
		fields := definition
		for name, value := range planned.fields() {
			fields = append(fields, name, value)
		}
		job.Options = options
		planRun(job, id, next, now, planned.option(), planned.Pattern != "")
		at := ""
		if !present.IsZero() {
			at = strconv.FormatInt(present.UnixMilli(), 10)
		}
		args := append(runArgs(job, id, at, next, now), fields...)
		code, err := scheduleScript.run(ctx, q.client, q.keys, args...).AsInt64()
		switch {
		case err != nil:
			return nil, err
		case code == 1:
			return job, nil
		}
		taken = code < 0
	}
	return nil, errors.New("others keep changing it")
}

// first returns the run with which a new or changed schedule begins, if its scheduler had the present one and was as given;
// and the schedule with what that leaves to be filled in.
func (r Repeat) first(present time.Time, was Repeat, now time.Time, taken bool) (time.Time, Repeat, error) {
	switch {
	case r.Pattern != "" && r.Immediately && !taken:
		return now, r, nil
	case r.Pattern != "":
		if taken && now.Before(present) {
			now = present
		}
		next, ok, err := r.byPattern(now)
		if err == nil && !ok {
			err = errors.New("repeat: has no run to come")
		}
		return next, r, err
	case !present.IsZero() && was.Every == r.Every:
		if r.Offset == 0 {
			r.Offset = was.Offset
		}
		if taken {
			present = r.aligned(present, now)
		}
		return present, r, nil
	case r.Offset == 0:
		next := now
		if now.Before(r.Start) {
			next = time.UnixMilli(r.Start.UnixMilli())
		}
		if taken {
			next = next.Add(r.Every)
		}
		r.Offset = time.Duration(next.UnixMilli()%r.Every.Milliseconds()) * time.Millisecond
		return next, r, nil
	}
	if now.Before(r.Start) {
		now = r.Start
	}
	return r.aligned(time.Time{}, now), r, nil
}

// schedule returns the present run of a scheduler and its schedule, zero if there is none.
func (q *Queue) schedule(ctx context.Context, id string) (time.Time, Repeat, error) {
	s, err := readScheduler(ctx, q.client, q.keys, id)
	switch {
	case errors.Is(err, ErrSchedulerNotFound):
		return time.Time{}, Repeat{}, nil
	case err != nil:
		return time.Time{}, Repeat{}, err
	}
	return s.Next, s.Repeat, nil
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
	return keyRepeat + ":" + scheduler + ":" + strconv.FormatInt(at.UnixMilli(), 10)
}

// runArgs are what both scripts want to know of the next run, with at as the present one.
func runArgs(job *Job, scheduler, at string, next, now time.Time) []string {
	return []string{
		strconv.FormatInt(now.UnixMilli(), 10), scheduler, at, strconv.FormatInt(next.UnixMilli(), 10), job.Name, string(job.Data),
		string(appendOptions(nil, &job.Options)), strconv.Itoa(job.Options.Priority), flag(job.Options.LIFO),
	}
}

// Scheduler returns a job scheduler. The error is [ErrSchedulerNotFound] if there is none.
func (q *Queue) Scheduler(ctx context.Context, id string) (*Scheduler, error) {
	s, err := readScheduler(ctx, q.client, q.keys, id)
	if err != nil {
		return nil, fmt.Errorf("scheduler %s: %w", id, err)
	}
	return s, nil
}

// Schedulers returns the job schedulers from start to end in the order of their next runs; -1 is the last.
func (q *Queue) Schedulers(ctx context.Context, start, end int64) ([]*Scheduler, error) {
	ids, err := q.client.Do(ctx, q.client.B().Zrange().Key(q.keys.of(keyRepeat)).
		Min(strconv.FormatInt(start, 10)).Max(strconv.FormatInt(end, 10)).Build()).AsStrSlice()
	if err != nil {
		return nil, fmt.Errorf("list schedulers: %w", err)
	}
	schedulers := make([]*Scheduler, 0, len(ids))
	for _, id := range ids {
		s, err := readScheduler(ctx, q.client, q.keys, id)
		switch {
		case errors.Is(err, ErrSchedulerNotFound):
		case err != nil:
			return nil, fmt.Errorf("list schedulers: %w", err)
		default:
			schedulers = append(schedulers, s)
		}
	}
	return schedulers, nil
}

// RemoveScheduler removes a job scheduler and its next job, unless that has started or is in the line: then it still
// runs. The error is [ErrSchedulerNotFound] if there is none.
func (q *Queue) RemoveScheduler(ctx context.Context, id string) error {
	found, err := unscheduleScript.run(ctx, q.client, q.keys, millisNow(), id).AsInt64()
	if err == nil && found == 0 {
		err = ErrSchedulerNotFound
	}
	if err != nil {
		return fmt.Errorf("remove scheduler %s: %w", id, err)
	}
	return nil
}

func readScheduler(ctx context.Context, client rueidis.Client, k keys, id string) (*Scheduler, error) {
	answers := client.DoMulti(ctx,
		client.B().Zscore().Key(k.of(keyRepeat)).Member(id).Build(),
		client.B().Hgetall().Key(k.of(keyRepeat+":"+id)).Build())
	score, err := answers[0].AsFloat64()
	if rueidis.IsRedisNil(err) {
		return nil, ErrSchedulerNotFound
	}
	if err != nil {
		return nil, err
	}
	fields, err := answers[1].AsStrMap()
	if err != nil {
		return nil, err
	}
	s := &Scheduler{ID: id, Name: fields["name"], Repeat: decodeRepeat(fields), Next: time.UnixMilli(clamp(score)), Count: integer(fields["ic"])}
	if data := fields["data"]; data != "" {
		s.Data = json.RawMessage(data)
	}
	s.Options, _ = decodeOptions(fields["opts"]) // what can be read of it; the jobs have their own
	return s, nil
}

// iterate makes the run of a scheduler that follows the one which is about to be worked on. Without it the schedule would
// end here, for everyone. The error is that Redis could not be asked.
func (s *shift) iterate(ctx context.Context, job *Job) error {
	err := s.tryIterate(ctx, job)
	if err == nil {
		return nil
	}
	_, refused := rueidis.IsRedisErr(err)
	if !refused && !errors.Is(err, errNoNextRun) {
		return err
	}
	s.cfg.Log.Error("schedule ends, its next job cannot be made", "queue", s.queue, "scheduler", job.SchedulerID, "error", err)
	return nil
}

var errNoNextRun = errors.New("the next run cannot be computed")

func (s *shift) tryIterate(ctx context.Context, job *Job) error {
	scheduler, err := readScheduler(ctx, s.client, s.keys, job.SchedulerID)
	switch {
	case errors.Is(err, ErrSchedulerNotFound):
		return nil
	case err != nil:
		return err
	case job.ID != runID(scheduler.ID, scheduler.Next):
		return nil // the scheduler was changed, or this run is not its first attempt
	}
	count, repeat := countRun(job.Options.Repeat)
	if limit := scheduler.Repeat.Limit; limit > 0 && count > limit {
		return nil
	}
	now := time.Now().Truncate(time.Millisecond)
	at, ok, err := scheduler.Repeat.after(scheduler.Next, now)
	if err != nil {
		return fmt.Errorf("%w: %w", errNoNextRun, err)
	}
	if !ok {
		return nil
	}
	next := newJob(s.client, s.keys, "")
	next.Name, next.Data, next.Options = scheduler.Name, scheduler.Data, job.Options
	if next.Data == nil {
		next.Data = job.Data
	}
	planRun(next, scheduler.ID, at, now, repeat, scheduler.Repeat.Pattern != "")
	args := runArgs(next, scheduler.ID, strconv.FormatInt(scheduler.Next.UnixMilli(), 10), at, now)
	return iterateScript.run(ctx, s.client, s.keys, args...).Error()
}

// countRun returns the count of the next run of a schedule, and its option with that.
func countRun(repeat json.RawMessage) (int, json.RawMessage) {
	count := 1
	b := []byte{'{'}
	eachMember(string(repeat), func(name, value string) { //nolint:errcheck // what can be read of it is taken over
		if name == "count" {
			count = integer(value) + 1
			return
		}
		b = append(appendText(b, name), ':')
		b = append(append(b, value...), ',')
	})
	b = strconv.AppendInt(append(b, `"count":`...), int64(count), 10)
	return count, append(b, '}')
}
