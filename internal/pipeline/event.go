package pipeline

import (
	"bytes"
	"context"
	"encoding/json"
	"slices"
	"time"

	"loupe/internal/asset"
	"loupe/internal/failpoint"
)

// Event is something an owner's open apps are told.
type Event struct {
	Name    string
	Payload json.RawMessage
}

// The events of the realtime contract.
const (
	EventProcessed = "asset_processed" // a run has ended; its payload is kept with the asset
	EventProgress  = "asset_progress"  // on the way there
	EventResync    = "asset_resync"    // too much was missed: list the assets instead
	EventService   = "ai_service"      // the AI service went away, or is back; told to everybody
)

// What an EventProgress tells.
const (
	progressQueued    = "queued"
	progressAnalyzing = "analyzing"
	progressRetrying  = "retrying"
)

// isoMillis formats an instant as ISO 8601 in UTC with milliseconds, as JavaScript's Date does.
func isoMillis(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }

type processedPayload struct {
	Event             string          `json:"event"`
	AssetID           string          `json:"assetId"`
	Status            asset.Status    `json:"status"`
	AIMetadata        *metadataFields `json:"aiMetadata,omitempty"`
	ProcessedImageURL string          `json:"processedImageUrl,omitempty"`
	Error             string          `json:"error,omitempty"`
	Timestamp         string          `json:"timestamp"`
}

// metadataFields always has brand and model: an unknown one is the zero field.
type metadataFields struct {
	Brand    asset.Field  `json:"brand"`
	Model    asset.Field  `json:"model"`
	Colorway *asset.Field `json:"colorway,omitempty"`
}

// processedEvent returns the payload of asset_processed (asset-processed.schema.json).
func processedEvent(assetID string, status asset.Status, an *asset.Analysis, processedURL string, at time.Time) (json.RawMessage, error) {
	payload := processedPayload{Event: EventProcessed, AssetID: assetID, Status: status, Timestamp: isoMillis(at)}
	if status == asset.Failed {
		payload.Error = an.Error
	} else {
		payload.ProcessedImageURL = processedURL
		payload.AIMetadata = &metadataFields{Colorway: an.Colorway}
		if an.Brand != nil {
			payload.AIMetadata.Brand = *an.Brand
		}
		if an.Model != nil {
			payload.AIMetadata.Model = *an.Model
		}
	}
	return marshalPlain(payload)
}

// marshalPlain encodes as JavaScript does, without what [json.Marshal] escapes for HTML's sake: on the way through Redis
// an event is decoded and encoded anew, and whoever gets it again from the store must find the same bytes.
func marshalPlain(v any) (json.RawMessage, error) {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimRight(b.Bytes(), "\n"), nil
}

type progressPayload struct {
	AssetID     string `json:"assetId"`
	Status      string `json:"status"`
	Attempt     int    `json:"attempt"`
	MaxAttempts int    `json:"maxAttempts"`
	RetryAt     string `json:"retryAt,omitempty"`
	Position    int    `json:"position,omitempty"` // about how many are to start before it, and itself
	Timestamp   string `json:"timestamp"`
}

// tellQueued tells the owner that the asset is about to be put at the end of the line.
func (p *Pipeline) tellQueued(ctx context.Context, a asset.Asset) {
	payload := progressPayload{Status: progressQueued, MaxAttempts: p.MaxAttempts}
	if waiting, _, known := p.line.length(ctx, p.Jobs); known {
		payload.Position = waiting + 1
	}
	p.line.join()
	p.progress(ctx, a, payload)
}

// progress tells the owner where the asset is.
func (p *Pipeline) progress(ctx context.Context, a asset.Asset, payload progressPayload) {
	payload.AssetID, payload.Timestamp = a.ID, isoMillis(asset.Now())
	data, err := json.Marshal(payload)
	if err == nil {
		err = p.Notifier.Notify(ctx, a.Owner, Event{Name: EventProgress, Payload: data})
	}
	if err != nil {
		p.Log.DebugContext(ctx, "progress not told", "asset", a.ID, "error", err)
	}
}

