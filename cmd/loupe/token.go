package main

import (
	"context"
	"flag"
	"fmt"
	"time"

	"loupe/internal/auth"
)

func tokenCommand() *command {
	var user string
	var admin bool
	var ttl time.Duration
	return &command{
		name:  "token",
		short: "mint a token for a user",
		long: "The token is signed with JWT_SECRET, or without one with the secret in the data directory.\n" +
			"Whoever has it is that user until it expires.",
		example: "loupe token --user 507f1f77bcf86cd799439012 --ttl 1h",
		setFlags: func(f *flag.FlagSet) {
			f.StringVar(&user, "user", "", "`id` of the user: 1 to 128 printable characters (required)")
			f.BoolVar(&admin, "admin", false, "let the user use the admin routes")
			f.DurationVar(&ttl, "ttl", 24*time.Hour, "how long the token is valid")
		},
		run: func(_ context.Context, in *invocation) error {
			if user == "" {
				return usagef("--user is required")
			}
			if ttl < time.Second {
				return usagef("--ttl must be at least 1s")
			}
			token, err := mint(in.config, auth.User{ID: user, Admin: admin, Expires: time.Now().Add(ttl)})
			if err != nil {
				return err
			}
			_, err = fmt.Fprintln(in.stdout, token)
			return err
		},
	}
}

// mint signs a token with the operator's secret or the one in the data directory.
func mint(c *config, u auth.User) (string, error) {
	secret, err := c.secret()
	if err != nil {
		return "", err
	}
	return auth.Mint(auth.Config{Secret: secret, UserClaim: c.userClaim}, u)
}
