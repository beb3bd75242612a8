package engineio

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// originAllowed tells whether the page that sent a request may connect.
func (s *Server) originAllowed(r *http.Request) bool {
	origin := r.Header.Get("Origin")
	if origin == "" || s.listed(origin) {
		return true
	}
	u, err := url.Parse(origin)
	return err == nil && u.Host != "" && strings.EqualFold(u.Host, r.Host)
}

func (s *Server) listed(origin string) bool {
	return s.anyOrigin() || slices.Contains(s.cfg.AllowedOrigins, strings.ToLower(origin))
}

func (s *Server) anyOrigin() bool { return slices.Contains(s.cfg.AllowedOrigins, "*") }

// cors writes the headers that let a page of an allowed origin read the answer, errors included. It answers preflight
// requests itself and then returns true. Without AllowedOrigins it does nothing.
func (s *Server) cors(w http.ResponseWriter, r *http.Request) (answered bool) {
	if len(s.cfg.AllowedOrigins) == 0 {
		return false
	}
	h, origin := w.Header(), r.Header.Get("Origin")
	switch {
	case s.anyOrigin():
		h.Set("Access-Control-Allow-Origin", "*")
	default:
		h.Add("Vary", "Origin")
		if origin != "" && s.listed(origin) {
			h.Set("Access-Control-Allow-Origin", origin)
			if s.cfg.AllowCredentials {
				h.Set("Access-Control-Allow-Credentials", "true")
			}
		}
	}
	if r.Method != http.MethodOptions {
		return false
	}
	h.Set("Access-Control-Allow-Methods", "GET,POST")
	if asked := r.Header.Get("Access-Control-Request-Headers"); asked != "" {
		h.Add("Vary", "Access-Control-Request-Headers")
		h.Set("Access-Control-Allow-Headers", asked)
	}
	w.WriteHeader(http.StatusNoContent)
	return true
}
