package interop

import (
	"encoding/json"
	"time"

	"loupe/bullmq"
)

// goOptions makes our options of Node's.
func goOptions(opts any) (o bullmq.JobOptions) {
	for name, value := range to[obj](opts) {
		switch name {
		case "jobId":
			o.ID = to[string](value)
		case "delay":
			o.Delay = millis(to[int64](value))
		case "timestamp":
			o.Timestamp = time.UnixMilli(to[int64](value))
		case "priority":
			o.Priority = to[int](value)
		case "lifo":
			o.LIFO = to[bool](value)
		case "attempts":
			o.Attempts = to[int](value)
		case "backoff":
			o.Backoff = goBackoff(value)
		case "removeOnComplete":
			o.RemoveOnComplete = goKeep(value)
		case "removeOnFail":
			o.RemoveOnFail = goKeep(value)
		case "keepLogs":
			o.KeepLogs = to[int](value)
		case "stackTraceLimit":
			limit := to[int](value)
			o.StackTraceLimit = &limit
		case "sizeLimit":
			o.SizeLimit = to[int](value)
		case "deduplication":
			d := to[struct {
				ID                                            string
				TTL                                           int64
				Extend, Replace, KeepLastIfActive, Reschedule bool
			}](value)
			o.Deduplication = &bullmq.Deduplication{
				ID: d.ID, TTL: millis(d.TTL), Extend: d.Extend, Replace: d.Replace, KeepLastIfActive: d.KeepLastIfActive, RescheduleDelayed: d.Reschedule,
			}
		case "parent":
			parent := to[bullmq.Parent](value)
			o.Parent = &parent
		case "telemetry":
			t := to[struct {
				Metadata    string
				OmitContext bool
			}](value)
			o.TelemetryMetadata, o.OmitContext = t.Metadata, t.OmitContext
		case "failParentOnFailure":
			o.OnFailure = bullmq.ParentFails
		case "continueParentOnFailure":
			o.OnFailure = bullmq.ParentContinues
		case "ignoreDependencyOnFailure":
			o.OnFailure = bullmq.ParentIgnores
		case "removeDependencyOnFailure":
			o.OnFailure = bullmq.ParentForgets
		default:
			if o.Extra == nil {
				o.Extra = map[string]json.RawMessage{}
			}
			o.Extra[name] = encode(value)
		}
	}
	return o
}

// goRepeat makes our schedule of Node's.
func goRepeat(value any) bullmq.Repeat {
	r := to[struct {
		Every, Offset      int64
		Pattern, TZ        string
		Limit              int
		StartDate, EndDate any
		Immediately        bool
	}](value)
	date := func(value any) time.Time {
		switch value := value.(type) {
		case string:
			return to[time.Time](value)
		case float64:
			return time.UnixMilli(int64(value))
		}
		return time.Time{}
	}
	return bullmq.Repeat{
		Every: millis(r.Every), Offset: millis(r.Offset), Pattern: r.Pattern, TZ: r.TZ, Limit: r.Limit,
		Start: date(r.StartDate), End: date(r.EndDate), Immediately: r.Immediately,
	}
}

func goBackoff(value any) bullmq.Backoff {
	if _, is := value.(obj); !is {
		return bullmq.Fixed(millis(to[int64](value)))
	}
	b := to[struct {
		Type   string
		Delay  int64
		Jitter float64
	}](value)
	return bullmq.Backoff{Type: b.Type, Delay: millis(b.Delay), Jitter: b.Jitter}
}

func goKeep(value any) *bullmq.Keep {
	switch value := value.(type) {
	case nil:
		return nil
	case bool:
		if value {
			return bullmq.KeepNone()
		}
		return bullmq.KeepAll()
	case obj:
		k := to[struct {
			Count      *int
			Age, Limit int
		}](value)
		keep := bullmq.KeepAll()
		if k.Count != nil {
			keep = bullmq.KeepLast(*k.Count)
		}
		keep.Age, keep.Limit = time.Duration(k.Age)*time.Second, k.Limit
		return keep
	default:
		return bullmq.KeepLast(to[int](value))
	}
}
