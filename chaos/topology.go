package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"loupe/internal/asset/mongostore/ferretbuild"
	"loupe/internal/freeport"
)

// The topologies.
const (
	embedded = "embedded" // one process; SQLite and disk
	services = "services" // one process; Redis and a MongoDB server
	fleet    = "fleet"    // two APIs and three workers; Redis and a MongoDB server
)

var topologies = []string{embedded, services, fleet}

// The settings of every loupe here. Small times make more happen in a run; small bounds are reached.
const (
	jwtSecret      = "a secret for the tokens of the chaos runs"
	attempts       = 3
	concurrency    = 5
	aiTimeout      = 5 * time.Second
	jobTimeout     = 20 * time.Second
	lease          = 5 * time.Second
	maxInflight    = 16
	reconcileEvery = 2 * time.Second
	reconcileMany  = 10 * time.Second // where the MongoDB server of the tests looks at all documents for it
)

func settings(topology string) []string {
	reconcile := reconcileMany
	if topology == embedded {
		reconcile = reconcileEvery
	}
	return []string{
		"PATH=" + os.Getenv("PATH"), "TMPDIR=" + os.TempDir(), "LOUPE_HOST=127.0.0.1", "LOUPE_LOG=json",
		"JWT_SECRET=" + jwtSecret, "LOUPE_BACKOFF=200ms",
		fmt.Sprint("LOUPE_ATTEMPTS=", attempts), fmt.Sprint("LOUPE_CONCURRENCY=", concurrency),
		fmt.Sprint("LOUPE_AI_TIMEOUT=", aiTimeout), fmt.Sprint("LOUPE_JOB_TIMEOUT=", jobTimeout),
		fmt.Sprint("LOUPE_LEASE=", lease), fmt.Sprint("LOUPE_MAX_INFLIGHT=", maxInflight), fmt.Sprint("LOUPE_RECONCILE_EVERY=", reconcile),
	}
}

// site is a running topology. Between its parts are links.
type site struct {
	name    string
	dir     string // of everything it writes
	history *history

	loupes []*process
	redis  *process // nil if there is none
	mongo  *process
	doors  []door  // of the APIs, for clients
	links  []*link // all there are

	redisPort string
	mongoAt   sync.Mutex // protects mongoHost
	mongoHost string     // where the MongoDB server listens now
	watching  sync.WaitGroup
	unwatch   context.CancelFunc
}

// door is where clients come in.
type door struct {
	name string
	url  string
}

// programs are what a site runs.
type programs struct{ loupe, ferret string }

// build builds the programs into a directory.
func build(ctx context.Context, dir, topology string, race bool) (programs, error) {
	p := programs{loupe: filepath.Join(dir, "loupe"), ferret: filepath.Join(dir, "ferret")}
	root, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}").Output()
	if err != nil {
		return p, fmt.Errorf("go list: %w; run this within the repository", err)
	}
	top := strings.TrimSpace(string(root))
	args := []string{"build", "-o", p.loupe, "./cmd/loupe"}
	if race {
		args = slices.Insert(args, 1, "-race")
	}
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir, cmd.Cancel = top, func() error { return cmd.Process.Signal(os.Interrupt) } // it then clears up after itself
	if out, err := cmd.CombinedOutput(); err != nil {
		return p, fmt.Errorf("%s: %w\n%s", cmd, err, out)
	}
	if topology == embedded {
		return p, nil
	}
	return p, ferretbuild.Build(ctx, filepath.Join(top, "internal", "asset", "mongostore", "ferret"), p.ferret)
}

// startSite starts a topology whose loupes ask the AI service at that URL. What was started is stopped by close, even if
// there was an error.
func startSite(ctx context.Context, topology, dir string, p programs, aiURL string, h *history) (*site, error) {
	watch, unwatch := context.WithCancel(ctx)
	s := &site{name: topology, dir: dir, history: h, unwatch: unwatch}
	if topology != embedded {
		if err := errors.Join(s.startRedis(ctx), s.startMongo(ctx, p.ferret)); err != nil {
			return s, err
		}
	}
	plan := map[string][]string{
		embedded: {"api,worker"},
		services: {"api,worker"},
		fleet:    {"api", "api", "worker", "worker", "worker"},
	}
	count := map[string]int{}
	for _, roles := range plan[topology] {
		count[roles]++
		name := roles
		if topology == fleet {
			name = fmt.Sprint(roles, count[roles])
		}
		if err := s.addLoupe(ctx, name, roles, p.loupe, aiURL); err != nil {
			return s, err
		}
	}
	for _, each := range s.processes() {
		s.watching.Go(func() { each.watch(watch) })
	}
	return s, nil
}

func (s *site) processes() []*process {
	all := slices.Clone(s.loupes)
	for _, p := range []*process{s.redis, s.mongo} {
		if p != nil {
			all = append(all, p)
		}
	}
	return all
}

