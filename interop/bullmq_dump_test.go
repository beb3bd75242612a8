package interop

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
)

// dumpScript returns the name, the type, the time to live and the content of each key.
const dumpScript = `
local reads = {
	string = function(key) return { redis.call('GET', key) } end,
	list = function(key) return redis.call('LRANGE', key, 0, -1) end,
	set = function(key) return redis.call('SORT', key, 'ALPHA') end,
	zset = function(key) return redis.call('ZRANGE', key, 0, -1, 'WITHSCORES') end,
	hash = function(key) return redis.call('HGETALL', key) end,
	stream = function(key)
		local texts = {}
		for i, entry in ipairs(redis.call('XRANGE', key, '-', '+')) do
			texts[i] = cjson.encode(entry[2])
		end
		return texts
	end,
}
local all = {}
for i, key in ipairs(redis.call('KEYS', ARGV[1])) do
	local kind = redis.call('TYPE', key).ok
	all[i] = { key, kind, redis.call('PTTL', key), reads[kind](key) }
end
return all`

// dump is all that Redis keeps of the queue, as lines in order. What no two runs have in common has been replaced: times,
// which are counted in minutes from the test's beginning, the queue's name, random ids, and the stacks of errors. The
// differences that we know of are left out.
func (c *bullmqCase) dump() (lines []string) {
	c.Helper()
	keys, err := c.redis("EVAL", dumpScript, "0", c.key("*")).ToArray()
	if err != nil {
		c.Fatal(err)
	}
	byName := map[string][]string{}
	for _, key := range keys {
		parts, _ := key.ToArray()
		full, _ := parts[0].ToString()
		kind, _ := parts[1].ToString()
		ttl, _ := parts[2].AsInt64()
		values, err := parts[3].AsStrSlice()
		if err != nil {
			c.Fatal(full, err)
		}
		name := strings.TrimPrefix(full, c.key(""))
		var content []string
		for _, line := range describe(kind, values) {
			if ttl > 0 {
				line = "(expires) " + line
			}
			if line := c.shown(name + " " + line); line != "" {
				content = append(content, line)
			}
		}
		if kind == "hash" || kind == "zset" { // whose order says nothing, or is that of times
			slices.Sort(content)
		}
		byName[name] = content
	}
	for _, name := range slices.Sorted(maps.Keys(byName)) {
		lines = append(lines, byName[name]...)
	}
	return lines
}

// describe is what a key holds, as lines.
func describe(kind string, values []string) (lines []string) {
	switch kind {
	case "zset":
		for pair := range slices.Chunk(values, 2) {
			lines = append(lines, "zset "+pair[0]+" "+pair[1])
		}
	case "hash":
		for pair := range slices.Chunk(values, 2) {
			lines = append(lines, pair[0]+" = "+readable(pair[0], pair[1]))
		}
	case "stream":
		for _, entry := range values {
			fields := to[[]string](json.RawMessage(entry))
			line := ""
			for pair := range slices.Chunk(fields, 2) {
				if pair[0] == "event" {
					line = pair[1] + line
				} else {
					line += " " + pair[0] + "=" + pair[1]
				}
			}
			lines = append(lines, line)
		}
	default:
		lines = append(lines, fmt.Sprintf("%s %q", kind, values))
	}
	return lines
}

// readable is the value of a field, with the order of an object's keys made certain and stacks counted only.
func readable(field, value string) string {
	switch field {
	case "opts", "parent":
		var v any
		if err := json.Unmarshal([]byte(value), &v); err == nil {
			return pretty(v)
		}
	case "stacktrace":
		var stacks []string
		if err := json.Unmarshal([]byte(value), &stacks); err == nil {
			return fmt.Sprint(len(stacks), " stacks")
		}
	}
	return value
}

var (
	longNumber = regexp.MustCompile(`\d{13,}(\.\d+)?`)
	randomID   = regexp.MustCompile(`[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}`)
)

// shown is a line as dumps have it, or "".
func (c *bullmqCase) shown(raw string) string {
	line, ok := c.lines[raw]
	if !ok { // most lines are in many dumps
		line = c.masked(raw)
		for _, d := range bullmqDifferences {
			if strings.HasPrefix(c.version, d.versions) {
				line = d.line.ReplaceAllString(line, d.with)
			}
		}
		c.lines[raw] = line
	}
	return line
}

func (c *bullmqCase) masked(line string) string {
	line = strings.ReplaceAll(line, c.Prefix+":"+cmp.Or(c.mask, c.Queue), "<queue>")
	line = randomID.ReplaceAllString(line, "<random>")
	return longNumber.ReplaceAllStringFunc(line, func(text string) string {
		n, err := strconv.ParseFloat(text, 64)
		if err != nil {
			return text
		}
		for unit, scale := range map[string]float64{"": 1, "·4096": 4096} {
			passed := millis(int64(n/scale) - c.began)
			if passed.Abs() < 48*time.Hour {
				return fmt.Sprintf("<%+d min%s>", int(passed.Round(10*time.Minute).Minutes()), unit) // whatever the machine is busy with
			}
		}
		return text
	})
}

