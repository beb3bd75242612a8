package migrate

import (
	"reflect"
	"testing"
	"time"

	"loupe/internal/asset"
	"loupe/internal/queue"
)

// Whatever is kept of an asset, an entry of its timeline or a job, also what is added to them one day, changes the hash.
func TestSums(t *testing.T) {
	t.Parallel()
	each(t, asset.Asset{}, func(field string, a asset.Asset) {
		if sum(a) == sum(asset.Asset{}) {
			t.Errorf("asset: %s does not count", field)
		}
	})
	each(t, asset.Entry{}, func(field string, e asset.Entry) {
		if sumTimeline([]asset.Entry{e}) == sumTimeline([]asset.Entry{{}}) {
			t.Errorf("timeline: %s does not count", field)
		}
	})
	each(t, queue.Record{}, func(field string, r queue.Record) {
		if sumJob(r) == sumJob(queue.Record{}) {
			t.Errorf("job: %s does not count", field)
		}
	})
	if sumJob(queue.Record{Errors: []queue.AttemptError{}}) != sumJob(queue.Record{}) {
		t.Error("no errors are not the same as none")
	}
}

// each calls check with a value of which one field is not zero, for every field.
func each[T any](t *testing.T, zero T, check func(field string, v T)) {
	t.Helper()
	for i := range reflect.TypeFor[T]().NumField() {
		v := zero
		field := reflect.ValueOf(&v).Elem().Field(i)
		switch field.Kind() {
		case reflect.String:
			field.SetString("x")
		case reflect.Int, reflect.Int64:
			field.SetInt(1)
		case reflect.Bool:
			field.SetBool(true)
		case reflect.Pointer:
			field.Set(reflect.New(field.Type().Elem()))
		case reflect.Slice:
			field.Set(reflect.MakeSlice(field.Type(), 1, 1))
		case reflect.Struct:
			if field.Type() == reflect.TypeFor[time.Time]() {
				field.Set(reflect.ValueOf(time.UnixMilli(1)))
			} else {
				field.Field(0).SetString("x")
			}
		default:
			t.Fatalf("no value for %s", reflect.TypeFor[T]().Field(i).Name)
		}
		check(reflect.TypeFor[T]().Field(i).Name, v)
	}
}
