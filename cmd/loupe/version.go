package main

import (
	"context"
	"fmt"
	"runtime"
	"runtime/debug"
)

// version is Loupe's own; releases set it with -ldflags "-X main.version=…".
var version = "0.1.0-dev"

func versionCommand() *command {
	return &command{
		name:    "version",
		short:   "print the version",
		example: "loupe version",
		run: func(_ context.Context, in *invocation) error {
			_, err := fmt.Fprintf(in.stdout, "loupe %s%s %s %s/%s\n", version, revision(), runtime.Version(), runtime.GOOS, runtime.GOARCH)
			return err
		},
	}
}

// revision is the commit that was built, where the build knows it.
func revision() string {
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" && len(s.Value) >= 12 {
				return " (" + s.Value[:12] + ")"
			}
		}
	}
	return ""
}
