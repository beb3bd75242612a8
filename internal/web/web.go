// Package web is the embedded web app: plain ES modules and CSS, no build step, no request to any other host but for
// pictures. README.md beside this file says how the app is laid out.
package web

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"encoding/json"
	"html/template"
	"io/fs"
	"net/http"
	"path"
	"slices"
	"strings"
	"time"
)

//go:embed index.html app
var files embed.FS

// Config is what the page must know of its server.
type Config struct {
	Categories   []string // of photos, in the order in which they are offered. Required.
	MaxUpload    int64    // bytes of one photo. Default 10 MB (10,485,760).
	UserClaim    string   // of a token, that holds the user id. Default "sub".
	Local        bool     // whoever opens the page is signed in by POST /api/session. Default: by a token.
	ImageOrigins []string // besides our own, whence pictures may come, such as "https://res.cloudinary.com". Default none.
}

// types are all that there is below app/. The system's own table may say something else.
var types = map[string]string{
	".js":  "text/javascript; charset=utf-8",
	".css": "text/css; charset=utf-8",
	".svg": "image/svg+xml",
}

// asset is one file as it is served.
type asset struct {
	content       []byte
	mimeType, tag string
}

type handler struct {
	page   asset
	parts  map[string]asset // by path, such as "/app/main.js"
	policy string
}

// New returns the handler of the app: its parts below /app/, and the page for every other path, on which the page's own
// router decides what is seen.
func New(c Config) http.Handler {
	if c.MaxUpload == 0 {
		c.MaxUpload = 10 << 20
	}
	if c.UserClaim == "" {
		c.UserClaim = "sub"
	}
	h := &handler{parts: make(map[string]asset), policy: policy(c.ImageOrigins)}
	must(fs.WalkDir(files, "app", func(name string, entry fs.DirEntry, err error) error {
		mimeType := types[path.Ext(name)]
		if err != nil || entry.IsDir() || mimeType == "" {
			return err
		}
		content, err := files.ReadFile(name)
		h.parts["/"+name] = newAsset(content, mimeType)
		return err
	}))
	h.page = newAsset(page(c, modules(h.parts)), "text/html; charset=utf-8")
	return h
}

// page fills the page with what it must know of its server, and with the modules that it will need.
func page(c Config, modules []string) []byte {
	settings, err := json.Marshal(map[string]any{
		"categories": c.Categories, "maxUpload": c.MaxUpload, "local": c.Local, "userClaim": c.UserClaim,
	})
	must(err)
	var b bytes.Buffer
	must(template.Must(template.ParseFS(files, "index.html")).Execute(&b, map[string]any{"Settings": string(settings), "Modules": modules}))
	return b.Bytes()
}

// modules are those that every visit needs. The browser fetches them side by side instead of one after the other, as each
// is found to need the next; those of one language or of the console alone it fetches when it comes to them.
func modules(parts map[string]asset) (paths []string) {
	for name := range parts {
		if path.Ext(name) == ".js" && !strings.HasPrefix(name, "/app/texts.") && !strings.HasPrefix(name, "/app/console/") {
			paths = append(paths, name)
		}
	}
	slices.Sort(paths)
	return paths
}

// policy lets the page load its own parts, pictures from where they are kept or from a file that is being uploaded, and
// nothing else; and scripts can make no markup from text.
func policy(imageOrigins []string) string {
	return strings.Join([]string{
		"default-src 'none'",
		"script-src 'self'",
		"style-src 'self'",
		"connect-src 'self'",
		strings.Join(append([]string{"img-src 'self' blob:"}, imageOrigins...), " "),
		"base-uri 'none'",
		"form-action 'none'",
		"frame-ancestors 'none'",
		"require-trusted-types-for 'script'",
		"trusted-types 'none'",
	}, "; ")
}

func newAsset(content []byte, mimeType string) asset {
	sum := sha256.Sum256(content)
	return asset{content, mimeType, `"` + hex.EncodeToString(sum[:8]) + `"`}
}

// must is for what is compiled in: if it is broken, no server should start.
func must(err error) {
	if err != nil {
		panic(err)
	}
}

func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	served := h.page
	if strings.HasPrefix(r.URL.Path, "/app/") {
		part, ok := h.parts[r.URL.Path]
		if !ok {
			http.NotFound(w, r)
			return
		}
		served = part
	}
	header := w.Header()
	header.Set("Content-Security-Policy", h.policy)
	header.Set("Cross-Origin-Opener-Policy", "same-origin")
	header.Set("Referrer-Policy", "no-referrer")
	header.Set("Cache-Control", "no-cache") // asks every time, and mostly hears 304
	header.Set("ETag", served.tag)
	header.Set("Content-Type", served.mimeType)
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(served.content))
}
