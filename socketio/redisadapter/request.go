package redisadapter

import (
	"context"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"time"

	"loupe/socketio"
	"loupe/socketio/packet"
)

const (
	maxAcking       = 1000        // requests of others for acknowledgements that are worked on at once
	maxAckWait      = time.Minute // how long acknowledgements are waited for on behalf of others
	maxServerEvents = 1000        // messages from other servers that wait for handlers
)

// requested takes a request of another server. Those that change something are done at once, in their order.
func (a *Adapter) requested(ctx context.Context, msg string) error {
	if !strings.HasPrefix(msg, "{") {
		r, err := parseAckRequest(msg)
		if err != nil {
			return err
		}
		if r != nil {
			return a.emitForOthers(ctx, r)
		}
	}
	var r request
	if _, err := unmarshal(msg, &r); err != nil {
		return err
	}
	if r.Type == nil {
		return errShape
	}
	if r.UID == a.uid { // ours come back too
		return nil
	}
	a.cluster.stats.received.Add(1)
	switch *r.Type {
	case typeSockets:
		ids := []string{}
		for _, s := range a.ns.To(r.Rooms...).Sockets() {
			ids = append(ids, s.ID())
		}
		return a.respond(r.UID, r.RequestID, object{"sockets": ids})
	case typeAllRooms:
		return a.respond(r.UID, r.RequestID, object{"rooms": slices.Collect(maps.Keys(a.localRooms()))})
	case typeJoin, typeLeave, typeDisconnect:
		return a.obey(&r)
	case typeFetch:
		if r.Opts == nil {
			return errShape
		}
		return a.respond(r.UID, r.RequestID, object{"sockets": a.describe(r.Opts.target())})
	case typeServerSideEmit:
		return a.enqueue(ctx, &r)
	default:
		return nil // of a newer version
	}
}

// unmarshal reads JSON, or MessagePack as such, and returns the latter's attachments.
func unmarshal(msg string, v any) (attachments [][]byte, err error) {
	text := []byte(msg)
	if !strings.HasPrefix(msg, "{") {
		if text, attachments, err = decode(msg); err != nil {
			return nil, err
		}
	}
	return attachments, json.Unmarshal(text, v)
}

func (c *choice) target() socketio.Target { return socketio.Target{Rooms: c.Rooms, Except: c.Except} }

// respond answers to the server that asked, or to all if it has not said who it is.
func (a *Adapter) respond(uid, requestID string, o object) error {
	o["requestId"] = requestID
	content, err := json.Marshal(o)
	if err != nil {
		return err
	}
	a.answer(uid, content)
	return nil
}

// answer publishes an answer. That the queue is full is counted, and the fault of nobody who asked.
func (a *Adapter) answer(uid string, content []byte) {
	if err := a.send(message{channel: a.channels.of(uid), content: content}); err != nil {
		a.cluster.link.faults.log(a.cluster.cfg.Logger, "answer to a socket.io server dropped", "error", err)
	}
}

// obey carries out a change of local sockets.
func (a *Adapter) obey(r *request) error {
	t, rooms := socketio.Target{Rooms: []string{r.SID}}, []string{string(r.Room)}
	if r.Opts != nil {
		t, rooms = r.Opts.target(), r.Rooms
	} else if a.ns.Socket(r.SID) == nil { // the old form
		return nil
	}
	var err error
	switch *r.Type {
	case typeJoin:
		err = a.local.Join(t, rooms)
	case typeLeave:
		err = a.local.Leave(t, rooms)
	default:
		err = a.local.Disconnect(t, r.Close)
	}
	if err == nil && r.Opts == nil {
		err = a.respond(r.UID, r.RequestID, object{})
	}
	return err
}

func (a *Adapter) localRooms() map[string]struct{} {
	rooms := make(map[string]struct{})
	for _, s := range a.ns.All().Sockets() {
		for _, room := range s.Rooms() {
			rooms[room] = struct{}{}
		}
	}
	return rooms
}

// describe tells others of local sockets.
func (a *Adapter) describe(t socketio.Target) []object {
	list := []object{}
	for _, s := range a.ns.To(t.Rooms...).Except(t.Except...).Sockets() {
		list = append(list, object{"id": s.ID(), "handshake": handshake{}, "rooms": s.Rooms(), "data": a.data(s)})
	}
	return list
}

func (a *Adapter) data(s *socketio.Socket) json.RawMessage {
	data, err := json.Marshal(a.cluster.cfg.Describe(s))
	if err == nil {
		err = checkJSON(data)
	}
	if err != nil {
		a.cluster.link.faults.log(a.cluster.cfg.Logger, "socket.io socket's data can not be told to others", "error", err)
		return json.RawMessage("{}")
	}
	return data
}

// checkJSON checks that other servers can take JSON.
func checkJSON(b []byte) error {
	_, err := appendJSON(nil, b, nil)
	return err
}

// emitForOthers sends an event and passes its acknowledgements on.
func (a *Adapter) emitForOthers(ctx context.Context, r *ackRequest) error {
	if r.uid == a.uid || r.namespace != a.ns.Name() {
		return nil
	}
	a.cluster.stats.received.Add(1)
	id := a.ns.NextAck()
	p, err := eventPacket(a.ns.Name(), id, r.data, a.cluster.cfg.MaxAttachments)
	if err != nil {
		return err
	}
	count := len(a.ns.To(r.target.Rooms...).Except(r.target.Except...).Sockets())
	emit := func() {
		defer func() { <-a.acking }()
		within := r.timeout
		if within == 0 {
			within = a.cluster.cfg.RequestTimeout
		}
		ctx, cancel := context.WithTimeout(ctx, within)
		defer cancel()
		e := &socketio.Emission{Target: r.target, Packet: p, ID: id}
		// Who asked notices by itself that an acknowledgement is missing.
		_ = a.local.EmitWithAck(ctx, e, func(v packet.Value) {
			if content, err := encodeAck(r.id, v); err == nil {
				a.answer(r.uid, content)
			}
		})
	}
	if count > 0 {
		select {
		case a.acking <- struct{}{}:
			if !a.cluster.spawn(emit) {
				return nil
			}
		default:
			count = 0
			a.cluster.link.faults.log(a.cluster.cfg.Logger, "too many socket.io broadcasts with acknowledgements at once")
		}
	}
	return a.respond(r.uid, r.id, object{"type": typeClientCount, "clientCount": count})
}
