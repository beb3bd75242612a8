package bullmq

// State is where a job is in its queue; the diagram in keys.go shows the ways between them.
type State string

// The states, by the names that BullMQ has for them. Of a paused queue the jobs that wait are waiting all the same, on
// whichever of two lists the versions of BullMQ keep them.
const (
	StateWaiting         State = "waiting"          // in the line
	StatePrioritized     State = "prioritized"      // in the line, behind those without a priority
	StateDelayed         State = "delayed"          // not in the line before its time
	StateActive          State = "active"           // being worked on
	StateCompleted       State = "completed"        // finished with a value
	StateFailed          State = "failed"           // finished without: the dead letters
	StateWaitingChildren State = "waiting-children" // not in the line before other jobs have finished
	StateUnknown         State = "unknown"          // in none of these: on its way between two of them, or lost
)

// States lists every state in which a job can be found, in the order of a job's life.
var States = []State{
	StateWaiting, StatePrioritized, StateDelayed, StateWaitingChildren, StateActive, StateCompleted, StateFailed,
}

func known(s State) bool {
	for _, state := range States {
		if s == state {
			return true
		}
	}
	return false
}
