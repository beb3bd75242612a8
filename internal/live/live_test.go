package live_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"testing"
	"time"

	"loupe/internal/auth"
	"loupe/internal/live"
	"loupe/internal/pipeline"
	"loupe/internal/testenv"
	"loupe/socketio/client"
)

func TestMain(m *testing.M) { testenv.Main(m) }

var tokens = auth.Config{Secret: []byte("a secret for the tests of the sockets")}

type missedFunc = func(ctx context.Context, owner string, since time.Time, deliver func([]pipeline.Event, bool)) error

// serve starts a server; missed may be nil if no client says since when.
func serve(t *testing.T, missed missedFunc) (s *live.Server, url string) {
	t.Helper()
	verifier, err := auth.NewVerifier(tokens)
	if err != nil {
		t.Fatal(err)
	}
	s = live.New(live.Config{Auth: verifier, Log: slog.New(slog.NewTextHandler(t.Output(), nil)), Missed: missed})
	listener := httptest.NewServer(s)
	t.Cleanup(listener.Close)
	t.Cleanup(func() {
		if err := s.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return s, listener.URL
}

func token(t *testing.T, user string, ttl time.Duration) string {
	t.Helper()
	text, err := auth.Mint(tokens, auth.User{ID: user, Expires: time.Now().Add(ttl)})
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// connect returns a channel of what the socket is told, as "name payload".
func connect(t *testing.T, url, transport string, authObject any) (<-chan string, *client.Client) {
	t.Helper()
	told := make(chan string, 100)
	hear := func(name string) client.Handler {
		return func(args []client.Value) { told <- name + " " + string(args[0]) }
	}
	c, err := client.Dial(t.Context(), url, client.Config{
		Auth: authObject, Transport: transport, NoReconnect: true,
		Handlers: map[string]client.Handler{
			"asset_processed": hear("processed"), "asset_progress": hear("progress"), "asset_resync": hear("resync"),
			"ai_service": hear("service"),
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return told, c
}

func expect(t *testing.T, told <-chan string, want string) {
	t.Helper()
	select {
	case got := <-told:
		if got != want {
			t.Errorf("told %s, want %s", got, want)
		}
	case <-t.Context().Done():
		t.Errorf("not told %s", want)
	}
}

func TestInvariant4EventsGoToTheOwnerAlone(t *testing.T) {
	t.Parallel()
	for _, transport := range []string{"websocket", "polling"} {
		t.Run(transport, func(t *testing.T) {
			t.Parallel()
			s, url := serve(t, nil)
			alice, _ := connect(t, url, transport, map[string]any{"token": token(t, "alice", time.Hour), "room": "user:bob", "userId": "bob"})
			bob, _ := connect(t, url, transport, map[string]string{"token": token(t, "bob", time.Hour)})
			if n := s.Sockets(); n != 2 {
				t.Errorf("%d sockets", n)
			}
			notify := func(owner, name, payload string) {
				t.Helper()
				if err := s.Notify(t.Context(), owner, pipeline.Event{Name: name, Payload: json.RawMessage(payload)}); err != nil {
					t.Error(err)
				}
			}
			notify("alice", pipeline.EventProgress, `{"n":1}`)
			notify("alice", pipeline.EventProcessed, `{"b": 1.0, "a":"é"}`)
			notify("bob", pipeline.EventProcessed, `"for bob"`)
			notify("nobody", pipeline.EventProcessed, `"for nobody"`)
			expect(t, alice, `progress {"n":1}`)
			expect(t, alice, `processed {"b": 1.0, "a":"é"}`)
			expect(t, bob, `processed "for bob"`)
			if len(alice)+len(bob) > 0 {
				t.Error("somebody was told more")
			}
		})
	}
}

func TestEverybodyIsTold(t *testing.T) {
	t.Parallel()
	s, url := serve(t, nil)
	alice, _ := connect(t, url, "websocket", map[string]string{"token": token(t, "alice", time.Hour)})
	bob, _ := connect(t, url, "polling", map[string]string{"token": token(t, "bob", time.Hour)})
	now := pipeline.Event{Name: pipeline.EventService, Payload: json.RawMessage(`{"status":"down"}`)}
	s.Announce(now)
	for _, told := range []<-chan string{alice, bob} {
		expect(t, told, `service {"status":"down"}`)
	}
	s.Greeting = func() []pipeline.Event { return []pipeline.Event{now} }
	late, _ := connect(t, url, "websocket", map[string]string{"token": token(t, "alice", time.Hour)})
	expect(t, late, `service {"status":"down"}`)
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	_, url := serve(t, nil)
	for name, c := range map[string]struct {
		auth          any
		message, code string
	}{
		"no auth":       {nil, "Authentication required", "UNAUTHORIZED"},
		"no token":      {map[string]string{}, "Authentication required", "UNAUTHORIZED"},
		"empty token":   {map[string]string{"token": ""}, "Authentication required", "UNAUTHORIZED"},
		"null token":    {map[string]any{"token": nil}, "Authentication required", "UNAUTHORIZED"},
		"bad token":     {map[string]string{"token": "rubbish"}, "Invalid token", "INVALID_TOKEN"},
		"a number":      {map[string]int{"token": 7}, "Invalid token", "INVALID_TOKEN"},
		"expired token": {map[string]string{"token": token(t, "alice", -time.Minute)}, "Token expired", "TOKEN_EXPIRED"},
		"bad since":     {map[string]string{"token": token(t, "alice", time.Hour), "since": "yesterday"}, "Invalid since: must be the ISO 8601 timestamp of the last event seen", "VALIDATION_ERROR"},
		"numeric since": {map[string]any{"token": token(t, "alice", time.Hour), "since": 5}, "Invalid since: must be the ISO 8601 timestamp of the last event seen", "VALIDATION_ERROR"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := client.Dial(t.Context(), url, client.Config{Auth: c.auth, NoReconnect: true})
			refusal, ok := errors.AsType[*client.ConnectError](err)
			if !ok || refusal.Message != c.message || string(refusal.Data) != fmt.Sprintf(`{"code":%q}`, c.code) {
				t.Errorf("got %v %+v", err, refusal)
			}
		})
	}
}

func TestTokenExpiryEndsTheSocket(t *testing.T) {
	t.Parallel()
	_, url := serve(t, nil)
	_, c := connect(t, url, "websocket", map[string]string{"token": token(t, "alice", 2*time.Second)}) // exp counts whole seconds
	select {
	case <-c.Done():
	case <-t.Context().Done():
		t.Error("still connected")
	}
}

func TestMissedEventsComeFirst(t *testing.T) {
	t.Parallel()
	since := time.Date(2025, 12, 28, 10, 30, 0, 0, time.UTC)
	var s *live.Server
	s, url := serve(t, func(ctx context.Context, owner string, from time.Time, deliver func([]pipeline.Event, bool)) error {
		if owner != "alice" || !from.Equal(since) {
			t.Errorf("asked for %s since %s", owner, from)
		}
		deliver([]pipeline.Event{
			{Name: pipeline.EventProcessed, Payload: json.RawMessage(`{"a" : 1}`)},
			{Name: pipeline.EventProcessed, Payload: json.RawMessage(`{"a" : 2}`)},
		}, true)
		// What ends right after comes live, and after.
		return s.Notify(ctx, "alice", pipeline.Event{Name: pipeline.EventProcessed, Payload: json.RawMessage(`{"a" : 3}`)})
	})
	told, _ := connect(t, url, "websocket", map[string]string{"token": token(t, "alice", time.Hour), "since": "2025-12-28T10:30:00.000Z"})
	for i := range 3 {
		expect(t, told, fmt.Sprintf(`processed {"a" : %d}`, i+1))
	}
}

func TestTooMuchMissedAsksForResync(t *testing.T) {
	t.Parallel()
	for name, missed := range map[string]missedFunc{
		"too much": func(_ context.Context, _ string, _ time.Time, deliver func([]pipeline.Event, bool)) error {
			deliver(nil, false)
			return nil
		},
		"store is down": func(context.Context, string, time.Time, func([]pipeline.Event, bool)) error {
			return errors.New("down")
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, url := serve(t, missed)
			told, _ := connect(t, url, "polling", map[string]string{"token": token(t, "alice", time.Hour), "since": "2025-12-28T11:30:00.5+01:00"})
			expect(t, told, `resync {"since":"2025-12-28T10:30:00.500Z"}`)
			if err := s.Notify(t.Context(), "alice", pipeline.Event{Name: pipeline.EventProcessed, Payload: json.RawMessage(`1`)}); err != nil {
				t.Error(err)
			}
			expect(t, told, `processed 1`)
		})
	}
}

// The link to other processes was cut. Everybody who is connected gets what was finished meanwhile, and nobody else's.
func TestRejoinedSendsAgain(t *testing.T) {
	t.Parallel()
	cut := time.Date(2025, 12, 28, 10, 30, 0, 0, time.UTC)
	s, url := serve(t, func(_ context.Context, owner string, since time.Time, deliver func([]pipeline.Event, bool)) error {
		if !since.Equal(cut) {
			t.Errorf("asked since %s", since)
		}
		switch owner {
		case "alice":
			deliver([]pipeline.Event{{Name: pipeline.EventProcessed, Payload: json.RawMessage(`{"a" : 1}`)}}, true)
			deliver([]pipeline.Event{{Name: pipeline.EventProcessed, Payload: json.RawMessage(`{"a" : 2}`)}}, true)
		case "bob":
			deliver(nil, false)
		default:
			return errors.New("the store is down")
		}
		return nil
	})
	told := map[string][]<-chan string{}
	for _, user := range []string{"alice", "alice", "bob", "carol"} {
		events, _ := connect(t, url, "websocket", map[string]string{"token": token(t, user, time.Hour)})
		told[user] = append(told[user], events)
	}
	s.Rejoined(t.Context(), cut)
	for _, events := range told["alice"] {
		expect(t, events, `processed {"a" : 1}`)
		expect(t, events, `processed {"a" : 2}`)
	}
	for _, user := range []string{"bob", "carol"} {
		expect(t, told[user][0], `resync {"since":"2025-12-28T10:30:00.000Z"}`)
	}
	for user, sockets := range told {
		for _, events := range sockets {
			if len(events) > 0 {
				t.Errorf("%s was told more", user)
			}
		}
	}
}

// The end of a run counts as told when other processes are sure to be; where it is on the way is not worth the wait.
func TestNotifyConfirms(t *testing.T) {
	t.Parallel()
	lost := errors.New("lost")
	confirmed := 0
	s := live.New(live.Config{Log: slog.New(slog.DiscardHandler), Confirm: func(_ context.Context, emit func() error) error {
		confirmed++
		return errors.Join(emit(), lost)
	}})
	defer s.Close(context.Background())
	if err := s.Notify(t.Context(), "alice", pipeline.Event{Name: pipeline.EventProcessed, Payload: json.RawMessage(`1`)}); !errors.Is(err, lost) {
		t.Errorf("the end of a run: %v", err)
	}
	if err := s.Notify(t.Context(), "alice", pipeline.Event{Name: pipeline.EventProgress, Payload: json.RawMessage(`1`)}); err != nil || confirmed != 1 {
		t.Errorf("on the way: %v, confirmed %d times", err, confirmed)
	}
}
