package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"time"
)

func healthCommand() *command {
	return &command{
		name:    "health",
		short:   "ask the server on this machine whether it is ready",
		long:    "For health checks where there is no shell: exit code 0 if GET /readyz on PORT answers 200, else 1.",
		example: "loupe health",
		run: func(ctx context.Context, in *invocation) error {
			if len(in.args) > 0 {
				return usagef("takes no arguments; the port is PORT")
			}
			host := in.config.host
			if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
				host = "127.0.0.1"
			}
			return health(ctx, net.JoinHostPort(host, strconv.Itoa(in.config.port)))
		},
	}
}

// healthTimeout is a little longer than the server takes to find a back end that does not answer.
const healthTimeout = 4 * time.Second

func health(ctx context.Context, address string) error {
	ctx, cancel := context.WithTimeout(ctx, healthTimeout)
	defer cancel()
	url := "http://" + address + "/readyz"
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answers %s", url, response.Status)
	}
	return nil
}
