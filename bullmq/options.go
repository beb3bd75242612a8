package bullmq

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// JobOptions say how a job is to be run. The zero value runs it once, as soon as its turn has come, and keeps it for
// ever. Durations are counted in whole milliseconds.
type JobOptions struct {
	// ID is the job's id. A job is added once only while one with its id exists, in whatever state. It may not look like
	// an integer and may not hold a colon (two exactly are allowed). Defaults to the next number of the queue's counter.
	ID string

	// Delay is how long the job stays out of the line, counted from Timestamp. Defaults to 0.
	Delay time.Duration

	// Priority puts the job behind all that have a smaller one, 0 to [MaxPriority]; 0 comes first. Defaults to 0.
	Priority int

	// LIFO puts the job at the head of the line, if it has no priority. Defaults to false.
	LIFO bool

	// Attempts is how often the job may be tried in all; 0 and 1 are the same. Defaults to 0.
	Attempts int

	// Backoff is the pause before another attempt. Defaults to none.
	Backoff Backoff

	// Timeout ends the context of each attempt. Only workers of this package know it. Defaults to the worker's.
	Timeout time.Duration

	// RemoveOnComplete and RemoveOnFail say which finished jobs stay in the queue, this one included; nil leaves it to the
	// worker. Default to nil.
	RemoveOnComplete, RemoveOnFail *Keep

	// KeepLogs is how many of its last log lines the job keeps; 0 keeps all. Defaults to 0.
	KeepLogs int

	// StackTraceLimit is how many of its last errors the job keeps. Defaults to nil, all of them.
	StackTraceLimit *int

	// SizeLimit refuses the job if its data as JSON are longer, in bytes; 0 is no limit. Defaults to 0.
	SizeLimit int

	// Timestamp is when the job was made. Defaults to the time of the call.
	Timestamp time.Time

	// Deduplication drops the job while another with the same deduplication id is there. Defaults to nil.
	Deduplication *Deduplication

	// Parent is the job that waits for this one. Defaults to nil.
	Parent *Parent

	// OnFailure is what the parent does once this job has failed for good. Defaults to [ParentWaits].
	OnFailure ParentRule

	// TelemetryMetadata carries the trace that the job belongs to, in a form that the worker's telemetry knows.
	// Defaults to what the queue's [Telemetry] gives.
	TelemetryMetadata string

	// OmitContext keeps the producer's trace from the job. Defaults to false.
	OmitContext bool

	// Repeat is the schedule that the job came from, as it is stored. It is set by schedulers, not by hand.
	Repeat json.RawMessage

	// Extra are the options that this package does not know, by name, as they are stored.
	Extra map[string]json.RawMessage
}

// Backoff is the pause before a failed job is tried again. The zero value is none.
type Backoff struct {
	Type   string        // "fixed", "exponential", or the name of a strategy of the workers; "" with a Delay is "fixed"
	Delay  time.Duration // the pause, or the first one
	Jitter float64       // 0 to 1: which share of the pause is left to chance
}

// The kinds of [Backoff] that every worker knows.
const (
	BackoffFixed       = "fixed"
	BackoffExponential = "exponential"
)

// Fixed returns a pause that is always the same.
func Fixed(d time.Duration) Backoff { return Backoff{Type: BackoffFixed, Delay: d} }

// Exponential returns a pause that begins with d and doubles with each further attempt.
func Exponential(d time.Duration) Backoff { return Backoff{Type: BackoffExponential, Delay: d} }

// Keep says which jobs that finished in the same way stay in the queue. It is obeyed whenever a job finishes, for all of
// them, not by a clock. The zero value keeps all.
type Keep struct {
	None  bool          // remove this job, and look at no other
	Count int           // keep this many of the newest; 0 is no limit
	Age   time.Duration // keep those that finished within this time; 0 is no limit
	Limit int           // remove at most so many for their age at a time; 0 is 1000
}

// KeepAll keeps all jobs.
func KeepAll() *Keep { return &Keep{} }

// KeepNone removes each job that finishes.
func KeepNone() *Keep { return &Keep{None: true} }

// KeepLast keeps the n newest jobs; with 0 or less it is [KeepNone].
func KeepLast(n int) *Keep { return &Keep{None: n <= 0, Count: max(n, 0)} }

// KeepFor keeps jobs for this time.
func KeepFor(age time.Duration) *Keep { return &Keep{None: age <= 0, Age: max(age, 0)} }

