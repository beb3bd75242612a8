package pipeline_test

import (
	"encoding/json"
	"testing"

	"loupe/internal/pipeline"
)

// Who uploads is told how many are before the photo, and a queue that says nothing costs only that.
func TestPlaceInLine(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	for want := 1; want <= 3; want++ {
		id := w.submit(t).AssetID
		told := w.told.of(pipeline.EventProgress, id)
		var progress struct {
			Status   string
			Position int
		}
		if len(told) != 1 || json.Unmarshal([]byte(told[0]), &progress) != nil || progress.Status != "queued" || progress.Position != want {
			t.Errorf("photo %d: told %q", want, told)
		}
	}
	if n := w.Unfinished(t.Context()); n != 3 {
		t.Errorf("%d jobs have not ended", n)
	}
}
