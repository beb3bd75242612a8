package httpapi

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"time"
)

// healthz says that the process is alive, and nothing more.
func (a *api) healthz(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, http.StatusOK, map[string]any{"status": "ok"})
}

// checkTimeout bounds the questions of one /readyz.
const checkTimeout = 3 * time.Second

// readyz names each back end and its state; 503 if one is down. The AI service is none of them: without it photos are
// taken in, and wait.
func (a *api) readyz(w http.ResponseWriter, r *http.Request) {
	type state struct {
		Name    string `json:"name"`
		Backend string `json:"backend"`
		Status  string `json:"status"`
		Error   string `json:"error,omitempty"`
	}
	ctx, cancel := context.WithTimeout(r.Context(), checkTimeout)
	defer cancel()
	states := make([]state, len(a.Checks))
	var wait sync.WaitGroup
	for i, check := range a.Checks {
		states[i] = state{Name: check.Name, Backend: check.Backend, Status: "ok"}
		wait.Go(func() {
			if err := check.Ping(ctx); err != nil {
				// Anyone may ask; what exactly is wrong is for the log.
				a.Log.WarnContext(ctx, "not ready", "check", check.Name, "backend", check.Backend, "error", err)
				states[i].Status, states[i].Error = "down", "does not answer"
			}
		})
	}
	wait.Wait()
	status, word := http.StatusOK, "ready"
	for _, s := range states {
		if s.Status != "ok" {
			status, word = http.StatusServiceUnavailable, "not ready"
			w.Header().Set("Retry-After", strconv.Itoa(int(retryAfter.Seconds())))
		}
	}
	writeJSON(w, status, struct {
		Status  string     `json:"status"`
		Checks  []state    `json:"checks"`
		Service *aiService `json:"aiService,omitempty"`
	}{word, states, a.aiService()})
}

// aiService is what /readyz says of the AI service.
type aiService struct {
	Status   string  `json:"status"` // "up", "unavailable" or "rate_limited"
	Since    isoTime `json:"since,omitzero"`
	NextLook isoTime `json:"nextLook,omitzero"`
	Failures int     `json:"failures,omitempty"` // looks in vain
}

func (a *api) aiService() *aiService {
	if a.Service == nil {
		return nil
	}
	s := a.Service()
	if !s.Down {
		return &aiService{Status: "up"}
	}
	return &aiService{Status: s.Reason, Since: isoTime(s.Since), NextLook: isoTime(s.NextLook), Failures: s.Failures}
}

func (a *api) openapi(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/yaml")
	_, _ = w.Write(a.OpenAPI)
}

// sameOrigin reports whether an Origin header names the host that was asked.
func sameOrigin(origin, host string) bool {
	u, err := url.Parse(origin)
	return err == nil && u.Host == host
}
