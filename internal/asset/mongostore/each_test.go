package mongostore_test

import (
	"errors"
	"reflect"
	"testing"

	"loupe/internal/asset"
	"loupe/internal/asset/mongostore/mongotest"
)

func testEach(t *testing.T, uri string) {
	s := open(t, mongotest.Database(t, uri))
	want := map[string]asset.Asset{}
	ids := []string{asset.NewID(), "nobody's"}
	for i := range 150 { // more than a server sends at once
		a := fresh()
		if i == 0 {
			a.ID = "no ObjectId"
			a.JobID = asset.JobID(a.ID, 1)
		}
		if err := s.Create(t.Context(), a, asset.Entry{At: base, Event: asset.EventFinished, Payload: []byte(`{"id":  "` + a.ID + `"}`)}); err != nil {
			t.Fatal(err)
		}
		if i != 1 {
			want[a.ID], ids = a, append(ids, a.ID)
		}
	}
	err := s.Each(t.Context(), ids, func(a asset.Asset, log []asset.Entry) error {
		timeline, err := s.Timeline(t.Context(), asset.TimelineQuery{AssetID: a.ID})
		if !reflect.DeepEqual(a, want[a.ID]) || !reflect.DeepEqual(log, timeline) || len(log) != 1 || err != nil {
			t.Errorf("got %+v %+v, want %+v %+v, %v", a, log, want[a.ID], timeline, err)
		}
		delete(want, a.ID)
		return nil
	})
	if err != nil || len(want) > 0 {
		t.Errorf("%d assets left out, %v", len(want), err)
	}
	enough := errors.New("enough")
	calls := 0
	err = s.Each(t.Context(), ids, func(asset.Asset, []asset.Entry) error { calls++; return enough })
	if !errors.Is(err, enough) || calls != 1 {
		t.Errorf("%v after %d assets", err, calls)
	}
	if err := s.Each(t.Context(), nil, func(asset.Asset, []asset.Entry) error { return enough }); err != nil {
		t.Errorf("none: %v", err)
	}
}
