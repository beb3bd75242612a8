package mongostore

import (
	"cmp"
	"context"
	"errors"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"loupe/internal/asset"
)

var _ asset.Store = (*Store)(nil)

// Store is an [asset.Store] on a MongoDB collection. [Open] makes one.
type Store struct {
	client *mongo.Client
	assets *mongo.Collection
	notes  *mongo.Collection
	where  string
}

// Where says which database it is, for people to read.
func (s *Store) Where() string { return s.where }

// Create implements [asset.Store].
func (s *Store) Create(ctx context.Context, a asset.Asset, log ...asset.Entry) error {
	write := bson.NewObjectID()
	var e edit
	e.put("_id", key(a.ID))
	e.put("userId", key(a.Owner))
	e.put("category", a.Category)
	e.put("status", string(a.Status))
	e.image("images.original", a.Original)
	if a.Processed != nil {
		e.image("images.processed", *a.Processed)
	}
	if a.Analysis != nil {
		e.analysis(*a.Analysis)
	}
	e.put("processingJobId", some(a.JobID))
	e.put("createdAt", a.CreatedAt)
	e.put("updatedAt", a.UpdatedAt)
	e.put("loupe.run", some(a.Run))
	if a.Details != nil {
		e.put("loupe.details.brand", some(a.Details.Brand))
		e.put("loupe.details.model", some(a.Details.Model))
		e.put("loupe.details.colorway", some(a.Details.Colorway))
	}
	e.put("loupe.eventPending", some(a.EventPending))
	if a.DuplicateOf != "" {
		e.put("loupe.duplicateOf", key(a.DuplicateOf))
	}
	e.put("loupe.write", write)
	e.log(log)

	doc := e.newDocument()
	_, err := again(ctx, func() (*mongo.InsertOneResult, error) { return s.assets.InsertOne(ctx, doc) })
	if !mongo.IsDuplicateKeyError(err) {
		return err
	}
	// Whose is it? Ours, if the answer to a first try was lost. And a neighbour may have a unique index of its own.
	there, findErr := s.find(ctx, a.ID)
	switch {
	case errors.Is(findErr, asset.ErrNotFound):
		return err
	case findErr != nil:
		return findErr
	case there.wroteLast(write):
		return nil
	}
	return asset.ErrExists
}

// Get implements [asset.Store].
func (s *Store) Get(ctx context.Context, id string) (asset.Asset, error) {
	doc, err := s.find(ctx, id)
	if err != nil {
		return asset.Asset{}, err
	}
	return doc.asset(), nil
}

// withoutLog leaves out what only a timeline is made of.
var withoutLog = bson.M{"loupe.timeline": 0, "loupeFinished": 0}

func (s *Store) find(ctx context.Context, id string) (document, error) {
	raw, err := s.assets.FindOne(ctx, bson.M{"_id": key(id)}, options.FindOne().SetProjection(withoutLog)).Raw()
	if errors.Is(err, mongo.ErrNoDocuments) {
		err = asset.ErrNotFound
	}
	return document(raw), err
}

// List implements [asset.Store].
func (s *Store) List(ctx context.Context, q asset.Query) (asset.Page, error) {
	filter := bson.M{}
	if q.Cursor != "" {
		end, ok := parseCursor(q.Cursor)
		if !ok {
			return asset.Page{}, asset.ErrCursor
		}
		filter = end.after()
	}
	filter["userId"] = key(q.Owner)
	if q.Status != "" {
		filter["status"] = bson.M{"$in": stored(q.Status)}
	}
	if q.Category != "" {
		filter["category"] = q.Category
	}
	if q.SHA256 != "" {
		filter["images.original.sha256"] = q.SHA256
	}
	if !q.UpdatedAfter.IsZero() {
		filter["updatedAt"] = bson.M{"$gt": q.UpdatedAfter}
	}
	limit := min(max(q.Limit, 1), asset.MaxPage)
	newest := bson.D{{Key: "createdAt", Value: -1}, {Key: "_id", Value: -1}}
	docs, err := s.all(ctx, filter, newest, limit+1)
	if err != nil {
		return asset.Page{}, err
	}
	var page asset.Page
	if len(docs) > limit {
		docs = docs[:limit]
		page.Next = docs[limit-1].position().cursor()
	}
	page.Items = assets(docs)
	return page, nil
}

// all returns the first documents that the filter selects.
func (s *Store) all(ctx context.Context, filter bson.M, sort bson.D, limit int) ([]document, error) {
	cursor, err := s.assets.Find(ctx, filter, options.Find().SetSort(sort).SetLimit(int64(limit)).SetProjection(withoutLog))
	if err != nil {
		return nil, err
	}
	return collect(ctx, cursor)
}

// collect reads a cursor to its end.
func collect(ctx context.Context, cursor *mongo.Cursor) ([]document, error) {
	var found []bson.Raw
	err := cursor.All(ctx, &found)
	docs := make([]document, len(found))
	for i, raw := range found {
		docs[i] = document(raw)
	}
	return docs, err
}

