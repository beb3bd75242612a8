// Package asset holds Loupe's record of one photographed item and the rules by which its status moves.
//
// It owns the words (Asset, Status, Entry) and the [Store] interface. It knows nothing of HTTP, queues or databases:
// the stores live in sqlitestore and mongostore, and the suite that each of them passes in assettest.
package asset

import (
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// Asset is the record of one photographed item. Absent parts are nil; times are UTC with millisecond precision.
type Asset struct {
	ID       string // 24 hex digits, see [NewID]
	Owner    string // user id of the verified token that uploaded the photo
	Category string
	Status   Status

	Original  Image
	Processed *Image // what the analysis made of it; only URL is always known

	// DuplicateOf is the latest asset with the same photo that the owner had when this one was created. It may be gone
	// since, and two that are created at the same moment need not know of each other.
	DuplicateOf string

	Analysis *Analysis // last analysis, or the last failure
	Details  *Details  // the owner's own values; no analysis ever writes them

	JobID string // the job of the present run: "<ID>-<Run>"
	Run   int    // 1 for the upload, plus one for each retry

	CreatedAt time.Time
	UpdatedAt time.Time

	// EventPending is set by the change that ends a run and cleared when its terminal event has been handed to the
	// notifier: a process that dies between the two leaves it set, and whoever finds it sends the event again.
	EventPending bool
}

// Image is one stored picture. The JSON names here and below are for stores: what they have written must stay readable.
type Image struct {
	Key      string `json:"key,omitempty"` // in our image store; empty when the picture is not ours
	URL      string `json:"url"`
	Width    int    `json:"width,omitempty"` // as displayed, orientation applied; 0 when unknown
	Height   int    `json:"height,omitempty"`
	Bytes    int64  `json:"bytes,omitempty"`
	MIMEType string `json:"mimeType,omitempty"`
	SHA256   string `json:"sha256,omitempty"` // hex, of the stored bytes
}

// Analysis is what the AI service said of the image, or why it could not.
type Analysis struct {
	Brand    *Field `json:"brand,omitempty"` // nil: unknown
	Model    *Field `json:"model,omitempty"`
	Colorway *Field `json:"colorway,omitempty"`

	ProcessedAt time.Time `json:"processedAt,omitzero"`
	Error       string    `json:"error,omitempty"` // a sentence for the user; set with FailedAt
	FailedAt    time.Time `json:"failedAt,omitzero"`
}

// Known reports whether at least one field is known, which is what makes an asset active rather than partial.
func (a *Analysis) Known() bool {
	return a != nil && (a.Brand != nil || a.Model != nil || a.Colorway != nil)
}

// Field is one recognised property with its confidence, from 0 to 1.
type Field struct {
	Value      string  `json:"value"`
	Confidence float64 `json:"confidence"`
}

// Details are the owner's own values. They stand beside the analysis and are never overwritten by a later run.
type Details struct {
	Brand    string `json:"brand,omitempty"`
	Model    string `json:"model,omitempty"`
	Colorway string `json:"colorway,omitempty"`
}

// Entry is one line of an asset's timeline: what happened, when, and for a finished run the very event that was sent.
type Entry struct {
	At       time.Time
	Event    string // one of the Event constants
	Attempt  int    // 0 where no attempt is meant
	Error    string
	Duration time.Duration
	// Payload is the terminal event of a run as JSON, kept with [EventFinished] so that every repeat has the same bytes.
	Payload json.RawMessage
}

// What a timeline tells.
const (
	EventReceived = "received" // the upload's first byte
	EventStored   = "stored"   // the image is in the image store
	EventQueued   = "queued"   // the job is on the queue; again with each retry
	EventStarted  = "started"  // an attempt began
	EventRetrying = "retrying" // an attempt failed and another will follow
	EventFinished = "finished" // the run ended: active, partial or failed
)

// MaxEntries bounds one asset's timeline: the oldest entries beyond it are dropped, finished runs excepted.
const MaxEntries = 200

// JobID returns the id of the job of one run of an asset.
func JobID(assetID string, run int) string {
	return assetID + "-" + strconv.Itoa(run)
}

// MaxRun is the last run of an asset that [RunOf] knows.
const MaxRun = 1_000_000

// RunOf returns the run whose job has that id by [JobID], or 0 if there is none: the id was made by somebody else, who
// may well have put a time, say, behind the asset's.
func RunOf(assetID, jobID string) int {
	digits, ok := strings.CutPrefix(jobID, assetID+"-")
	run, err := strconv.Atoi(digits)
	if !ok || err != nil || run < 1 || run > MaxRun || JobID(assetID, run) != jobID {
		return 0
	}
	return run
}

var (
	idProcess = randomUint64()
	idCounter atomic.Uint32
)

func init() { idCounter.Store(uint32(randomUint64())) }

// NewID returns a fresh asset id in MongoDB's ObjectId form: 24 hex digits of a 4-byte time in seconds, 5 random bytes
// of this process and a 3-byte counter (https://www.mongodb.com/docs/manual/reference/bson-types/#objectid).
// Ids of one process sort by creation within a second.
func NewID() string {
	var b [12]byte
	binary.BigEndian.PutUint32(b[:4], uint32(time.Now().Unix()))
	binary.BigEndian.PutUint64(b[4:], idProcess)
	n := idCounter.Add(1)
	b[9], b[10], b[11] = byte(n>>16), byte(n>>8), byte(n)
	return hex.EncodeToString(b[:])
}

// IsID reports whether s has the form of an asset id.
func IsID(s string) bool {
	if len(s) != 24 {
		return false
	}
	for i := range len(s) {
		if c := s[i]; (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}

func randomUint64() uint64 {
	var b [8]byte
	rand.Read(b[:])
	return binary.BigEndian.Uint64(b[:])
}

// Now is the present as assets record it: UTC, cut to milliseconds, without the monotonic reading.
func Now() time.Time { return time.Now().UTC().Truncate(time.Millisecond).Round(0) }
