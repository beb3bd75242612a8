package httpapi_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"loupe/internal/asset"
	"loupe/internal/auth"
	"loupe/internal/httpapi"
	"loupe/internal/image"
	"loupe/internal/pipeline"
)

func TestBadTokens(t *testing.T) {
	t.Parallel()
	s := newServer(t, nil)
	sign := func(method jwt.SigningMethod, key any, claims jwt.MapClaims) string {
		text, err := jwt.NewWithClaims(method, claims).SignedString(key)
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	hour := time.Now().Add(time.Hour).Unix()
	hs256 := sign(jwt.SigningMethodHS256, tokens.Secret, jwt.MapClaims{"sub": alice, "exp": hour})
	_, rest, _ := strings.Cut(hs256, ".")
	for name, c := range map[string]struct{ header, code string }{
		"no token":                {"", "UNAUTHORIZED"},
		"empty token":             {"Bearer ", "UNAUTHORIZED"},
		"bad token":               {"Bearer rubbish", "INVALID_TOKEN"},
		"another scheme":          {"Basic " + hs256, "INVALID_TOKEN"},
		"another secret":          {"Bearer " + sign(jwt.SigningMethodHS256, []byte("another"), jwt.MapClaims{"sub": alice, "exp": hour}), "INVALID_TOKEN"},
		"expired token":           {"Bearer " + sign(jwt.SigningMethodHS256, tokens.Secret, jwt.MapClaims{"sub": alice, "exp": 1}), "TOKEN_EXPIRED"},
		"no expiry":               {"Bearer " + sign(jwt.SigningMethodHS256, tokens.Secret, jwt.MapClaims{"sub": alice}), "INVALID_TOKEN"},
		"alg none":                {"Bearer " + sign(jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, jwt.MapClaims{"sub": alice, "exp": hour}), "INVALID_TOKEN"},
		"RS256 header, our key":   {"Bearer eyJhbGciOiJSUzI1NiIsInR5cCI6IkpXVCJ9." + rest, "INVALID_TOKEN"},
		"a token of 32 kilobytes": {"Bearer " + strings.Repeat("a", 32<<10), "INVALID_TOKEN"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			header := http.Header{}
			if c.header != "" {
				header.Set("Authorization", c.header)
			}
			a := s.do(t, http.MethodGet, "/api/assets", "", nil, header)
			a.expect(t, http.StatusUnauthorized, c.code)
			if a.header.Get("WWW-Authenticate") != "Bearer" {
				t.Error("no WWW-Authenticate")
			}
			s.upload(t, "", header, category, photo()).expect(t, http.StatusUnauthorized, c.code)
		})
	}
}

