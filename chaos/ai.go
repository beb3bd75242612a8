package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"log"
	"math/rand/v2"
	"net"
	"net/http"
	"sync"
	"time"

	"loupe/internal/freeport"
)

// What the AI service does with a question. The entry of a question says which of them it was.
const (
	answers  = "answers"  // 200, brand, model and colorway
	pictures = "pictures" // 200, a processed image and nothing else: the asset becomes partial
	dawdles  = "dawdles"  // as answers, after up to dawdle
	hangs    = "hangs"    // no answer in time
	garbles  = "garbles"  // 200 with no JSON in it
	refuses  = "refuses"  // 422
	breaks   = "breaks"   // 500
	tears    = "tears"    // the answer breaks off in its middle
	limits   = "limits"   // 429 with Retry-After
	denies   = "denies"   // 503 without: unavailable
	vanishes = "vanishes" // the connection breaks, because the service goes down
)

// How the AI service is for a while.
const (
	well     = "well"     // it answers; some photos are poison to it
	slow     = "slow"     // it dawdles
	wrong    = "wrong"    // each answer may be garbled, torn, a refusal, a 500, or too late
	down     = "down"     // nobody listens
	denying  = "denying"  // 503 to everything, also to /health
	limiting = "limiting" // 429 to everything
	flapping = "flapping" // down and up again, many times
)

const (
	dawdle     = 2 * time.Second
	retryAfter = 2 * time.Second // that a 429 asks for
	poison     = 25              // one of so many assets is poison
)

// service is an AI service that misbehaves. Its port stays.
type service struct {
	url     string
	address string
	mute    bool // it has no /health
	history *history

	mu     sync.Mutex
	mood   string
	random *rand.Rand
	quit   func() // nil while it is down
}

// errDown is why questions end when the service goes down.
var errDown = errors.New("the service goes down")

func startAI(ctx context.Context, mute bool, h *history, random *rand.Rand) (*service, error) {
	port, err := freeport.Find(ctx)
	if err != nil {
		return nil, err
	}
	s := &service{address: "127.0.0.1:" + port, mute: mute, history: h, mood: well, random: random}
	s.url = "http://" + s.address
	return s, s.up(ctx)
}

// up has the service listen.
func (s *service) up(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.quit != nil {
		return nil
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", s.address)
	if err != nil {
		return err
	}
	base, end := context.WithCancelCause(context.WithoutCancel(ctx))
	server := &http.Server{
		Handler: http.HandlerFunc(s.serve), ReadHeaderTimeout: aiTimeout,
		BaseContext: func(net.Listener) context.Context { return base },
		ErrorLog:    log.New(io.Discard, "", 0),
	}
	over := make(chan struct{})
	go func() {
		defer close(over)
		_ = server.Serve(listener) // it ends by quit
	}()
	s.quit = func() {
		end(errDown)
		server.Close()
		<-over
	}
	return nil
}

// close has nobody listen any more and breaks all connections.
func (s *service) close() {
	s.mu.Lock()
	quit := s.quit
	s.quit = nil
	s.mu.Unlock()
	if quit != nil {
		s.history.add(entry{Kind: disturbed, What: aiGone})
		quit()
	}
}

func (s *service) set(mood string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mood = mood
}

// live changes the service's mood until ctx ends, then it is well and stays so.
func (s *service) live(ctx context.Context) error {
	moods := []string{slow, wrong, down, denying, limiting, flapping}
	for ctx.Err() == nil {
		s.be(ctx, well, s.between(2*time.Second, 8*time.Second))
		if ctx.Err() == nil {
			s.be(ctx, moods[s.dice(len(moods))], s.between(time.Second, 12*time.Second))
		}
	}
	s.set(well)
	return s.up(context.WithoutCancel(ctx))
}

// be has the service in a mood for a while.
func (s *service) be(ctx context.Context, m string, d time.Duration) {
	e := entry{At: time.Now(), Kind: mood, What: m}
	s.set(m)
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	switch m {
	case down:
		s.close()
		<-ctx.Done()
		_ = s.up(context.WithoutCancel(ctx)) // the port may be taken for a moment; live tries again
	case flapping:
		for ctx.Err() == nil {
			s.close()
			pause(ctx, s.between(100*time.Millisecond, time.Second))
			_ = s.up(context.WithoutCancel(ctx))
			pause(ctx, s.between(100*time.Millisecond, time.Second))
		}
	default:
		_ = s.up(context.WithoutCancel(ctx))
		<-ctx.Done()
	}
	e.End = time.Now()
	s.history.add(e)
}

func (s *service) dice(n int) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.random.IntN(n)
}

