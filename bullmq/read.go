package bullmq

import (
	"context"
	"fmt"
	"slices"
	"strconv"

	"github.com/redis/rueidis"
)

var (
	stateScript  = newScript("state")
	countsScript = newScript("counts")
	rangeScript  = newScript("range")
)

// Job returns a job in whatever state it is. The error is [ErrJobNotFound] if there is none.
func (q *Queue) Job(ctx context.Context, id string) (*Job, error) {
	jobs, err := q.load(ctx, []string{id})
	if err != nil {
		return nil, fmt.Errorf("read job %s: %w", id, err)
	}
	if len(jobs) == 0 {
		return nil, fmt.Errorf("read job %s: %w", id, ErrJobNotFound)
	}
	return jobs[0], nil
}

// loadAtOnce is how many jobs are asked for in one go.
const loadAtOnce = 256

// load reads jobs; those that are gone are left out. A job whose options cannot be read is there without them.
func (q *Queue) load(ctx context.Context, ids []string) ([]*Job, error) {
	jobs := make([]*Job, 0, len(ids))
	for part := range slices.Chunk(ids, loadAtOnce) {
		commands := make(rueidis.Commands, len(part))
		for i, id := range part {
			commands[i] = q.client.B().Hgetall().Key(q.keys.of(id)).Build()
		}
		for i, reply := range q.client.DoMulti(ctx, commands...) {
			fields, err := reply.AsStrMap()
			if err != nil {
				return nil, err
			}
			if _, exists := fields[fieldName]; !exists {
				continue
			}
			jobs = append(jobs, q.decode(ctx, part[i], fields))
		}
	}
	return jobs, nil
}

func (q *Queue) decode(ctx context.Context, id string, fields map[string]string) *Job {
	job := newJob(q.client, q.keys, id)
	for name, value := range fields {
		if err := job.setField(name, value); err != nil {
			q.config.Log.WarnContext(ctx, "job cannot be read in full", "queue", q.name, "error", err)
		}
	}
	return job
}

// State returns where a job is. The error is [ErrJobNotFound] if there is none.
func (q *Queue) State(ctx context.Context, id string) (State, error) {
	state, _, err := q.inspect(ctx, id, false)
	if err != nil {
		return "", fmt.Errorf("state of job %s: %w", id, err)
	}
	return state, nil
}

// Inspect returns a job and where it is, at one moment. The error is [ErrJobNotFound] if there is none.
func (q *Queue) Inspect(ctx context.Context, id string) (*Job, State, error) {
	state, fields, err := q.inspect(ctx, id, true)
	if err == nil && fields[fieldName] == "" {
		err = ErrJobNotFound
	}
	if err != nil {
		return nil, "", fmt.Errorf("inspect job %s: %w", id, err)
	}
	return q.decode(ctx, id, fields), state, nil
}

func (q *Queue) inspect(ctx context.Context, id string, whole bool) (state State, fields map[string]string, err error) {
	reply, err := stateScript.run(ctx, q.client, q.keys, millisNow(), id, flag(whole)).ToArray()
	switch {
	case rueidis.IsRedisNil(err):
		return "", nil, ErrJobNotFound
	case err != nil:
		return "", nil, err
	case len(reply) != 2:
		return "", nil, errReply
	}
	name, err := reply[0].ToString()
	if err != nil {
		return "", nil, err
	}
	fields, err = reply[1].AsStrMap()
	return State(name), fields, err
}

// Counts returns how many jobs are in each of these states, or in each of [States] without any, at one moment.
func (q *Queue) Counts(ctx context.Context, states ...State) (map[State]int64, error) {
	if len(states) == 0 {
		states = States
	}
	args, err := stateArgs([]string{millisNow()}, states)
	if err != nil {
		return nil, err
	}
	numbers, err := countsScript.run(ctx, q.client, q.keys, args...).AsIntSlice()
	if err != nil || len(numbers) != len(states) {
		return nil, fmt.Errorf("counts of queue %s: %w", q.name, orBadReply(err))
	}
	counts := make(map[State]int64, len(states))
	for i, state := range states {
		counts[state] = numbers[i]
	}
	return counts, nil
}

func stateArgs(args []string, states []State) ([]string, error) {
	for _, s := range states {
		if !known(s) {
			return nil, fmt.Errorf("no job is in a state %q", s)
		}
		args = append(args, string(s))
	}
	return args, nil
}

func orBadReply(err error) error {
	if err == nil {
		return errReply
	}
	return err
}

// Count returns how many jobs have yet to be worked on: those in the line, the delayed, and those that wait for others.
func (q *Queue) Count(ctx context.Context) (int64, error) {
	counts, err := q.Counts(ctx, StateWaiting, StatePrioritized, StateDelayed, StateWaitingChildren)
	var sum int64
	for _, n := range counts {
		sum += n
	}
	return sum, err
}

// CountsPerPriority returns how many jobs in the line have each of these priorities. Those of 0 are the waiting.
func (q *Queue) CountsPerPriority(ctx context.Context, priorities ...int) (map[int]int64, error) {
	counts := make(map[int]int64, len(priorities))
	for _, p := range priorities {
		var n int64
		var err error
		if p == 0 {
			var waiting map[State]int64
			waiting, err = q.Counts(ctx, StateWaiting)
			n = waiting[StateWaiting]
		} else {
			from, below := int64(p)<<32, int64(p+1)<<32
			n, err = q.client.Do(ctx, q.client.B().Zcount().Key(q.keys.of(keyPrioritized)).
				Min(strconv.FormatInt(from, 10)).Max("("+strconv.FormatInt(below, 10)).Build()).AsInt64()
		}
		if err != nil {
			return nil, fmt.Errorf("counts per priority of queue %s: %w", q.name, err)
		}
		counts[p] = n
	}
	return counts, nil
}

// Range selects jobs by where they stand in their states.
type Range struct {
	States     []State // one after the other; none is waiting alone
	Start, End int64   // indexes of the first and the last in each state; -1 is the last there is
	Ascending  bool    // the next to start, or the first that finished, comes first; else the newest
}

// IDs returns the ids in a range at one moment, each once. Of an open range (End -1) that can be very many.
func (q *Queue) IDs(ctx context.Context, r Range) ([]string, error) {
	states := r.States
	if len(states) == 0 {
		states = []State{StateWaiting}
	}
	ascending := "0"
	if r.Ascending {
		ascending = "1"
	}
	args, err := stateArgs([]string{millisNow(), strconv.FormatInt(r.Start, 10), strconv.FormatInt(r.End, 10), ascending}, states)
	if err != nil {
		return nil, err
	}
	reply, err := rangeScript.run(ctx, q.client, q.keys, args...).ToArray()
	if err != nil {
		return nil, fmt.Errorf("jobs of queue %s: %w", q.name, err)
	}
	var ids []string
	seen := make(map[string]bool)
	for i := range reply {
		some, err := reply[i].AsStrSlice()
		if err != nil {
			return nil, fmt.Errorf("jobs of queue %s: %w", q.name, err)
		}
		for _, id := range some {
			if !seen[id] {
				seen[id] = true
				ids = append(ids, id)
			}
		}
	}
	return ids, nil
}

// Jobs returns the jobs in a range. Those that go away while they are read are left out.
func (q *Queue) Jobs(ctx context.Context, r Range) ([]*Job, error) {
	ids, err := q.IDs(ctx, r)
	if err != nil {
		return nil, err
	}
	jobs, err := q.load(ctx, ids)
	if err != nil {
		return nil, fmt.Errorf("jobs of queue %s: %w", q.name, err)
	}
	return jobs, nil
}
