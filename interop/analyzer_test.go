package interop

import (
	"net/http"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"loupe/internal/testenv"
)

// contractCase is a line of the AI contract: what the service answers, and what becomes of the photo.
type contractCase struct {
	name    string // also the category, by which the service knows what to answer
	answers []answer

	// What is wanted.
	status   string
	attempts int              // spent, the last included
	asked    int              // how often the service was
	fields   map[string]field // that the event has; brand and model are empty if not here
	url      string           // of the processed image
	reason   string           // what the operator reads of a dead letter: a part of it
}

func TestAIContract(t *testing.T) {
	t.Parallel()
	ai := startAI(t, "0")
	script := make(map[string][]answer)
	for _, c := range contract {
		script[c.name] = c.answers
	}
	ai.behave(t, script)
	s := serve(t, t.TempDir(), "AI_SERVICE_URL="+ai.url, "LOUPE_AI_TIMEOUT=1s", categories(contract))
	owner := open(t, s, "websocket", token(t, "owner", ""), "")
	owner.connected(t, "websocket")
	for _, c := range contract { // one after the other: a service that is away holds up all photos
		t.Run(c.name, func(t *testing.T) { c.run(t, s, ai, owner) })
	}
}

func categories(cases []contractCase) string {
	names := make([]string, len(cases))
	for i, c := range cases {
		names[i] = c.name
	}
	return "LOUPE_CATEGORIES=" + strings.Join(names, ",")
}

func (c contractCase) run(t *testing.T, s server, ai aiService, owner app) {
	asset := owner.upload(t, c.name)
	told := owner.processed(t)
	if told.AssetID != asset || told.Status != c.status {
		t.Fatalf("told %s, want asset %s %s", told.raw, asset, c.status)
	}
	if c.status == "failed" {
		if told.Error == "" || c.reason != "" && strings.Contains(told.Error, c.reason) {
			t.Errorf("told the error %q, want a sentence for the user", told.Error)
		}
		c.checkDeadLetter(t, s, asset)
	} else {
		c.checkFields(t, told)
	}
	c.checkAsset(t, s, asset)
	c.checkQuestions(t, asset, ai.seen(t, c.name))
}

func (c contractCase) checkFields(t *testing.T, told processed) {
	t.Helper()
	want := map[string]field{"brand": {}, "model": {}}
	for name, f := range c.fields {
		want[name] = f
	}
	if !reflect.DeepEqual(told.AIMetadata, want) || told.ProcessedImageURL != c.url {
		t.Errorf("told %s, want %v and %q", told.raw, want, c.url)
	}
}

// checkAsset looks at what the owner can read later: the asset and what happened to it.
func (c contractCase) checkAsset(t *testing.T, s server, asset string) {
	t.Helper()
	var now struct{ Status string }
	s.get(t, "/api/assets/"+asset, token(t, "owner", ""), &now)
	if now.Status != c.status {
		t.Errorf("status %q, want %q", now.Status, c.status)
	}
	var log timeline
	s.get(t, "/api/assets/"+asset+"/events", token(t, "owner", ""), &log)
	retries := 0
	for _, e := range log.Items {
		if e.Event == "retrying" {
			retries++
		}
	}
	last := log.Items[len(log.Items)-1]
	if last.Event != "finished" || last.Attempt != c.attempts || retries != c.attempts-1 {
		t.Errorf("timeline %+v, want it finished in attempt %d", log.Items, c.attempts)
	}
}

func (c contractCase) checkDeadLetter(t *testing.T, s server, asset string) {
	t.Helper()
	var letters deadLetters
	eventually(t, "a dead letter", func() bool { // the owner is told first
		s.get(t, "/api/admin/failed-jobs?assetId="+asset, token(t, "operator", "admin"), &letters)
		return len(letters.Items) == 1
	})
	if l := letters.Items[0]; l.AttemptsMade != c.attempts || !strings.Contains(l.FailureReason, c.reason) {
		t.Errorf("dead letter %+v, want %d attempts and the reason %q", l, c.attempts, c.reason)
	}
}

var traceparent = regexp.MustCompile(`^00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$`)

func (c contractCase) checkQuestions(t *testing.T, asset string, asked []question) {
	t.Helper()
	if len(asked) != c.asked {
		t.Errorf("the service was asked %d times, want %d", len(asked), c.asked)
	}
	for _, q := range asked {
		h := q.Headers
		if h["content-type"] != "application/json" || h["x-asset-id"] != asset || h["x-job-id"] != asset+"-1" ||
			h["x-request-id"] == "" || !traceparent.MatchString(h["traceparent"]) {
			t.Errorf("asked with the headers %v", h)
		}
		if q.ImageType != "image/png" {
			t.Errorf("the service found an image of type %q", q.ImageType)
		}
	}
}

// eventually waits until that is so, at most half a minute.
func eventually(t *testing.T, what string, so func() bool) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(2 * time.Minute); !so(); <-tick.C {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

// A service whose model forbids fields that it does not know gets the ones it wants.
func TestAIFields(t *testing.T) {
	t.Parallel()
	ai := startAI(t, "0")
	for _, c := range []struct {
		path, fields string
		contractCase
	}{
		{"", "camel", contractCase{status: "active"}},
		{"/snake", "snake", contractCase{status: "active"}},
		{"", "snake", contractCase{status: "failed"}}, // 422 Unprocessable Entity
		{"/snake", "camel", contractCase{status: "failed"}},
	} {
		t.Run(c.fields+" to "+c.path, func(t *testing.T) {
			t.Parallel()
			s := serve(t, t.TempDir(), "AI_SERVICE_URL="+ai.url+c.path, "LOUPE_AI_FIELDS="+c.fields)
			owner := open(t, s, "websocket", token(t, "owner", ""), "")
			owner.connected(t, "websocket")
			owner.upload(t, "sneaker")
			if told := owner.processed(t); told.Status != c.status {
				t.Errorf("told %s, want %s", told.raw, c.status)
			}
		})
	}
}

// A photo that comes while nothing listens where the service should be is not even begun, and waits for it.
func TestAIServiceThatComesLater(t *testing.T) {
	t.Parallel()
	port := testenv.FreePort(t)
	s := serve(t, t.TempDir(), "AI_SERVICE_URL=http://127.0.0.1:"+port)
	owner := open(t, s, "websocket", token(t, "owner", ""), "")
	owner.connected(t, "websocket")
	asset := owner.upload(t, "sneaker")
	eventually(t, "the service to be missed", func() bool {
		var r readiness
		s.get(t, "/readyz", "", &r)
		return r.AIService.Status == "unavailable"
	})
	startAI(t, port)
	if told := owner.processed(t); told.AssetID != asset || told.Status != "active" {
		t.Errorf("told %s, want asset %s active", told.raw, asset)
	}
	contractCase{status: "active", attempts: 1}.checkAsset(t, s, asset)
}

// With LOUPE_OUTAGE=fail a service that is away costs attempts.
func TestOutageThatFails(t *testing.T) {
	t.Parallel()
	ai := startAI(t, "0")
	c := contractCase{
		name: "other", answers: []answer{{Status: http.StatusBadGateway, Body: said}},
		status: "failed", attempts: 3, asked: 3, reason: "the service's own words",
	}
	ai.behave(t, map[string][]answer{c.name: c.answers})
	s := serve(t, t.TempDir(), "AI_SERVICE_URL="+ai.url, "LOUPE_OUTAGE=fail")
	owner := open(t, s, "websocket", token(t, "owner", ""), "")
	owner.connected(t, "websocket")
	c.run(t, s, ai, owner)
}
