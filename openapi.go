// Package loupe holds what belongs to the repository as a whole: its HTTP contract. The program is cmd/loupe; the
// packages for others to import are bullmq and socketio.
package loupe

import _ "embed"

// OpenAPI is the HTTP contract as an OpenAPI document in YAML. The server serves it at /openapi.yaml, and tests hold
// every answer of the server against it.
//
//go:embed openapi.yaml
var OpenAPI []byte
