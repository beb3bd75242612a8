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
	"loupe/internal/pipeline"
	"loupe/internal/queue"
)

// Config is what the API is made of. Pipeline, Assets, Jobs, Auth and Log are required.
type Config struct {
	Pipeline *pipeline.Pipeline
	Assets   asset.Store
	Jobs     queue.Admin
	Auth     *auth.Verifier
	Log      *slog.Logger

	Images   image.Store  // serves /images/; nil: they are served by somebody else
	Realtime http.Handler // serves /socket.io/; nil: none
	Metrics  http.Handler // serves /metrics; nil: none
	Web      http.Handler // serves / and /app/; nil: none
	OpenAPI  []byte       // serves /openapi.yaml

	Checks []Check // what /readyz asks

	MaxUpload   int64    // bytes of one photo. Default 10 MB (10,485,760).
	MaxInflight int      // uploads at once; one more is answered 503. Default 256.
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

type api struct {
	Config
	mux      *http.ServeMux
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
	a := &api{Config: c, mux: http.NewServeMux(), inflight: make(chan struct{}, c.MaxInflight)}
	a.routes()
	return a.wrap(a.mux)
}

func (a *api) routes() {
	user := func(pattern string, h userHandler) { a.mux.Handle(pattern, a.user(h)) }
	admin := func(pattern string, h userHandler) { a.mux.Handle(pattern, a.admin(h)) }

	user("POST /api/assets/analyze-queue", a.upload)
	user("GET /api/assets", a.listAssets)
	user("GET /api/assets/{id}", a.getAsset)
	user("PATCH /api/assets/{id}", a.patchAsset)
	user("DELETE /api/assets/{id}", a.deleteAsset)
	user("POST /api/assets/{id}/retry", a.retryAsset)
	user("GET /api/assets/{id}/events", a.assetEvents)

	admin("GET /api/assets/queue-status", a.queueStatus)
	admin("GET /api/admin/failed-jobs", a.failedJobs)
	admin("POST /api/admin/failed-jobs/{id}/retry", a.retryFailedJob)
	admin("POST /api/admin/failed-jobs/retry", a.retryFailedJobs)
	admin("DELETE /api/admin/failed-jobs/{id}", a.discardFailedJob)
	admin("POST /api/admin/queue/pause", a.pauseQueue)
	admin("POST /api/admin/queue/resume", a.resumeQueue)

	a.mux.HandleFunc("GET /healthz", a.healthz)
	a.mux.HandleFunc("GET /readyz", a.readyz)
	a.mux.HandleFunc("GET /openapi.yaml", a.openapi)
	if a.LocalToken != nil {
		a.mux.HandleFunc("POST /api/session", a.localSession)
	}
	if a.Images != nil {
		a.mux.HandleFunc("GET /images/{key}", a.image)
	}
	if a.Metrics != nil {
		a.mux.Handle("GET /metrics", a.Metrics)
	}
	if a.Realtime != nil {
		a.mux.Handle("/socket.io/", a.Realtime)
	}
	if a.Web != nil {
		a.mux.Handle("GET /{$}", a.Web)
		a.mux.Handle("GET /app/", a.Web)
	}
}