func TestBadForms(t *testing.T) {
	t.Parallel()
	bearer := token(t, auth.User{ID: alice})
	many := []field{photo(), category}
	for i := range 10_000 {
		many = append(many, field{name: fmt.Sprintf("field%d", i), value: "x"})
	}
	file := func(content string) field { return field{name: "image", file: "photo.jpg", value: content} }
	for name, c := range map[string]struct {
		fields []field
		status int
		code   string
		field  string // that the details name
	}{
		"no file":                   {[]field{category}, 400, "VALIDATION_ERROR", "image"},
		"nothing at all":            {nil, 400, "VALIDATION_ERROR", "image"},
		"the file as text":          {[]field{category, {name: "image", value: string(aPhoto())}}, 400, "VALIDATION_ERROR", "image"},
		"two files":                 {[]field{category, photo(), photo()}, 400, "VALIDATION_ERROR", "image"},
		"another field name":        {[]field{category, {name: "file", file: "a.jpg", value: string(aPhoto())}}, 400, "VALIDATION_ERROR", "file"},
		"unknown category":          {[]field{{name: "category", value: "shoe"}, photo()}, 400, "VALIDATION_ERROR", "category"},
		"unknown category, at last": {[]field{photo(), {name: "category", value: "shoe"}}, 400, "VALIDATION_ERROR", "category"},
		"missing category":          {[]field{photo()}, 400, "VALIDATION_ERROR", "category"},
		"two categories":            {[]field{category, photo(), category}, 400, "VALIDATION_ERROR", "category"},
		"long category":             {[]field{{name: "category", value: strings.Repeat("x", 1000)}, photo()}, 400, "VALIDATION_ERROR", "category"},
		"10 000 fields":             {many, 400, "VALIDATION_ERROR", "body"},
		"text named .jpg":           {[]field{category, file("this is no picture")}, 415, "UNSUPPORTED_MEDIA_TYPE", "image"},
		"SVG":                       {[]field{category, file(`<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>`)}, 415, "UNSUPPORTED_MEDIA_TYPE", "image"},
		"HTML":                      {[]field{category, file("<!doctype html><script>alert(1)</script>")}, 415, "UNSUPPORTED_MEDIA_TYPE", "image"},
		"empty file":                {[]field{category, file("")}, 400, "VALIDATION_ERROR", "image"},
		"truncated JPEG":            {[]field{category, file(string(aPhoto()[:len(aPhoto())-20]))}, 400, "VALIDATION_ERROR", "image"},
		"JPEG marker alone":         {[]field{category, file("\xff\xd8\xff")}, 400, "VALIDATION_ERROR", "image"},
		"PNG of 10 gigapixels":      {[]field{category, file(hugePNG())}, 400, "VALIDATION_ERROR", "image"},
		"11 MB, by its length":      {[]field{category, file(string(aPhoto()) + strings.Repeat("x", 11<<20))}, 413, "TOO_LARGE", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newServer(t, nil)
			a := s.upload(t, bearer, nil, c.fields...)
			a.expect(t, c.status, c.code)
			if bytes.Contains(a.body, []byte(".jpg")) || bytes.Contains(a.body, []byte(".png")) {
				t.Errorf("the answer names the key of the image: %s", a.body)
			}
			if details := a.error(t).Details; c.field != "" && (len(details) != 1 || details[0].Field != c.field || details[0].Message == "") {
				t.Errorf("details %+v, want one about %s", details, c.field)
			}
			s.nothingLeft(t)
		})
	}
}

// hugePNG declares 100 000 × 100 000 pixels.
func hugePNG() string {
	header := []byte("IHDR\x00\x01\x86\xa0\x00\x01\x86\xa0\x08\x02\x00\x00\x00")
	var b bytes.Buffer
	b.WriteString("\x89PNG\r\n\x1a\n\x00\x00\x00\x0d")
	b.Write(header)
	_ = binary.Write(&b, binary.BigEndian, crc32.ChecksumIEEE(header))
	b.WriteString("\x00\x00\x00\x00IDAT")
	return b.String()
}

// nothingLeft fails the test if a refused upload has left anything behind.
func (s *server) nothingLeft(t *testing.T) {
	t.Helper()
	page, err := s.config.Assets.List(t.Context(), asset.Query{Owner: alice, Limit: 10})
	if err != nil || len(page.Items) > 0 {
		t.Errorf("%d assets left, %v", len(page.Items), err)
	}
	for deadline := time.Now().Add(2 * time.Second); ; <-time.After(5 * time.Millisecond) {
		var files []string
		err := filepath.WalkDir(filepath.Join(s.dir, "images"), func(path string, d fs.DirEntry, err error) error {
			if err == nil && !d.IsDir() {
				files = append(files, path)
			}
			return err
		})
		if err == nil && len(files) == 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Errorf("files left: %v, %v", files, err)
			return
		}
	}
}

