package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"loupe"
	"loupe/internal/asset"
	"loupe/internal/auth"
	"loupe/internal/httpapi"
	"loupe/internal/image"
	"loupe/internal/live"
	"loupe/internal/overview"
	"loupe/internal/pipeline"
	"loupe/internal/queue"
	"loupe/internal/telemetry"
	"loupe/internal/web"
)

func serveCommand() *command {
	return &command{
		name:  "serve",
		short: "run the server",
		long: "Without any setting it serves this machine alone: assets and queue in a SQLite file, images on disk, the\n" +
			"built-in analyzer. Settings are environment variables; \"loupe config\" lists them.",
		example: "JWT_SECRET=… AI_SERVICE_URL=http://localhost:8000 loupe serve",
		run: func(ctx context.Context, in *invocation) error {
			if len(in.args) > 0 {
				return usagef("takes no arguments; settings are environment variables")
			}
			log := telemetry.NewLogger(in.stderr, in.config.logForm(in.stderr), slog.LevelInfo)
			return serve(ctx, in.config, log, func(string, []backend) {})
		},
	}
}

// localUser is who everybody is on a server without JWT_SECRET.
const localUser = "local"

// Bounds of the HTTP server. Bodies have their own: a slow upload and a waiting poll are no offence.
const (
	headerTimeout  = 10 * time.Second
	idleTimeout    = 2 * time.Minute
	maxHeaderBytes = 64 << 10
)

// The steps of a shutdown: running jobs end, then connections.
const (
	jobGrace        = 20 * time.Second
	connectionGrace = 5 * time.Second
)

// serve runs the server until ctx ends and everything has drained. ready is called with the address when it listens, and
// with the back ends.
func serve(ctx context.Context, c *config, log *slog.Logger, ready func(url string, report []backend)) error {
	if err := c.checkRoles(); err != nil {
		return err
	}
	host, err := c.listenHost()
	if err != nil {
		return err
	}
	listener, err := listen(ctx, host, c.port)
	if err != nil {
		return err
	}
	defer listener.Close()
	if c.publicURL == "" {
		c.publicURL = fmt.Sprintf("http://127.0.0.1:%d", listener.Addr().(*net.TCPAddr).Port)
	}

	s, err := open(ctx, c, log)
	if err != nil {
		return err
	}
	defer s.close()

	log.Info("listening", "url", c.publicURL, "address", listener.Addr().String(), "roles", strings.Join(c.roles, ","), "version", version)
	for _, b := range s.report {
		log.Info(b.role, "backend", b.name, "where", b.where, "why", b.why)
	}
	ready(c.publicURL, s.report)
	return s.run(ctx, listener)
}

// checkRoles refuses a part of a server that could not meet its other parts.
func (c *config) checkRoles() error {
	roles := strings.Join(c.roles, ",")
	switch {
	case c.hasRole("api") && c.hasRole("worker"):
		return nil
	case c.redisURL == "" || c.mongoURI == "":
		return fmt.Errorf("LOUPE_ROLES=%s needs REDIS_URL and MONGODB_URI: the embedded queue and database live in one process, api,worker", roles)
	case !c.hasRole("api") && c.cloudinaryURL == "" && c.publicURL == "":
		return fmt.Errorf("LOUPE_ROLES=%s needs LOUPE_PUBLIC_URL, under which the api serves the images that are on disk, and its LOUPE_DATA_DIR; or CLOUDINARY_URL", roles)
	}
	return nil
}

func listen(ctx context.Context, host string, port int) (net.Listener, error) {
	address := net.JoinHostPort(host, strconv.Itoa(port))
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, fmt.Errorf("port %d is taken; choose another, for example PORT=%d", port, port+1)
	}
	if errors.Is(err, syscall.EACCES) {
		return nil, fmt.Errorf("port %d needs privileges; choose another, for example PORT=3000", port)
	}
	return listener, err
}

// server is everything that runs, wired together.
type server struct {
	*backends
	log      *slog.Logger
	roles    []string
	pipeline *pipeline.Pipeline
	live     *live.Server
	recent   *overview.Recorder
	handler  http.Handler
}

