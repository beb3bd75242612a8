package main

import (
	"bytes"
	"strings"
	"testing"
	"time"
)

func TestConfigDefaults(t *testing.T) {
	t.Parallel()
	c, err := readConfig(nil)
	if err != nil {
		t.Fatal(err)
	}
	if c.port != 3000 || c.concurrency != 5 || c.attempts != 3 || c.backoff != 2*time.Second || c.jobTimeout != 2*time.Minute ||
		c.aiTimeout != 90*time.Second || c.keepCompleted != 24*time.Hour || c.keepFailed != 7*24*time.Hour ||
		c.maxUpload != 10<<20 || c.maxInflight != 256 || c.outage != "wait" || c.aiFields != "camel" || c.userClaim != "sub" ||
		strings.Join(c.categories, " ") != "sneaker lego camera other" || !c.hasRole("api") || !c.hasRole("worker") {
		t.Errorf("%+v", c)
	}
	if host, err := c.listenHost(); err != nil || host != "127.0.0.1" {
		t.Errorf("without a secret it listens on %q, %v", host, err)
	}
}

func TestConfigRefuses(t *testing.T) {
	t.Parallel()
	for line, want := range map[string]string{
		"LOUPE_CONCURENCY=5":             "LOUPE_CONCURENCY is not a setting; did you mean LOUPE_CONCURRENCY?",
		"LOUPE_DATADIR=x":                "did you mean LOUPE_DATA_DIR?",
		"PORT=99999":                     "PORT=\"99999\": must be a whole number from 0 to 65535",
		"PORT=http":                      "PORT",
		"LOUPE_BACKOFF=2":                "LOUPE_BACKOFF=\"2\": must be a duration such as",
		"LOUPE_BACKOFF=-2s":              "must be a duration",
		"LOUPE_MAX_UPLOAD=ten":           "must be a size such as",
		"LOUPE_MAX_UPLOAD=9999999999 GB": "must be a size such as",
		"LOUPE_OUTAGE=maybe":             "must be one of: wait, fail",
		"LOUPE_ROLES=api,cook":           "must be words by comma: api,worker",
		"LOUPE_CORS_ORIGINS=*":           "must be origins by comma",
		"LOUPE_CORS_ORIGINS=example.com": "must be origins by comma",
		"AI_SERVICE_URL=localhost:8000":  "must be a URL such as",
		"LOUPE_PUBLIC_URL=ftp://x":       "must be a URL such as",
		"LOUPE_JWT_ALLOW_NO_EXPIRY=yes":  "must be true or false",
		"LOUPE_AI_TIMEOUT=3m":            "must not be longer than LOUPE_JOB_TIMEOUT",
		"LOUPE_LOG=xml":                  "must be one of: text, json",
	} {
		if _, err := readConfig([]string{line}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", line, err, want)
		}
	}
	_, err := readConfig([]string{"LOUPE_HOST=0.0.0.0", "PORT=x", "LOUPE_NONSENSE=1"})
	if err == nil || strings.Count(err.Error(), "\n") != 1 {
		t.Errorf("two mistakes: %v", err)
	}
}

func TestConfigReads(t *testing.T) {
	t.Parallel()
	c, err := readConfig([]string{
		"JWT_SECRET=s3cret", "LOUPE_MAX_UPLOAD=512kb", "LOUPE_CORS_ORIGINS=https://a.example, https://b.example:8443/",
		"LOUPE_CATEGORIES=art, coins", "AI_SERVICE_URL=http://localhost:8000/", "LOUPE_TEST_MONGODB_URI=x", "HOME=/root",
	})
	if err != nil {
		t.Fatal(err)
	}
	if c.maxUpload != 512<<10 || strings.Join(c.corsOrigins, " ") != "https://a.example https://b.example:8443" ||
		strings.Join(c.categories, " ") != "art coins" || c.aiServiceURL != "http://localhost:8000" {
		t.Errorf("%+v", c)
	}
	if host, err := c.listenHost(); err != nil || host != "" {
		t.Errorf("with a secret it listens on %q, %v", host, err)
	}
	var out bytes.Buffer
	if err := c.print(&out); err != nil {
		t.Fatal(err)
	}
	if text := out.String(); strings.Contains(text, "s3cret") || !strings.Contains(text, "LOUPE_MAX_UPLOAD") || !strings.Contains(text, "environment") {
		t.Errorf("printed %s", text)
	}
}