// addLoupe starts a loupe with links to whatever it needs.
func (s *site) addLoupe(ctx context.Context, name, roles, binary, aiURL string) error {
	port, err := freeport.Find(ctx)
	if err != nil {
		return err
	}
	env := append(settings(s.name), "PORT="+port, "LOUPE_ROLES="+roles, "AI_SERVICE_URL="+aiURL, "LOUPE_DATA_DIR="+filepath.Join(s.dir, "data"))
	if strings.Contains(roles, "api") {
		l, err := s.link(ctx, "clients→"+name, "127.0.0.1:"+port)
		if err != nil {
			return err
		}
		s.doors = append(s.doors, door{name, "http://" + l.address()})
	}
	env = append(env, "LOUPE_PUBLIC_URL="+s.doors[0].url)
	if s.redis != nil {
		redis, err := s.link(ctx, name+"→redis", "127.0.0.1:"+s.redisPort)
		if err != nil {
			return err
		}
		mongo, err := s.link(ctx, name+"→mongo", s.mongoHost)
		if err != nil {
			return err
		}
		env = append(env, "REDIS_URL=redis://"+redis.address(), "MONGODB_URI=mongodb://"+mongo.address()+"/chaos")
	}
	p := &process{
		name: name, ours: true, log: filepath.Join(s.dir, name+".log"), history: s.history,
		command: func() *exec.Cmd {
			cmd := exec.Command(binary, "serve") //nolint:noctx // its end is ours to say
			cmd.Env = env
			return cmd
		},
		ready: func(ctx context.Context) error { return alive(ctx, "http://127.0.0.1:"+port+"/healthz") },
	}
	if err := p.start(ctx); err != nil {
		return fmt.Errorf("%w; it printed: %s", err, p.tail())
	}
	s.loupes = append(s.loupes, p)
	return nil
}

func (s *site) link(ctx context.Context, name, target string) (*link, error) {
	l, err := newLink(ctx, name, target)
	if err == nil {
		s.links = append(s.links, l)
	}
	return l, err
}

// startRedis starts a Redis server that keeps what it is told in a file.
func (s *site) startRedis(ctx context.Context) (err error) {
	if s.redisPort, err = freeport.Find(ctx); err != nil {
		return err
	}
	dir := s.redisDir()
	s.redis = &process{
		name: "redis", log: filepath.Join(s.dir, "redis.log"), history: s.history,
		command: func() *exec.Cmd {
			_ = os.MkdirAll(dir, 0o700)         // else the server says so
			return exec.Command("redis-server", //nolint:noctx // its end is ours to say
				"--bind", "127.0.0.1", "--port", s.redisPort, "--dir", dir, "--save", "", "--appendonly", "yes")
		},
		ready: func(ctx context.Context) error { return s.redisSays(ctx, "PING", "+PONG") },
	}
	return s.redis.start(ctx)
}

func (s *site) redisDir() string { return filepath.Join(s.dir, "redis") }

// redisSays sends a command, past all links, and wants that answer.
func (s *site) redisSays(ctx context.Context, command, want string) error {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", "127.0.0.1:"+s.redisPort)
	if err != nil {
		return err
	}
	defer conn.Close()
	deadline, _ := ctx.Deadline()
	conn.SetDeadline(deadline)
	if _, err := fmt.Fprint(conn, command+"\r\n"); err != nil {
		return err
	}
	answer := make([]byte, 100)
	n, err := conn.Read(answer)
	if err == nil && !strings.HasPrefix(string(answer[:n]), want) {
		err = fmt.Errorf("redis: %s: %q", command, answer[:n])
	}
	return err
}

// startMongo starts the MongoDB protocol server of the tests. It listens on another port each time; the links follow.
func (s *site) startMongo(ctx context.Context, binary string) error {
	dir := filepath.Join(s.dir, "mongo")
	if err := os.Mkdir(dir, 0o700); err != nil {
		return err
	}
	s.mongo = &process{
		name: "mongo", log: filepath.Join(s.dir, "mongo.log"), history: s.history,
		command: func() *exec.Cmd { return exec.Command(binary, dir) }, //nolint:noctx // its end is ours to say
		ready:   s.mongoAnswers,
		stdout:  s.followMongo,
	}
	return s.mongo.start(ctx)
}

func (s *site) mongoAnswers(ctx context.Context) error {
	s.mongoAt.Lock()
	host := s.mongoHost
	s.mongoAt.Unlock()
	conn, err := (&net.Dialer{Timeout: dialTimeout}).DialContext(ctx, "tcp", host)
	if err != nil {
		return err
	}
	return conn.Close()
}

func (s *site) followMongo(uri string) {
	host := strings.TrimSuffix(strings.TrimPrefix(uri, "mongodb://"), "/")
	s.mongoAt.Lock()
	defer s.mongoAt.Unlock()
	s.mongoHost = host
	for _, l := range s.links {
		if strings.HasSuffix(l.name, "→mongo") {
			l.lead(host)
		}
	}
}

// close asks the loupes to end, which the history tells of, and ends everything else.
func (s *site) close() error {
	s.unwatch()
	s.watching.Wait()
	var errs []error
	var stopping sync.WaitGroup
	for _, p := range s.loupes {
		stopping.Go(p.stop)
	}
	stopping.Wait()
	for _, p := range s.loupes {
		errs = append(errs, p.complain())
	}
	for _, p := range []*process{s.redis, s.mongo} {
		if p != nil {
			p.kill()
		}
	}
	for _, l := range s.links {
		l.close()
	}
	return errors.Join(errs...)
}

// alive asks a URL that answers 200 when all is well.
func alive(ctx context.Context, url string) error {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	answer, err := probe.Do(request)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return errors.New(answer.Status)
	}
	return nil
}

// probe keeps no connection, so that none outlives its process.
var probe = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