func (s *service) between(low, high time.Duration) time.Duration {
	return low + time.Duration(s.dice(int(high-low)))
}

// poisonous returns what the service does with every question about an asset, or "" if it is no poison to it.
func poisonous(asset string) string {
	sum := crc32.ChecksumIEEE([]byte(asset))
	if sum%poison != 0 {
		return ""
	}
	return []string{breaks, refuses, denies, tears, pictures}[sum/poison%5]
}

// serve answers a question, or how the service is.
func (s *service) serve(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	m := s.mood
	s.mu.Unlock()
	e := entry{At: time.Now(), Kind: asked, Asset: r.Header.Get("X-Asset-Id"), Job: r.Header.Get("X-Job-Id")}
	defer func() {
		e.End = time.Now()
		s.history.add(e)
	}()
	if r.URL.Path == "/health" {
		e.Kind, e.What, e.Status = probed, m, s.health(m)
		w.WriteHeader(e.Status)
		return
	}
	e.What = s.choose(m, e.Asset)
	pause(r.Context(), s.delay(e.What))
	if r.Context().Err() != nil {
		if errors.Is(context.Cause(r.Context()), errDown) {
			e.What = vanishes
		} else {
			e.Error = "the asker has gone"
		}
		panic(http.ErrAbortHandler) // an answer after all would be 200 and empty
	}
	e.Status = answer(w, e.What, e.Job)
	if e.What == tears {
		panic(http.ErrAbortHandler)
	}
}

// health is the status of an answer about how the service is.
func (s *service) health(mood string) int {
	switch {
	case s.mute:
		return http.StatusNotFound
	case mood == denying:
		return http.StatusServiceUnavailable
	}
	return http.StatusOK
}

// choose says what is done with a question.
func (s *service) choose(mood, asset string) string {
	switch mood {
	case slow:
		return dawdles
	case denying:
		return denies
	case limiting:
		return limits
	case wrong:
		return []string{answers, garbles, tears, refuses, breaks, hangs}[s.dice(6)]
	}
	does := cmp.Or(poisonous(asset), answers)
	if does == denies && s.mute {
		return breaks // when only such photos are left, nobody could tell them from an outage
	}
	return does
}

func (s *service) delay(does string) time.Duration {
	switch does {
	case answers:
		return s.between(0, 50*time.Millisecond)
	case dawdles:
		return s.between(0, dawdle)
	case hangs:
		return aiTimeout + time.Second
	}
	return 0
}

// answer does it. The model that it sees is the job, so that a result tells whose it is.
func answer(w http.ResponseWriter, does, job string) (status int) {
	status = http.StatusOK
	body := fmt.Sprintf(`{"brand":{"value":"Weiß <ß>","confidence":0.95},"model":{"value":%q,"confidence":1},"colorway":"red"}`, job)
	w.Header().Set("Content-Type", "application/json")
	switch does {
	case pictures:
		body = `{"processedImageUrl":"https://pictures.example/1.png"}`
	case garbles:
		body = "I see a shoe."
	case refuses:
		status, body = http.StatusUnprocessableEntity, `{"error":{"message":"no such category"}}`
	case breaks:
		status, body = http.StatusInternalServerError, `{"error":"out of memory"}`
	case limits:
		w.Header().Set("Retry-After", fmt.Sprint(int(retryAfter.Seconds())))
		status, body = http.StatusTooManyRequests, "{}"
	case denies:
		status, body = http.StatusServiceUnavailable, "{}"
	case tears:
		w.Header().Set("Content-Length", fmt.Sprint(len(body)+1))
	}
	w.WriteHeader(status)
	_, _ = w.Write([]byte(body)) // the asker may have gone
	return status
}
