package mongostore_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"loupe/internal/asset/mongostore"
	"loupe/internal/asset/mongostore/mongotest"
	"loupe/internal/testenv"
)

const password = "s3cr3t"

// refuse opens a URI that must be refused within ten seconds, by one line with these words and without the password.
func refuse(t *testing.T, uri string, words ...string) {
	t.Helper()
	began := time.Now()
	s, err := mongostore.Open(t.Context(), uri, slog.New(slog.DiscardHandler))
	if err == nil {
		t.Errorf("%s is open", uri)
		s.Close(t.Context())
		return
	}
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("it took %s: %v", took, err)
	}
	text := err.Error()
	if strings.Contains(text, "s3c") || strings.Contains(text, "\n") {
		t.Errorf("not one line without the password: %q", text)
	}
	for _, word := range words {
		if !strings.Contains(text, word) {
			t.Errorf("%q does not say %q", text, word)
		}
	}
}

func TestOpenRefusesURIs(t *testing.T) {
	t.Parallel()
	for uri, words := range map[string][]string{
		"":                {"URI is not valid", "scheme"},
		"localhost:27017": {"URI is not valid", "scheme"},
		"redis://user:" + password + "@localhost":                                       {"URI is not valid", "scheme"},
		"user:" + password + "@localhost":                                               {"URI is not valid"},
		"mongodb://":                                                                    {"URI is not valid"},
		"mongodb://localhost:port":                                                      {"URI is not valid", "port"},
		"mongodb://localhost/?w=x&retryWrites=perhaps":                                  {"URI is not valid", "retryWrites"},
		"mongodb://user:s3c/r3t@localhost/":                                             {"percent"},
		"mongodb://user:s3c:r3t@localhost/":                                             {"percent"},
		"mongodb://user:s3c@r3t@localhost/":                                             {"percent"},
		"mongodb://user:s3c%zzr3t@localhost/":                                           {"percent"},
		"mongodb://us/er:s3cr3t@localhost/":                                             {"percent"},
		"mongodb://user:s3cr3t@localhost:port/":                                         {"port"},
		"mongodb://user:s3cr3t@localhost/?tls=perhaps":                                  {"tls"},
		"mongodb://localhost/?authMechanism=MONGODB-AWS&authMechanismProperties=s3cr3t": {"secret"},
		"mongodb://localhost/?tls=true&tlsCertificateKeyFile=/none&tlsCertificateKeyFilePassword=s3cr3t": {"/none"},
	} {
		t.Run(uri, func(t *testing.T) {
			t.Parallel()
			refuse(t, uri, words...)
		})
	}
}

func TestOpenRefusesServers(t *testing.T) {
	t.Parallel()
	listen := func(t *testing.T, serve func(net.Conn)) string {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		var wait sync.WaitGroup
		wait.Go(func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				wait.Go(func() { serve(c); c.Close() })
			}
		})
		t.Cleanup(func() { l.Close(); wait.Wait() })
		return l.Addr().String()
	}
	t.Run("nobody", func(t *testing.T) {
		t.Parallel()
		host := "127.0.0.1:" + testenv.FreePort(t)
		refuse(t, "mongodb://user:"+password+"@"+host+"/", "mongodb at "+host, "connection refused")
	})
	t.Run("another protocol", func(t *testing.T) {
		t.Parallel()
		host := listen(t, func(c net.Conn) { fmt.Fprint(c, "220 smtp.example.com ESMTP\r\n") })
		refuse(t, "mongodb://user:"+password+"@"+host+"/", "mongodb at "+host)
	})
	t.Run("silence", func(t *testing.T) {
		t.Parallel()
		quiet := make(chan struct{})
		host := listen(t, func(net.Conn) { <-quiet })
		t.Cleanup(func() { close(quiet) })
		refuse(t, "mongodb://user:"+password+"@"+host+"/", "mongodb at "+host)
	})
}

