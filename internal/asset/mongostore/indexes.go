package mongostore

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
)

// indexTimeout bounds the making of one index on a collection that may be large already.
const indexTimeout = time.Hour

// index is one that our queries need.
type index struct {
	name  string
	paths string // with a space between, those that descend with a minus
}

var (
	assetIndexes = []index{
		// List: an owner's assets, newest first.
		{"loupe_newest", "userId -createdAt -_id"},
		// List: those with one photo.
		{"loupe_photo", "userId images.original.sha256 -createdAt -_id"},
		// Unfinished: by status in the order of _id; the job id passes over the drafts of others without reading them.
		{"loupe_unfinished", "status _id processingJobId"},
		{"loupe_event_pending", "loupe.eventPending _id"},
		// Timeline: an owner's finished runs since some time.
		{"loupe_finished", "userId loupeFinished.at"},
	}
	noteIndexes = []index{
		// Noted: the oldest first.
		{"loupe_age", "at"},
	}
)

// keys returns the paths as MongoDB wants them.
func (i index) keys() bson.D {
	var keys bson.D
	for path := range strings.FieldsSeq(i.paths) {
		if name, descends := strings.CutPrefix(path, "-"); descends {
			keys = append(keys, bson.E{Key: name, Value: -1})
		} else {
			keys = append(keys, bson.E{Key: path, Value: 1})
		}
	}
	return keys
}

// missingIndexes returns the indexes that are to be made. One that is there under another name will do. One that has
// taken our name for something else is told of and left.
func missingIndexes(ctx context.Context, in *mongo.Collection, wanted []index, log *slog.Logger) ([]index, error) {
	cursor, err := in.Indexes().List(ctx)
	if err != nil {
		return nil, fmt.Errorf("list indexes: %w", err)
	}
	there, err := collect(ctx, cursor)
	if err != nil {
		return nil, fmt.Errorf("list indexes: %w", err)
	}
	var missing []index
	for _, want := range wanted {
		switch {
		case slices.ContainsFunc(there, want.is):
		case slices.ContainsFunc(there, func(d document) bool { return d.text("name") == want.name }):
			inTheWay(ctx, log, want, errors.New("another index has this name"))
		default:
			missing = append(missing, want)
		}
	}
	return missing, nil
}

// is reports whether an index as the server lists it has the same keys, and holds every document.
func (i index) is(listed document) bool {
	keys, _ := listed.at("key").DocumentOK()
	elements, err := keys.Elements()
	if err != nil {
		return false
	}
	var paths []string
	for _, e := range elements {
		direction, ok := e.Value().AsFloat64OK() // mongosh makes doubles; "text" and the like are none
		switch {
		case !ok:
			return false
		case direction < 0:
			paths = append(paths, "-"+e.Key())
		default:
			paths = append(paths, e.Key())
		}
	}
	if strings.Join(paths, " ") != i.paths {
		return false
	}
	for _, limiting := range []string{"sparse", "partialFilterExpression", "collation", "hidden"} {
		if on, isBool := listed.at(limiting).BooleanOK(); on || !isBool && listed.at(limiting).Type != 0 {
			return false
		}
	}
	return true
}

// makeIndexes makes indexes one by one. Many processes may do so at once.
func makeIndexes(ctx context.Context, in *mongo.Collection, missing []index, log *slog.Logger) error {
	for _, i := range missing {
		log.InfoContext(ctx, "making an index", "collection", in.Name(), "index", i.name)
		if err := makeIndex(ctx, in, i); err != nil {
			if mongo.IsNetworkError(err) || ctx.Err() != nil {
				return fmt.Errorf("make index %s: %w", i.name, err)
			}
			inTheWay(ctx, log, i, err)
		}
	}
	return nil
}

func makeIndex(ctx context.Context, in *mongo.Collection, i index) error {
	ctx, cancel := context.WithTimeout(ctx, indexTimeout)
	defer cancel()
	_, err := in.Indexes().CreateOne(ctx, mongo.IndexModel{Keys: i.keys(), Options: options.Index().SetName(i.name)})
	return err
}

// inTheWay tells of an index that cannot be made. Queries are slow without it, but right, so it ends no start.
func inTheWay(ctx context.Context, log *slog.Logger, i index, err error) {
	log.ErrorContext(ctx, "an index is missing, and queries will be slow: make it by hand, or drop what is in its way and start again",
		"index", i.name, "keys", i.paths, "error", err)
}