// sendRaw sends a request head and body over a connection of its own, and reads the answer. A body that is shorter than
// declared is cut off by closing our side.
func (s *server) sendRaw(t *testing.T, head []string, body io.Reader) answer {
	t.Helper()
	var dialer net.Dialer
	conn, err := dialer.DialContext(t.Context(), "tcp", strings.TrimPrefix(s.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	go func() {
		w := bufio.NewWriter(conn)
		fmt.Fprintf(w, "POST %s HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer %s\r\n%s\r\n\r\n",
			uploadPath, token(t, auth.User{ID: alice}), strings.Join(head, "\r\n"))
		_, _ = io.Copy(w, body)
		_ = w.Flush()
		_ = conn.(*net.TCPConn).CloseWrite()
	}()
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatalf("no answer: %v", err)
	}
	defer res.Body.Close()
	data, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer{res.StatusCode, res.Header, data}
}

func TestBrokenBodies(t *testing.T) {
	t.Parallel()
	whole, contentType := encode(t, category, photo())
	chunked := "Transfer-Encoding: chunked"
	chunk := func(data []byte) string { return fmt.Sprintf("%x\r\n%s\r\n", len(data), data) }
	opening := whole[:bytes.Index(whole, aPhoto())]
	for name, c := range map[string]struct {
		head   []string
		body   io.Reader
		status int
		code   string
	}{
		"body cut mid-way": {
			[]string{"Content-Type: " + contentType, fmt.Sprintf("Content-Length: %d", len(whole))},
			bytes.NewReader(whole[:len(opening)+100]), 400, "VALIDATION_ERROR",
		},
		"chunked body cut mid-way": {
			[]string{"Content-Type: " + contentType, chunked},
			strings.NewReader(chunk(whole[:len(opening)+100])), 400, "VALIDATION_ERROR",
		},
		"no closing boundary": {
			[]string{"Content-Type: " + contentType, fmt.Sprintf("Content-Length: %d", len(whole)-50)},
			bytes.NewReader(whole[:len(whole)-50]), 400, "VALIDATION_ERROR",
		},
		"boundary missing":   {[]string{"Content-Type: multipart/form-data", "Content-Length: 0"}, http.NoBody, 400, "VALIDATION_ERROR"},
		"not a form":         {[]string{"Content-Type: application/json", "Content-Length: 2"}, strings.NewReader("{}"), 400, "VALIDATION_ERROR"},
		"no content type":    {[]string{"Content-Length: 2"}, strings.NewReader("{}"), 400, "VALIDATION_ERROR"},
		"no body":            {[]string{"Content-Type: " + contentType, "Content-Length: 0"}, http.NoBody, 400, "VALIDATION_ERROR"},
		"another boundary":   {[]string{"Content-Type: multipart/form-data; boundary=x", fmt.Sprintf("Content-Length: %d", len(whole))}, bytes.NewReader(whole), 400, "VALIDATION_ERROR"},
		"header of 1 MB":     {[]string{"Content-Type: multipart/form-data; boundary=x", chunked}, strings.NewReader(chunk([]byte("--x\r\nContent-Disposition: form-data; name=\"image\"; filename=\"" + strings.Repeat("a", 1<<20)))), 400, "VALIDATION_ERROR"},
		"preamble of 1 MB":   {[]string{"Content-Type: multipart/form-data; boundary=x", chunked}, strings.NewReader(chunk([]byte(strings.Repeat("a\r\n", 400_000)))), 400, "VALIDATION_ERROR"},
		"11 MB, as a stream": {[]string{"Content-Type: " + contentType, chunked}, strings.NewReader(chunk(append(bytes.Clone(opening), longJPEG(11<<20)...)) + "0\r\n\r\n"), 413, "TOO_LARGE"},
		"11 MB of a field":   {[]string{"Content-Type: " + contentType, chunked}, strings.NewReader(chunk(append(bytes.Clone(whole[:bytes.Index(whole, []byte("sneaker"))]), bytes.Repeat([]byte("x"), 11<<20)...)) + "0\r\n\r\n"), 400, "VALIDATION_ERROR"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newServer(t, nil)
			started := time.Now()
			s.sendRaw(t, c.head, c.body).expect(t, c.status, c.code)
			if took := time.Since(started); took > 10*time.Second {
				t.Errorf("took %s", took)
			}
			s.nothingLeft(t)
		})
	}
}

// longJPEG begins like a photo and goes on for n bytes.
func longJPEG(n int) []byte {
	data := bytes.Clone(aPhoto()[:len(aPhoto())-2])
	return append(data, bytes.Repeat([]byte{0x55}, n)...)
}

// fullDisk is an image store whose disk is full after some bytes.
type fullDisk struct{ image.Store }

