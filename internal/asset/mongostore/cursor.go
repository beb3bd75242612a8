package mongostore

import (
	"encoding/base64"
	"strconv"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// maxCursor is the length of the longest cursor that is looked at.
const maxCursor = 4 << 10

// position is where a page ends: at a document's createdAt and _id.
type position struct {
	at *bson.DateTime // nil: the document has no createdAt
	id string
}

// cursor returns the position as text: base64url without padding.
func (p position) cursor() string {
	at := ""
	if p.at != nil {
		at = strconv.FormatInt(int64(*p.at), 10)
	}
	return base64.RawURLEncoding.EncodeToString([]byte(at + "." + p.id))
}

// parseCursor returns the position that cursor stands for; ok is false for a text that cursor has never returned.
func parseCursor(cursor string) (p position, ok bool) {
	if len(cursor) > maxCursor {
		return p, false
	}
	text, err := base64.RawURLEncoding.DecodeString(cursor)
	if err != nil {
		return p, false
	}
	at, id, _ := strings.Cut(string(text), ".")
	if at != "" {
		ms, err := strconv.ParseInt(at, 10, 64)
		if err != nil {
			return p, false
		}
		p.at = new(bson.DateTime(ms))
	}
	p.id = id
	return p, p.cursor() == cursor
}

// after selects what comes after the position, newest first. "Not greater" rather than "less or equal", which would
// leave out documents without createdAt: they come last.
func (p position) after() bson.M {
	if p.at == nil {
		return bson.M{"createdAt": nil, "_id": below(p.id)}
	}
	return bson.M{
		"createdAt": bson.M{"$not": bson.M{"$gt": *p.at}},
		"$or":       bson.A{bson.M{"createdAt": bson.M{"$not": bson.M{"$gte": *p.at}}}, bson.M{"_id": below(p.id)}},
	}
}

// below selects what comes before id in the order of _id, where strings come before ObjectIds. A comparison alone selects
// nothing of another type than its operand.
func below(id string) bson.M {
	k := key(id)
	if _, isText := k.(string); isText {
		return bson.M{"$lt": k}
	}
	return bson.M{"$not": bson.M{"$gte": k}}
}

// above selects what comes after id in the order of _id.
func above(id string) bson.M {
	k := key(id)
	if _, isText := k.(string); isText {
		return bson.M{"$not": bson.M{"$lte": k}}
	}
	return bson.M{"$gt": k}
}
