package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"golang.org/x/term"
)

// config is what the environment says. This file is the one place that reads it.
type config struct {
	redisURL, mongoURI, cloudinaryURL string

	aiServiceURL string
	jwtSecret    string
	host         string
	port         int
	dataDir      string
	publicURL    string
	roles        []string
	corsOrigins  []string
	categories   []string

	concurrency, attempts int
	backoff               time.Duration
	jobTimeout, aiTimeout time.Duration
	lease                 time.Duration
	keepCompleted         time.Duration
	keepFailed            time.Duration
	maxUpload             int64
	maxInflight, maxQueue int
	reconcileEvery        time.Duration
	outage                string
	aiFields              string
	userClaim             string
	allowNoExpiry         bool
	logFormat             string
	token                 string

	values []value // what is in force, in the order of the table
}

// value is one setting in force, for "loupe config".
type value struct{ name, text, origin, help string }

// setting is one variable: its name, what it means when unset, and how it is read.
type setting struct {
	name     string
	fallback string // parsed like a set value; "" leaves the member as it is
	unset    string // what "loupe config" says of an unset variable, where fallback does not say it
	help     string
	secret   bool
	read     func(*config, string) error
}

// settings is the table of all variables, as design and README have it.
var settings = []setting{
	{name: "REDIS_URL", unset: "queue in the SQLite file, rooms in the process", help: "BullMQ-compatible queue and Socket.IO rooms on that Redis", secret: true, read: text(func(c *config) *string { return &c.redisURL })},
	{name: "MONGODB_URI", unset: "assets in the SQLite file", help: "assets in that database", secret: true, read: text(func(c *config) *string { return &c.mongoURI })},
	{name: "CLOUDINARY_URL", unset: "images in the data directory", help: "images on Cloudinary", secret: true, read: text(func(c *config) *string { return &c.cloudinaryURL })},
	{name: "AI_SERVICE_URL", unset: "the built-in analyzer", help: "base URL of the AI service: POST {url}/analyze", read: webURL(func(c *config) *string { return &c.aiServiceURL })},
	{name: "JWT_SECRET", unset: "made once in the data directory; loopback only", help: "secret of HS256 tokens", secret: true, read: text(func(c *config) *string { return &c.jwtSecret })},
	{name: "PORT", fallback: "3000", help: "TCP port; 0 takes a free one", read: whole(func(c *config) *int { return &c.port }, 0, 65535)},
	{name: "LOUPE_HOST", unset: "all interfaces with JWT_SECRET, else 127.0.0.1", help: "address to listen on", read: text(func(c *config) *string { return &c.host })},
	{name: "LOUPE_DATA_DIR", fallback: "./data", help: "directory of the database, the images and the secret", read: text(func(c *config) *string { return &c.dataDir })},
	{name: "LOUPE_PUBLIC_URL", unset: "http://127.0.0.1:<port>", help: "URL under which clients reach this server", read: webURL(func(c *config) *string { return &c.publicURL })},
	{name: "LOUPE_ROLES", fallback: "api,worker", help: "what this process does", read: list(func(c *config) *[]string { return &c.roles }, "api", "worker")},
	{name: "LOUPE_CORS_ORIGINS", unset: "same origin only", help: "origins that may call from a browser, by comma", read: origins},
	{name: "LOUPE_CATEGORIES", fallback: "sneaker,lego,camera,other", help: "categories of photos, by comma", read: list(func(c *config) *[]string { return &c.categories })},
	{name: "LOUPE_CONCURRENCY", fallback: "5", help: "jobs at once", read: whole(func(c *config) *int { return &c.concurrency }, 1, 1000)},
	{name: "LOUPE_ATTEMPTS", fallback: "3", help: "tries of each job", read: whole(func(c *config) *int { return &c.attempts }, 1, 100)},
	{name: "LOUPE_BACKOFF", fallback: "2s", help: "wait after the first failed attempt; doubles", read: duration(func(c *config) *time.Duration { return &c.backoff })},
	{name: "LOUPE_JOB_TIMEOUT", fallback: "120s", help: "bound of one attempt", read: duration(func(c *config) *time.Duration { return &c.jobTimeout })},
	{name: "LOUPE_LEASE", fallback: "30s", help: "after which the job of a silent worker is given to another", read: duration(func(c *config) *time.Duration { return &c.lease })},
	{name: "LOUPE_AI_TIMEOUT", fallback: "90s", help: "bound of one question to the AI service", read: duration(func(c *config) *time.Duration { return &c.aiTimeout })},
	{name: "LOUPE_KEEP_COMPLETED", fallback: "24h", help: "how long completed jobs are kept", read: duration(func(c *config) *time.Duration { return &c.keepCompleted })},
	{name: "LOUPE_KEEP_FAILED", fallback: "168h", help: "how long dead letters are kept", read: duration(func(c *config) *time.Duration { return &c.keepFailed })},
	{name: "LOUPE_MAX_UPLOAD", fallback: "10MB", help: "size of one photo", read: size(func(c *config) *int64 { return &c.maxUpload })},
	{name: "LOUPE_MAX_INFLIGHT", fallback: "256", help: "uploads at once", read: whole(func(c *config) *int { return &c.maxInflight }, 1, 100_000)},
	{name: "LOUPE_MAX_QUEUE", fallback: "1000000", help: "jobs that have not ended; beyond, uploads are answered 503", read: whole(func(c *config) *int { return &c.maxQueue }, 1, 1_000_000_000)},
	{name: "LOUPE_RECONCILE_EVERY", fallback: "1m", help: "how often lost work is looked for", read: duration(func(c *config) *time.Duration { return &c.reconcileEvery })},
	{name: "LOUPE_OUTAGE", fallback: "wait", help: "wait: an AI outage spends no attempt; fail: it does", read: oneOf(func(c *config) *string { return &c.outage }, "wait", "fail")},
	{name: "LOUPE_AI_FIELDS", fallback: "camel", help: "camel sends imageUrl, snake image_url", read: oneOf(func(c *config) *string { return &c.aiFields }, "camel", "snake")},
	{name: "LOUPE_JWT_USER_CLAIM", fallback: "sub", help: "claim that holds the user id", read: text(func(c *config) *string { return &c.userClaim })},
	{name: "LOUPE_JWT_ALLOW_NO_EXPIRY", fallback: "false", help: "accept tokens without exp", read: boolean(func(c *config) *bool { return &c.allowNoExpiry })},
	{name: "LOUPE_LOG", unset: "text on a terminal, else json", help: "form of the log: text or json", read: oneOf(func(c *config) *string { return &c.logFormat }, "text", "json")},
	{name: "LOUPE_TOKEN", unset: "minted with the secret", help: "token of the client commands submit and jobs", secret: true, read: text(func(c *config) *string { return &c.token })},
}

