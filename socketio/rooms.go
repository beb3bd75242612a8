package socketio

import (
	"slices"
	"sync"
)

// registry knows which sockets are connected and which rooms they are in.
//
// A membership is kept on both sides, each knowing its place on the other, so that joining and leaving take the same
// short time in a room of one and in a room of all. The room that has a socket's id for a name is not kept: it is found
// in sockets.
type registry struct {
	mu      sync.RWMutex
	sockets map[string]*Socket
	rooms   map[string]*room
}

type room struct {
	name    string
	members []member
}

// member is a socket in a room; socket.rooms[at] is the way back.
type member struct {
	socket *Socket
	at     int
}

// membership is a room of a socket; room.members[at] is the way back.
type membership struct {
	room *room
	at   int
}

func (g *registry) init() {
	g.sockets = make(map[string]*Socket)
	g.rooms = make(map[string]*room)
}

func (g *registry) count() int {
	g.mu.RLock()
	defer g.mu.RUnlock()
	return len(g.sockets)
}

func (g *registry) socket(id string) *Socket {
	g.mu.RLock()
	defer g.mu.RUnlock()
	return g.sockets[id]
}

// has tells whether a socket is in the room.
func (g *registry) has(room string) bool {
	g.mu.RLock()
	defer g.mu.RUnlock()
	return g.rooms[room] != nil || g.sockets[room] != nil
}

func (g *registry) add(s *Socket) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.sockets[s.id] = s
}

// remove takes a socket out of everything and returns the rooms it was in; it can join none afterwards.
func (g *registry) remove(s *Socket) (rooms []string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.sockets[s.id] != s {
		return nil
	}
	delete(g.sockets, s.id)
	for len(s.rooms) > 0 {
		last := len(s.rooms) - 1
		rooms = append(rooms, s.rooms[last].room.name)
		g.leave(s, last)
	}
	s.rooms = nil
	return rooms
}

func (g *registry) join(s *Socket, names []string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.sockets[s.id] != s {
		return
	}
	for _, name := range names {
		if name == s.id || s.membership(name) >= 0 {
			continue
		}
		r := g.rooms[name]
		if r == nil {
			r = &room{name: name}
			g.rooms[name] = r
		}
		r.members = append(r.members, member{s, len(s.rooms)})
		s.rooms = append(s.rooms, membership{r, len(r.members) - 1})
	}
}

func (g *registry) leaveAll(s *Socket, names []string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, name := range names {
		if i := s.membership(name); i >= 0 {
			g.leave(s, i)
		}
	}
}

// leave ends the membership s.rooms[i]. On both sides the last entry moves into the gap.
func (g *registry) leave(s *Socket, i int) {
	m := s.rooms[i]
	r := m.room
	if last := len(r.members) - 1; m.at != last {
		moved := r.members[last]
		r.members[m.at] = moved
		moved.socket.rooms[moved.at].at = m.at
	}
	r.members[len(r.members)-1] = member{}
	if r.members = r.members[:len(r.members)-1]; len(r.members) == 0 {
		delete(g.rooms, r.name)
	}
	if last := len(s.rooms) - 1; i != last {
		moved := s.rooms[last]
		s.rooms[i] = moved
		moved.room.members[moved.at].at = i
	}
	s.rooms[len(s.rooms)-1] = membership{}
	s.rooms = s.rooms[:len(s.rooms)-1]
}

// membership returns the index in s.rooms of the room with the name, -1 if the socket is not in it.
func (s *Socket) membership(name string) int {
	return slices.IndexFunc(s.rooms, func(m membership) bool { return m.room.name == name })
}

func (g *registry) roomsOf(s *Socket) []string {
	g.mu.RLock()
	defer g.mu.RUnlock()
	if g.sockets[s.id] != s {
		return nil
	}
	names := make([]string, 0, 1+len(s.rooms))
	names = append(names, s.id)
	for _, m := range s.rooms {
		names = append(names, m.room.name)
	}
	return names
}

// each calls f once for each socket that t selects. It holds the registry: f must neither block nor come back to it.
func (g *registry) each(t Target, f func(*Socket)) {
	g.mu.RLock()
	defer g.mu.RUnlock()
	if len(t.Except) > 0 {
		all := f
		f = func(s *Socket) {
			if !s.inAny(t.Except) {
				all(s)
			}
		}
	}
	switch len(t.Rooms) {
	case 0:
		for _, s := range g.sockets {
			f(s)
		}
	case 1:
		g.eachOf(t.Rooms[0], f)
	default:
		seen := make(map[*Socket]struct{})
		for _, name := range t.Rooms {
			g.eachOf(name, func(s *Socket) {
				if _, again := seen[s]; !again {
					seen[s] = struct{}{}
					f(s)
				}
			})
		}
	}
}

func (g *registry) eachOf(name string, f func(*Socket)) {
	own := g.sockets[name]
	if own != nil {
		f(own)
	}
	if r := g.rooms[name]; r != nil {
		for _, m := range r.members {
			if m.socket != own {
				f(m.socket)
			}
		}
	}
}

func (s *Socket) inAny(names []string) bool {
	return slices.ContainsFunc(names, func(name string) bool { return name == s.id || s.membership(name) >= 0 })
}
