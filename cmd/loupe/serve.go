package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"loupe"
	"loupe/internal/asset"
	"loupe/internal/asset/sqlitestore"
	"loupe/internal/auth"
	"loupe/internal/httpapi"
	"loupe/internal/image"
	"loupe/internal/image/diskstore"
	"loupe/internal/live"
	"loupe/internal/pipeline"
	"loupe/internal/queue"
	"loupe/internal/queue/sqlitequeue"
	"loupe/internal/sqlitedb"
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
			return serve(ctx, in.config, log, func(string) {})
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

// serve runs the server until ctx ends and everything has drained. ready is called with the address when it listens.
func serve(ctx context.Context, c *config, log *slog.Logger, ready func(url string)) error {
	if err := onlyEmbedded(c); err != nil {
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

	dir, err := openDataDir(c.dataDir)
	if err != nil {
		return err
	}
	defer dir.Close()
	secret, err := c.secret()
	if err != nil {
		return err
	}
	if len(secret) < minSecret {
		log.Warn("JWT_SECRET is short: whoever has a token can guess it offline", "bytes", len(secret), "recommended", minSecret)
	}
	s, err := open(ctx, c, secret, log)
	if err != nil {
		return err
	}
	defer s.close()

	log.Info("listening", "url", c.publicURL, "address", listener.Addr().String(), "version", version)
	for _, b := range s.backends {
		log.Info(b.role, "backend", b.name, "where", b.where, "why", b.why)
	}
	ready(c.publicURL)
	return s.run(ctx, listener)
}

// onlyEmbedded refuses settings for services that this version cannot use yet, rather than pass them over.
func onlyEmbedded(c *config) error {
	for name, value := range map[string]string{"REDIS_URL": c.redisURL, "MONGODB_URI": c.mongoURI, "CLOUDINARY_URL": c.cloudinaryURL} {
		if value != "" {
			return fmt.Errorf("%s is set, but this version knows the embedded back ends only; unset it", name)
		}
	}
	if !c.hasRole("api") || !c.hasRole("worker") {
		return errors.New("LOUPE_ROLES must be api,worker: the embedded queue lives in one process")
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
	log      *slog.Logger
	pipeline *pipeline.Pipeline
	live     *live.Server
	handler  http.Handler
	backends []backend
	closers  []func() error // closed last to first
}

// backend is one line of the start-up report.
type backend struct{ role, name, where, why string }

func (s *server) close() {
	for i := len(s.closers) - 1; i >= 0; i-- {
		if err := s.closers[i](); err != nil {
			s.log.Error("close", "error", err)
		}
	}
}

// open opens the back ends and wires them. Which back end each role gets is decided here and nowhere else.
func open(ctx context.Context, c *config, secret []byte, log *slog.Logger) (s *server, err error) {
	s = &server{log: log}
	defer func() {
		if err != nil {
			s.close()
		}
	}()

	path := filepath.Join(c.dataDir, "loupe.db")
	db, err := sqlitedb.Open(ctx, path)
	if err != nil {
		return nil, err
	}
	s.closers = append(s.closers, db.Close)

	assets := sqlitestore.New(db)
	s.backends = append(s.backends, backend{"assets", "sqlite", path, "MONGODB_URI is not set"})

	images, err := diskstore.Open(diskstore.Config{Dir: filepath.Join(c.dataDir, "images"), BaseURL: c.publicURL})
	if err != nil {
		return nil, err
	}
	s.closers = append(s.closers, images.Close)
	s.backends = append(s.backends, backend{"images", "disk", filepath.Join(c.dataDir, "images"), "CLOUDINARY_URL is not set"})

	jobs := sqlitequeue.New(db, queue.Config{
		Concurrency: c.concurrency, Attempts: c.attempts, Backoff: c.backoff, Timeout: c.jobTimeout,
		Grace: jobGrace, KeepDone: c.keepCompleted, KeepFailed: c.keepFailed, Sole: true,
	}, log)
	s.backends = append(s.backends, backend{"queue", "sqlite", path, "REDIS_URL is not set"})

	analyzer, err := newAnalyzer(c, images, log)
	if err != nil {
		return nil, err
	}
	s.closers = append(s.closers, func() error { analyzer.Close(); return nil })
	if c.aiServiceURL == "" {
		s.backends = append(s.backends, backend{"analyzer", "builtin", "in this process", "AI_SERVICE_URL is not set"})
	} else {
		s.backends = append(s.backends, backend{"analyzer", "http", c.aiServiceURL, "AI_SERVICE_URL is set"})
	}

	verifier, err := auth.NewVerifier(auth.Config{Secret: secret, UserClaim: c.userClaim, AllowNoExpiry: c.allowNoExpiry})
	if err != nil {
		return nil, err
	}
	s.live = live.New(live.Config{
		Auth: verifier, AllowedOrigins: c.corsOrigins, Log: log,
		Missed: func(ctx context.Context, owner string, since time.Time, deliver func([]pipeline.Event, bool)) error {
			return s.pipeline.Missed(ctx, owner, since, deliver)
		},
	})
	s.backends = append(s.backends, backend{"rooms", "process", "in this process", "REDIS_URL is not set"})

	metrics := telemetry.NewMetrics()
	s.pipeline = pipeline.New(pipeline.Config{
		Assets: assets, Images: images, Queue: jobs, Jobs: jobs, Analyzer: analyzer, Notifier: s.live, Log: log,
		Categories: c.categories, ImageLimits: image.Limits{MaxBytes: c.maxUpload}, MaxAttempts: c.attempts,
		FailOnOutage: c.outage == "fail", ReconcileEvery: c.reconcileEvery,
		Observe: pipeline.Observer{
			Submitted: metrics.Accepted,
			Attempted: metrics.Attempt,
			Finished:  func(status asset.Status, took time.Duration) { metrics.Finished(string(status), took) },
			Repaired:  metrics.Repaired,
			Stale:     metrics.Skipped,
		},
	})
	s.measure(metrics, jobs)

	api := httpapi.Config{
		Pipeline: s.pipeline, Assets: assets, Jobs: jobs, Auth: verifier, Log: log,
		Images: images, Realtime: s.live, Metrics: metrics.Handler(), Web: web.Handler(), OpenAPI: loupe.OpenAPI,
		Checks: []httpapi.Check{
			{Name: "assets", Backend: "sqlite", Ping: db.Ping},
			{Name: "queue", Backend: "sqlite", Ping: db.Ping},
			{Name: "images", Backend: "disk", Ping: func(ctx context.Context) error { return pingImages(ctx, images) }},
		},
		MaxUpload: c.maxUpload, MaxInflight: c.maxInflight, CORSOrigins: c.corsOrigins, Observe: metrics.Request,
	}
	if c.local() {
		api.LocalToken = func() (string, auth.User, error) {
			user := auth.User{ID: localUser, Admin: true, Expires: time.Now().Add(localTokenTTL).Truncate(time.Second)}
			token, err := auth.Mint(auth.Config{Secret: secret, UserClaim: c.userClaim}, user)
			return token, user, err
		}
	}
	s.handler = httpapi.New(api)
	return s, nil
}

// localTokenTTL is how long the web app is signed in before it asks again.
const localTokenTTL = 12 * time.Hour

// pingImages asks the store for a picture that nobody has.
func pingImages(ctx context.Context, images image.Store) error {
	file, _, err := images.Open(ctx, image.NewKey(image.JPEG))
	if errors.Is(err, image.ErrNotFound) {
		return nil
	}
	if err == nil {
		file.Close()
	}
	return err
}

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
		return s.pipeline.Work(ctx)
	})
	group.Go(func() error { return s.pipeline.RunReconcile(ctx) })
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
