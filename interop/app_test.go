package interop

import (
	"encoding/json"
	"net/http"
	"testing"

	"loupe/internal/testenv"
)

// app is a user's app: the official client in socketio/client.mjs.
type app struct{ *testenv.Process }

// happening is a line that the app prints.
type happening struct {
	Connected string // the transport
	Refused   *struct {
		Message string
		Data    struct{ Code string }
	}
	Answer *struct {
		Status int
		Body   struct{ Data struct{ AssetID string } }
	}
	Event  string
	Data   json.RawMessage
	Faults json.RawMessage
}

// processed is an asset_processed, as far as tests look into it.
type processed struct {
	AssetID           string
	Status            string
	AIMetadata        map[string]field
	ProcessedImageURL string
	Error             string
	Timestamp         string

	raw string // the whole of it
}

type field struct {
	Value      string
	Confidence float64
}

// open starts an app. since may be empty.
func open(t *testing.T, s server, transport, token, since string) app {
	t.Helper()
	options := map[string]string{"url": s.url, "transport": transport, "token": token}
	if since != "" {
		options["since"] = since
	}
	arg, err := json.Marshal(options)
	if err != nil {
		t.Fatal(err)
	}
	return app{testenv.StartNode(t, "socketio/client.mjs", string(arg))}
}

// next waits for a line of one kind: how it begins.
func (a app) next(t *testing.T, kind string) (h happening) {
	t.Helper()
	line := a.Line(t, kind)
	if err := json.Unmarshal([]byte(line), &h); err != nil {
		t.Fatalf("%v in %s", err, line)
	}
	return h
}

// connected waits until the app is connected, by that transport.
func (a app) connected(t *testing.T, transport string) {
	t.Helper()
	if h := a.next(t, `{"connected"`); h.Connected != transport {
		t.Fatalf("connected by %q, want %q", h.Connected, transport)
	}
}

// upload has the app send a photo, and returns the id of its asset.
func (a app) upload(t *testing.T, category string) string {
	t.Helper()
	order, err := json.Marshal(map[string]string{"upload": photo(t), "category": category})
	if err != nil {
		t.Fatal(err)
	}
	a.Say(t, string(order))
	h := a.next(t, `{"answer"`)
	if h.Answer.Status != http.StatusAccepted {
		t.Fatalf("upload answered %d", h.Answer.Status)
	}
	return h.Answer.Body.Data.AssetID
}

// processed waits for the next asset_processed, which must be true to its schema.
func (a app) processed(t *testing.T) (p processed) {
	t.Helper()
	h := a.next(t, `{"event":"asset_processed"`)
	if string(h.Faults) != "null" {
		t.Errorf("%s breaks the schema: %s", h.Data, h.Faults)
	}
	if err := json.Unmarshal(h.Data, &p); err != nil {
		t.Fatalf("%v in %s", err, h.Data)
	}
	p.raw = string(h.Data)
	return p
}
