package interop

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"loupe/internal/asset"
	"loupe/internal/asset/mongostore/mongotest"
	"loupe/internal/testenv"
	"loupe/socketio/client"
)

// What all servers of these tests want to hear from a client.
const (
	redisUser     = "loupe"
	redisPassword = "s/cr?t p#ss@%"
)

var (
	redisLogin   = url.UserPassword(redisUser, redisPassword).String()
	redisWithACL = []string{"--user", redisUser, "on", ">" + redisPassword, "~*", "&*", "+@all"}
	redisClosed  = append(redisWithACL, "--user", "default", "off") // to everybody else
)

// redisForm is a way to say in REDIS_URL where Redis is.
type redisForm struct {
	name  string
	start func(t *testing.T) redisPlace
}

type redisPlace struct {
	url     string
	ca      string             // file of the authority, "" without TLS
	as      string             // what the start-up lines call it
	outages []func(*testing.T) // which a running Loupe survives
}

var redisForms = []redisForm{
	{"redis, restarted", startPlainRedis},
	{"rediss, restarted", startTLSRedis},
	{"unix, restarted", startUnixRedis},
	{"cluster by redis, a node restarted", func(t *testing.T) redisPlace { return startClusterOf(t, nil) }},
	{"cluster by rediss, a node restarted", func(t *testing.T) redisPlace { return startClusterOf(t, newAuthority(t)) }},
	{"sentinels by redis, failed over", func(t *testing.T) redisPlace { return startSentinels(t, nil) }},
	{"sentinels by rediss, failed over", func(t *testing.T) redisPlace { return startSentinels(t, newAuthority(t)) }},
}

// TestRedisForms has an API and a worker do the main job over each form of REDIS_URL: a photo goes in, its asset becomes
// active, its owner is told; and again after Redis was away. The password is nowhere in what they print.
func TestRedisForms(t *testing.T) {
	t.Parallel()
	testenv.Need(t, testenv.Redis)
	ai, mongo := startFastAI(t), os.Getenv(mongotest.ServerVar)
	if mongo == "" {
		mongo = mongotest.Start(t)
	}
	t.Run("forms", func(t *testing.T) {
		for _, form := range redisForms {
			t.Run(form.name, func(t *testing.T) {
				t.Parallel()
				place := form.start(t)
				port := testenv.FreePort(t)
				env := []string{
					"REDIS_URL=" + place.url, "MONGODB_URI=" + mongotest.Database(t, mongo), "AI_SERVICE_URL=" + ai.URL, "LOUPE_HOST=127.0.0.1",
					"LOUPE_PUBLIC_URL=http://127.0.0.1:" + port, "LOUPE_RECONCILE_EVERY=1s", "SSL_CERT_FILE=" + place.ca,
				}
				dir := t.TempDir()
				api := serve(t, dir, append(slices.Clone(env), "LOUPE_ROLES=api", "PORT="+port)...)
				worker := serve(t, dir, append(slices.Clone(env), "LOUPE_ROLES=worker")...)
				if !strings.Contains(api.Output(), place.as) {
					t.Errorf("the start-up lines do not say %q:\n%s", place.as, api.Output())
				}
				owner := newOwner(t, api.url)
				if !owner.sendsPhoto(t) {
					t.Error("the owner was not told")
				}
				for _, outage := range place.outages {
					outage(t)
					eventually(t, "the owner to be told again", func() bool { return owner.sendsPhoto(t) })
				}
				for _, s := range []server{api, worker} {
					s.Stop(t)
					s.Kill()
					wantNoPassword(t, s.Output())
				}
			})
		}
	})
}

// photoOwner has a socket at an API.
type photoOwner struct {
	url, token string
	news       chan processed
}

