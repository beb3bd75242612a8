package main

import "context"

func configCommand() *command {
	return &command{
		name:    "config",
		short:   "print the settings in force and where each came from",
		long:    "Settings come from environment variables. Secrets are not printed.",
		example: "LOUPE_CONCURRENCY=10 loupe config",
		run: func(_ context.Context, in *invocation) error {
			return in.config.print(in.stdout)
		},
	}
}
