package queue

import "time"

// Stored is a job with all that a queue keeps of it, as it is moved from one queue to another.
type Stored struct {
	Record
	Due    time.Time // when a delayed job is to start; zero for others
	Starts int       // how often it was handed out
	Stalls int       // how often its worker died
}
