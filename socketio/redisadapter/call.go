package redisadapter

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"loupe/socketio"
)

// call is a request of this server that is not answered by all.
type call struct {
	mu       sync.Mutex
	take     func(*response) (complete bool)
	finished bool
	done     chan struct{} // closed when complete
}

func (c *call) answer(r *response) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.finished && c.take(r) {
		c.finished = true
		close(c.done)
	}
}

// finish makes that take is not called any more.
func (c *call) finish() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.finished = true
}

// exchange publishes a request and calls take with each answer, one at a time, until it returns true. Take is told how
// many other servers there are; with none there is nothing to do.
func (a *Adapter) exchange(ctx context.Context, within time.Duration, encode func(id string) ([]byte, error), take func(others int, r *response) bool) error {
	ctx, cancel := context.WithTimeoutCause(ctx, within, ErrTimeout)
	defer cancel()
	others, err := a.others(ctx)
	if err != nil || others <= 0 {
		return err
	}
	id := newID()
	content, err := encode(id)
	if err != nil {
		return err
	}
	c := &call{done: make(chan struct{}), take: func(r *response) bool { return take(others, r) }}
	a.mu.Lock()
	a.calls[id] = c
	a.mu.Unlock()
	defer c.finish()
	defer func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		delete(a.calls, id)
	}()
	if err := a.send(message{channel: a.channels.request, content: content}); err != nil {
		return err
	}
	select {
	case <-c.done:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-a.closing:
		return ErrClosed
	}
}

// others is how many other servers take requests.
func (a *Adapter) others(ctx context.Context) (int, error) {
	if a.isClosed() {
		return 0, ErrClosed
	}
	l := &a.cluster.link
	client := l.client.Load()
	if client == nil || !l.up() { // answers would not arrive
		return 0, ErrAway
	}
	var servers int64
	for _, node := range (*client).Nodes() { // of a Redis Cluster each counts its own subscribers
		reply, err := node.Do(ctx, node.B().PubsubNumsub().Channel(a.channels.request).Build()).AsIntMap()
		if err != nil {
			return 0, fmt.Errorf("%w: %w", ErrAway, err)
		}
		servers += reply[a.channels.request]
	}
	return int(servers) - 1, nil
}

// Servers returns how many servers there are in the namespace, this one included.
func (a *Adapter) Servers(ctx context.Context) (int, error) {
	n, err := a.others(ctx)
	return n + 1, err
}

// answered takes an answer, of which many are not for this server.
func (a *Adapter) answered(msg string) error {
	a.mu.Lock()
	waiting := len(a.calls)
	a.mu.Unlock()
	if waiting == 0 {
		return nil
	}
	var r response
	attachments, err := unmarshal(msg, &r)
	if err != nil {
		return err
	}
	a.mu.Lock()
	c := a.calls[r.RequestID]
	a.mu.Unlock()
	if c != nil {
		a.cluster.stats.received.Add(1)
		r.attachments = attachments
		c.answer(&r)
	}
	return nil
}

// ask is exchange for a request in JSON that every other server answers once.
func (a *Adapter) ask(ctx context.Context, kind int, o object, take func(*response)) error {
	answers := 0
	return a.exchange(ctx, a.cluster.cfg.RequestTimeout, func(id string) ([]byte, error) {
		o["uid"], o["type"], o["requestId"] = a.uid, kind, id
		return json.Marshal(o)
	}, func(others int, r *response) bool {
		take(r)
		answers++
		return answers == others
	})
}

// RemoteSocket is what is known of a socket at any server.
type RemoteSocket struct {
	ID    string
	Rooms []string
	Data  json.RawMessage // what [Config.Describe] tells, or Node's socket.data
}

// FetchSockets lists the sockets that t selects at all servers. With an error, [ErrAway] or [ErrTimeout] among them, it
// lists those that are known.
func (a *Adapter) FetchSockets(ctx context.Context, t socketio.Target) ([]RemoteSocket, error) {
	var list []RemoteSocket
	for _, s := range a.ns.To(t.Rooms...).Except(t.Except...).Sockets() {
		list = append(list, RemoteSocket{ID: s.ID(), Rooms: s.Rooms(), Data: a.data(s)})
	}
	err := a.ask(ctx, typeFetch, object{"opts": wireTarget(t)}, func(r *response) {
		for _, s := range r.Sockets {
			list = append(list, RemoteSocket{ID: s.ID, Rooms: s.Rooms, Data: s.Data})
		}
	})
	return list, err
}

// AllRooms lists the rooms that any socket at any server is in, sorted. With an error it lists those that are known.
func (a *Adapter) AllRooms(ctx context.Context) ([]string, error) {
	rooms := a.localRooms()
	err := a.ask(ctx, typeAllRooms, object{}, func(r *response) {
		for _, room := range r.Rooms {
			rooms[room] = struct{}{}
		}
	})
	return slices.Sorted(maps.Keys(rooms)), err
}