func TestNoOpenDoorWithoutSecret(t *testing.T) {
	t.Parallel()
	for host, ok := range map[string]bool{"127.0.0.1": true, "::1": true, "localhost": true, "127.8.8.8": true, "0.0.0.0": false, "192.168.1.5": false, "example.com": false} {
		c, err := readConfig([]string{"LOUPE_HOST=" + host})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.listenHost(); (err == nil) != ok {
			t.Errorf("LOUPE_HOST=%s: %v", host, err)
		}
	}
}

// The table in docs/operating.md and the one here must name the same variables.
func TestEverySettingIsDocumented(t *testing.T) {
	t.Parallel()
	doc := readFile(t, "../../docs/operating.md")
	for _, s := range settings {
		if !strings.Contains(doc, "`"+s.name+"`") {
			t.Errorf("docs/operating.md does not name %s", s.name)
		}
	}
}

func TestPartsOfAServerNeedServices(t *testing.T) {
	t.Parallel()
	const redis, mongo, cloud = "REDIS_URL=redis://r", "MONGODB_URI=mongodb://m", "CLOUDINARY_URL=cloudinary://k:s@c"
	for _, c := range []struct {
		environ []string
		want    string // in the error; "" for none
	}{
		{nil, ""},
		{[]string{redis}, ""},
		{[]string{"LOUPE_ROLES=api"}, "needs REDIS_URL and MONGODB_URI"},
		{[]string{"LOUPE_ROLES=worker", mongo}, "needs REDIS_URL and MONGODB_URI"},
		{[]string{"LOUPE_ROLES=worker", mongo, redis}, "LOUPE_PUBLIC_URL"},
		{[]string{"LOUPE_ROLES=worker", mongo, redis, cloud}, ""},
		{[]string{"LOUPE_ROLES=worker", mongo, redis, "LOUPE_PUBLIC_URL=https://loupe.example.com"}, ""},
		{[]string{"LOUPE_ROLES=api", mongo, redis}, ""},
	} {
		config, err := readConfig(c.environ)
		if err != nil {
			t.Fatal(err)
		}
		err = config.checkRoles()
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%q: %v", c.environ, err)
		}
	}
}

// What is wrong with REDIS_URL is said without its password.
func TestRedisURLs(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"redis://localhost":                          "",
		"redis://user:hush@host:6379/3":              "",
		"rediss://:hush@host":                        "",
		"unix:///run/redis.sock?db=2":                "",
		"redis://a:1?addr=b:1&master_set=main":       "",
		"http://host":                                "must begin with redis://",
		"localhost:6379":                             "must begin with redis://",
		"redis://":                                   "names no host",
		"unix://run/redis.sock":                      "names no socket",
		"redis://host/zero":                          "number of a database",
		"redis://user:hush@host:63x":                 "is no URL",
		"redis://user:hu sh@host":                    "is no URL",
		"redis://user:hu/sh@host":                    "is no URL",
		"redis://user:hu#sh@host":                    "is no URL",
		"redis://host:12/hush@host":                  "number of a database",
		"redis://host?hush@host":                     "has a parameter that is none of addr, master_set",
		"redis://host?master_name=main":              "has a parameter that is none of addr, master_set",
		"redis://user:hush@host:6379?dial_timeout=x": "dial timeout",
	} {
		_, err := redisOptions(text)
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
		if err != nil && strings.Contains(err.Error(), "hu") {
			t.Errorf("the password is in %v", err)
		}
	}
}
