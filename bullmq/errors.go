package bullmq

import "errors"

// Errors that the operations of a queue return, wrapped with what was asked for.
var (
	// ErrJobNotFound: there is no job of that id.
	ErrJobNotFound = errors.New("job not found")
	// ErrState: the job is not in a state in which this can be done with it.
	ErrState = errors.New("job is not in a state for that")
	// ErrClosed: the queue was closed.
	ErrClosed = errors.New("queue is closed")
	// ErrLocked: a worker works on the job.
	ErrLocked = errors.New("job is being worked on")
	// ErrParentNotFound: the job that was to be the parent is gone.
	ErrParentNotFound = errors.New("parent job not found")
	// ErrParentTaken: the job has another parent already.
	ErrParentTaken = errors.New("job has another parent")
	// ErrScheduled: the job is the next run of a job scheduler, which is removed instead.
	ErrScheduled = errors.New("job belongs to a scheduler")
)