// announce sends the terminal event of a run and then notes in the store that it was sent. If either fails the asset
// keeps its EventPending, and the reconciler sends the same bytes again.
func (p *Pipeline) announce(ctx context.Context, a asset.Asset, payload json.RawMessage) {
	err := p.Notifier.Notify(ctx, a.Owner, Event{Name: EventProcessed, Payload: payload})
	if err != nil {
		p.Log.WarnContext(ctx, "event not told, will be repeated", "asset", a.ID, "job", a.JobID, "error", err)
		return
	}
	failpoint.Here("event told")
	sent := false
	_, err = p.Assets.Transition(ctx, a.ID, asset.Change{
		From:         []asset.Status{asset.Active, asset.Partial, asset.Failed, asset.Archived},
		JobID:        a.JobID,
		EventPending: &sent,
	})
	if err != nil && !gone(err) {
		p.Log.WarnContext(ctx, "event told but not noted, will be repeated", "asset", a.ID, "job", a.JobID, "error", err)
	}
	failpoint.Here("event settled")
}

// announceAgain sends the stored event of the asset's last finished run.
func (p *Pipeline) announceAgain(ctx context.Context, a asset.Asset) error {
	entries, err := p.Assets.Timeline(ctx, asset.TimelineQuery{AssetID: a.ID})
	if err != nil {
		return err
	}
	if last := lastFinished(entries); last != nil {
		p.announce(ctx, a, last.Payload)
	}
	return nil
}

// sinceQueued returns what has happened since the asset was put on the queue last.
func sinceQueued(entries []asset.Entry) []asset.Entry {
	for i := len(entries) - 1; i >= 0; i-- {
		if entries[i].Event == asset.EventQueued {
			return entries[i:]
		}
	}
	return entries
}

func lastFinished(entries []asset.Entry) *asset.Entry {
	for i := len(entries) - 1; i >= 0; i-- {
		if entries[i].Event == asset.EventFinished {
			return &entries[i]
		}
	}
	return nil
}

// MissedLimit and MissedWindow bound what [Pipeline.Missed] gives back.
const (
	MissedLimit  = 500
	MissedWindow = 7 * 24 * time.Hour
)

// Missed finds the terminal events of an owner's assets after since, oldest first, as the very bytes that were sent,
// and hands them to deliver, which must let live events through from then on and must not block. complete is false if
// there are more than MissedLimit of them or since lies before MissedWindow: there are no events then, and the client
// must list its assets instead.
//
// Meanwhile this process sends no other event of the owner, so that none falls between what is found and what comes
// live. Other processes cannot be held up: with ManyProcesses events from settleTimeout before since are found again, and
// those that were sent while deliver ran are handed to it in a second call.
func (p *Pipeline) Missed(ctx context.Context, owner string, since time.Time, deliver func(events []Event, complete bool)) error {
	stamp := p.stamps.of(owner)
	stamp.mu.Lock()
	defer stamp.mu.Unlock()
	if time.Since(since) > MissedWindow {
		deliver(nil, false)
		return nil
	}
	var overlap time.Duration
	if p.ManyProcesses {
		overlap = settleTimeout
	}
	asked := asset.Now()
	found, complete, err := p.finishedSince(ctx, owner, since.Add(-overlap))
	if err != nil {
		return err
	}
	deliver(eventsOf(found), complete)
	if !complete || !p.ManyProcesses {
		return nil
	}
	again, complete, err := p.finishedSince(ctx, owner, asked.Add(-overlap))
	if err != nil {
		return err
	}
	known := make(map[string]bool, len(found))
	for _, e := range found {
		known[string(e.Payload)] = true
	}
	again = slices.DeleteFunc(again, func(e asset.Entry) bool { return known[string(e.Payload)] })
	if len(again) > 0 || !complete {
		deliver(eventsOf(again), complete)
	}
	return nil
}

// finishedSince returns the finished runs of an owner's assets, none if there are more than MissedLimit.
func (p *Pipeline) finishedSince(ctx context.Context, owner string, since time.Time) (entries []asset.Entry, complete bool, err error) {
	entries, err = p.Assets.Timeline(ctx, asset.TimelineQuery{Owner: owner, Since: since, Limit: MissedLimit + 1})
	if err != nil || len(entries) > MissedLimit {
		return nil, false, err
	}
	return entries, true, nil
}

func eventsOf(entries []asset.Entry) []Event {
	events := make([]Event, len(entries))
	for i, e := range entries {
		events[i] = Event{Name: EventProcessed, Payload: e.Payload}
	}
	return events
}
