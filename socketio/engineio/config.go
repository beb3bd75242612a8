package engineio

import (
	"cmp"
	"slices"
	"strings"
	"time"
)

// Config says how a [Server] behaves. The zero value is a server for browsers of its own origin with the timings and
// limits of the Node server. A field that is zero or negative takes its default.
type Config struct {
	// Path is the prefix of the URL paths that are served, with both slashes. Defaults to "/engine.io/".
	Path string

	// PingInterval is the time between two pings to a client. Defaults to 25 s.
	PingInterval time.Duration
	// PingTimeout is how long a client may take to answer a ping before its connection is closed. Defaults to 20 s.
	PingTimeout time.Duration
	// UpgradeTimeout is how long an upgrade from polling to WebSocket may take. Defaults to 10 s.
	UpgradeTimeout time.Duration

	// MaxPayload is the largest message, and the largest body of a polling request, in bytes. Clients are told and
	// split their bodies by it. Defaults to 1,000,000.
	MaxPayload int
	// MaxPackets is how many packets one polling request may bring. Defaults to 10,000.
	MaxPackets int
	// MaxSendBuffer is how many bytes may wait to be sent to one client, counting [MessageOverhead] for each message; a
	// client that is further behind is disconnected with [SlowConsumer]. One message is taken whatever its size when
	// nothing waits. Defaults to 1 MiB.
	MaxSendBuffer int
	// MaxReceiveBuffer is how many bytes of one client's messages may wait for its [Receiver], counted alike; then no
	// more is read from it until the Receiver has caught up. Defaults to 1 MiB.
	MaxReceiveBuffer int
	// MaxConnections is how many sessions are held at once; further handshakes are answered 503. Defaults to 100,000.
	MaxConnections int

	// Compress makes answers to polling of 1 KiB and more be compressed with gzip for clients that take it. It costs CPU,
	// about 1 MB for each answer that is being compressed, and under TLS a secret if the answer has one beside what an
	// attacker chose. Defaults to false.
	Compress bool

	// AllowedOrigins are the origins, such as "https://example.com", whose pages may connect. Requests from any other
	// are refused, WebSockets too, which CORS alone would let in. Requests without an Origin header, which no browser
	// sends across origins, and those from the server's own host are always allowed. "*" allows every page on the web
	// to connect as its visitor; use it only where connecting proves nothing. Defaults to none.
	AllowedOrigins []string
	// AllowCredentials lets pages of AllowedOrigins send cookies. It has no effect for "*". Defaults to false.
	AllowCredentials bool

	// KeepHeaders names the headers of the first request that [Conn.Header] goes on to offer; the others are dropped
	// with the request. Defaults to Authorization, Cookie, Forwarded, Origin, User-Agent, X-Forwarded-For, X-Real-Ip.
	KeepHeaders []string
}

// MessageOverhead is what a queued message counts beside its own length, in bytes: about what it costs in memory.
const MessageOverhead = 64

// Bounds that nobody should have to change.
const (
	// maxKept bounds the query and the kept headers of a connection together, in bytes; more is a bad request.
	maxKept = 16 << 10
	// pollLinger is how long a closed polling session waits for the request that fetches its last packets.
	pollLinger = 30 * time.Second
	// closeLinger is how long a WebSocket waits for what is written and for the other side's goodbye.
	closeLinger = 2 * time.Second
	// upgradeHold is how long a polling request that comes in the middle of an upgrade waits for the upgrade to end:
	// the two race on different connections.
	upgradeHold = 50 * time.Millisecond
	// collisionHold is how long it may take to notice that the client has given up one of two polling requests.
	collisionHold = 10 * time.Millisecond
	// compressFrom is the size of the smallest answer that is compressed, in bytes.
	compressFrom = 1 << 10
	// writeTimeout bounds the writing of one HTTP answer.
	writeTimeout = 20 * time.Second
)

func (c Config) withDefaults() Config {
	c.Path = cmp.Or(c.Path, "/engine.io/")
	c.PingInterval = positive(c.PingInterval, 25*time.Second)
	c.PingTimeout = positive(c.PingTimeout, 20*time.Second)
	c.UpgradeTimeout = positive(c.UpgradeTimeout, 10*time.Second)
	c.MaxPayload = positive(c.MaxPayload, 1_000_000)
	c.MaxPackets = positive(c.MaxPackets, 10_000)
	c.MaxSendBuffer = positive(c.MaxSendBuffer, 1<<20)
	c.MaxReceiveBuffer = positive(c.MaxReceiveBuffer, 1<<20)
	c.MaxConnections = positive(c.MaxConnections, 100_000)
	c.AllowedOrigins = slices.Clone(c.AllowedOrigins)
	for i, o := range c.AllowedOrigins {
		c.AllowedOrigins[i] = strings.ToLower(strings.TrimSuffix(o, "/"))
	}
	if c.KeepHeaders == nil {
		c.KeepHeaders = []string{
			"Authorization", "Cookie", "Forwarded", "Origin", "User-Agent", "X-Forwarded-For", "X-Real-Ip",
		}
	}
	return c
}

func positive[T time.Duration | int](v, otherwise T) T {
	if v <= 0 {
		return otherwise
	}
	return v
}
