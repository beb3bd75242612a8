package web_test

import (
	"html"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"loupe/internal/testenv"
	"loupe/internal/web"
)

func TestMain(m *testing.M) { testenv.Main(m) }

func get(t *testing.T, h http.Handler, path string, header http.Header) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, nil)
	for name, values := range header {
		r.Header[name] = values
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func TestPage(t *testing.T) {
	t.Parallel()
	h := web.New(web.Config{Categories: []string{`a"><script>`, "b"}, Local: true, ImageOrigins: []string{"https://pictures.example"}})
	first := get(t, h, "/", nil)
	body := first.Body.String()
	if strings.Contains(body, `"><script>`) || !strings.Contains(html.UnescapeString(body), `"categories":["a\"\u003e\u003cscript\u003e","b"]`) {
		t.Errorf("the categories are not what was configured: %s", body)
	}
	if !strings.Contains(html.UnescapeString(body), `"local":true,"maxUpload":10485760`) {
		t.Errorf("the settings are not what was configured: %s", body)
	}
	for _, path := range []string{"/assets/0123456789abcdef01234567", "/console"} {
		if got := get(t, h, path, nil).Body.String(); got != body {
			t.Errorf("%s is not the page", path)
		}
	}
	policy := first.Header().Get("Content-Security-Policy")
	if !strings.Contains(policy, "img-src 'self' blob: https://pictures.example;") || strings.Contains(policy, "unsafe") {
		t.Errorf("the policy is %q", policy)
	}
	if again := get(t, h, "/", http.Header{"If-None-Match": {first.Header().Get("ETag")}}); again.Code != http.StatusNotModified {
		t.Errorf("the same page again: %d", again.Code)
	}
	other := web.New(web.Config{Categories: []string{"c"}})
	if changed := get(t, other, "/", http.Header{"If-None-Match": {first.Header().Get("ETag")}}); changed.Code != http.StatusOK {
		t.Errorf("another page: %d", changed.Code)
	}
}

func TestParts(t *testing.T) {
	t.Parallel()
	h := web.New(web.Config{Categories: []string{"a"}})
	for _, test := range []struct {
		path, mimeType string
		code           int
	}{
		{"/app/main.js", "text/javascript; charset=utf-8", http.StatusOK},
		{"/app/base.css", "text/css; charset=utf-8", http.StatusOK},
		{"/app/icon.svg", "image/svg+xml", http.StatusOK},
		{"/app/", "text/plain; charset=utf-8", http.StatusNotFound},
		{"/app/nothing.js", "text/plain; charset=utf-8", http.StatusNotFound},
		{"/app/../web.go", "text/plain; charset=utf-8", http.StatusNotFound},
	} {
		got := get(t, h, test.path, nil)
		if got.Code != test.code || got.Header().Get("Content-Type") != test.mimeType {
			t.Errorf("%s: %d %s, want %d %s", test.path, got.Code, got.Header().Get("Content-Type"), test.code, test.mimeType)
		}
	}
	// What the page preloads is there, and is not what only some need.
	page := get(t, h, "/", nil).Body.String()
	preloaded := 0
	for line := range strings.Lines(page) {
		_, rest, ok := strings.Cut(line, `<link rel="modulepreload" href="`)
		if !ok {
			continue
		}
		path, _, _ := strings.Cut(rest, `"`)
		preloaded++
		if got := get(t, h, path, nil); got.Code != http.StatusOK || strings.Contains(path, "console") {
			t.Errorf("the page preloads %s: %d", path, got.Code)
		}
	}
	if preloaded < 10 {
		t.Errorf("the page preloads %d modules", preloaded)
	}
}
