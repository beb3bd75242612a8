package sqlitequeue

// Statements are the texts of SQL that run often, by name.
var Statements = map[string]string{
	"adopt": adoptSQL, "counts": countsSQL, "dead letters": deadLettersSQL, "end": endSQL, "enqueue": enqueueSQL,
	"gate": gateSQL, "get": getSQL, "give back": giveBackSQL, "hold": holdSQL, "promote": promoteSQL, "renew": renewSQL,
	"retry": retrySQL, "sweep": sweepSQL, "take": takeSQL, "take one": takeOneSQL, "active": activeSQL, "all": allSQL, "running": runningSQL,
}

// What tests count with.
const (
	LookEvery = lookEvery
	StopWait  = stopWait
)

// Worker is the name of q in the rows of the jobs that it works on.
func (q *Queue) Worker() string { return q.worker }
