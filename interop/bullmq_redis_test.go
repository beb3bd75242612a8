package interop

import (
	"encoding/base64"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis/rueidis"
)

// redis sends a command of the test's own.
func (c *bullmqCase) redis(args ...string) rueidis.RedisResult {
	return c.fleet.redis.Do(c.Context(), c.fleet.redis.B().Arbitrary(args[0]).Args(args[1:]...).Build())
}

func (c *bullmqCase) hash(name string) map[string]string {
	c.Helper()
	hash, err := c.redis("HGETALL", c.key(name)).AsStrMap()
	if err != nil {
		c.Fatal(err)
	}
	return hash
}

// members are those of a list or a sorted set, from its head or its lowest score on.
func (c *bullmqCase) members(name string) []string {
	c.Helper()
	members, err := c.redis("LRANGE", c.key(name), "0", "-1").AsStrSlice()
	if err != nil { // it is no list
		members, err = c.redis("ZRANGE", c.key(name), "0", "-1").AsStrSlice()
	}
	if err != nil {
		c.Fatal(err)
	}
	return members
}

// scores are those of a sorted set, by member.
func (c *bullmqCase) scores(name string) map[string]float64 {
	c.Helper()
	items, err := c.redis("ZRANGE", c.key(name), "0", "-1", "WITHSCORES").AsZScores()
	if err != nil {
		c.Fatal(err)
	}
	scores := map[string]float64{}
	for _, item := range items {
		scores[item.Member] = item.Score
	}
	return scores
}

// bullmqEvent is an entry of the stream.
type bullmqEvent struct {
	id     string
	name   string
	fields map[string]string
}

// at is when the event was emitted, in ms.
func (e bullmqEvent) at() int64 {
	ms, _, _ := strings.Cut(e.id, "-")
	n, _ := strconv.ParseInt(ms, 10, 64)
	return n
}

// String is the event with the fields that tell what happened, not when.
func (e bullmqEvent) String() string {
	parts := []string{e.name}
	for _, field := range []string{"jobId", "prev", "failedReason", "returnvalue", "attemptsMade", "count", "data"} {
		if value, ok := e.fields[field]; ok {
			parts = append(parts, value)
		}
	}
	return strings.Join(parts, " ")
}

func (c *bullmqCase) events() (events []bullmqEvent) {
	c.Helper()
	entries, err := c.redis("XRANGE", c.key("events"), "-", "+").AsXRange()
	if err != nil {
		c.Fatal(err)
	}
	for _, e := range entries {
		events = append(events, bullmqEvent{e.ID, e.FieldValues["event"], e.FieldValues})
	}
	return events
}

// story is the stream as lines, of one job if an id is given.
func (c *bullmqCase) story(id string) (lines []string) {
	c.Helper()
	for _, e := range c.events() {
		if id == "" || e.fields["jobId"] == id {
			lines = append(lines, e.String())
		}
	}
	return lines
}

// soon waits until something is so.
func (c *bullmqCase) soon(what string, so func() bool) {
	c.Helper()
	eventually(c.T, what, so)
}

// ends waits until so many jobs are stored as completed or failed.
func (c *bullmqCase) ends(n int) {
	c.Helper()
	c.soon(fmt.Sprint(n, " ended jobs"), func() bool { return len(c.members("completed"))+len(c.members("failed")) >= n })
}

// state is where the job is by the keys themselves; several places are joined.
func (c *bullmqCase) state(id string) string {
	c.Helper()
	var in []string
	for _, name := range []string{"wait", "paused", "active", "prioritized", "delayed", "waiting-children", "completed", "failed"} {
		if slices.Contains(c.members(name), id) {
			in = append(in, name)
		}
	}
	return strings.Join(in, "+")
}

// is waits until the job is in a state.
func (c *bullmqCase) is(id, state string) {
	c.Helper()
	eventually(c.T, id+" in "+state, func() bool { return c.state(id) == state })
}

// equal compares what is by what must be, as it is printed.
func (c *bullmqCase) equal(what string, got, want any) {
	c.Helper()
	if g, w := fmt.Sprint(got), fmt.Sprint(want); g != w {
		c.Errorf("%s:\n got %s\nwant %s", what, g, w)
	}
}

// clients lists the connections to Redis.
func (c *bullmqCase) clients() (all []map[string]string) {
	c.Helper()
	list, err := c.redis("CLIENT", "LIST").ToString()
	if err != nil {
		c.Fatal(err)
	}
	for line := range strings.Lines(list) {
		client := map[string]string{}
		for _, word := range strings.Fields(line) {
			name, value, _ := strings.Cut(word, "=")
			client[name] = value
		}
		all = append(all, client)
	}
	return all
}

// clientName is the name of the connections of the queue's workers that have none.
func (p bullmqPlace) clientName() string {
	return p.Prefix + ":" + base64.StdEncoding.EncodeToString([]byte(p.Queue))
}

// now is the clock of the peers, in ms.
func now() int64 { return time.Now().UnixMilli() }