// Deduplication lets the first of several jobs with the same deduplication id in, and drops the others: as long as the
// first has not finished, or for a time.
type Deduplication struct {
	ID                string        // what makes jobs the same; needed
	TTL               time.Duration // for how long, finished or not; 0 is until the job has finished
	Extend            bool          // each dropped job starts TTL anew
	Replace           bool          // the new job takes the place of one that is still delayed
	KeepLastIfActive  bool          // the last job dropped while the first one ran is added when that finishes
	RescheduleDelayed bool          // the dropped job's delay is given to the first one if it is still delayed
}

// Parent names the job of a flow that waits for another one.
type Parent struct {
	ID    string // the id of the parent
	Queue string // its queue with the prefix: "bull:mail"
}

// ParentRule is what happens to a parent when a child has failed for good.
type ParentRule int

// The rules there are. A job of a flow is in state waiting-children until it is released.
const (
	ParentWaits     ParentRule = iota // it waits until the child has been retried with success, or for ever
	ParentFails                       // it fails too
	ParentContinues                   // it is released at once, whatever other children do
	ParentIgnores                     // it does not wait for the child and can see why that failed
	ParentForgets                     // it does not wait for the child
)

// Bounds of what can be added. Those of Redis are higher; these keep a slip from filling it.
const (
	MaxPriority = 1<<21 - 1 // the largest priority: the last to run
	MaxIDBytes  = 1 << 10   // the longest id of a job, a deduplication or a scheduler
	MaxName     = 1 << 10   // the longest name of a job, in bytes
	MaxData     = 64 << 20  // the longest data of a job as JSON, in bytes
)

// withDefaults returns o with what it leaves open taken from d.
func (o JobOptions) withDefaults(d *JobOptions) JobOptions {
	o.Delay = cmp.Or(o.Delay, d.Delay)
	o.Priority = cmp.Or(o.Priority, d.Priority)
	o.LIFO = o.LIFO || d.LIFO
	o.Attempts = cmp.Or(o.Attempts, d.Attempts)
	o.Backoff = cmp.Or(o.Backoff, d.Backoff)
	o.Timeout = cmp.Or(o.Timeout, d.Timeout)
	o.RemoveOnComplete = cmp.Or(o.RemoveOnComplete, d.RemoveOnComplete)
	o.RemoveOnFail = cmp.Or(o.RemoveOnFail, d.RemoveOnFail)
	o.KeepLogs = cmp.Or(o.KeepLogs, d.KeepLogs)
	o.StackTraceLimit = cmp.Or(o.StackTraceLimit, d.StackTraceLimit)
	o.SizeLimit = cmp.Or(o.SizeLimit, d.SizeLimit)
	o.OnFailure = cmp.Or(o.OnFailure, d.OnFailure)
	o.OmitContext = o.OmitContext || d.OmitContext
	return o
}

// validate returns what is wrong with the options, for their author.
func (o *JobOptions) validate() error {
	switch {
	case o.Delay < 0:
		return fmt.Errorf("delay %s is negative", o.Delay)
	case o.Priority < 0 || o.Priority > MaxPriority:
		return fmt.Errorf("priority %d is not within 0 and %d", o.Priority, MaxPriority)
	case o.Attempts < 0:
		return fmt.Errorf("attempts %d are negative", o.Attempts)
	case o.Backoff.Delay < 0:
		return fmt.Errorf("backoff delay %s is negative", o.Backoff.Delay)
	case !(o.Backoff.Jitter >= 0 && o.Backoff.Jitter <= 1):
		return fmt.Errorf("backoff jitter %v is not within 0 and 1", o.Backoff.Jitter)
	case o.Timeout < 0:
		return fmt.Errorf("timeout %s is negative", o.Timeout)
	case o.KeepLogs < 0:
		return fmt.Errorf("keep logs %d is negative", o.KeepLogs)
	case o.StackTraceLimit != nil && *o.StackTraceLimit < 0:
		return fmt.Errorf("stack trace limit %d is negative", *o.StackTraceLimit)
	case o.OnFailure < ParentWaits || o.OnFailure > ParentForgets:
		return fmt.Errorf("on failure %d is no rule", o.OnFailure)
	case o.Repeat != nil && !json.Valid(o.Repeat):
		return errors.New("repeat is not JSON")
	}
	for name, value := range o.Extra {
		if !json.Valid(value) {
			return fmt.Errorf("option %q is not JSON", name)
		}
		if knownOption(name) {
			return fmt.Errorf("option %q has a field of its own", name)
		}
	}
	if o.ID != "" {
		if err := validateID(o.ID); err != nil {
			return err
		}
	}
	if p := o.Parent; p != nil {
		if p.ID == "" || !strings.Contains(p.Queue, ":") {
			return fmt.Errorf("parent %q of queue %q: needs an id and a queue with its prefix", p.ID, p.Queue)
		}
	}
	if d := o.Deduplication; d != nil {
		switch {
		case d.ID == "" || len(d.ID) > MaxIDBytes || !utf8.ValidString(d.ID):
			return fmt.Errorf("deduplication id %.40q: needs 1 to %d bytes of UTF-8", d.ID, MaxIDBytes)
		case d.TTL < 0:
			return fmt.Errorf("deduplication time %s is negative", d.TTL)
		case o.Parent != nil:
			return errors.New("a job with a parent cannot be deduplicated")
		}
	}
	return nil
}

