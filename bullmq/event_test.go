package bullmq

import (
	"encoding/json"
	"maps"
	"testing"
	"time"

	"github.com/redis/rueidis"
)

// stored makes an event of names and values in turn.
func stored(id string, fields ...string) Event {
	var list []rueidis.XRangeFieldValue
	for i := 0; i+1 < len(fields); i += 2 {
		list = append(list, rueidis.XRangeFieldValue{Field: fields[i], Value: fields[i+1]})
	}
	return newEvent(id, list)
}

func TestEvent(t *testing.T) {
	t.Parallel()
	completed := stored("1795435105922-3", "event", "completed", "jobId", "7", "returnvalue", `{"ok":1}`, "prev", "active")
	if completed.Name != EventCompleted || completed.JobID != "7" || completed.Prev() != "active" ||
		string(completed.ReturnValue()) != `{"ok":1}` || !completed.Time().Equal(time.UnixMilli(1795435105922)) {
		t.Errorf("completed: %+v", completed)
	}
	if fields := maps.Collect(completed.Fields()); len(fields) != 4 || fields["prev"] != "active" {
		t.Errorf("fields %v", fields)
	}
	for range completed.Fields() {
		break
	}
	if failed := stored("1-0", "event", "failed", "jobId", "7", "failedReason", "no such shoe"); failed.FailedReason() != "no such shoe" || failed.ReturnValue() != nil {
		t.Errorf("failed: %+v", failed)
	}
	if delayed := stored("1-0", "event", "delayed", "jobId", "7", "delay", "1795435110927"); !delayed.Due().Equal(time.UnixMilli(1795435110927)) {
		t.Errorf("due %v", delayed.Due())
	}
	if removed := stored("1-0", "event", "removed", "jobId", "7", "prev", "wait"); removed.Prev() != StateWaiting {
		t.Errorf("removed from %q", removed.Prev())
	}
	if progress := stored("1-0", "event", "progress", "jobId", "7", "data", "50"); string(progress.Progress()) != "50" {
		t.Errorf("progress %s", progress.Progress())
	}
	if spent := stored("1-0", "event", "retries-exhausted", "jobId", "7", "attemptsMade", "3"); spent.AttemptsMade() != 3 {
		t.Errorf("%d attempts", spent.AttemptsMade())
	}
	if cleaned := stored("1-0", "event", "cleaned", "count", "12"); cleaned.Count() != 12 || cleaned.JobID != "" {
		t.Errorf("cleaned: %+v", cleaned)
	}
	if custom := stored("1-0", "event", "shoe-found", "size", "43"); custom.Name != "shoe-found" || custom.Field("size") != "43" || custom.Field("colour") != "" {
		t.Errorf("custom: %+v", custom)
	}
	if broken := stored("?", "event", "completed", "returnvalue", `{"ok":`); string(broken.ReturnValue()) != `"{\"ok\":"` || !broken.Time().IsZero() {
		t.Errorf("broken: %s at %v", broken.ReturnValue(), broken.Time())
	}
}

// Whatever somebody has put into the stream, it can be asked for and makes valid JSON.
func FuzzEvent(f *testing.F) {
	f.Add("1795435105922-3", "event", "completed", "returnvalue", `{"ok":1}`)
	f.Add("0", "delay", "1e400", "data", "{")
	f.Add("18446744073709551615-18446744073709551615", "attemptsMade", "-1", "count", "NaN")
	f.Add("", "missed", "9223372036854775808", "prev", "\xff")
	f.Fuzz(func(t *testing.T, id, name1, value1, name2, value2 string) {
		e := stored(id, name1, value1, name2, value2)
		if e.Field(name1) != value1 {
			t.Errorf("field %q is %q, not %q", name1, e.Field(name1), value1)
		}
		for _, raw := range []json.RawMessage{e.ReturnValue(), e.Progress()} {
			if raw != nil && !json.Valid(raw) {
				t.Errorf("%q is not JSON", raw)
			}
		}
		e.Time()
		e.Prev()
		e.Due()
		e.FailedReason()
		e.AttemptsMade()
		e.Count()
		e.Missed()
		if parsed, ok := parseStreamID(id); ok {
			if again, ok := parseStreamID(parsed.String()); !ok || again != parsed || parsed.before(again) {
				t.Errorf("%q is read as %v, which is read as %v", id, parsed, again)
			}
		}
	})
}