// readConfig reads the environment, given as "NAME=value" lines. The error names every bad variable.
func readConfig(environ []string) (*config, error) {
	set := make(map[string]string)
	var problems []error
	for _, line := range environ {
		name, text, _ := strings.Cut(line, "=")
		set[name] = text
		if strings.HasPrefix(name, "LOUPE_") && !strings.HasPrefix(name, "LOUPE_TEST_") && !knownSetting(name) {
			problems = append(problems, fmt.Errorf("%s is not a setting; did you mean %s?", name, nearest(name)))
		}
	}
	slices.SortFunc(problems, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	c := &config{}
	for _, s := range settings {
		v := value{name: s.name, text: set[s.name], origin: "environment", help: s.help}
		if v.text == "" {
			v.text, v.origin = s.fallback, "default"
		}
		if v.text != "" {
			if err := s.read(c, v.text); err != nil {
				shown := strconv.Quote(v.text)
				if s.secret {
					shown = "(hidden)"
				}
				problems = append(problems, fmt.Errorf("%s=%s: %w", s.name, shown, err))
			}
		}
		switch {
		case v.text == "":
			v.text = "(" + s.unset + ")"
		case s.secret:
			v.text = "(hidden)"
		}
		c.values = append(c.values, v)
	}
	if len(problems) == 0 && c.aiTimeout > c.jobTimeout {
		problems = append(problems, fmt.Errorf("LOUPE_AI_TIMEOUT=%s: must not be longer than LOUPE_JOB_TIMEOUT=%s", c.aiTimeout, c.jobTimeout))
	}
	return c, errors.Join(problems...)
}

func knownSetting(name string) bool {
	return slices.ContainsFunc(settings, func(s setting) bool { return s.name == name })
}

// nearest returns the known setting whose name takes the fewest edits to reach.
func nearest(name string) string {
	best, bestDistance := "", len(name)*2
	for _, s := range settings {
		if d := editDistance(name, s.name); d < bestDistance {
			best, bestDistance = s.name, d
		}
	}
	return best
}

// editDistance is Levenshtein's.
func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}

func (c *config) hasRole(role string) bool { return slices.Contains(c.roles, role) }

// local reports whether the server runs without a secret of the operator's: for this machine only.
func (c *config) local() bool { return c.jwtSecret == "" }

// listenHost is the address to listen on.
func (c *config) listenHost() (string, error) {
	switch {
	case c.host == "" && c.local():
		return "127.0.0.1", nil
	case c.local():
		if ip := net.ParseIP(c.host); c.host != "localhost" && (ip == nil || !ip.IsLoopback()) {
			return "", fmt.Errorf("LOUPE_HOST=%s: without JWT_SECRET only a loopback address is allowed, such as 127.0.0.1", c.host)
		}
	}
	return c.host, nil
}