func testRefusedLogin(t *testing.T, server string) {
	u, err := url.Parse(server)
	if err != nil {
		t.Fatal(err)
	}
	refuse(t, "mongodb://nobody:"+password+"@"+u.Host+"/x?directConnection=true", "mongodb at "+u.Host, "auth")
}

// A line of the log.
type logged struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logged) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func names(t *testing.T, assets *mongo.Collection) []string {
	t.Helper()
	specs, err := assets.Indexes().ListSpecifications(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, spec := range specs {
		names = append(names, spec.Name)
	}
	slices.Sort(names)
	return names
}

var ours = []string{"_id_", "loupe_event_pending", "loupe_finished", "loupe_newest", "loupe_photo", "loupe_unfinished"}

func testIndexes(t *testing.T, server string) {
	uri := mongotest.Database(t, server)
	assets := mongotest.Collection(t, uri)
	for range 2 {
		var log logged
		openLogging(t, uri, slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelWarn}))
		if got := names(t, assets); !slices.Equal(got, ours) || log.String() != "" {
			t.Errorf("indexes %v, log %q", got, log.String())
		}
	}
}

func testIndexOtherName(t *testing.T, server string) {
	uri := mongotest.Database(t, server)
	assets := mongotest.Collection(t, uri)
	const name = "userId_1_createdAt_-1__id_-1"
	err := assets.Database().RunCommand(t.Context(), bson.D{ // as mongosh makes it, of doubles
		{Key: "createIndexes", Value: assets.Name()},
		{Key: "indexes", Value: bson.A{bson.M{
			"key":  bson.D{{Key: "userId", Value: 1.0}, {Key: "createdAt", Value: -1.0}, {Key: "_id", Value: -1.0}},
			"name": name,
		}}},
	}).Err()
	if err != nil {
		t.Fatal(err)
	}
	var log logged
	openLogging(t, uri, slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelWarn}))
	want := slices.Clone(ours)
	want[3] = name
	slices.Sort(want)
	if got := names(t, assets); !slices.Equal(got, want) || log.String() != "" {
		t.Errorf("indexes %v, log %q", got, log.String())
	}
}

func testIndexInTheWay(t *testing.T, server string) {
	uri := mongotest.Database(t, server)
	assets := mongotest.Collection(t, uri)
	for _, m := range []mongo.IndexModel{
		{Keys: bson.D{{Key: "category", Value: 1}}, Options: options.Index().SetName("loupe_newest")},
		{Keys: bson.D{{Key: "userId", Value: 1}, {Key: "loupeFinished.at", Value: -1}}, Options: options.Index().SetName("loupe_finished")},
	} {
		if _, err := assets.Indexes().CreateOne(t.Context(), m); err != nil {
			t.Fatal(err)
		}
	}
	var log logged
	s := openLogging(t, uri, slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelWarn}))
	if got := names(t, assets); !slices.Equal(got, ours) {
		t.Errorf("indexes %v", got)
	}
	lines := strings.Split(strings.TrimSpace(log.String()), "\n")
	if len(lines) != 2 || !strings.Contains(lines[0], "index=loupe_newest") || !strings.Contains(lines[1], "index=loupe_finished") {
		t.Errorf("log %q", lines)
	}
	if err := s.Create(t.Context(), fresh()); err != nil {
		t.Error(err)
	}
}

func testIndexesAtOnce(t *testing.T, server string) {
	uri := mongotest.Database(t, server)
	var wait sync.WaitGroup
	var log logged
	for range 8 {
		wait.Go(func() {
			s, err := mongostore.Open(t.Context(), uri, slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelWarn})))
			if err != nil {
				t.Error(err)
				return
			}
			if err := s.Close(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	wait.Wait()
	if got := names(t, mongotest.Collection(t, uri)); !slices.Equal(got, ours) || log.String() != "" {
		t.Errorf("indexes %v, log %q", got, log.String())
	}
}
