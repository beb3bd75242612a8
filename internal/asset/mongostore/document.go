package mongostore

import (
	"strings"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"loupe/internal/asset"
)

// document reads a document that anybody may have written: what is absent, or of another type than it should be, reads
// as zero, so that one odd document does not break a page.
type document bson.Raw

func (d document) at(path string) bson.RawValue {
	v := bson.RawValue{Type: bson.TypeEmbeddedDocument, Value: d}
	for name := range strings.SplitSeq(path, ".") {
		inner, ok := v.DocumentOK()
		if !ok {
			return bson.RawValue{}
		}
		var err error
		if v, err = inner.LookupErr(name); err != nil {
			return bson.RawValue{}
		}
	}
	return v
}

func (d document) text(path string) string {
	s, _ := d.at(path).StringValueOK()
	return s
}

func (d document) id(path string) string {
	v := d.at(path)
	if oid, ok := v.ObjectIDOK(); ok {
		return oid.Hex()
	}
	s, _ := v.StringValueOK()
	return s
}

func (d document) integer(path string) int64 { // JavaScript may have made it a double
	n, _ := d.at(path).AsInt64OK()
	return n
}

func (d document) time(path string) time.Time {
	ms, ok := d.at(path).DateTimeOK()
	if !ok {
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}

func (d document) field(path string) *asset.Field {
	value := d.text(path + ".value")
	if value == "" {
		return nil
	}
	confidence, _ := d.at(path + ".confidence").AsFloat64OK()
	return &asset.Field{Value: value, Confidence: confidence}
}

func (d document) image(path string) asset.Image {
	return asset.Image{
		URL: d.text(path + ".url"), Key: d.text(path + ".key"),
		Width: int(d.integer(path + ".width")), Height: int(d.integer(path + ".height")), Bytes: d.integer(path + ".bytes"),
		MIMEType: d.text(path + ".mimeType"), SHA256: d.text(path + ".sha256"),
	}
}

// asset returns the asset that the document is.
func (d document) asset() asset.Asset {
	a := asset.Asset{
		ID: d.id("_id"), Owner: d.id("userId"), Category: d.text("category"), Status: asset.Status(d.text("status")),
		Original: d.image("images.original"),
		JobID:    d.text("processingJobId"), Run: int(d.integer("loupe.run")),
		CreatedAt: d.time("createdAt"), UpdatedAt: d.time("updatedAt"),
	}
	if a.Status == "" {
		a.Status = asset.Draft
	}
	if processed := d.image("images.processed"); processed != (asset.Image{}) {
		a.Processed = &processed
	}
	analysis := asset.Analysis{
		Brand: d.field("aiMetadata.brand"), Model: d.field("aiMetadata.model"), Colorway: d.field("aiMetadata.colorway"),
		ProcessedAt: d.time("aiMetadata.processedAt"), Error: d.text("aiMetadata.error"), FailedAt: d.time("aiMetadata.failedAt"),
	}
	if analysis != (asset.Analysis{}) {
		a.Analysis = &analysis
	}
	details := asset.Details{
		Brand: d.text("loupe.details.brand"), Model: d.text("loupe.details.model"), Colorway: d.text("loupe.details.colorway"),
	}
	if details != (asset.Details{}) {
		a.Details = &details
	}
	if a.Run < 1 {
		a.Run = max(asset.RunOf(a.ID, a.JobID), 1)
	}
	if a.JobID == "" {
		a.JobID = asset.JobID(a.ID, a.Run)
	}
	if oid, ok := d.at("_id").ObjectIDOK(); ok && a.CreatedAt.IsZero() {
		a.CreatedAt = oid.Timestamp().UTC()
	}
	if a.UpdatedAt.IsZero() {
		a.UpdatedAt = a.CreatedAt
	}
	a.EventPending, _ = d.at("loupe.eventPending").BooleanOK()
	a.DuplicateOf = d.id("loupe.duplicateOf")
	return a
}

// position returns where the document stands in a list.
func (d document) position() position {
	p := position{id: d.id("_id")}
	if ms, ok := d.at("createdAt").DateTimeOK(); ok {
		p.at = new(bson.DateTime(ms))
	}
	return p
}

// wroteLast reports whether that Create or Transition was the last one.
func (d document) wroteLast(write bson.ObjectID) bool {
	last, ok := d.at("loupe.write").ObjectIDOK()
	return ok && last == write
}
