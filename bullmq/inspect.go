package bullmq

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Metrics are how many jobs finished, as workers with metrics have counted them.
type Metrics struct {
	Total     int64     // since the beginning
	Since     time.Time // when the count of the present minute began
	PerMinute []int64   // whole minutes, the latest first, as far as they were asked for
	Minutes   int64     // how many whole minutes there are
}

// Metrics returns the metrics of the jobs that completed or of those that failed. The first and the last minute are
// indexes of PerMinute; 0 is the latest, -1 the earliest there is.
func (q *Queue) Metrics(ctx context.Context, state State, start, end int64) (Metrics, error) {
	if state != StateCompleted && state != StateFailed {
		return Metrics{}, fmt.Errorf("no job finishes in state %q", state)
	}
	key := q.keys.of(keyMetrics + string(state))
	data := key + ":data"
	replies := q.client.DoMulti(ctx,
		q.client.B().Hmget().Key(key).Field("count", "prevTS").Build(),
		q.client.B().Lrange().Key(data).Start(start).Stop(end).Build(),
		q.client.B().Llen().Key(data).Build())
	meta, err := replies[0].AsStrSlice()
	if err != nil {
		return Metrics{}, fmt.Errorf("metrics of queue %s: %w", q.name, err)
	}
	points, err := replies[1].AsStrSlice()
	if err != nil {
		return Metrics{}, fmt.Errorf("metrics of queue %s: %w", q.name, err)
	}
	m := Metrics{Total: int64(integer(meta[0])), Since: moment(meta[1]), PerMinute: make([]int64, len(points))}
	for i, p := range points {
		m.PerMinute[i] = int64(integer(p))
	}
	if m.Minutes, err = replies[2].AsInt64(); err != nil {
		return Metrics{}, fmt.Errorf("metrics of queue %s: %w", q.name, err)
	}
	return m, nil
}

// Client is the connection of a worker to Redis.
type Client struct {
	Name      string        // the worker's; "" if it has none
	Address   string        // its host and port as the server sees them
	Connected time.Duration // for how long
	Idle      time.Duration // since it last asked the server for something
}

// Workers returns the workers of the queue, in whatever language, that are connected. The server must allow CLIENT LIST.
func (q *Queue) Workers(ctx context.Context) ([]Client, error) {
	own := q.config.Prefix + ":" + base64.StdEncoding.EncodeToString([]byte(q.name))
	var workers []Client
	for address, node := range q.client.Nodes() {
		list, err := node.Do(ctx, node.B().ClientList().Build()).ToString()
		if err != nil {
			return nil, fmt.Errorf("workers of queue %s at %s: %w", q.name, address, err)
		}
		for line := range strings.Lines(list) {
			client, name := parseClient(line)
			if name == own {
				workers = append(workers, client)
			} else if worker, is := strings.CutPrefix(name, own+":w:"); is {
				client.Name = worker
				workers = append(workers, client)
			}
		}
	}
	return workers, nil
}

// parseClient reads a line of CLIENT LIST: fields like age=7, divided by spaces, none of which can be in a value.
func parseClient(line string) (c Client, name string) {
	for field := range strings.FieldsSeq(line) {
		key, value, _ := strings.Cut(field, "=")
		seconds, _ := strconv.ParseInt(value, 10, 32) // 0 for what is no number
		switch key {
		case "name":
			name = value
		case "addr":
			c.Address = value
		case "age":
			c.Connected = time.Duration(seconds) * time.Second
		case "idle":
			c.Idle = time.Duration(seconds) * time.Second
		}
	}
	return c, name
}

// Dependencies are the children of a job in a flow, by their whole Redis keys.
type Dependencies struct {
	Pending      []string                   // that have not ended; the job waits for them
	Processed    map[string]json.RawMessage // that completed, with their values
	Ignored      map[string]string          // that failed while the job went on, with their failures
	Unsuccessful []string                   // that failed, and the job with them
}

// Dependencies returns the children of a job. One that is not there, or in no flow, has none.
func (q *Queue) Dependencies(ctx context.Context, id string) (Dependencies, error) {
	replies := q.client.DoMulti(ctx,
		q.client.B().Smembers().Key(q.keys.job(id, suffixDependencies)).Build(),
		q.client.B().Hgetall().Key(q.keys.job(id, suffixProcessed)).Build(),
		q.client.B().Hgetall().Key(q.keys.job(id, suffixFailed)).Build(),
		q.client.B().Zrange().Key(q.keys.job(id, suffixUnsuccessful)).Min("0").Max("-1").Build())
	for _, r := range replies {
		if err := r.Error(); err != nil {
			return Dependencies{}, fmt.Errorf("children of job %s: %w", id, err)
		}
	}
	var d Dependencies
	var values map[string]string
	var err error
	if d.Pending, err = replies[0].AsStrSlice(); err != nil {
		return Dependencies{}, fmt.Errorf("children of job %s: %w", id, err)
	}
	if values, err = replies[1].AsStrMap(); err != nil {
		return Dependencies{}, fmt.Errorf("children of job %s: %w", id, err)
	}
	if d.Ignored, err = replies[2].AsStrMap(); err != nil {
		return Dependencies{}, fmt.Errorf("children of job %s: %w", id, err)
	}
	if d.Unsuccessful, err = replies[3].AsStrSlice(); err != nil {
		return Dependencies{}, fmt.Errorf("children of job %s: %w", id, err)
	}
	d.Processed = make(map[string]json.RawMessage, len(values))
	for child, value := range values {
		d.Processed[child] = rawOrText(value)
	}
	return d, nil
}
