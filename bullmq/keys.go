package bullmq

// The names that BullMQ gives to what it keeps in Redis. P is `<prefix>:<queue>:`, J is P and the job's id. Go code spells
// them here only; the scripts in lua/ spell them too.
//
//	Add ──▶ wait ───────┐                                    ┌──▶ completed
//	  ├──▶ prioritized ─┼──▶ active ──▶ outcome of handler ──┼──▶ failed ──▶ retried: wait
//	  └──▶ delayed ─────┘       │ ▲                          └──▶ backoff: delayed, or wait
//	           (when due)       ▼ └── fetched by a worker
//	                       stalled: wait
const (
	keyWait            = "wait"             // list of ids; new ones at the head, the next to start at the tail
	keyPaused          = "paused"           // list; where BullMQ 5 keeps `wait` while the queue is paused
	keyActive          = "active"           // list of ids being worked on
	keyPrioritized     = "prioritized"      // sorted set by priority·2³² + arrival
	keyDelayed         = "delayed"          // sorted set by due ms·4096 + arrival within that ms
	keyCompleted       = "completed"        // sorted set by ms of the end
	keyFailed          = "failed"           // sorted set by ms of the end
	keyWaitingChildren = "waiting-children" // sorted set by ms of the beginning
	keyMarker          = "marker"           // sorted set that sleeping workers pop: "0" now, "1" at its score
	keyMeta            = "meta"             // hash of settings
	keyID              = "id"               // counter of jobs
	keyPriorityCounter = "pc"               // counter of arrivals among the prioritized
	keyEvents          = "events"           // stream
	keyStalled         = "stalled"          // set of ids that were active at the last check
	keyStalledCheck    = "stalled-check"    // present while a check was made recently
	keyLimiter         = "limiter"          // jobs started within the present window
	keyRepeat          = "repeat"           // sorted set of schedulers by ms of the next run; hash each: repeat:<id>
	keyDedup           = "de:"              // + deduplication id: the job that owns it
	keyDedupNext       = "dn:"              // + deduplication id: the job to make after that one
	keyMetrics         = "metrics:"         // + completed or failed: hash; + ":data": list of counts per minute
)

// Keys of one job: J and one of these.
const (
	suffixLock         = ":lock"         // token of the worker that works on it
	suffixLogs         = ":logs"         // list of lines
	suffixDependencies = ":dependencies" // set of keys of children that have not ended
	suffixProcessed    = ":processed"    // hash from a child's key to its value
	suffixFailed       = ":failed"       // hash from a child's key to its failure, where the parent goes on nevertheless
	suffixUnsuccessful = ":unsuccessful" // sorted set of keys of children whose failure is the parent's
)

// Fields of a job's hash.
const (
	fieldName            = "name"
	fieldData            = "data"      // JSON
	fieldOpts            = "opts"      // JSON, see options.go
	fieldTimestamp       = "timestamp" // ms
	fieldDelay           = "delay"     // ms
	fieldPriority        = "priority"
	fieldParentKey       = "parentKey" // key of the parent
	fieldParent          = "parent"    // JSON
	fieldScheduler       = "rjk"
	fieldDedup           = "deid"
	fieldProcessedOn     = "processedOn" // ms
	fieldProcessedBy     = "pb"
	fieldStarts          = "ats"
	fieldAttempts        = "atm"
	fieldAttemptsOld     = "attemptsMade" // atm of BullMQ before version 5
	fieldStalls          = "stc"
	fieldDeferredFailure = "defa"         // whoever fetches the job fails it with this text
	fieldProgress        = "progress"     // JSON
	fieldReturnValue     = "returnvalue"  // JSON
	fieldFailedReason    = "failedReason" // text
	fieldStacktrace      = "stacktrace"   // JSON array of texts
	fieldFinishedOn      = "finishedOn"   // ms
	fieldCancel          = "cxl"          // ours: why the job is to be cancelled
)

// Fields of a scheduler's hash, with those that its jobs have too: name, data and opts.
const fieldIterations = "ic" // how many jobs it has made

// Parts of a schedule: fields of its scheduler's hash, and members of the option repeat of its jobs.
const (
	repeatEvery   = "every"  // ms
	repeatOffset  = "offset" // ms
	repeatPattern = "pattern"
	repeatTZ      = "tz"
	repeatUTC     = "utc" // of old, in the option only: the zone is UTC
	repeatLimit   = "limit"
	repeatStart   = "startDate" // ms
	repeatEnd     = "endDate"   // ms
	repeatCount   = "count"     // of jobs until this one; in the option only
)

// Fields of the settings.
const (
	metaMaxEvents   = "opts.maxLenEvents"
	metaVersion     = "version"
	metaPaused      = "paused"
	metaConcurrency = "concurrency"
	metaMax         = "max"
	metaDuration    = "duration" // ms
)

// DefaultPrefix begins the keys of all queues, here as in Node.
const DefaultPrefix = "bull"

// keys makes the keys of one queue.
type keys struct {
	prefix string // P, with its last colon
	meta   string // the key of the settings
}

func newKeys(prefix, queue string) keys {
	p := prefix + ":" + queue + ":"
	return keys{p, p + keyMeta}
}

// of is the key of a part of the queue: one of the names above, or a job's id.
func (k keys) of(name string) string { return k.prefix + name }

// job is the key of one part of a job.
func (k keys) job(id, suffix string) string { return k.prefix + id + suffix }
