package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/redis/rueidis"
)

const (
	redisDialTimeout  = 5 * time.Second // for each connecting to Redis, so that a wrong address is told at start
	sentinelsAskEvery = 5 * time.Second // which server is the master, beside what they tell by themselves
)

// redisParams are the parameters that REDIS_URL may have.
var redisParams = []string{
	"addr", "master_set", "sentinel_username", "sentinel_password", "db", "skip_verify", "dial_timeout", "write_timeout", "protocol",
}

// redisOptions reads REDIS_URL. Its errors never hold any part of it, which may be one of the password.
//
//	redis://user:password@host:6379/0            one server; rediss:// over TLS
//	redis://host:6379?addr=host2:6379            some nodes of a Cluster
//	redis://host:26379?addr=host2:26379&master_set=main   Sentinels
//	unix:///run/redis.sock?db=0
//
// With TLS every server has to show a certificate for the first host.
func redisOptions(text string) (rueidis.ClientOption, error) {
	u, err := url.Parse(text)
	if err != nil {
		return rueidis.ClientOption{}, errors.New("is no URL; what is special in a password has to be escaped, such as / by %2F")
	}
	switch u.Scheme {
	case "redis", "rediss", "valkey", "valkeys":
		if u.Hostname() == "" {
			return rueidis.ClientOption{}, errors.New("names no host, such as redis://localhost:6379")
		}
	case "unix":
		if u.Host != "" || u.Path == "" {
			return rueidis.ClientOption{}, errors.New("names no socket by its whole path, such as unix:///run/redis.sock")
		}
	default:
		return rueidis.ClientOption{}, errors.New("must begin with redis://, rediss:// or unix://")
	}
	if db := strings.TrimPrefix(u.Path, "/"); u.Scheme != "unix" && strings.Trim(db, "0123456789") != "" {
		return rueidis.ClientOption{}, errors.New("what follows the host must be the number of a database, such as redis://localhost:6379/0")
	}
	params := u.Query()
	for name := range params {
		if !slices.Contains(redisParams, name) {
			return rueidis.ClientOption{}, fmt.Errorf("has a parameter that is none of %s", strings.Join(redisParams, ", "))
		}
	}
	options, err := rueidis.ParseURL(text)
	if err != nil {
		return rueidis.ClientOption{}, err
	}
	options.ClientName = "loupe"
	options.DisableCache = true // nothing is read twice
	if options.Dialer.Timeout == 0 {
		options.Dialer = net.Dialer{Timeout: redisDialTimeout, KeepAlive: time.Second}
	}
	options.Sentinel = rueidis.SentinelOption{
		MasterSet: options.Sentinel.MasterSet, Dialer: options.Dialer, TLSConfig: options.TLSConfig, ClientName: options.ClientName,
		Username: params.Get("sentinel_username"), Password: params.Get("sentinel_password"),
		TopologyRefreshInterval: sentinelsAskEvery,
	}
	return options, nil
}

// dialRedis connects. A server that cannot be reached or refuses the login is one line.
func dialRedis(ctx context.Context, text string) (rueidis.Client, rueidis.ClientOption, error) {
	options, err := redisOptions(text)
	if err != nil {
		return nil, options, fmt.Errorf("REDIS_URL: %w", err)
	}
	client, err := rueidis.NewClient(options)
	if err == nil {
		if err = client.Do(ctx, client.B().Ping().Build()).Error(); err != nil {
			client.Close()
		}
	}
	if err != nil {
		return nil, options, fmt.Errorf("REDIS_URL: Redis at %s: %w%s", strings.Join(options.InitAddress, ", "), err, tlsHint(options, err))
	}
	return client, options, nil
}

// tlsHint says more of an error that says too little where one side speaks TLS and the other does not.
func tlsHint(options rueidis.ClientOption, err error) string {
	switch {
	case options.TLSConfig != nil && errors.Is(err, context.DeadlineExceeded):
		return "; if it does not speak TLS, use redis://"
	case options.TLSConfig == nil && (errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET)):
		return "; if it speaks TLS, use rediss://"
	}
	return ""
}