// validateID returns why id cannot be chosen for a job: it must differ from all that the counter gives and from the
// names of the queue's own keys.
func validateID(id string) error {
	switch {
	case len(id) > MaxIDBytes:
		return fmt.Errorf("job id %.40q… is longer than %d bytes", id, MaxIDBytes)
	case !utf8.ValidString(id):
		return fmt.Errorf("job id %q is not UTF-8", id)
	case isInteger(id):
		return fmt.Errorf("job id %q is an integer; those are given by the queue", id)
	case strings.HasPrefix(id, "0:"):
		return fmt.Errorf("job id %q begins with 0: like a marker of old versions", id)
	case reservedID(id):
		return fmt.Errorf("job id %q is the name of a key of the queue", id)
	}
	if n := strings.Count(id, ":"); n != 0 && n != 2 {
		return fmt.Errorf("job id %q has %d colons; 0 and 2 are allowed", id, n)
	}
	return nil
}

// reservedID tells whether a job of this id would be, or share, a key of the queue.
func reservedID(id string) bool {
	switch first, _, colon := strings.Cut(id, ":"); first {
	case keyWait, keyPaused, keyActive, keyPrioritized, keyDelayed, keyCompleted, keyFailed, keyWaitingChildren,
		keyMarker, keyMeta, keyID, keyPriorityCounter, keyEvents, keyStalled, keyStalledCheck, keyLimiter:
		return !colon
	case keyRepeat:
		return true
	default:
		return colon && (first+":" == keyDedup || first+":" == keyDedupNext || first+":" == keyMetrics)
	}
}

// isInteger tells whether s is an integer as JavaScript prints it.
func isInteger(s string) bool {
	s = strings.TrimPrefix(s, "-")
	return s == "0" || s != "" && s[0] != '0' && strings.Trim(s, "0123456789") == ""
}

// The names that options have in JSON.
const (
	optAttempts    = "attempts"
	optBackoff     = "backoff"
	optContinue    = "cpof"
	optDedup       = "de"
	optDelay       = "delay"
	optFail        = "fpof"
	optID          = "jobId"
	optIgnore      = "idof"
	optKeepLogs    = "kl"
	optLIFO        = "lifo"
	optOmitContext = "omc"
	optOnComplete  = "removeOnComplete"
	optOnFail      = "removeOnFail"
	optParent      = "parent"
	optPriority    = "priority"
	optRemove      = "rdof"
	optRepeat      = "repeat"
	optSizeLimit   = "sizeLimit"
	optTelemetry   = "tm"
	optTimeout     = "timeout"
	optTimestamp   = "timestamp"
	optTraceLimit  = "stackTraceLimit"
)

// The options of a child that mean a [ParentRule].
var ruleOptions = [...]string{ParentFails: optFail, ParentContinues: optContinue, ParentIgnores: optIgnore, ParentForgets: optRemove}

// knownOption tells whether the option with this name is decoded into a field.
func knownOption(name string) bool {
	var o JobOptions
	o.decode(name, "null")
	return o.Extra == nil
}

// decodeOptions reads options as any version may have stored them. What is damaged is left out and is an error; what
// could be read is always returned.
func decodeOptions(s string) (JobOptions, error) {
	var o JobOptions
	if err := eachMember(s, o.decode); err != nil {
		return o, fmt.Errorf("options: %w", err)
	}
	return o, nil
}