// bullmqStep is something that one of two peers does. "<queue>" in its arguments becomes the queue's name with its prefix.
// The operation "drive" has a worker work until nothing can be started, and go; "redis" is a command of the test's own.
type bullmqStep struct {
	role int
	op   string
	args []any
}

// a and b are what the first and the second of two peers do.
func a(op string, args ...any) bullmqStep { return bullmqStep{0, op, args} }
func b(op string, args ...any) bullmqStep { return bullmqStep{1, op, args} }

func (c *bullmqCase) step(s bullmqStep, peers [2]bullmqPeer) {
	c.Helper()
	p := peers[s.role]
	args := to[[]any](json.RawMessage(strings.ReplaceAll(string(encode(append([]any{}, s.args...))), "<queue>", c.Prefix+":"+c.Queue)))
	switch s.op {
	case "redis":
		words := make([]string, len(args))
		for i, arg := range args {
			words[i] = fmt.Sprint(arg)
			if n, ok := arg.(float64); ok {
				words[i] = strconv.FormatFloat(n, 'f', -1, 64)
			}
		}
		if err := c.redis(words...).Error(); err != nil {
			c.Fatal(err)
		}
	case "drive":
		w := bullmqWorker{c, p, ask[int](c, p, "work", args...)}
		c.soon("nothing to do", func() bool { return c.toDo() == 0 })
		w.close()
		c.redis("DEL", c.key("marker"), c.key("stalled"), c.key("stalled-check")) // what workers leave depends on when they looked
	default:
		if _, err := c.try(p, s.op, args...); err != nil {
			c.Fatalf("%s%v by %s: %v", s.op, args, p, err)
		}
	}
}

// toDo counts the jobs that wait, are due within seconds, or are being worked on.
func (c *bullmqCase) toDo() int64 {
	c.Helper()
	n, err := c.redis("EVAL", `
		local P, n = ARGV[1], 0
		for _, id in ipairs(redis.call('LRANGE', P .. 'active', 0, -1)) do
			n = n + redis.call('EXISTS', P .. id .. ':lock')
		end
		return n + redis.call('LLEN', P .. 'wait') + redis.call('ZCARD', P .. 'prioritized') + redis.call('ZCOUNT', P .. 'delayed', 0, ARGV[2])`,
		"0", c.key(""), strconv.FormatInt((now()+5000)*4096, 10)).AsInt64()
	if err != nil {
		c.Fatal(err)
	}
	return n
}

// A bullmqDifference is one that we know of and stand by.
type bullmqDifference struct {
	why      string
	versions string         // how those of Node that have it begin
	line     *regexp.Regexp // matches a line of a dump that has it
	with     string         // what then stands for the match; a line that is left empty is left out
}

var bullmqDifferences = []bullmqDifference{
	{"settings name the version of the last Node program that opened the queue; ours writes none", "", regexp.MustCompile(`^meta version = .*`), ""},
	{"a handler of Node's that puts a job off names the time, not the delay", "", regexp.MustCompile(`^(put off delay = )\d+`), "$1<some>"},
	{"version 5 emits an event by its old name too", "5.", regexp.MustCompile(`^events debounced .*`), ""},
	{"the first run of a schedule is when it was made", "", regexp.MustCompile(`(offset = |"offset":)\d+`), "$1<some>"},
	{"how long it is to the next run depends on when it is asked for", "", regexp.MustCompile(`^(repeat:.*(delay = |"delay":))[1-9]\d*`), "$1<some>"},
	{
		"0 is as good as nothing: ours writes attempts of 0 into the options of a schedule's first job, Node a delay of 0", "",
		regexp.MustCompile(`^(repeat:.* opts = .*)"(attempts|delay)":0,`), "$1",
	},
	{"version 5 notes the id of the next job of a scheduler, which nobody reads", "5.", regexp.MustCompile(`^repeat:.* nrjid = .*`), ""},
}

// alike has the same steps done by Node alone, by us alone, and by both together, each time on a queue of its own. It
// fails unless all queues are the same at the end.
func (c *bullmqCase) alike(steps ...bullmqStep) {
	c.Helper()
	c.alikes++
	var want []string
	for i, peers := range [][2]bullmqPeer{{c.node, c.node}, {c.us, c.us}, {c.node, c.us}, {c.us, c.node}} {
		q := c.on(fmt.Sprint("alike-", c.alikes, "-", i))
		for _, s := range steps {
			q.step(s, peers)
		}
		got := q.dump()
		if i == 0 {
			want = got
		} else if diff := gocmp.Diff(want, got); diff != "" {
			c.Errorf("%s and %s leave other keys than Node (-) after\n%s\n%s", peers[0], peers[1], told(steps), diff)
		}
	}
}

// told are steps as text.
func told(steps []bullmqStep) string {
	var text []string
	for _, s := range steps {
		text = append(text, fmt.Sprintf("%c: %s%s", 'a'+s.role, s.op, encode(s.args)))
	}
	return strings.Join(text, "; ")
}
