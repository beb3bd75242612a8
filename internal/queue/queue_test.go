package queue

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"testing"
	"time"

	"loupe/internal/testenv"
)

func TestMain(m *testing.M) { testenv.Main(m) }

func TestDefaults(t *testing.T) {
	t.Parallel()
	defaults := reflect.ValueOf(Config{}.WithDefaults())
	for i := range defaults.NumField() {
		if name := defaults.Type().Field(i).Name; defaults.Field(i).IsZero() != (name == "Sole") {
			t.Errorf("%s is %v by default", name, defaults.Field(i))
		}
	}
	set := Config{1, 2, 3, 4, 5, 6, 7, 8, 9, true}
	if got := set.WithDefaults(); got != set {
		t.Errorf("what was set became %+v", got)
	}
}

func TestBackoffAfter(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		first   time.Duration
		attempt int
		want    time.Duration
	}{
		{2 * time.Second, 1, 2 * time.Second},
		{2 * time.Second, 2, 4 * time.Second},
		{2 * time.Second, 11, 2048 * time.Second},
		{2 * time.Second, 12, MaxBackoff},
		{2 * time.Second, 1_000_000_000, MaxBackoff},
		{2 * MaxBackoff, 1, MaxBackoff},
		{2 * MaxBackoff, 2, MaxBackoff},
	} {
		if got := (Config{Backoff: c.first}).BackoffAfter(c.attempt); got != c.want {
			t.Errorf("%s, attempt %d: %s, want %s", c.first, c.attempt, got, c.want)
		}
	}
}

func TestPermanent(t *testing.T) {
	t.Parallel()
	cause := errors.New("cause")
	err := fmt.Errorf("context: %w", Permanent(cause))
	if !IsPermanent(err) || IsPermanent(cause) || IsPermanent(nil) || !errors.Is(err, cause) || err.Error() != "context: cause" {
		t.Errorf("error %v", err)
	}
	postponed := fmt.Errorf("context: %w", &PostponeError{After: time.Second, Err: cause})
	if p, ok := errors.AsType[*PostponeError](postponed); !ok || p.After != time.Second || !errors.Is(postponed, cause) {
		t.Errorf("error %v", postponed)
	}
}

func FuzzFilter(f *testing.F) {
	f.Add("a-1", `{"assetId":"A","userId":"U"}`, "boom", "A", "U", "BOOM")
	f.Add("", `[]`, "", "", "", "")
	f.Add("İ", `{"assetId":1}`, "\xff", "x", "", "i̇")
	f.Fuzz(func(t *testing.T, id, data, failure, assetID, userID, text string) {
		r := Record{ID: id, Data: json.RawMessage(data), Errors: []AttemptError{{Error: "earlier"}, {Error: failure}}}
		if !(Filter{}).Matches(r) || !(Filter{Text: id}).Matches(r) || !(Filter{Text: failure}).Matches(r) {
			t.Errorf("%+v is not found by what it is", r)
		}
		if (Filter{AssetID: assetID, UserID: userID, Text: text}).Matches(r) != ((Filter{AssetID: assetID}).Matches(r) &&
			(Filter{UserID: userID}).Matches(r) && (Filter{Text: text}).Matches(r)) {
			t.Errorf("a filter of all is not all filters")
		}
	})
}

// A list for the eye is bounded, and in an order that does not jump.
func TestRoster(t *testing.T) {
	t.Parallel()
	at := time.Date(2025, 12, 28, 10, 30, 0, 0, time.UTC)
	r := Roster{}
	r.Seen("b", at.Add(time.Hour))
	r.Seen("b", at)
	r.Works("a", Running{ID: "2", StartedAt: at})
	r.Works("a", Running{ID: "1", StartedAt: at})
	r.Works("a", Running{ID: "3", StartedAt: at.Add(-time.Second)})
	want := []Worker{
		{Name: "a", Running: []Running{{ID: "3", StartedAt: at.Add(-time.Second)}, {ID: "1", StartedAt: at}, {ID: "2", StartedAt: at}}},
		{Name: "b", Connections: 2, Since: at},
	}
	if got := r.List(); !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	for i := range 2 * MaxWorkers {
		r.Seen(fmt.Sprint(i), at)
	}
	if n := len(r.List()); n != MaxWorkers {
		t.Errorf("%d workers", n)
	}
}