// decode reads one option.
func (o *JobOptions) decode(name, value string) {
	switch name {
	case optAttempts:
		o.Attempts = max(integer(value), 0)
	case optBackoff:
		o.Backoff = decodeBackoff(value)
	case optDedup:
		o.Deduplication = decodeDeduplication(value)
	case optDelay:
		o.Delay = max(millis(value), 0)
	case optID:
		o.ID = text(value)
	case optKeepLogs:
		o.KeepLogs = max(integer(value), 0)
	case optLIFO:
		o.LIFO = truth(value)
	case optOmitContext:
		o.OmitContext = truth(value)
	case optOnComplete:
		o.RemoveOnComplete = decodeKeep(value)
	case optOnFail:
		o.RemoveOnFail = decodeKeep(value)
	case optParent:
		o.Parent = decodeParent(value)
	case optPriority:
		o.Priority = max(integer(value), 0)
	case optRepeat:
		if value != "null" && json.Valid([]byte(value)) {
			o.Repeat = json.RawMessage(value)
		}
	case optSizeLimit:
		o.SizeLimit = max(integer(value), 0)
	case optTelemetry:
		o.TelemetryMetadata = text(value)
	case optTimeout:
		o.Timeout = max(millis(value), 0)
	case optTimestamp:
		o.Timestamp = moment(value)
	case optTraceLimit:
		if n, ok := number(value); ok {
			limit := max(int(clamp(n)), 0)
			o.StackTraceLimit = &limit
		}
	default:
		if rule := slices.Index(ruleOptions[:], name); rule > 0 {
			if truth(value) {
				o.OnFailure = ParentRule(rule)
			}
			return
		}
		if json.Valid([]byte(value)) {
			if o.Extra == nil {
				o.Extra = make(map[string]json.RawMessage)
			}
			o.Extra[name] = json.RawMessage(value)
		}
	}
}

func decodeBackoff(raw string) (b Backoff) {
	if _, ok := number(raw); ok {
		return Backoff{Type: BackoffFixed, Delay: max(millis(raw), 0)}
	}
	eachMember(raw, func(name, value string) { //nolint:errcheck // no object, no backoff
		switch name {
		case "type":
			b.Type = text(value)
		case "delay":
			b.Delay = max(millis(value), 0)
		case "jitter":
			f, _ := number(value)
			b.Jitter = max(0, min(f, 1))
		}
	})
	return b
}

func decodeKeep(raw string) *Keep {
	if n, ok := number(raw); ok {
		return keepCount(n)
	}
	switch {
	case raw == "true":
		return KeepNone()
	case raw == "false", raw[0] == '[':
		return KeepAll()
	case raw[0] != '{':
		return nil
	}
	keep := KeepAll()
	eachMember(raw, func(name, value string) { //nolint:errcheck // what can be read of it counts
		n, ok := number(value)
		if !ok || n < 0 {
			return
		}
		switch name {
		case "count":
			keep.None = keep.None || n < 1
			keep.Count = int(clamp(n))
		case "age":
			keep.None = keep.None || n == 0
			keep.Age = duration(n, time.Second)
		case "limit":
			keep.Limit = int(clamp(n))
		}
	})
	return keep
}

// keepCount reads a number where a [Keep] is expected: a negative one keeps all.
func keepCount(n float64) *Keep {
	if n < 0 {
		return KeepAll()
	}
	return KeepLast(int(clamp(n)))
}

func decodeDeduplication(raw string) *Deduplication {
	var d Deduplication
	eachMember(raw, func(name, value string) { //nolint:errcheck // without an id it is none
		switch name {
		case "id":
			d.ID = text(value)
		case "ttl":
			d.TTL = max(millis(value), 0)
		case "extend":
			d.Extend = truth(value)
		case "replace":
			d.Replace = truth(value)
		case "keepLastIfActive":
			d.KeepLastIfActive = truth(value)
		case "reschedule":
			d.RescheduleDelayed = truth(value)
		}
	})
	if d.ID == "" {
		return nil
	}
	return &d
}

func decodeParent(raw string) *Parent {
	var p Parent
	eachMember(raw, func(name, value string) { //nolint:errcheck // without an id it is none
		switch name {
		case "id":
			p.ID = text(value)
		case "queue", "queueKey":
			p.Queue = text(value)
		}
	})
	if p.ID == "" {
		return nil
	}
	return &p
}