func newOwner(t *testing.T, url string) *photoOwner {
	t.Helper()
	o := &photoOwner{url: url, token: token(t, asset.NewID(), ""), news: make(chan processed, 100)}
	c, err := client.Dial(t.Context(), url, client.Config{
		Auth: func() any { return map[string]any{"token": o.token} },
		Handlers: map[string]client.Handler{"asset_processed": func(args []client.Value) {
			var p processed
			if err := json.Unmarshal([]byte(args[0].String()), &p); err != nil {
				t.Error(err)
			}
			o.news <- p
		}},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return o
}

// sendsPhoto uploads one, again until it is taken, and waits until it is active. It reports whether the owner was told of
// it within that time and a second more.
func (o *photoOwner) sendsPhoto(t *testing.T) (told bool) {
	t.Helper()
	random := rand.New(rand.NewPCG(rand.Uint64(), 0))
	picture, key, id := smallPhoto(random), strconv.FormatUint(random.Uint64(), 36), ""
	eventually(t, "the photo to be taken", func() bool {
		var err error
		id, err = uploadPhoto(t.Context(), http.DefaultClient, o.url, o.token, "sneaker", picture, key)
		return err == nil
	})
	eventually(t, "the asset to be active", func() bool {
		var asset struct{ Status string }
		getJSON(t, o.url+"/api/assets/"+id, o.token, &asset)
		return asset.Status == "active"
	})
	for timeout := time.After(time.Second); ; {
		select {
		case p := <-o.news:
			if p.AssetID == id {
				return p.Status == "active"
			}
		case <-timeout:
			return false
		}
	}
}

func wantNoPassword(t *testing.T, printed string) {
	t.Helper()
	_, escaped, _ := strings.Cut(redisLogin, ":")
	for _, secret := range []string{redisPassword, escaped} {
		if strings.Contains(printed, secret) {
			t.Errorf("the password is printed:\n%s", printed)
		}
	}
}

func newAuthority(t *testing.T) *testenv.Authority { return testenv.NewAuthority(t, "localhost") }

// startRestartable starts a redis-server that forgets nothing. It returns its port and what kills it and starts it again.
func startRestartable(t *testing.T, flags ...string) (port string, restart func(*testing.T)) {
	t.Helper()
	port = testenv.FreePort(t)
	flags = slices.Concat([]string{"--dir", t.TempDir(), "--save", "", "--appendonly", "yes", "--appendfsync", "always"}, redisClosed, flags)
	redis := startServer(t, port, "Ready to accept", flags...)
	return port, func(t *testing.T) {
		redis.Kill()
		redis = startServer(t, port, "Ready to accept", flags...)
	}
}

func startPlainRedis(t *testing.T) redisPlace {
	port, restart := startRestartable(t)
	return redisPlace{
		url: "redis://" + redisLogin + "@127.0.0.1:" + port + "/3", as: "127.0.0.1:" + port + " (standalone)", outages: []func(*testing.T){restart},
	}
}

func startTLSRedis(t *testing.T) redisPlace {
	authority, port := newAuthority(t), testenv.FreePort(t)
	_, restart := startRestartable(t, authority.RedisFlags(port)...)
	return redisPlace{
		url: "rediss://" + redisLogin + "@localhost:" + port, ca: authority.CA, as: "localhost:" + port + " (standalone)",
		outages: []func(*testing.T){restart},
	}
}

func startUnixRedis(t *testing.T) redisPlace {
	dir, err := os.MkdirTemp("", "redis") // the path of a socket must be short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	socket := filepath.Join(dir, "socket")
	_, restart := startRestartable(t, "--unixsocket", socket)
	return redisPlace{url: "unix://" + redisLogin + "@" + socket + "?db=3", as: socket + " (standalone)", outages: []func(*testing.T){restart}}
}

// The middle node of three has the queue, so another one can forget what it has. Messages between processes go through all.
func startClusterOf(t *testing.T, authority *testenv.Authority) redisPlace {
	var nodes []*testenv.RedisNode
	place := redisPlace{as: "(cluster)"}
	if authority == nil {
		nodes = testenv.StartRedisCluster(t, redisWithACL...)
		place.url = fmt.Sprintf("redis://%s@%s?addr=%s", redisLogin, nodes[0].Address, nodes[1].Address)
	} else {
		nodes = testenv.StartTLSRedisCluster(t, authority, redisWithACL...)
		_, port, _ := net.SplitHostPort(nodes[0].Address)
		place.url = fmt.Sprintf("rediss://%s@localhost:%s?addr=%s", redisLogin, port, nodes[1].Address)
		place.ca = authority.CA
	}
	for _, node := range []*testenv.RedisNode{nodes[0], nodes[2]} {
		place.outages = append(place.outages, func(t *testing.T) {
			node.Kill()
			node.Restart(t)
		})
	}
	return place
}

// A master, a replica and three Sentinels; one of these and the master go at once.
func startSentinels(t *testing.T, authority *testenv.Authority) redisPlace {
	port := func() string { return testenv.FreePort(t) }
	// listen returns the port that others know, the port that startServer is given, and further flags.
	listen := func() (known, plain string, flags []string) {
		known, plain = port(), "0"
		if authority == nil {
			return known, known, nil
		}
		return known, plain, authority.RedisFlags(known)
	}
	redis := func(line string, flags ...string) (string, *testenv.Process) {
		known, plain, more := listen()
		flags = slices.Concat([]string{
			"--dir", t.TempDir(), "--save", "", "--repl-diskless-sync-delay", "0", "--masteruser", redisUser, "--masterauth", redisPassword,
		}, redisClosed, more, flags)
		return known, startServer(t, plain, line, flags...)
	}
	masterPort, master := redis("Ready to accept")
	redis("Finished with success", "--replicaof", "127.0.0.1", masterPort)

	var ports []string
	var sentinels []*testenv.Process
	for range 3 {
		known, plain, flags := listen()
		file := filepath.Join(t.TempDir(), "sentinel.conf")
		settings := fmt.Sprintf("sentinel monitor main 127.0.0.1 %s 1\nsentinel auth-user main %s\nsentinel auth-pass main %q\n"+
			"sentinel down-after-milliseconds main 500\nsentinel failover-timeout main 2000\nrequirepass %q\n",
			masterPort, redisUser, redisPassword, redisPassword)
		if err := os.WriteFile(file, []byte(settings), 0o600); err != nil {
			t.Fatal(err)
		}
		ports = append(ports, known)
		sentinels = append(sentinels, startServer(t, plain, "+slave slave", slices.Concat([]string{file, "--sentinel"}, flags)...))
	}
	for _, s := range sentinels {
		s.Line(t, "+sentinel sentinel") // one, and the other
		s.Line(t, "+sentinel sentinel")
	}
	scheme, host, ca := "redis", "127.0.0.1", ""
	if authority != nil {
		scheme, host, ca = "rediss", "localhost", authority.CA
	}
	return redisPlace{
		url: fmt.Sprintf("%s://%s@%s:%s?addr=127.0.0.1:%s&master_set=main&sentinel_password=%s",
			scheme, redisLogin, host, ports[0], ports[1], url.QueryEscape(redisPassword)),
		ca: ca, as: "(sentinel)",
		outages: []func(*testing.T){func(*testing.T) {
			master.Kill()
			sentinels[0].Kill()
		}},
	}
}

// TestRedisRefused has each form of REDIS_URL be wrong: one line says so, without the password, and Loupe ends.
func TestRedisRefused(t *testing.T) {
	t.Parallel()
	testenv.Need(t, testenv.Redis)
	authority := newAuthority(t)
	tlsPort := testenv.FreePort(t)
	port, _ := startRestartable(t, authority.RedisFlags(tlsPort)...)
	nodes := testenv.StartRedisCluster(t, redisWithACL...)
	nobody := testenv.FreePort(t)
	_, hush, _ := strings.Cut(redisLogin, ":")
	for name, c := range map[string]struct{ url, ca, want string }{
		"no URL":                  {"redis://loupe:" + redisPassword + "@127.0.0.1", "", "is no URL"},
		"wrong password":          {"redis://loupe:x" + hush + "@127.0.0.1:" + port, "", "WRONGPASS"},
		"wrong user":              {"redis://x:" + hush + "@127.0.0.1:" + port, "", "WRONGPASS"},
		"no login":                {"redis://127.0.0.1:" + port, "", "NOAUTH"},
		"nobody there":            {"redis://" + redisLogin + "@127.0.0.1:" + nobody, "", "connection refused"},
		"no such host":            {"redis://" + redisLogin + "@redis.invalid", "", "redis.invalid"},
		"no such database":        {"redis://" + redisLogin + "@127.0.0.1:" + port + "/99", "", "DB index is out of range"},
		"no such socket":          {"unix://" + redisLogin + "@/nowhere/redis", "", "no such file"},
		"plain to TLS":            {"redis://" + redisLogin + "@localhost:" + tlsPort, "", "use rediss://"},
		"TLS to plain":            {"rediss://" + redisLogin + "@localhost:" + port, authority.CA, "use redis://"},
		"TLS, unknown authority":  {"rediss://" + redisLogin + "@localhost:" + tlsPort, "", "unknown authority"},
		"TLS, another name":       {"rediss://" + redisLogin + "@127.0.0.1:" + tlsPort, authority.CA, "127.0.0.1"},
		"TLS, wrong password":     {"rediss://x:" + hush + "@localhost:" + tlsPort, authority.CA, "WRONGPASS"},
		"cluster, wrong password": {"redis://x:" + hush + "@" + nodes[0].Address + "?addr=" + nodes[1].Address, "", "WRONGPASS"},
		"cluster, a database":     {"redis://" + redisLogin + "@" + nodes[0].Address + "/3?addr=" + nodes[1].Address, "", "SELECT"},
		"no cluster":              {"redis://" + redisLogin + "@127.0.0.1:" + port + "?addr=127.0.0.1:" + port, "", "cluster support disabled"},
		"no Sentinels":            {"redis://" + redisLogin + "@127.0.0.1:" + port + "?master_set=main", "", "NOAUTH"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cmd := exec.Command(testenv.BuildLoupe(t), "serve")
			cmd.Env = []string{
				"PATH=" + os.Getenv("PATH"), "PORT=0", "LOUPE_DATA_DIR=" + t.TempDir(), "JWT_SECRET=" + jwtSecret,
				"REDIS_URL=" + c.url, "SSL_CERT_FILE=" + c.ca,
			}
			p := testenv.Start(t, cmd)
			code, printed := p.ExitCode(t), p.Output()
			if code != 1 || !strings.Contains(printed, "REDIS_URL: ") || !strings.Contains(printed, c.want) || strings.Count(printed, "\n") != 1 {
				t.Errorf("exit code %d, want 1 and a line with %q:\n%s", code, c.want, printed)
			}
			wantNoPassword(t, printed)
		})
	}
}
