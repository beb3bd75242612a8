package redisadapter

import (
	"context"
	"encoding/json"
	"fmt"
	"runtime/debug"
)

// ServerHandler handles a message from another server. What it returns is encoded as JSON, and is the acknowledgement if
// one is wanted. Handlers are called one after the other, in the order in which the messages arrive, so they must not
// wait for each other. The context ends when the server is closed.
type ServerHandler func(ctx context.Context, args []json.RawMessage) any

// On sets what handles a message from other servers. A message without handler is acknowledged with null.
func (a *Adapter) On(event string, h ServerHandler) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.handlers[event] = h
}

// ServerSideEmit sends a message to the handlers of all other servers: [Adapter.On], or io.on of Node. The arguments are
// encoded by [json.Marshal]. The names that Node keeps for itself are refused.
func (a *Adapter) ServerSideEmit(event string, args ...any) error {
	data, err := serverSideData(event, args)
	if err != nil {
		return err
	}
	return a.order(typeServerSideEmit, object{"data": data})
}

// ServerSideEmitWithAck is ServerSideEmit that waits for all other servers and returns what they acknowledge with. With an
// error, [ErrAway] or [ErrTimeout] among them, it returns those that came.
func (a *Adapter) ServerSideEmitWithAck(ctx context.Context, event string, args ...any) ([]json.RawMessage, error) {
	data, err := serverSideData(event, args)
	if err != nil {
		return nil, err
	}
	var replies []json.RawMessage
	err = a.ask(ctx, typeServerSideEmit, object{"data": data}, func(r *response) {
		if r.Data == nil { // undefined
			r.Data = json.RawMessage("null")
		}
		replies = append(replies, r.Data)
	})
	return replies, err
}

func serverSideData(event string, args []any) (json.RawMessage, error) {
	switch event {
	case "connect", "connection", "new_namespace", "error": // the last one, unhandled, ends a Node process
		return nil, fmt.Errorf("redisadapter: %w: %q", errEvent, event)
	}
	data, err := json.Marshal(append([]any{event}, args...))
	if err == nil {
		err = checkJSON(data)
	}
	if err != nil {
		return nil, fmt.Errorf("redisadapter: %w", err)
	}
	return data, nil
}

// serverEvent is a message from another server that waits for its handler.
type serverEvent struct {
	name           string
	args           []json.RawMessage
	uid, requestID string
}

// enqueue has the handler of a message called.
func (a *Adapter) enqueue(ctx context.Context, r *request) error {
	e := serverEvent{uid: r.UID, requestID: r.RequestID}
	if len(r.Data) == 0 || json.Unmarshal(r.Data[0], &e.name) != nil {
		return errEvent
	}
	e.args = r.Data[1:]
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.events) == maxServerEvents {
		a.cluster.stats.dropped.Add(1)
		a.cluster.link.faults.log(a.cluster.cfg.Logger, "message from a socket.io server dropped: handlers are too slow")
		return nil
	}
	a.events = append(a.events, e)
	if !a.running {
		a.running = a.cluster.spawn(func() { a.handle(ctx) })
	}
	return nil
}

// handle calls handlers until no message waits.
func (a *Adapter) handle(ctx context.Context) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for len(a.events) > 0 && ctx.Err() == nil {
		e := a.events[0]
		a.events = a.events[1:]
		h := a.handlers[e.name]
		a.mu.Unlock()
		var reply json.RawMessage
		if h != nil {
			reply = a.guard(ctx, h, e)
		}
		if e.requestID != "" {
			if reply == nil {
				reply = json.RawMessage("null")
			}
			// It can be encoded, for guard has seen to that.
			_ = a.respond(e.uid, e.requestID, object{"type": typeServerSideEmit, "data": reply})
		}
		a.mu.Lock()
	}
	a.events, a.running = nil, false
}

// guard calls a handler and encodes its reply; nil if it panics or the reply can not be encoded, which is logged.
func (a *Adapter) guard(ctx context.Context, h ServerHandler, e serverEvent) (reply json.RawMessage) {
	log := a.cluster.cfg.Logger
	defer func() {
		if r := recover(); r != nil {
			log.ErrorContext(ctx, "socket.io handler of a server's message panicked",
				"event", e.name, "panic", r, "stack", string(debug.Stack()))
			reply = nil
		}
	}()
	reply, err := json.Marshal(h(ctx, e.args))
	if err == nil {
		err = checkJSON(reply)
	}
	if err != nil {
		log.ErrorContext(ctx, "socket.io reply to a server can not be encoded", "event", e.name, "error", err)
		return nil
	}
	return reply
}
