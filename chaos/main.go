// Command chaos runs the real loupe in a topology, with a fleet of clients and an AI service that misbehaves, breaks
// parts of it at random, and then judges from the history of all requests, answers and events whether the invariants of
// the design have held. It exits with 1 if one has not, and tells the whole story of the assets it is about.
//
//	go run ./chaos -topology all -for 10m -photos 2000 -kills 50
//
// The seed that it prints draws the same disturbances again; what meets what is up to the machine. If it is even, the AI
// service has no /health. Nothing is left behind, but for the file of -history.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"os/signal"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

// config is a run.
type config struct {
	topology string
	length   time.Duration // of the disturbances
	settle   time.Duration // that everything has afterwards to come to rest
	photos   int
	kills    int
	users    int
	sockets  int // of each user
	seed     uint64
	history  string // file, or ""
	race     bool   // build loupe with the race detector
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout)
	stop()
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "chaos:", err)
		os.Exit(1)
	}
}

// errViolated is that an invariant did not hold; how, was printed.
var errViolated = errors.New("violated")

func run(ctx context.Context, args []string, w io.Writer) error {
	var c config
	flags := flag.NewFlagSet("chaos", flag.ContinueOnError)
	flags.StringVar(&c.topology, "topology", "all", strings.Join(topologies, ", ")+" or all of them")
	flags.DurationVar(&c.length, "for", 2*time.Minute, "how long to disturb")
	flags.DurationVar(&c.settle, "settle", 3*time.Minute, "how long everything has to come to rest afterwards")
	flags.IntVar(&c.photos, "photos", 400, "how many photos are uploaded")
	flags.IntVar(&c.kills, "kills", 10, "how many processes are killed; as many disturbances of other kinds come on top")
	flags.IntVar(&c.users, "users", 8, "how many users there are")
	flags.IntVar(&c.sockets, "sockets", 3, "how many sockets each user has")
	flags.Uint64Var(&c.seed, "seed", 0, "draws the disturbances; 0 takes a new one")
	flags.StringVar(&c.history, "history", "", "`file` for all that happens, as lines of JSON; - topology is appended to its name")
	flags.BoolVar(&c.race, "race", false, "build loupe with the race detector")
	if err := flags.Parse(args); err != nil {
		return err
	}
	which := []string{c.topology}
	if c.topology == "all" {
		which = topologies
	}
	switch {
	case !slices.Contains(topologies, which[0]):
		return fmt.Errorf("there is no topology %q", c.topology)
	case c.photos < 1 || c.photos > maxPhotos:
		return fmt.Errorf("-photos must be from 1 to %d", maxPhotos)
	case c.users < 1 || c.sockets < 1 || c.length <= 0 || c.kills < 0:
		return errors.New("-users, -sockets and -for must be more than 0, -kills at least that")
	}
	var errs []error
	for _, topology := range which {
		each := c
		each.topology = topology
		if c.history != "" {
			each.history = c.history + "-" + topology
		}
		errs = append(errs, each.run(ctx, w))
	}
	return errors.Join(errs...)
}

// run runs one topology and prints what came of it.
func (c config) run(ctx context.Context, w io.Writer) (err error) {
	if c.seed == 0 {
		c.seed = rand.Uint64()>>12 + 1
	}
	fmt.Fprintf(w, "\n== %s: %s, %d photos, %d kills, seed %d\n\n", c.topology, c.length, c.photos, c.kills, c.seed)
	dir, err := os.MkdirTemp("", "loupe-chaos")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	h, err := newHistory(c.history)
	if err != nil {
		return err
	}
	began := time.Now()
	err = c.happen(ctx, dir, h)
	if err = errors.Join(err, h.close()); err != nil {
		return fmt.Errorf("%s: %w", c.topology, err)
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	ev := gather(h.all())
	workers := map[string]int{fleet: 3}[c.topology]
	r := check(ev, concurrency*max(1, workers))
	r.print(w, ev)
	fmt.Fprintf(w, "took %.0f s\n", time.Since(began).Seconds())
	if r.failed() {
		return fmt.Errorf("%s, seed %d: %w", c.topology, c.seed, errViolated)
	}
	return nil
}

// happen has everything happen that the history then tells of.
func (c config) happen(ctx context.Context, dir string, h *history) (err error) {
	programs, err := build(ctx, dir, c.topology, c.race)
	if err != nil {
		return err
	}
	random := rand.New(rand.NewPCG(c.seed, 0))
	ai, err := startAI(ctx, c.seed%2 == 0, h, rand.New(rand.NewPCG(c.seed, 1)))
	if err != nil {
		return err
	}
	defer ai.close()
	s, err := startSite(ctx, c.topology, dir, programs, ai.url, h)
	defer func() { err = errors.Join(err, s.close()) }()
	if err != nil {
		return err
	}

	transport := &http.Transport{MaxIdleConnsPerHost: 2 * c.users}
	defer transport.CloseIdleConnections()
	users := make([]*user, c.users)
	for i := range users {
		if users[i], err = newUser(fmt.Sprintf("user %d", i+1), s.doors, h, &http.Client{Transport: transport}); err != nil {
			return err
		}
	}

	connected, disconnect := context.WithCancel(ctx)
	var listening sync.WaitGroup
	defer listening.Wait()
	defer disconnect()
	busy, calm := context.WithTimeout(ctx, c.length)
	defer calm()
	for i, u := range users {
		for n := range c.sockets {
			e := &ear{user: u, name: fmt.Sprintf("%s, socket %d", u.id, n+1), door: s.doors[n%len(s.doors)], since: time.Now()}
			listening.Go(func() { e.listen(connected, busy, rand.New(rand.NewPCG(c.seed, uint64(1000+i*c.sockets+n)))) })
		}
	}

	// An interrupt ends all three; else they end by themselves when busy does, and the sessions when all is answered.
	patient, giveUp := context.WithTimeout(ctx, c.length+c.settle)
	defer giveUp()
	var happening sync.WaitGroup
	errs := make([]error, 2)
	plan := s.plan(random, c.length*9/10, c.kills)
	happening.Go(func() { errs[0] = s.disturb(ctx, busy, plan) })
	happening.Go(func() { errs[1] = ai.live(busy) })
	c.upload(patient, busy, users)
	<-busy.Done()
	happening.Wait()
	if err := errors.Join(errs...); err != nil || ctx.Err() != nil {
		return err
	}
	return settle(patient, users, h)
}

// upload has the users upload all photos, evenly over the time that busy has, and returns when all sessions have ended.
func (c config) upload(ctx, busy context.Context, users []*user) {
	var sessions sync.WaitGroup
	defer sessions.Wait()
	every := time.NewTicker(max(c.length*9/10/time.Duration(c.photos), time.Microsecond))
	defer every.Stop()
	for photo := 1; photo <= c.photos; photo++ {
		select {
		case <-every.C:
		case <-busy.Done():
			return
		}
		random := rand.New(rand.NewPCG(c.seed, uint64(1_000_000+photo)))
		owner := random.IntN(len(users))
		others := slices.Delete(slices.Clone(users), owner, owner+1)
		sessions.Go(func() { users[owner].session(ctx, busy, photo, others, random) })
	}
}
