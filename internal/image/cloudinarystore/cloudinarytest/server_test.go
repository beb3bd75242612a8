package cloudinarytest_test

import (
	"bytes"
	"crypto/sha1"
	"encoding/hex"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"loupe/internal/image/cloudinarystore/cloudinarytest"
	"loupe/internal/testenv"
)

func TestMain(m *testing.M) { testenv.Main(m) }

const png = "\x89PNG\r\n\x1a\n a photo"

// The signatures here are put together by hand, as Cloudinary's documentation does it.
func TestUploadAndDestroy(t *testing.T) {
	t.Parallel()
	_, s := cloudinarytest.Start(t)
	now := fmt.Sprint(time.Now().Unix())
	fields := func(change ...string) url.Values {
		f := url.Values{
			"public_id": {"a/b"}, "timestamp": {now}, "api_key": {s.Key},
			"signature": {sum("public_id=a/b&timestamp=" + now + s.Secret)},
		}
		for i := 0; i < len(change); i += 2 {
			f.Set(change[i], change[i+1])
		}
		return f
	}
	hourAgo := fmt.Sprint(time.Now().Add(-61 * time.Minute).Unix())
	hourAhead := fmt.Sprint(time.Now().Add(61 * time.Minute).Unix())
	for name, test := range map[string]struct {
		fields url.Values
		file   string
		status int
		want   string
	}{
		"right":           {fields(), png, 200, fmt.Sprintf(`"secure_url":"%s/demo/image/upload/v1700000001/a/b.png"`, s.Address)},
		"wrong signature": {fields("signature", sum("x")), png, 401, "Invalid Signature " + sum("x") + ". String to sign - 'public_id=a/b\\u0026timestamp=" + now + "'."},
		"unsigned field":  {fields("tags", "x"), png, 401, "Invalid Signature"},
		"changed field":   {fields("public_id", "a/c"), png, 401, "Invalid Signature"},
		"smuggled field": {
			fields("public_id", "a/b&tags=x", "signature", sum("public_id=a/b&tags=x&timestamp="+now+s.Secret)), png, 401, "Invalid Signature",
		},
		"no signature": {fields("signature", ""), png, 400, "Missing required parameter - signature"},
		"no timestamp": {fields("timestamp", ""), png, 400, "Missing required parameter - timestamp"},
		"no api_key":   {fields("api_key", ""), png, 400, "Missing required parameter - api_key"},
		"other key":    {fields("api_key", "1"), png, 401, "unknown api_key"},
		"old":          {fields("timestamp", hourAgo, "signature", sum("public_id=a/b&timestamp="+hourAgo+s.Secret)), png, 400, "Stale request"},
		"early":        {fields("timestamp", hourAhead, "signature", sum("public_id=a/b&timestamp="+hourAhead+s.Secret)), png, 400, "Stale request"},
		"no number":    {fields("timestamp", "now", "signature", sum("public_id=a/b&timestamp=now"+s.Secret)), png, 400, "Stale request"},
		"no picture":   {fields(), "text", 400, "Invalid image file"},
		"nothing":      {fields(), "", 400, "Empty file"},
	} {
		status, body := upload(t, s, "demo", test.fields, test.file)
		if status != test.status || !strings.Contains(body, test.want) {
			t.Errorf("%s: %d %s, want %d with %s", name, status, body, test.status, test.want)
		}
	}
	if status, body := upload(t, s, "other", fields(), png); status != 401 || !strings.Contains(body, "Invalid cloud_name other") {
		t.Errorf("another cloud: %d %s", status, body)
	}
	if ids := s.PublicIDs(); len(ids) != 1 || ids[0] != "a/b" {
		t.Errorf("the service holds %q", ids)
	}

	for path, status := range map[string]int{
		"/demo/image/upload/v1/a/b.png": 200, "/demo/image/upload/a/b.png": 200, "/demo/image/upload/a/b.jpg": 404, "/demo/image/upload/a/b": 404,
		"/demo/image/upload/a/c.png": 404, "/other/image/upload/a/b.png": 404,
	} {
		if got, body := do(t, http.MethodGet, s.Address+path, "", nil); got != status || (got == 200) != (body == png) {
			t.Errorf("GET %s: %d %q, want %d", path, got, body, status)
		}
	}

	for _, test := range []struct {
		fields url.Values
		status int
		want   string
	}{
		{fields("signature", sum("x")), 401, "Invalid Signature"},
		{fields(), 200, `{"result":"ok"}`},
		{fields(), 200, `{"result":"not found"}`},
	} {
		status, body := do(t, http.MethodPost, s.Address+"/v1_1/demo/image/destroy", "application/x-www-form-urlencoded", strings.NewReader(test.fields.Encode()))
		if status != test.status || !strings.Contains(body, test.want) {
			t.Errorf("destroy: %d %s, want %d with %s", status, body, test.status, test.want)
		}
	}
	if ids := s.PublicIDs(); len(ids) != 0 {
		t.Errorf("the service holds %q, want none", ids)
	}
}

// A form that is cut short leaves nothing behind.
func TestHalfAForm(t *testing.T) {
	t.Parallel()
	_, s := cloudinarytest.Start(t)
	now := fmt.Sprint(time.Now().Unix())
	body, contentType := form(t, url.Values{
		"public_id": {"a"}, "timestamp": {now}, "api_key": {s.Key}, "signature": {sum("public_id=a&timestamp=" + now + s.Secret)},
	}, png)
	for n := len(body) - 5; n > 0; n -= 9 { // the last line's end is not needed, the two dashes before it are
		do(t, http.MethodPost, s.Address+"/v1_1/demo/image/upload", contentType, strings.NewReader(body[:n]))
	}
	if ids := s.PublicIDs(); len(ids) != 0 {
		t.Errorf("the service holds %q, want none", ids)
	}
}

func upload(t *testing.T, s *cloudinarytest.Server, cloud string, fields url.Values, file string) (status int, body string) {
	t.Helper()
	sent, contentType := form(t, fields, file)
	return do(t, http.MethodPost, s.Address+"/v1_1/"+cloud+"/image/upload", contentType, strings.NewReader(sent))
}

func form(t *testing.T, fields url.Values, file string) (body, contentType string) {
	t.Helper()
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	part, err := w.CreateFormFile("file", "file")
	if err != nil {
		t.Fatal(err)
	}
	io.WriteString(part, file)
	for name := range fields {
		if fields.Get(name) != "" {
			w.WriteField(name, fields.Get(name))
		}
	}
	w.Close()
	return b.String(), w.FormDataContentType()
}

func do(t *testing.T, method, address, contentType string, body io.Reader) (status int, answer string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, address, body)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", contentType)
	transport := &http.Transport{DisableKeepAlives: true}
	resp, err := transport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(data)
}

func sum(s string) string {
	digest := sha1.Sum([]byte(s))
	return hex.EncodeToString(digest[:])
}
