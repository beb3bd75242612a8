package bullmq

import "context"

// Telemetry carries a trace from the code that adds a job to the handler that runs it, in whatever language either is
// written. BullMQ for Node stores what its OpenTelemetry package makes: a JSON object of the headers of the trace, such as
// {"traceparent":"…"}, as text. Methods are called concurrently.
type Telemetry interface {
	// Inject returns the trace of ctx as text to be stored with a job, or "" if there is none.
	Inject(ctx context.Context) string
	// Extract returns ctx with the trace of such a text. It leaves alone what it cannot read.
	Extract(ctx context.Context, metadata string) context.Context
}
