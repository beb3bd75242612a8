package mongostore

import (
	"slices"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"

	"loupe/internal/asset"
)

// key returns an asset's or a user's id as it stands in a document.
func key(id string) any {
	if !asset.IsID(id) {
		return id
	}
	oid, _ := bson.ObjectIDFromHex(id)
	return oid
}

// edit is what becomes of a document, by path: leaves to set, leaves to remove, and what arrays grow by.
type edit struct{ set, unset, push bson.D }

// put sets the leaf at path; nil removes it.
func (e *edit) put(path string, value any) {
	if value == nil {
		e.unset = append(e.unset, bson.E{Key: path, Value: ""})
	} else {
		e.set = append(e.set, bson.E{Key: path, Value: value})
	}
}

// some returns v, or nil for a zero value, which is not stored.
func some[T comparable](v T) any {
	var zero T
	if v == zero {
		return nil
	}
	return v
}

func (e *edit) image(path string, img asset.Image) {
	e.put(path+".url", some(img.URL))
	e.put(path+".key", some(img.Key))
	e.put(path+".width", some(img.Width))
	e.put(path+".height", some(img.Height))
	e.put(path+".bytes", some(img.Bytes))
	e.put(path+".mimeType", some(img.MIMEType))
	e.put(path+".sha256", some(img.SHA256))
}

func (e *edit) analysis(a asset.Analysis) {
	e.field("aiMetadata.brand", a.Brand)
	e.field("aiMetadata.model", a.Model)
	e.field("aiMetadata.colorway", a.Colorway)
	e.put("aiMetadata.processedAt", some(a.ProcessedAt))
	e.put("aiMetadata.error", some(a.Error))
	e.put("aiMetadata.failedAt", some(a.FailedAt))
}

func (e *edit) field(path string, field *asset.Field) {
	var value, confidence any
	if field != nil {
		value, confidence = field.Value, field.Confidence
	}
	e.put(path+".value", value)
	e.put(path+".confidence", confidence)
}

// log appends entries to the timeline, and those of finished runs to the finished runs as well.
func (e *edit) log(entries []asset.Entry) {
	var timeline, finished bson.A
	for _, entry := range last(entries, asset.MaxEntries) {
		var doc edit
		doc.put("at", entry.At)
		doc.put("event", entry.Event)
		doc.put("attempt", some(entry.Attempt))
		doc.put("error", some(entry.Error))
		doc.put("durationMs", some(entry.Duration.Milliseconds()))
		if entry.Payload != nil {
			doc.put("payload", string(entry.Payload))
		}
		timeline = append(timeline, doc.set)
		if entry.Event == asset.EventFinished {
			finished = append(finished, doc.set)
		}
	}
	if timeline != nil {
		e.push = append(e.push, bson.E{Key: "loupe.timeline", Value: timeline})
	}
	if finished != nil {
		e.push = append(e.push, bson.E{Key: "loupeFinished", Value: finished})
	}
}

// newDocument returns a document of what is set: at "a.b" is b in a.
func (e *edit) newDocument() bson.D {
	var doc bson.D
	for _, leaf := range slices.Concat(e.set, e.push) {
		doc = insert(doc, leaf.Key, leaf.Value)
	}
	return doc
}

func insert(doc bson.D, path string, value any) bson.D {
	name, rest, nested := strings.Cut(path, ".")
	if !nested {
		return append(doc, bson.E{Key: name, Value: value})
	}
	for i, outer := range doc {
		if inner, ok := outer.Value.(bson.D); ok && outer.Key == name {
			doc[i].Value = insert(inner, rest, value)
			return doc
		}
	}
	return append(doc, bson.E{Key: name, Value: insert(nil, rest, value)})
}

// update returns the update of a document that exists.
func (e *edit) update() bson.M {
	update := bson.M{"$set": e.set}
	if len(e.unset) > 0 {
		update["$unset"] = e.unset
	}
	if len(e.push) > 0 {
		push := bson.M{}
		for _, array := range e.push {
			push[array.Key] = bson.M{"$each": array.Value, "$slice": -asset.MaxEntries}
		}
		update["$push"] = push
	}
	return update
}
