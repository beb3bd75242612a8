package bullmq

import (
	"context"
	"embed"
	"errors"
	"io/fs"
	"strings"

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

// run runs the script on the queue of k. Its first argument is the caller's clock.
func (s script) run(ctx context.Context, client rueidis.Client, k keys, args ...string) rueidis.RedisResult {
	return s.lua.Exec(ctx, client, []string{k.prefix}, args)
}

// clientClosed tells whether it was the client that was closed, and not only a connection. The key is any of the queue's.
func clientClosed(ctx context.Context, client rueidis.Client, key string) bool {
	return errors.Is(client.Do(ctx, client.B().Exists().Key(key).Build()).Error(), rueidis.ErrClosing)
}
