package redisadapter

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/redis/rueidis"

	"loupe/socketio"
	"loupe/socketio/packet"
)

// photo is an event of 300 bytes.
const photo = `{"assetId":"0197f3c2-1d2e-7c11-9a55-3b1f0c8e7d21","status":"active","aiMetadata":{"category":{"value":"shoes","confidence":0.93},` +
	`"color":{"value":"white","confidence":0.88}},"processedImageUrl":"https://images.example/0197f3c2.webp","timestamp":"2026-11-23T16:00:00.000Z","n":[1,2,300,70000]}`

func benchAdapter(b *testing.B) *Adapter {
	b.Helper()
	c, err := New(Config{Options: rueidis.ClientOption{InitAddress: []string{"127.0.0.1:1"}}}) // is not dialled
	if err != nil {
		b.Fatal(err)
	}
	io := socketio.NewServer(socketio.Config{})
	return newAdapter(c, io.Namespace)
}

func benchEmission(b *testing.B) *socketio.Emission {
	return &socketio.Emission{
		Target: socketio.Target{Rooms: []string{"user:1"}},
		Packet: event(b, "/", packet.NoID, "asset_processed", json.RawMessage(photo)),
		ID:     packet.NoID,
	}
}

// A broadcast to a room that nobody here is in.
func BenchmarkForeignRoom(b *testing.B) {
	a := benchAdapter(b)
	msg, err := encodeBroadcast("uid123", "/", benchEmission(b))
	if err != nil {
		b.Fatal(err)
	}
	channel, content := a.channels.to([]string{"user:1"}), string(msg)
	b.ReportAllocs()
	for b.Loop() {
		if err := a.received(channel, content); err != nil {
			b.Fatal(err)
		}
	}
}

// The same to two rooms, which are named in the message only.
func BenchmarkForeignRooms(b *testing.B) {
	a := benchAdapter(b)
	e := benchEmission(b)
	e.Rooms = []string{"user:1", "user:2"}
	msg, err := encodeBroadcast("uid123", "/", e)
	if err != nil {
		b.Fatal(err)
	}
	channel, content := a.channels.to(e.Rooms), string(msg)
	b.ReportAllocs()
	for b.Loop() {
		if err := a.received(channel, content); err != nil {
			b.Fatal(err)
		}
	}
}

// A broadcast of this process that comes back.
func BenchmarkOwn(b *testing.B) {
	a := benchAdapter(b)
	msg, err := encodeBroadcast(a.uid, "/", benchEmission(b))
	if err != nil {
		b.Fatal(err)
	}
	channel, content := a.channels.to([]string{"user:1"}), string(msg)
	b.ReportAllocs()
	for b.Loop() {
		if err := a.received(channel, content); err != nil {
			b.Fatal(err)
		}
	}
}

// A broadcast for sockets here, up to their packet.
func BenchmarkDecode(b *testing.B) {
	msg, err := encodeBroadcast("uid123", "/", benchEmission(b))
	if err != nil {
		b.Fatal(err)
	}
	content := string(msg)
	b.ReportAllocs()
	b.SetBytes(int64(len(content)))
	for b.Loop() {
		m, err := parseBroadcast(content)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := eventPacket("/", packet.NoID, m.data, 10); err != nil {
			b.Fatal(err)
		}
	}
}

// What it takes to publish a broadcast, up to the queue.
func BenchmarkEncode(b *testing.B) {
	for name, e := range map[string]*socketio.Emission{
		"300B": benchEmission(b),
		"64KB": {Packet: event(b, "/", packet.NoID, "text", strings.Repeat("x", 64<<10))},
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(e.Packet.Len()))
			for b.Loop() {
				if _, err := encodeBroadcast("uid123", "/", e); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
