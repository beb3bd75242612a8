package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"testing"
	"time"

	"loupe/internal/testenv"
)

var length = flag.Duration("chaos.for", 2*time.Minute, "how long TestChaos disturbs each topology")

// TestChaos is a short run of each topology, side by side.
func TestChaos(t *testing.T) {
	t.Parallel()
	info, ok := debug.ReadBuildInfo()
	race := ok && slices.Contains(info.Settings, debug.BuildSetting{Key: "-race", Value: "true"})
	for _, topology := range topologies {
		t.Run(topology, func(t *testing.T) {
			t.Parallel()
			if topology != embedded {
				testenv.Need(t, testenv.Redis)
			}
			c := config{
				topology: topology, length: *length, settle: 3 * time.Minute, photos: 120, kills: 8, users: 4, sockets: 2, race: race,
			}
			var out bytes.Buffer
			err := c.run(t.Context(), &out)
			t.Log(&out)
			if err != nil {
				t.Error(err)
			}
		})
	}
}

// An interrupt in the midst of everything leaves nothing behind.
func TestInterrupt(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("TMPDIR", dir)
	ctx, interrupt := context.WithCancel(t.Context())
	defer interrupt()
	go func() {
		for len(running(t, dir)) == 0 && ctx.Err() == nil {
			pause(ctx, 10*time.Millisecond)
		}
		pause(ctx, 2*time.Second)
		interrupt()
	}()
	c := config{topology: embedded, length: time.Hour, settle: time.Hour, photos: 10_000, kills: 3600, users: 2, sockets: 2}
	if err := c.run(ctx, t.Output()); !errors.Is(err, context.Canceled) {
		t.Errorf("the run ended with %v", err)
	}
	left, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
	if names := running(t, dir); len(names) > 0 {
		t.Errorf("still running: %v", names)
	}
}

// running are the programs that run from below a directory.
func running(t *testing.T, dir string) (names []string) {
	links, err := filepath.Glob("/proc/[0-9]*/exe")
	if err != nil {
		t.Error(err)
	}
	for _, link := range links {
		if name, err := os.Readlink(link); err == nil && strings.HasPrefix(name, dir) && filepath.Base(name) == "loupe" {
			names = append(names, name)
		}
	}
	return names
}

func TestUsage(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{
		{"-topology", "ring"}, {"-photos", "0"}, {"-users", "0"}, {"-for", "0s"}, {"-kills", "-1"}, {"-sockets", "0"}, {"-no"},
	} {
		if err := run(t.Context(), args, t.Output()); err == nil {
			t.Errorf("%v is taken", args)
		}
	}
}
