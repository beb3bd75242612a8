package redisqueue

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"loupe/bullmq"
	"loupe/internal/queue"
)

// failure is the error of an attempt. BullMQ keeps the errors of all attempts as texts; ours end with a line in the manner
// of a stack, which says what [queue.AttemptError] needs and Bull Board shows as it is.
type failure struct {
	attempt int
	at      time.Time
	err     error
}

func (f *failure) Error() string { return clip(f.err.Error()) }
func (f *failure) Unwrap() error { return f.err }

const timeLayout = "2006-01-02T15:04:05.000Z"

// StackTrace is the text that package bullmq keeps.
func (f *failure) StackTrace() string {
	return fmt.Sprintf("%s\n    at attempt %d (%s)", f.Error(), f.attempt, f.at.UTC().Format(timeLayout))
}

var lastLine = regexp.MustCompile(`\n    at attempt (\d{1,9}) \(([0-9TZ:.-]+)\)$`)

// attemptErrors reads the errors of a job's attempts. Those of other workers say neither when nor in which attempt: they
// count from the last one back, and the last ended when the job did.
func attemptErrors(job *bullmq.Job) []queue.AttemptError {
	all := make([]queue.AttemptError, len(job.Stacktrace))
	for i, text := range job.Stacktrace {
		e := queue.AttemptError{Attempt: max(1, job.AttemptsMade-(len(all)-1-i)), Error: text}
		if m := lastLine.FindStringSubmatch(text); m != nil {
			at, err := time.Parse(timeLayout, m[2])
			attempt, _ := strconv.Atoi(m[1])
			if err == nil {
				e = queue.AttemptError{Attempt: attempt, At: at, Error: strings.TrimSuffix(text, m[0])}
			}
		}
		e.Error = clip(e.Error)
		all[i] = e
	}
	if n := len(all); n > 0 && all[n-1].At.IsZero() {
		all[n-1].At = job.FinishedOn
	}
	if len(all) == 0 && job.FailedReason != "" {
		all = []queue.AttemptError{{Attempt: max(1, job.AttemptsMade), At: job.FinishedOn, Error: clip(job.FailedReason)}}
	}
	return all[max(0, len(all)-queue.MaxErrors):]
}

// clip cuts a text to what is kept of an error.
func clip(text string) string {
	if len(text) > queue.MaxError {
		text = text[:queue.MaxError]
	}
	return strings.ToValidUTF8(text, "") // the cut may have gone through a character
}
