// Package httpapi is the HTTP contract: routes, shapes, errors. It translates between requests and package pipeline,
// and decides nothing else.
package httpapi

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"loupe/internal/asset"
	"loupe/internal/auth"
	"loupe/internal/image"
	"loupe/internal/overview"
	"loupe/internal/pipeline"
	"loupe/internal/queue"
)

// Config is what the API is made of. Log is required; Assets, Jobs, Auth and Recent are too if there is a Pipeline.
type Config struct {
	Pipeline *pipeline.Pipeline // nil: a process that takes no requests, of which only health and figures can be asked
	Assets   asset.Store
	Jobs     queue.Admin
	Auth     *auth.Verifier
	Recent   *overview.Recorder
	Log      *slog.Logger

	Images   image.Store  // serves /images/; nil: they are served by somebody else
	Previews Previews     // make them small for who asks for that; nil: they are served as they are
	Realtime http.Handler // serves /socket.io/; nil: none
	Metrics  http.Handler // serves /metrics; nil: none
	Web      http.Handler // serves webPatterns; nil: none
	OpenAPI  []byte       // serves /openapi.yaml

	Checks  []Check                 // what /readyz asks
	Service func() pipeline.Service // what /readyz says of the AI service; nil: nothing
	Process Process                 // who answers
	Sockets func() int              // connected to this process. Default: none.

	MaxUpload   int64    // bytes of one photo. Default 10 MB (10,485,760).
	MaxInflight int      // uploads at once; one more is answered 503. Default 256.
	MaxQueue    int      // jobs that have not ended; with about so many an upload is answered 503. Default 1,000,000.
	CORSOrigins []string // origins that may call from a browser, besides our own. Default none.

	// LocalToken, when set, signs in whoever asks from this machine: the mode without a JWT secret.
	LocalToken func() (token string, u auth.User, err error)

	// Observe is told of every request: its route pattern, method, status and duration. Default: nobody.
	Observe func(pattern, method string, status int, took time.Duration)
}

// Check is one back end that readiness depends on.
type Check struct {
	Name    string // "assets", "queue", "images", "ai"
	Backend string // "sqlite", "disk", …
	Ping    func(ctx context.Context) error
}

// Process is what the console shows of the process that answers.
type Process struct {
	Name    string    // as workers are named
	Version string    // of Loupe
	Roles   []string  // "api", "worker"
	Started time.Time // when
	Alone   bool      // no other process has a part in this installation
}

type api struct {
	Config
	inflight chan struct{} // a token for each upload at once
}

// New returns the handler of the whole API.
func New(c Config) http.Handler {
	if c.MaxUpload == 0 {
		c.MaxUpload = 10 << 20
	}
	if c.MaxInflight == 0 {
		c.MaxInflight = 256
	}
	if c.MaxQueue == 0 {
		c.MaxQueue = 1_000_000
	}
	a := &api{Config: c, inflight: make(chan struct{}, c.MaxInflight)}
	mux := http.NewServeMux()
	for _, r := range a.routes() {
		mux.Handle(r.pattern, r.handler)
	}
	return a.wrap(mux)
}

// route is one line of the contract.
type route struct {
	pattern string
	handler http.Handler
}

// routes are those of this server: what its configuration lacks is not there.
func (a *api) routes() []route {
	routes := []route{
		{"GET /healthz", http.HandlerFunc(a.healthz)},
		{"GET /readyz", http.HandlerFunc(a.readyz)},
	}
	if a.Metrics != nil {
		routes = append(routes, route{"GET /metrics", a.Metrics})
	}
	if a.Pipeline == nil {
		return routes
	}
	routes = append(routes, []route{
		{"POST /api/assets/analyze-queue", a.user(a.upload)},
		{"GET /api/assets", a.user(a.listAssets)},
		{"GET /api/assets/{id}", a.user(a.getAsset)},
		{"PATCH /api/assets/{id}", a.user(a.patchAsset)},
		{"DELETE /api/assets/{id}", a.user(a.deleteAsset)},
		{"POST /api/assets/{id}/retry", a.user(a.retryAsset)},
		{"GET /api/assets/{id}/events", a.user(a.assetEvents)},

		{"GET /api/assets/queue-status", a.admin(a.queueStatus)},
		{"GET /api/admin/failed-jobs", a.admin(a.failedJobs)},
		{"GET /api/admin/overview", a.admin(a.overview)},
		{"GET /api/admin/failed-jobs/count", a.admin(a.countFailedJobs)},
		{"POST /api/admin/failed-jobs/discard", a.admin(a.discardFailedJobs)},
		{"POST /api/admin/failed-jobs/{id}/retry", a.admin(a.retryFailedJob)},
		{"POST /api/admin/failed-jobs/retry", a.admin(a.retryFailedJobs)},
		{"DELETE /api/admin/failed-jobs/{id}", a.admin(a.discardFailedJob)},
		{"POST /api/admin/queue/pause", a.admin(a.pauseQueue)},
		{"POST /api/admin/queue/resume", a.admin(a.resumeQueue)},
		{"POST /api/admin/reconcile", a.admin(a.reconcile)},

		{"GET /openapi.yaml", http.HandlerFunc(a.openapi)},
	}...)
	if a.LocalToken != nil {
		routes = append(routes, route{"POST /api/session", http.HandlerFunc(a.localSession)})
	}
	if a.Images != nil {
		routes = append(routes, route{"GET /images/{key}", http.HandlerFunc(a.image)})
	}
	if a.Realtime != nil {
		routes = append(routes, route{realtimePattern, a.Realtime})
	}
	if a.Web != nil {
		for _, pattern := range webPatterns {
			routes = append(routes, route{pattern, a.Web})
		}
	}
	return routes
}

// webPatterns are the addresses of the web app: its parts, and its page under every address that its router knows.
var webPatterns = []string{"GET /app/", "GET /{$}", "GET /assets/{id}", "GET /console"}

// realtimePattern is where Socket.IO is.
const realtimePattern = "/socket.io/"