// serverURL is where the client commands look for the server.
func (c *config) serverURL() string {
	if c.publicURL != "" {
		return c.publicURL
	}
	return fmt.Sprintf("http://127.0.0.1:%d", c.port)
}

// print writes what is in force and where each value came from.
func (c *config) print(w io.Writer) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "VARIABLE\tVALUE\tFROM\tMEANING")
	for _, v := range c.values {
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\n", v.name, v.text, v.origin, v.help)
	}
	return table.Flush()
}

// logForm is the form of the log on w.
func (c *config) logForm(w io.Writer) string {
	if c.logFormat != "" {
		return c.logFormat
	}
	if isTerminal(w) {
		return "text"
	}
	return "json"
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// The readers of values. Each says in its error what would be right.

func text(member func(*config) *string) func(*config, string) error {
	return func(c *config, s string) error {
		*member(c) = s
		return nil
	}
}

func webURL(member func(*config) *string) func(*config, string) error {
	return func(c *config, s string) error {
		u, err := url.Parse(s)
		if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
			return errors.New("must be a URL such as http://localhost:8000")
		}
		*member(c) = strings.TrimRight(s, "/")
		return nil
	}
}

func whole(member func(*config) *int, low, high int) func(*config, string) error {
	return func(c *config, s string) error {
		n, err := strconv.Atoi(s)
		if err != nil || n < low || n > high {
			return fmt.Errorf("must be a whole number from %d to %d", low, high)
		}
		*member(c) = n
		return nil
	}
}

func duration(member func(*config) *time.Duration) func(*config, string) error {
	return func(c *config, s string) error {
		d, err := time.ParseDuration(s)
		if err != nil || d <= 0 {
			return errors.New("must be a duration such as 500ms, 2s or 24h")
		}
		*member(c) = d
		return nil
	}
}

func boolean(member func(*config) *bool) func(*config, string) error {
	return func(c *config, s string) error {
		b, err := strconv.ParseBool(s)
		if err != nil {
			return errors.New("must be true or false")
		}
		*member(c) = b
		return nil
	}
}

func oneOf(member func(*config) *string, allowed ...string) func(*config, string) error {
	return func(c *config, s string) error {
		if !slices.Contains(allowed, s) {
			return fmt.Errorf("must be one of: %s", strings.Join(allowed, ", "))
		}
		*member(c) = s
		return nil
	}
}

// list reads words by comma; without allowed words any will do.
func list(member func(*config) *[]string, allowed ...string) func(*config, string) error {
	return func(c *config, s string) error {
		var words []string
		for word := range strings.SplitSeq(s, ",") {
			word = strings.TrimSpace(word)
			if word == "" || len(allowed) > 0 && !slices.Contains(allowed, word) {
				return fmt.Errorf("must be words by comma: %s", strings.Join(cmpOrSlice(allowed, []string{"one", "two"}), ","))
			}
			words = append(words, word)
		}
		*member(c) = words
		return nil
	}
}

func cmpOrSlice(a, b []string) []string {
	if len(a) > 0 {
		return a
	}
	return b
}

// origins reads browser origins by comma: scheme, host and perhaps port, nothing after them, and no "*".
func origins(c *config, s string) error {
	for origin := range strings.SplitSeq(s, ",") {
		origin = strings.TrimRight(strings.TrimSpace(origin), "/")
		u, err := url.Parse(origin)
		if err != nil || u.Scheme == "" || u.Host == "" || u.Path != "" || strings.Contains(origin, "*") {
			return errors.New("must be origins by comma, such as https://app.example.com (a * would let any page act for a user)")
		}
		c.corsOrigins = append(c.corsOrigins, origin)
	}
	return nil
}

// size reads bytes: a number, perhaps with KB, MB or GB (of 1024).
func size(member func(*config) *int64) func(*config, string) error {
	return func(c *config, s string) error {
		number, unit := strings.ToUpper(s), int64(1)
		for _, u := range []struct {
			suffix string
			bytes  int64
		}{{"KB", 1 << 10}, {"MB", 1 << 20}, {"GB", 1 << 30}} {
			if rest, ok := strings.CutSuffix(number, u.suffix); ok {
				number, unit = strings.TrimSpace(rest), u.bytes
			}
		}
		n, err := strconv.ParseInt(number, 10, 64)
		if err != nil || n <= 0 || n > 1<<40/unit {
			return errors.New("must be a size such as 512KB, 10MB or 10485760")
		}
		*member(c) = n * unit
		return nil
	}
}