func (fullDisk) Put(_ context.Context, _ string, r io.Reader) (image.Info, error) {
	_, err := io.CopyN(io.Discard, r, 100)
	return image.Info{}, errors.Join(err, fmt.Errorf("%w: %w", image.ErrStorage, syscall.ENOSPC))
}

func TestDiskFull(t *testing.T) {
	t.Parallel()
	s := newServer(t, func(c *httpapi.Config) {
		config := c.Pipeline.Config
		config.Images = fullDisk{config.Images}
		c.Pipeline = pipeline.New(config)
	})
	a := s.upload(t, token(t, auth.User{ID: alice}), nil, category, photo())
	a.expect(t, http.StatusServiceUnavailable, "UNAVAILABLE")
	if a.header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
	s.nothingLeft(t)
}

func TestDatabaseGone(t *testing.T) {
	t.Parallel()
	s := newServer(t, nil)
	if err := s.db.Close(); err != nil {
		t.Fatal(err)
	}
	bearer := token(t, auth.User{ID: alice})
	s.upload(t, bearer, nil, category, photo()).expect(t, http.StatusServiceUnavailable, "UNAVAILABLE")
	s.do(t, http.MethodGet, "/api/assets", bearer, nil, nil).expect(t, http.StatusServiceUnavailable, "UNAVAILABLE")
}

func TestTooManyUploadsAtOnce(t *testing.T) {
	t.Parallel()
	s := newServer(t, func(c *httpapi.Config) { c.MaxInflight = 1 })
	bearer := token(t, auth.User{ID: alice})
	body, contentType := encode(t, category, photo())
	slow, writer := io.Pipe()
	started := make(chan struct{})
	done := make(chan int, 1)
	go func() {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.url+uploadPath, slow)
		if err != nil {
			t.Error(err)
			return
		}
		r.Header.Set("Content-Type", contentType)
		r.Header.Set("Authorization", "Bearer "+bearer)
		res, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Error(err)
			return
		}
		res.Body.Close()
		done <- res.StatusCode
	}()
	go func() {
		_, _ = writer.Write(body[:len(body)-1])
		close(started)
	}()
	<-started
	a := s.upload(t, bearer, nil, category, photo())
	a.expect(t, http.StatusServiceUnavailable, "UNAVAILABLE")
	_, _ = writer.Write(body[len(body)-1:])
	writer.Close()
	if status := <-done; status != http.StatusAccepted {
		t.Errorf("the slow upload was answered %d", status)
	}
}

// A refused upload costs nothing: its body is not asked for.
func TestTooManyJobs(t *testing.T) {
	t.Parallel()
	s := newServer(t, func(c *httpapi.Config) { c.MaxQueue = 2 })
	bearer := token(t, auth.User{ID: alice})
	var ids []string
	for range 2 {
		_, job := s.submit(t, bearer)
		ids = append(ids, job)
	}
	body, contentType := encode(t, category, photo())
	upload := func() (status int, retryAfter string, read bool) {
		unread := &readable{Reader: bytes.NewReader(body)}
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.url+uploadPath, unread)
		if err != nil {
			t.Fatal(err)
		}
		r.ContentLength = int64(len(body))
		r.Header = http.Header{"Content-Type": {contentType}, "Authorization": {"Bearer " + bearer}, "Expect": {"100-continue"}}
		transport := &http.Transport{ExpectContinueTimeout: time.Minute, DisableKeepAlives: true}
		res, err := transport.RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		return res.StatusCode, res.Header.Get("Retry-After"), unread.read.Load()
	}
	if status, retryAfter, read := upload(); status != http.StatusServiceUnavailable || retryAfter == "" || read {
		t.Errorf("answered %d, to try again after %q s; body read: %v", status, retryAfter, read)
	}
	for _, id := range ids {
		if err := s.jobs.Remove(t.Context(), id); err != nil {
			t.Fatal(err)
		}
	}
	for deadline := time.Now().Add(30 * time.Second); ; <-time.After(100 * time.Millisecond) {
		if status, _, read := upload(); status == http.StatusAccepted && read {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("no upload was taken any more")
		}
	}
}

