package redisadapter

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"strconv"
	"strings"
)

// channels are those of a namespace. Broadcasts to a single room have a channel of their own: the broadcast channel, the
// room, and a #.
type channels struct {
	broadcast string
	pattern   string // matches the channels of all broadcasts
	request   string
	response  string // for all
	own       string // responses for this process
}

func newChannels(prefix, namespace, uid string) channels {
	c := channels{
		broadcast: prefix + "#" + namespace + "#",
		request:   prefix + "-request#" + namespace + "#",
		response:  prefix + "-response#" + namespace + "#",
	}
	c.pattern = escapeGlob.Replace(c.broadcast) + "*"
	c.own = c.of(uid)
	return c
}

// of is the channel for responses to the process that has the uid.
func (c channels) of(uid string) string {
	if uid == "" {
		return c.response
	}
	return c.response + uid + "#"
}

// to is the channel for a broadcast to rooms.
func (c channels) to(rooms []string) string {
	if len(rooms) != 1 {
		return c.broadcast
	}
	return c.broadcast + rooms[0] + "#"
}

// room is the room that a channel is for, "" if it is for any.
func (c channels) room(channel string) string {
	return strings.TrimSuffix(channel[len(c.broadcast):], "#")
}

// escapeGlob keeps the name of a namespace from matching others.
var escapeGlob = strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`, `]`, `\]`)

// The types of requests, and of two of the responses.
const (
	typeSockets = iota
	typeAllRooms
	typeJoin
	typeLeave
	typeDisconnect
	typeFetch
	typeServerSideEmit
	typeBroadcast
	typeClientCount
	typeAck
)

// object is a request or a response on its way out.
type object map[string]any

// request is what another process asks for, but for typeBroadcast. The emitter leaves out the UID.
type request struct {
	UID       string            `json:"uid"`
	RequestID string            `json:"requestId"`
	Type      *int              `json:"type"`
	Opts      *choice           `json:"opts"`
	Rooms     names             `json:"rooms"`
	Close     bool              `json:"close"`
	Data      []json.RawMessage `json:"data"`

	// In place of Opts and Rooms, in an older form that wants an answer.
	SID  string `json:"sid"`
	Room name   `json:"room"`
}

// choice chooses sockets.
type choice struct {
	Rooms  names `json:"rooms"`
	Except names `json:"except"`
}

// response is the answer to any request.
type response struct {
	RequestID   string          `json:"requestId"`
	Type        int             `json:"type"`
	Sockets     []socketInfo    `json:"sockets"`
	Rooms       names           `json:"rooms"`
	ClientCount int             `json:"clientCount"`
	Data        json.RawMessage `json:"data"`
	Packet      json.RawMessage `json:"packet"`

	attachments [][]byte // of Packet
}

// socketInfo is a socket in the answer to typeFetch.
type socketInfo struct {
	ID    string          `json:"id"`
	Rooms names           `json:"rooms"`
	Data  json.RawMessage `json:"data"`
}

// handshake is what Node finds in place of the real one, so that it finds no secrets.
type handshake struct {
	Headers struct{} `json:"headers"`
	Query   struct{} `json:"query"`
	Auth    struct{} `json:"auth"`
}

// asked are names of rooms in a request. In Node a room can be a number, and is then another than the string that looks
// the same; here they are the same. So a name that looks like a number goes out as both.
type asked []string

func (r asked) MarshalJSON() ([]byte, error) {
	b := []byte{'['}
	for i, room := range r {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendString(b, room)
		if number, ok := roomNumber(room); ok {
			b = strconv.AppendInt(append(b, ','), number, 10)
		}
	}
	return append(b, ']'), nil
}

// names are names of rooms as they come, some as numbers.
type names []string

func (n *names) UnmarshalJSON(data []byte) error {
	var list []name
	if err := json.Unmarshal(data, &list); err != nil {
		return err
	}
	*n = make(names, 0, len(list))
	for _, room := range list {
		n.add(string(room))
	}
	return nil
}

// add adds a name that is not the one before, as the two forms of a number are.
func (n *names) add(room string) {
	if last := len(*n) - 1; last < 0 || (*n)[last] != room {
		*n = append(*n, room)
	}
}

// name is the name of a room, which Node may have as a number, or as anything else.
type name string

func (n *name) UnmarshalJSON(data []byte) error {
	if data[0] == '"' {
		return json.Unmarshal(data, (*string)(n))
	}
	*n = name(data)
	return nil
}

// roomNumber is the number that a name looks like to JavaScript.
func roomNumber(room string) (int64, bool) {
	const mostDigits = 15 // no rounding up to here
	if len(room) == 0 || len(room) > mostDigits || room[0] == '0' && len(room) > 1 {
		return 0, false
	}
	for i := range len(room) {
		if room[i] < '0' || room[i] > '9' {
			return 0, false
		}
	}
	number, err := strconv.ParseInt(room, 10, 64)
	return number, err == nil
}

// newID returns six random characters: how Node names processes and requests.
func newID() string {
	var b [5]byte
	rand.Read(b[:]) // never fails
	return base64.RawURLEncoding.EncodeToString(b[:])[:6]
}
