package pipeline

import (
	"testing"
	"time"

	"loupe/internal/asset"
)

// The event is written as JavaScript writes it, because the adapters between processes write it anew, like that.
func TestProcessedEventIsPlain(t *testing.T) {
	t.Parallel()
	an := &asset.Analysis{Brand: &asset.Field{Value: `Dolce & Gabbana <"ß">`, Confidence: 1}}
	got, err := processedEvent("507f1f77bcf86cd799439011", asset.Active, an, "https://example.com/p?a=1&b=2", time.UnixMilli(1_766_918_400_123))
	const want = `{"event":"asset_processed","assetId":"507f1f77bcf86cd799439011","status":"active","aiMetadata":{` +
		`"brand":{"value":"Dolce & Gabbana <\"ß\">","confidence":1},"model":{"value":"","confidence":0}},` +
		`"processedImageUrl":"https://example.com/p?a=1&b=2","timestamp":"2025-12-28T10:40:00.123Z"}`
	if err != nil || string(got) != want {
		t.Errorf("got  %s, %v\nwant %s", got, err, want)
	}
}