// readable notes whether it was read.
type readable struct {
	io.Reader
	read atomic.Bool
}

func (r *readable) Read(p []byte) (int, error) {
	r.read.Store(true)
	return r.Reader.Read(p)
}

func TestBadJSON(t *testing.T) {
	t.Parallel()
	s := newServer(t, nil)
	bearer, admin := token(t, auth.User{ID: alice}), token(t, auth.User{ID: bob, Admin: true})
	id, _ := s.submit(t, bearer)
	for _, c := range []struct {
		method, path, bearer, body string
		status                     int
		code                       string
	}{
		{http.MethodPatch, "/api/assets/" + id, bearer, `{`, 400, "VALIDATION_ERROR"},
		{http.MethodPatch, "/api/assets/" + id, bearer, ``, 400, "VALIDATION_ERROR"},
		{http.MethodPatch, "/api/assets/" + id, bearer, `{"category":7}`, 400, "VALIDATION_ERROR"},
		{http.MethodPatch, "/api/assets/" + id, bearer, `{"category":"shoe"}`, 400, "VALIDATION_ERROR"},
		{http.MethodPatch, "/api/assets/" + id, bearer, `{"owner":"me"}`, 400, "VALIDATION_ERROR"},
		{http.MethodPatch, "/api/assets/" + id, bearer, `{"status":"failed"}`, 400, "VALIDATION_ERROR"},
		{http.MethodPatch, "/api/assets/" + id, bearer, `{} {}`, 400, "VALIDATION_ERROR"},
		{http.MethodPatch, "/api/assets/" + id, bearer, `{"details":{"brand":"` + strings.Repeat("x", 201) + `"}}`, 400, "VALIDATION_ERROR"},
		{http.MethodPatch, "/api/assets/" + id, bearer, `{"details":{"brand":"` + strings.Repeat("x", 100<<10) + `"}}`, 413, "TOO_LARGE"},
		{http.MethodPatch, "/api/assets/" + id, bearer, `{"status":"active"}`, 409, "CONFLICT"},
		{http.MethodPatch, "/api/assets/" + id, bearer, `{"status":"archived"}`, 409, "CONFLICT"},
		{http.MethodPost, "/api/admin/failed-jobs/retry", admin, `{}`, 400, "VALIDATION_ERROR"},
		{http.MethodPost, "/api/admin/failed-jobs/retry", admin, `{"ids":[]}`, 400, "VALIDATION_ERROR"},
		{http.MethodPost, "/api/admin/failed-jobs/retry", admin, `{"ids":["a"],"all":true}`, 400, "VALIDATION_ERROR"},
		{http.MethodGet, "/api/admin/failed-jobs?assetId=x", admin, ``, 400, "VALIDATION_ERROR"},
		{http.MethodGet, "/api/admin/failed-jobs?cursor=x", admin, ``, 400, "VALIDATION_ERROR"},
		{http.MethodGet, "/api/admin/failed-jobs?limit=x", admin, ``, 400, "VALIDATION_ERROR"},
	} {
		a := s.do(t, c.method, c.path, c.bearer, strings.NewReader(c.body), http.Header{"Content-Type": {"application/json"}})
		if a.status != c.status || a.error(t).Code != c.code {
			t.Errorf("%s %s %.40s: answered %d %s, want %d %s", c.method, c.path, c.body, a.status, a.body, c.status, c.code)
		}
	}
}

func TestImagesByKeyOnly(t *testing.T) {
	t.Parallel()
	s := newServer(t, nil)
	for _, key := range []string{
		"..%2f..%2floupe.db", "%2e%2e%2floupe.db", "secret", "0123456789abcdef0123456789abcdef.svg",
		"0123456789abcdef0123456789abcdef.jpg", ".temp",
	} {
		for _, query := range []string{"", "?preview"} {
			s.do(t, http.MethodGet, "/images/"+key+query, "", nil, nil).expect(t, http.StatusNotFound, "NOT_FOUND")
		}
	}
}