// appendOptions appends o as it is stored. Node always writes the number of attempts, and so do we.
func appendOptions(b []byte, o *JobOptions) []byte {
	b = append(b, `{"attempts":`...)
	b = strconv.AppendInt(b, int64(o.Attempts), 10)
	if o.Backoff != (Backoff{}) {
		b = append(b, `,"backoff":{"type":`...)
		b = appendText(b, cmp.Or(o.Backoff.Type, BackoffFixed))
		b = appendNumber(b, "delay", o.Backoff.Delay.Milliseconds())
		if o.Backoff.Jitter != 0 {
			b = append(b, `,"jitter":`...)
			b = strconv.AppendFloat(b, o.Backoff.Jitter, 'f', -1, 64)
		}
		b = append(b, '}')
	}
	b = appendNumber(b, optDelay, o.Delay.Milliseconds())
	b = appendNumber(b, optPriority, int64(o.Priority))
	b = appendTrue(b, optLIFO, o.LIFO)
	if o.ID != "" {
		b = appendText(append(b, `,"jobId":`...), o.ID)
	}
	b = appendKeep(b, optOnComplete, o.RemoveOnComplete)
	b = appendKeep(b, optOnFail, o.RemoveOnFail)
	b = appendNumber(b, optTimeout, o.Timeout.Milliseconds())
	b = appendNumber(b, optKeepLogs, int64(o.KeepLogs))
	b = appendNumber(b, optSizeLimit, int64(o.SizeLimit))
	if o.StackTraceLimit != nil {
		b = append(b, `,"stackTraceLimit":`...)
		b = strconv.AppendInt(b, int64(*o.StackTraceLimit), 10)
	}
	if !o.Timestamp.IsZero() {
		b = appendNumber(b, optTimestamp, o.Timestamp.UnixMilli())
	}
	if d := o.Deduplication; d != nil {
		b = appendText(append(b, `,"de":{"id":`...), d.ID)
		b = appendNumber(b, "ttl", d.TTL.Milliseconds())
		b = appendTrue(b, "extend", d.Extend)
		b = appendTrue(b, "replace", d.Replace)
		b = appendTrue(b, "keepLastIfActive", d.KeepLastIfActive)
		b = appendTrue(b, "reschedule", d.RescheduleDelayed)
		b = append(b, '}')
	}
	if p := o.Parent; p != nil {
		b = appendText(append(b, `,"parent":{"id":`...), p.ID)
		b = appendText(append(b, `,"queue":`...), p.Queue)
		b = append(b, '}')
	}
	if o.OnFailure != ParentWaits {
		b = appendTrue(b, ruleOptions[o.OnFailure], true)
	}
	if o.TelemetryMetadata != "" {
		b = appendText(append(b, `,"tm":`...), o.TelemetryMetadata)
	}
	b = appendTrue(b, optOmitContext, o.OmitContext)
	if o.Repeat != nil {
		b = append(append(b, `,"repeat":`...), o.Repeat...)
	}
	if len(o.Extra) > 0 { // sorting nothing still allocates
		for _, name := range slices.Sorted(maps.Keys(o.Extra)) {
			b = append(appendText(append(b, ','), name), ':')
			b = append(b, o.Extra[name]...)
		}
	}
	return append(b, '}')
}

// appendParent appends p as it is stored with the child.
func appendParent(b []byte, p *Parent, rule ParentRule) []byte {
	b = appendText(append(b, `{"id":`...), p.ID)
	b = appendText(append(b, `,"queueKey":`...), p.Queue)
	if rule != ParentWaits {
		b = appendTrue(b, ruleOptions[rule], true)
	}
	return append(b, '}')
}

// appendKeep appends what is kept in the shortest form that says it.
func appendKeep(b []byte, name string, k *Keep) []byte {
	if k == nil {
		return b
	}
	b = appendName(b, name)
	switch {
	case k.None:
		return append(b, "true"...)
	case k.Age == 0 && k.Count == 0:
		return append(b, "false"...)
	case k.Age == 0:
		return strconv.AppendInt(b, int64(k.Count), 10)
	}
	b = append(b, `{"age":`...)
	b = strconv.AppendFloat(b, k.Age.Seconds(), 'f', -1, 64)
	b = appendNumber(b, "count", int64(k.Count))
	b = appendNumber(b, "limit", int64(k.Limit))
	return append(b, '}')
}

// appendNumber appends a further member that is a number, unless it is 0.
func appendNumber(b []byte, name string, n int64) []byte {
	if n == 0 {
		return b
	}
	return strconv.AppendInt(appendName(b, name), n, 10)
}

// appendTrue appends a further member that is true, unless it is not.
func appendTrue(b []byte, name string, is bool) []byte {
	if !is {
		return b
	}
	return append(appendName(b, name), "true"...)
}

// appendName appends the name of a further member of an object; the name needs no escapes.
func appendName(b []byte, name string) []byte {
	b = append(b, `,"`...)
	b = append(b, name...)
	return append(b, `":`...)
}
