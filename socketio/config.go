package socketio

import (
	"cmp"
	"log/slog"
	"time"

	"loupe/socketio/engineio"
	"loupe/socketio/packet"
)

// Config says how a [Server] behaves. The zero value is a server for browsers of its own origin with the timings and
// limits of the Node server. A field that is zero or negative takes its default.
type Config struct {
	// Path is the prefix of the URL paths that are served, with both slashes. Defaults to "/socket.io/".
	Path string

	// PingInterval is the time between two pings to a client. Defaults to 25 s.
	PingInterval time.Duration
	// PingTimeout is how long a client may take to answer a ping. Defaults to 20 s.
	PingTimeout time.Duration
	// UpgradeTimeout is how long an upgrade from polling to WebSocket may take. Defaults to 10 s.
	UpgradeTimeout time.Duration
	// ConnectTimeout is how long a connection may be without a namespace at first, middleware included. Defaults to 45 s.
	ConnectTimeout time.Duration

	// MaxPayload is the largest message taken, in bytes; Node's maxHttpBufferSize. Defaults to 1,000,000.
	MaxPayload int
	// MaxPackets is how many packets one polling request may bring. Defaults to 10,000.
	MaxPackets int
	// MaxAttachments is how many binary attachments a packet may have, in or out. The official clients take no more
	// than the default unless they are told to. Defaults to 10.
	MaxAttachments int
	// MaxSendBuffer is how many bytes may wait for one client before it is disconnected as a slow consumer; see
	// [engineio.Config]. Defaults to 1 MiB.
	MaxSendBuffer int
	// MaxReceiveBuffer is how many bytes of a client's events may wait for handlers, and as many more for the network,
	// before nothing more is read from it. Defaults to 1 MiB.
	MaxReceiveBuffer int
	// MaxConnections is how many connections are held at once. Defaults to 100,000.
	MaxConnections int
	// MaxPending is how many connections may be without a namespace at once, for [Config.ConnectTimeout] at most; further
	// handshakes are answered 503. Defaults to 10,000.
	MaxPending int
	// MaxPendingPerAddr is the same for each remote address. Behind a proxy all clients have the same. Defaults to
	// MaxPending.
	MaxPendingPerAddr int
	// MaxPendingAcks is how many acknowledgements of one socket may be waited for at once. Defaults to 1,000.
	MaxPendingAcks int

	// Compress makes large answers to polling be compressed; see [engineio.Config]. Defaults to false.
	Compress bool

	// AllowedOrigins are the origins whose pages may connect beside the server's own; see [engineio.Config]. Defaults
	// to none.
	AllowedOrigins []string
	// AllowCredentials lets pages of AllowedOrigins send cookies. Defaults to false.
	AllowCredentials bool
	// KeepHeaders names the headers of a client's first request that [Handshake.Header] offers. Defaults to
	// Authorization, Cookie, Forwarded, Origin, User-Agent, X-Forwarded-For and X-Real-Ip.
	KeepHeaders []string

	// Recovery lets clients come back to sockets that they lost. Defaults to off.
	Recovery Recovery

	// Adapter makes the adapter of each namespace, once. Defaults to [Namespace.Local]: rooms in this process.
	Adapter func(*Namespace) Adapter

	// Logger is told of panics in handlers and of errors of middleware that are no [ConnectError]. Defaults to silence.
	Logger *slog.Logger
}

func (c Config) withDefaults() Config {
	c.Path = cmp.Or(c.Path, "/socket.io/")
	if c.ConnectTimeout <= 0 {
		c.ConnectTimeout = 45 * time.Second
	}
	if c.MaxAttachments <= 0 {
		c.MaxAttachments = packet.DefaultMaxAttachments
	}
	if c.MaxSendBuffer <= 0 {
		c.MaxSendBuffer = 1 << 20
	}
	if c.MaxReceiveBuffer <= 0 {
		c.MaxReceiveBuffer = 1 << 20
	}
	if c.MaxPending <= 0 {
		c.MaxPending = 10_000
	}
	if c.MaxPendingPerAddr <= 0 {
		c.MaxPendingPerAddr = c.MaxPending
	}
	if c.MaxPendingAcks <= 0 {
		c.MaxPendingAcks = 1000
	}
	if c.Adapter == nil {
		c.Adapter = (*Namespace).Local
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c
}

func (c Config) engine() engineio.Config {
	return engineio.Config{
		Path:             c.Path,
		PingInterval:     c.PingInterval,
		PingTimeout:      c.PingTimeout,
		UpgradeTimeout:   c.UpgradeTimeout,
		MaxPayload:       c.MaxPayload,
		MaxPackets:       c.MaxPackets,
		MaxSendBuffer:    c.MaxSendBuffer,
		MaxReceiveBuffer: c.MaxReceiveBuffer,
		MaxConnections:   c.MaxConnections,
		Compress:         c.Compress,
		AllowedOrigins:   c.AllowedOrigins,
		AllowCredentials: c.AllowCredentials,
		KeepHeaders:      c.KeepHeaders,
	}
}
