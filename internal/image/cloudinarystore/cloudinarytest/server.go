// Package cloudinarytest is a Cloudinary of our own on loopback, for tests: as much of the Upload API and of the delivery
// as Loupe uses, written from Cloudinary's documentation and not from the store that it tests.
//
// It refuses what Cloudinary refuses, in Cloudinary's words: it computes every signature again, wants a timestamp of the
// last hour, and looks at what a file is. And it can be told to fail, in each way that a service fails: see [Fault].
package cloudinarytest

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"sync"
	"testing"
)

// Cloud is the name of the only cloud that there is.
const Cloud = "demo"

// The calls, as [Server.Break] and [Server.Calls] name them.
const (
	Upload  = "upload"
	Destroy = "destroy"
	Fetch   = "fetch"
)

// Server is the service, with the pictures that it holds in memory.
type Server struct {
	Address string // http://127.0.0.1:port
	Key     string // of the API
	Secret  string

	mu       sync.Mutex
	pictures map[string]Picture // by public id
	version  int64
	cache    map[string]delivery // what caches on the way hold, by path
	slowCDN  bool
	dropping bool
	faults   map[string]Fault
	calls    map[string]int
}

// Picture is a picture that the service holds.
type Picture struct {
	Data    []byte
	Format  string // by its content: jpg, png, webp or gif
	Version int64
	Form    url.Values // as it was uploaded
}

// Start starts a service for the time of the test, and returns it with the CLOUDINARY_URL that leads to it.
func Start(t testing.TB) (cloudinaryURL string, s *Server) {
	s = &Server{
		Key: "123456789012345", Secret: rand.Text(), version: 1_700_000_000,
		pictures: map[string]Picture{}, cache: map[string]delivery{}, faults: map[string]Fault{}, calls: map[string]int{},
	}
	mux := http.NewServeMux()
	mux.Handle("POST /v1_1/{cloud}/image/upload", s.breakable(Upload, s.upload))
	mux.Handle("POST /v1_1/{cloud}/image/destroy", s.breakable(Destroy, s.destroy))
	mux.Handle("GET /{cloud}/image/upload/{path...}", s.breakable(Fetch, s.deliver))

	// A fault may hold on to its request until the test is over.
	over, end := context.WithCancel(context.Background())
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithCancel(r.Context())
		defer cancel()
		defer context.AfterFunc(over, cancel)()
		mux.ServeHTTP(w, r.WithContext(ctx))
	}))
	s.Address = "http://" + server.Listener.Addr().String()
	server.Start()
	t.Cleanup(func() {
		end()
		server.Close()
	})
	return fmt.Sprintf("cloudinary://%s:%s@%s?upload_prefix=%s", s.Key, s.Secret, Cloud, s.Address), s
}

// Picture returns what the service holds under a public id.
func (s *Server) Picture(publicID string) (p Picture, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p, ok = s.pictures[publicID]
	return p, ok
}

// PublicIDs returns the public ids of all pictures, sorted.
func (s *Server) PublicIDs() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var ids []string
	for id := range s.pictures {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids
}

// Calls returns how often a call has come.
func (s *Server) Calls(call string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.calls[call]
}

// SlowCDN lets caches keep every picture, and every absence of one, for good: invalidation has not reached them yet.
func (s *Server) SlowCDN() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.slowCDN = true
}

// Drop lets the service take pictures without holding them, for tests of how much memory the sender needs.
func (s *Server) Drop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.dropping = true
}

// Break lets fault answer a call from now on; nil heals it.
func (s *Server) Break(call string, fault Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults[call] = fault
}

func (s *Server) breakable(call string, whole http.HandlerFunc) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		s.calls[call]++
		fault := s.faults[call]
		s.mu.Unlock()
		if fault != nil {
			fault(w, r, whole)
			return
		}
		whole(w, r)
	})
}
