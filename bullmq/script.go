package bullmq

import (
	"context"
	"embed"
	"errors"
	"io/fs"
	"slices"
	"strings"
	"time"

	"github.com/redis/rueidis"
)

//go:embed lua
var luaFiles embed.FS

// script is one operation on a queue, atomic on the server. lua/<name>.lua says in its header what it is given, does
// and replies.
type script struct{ lua *rueidis.Lua }

// newScript loads lua/<name>.lua with the fragments of lua/lib that it includes.
func newScript(name string) script {
	var text strings.Builder
	include(&text, "lua/"+name+".lua", map[string]bool{})
	return script{rueidis.NewLuaScript(text.String())}
}

// include writes a file with every line `--@ include <fragment>` replaced by that fragment, each only once.
func include(to *strings.Builder, file string, included map[string]bool) {
	text, err := fs.ReadFile(luaFiles, file)
	if err != nil {
		panic("bullmq: " + err.Error()) // it is embedded, so a test has seen this
	}
	for line := range strings.Lines(string(text)) {
		fragment, is := strings.CutPrefix(strings.TrimSpace(line), "--@ include ")
		switch {
		case !is:
			to.WriteString(line)
		case !included[fragment]:
			included[fragment] = true
			include(to, "lua/lib/"+fragment+".lua", included)
		}
	}
}

const (
	patience    = 10 * time.Second // for a server that refuses for now
	askAgain    = time.Millisecond // the first pause before it is asked again; it doubles
	askAgainMax = 100 * time.Millisecond
)

// run runs the script on the queue of k. Its first argument is the caller's clock. While the server says that it cannot
// do such a thing now, and so has not, it is asked again.
func (s script) run(ctx context.Context, client rueidis.Client, k keys, args ...string) rueidis.RedisResult {
	began := time.Now()
	for pause := askAgain; ; pause = min(2*pause, askAgainMax) {
		answer := s.try(ctx, client, k, args...)
		if !isRefusal(answer.Error()) || time.Since(began) > patience {
			return answer
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return answer
		}
	}
}

// try runs the script as run does, but only once: for those who try again by themselves.
//
// A cluster moves a slot key by key, and would let a script see the half of a queue. But it answers TRYAGAIN to a call that
// names several keys of which one is missing; of our two, nothing is ever stored at the first.
func (s script) try(ctx context.Context, client rueidis.Client, k keys, args ...string) rueidis.RedisResult {
	return s.lua.Exec(ctx, client, []string{k.prefix, k.meta}, args)
}

// refusals begin answers of a server that has not done what it was asked for, and may soon: a slot is being moved or has
// no owner, the data is being loaded, or the master has just become a replica.
var refusals = []string{"TRYAGAIN ", "CLUSTERDOWN ", "LOADING ", "MASTERDOWN ", "READONLY "}

func isRefusal(err error) bool {
	if err == nil {
		return false
	}
	answer, ok := rueidis.IsRedisErr(err)
	return ok && slices.ContainsFunc(refusals, func(begin string) bool { return strings.HasPrefix(answer.Error(), begin) })
}

// clientClosed tells whether it was the client that was closed, and not only a connection. The key is any of the queue's.
func clientClosed(ctx context.Context, client rueidis.Client, key string) bool {
	return errors.Is(client.Do(ctx, client.B().Exists().Key(key).Build()).Error(), rueidis.ErrClosing)
}
