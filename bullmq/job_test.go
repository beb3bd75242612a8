package bullmq

import (
	"encoding/json"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// read decodes a stored job.
func read(t testing.TB, fields map[string]string) *Job {
	t.Helper()
	job := newJob(nil, newKeys("bull", "mail"), "1")
	for name, value := range fields {
		if err := job.setField(name, value); err != nil {
			t.Error(err)
		}
	}
	return job
}

func TestReadJob(t *testing.T) {
	t.Parallel()
	full := map[string]string{
		"name": "a", "data": `{"x":1}`, "opts": `{"attempts":3}`, "timestamp": "1795435105922", "delay": "500", "priority": "7",
		"parentKey": "bull:o:2", "parent": `{"id":"2"}`, "rjk": "s", "deid": "d", "processedOn": "1795435105923", "ats": "3", "pb": "w", "atm": "2",
		"stc": "1", "defa": "gone", "progress": "50", "returnvalue": `{"ok":1}`, "failedReason": "boom", "stacktrace": `["a","b\n\u00e9"]`,
		"finishedOn": "1795435105924", "unknown": "x",
	}
	want := &Job{
		ID: "1", Name: "a", Data: json.RawMessage(`{"x":1}`), Options: JobOptions{Attempts: 3}, Timestamp: time.UnixMilli(1795435105922),
		ProcessedOn: time.UnixMilli(1795435105923), FinishedOn: time.UnixMilli(1795435105924), Delay: 500 * time.Millisecond, Priority: 7,
		AttemptsMade: 2, AttemptsStarted: 3, StalledCount: 1, FailedReason: "boom", Stacktrace: []string{"a", "b\né"},
		ReturnValue: json.RawMessage(`{"ok":1}`), ProgressValue: json.RawMessage("50"), DeferredFailure: "gone", ProcessedBy: "w",
		DeduplicationID: "d", SchedulerID: "s", ParentKey: "bull:o:2",
	}
	ignore := cmpopts.IgnoreUnexported(Job{})
	if diff := cmp.Diff(want, read(t, full), ignore); diff != "" {
		t.Errorf("full (-want +got):\n%s", diff)
	}
	odd := read(t, map[string]string{
		"delay": "NaN", "priority": "-1", "timestamp": "1.795435105922e+12", "processedOn": "", "ats": "x", "atm": "5", "attemptsMade": "4",
		"stacktrace": `{}`, "returnvalue": "plain <text>", "progress": "", "stc": "1e99",
	})
	want = &Job{
		ID: "1", Timestamp: time.UnixMilli(1795435105922), AttemptsMade: 4, ReturnValue: json.RawMessage(`"plain <text>"`),
		ProgressValue: json.RawMessage(`""`), StalledCount: 1 << 53,
	}
	if diff := cmp.Diff(want, odd, ignore); diff != "" {
		t.Errorf("odd (-want +got):\n%s", diff)
	}
	if err := odd.setField("opts", "rubbish"); err == nil || !strings.Contains(err.Error(), "job 1: options") {
		t.Errorf("options that are none: %v", err)
	}
	if got := read(t, map[string]string{"stacktrace": `[1,null,{"a":[]}]`}).Stacktrace; !cmp.Equal(got, []string{"1", "", `{"a":[]}`}) {
		t.Errorf("stacktrace %q", got)
	}
}

func TestBind(t *testing.T) {
	t.Parallel()
	var v struct{ X int }
	if err := read(t, map[string]string{"data": `{"x":7}`}).Bind(&v); err != nil || v.X != 7 {
		t.Errorf("%+v, %v", v, err)
	}
	for _, data := range []string{"", "{", `{"x":"y"}`} {
		if err := read(t, map[string]string{"data": data}).Bind(&v); err == nil || !strings.Contains(err.Error(), "data of job 1") {
			t.Errorf("%q: %v", data, err)
		}
	}
}

// A job that anybody has put together in Redis can be read, and be written as JSON.
func FuzzReadJob(f *testing.F) {
	f.Add("opts", `{"attempts":3}`, "timestamp", "1795435105922")
	f.Add("stacktrace", `["a",1,null]`, "returnvalue", "plain")
	f.Add("progress", "\xff", "delay", "1e999")
	f.Add("attemptsMade", "-7", "atm", "7")
	f.Add("failedReason", "\x00", "data", "{")
	f.Fuzz(func(t *testing.T, name1, value1, name2, value2 string) {
		job := newJob(nil, newKeys("bull", "mail"), "1")
		for name, value := range maps.All(map[string]string{name1: value1, name2: value2}) {
			job.setField(name, value)
		}
		for name, value := range map[string]json.RawMessage{"return value": job.ReturnValue, "progress": job.ProgressValue} {
			if value != nil && !json.Valid(value) {
				t.Errorf("%s %q is not JSON", name, value)
			}
		}
		if job.Delay < 0 || job.Priority < 0 || job.AttemptsMade < 0 || job.AttemptsStarted < 0 || job.StalledCount < 0 || job.Attempt() < 1 {
			t.Errorf("%+v", job)
		}
		var v any
		if err := job.Bind(&v); err == nil != json.Valid(job.Data) {
			t.Errorf("data %q: %v", job.Data, err)
		}
	})
}
