package main

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"loupe/socketio/client"
)

// ear is one of a user's open apps: a socket that comes back by itself and says what it saw last.
type ear struct {
	user *user
	name string
	door door

	mu        sync.Mutex
	since     time.Time // the latest event it saw
	connected bool
}

const (
	reconnectDelay = 100 * time.Millisecond
	connectTimeout = 5 * time.Second
	longNap        = 15 * time.Second // that an app is closed at most, by its user
)

// listen stays connected until ctx ends. Now and then, until calm ends, the user closes the app for a while.
func (e *ear) listen(ctx, busy context.Context, random *rand.Rand) {
	for ctx.Err() == nil {
		dialling, cancel := context.WithTimeout(ctx, connectTimeout)
		c, err := client.Dial(dialling, e.door.url, client.Config{
			Auth:     func() any { return map[string]any{"token": e.user.token, "since": e.seen()} },
			Handlers: map[string]client.Handler{"asset_processed": e.hear, "asset_resync": func(args []client.Value) { e.resync(ctx, args) }},
			Any: func(event string, args []client.Value) {
				e.user.history.add(entry{Kind: told, User: e.user.id, Socket: e.name, What: event, Event: text(args)})
			},
			OnConnect:      func() { e.note("connected again") },
			OnDisconnect:   func(reason string) { e.note("disconnected: " + reason) },
			ReconnectDelay: reconnectDelay, ReconnectDelayMax: time.Second, ConnectTimeout: connectTimeout,
		})
		cancel()
		if err != nil {
			e.note(fmt.Sprintf("refused: %v", err))
			pause(ctx, reconnectDelay)
			continue
		}
		e.note("connected")
		awake := time.NewTimer(time.Duration(random.Int64N(int64(4 * longNap))))
		select {
		case <-c.Done():
			e.note(fmt.Sprintf("ended: %v", c.Err()))
		case <-ctx.Done():
			c.Close()
		case <-awake.C:
			if busy.Err() != nil {
				select {
				case <-c.Done():
				case <-ctx.Done():
				}
			}
			c.Close()
			e.note("closed by its user")
			pause(busy, time.Duration(random.Int64N(int64(longNap))))
		}
		awake.Stop()
	}
}

func text(args []client.Value) string {
	if len(args) == 0 {
		return ""
	}
	return args[0].String()
}

func (e *ear) note(what string) {
	e.mu.Lock()
	e.connected = what == "connected" || what == "connected again"
	e.mu.Unlock()
	e.user.history.add(entry{Kind: told, User: e.user.id, Socket: e.name, What: what})
}

func (e *ear) seen() string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.since.UTC().Format("2006-01-02T15:04:05.000Z")
}

func (e *ear) see(at time.Time) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if at.After(e.since) {
		e.since = at
	}
}

func (e *ear) hear(args []client.Value) {
	var p processed
	bytes := text(args)
	if err := json.Unmarshal([]byte(bytes), &p); err != nil {
		p.AssetID = ""
	}
	e.user.history.add(entry{Kind: heard, User: e.user.id, Socket: e.name, Asset: p.AssetID, Event: bytes})
	e.see(p.Timestamp)
	e.user.learn(p)
}

// resync does what an app must that has missed too much: it lists its assets.
func (e *ear) resync(ctx context.Context, args []client.Value) {
	e.user.history.add(entry{Kind: told, User: e.user.id, Socket: e.name, What: "asset_resync", Event: text(args)})
	since := e.seen()
	for ctx.Err() == nil {
		rows, ok := e.user.list(ctx, e.door, "updatedAfter="+since)
		if !ok {
			pause(ctx, reconnectDelay)
			continue
		}
		for _, r := range slices.Backward(rows) {
			e.user.history.add(entry{Kind: listed, User: e.user.id, Socket: e.name, Asset: r.ID, Row: &r})
			e.see(r.endedAt())
		}
		return
	}
}
