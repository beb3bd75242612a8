package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
	"time"

	"github.com/redis/rueidis"
)

// redisDialTimeout bounds each connecting to Redis, so that a wrong address is told at start.
const redisDialTimeout = 5 * time.Second

// redisOptions reads REDIS_URL. Its errors never hold the URL, which has a password in it.
//
//	redis://user:password@host:6379/0            one server; rediss:// over TLS
//	redis://host:6379?addr=host2:6379            some nodes of a Cluster
//	redis://host:26379?addr=host2:26379&master_set=main   Sentinels
//	unix:///run/redis.sock?db=0
func redisOptions(text string) (rueidis.ClientOption, error) {
	u, err := url.Parse(text)
	if err != nil {
		var bad *url.Error
		if errors.As(err, &bad) {
			err = bad.Err
		}
		return rueidis.ClientOption{}, err
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
		return rueidis.ClientOption{}, fmt.Errorf("database %q is no number", db)
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
		return nil, options, fmt.Errorf("REDIS_URL: Redis at %s: %w", strings.Join(options.InitAddress, ", "), err)
	}
	return client, options, nil
}