func assets(docs []document) []asset.Asset {
	var items []asset.Asset
	for _, doc := range docs {
		items = append(items, doc.asset())
	}
	return items
}

// Unfinished implements [asset.Store]. Each alternative reads one index in the order of _id.
func (s *Store) Unfinished(ctx context.Context, olderThan time.Time, after string, limit int) ([]asset.Asset, error) {
	if limit < 1 {
		return nil, nil
	}
	submitted := bson.M{"$gt": ""}
	alternatives := []bson.M{
		{"status": asset.Draft, "processingJobId": submitted},
		{"status": asset.Processing, "processingJobId": submitted},
		{"loupe.eventPending": true},
	}
	for _, a := range alternatives {
		a["updatedAt"] = bson.M{"$not": bson.M{"$gt": olderThan}}
		if after != "" {
			a["_id"] = above(after)
		}
	}
	docs, err := s.all(ctx, bson.M{"$or": alternatives}, bson.D{{Key: "_id", Value: 1}}, limit)
	return assets(docs), err
}

// maxTurns is how often a change is tried that is refused although it fits the asset: somebody keeps moving it.
const maxTurns = 10

// Transition implements [asset.Store].
func (s *Store) Transition(ctx context.Context, id string, c asset.Change) (asset.Asset, error) {
	write := bson.NewObjectID()
	filter := bson.M{
		"_id":         key(id),
		"status":      bson.M{"$in": allowed(func(a *asset.Asset) error { a.ID, a.JobID = id, c.JobID; return c.Apply(a) })},
		"$or":         hasJob(id, c.JobID),
		"loupe.write": bson.M{"$ne": write}, // not done by a first try whose answer was lost
	}
	var e edit
	jobID := c.JobID
	if c.NextRun > 0 {
		jobID = asset.JobID(id, c.NextRun)
		e.put("loupe.run", c.NextRun)
	}
	e.put("processingJobId", cmp.Or(c.Adopt, jobID))
	if c.To != "" {
		e.put("status", c.To)
	}
	if c.Original != nil {
		e.image("images.original", *c.Original)
	}
	if c.Processed != nil {
		e.image("images.processed", *c.Processed)
	}
	if c.Analysis != nil {
		e.analysis(*c.Analysis)
	}
	if c.EventPending != nil {
		e.put("loupe.eventPending", some(*c.EventPending))
	}
	if !c.At.IsZero() {
		e.put("updatedAt", c.At)
	}
	e.put("loupe.write", write)
	e.log(c.Log)

	for turn := 1; ; turn++ {
		if a, err := s.change(ctx, filter, e); !errors.Is(err, mongo.ErrNoDocuments) {
			return a, err
		}
		doc, err := s.find(ctx, id)
		if err != nil {
			return asset.Asset{}, err
		}
		a := doc.asset()
		if doc.wroteLast(write) {
			return a, nil
		}
		if err := c.Apply(new(a)); err != nil {
			return a, err
		}
		if turn == maxTurns {
			return a, asset.ErrConflict
		}
	}
}

// Update implements [asset.Store].
func (s *Store) Update(ctx context.Context, id, owner string, p asset.Patch) (asset.Asset, error) {
	filter := bson.M{"_id": key(id), "userId": key(owner)}
	var e edit
	e.put("updatedAt", p.At)
	if p.Status != nil {
		filter["status"] = bson.M{"$in": allowed(p.Apply)}
		e.put("status", *p.Status)
	}
	if p.Category != nil {
		e.put("category", *p.Category)
	}
	for path, value := range map[string]*string{"brand": p.Brand, "model": p.Model, "colorway": p.Colorway} {
		if value != nil {
			e.put("loupe.details."+path, some(*value))
		}
	}
	for turn := 1; ; turn++ {
		if a, err := s.change(ctx, filter, e); !errors.Is(err, mongo.ErrNoDocuments) {
			return a, err
		}
		a, err := s.Get(ctx, id)
		if err == nil && a.Owner != owner {
			err = asset.ErrNotFound
		}
		if err != nil {
			return asset.Asset{}, err
		}
		if err := p.Apply(new(a)); err != nil {
			return a, err
		}
		if turn == maxTurns {
			return a, asset.ErrConflict
		}
	}
}

// Delete implements [asset.Store]. After a lost answer it is not tried again: what is gone could not be returned.
func (s *Store) Delete(ctx context.Context, id, owner string) (asset.Asset, error) {
	raw, err := s.assets.FindOneAndDelete(ctx, bson.M{"_id": key(id), "userId": key(owner)}).Raw()
	if errors.Is(err, mongo.ErrNoDocuments) {
		err = asset.ErrNotFound
	}
	if err != nil {
		return asset.Asset{}, err
	}
	return document(raw).asset(), nil
}