// open opens the back ends and wires the parts together that this process's roles need.
func open(ctx context.Context, c *config, log *slog.Logger) (*server, error) {
	s := &server{log: log, roles: c.roles}
	verifier, err := s.openAuth(c)
	if err != nil {
		return nil, err
	}
	if s.backends, err = openBackends(ctx, c, log); err != nil {
		return nil, err
	}
	s.live = live.New(live.Config{
		Auth: verifier, AllowedOrigins: c.corsOrigins, Log: log, Adapter: s.rooms, Confirm: s.confirm,
		Missed: func(ctx context.Context, owner string, since time.Time, deliver func([]pipeline.Event, bool)) error {
			return s.pipeline.Missed(ctx, owner, since, deliver)
		},
		Greeting: func() []pipeline.Event { return s.pipeline.Greeting() },
	})

	metrics := telemetry.NewMetrics()
	s.recent = overview.New(overview.Config{Counts: s.jobs.Counts})
	s.pipeline = pipeline.New(pipeline.Config{
		Assets: s.assets, Ledger: s.ledger, Images: s.images, Queue: s.queue, Jobs: s.jobs, Gate: s.gate, Analyzer: s.analyzer, Notifier: s.live, Log: log,
		Categories: c.categories, ImageLimits: image.Limits{MaxBytes: c.maxUpload}, MaxAttempts: c.attempts,
		FailOnOutage: c.outage == "fail", ReconcileEvery: c.reconcileEvery, Grace: c.lease / 2, ManyProcesses: c.redisURL != "" && c.mongoURI != "",
		Observe: pipeline.Observer{
			Stored:    func(took time.Duration) { s.recent.Took(overview.Receive, took) },
			Submitted: metrics.Accepted,
			Started:   func(waited time.Duration) { s.recent.Took(overview.Wait, waited) },
			Attempted: func(outcome string, took time.Duration) {
				metrics.Attempt(outcome, took)
				s.recent.Attempted(outcome)
				s.recent.Took(overview.Analysis, took)
			},
			Finished: func(status asset.Status, took time.Duration) {
				metrics.Finished(string(status), took)
				s.recent.Finished(string(status))
				s.recent.Took(overview.Total, took)
			},
			Repaired: metrics.Repaired,
			Stale:    metrics.Skipped,
			Service:  func(now pipeline.Service) { s.live.Announce(now.Notice()) },
		},
	})
	s.rejoined = func(ctx context.Context, since time.Time) {
		s.pipeline.ReconcileSoon() // Redis may have lost its jobs, and what we emitted
		s.live.Rejoined(ctx, since)
	}
	close(s.wired)
	s.measure(metrics, s.jobs)

	api := httpapi.Config{
		Log: log, Metrics: metrics.Handler(), Checks: s.checks, Service: s.pipeline.Service, Observe: metrics.Request,
	}
	if c.hasRole("api") {
		api.Pipeline, api.Assets, api.Jobs, api.Auth = s.pipeline, s.assets, s.jobs, verifier
		api.Images, api.Previews = s.served, s.previews
		api.Realtime, api.Web, api.OpenAPI = s.live, web.New(webConfig(c)), loupe.OpenAPI
		api.Recent, api.Sockets = s.recent, s.live.Sockets
		api.Process = httpapi.Process{
			Name: queue.ProcessName(), Version: version, Roles: c.roles, Started: time.Now(),
			Alone: c.redisURL == "" || c.mongoURI == "",
		}
		api.MaxUpload, api.MaxInflight, api.MaxQueue, api.CORSOrigins = c.maxUpload, c.maxInflight, c.maxQueue, c.corsOrigins
		if c.local() {
			api.LocalToken = s.localToken(c)
		}
	}
	s.handler = httpapi.New(api)
	return s, nil
}

// openAuth returns what verifies tokens. A process that only works has nobody to verify, and no secret.
func (s *server) openAuth(c *config) (*auth.Verifier, error) {
	if !c.hasRole("api") {
		return nil, nil
	}
	secret, err := c.secret()
	if err != nil {
		return nil, err
	}
	if len(secret) < minSecret {
		s.log.Warn("JWT_SECRET is short: whoever has a token can guess it offline", "bytes", len(secret), "recommended", minSecret)
	}
	return auth.NewVerifier(auth.Config{Secret: secret, UserClaim: c.userClaim, AllowNoExpiry: c.allowNoExpiry})
}

