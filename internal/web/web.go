// Package web is the embedded web app: plain ES modules and CSS, no build step, no request to any other host.
package web

import (
	"embed"
	"net/http"
)

//go:embed index.html app
var files embed.FS

// policy lets the page load its own parts, pictures from wherever the image store is, and nothing else.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' http: https:; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// Handler serves the page at / and its parts below /app/.
func Handler() http.Handler {
	parts := http.FileServerFS(files)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", policy)
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cache-Control", "no-cache")
		parts.ServeHTTP(w, r)
	})
}
