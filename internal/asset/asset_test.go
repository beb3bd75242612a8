package asset

import (
	"errors"
	"reflect"
	"slices"
	"sync"
	"testing"
	"time"

	"loupe/internal/testenv"
)

func TestMain(m *testing.M) { testenv.Main(m) }

func TestIDs(t *testing.T) {
	t.Parallel()
	const each, makers = 500, 8
	ids := make([][]string, makers)
	var wait sync.WaitGroup
	for i := range ids {
		wait.Go(func() {
			for range each {
				ids[i] = append(ids[i], NewID())
			}
		})
	}
	wait.Wait()
	seen := map[string]bool{}
	for _, id := range slices.Concat(ids...) {
		if seen[id] || !IsID(id) {
			t.Fatalf("id %q, seen before: %t", id, seen[id])
		}
		seen[id] = true
	}
	for _, id := range []string{"", "507f1f77bcf86cd79943901", "507f1f77bcf86cd7994390111", "507F1F77BCF86CD799439011", "507f1f77bcf86cd79943901g"} {
		if IsID(id) {
			t.Errorf("%q passes for an id", id)
		}
	}
}

func TestRunOf(t *testing.T) {
	t.Parallel()
	for jobID, want := range map[string]int{
		"a-1": 1, "a-12": 12, "a-1000000": MaxRun, "a-1000001": 0, "a-1766917800000": 0,
		"": 0, "a": 0, "a-": 0, "a-0": 0, "a-01": 0, "a-+1": 0, "a--1": 0, "b-1": 0, "17": 0, "a-99999999999999999999": 0,
	} {
		if got := RunOf("a", jobID); got != want {
			t.Errorf("run of %q is %d, want %d", jobID, got, want)
		}
	}
}

func TestApplyChangesNothingOnConflict(t *testing.T) {
	t.Parallel()
	pending := true
	before := Asset{ID: "a", JobID: "a-1", Run: 1, Status: Active}
	for name, c := range map[string]Change{
		"status": {From: []Status{Processing}, JobID: "a-1"},
		"job":    {From: []Status{Active}, JobID: "a-2"},
		"arrow":  {From: []Status{Active}, JobID: "a-1", To: Failed},
	} {
		c.At, c.NextRun, c.Analysis, c.EventPending = time.Now(), 2, &Analysis{}, &pending
		a := before
		if err := c.Apply(&a); !errors.Is(err, ErrConflict) || !reflect.DeepEqual(a, before) {
			t.Errorf("%s: %v, %+v", name, err, a)
		}
	}
	failed, category := Failed, "lego"
	a := before
	if err := (Patch{Category: &category, Status: &failed}).Apply(&a); !errors.Is(err, ErrConflict) || !reflect.DeepEqual(a, before) {
		t.Errorf("patch: %v, %+v", err, a)
	}
}
