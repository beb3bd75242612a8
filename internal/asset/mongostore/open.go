package mongostore

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"net/url"
	"regexp"
	"strings"
	"time"

	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"go.mongodb.org/mongo-driver/v2/mongo/readpref"
	"go.mongodb.org/mongo-driver/v2/mongo/writeconcern"
)

const (
	defaultDatabase = "loupe"             // where the URI names none
	assetCollection = "assets"            // what Mongoose makes of a model named Asset
	noteCollection  = "loupe_image_notes" // ours alone

	openTimeout      = 8 * time.Second  // for the first answer of the server
	selectionTimeout = 5 * time.Second  // to find a server that is up, unless the URI says otherwise
	operationTimeout = 10 * time.Second // for one operation of a caller without a deadline, unless the URI says otherwise
)

// Open connects to the server that a MongoDB URI names, and makes the indexes that are missing. The database is the one
// in the URI's path, "loupe" without one. What is wrong with the URI, the server or the login is the error's one line,
// which has no password in it, within ten seconds. An index that is in the way is no error: the log says so, and what
// needs it is slow. Close the store at the end.
func Open(ctx context.Context, uri string, log *slog.Logger) (*Store, error) {
	opts := options.Client().ApplyURI(uri)
	if err := opts.Validate(); err != nil {
		return nil, uriError(uri, err)
	}
	if opts.AppName == nil {
		opts.SetAppName("loupe")
	}
	if opts.ServerSelectionTimeout == nil {
		opts.SetServerSelectionTimeout(selectionTimeout)
	}
	if opts.Timeout == nil {
		opts.SetTimeout(operationTimeout)
	}
	opts.SetReadPreference(readpref.Primary())
	opts.SetWriteConcern(&writeconcern.WriteConcern{W: "majority", Journal: new(true)})

	client, err := mongo.Connect(opts)
	if err != nil {
		return nil, uriError(uri, err)
	}
	db := client.Database(database(uri))
	s := &Store{
		client: client, assets: db.Collection(assetCollection), notes: db.Collection(noteCollection),
		where: strings.Join(opts.Hosts, ",") + "/" + database(uri),
	}
	if err := s.begin(ctx, log); err != nil {
		_ = s.Close(ctx) // what is wrong is known
		return nil, &openError{strings.Join(opts.Hosts, ","), err}
	}
	return s, nil
}

func (s *Store) begin(ctx context.Context, log *slog.Logger) error {
	first, cancel := context.WithTimeout(ctx, openTimeout)
	defer cancel()
	if err := s.Ping(first); err != nil {
		return err
	}
	for _, c := range []struct {
		in     *mongo.Collection
		wanted []index
	}{{s.notes, noteIndexes}, {s.assets, assetIndexes}} { // the collection that may be large comes last
		missing, err := missingIndexes(first, c.in, c.wanted, log)
		if err != nil {
			return err
		}
		if err := makeIndexes(ctx, c.in, missing, log); err != nil {
			return err
		}
	}
	return nil
}

// Ping reports whether the server answers, and lets us in.
func (s *Store) Ping(ctx context.Context) error { return s.client.Ping(ctx, readpref.Primary()) }

// Close ends the connections, those in use as soon as ctx ends.
func (s *Store) Close(ctx context.Context) error { return s.client.Disconnect(ctx) }

// openError says in one line why a server cannot be used; some servers take more for it.
type openError struct {
	hosts string
	err   error
}

func (e *openError) Error() string {
	return "mongodb at " + e.hosts + ": " + strings.Join(strings.Fields(e.err.Error()), " ")
}

func (e *openError) Unwrap() error { return e.err }

// database returns the database that a valid URI names.
func database(uri string) string {
	_, rest, _ := strings.Cut(uri, "://")
	rest, _, _ = strings.Cut(rest, "?")
	_, path, _ := strings.Cut(rest, "/")
	name, err := url.QueryUnescape(path)
	if err != nil {
		name = path
	}
	return cmp.Or(name, defaultDatabase)
}

var (
	credentials = regexp.MustCompile(`://.*@`)
	secrets     = regexp.MustCompile(`(?i)[^?&;]*(password|properties)[^&;]*`)
)

// uriError says what is wrong with a URI. The driver quotes parts of what it cannot read; of a URI with a password only
// the rest is given to it for that.
func uriError(uri string, err error) error {
	const what = "the MongoDB URI is not valid"
	harmless := secrets.ReplaceAllString(credentials.ReplaceAllString(uri, "://"), "")
	if harmless == uri {
		return fmt.Errorf("%s: %w", what, err)
	}
	if err := options.Client().ApplyURI(harmless).Validate(); err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return fmt.Errorf("%s: user name, password or another secret: characters like : / ? # [ ] @ %% must be percent-encoded there", what)
}
