package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"strings"
)

// Exit codes, for scripts.
const (
	exitOK     = 0
	exitError  = 1 // it did not work; the reason is on stderr
	exitUsage  = 2 // the command line or the environment is wrong
	exitFailed = 3 // submit: it worked, but at least one asset ended as failed
)

// command is one of loupe's commands. Each stands in a file of its own.
type command struct {
	name    string
	args    string // after the flags, for the usage line
	short   string // one line
	long    string // more, perhaps nothing
	example string
	// run is called with the parsed flags of setFlags.
	setFlags func(*flag.FlagSet)
	run      func(context.Context, *invocation) error
}

// invocation is what a command is called with.
type invocation struct {
	args   []string // after the flags
	config *config
	stdout io.Writer
	stderr io.Writer
}

// usageError is a wrong command line.
type usageError struct{ error }

func usagef(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

// errSomeFailed makes submit end with exitFailed; what failed has been said already.
var errSomeFailed = errors.New("some assets failed")

func commands() []*command {
	return []*command{
		serveCommand(), demoCommand(), submitCommand(), jobsCommand(), migrateCommand(), tokenCommand(),
		analyzerCommand(), healthCommand(), configCommand(), versionCommand(),
	}
}

// run is the program: it returns the exit code.
func run(ctx context.Context, args, environ []string, stdout, stderr io.Writer) int {
	if len(args) == 0 || args[0] == "help" && len(args) == 1 || args[0] == "-h" || args[0] == "--help" {
		printOverview(stdout)
		return exitOK
	}
	name, rest := args[0], args[1:]
	if name == "help" {
		name, rest = args[1], []string{"-h"}
	}
	for _, c := range commands() {
		if c.name == name {
			return c.main(ctx, rest, environ, stdout, stderr)
		}
	}
	fmt.Fprintf(stderr, "loupe: there is no command %q; \"loupe help\" lists them\n", name)
	return exitUsage
}

func printOverview(w io.Writer) {
	fmt.Fprint(w, "Loupe: photo in, described asset out, and the owner's open apps told at once.\n\nUsage: loupe <command> [flags] [arguments]\n\n")
	for _, c := range commands() {
		fmt.Fprintf(w, "  %-9s %s\n", c.name, c.short)
	}
	fmt.Fprint(w, "\n\"loupe help <command>\" tells more. \"loupe config\" lists the environment variables.\n")
}

func (c *command) main(ctx context.Context, args, environ []string, stdout, stderr io.Writer) int {
	flags := flag.NewFlagSet(c.name, flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	if c.setFlags != nil {
		c.setFlags(flags)
	}
	positional, err := parseInterspersed(flags, args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		c.printHelp(stdout, flags)
		return exitOK
	case err != nil:
		fmt.Fprintf(stderr, "loupe %s: %v; \"loupe help %s\" tells more\n", c.name, err, c.name)
		return exitUsage
	}
	cfg, err := readConfig(environ)
	if err != nil {
		fmt.Fprintf(stderr, "loupe: %s\n", strings.ReplaceAll(err.Error(), "\n", "\nloupe: "))
		return exitUsage
	}
	err = c.run(ctx, &invocation{args: positional, config: cfg, stdout: stdout, stderr: stderr})
	if _, ok := errors.AsType[usageError](err); ok {
		fmt.Fprintf(stderr, "loupe %s: %v; \"loupe help %s\" tells more\n", c.name, err, c.name)
		return exitUsage
	}
	switch {
	case err == nil:
		return exitOK
	case errors.Is(err, errSomeFailed):
		return exitFailed
	default:
		fmt.Fprintf(stderr, "loupe %s: %v\n", c.name, err)
		return exitError
	}
}

// parseInterspersed parses flags wherever they stand, as people type them; "--" ends them.
func parseInterspersed(flags *flag.FlagSet, args []string) (positional []string, err error) {
	for {
		if err := flags.Parse(args); err != nil {
			return nil, err
		}
		rest := flags.Args()
		if len(rest) == 0 {
			return positional, nil
		}
		if parsed := len(args) - len(rest); parsed > 0 && args[parsed-1] == "--" {
			return append(positional, rest...), nil
		}
		positional, args = append(positional, rest[0]), rest[1:]
	}
}

func (c *command) printHelp(w io.Writer, flags *flag.FlagSet) {
	usage := "loupe " + c.name
	hasFlags := false
	flags.VisitAll(func(*flag.Flag) { hasFlags = true })
	if hasFlags {
		usage += " [flags]"
	}
	if c.args != "" {
		usage += " " + c.args
	}
	fmt.Fprintf(w, "%s\n\nUsage: %s\n", c.short, usage)
	if c.long != "" {
		fmt.Fprintf(w, "\n%s\n", c.long)
	}
	if hasFlags {
		fmt.Fprint(w, "\nFlags:\n")
		flags.SetOutput(w)
		flags.PrintDefaults()
	}
	fmt.Fprintf(w, "\nExample:\n  %s\n", strings.ReplaceAll(c.example, "\n", "\n  "))
}
