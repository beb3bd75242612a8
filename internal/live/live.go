// Package live is the realtime contract: it lets sockets in by their token, puts each into its owner's room and nowhere
// else, gives it what it has missed, and sends what the pipeline has to tell.
package live

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"time"

	"loupe/internal/auth"
	"loupe/internal/pipeline"
	"loupe/socketio"
	"loupe/socketio/packet"
)

// maxPayload bounds a message of a client, in bytes. Apps of this service have nothing to say but their token.
const maxPayload = 64 << 10

// Config is what a [Server] is made with. Log is required; Auth and Missed are too where sockets connect.
type Config struct {
	Auth           *auth.Verifier
	AllowedOrigins []string // origins whose pages may connect, besides our own. Default none.
	Log            *slog.Logger

	// Adapter shares the rooms with other processes. Default: they are this process's own.
	Adapter func(*socketio.Namespace) socketio.Adapter

	// Confirm calls emit and returns nil when other processes are sure to be told of what it emits. Default: there are none.
	Confirm func(ctx context.Context, emit func() error) error

	// Missed finds what an owner has missed since a moment; it is the pipeline's.
	Missed func(ctx context.Context, owner string, since time.Time, deliver func(events []pipeline.Event, complete bool)) error

	// Greeting is what a socket is told as soon as it is in its room. Default: nothing.
	Greeting func() []pipeline.Event
}

// Server is the Socket.IO end of the pipeline.
type Server struct {
	Config
	io *socketio.Server
}

var _ pipeline.Notifier = (*Server)(nil)

// New returns a server. [Server.Close] ends it.
func New(c Config) *Server {
	s := &Server{Config: c, io: socketio.NewServer(socketio.Config{
		MaxPayload: maxPayload, AllowedOrigins: c.AllowedOrigins, Logger: c.Log, Adapter: c.Adapter,
	})}
	s.io.Use(s.admit)
	s.io.OnConnect(s.connected)
	return s
}

// ServeHTTP answers below /socket.io/.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.io.ServeHTTP(w, r) }

// Sockets is how many sockets are connected to this process.
func (s *Server) Sockets() int { return s.io.Stats().Sockets }

// Close disconnects everybody in such a way that they come back by themselves.
func (s *Server) Close(ctx context.Context) error { return s.io.Close(ctx) }

// confirmTimeout bounds the wait for other processes to be told.
const confirmTimeout = 2 * time.Second

// Notify sends an event to the owner's sockets. That nobody is there is no error; that sockets at other processes may
// not have got the end of a run is.
func (s *Server) Notify(ctx context.Context, owner string, e pipeline.Event) error {
	emit := func() error { return s.io.To(room(owner)).Emit(e.Name, e.Payload) }
	if s.Confirm == nil || e.Name != pipeline.EventProcessed {
		return emit()
	}
	ctx, cancel := context.WithTimeout(ctx, confirmTimeout)
	defer cancel()
	return s.Confirm(ctx, emit)
}

// Announce sends an event to all sockets of this process: what it is about every process finds out by itself.
func (s *Server) Announce(e pipeline.Event) {
	p, err := packet.EncodeEvent("/", packet.NoID, e.Name, []any{e.Payload}, 0)
	if err == nil {
		err = s.io.Local().Emit(&socketio.Emission{Packet: p, ID: packet.NoID})
	}
	if err != nil {
		s.Log.Warn("event not announced", "event", e.Name, "error", err)
	}
}

// room is where an owner's sockets are. Its name is made of the verified token alone: no client chooses a room.
func room(owner string) string { return "user:" + owner }

// client is what is known of a socket.
type client struct {
	user  auth.User
	since time.Time // of the last event it saw; zero: it did not say
}

// refusals are what a client is told that is not let in, by the error of its token.
var refusals = []struct {
	err           error
	message, code string
}{
	{auth.ErrMissing, "Authentication required", "UNAUTHORIZED"},
	{auth.ErrExpired, "Token expired", "TOKEN_EXPIRED"},
	{auth.ErrInvalid, "Invalid token", "INVALID_TOKEN"},
}

func refuse(message, code string) error {
	return &socketio.ConnectError{Message: message, Data: map[string]string{"code": code}}
}

// admit verifies who connects: auth is {token, since?}.
func (s *Server) admit(_ context.Context, h *socketio.Handshake) error {
	var said struct {
		Token any `json:"token"`
		Since any `json:"since"`
	}
	if err := json.Unmarshal(h.Auth, &said); err != nil {
		return refuse("Authentication required", "UNAUTHORIZED")
	}
	token, isText := said.Token.(string)
	if said.Token != nil && !isText {
		return refuse("Invalid token", "INVALID_TOKEN")
	}
	user, err := s.Auth.Verify(token)
	for _, r := range refusals {
		if errors.Is(err, r.err) {
			return refuse(r.message, r.code)
		}
	}
	if err != nil {
		return err
	}
	c := &client{user: user}
	if said.Since != nil {
		text, _ := said.Since.(string)
		if c.since, err = time.Parse(time.RFC3339, text); err != nil {
			return refuse("Invalid since: must be the ISO 8601 timestamp of the last event seen", "VALIDATION_ERROR")
		}
	}
	h.Data, h.User = c, user.ID
	return nil
}

// missedTimeout bounds the search for what a client has missed.
const missedTimeout = 10 * time.Second

// connected puts the socket into its room and gives it what it has missed, so that nothing falls in between. It leaves
// when its token expires.
func (s *Server) connected(socket *socketio.Socket) {
	c := socket.Data().(*client)
	if !c.user.Expires.IsZero() {
		socket.DisconnectAt(c.user.Expires)
	}
	defer s.greet(socket)
	if c.since.IsZero() {
		socket.Join(room(c.user.ID))
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), missedTimeout)
	defer cancel()
	err := s.Missed(ctx, c.user.ID, c.since, func(events []pipeline.Event, complete bool) {
		socket.Join(room(c.user.ID))
		if !complete {
			s.resync(socket, c.user.ID, c.since)
		}
		send(socket, events)
	})
	if err != nil {
		// Live events it shall have all the same; for the missed ones it is sent to the list.
		s.Log.WarnContext(ctx, "missed events not found", "owner", c.user.ID, "error", err)
		socket.Join(room(c.user.ID))
		s.resync(socket, c.user.ID, c.since)
	}
}

// greet tells a socket what it has to know, whoever it belongs to.
func (s *Server) greet(socket *socketio.Socket) {
	if s.Greeting == nil {
		return
	}
	send(socket, s.Greeting())
}

// send sends events to a socket. One that has gone again says since when the next time.
func send(socket *socketio.Socket, events []pipeline.Event) {
	for _, e := range events {
		if socket.Emit(e.Name, e.Payload) != nil {
			return
		}
	}
}

// resync tells a client to list its assets, because it has missed too much to be told one by one.
func (s *Server) resync(socket *socketio.Socket, owner string, since time.Time) {
	from := since.UTC().Format("2006-01-02T15:04:05.000Z")
	if err := socket.Emit(pipeline.EventResync, map[string]string{"since": from}); err != nil {
		s.Log.Debug("resync not told", "owner", owner, "error", err)
	}
}