// localToken returns what signs in whoever asks from this machine.
func (s *server) localToken(c *config) func() (string, auth.User, error) {
	return func() (string, auth.User, error) {
		secret, err := c.secret()
		if err != nil {
			return "", auth.User{}, err
		}
		user := auth.User{ID: localUser, Admin: true, Expires: time.Now().Add(localTokenTTL).Truncate(time.Second)}
		token, err := auth.Mint(auth.Config{Secret: secret, UserClaim: c.userClaim}, user)
		return token, user, err
	}
}

// localTokenTTL is how long the web app is signed in before it asks again.
const localTokenTTL = 12 * time.Hour

// measure adds the figures that are asked for when somebody scrapes.
func (s *server) measure(metrics *telemetry.Metrics, jobs queue.Admin) {
	counts := func() queue.Counts {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		counts, err := jobs.Counts(ctx)
		if err != nil {
			s.log.Warn("queue counts", "error", err)
		}
		return counts
	}
	metrics.Gauges("loupe_jobs", "Jobs on the queue by state.", "state", func() map[string]float64 {
		c := counts()
		return map[string]float64{
			"waiting": float64(c.Waiting), "active": float64(c.Active), "delayed": float64(c.Delayed),
			"completed": float64(c.Completed), "failed": float64(c.Failed), "paused": float64(c.Paused),
		}
	})
	metrics.Gauge("loupe_oldest_waiting_seconds", "Age of the job that has waited longest.",
		func() float64 { return counts().OldestWaiting.Seconds() })
	metrics.Gauge("loupe_ai_up", "1 while jobs go to the AI service, 0 while they wait for it.", func() float64 {
		if s.pipeline.Service().Down {
			return 0
		}
		return 1
	})
	metrics.Gauge("loupe_ai_down_seconds", "For how long jobs have waited for the AI service, 0 if they do not.", func() float64 {
		if now := s.pipeline.Service(); now.Down {
			return max(0, time.Since(now.Since).Seconds())
		}
		return 0
	})
	metrics.Gauge("loupe_ai_next_look_seconds", "Time until the AI service is looked at again, 0 while it is up.", func() float64 {
		if now := s.pipeline.Service(); now.Down {
			return max(0, time.Until(now.NextLook).Seconds())
		}
		return 0
	})
	metrics.Gauge("loupe_sockets", "Connected sockets.", func() float64 { return float64(s.live.Sockets()) })
}

func newHTTPServer(h http.Handler, log *slog.Logger) *http.Server {
	return &http.Server{
		Handler:           h,
		ReadHeaderTimeout: headerTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
}

// ignoreClosed passes on why a server ended, unless it was told to.
func ignoreClosed(err error) error {
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

// run serves until ctx ends, then shuts down: no new work, running jobs and uploads end, sockets are told.
func (s *server) run(ctx context.Context, listener net.Listener) error {
	server := newHTTPServer(s.handler, s.log)
	group, ctx := errgroup.WithContext(ctx)
	drained := make(chan struct{})
	group.Go(func() error { return ignoreClosed(server.Serve(listener)) })
	group.Go(func() error {
		defer close(drained)
		if !slices.Contains(s.roles, "worker") {
			return s.pipeline.WatchService(ctx)
		}
		return s.pipeline.Work(ctx)
	})
	group.Go(func() error { return s.pipeline.RunReconcile(ctx) })
	if slices.Contains(s.roles, "api") {
		group.Go(func() error { return s.recent.Run(ctx) })
	}
	group.Go(func() error {
		<-ctx.Done()
		s.log.Info("shutting down")
		s.shutdown(server, drained)
		return nil
	})
	err := group.Wait()
	s.log.Info("stopped")
	return err
}

// shutdown takes no new request, lets running jobs and uploads end, and only then closes the sockets, so that the last
// events reach their owners.
func (s *server) shutdown(server *http.Server, drained <-chan struct{}) {
	ctx, cancel := context.WithTimeout(context.Background(), jobGrace+connectionGrace)
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- server.Shutdown(ctx) }()
	<-drained
	if err := s.live.Close(ctx); err != nil {
		s.log.Warn("sockets did not close in time", "error", err)
	}
	if err := <-ended; err != nil {
		s.log.Warn("requests were cut off", "error", err)
		server.Close()
	}
}
