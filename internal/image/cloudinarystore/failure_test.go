package cloudinarystore_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"loupe/internal/image"
	"loupe/internal/image/cloudinarystore"
	"loupe/internal/image/cloudinarystore/cloudinarytest"
)

type trouble struct {
	name   string
	fault  cloudinarytest.Fault
	class  cloudinarystore.Class
	status int
	words  string // in the error
}

// refusals are what the service says when it has done nothing.
var refusals = []trouble{
	{"400", cloudinarytest.Refuse(400, "Invalid image file"), cloudinarystore.Refused, 400, `answered 400 Bad Request: "Invalid image file"`},
	{"401", cloudinarytest.Refuse(401, "unknown api_key"), cloudinarystore.Credentials, 401, `"unknown api_key"; check key, secret and cloud in CLOUDINARY_URL`},
	{"403", cloudinarytest.Refuse(403, "Not allowed"), cloudinarystore.Credentials, 403, `"Not allowed"; check key, secret and cloud`},
	{"404", cloudinarytest.HTML(404), cloudinarystore.Refused, 404, `answered 404 Not Found, with "text/html" instead of Cloudinary's reasons`},
	{"409", cloudinarytest.Refuse(409, "Already exists"), cloudinarystore.Refused, 409, `"Already exists"`},
	{"413", cloudinarytest.HTML(413), cloudinarystore.Refused, 413, "answered 413"},
	{"420", cloudinarytest.Refuse(420, "Rate Limit Exceeded. Limit of 500 api operations reached."), cloudinarystore.RateLimited, 420, `answered 420: "Rate Limit Exceeded.`},
	{"429", cloudinarytest.Refuse(429, "Too many"), cloudinarystore.RateLimited, 429, `answered 429 Too Many Requests: "Too many"`},
}

// passing are what may be otherwise the next time.
var passing = []trouble{
	{"408", cloudinarytest.HTML(408), cloudinarystore.Unavailable, 408, "answered 408"},
	{"423", cloudinarytest.Refuse(423, "Processing"), cloudinarystore.Unavailable, 423, `"Processing"`},
	{"500", cloudinarytest.Refuse(500, "General Error"), cloudinarystore.Unavailable, 500, `"General Error"`},
	{"502", cloudinarytest.HTML(502), cloudinarystore.Unavailable, 502, `answered 502 Bad Gateway, with "text/html"`},
	{"503", cloudinarytest.HTML(503), cloudinarystore.Unavailable, 503, "answered 503"},
	{"504", cloudinarytest.Answer(504, "", ""), cloudinarystore.Unavailable, 504, "answered 504"},
	{"cut", cloudinarytest.Cut(), cloudinarystore.Unavailable, 0, "cut short: unexpected EOF"},
	{"reset", cloudinarytest.Reset(), cloudinarystore.Unavailable, 0, ""},
}

// odd are answers of something that is not Cloudinary, or not well.
var odd = []trouble{
	{"201", cloudinarytest.Answer(201, "application/json", "{}"), cloudinarystore.Malformed, 201, "answered 201 Created"},
	{"204", cloudinarytest.Answer(204, "", ""), cloudinarystore.Malformed, 204, "answered 204"},
	{"redirect", cloudinarytest.Redirect(), cloudinarystore.Malformed, 307, "; redirects are not followed"},
	{"endless", cloudinarytest.Endless("application/json"), cloudinarystore.Malformed, 200, "answered 200 with more than 262144 bytes"},
	{"page", cloudinarytest.HTML(200), cloudinarystore.Malformed, 200, "the answer is not Cloudinary's"},
	{"empty", cloudinarytest.Answer(200, "application/json", ""), cloudinarystore.Malformed, 200, "the answer is not Cloudinary's"},
	{"null", cloudinarytest.Answer(200, "application/json", "null"), cloudinarystore.Malformed, 200, `is ""`},
	{"list", cloudinarytest.Answer(200, "application/json", "[]"), cloudinarystore.Malformed, 200, "the answer is not Cloudinary's"},
	{"object", cloudinarytest.Answer(200, "application/json", "{}"), cloudinarystore.Malformed, 200, `is ""`},
	{"truncated", cloudinarytest.Answer(200, "application/json", `{"secure_url":"https://res.clou`), cloudinarystore.Malformed, 200, "unexpected end of JSON"},
	{"other types", cloudinarytest.Answer(200, "application/json", `{"secure_url":7,"result":7}`), cloudinarystore.Malformed, 200, "the answer is not Cloudinary's"},
	{"error", cloudinarytest.Answer(200, "application/json", `{"error":{"message":"Some words"}}`), cloudinarystore.Malformed, 200, `answered 200 with an error: "Some words"`},
}

var hangs = trouble{"hang", cloudinarytest.Hang(), cloudinarystore.Unavailable, 0, "no progress in time (1s)"}

func TestUploadFails(t *testing.T) {
	t.Parallel()
	wrongAddress := trouble{
		"another's address", cloudinarytest.Answer(200, "application/json", `{"secure_url":"https://res.cloudinary.com/other/image/upload/v1/x.png","bytes":1}`),
		cloudinarystore.Malformed, 200, "set secure_distribution or private_cdn in CLOUDINARY_URL",
	}
	for _, denied := range refusals {
		denied.run(t, func(t *testing.T, fault cloudinarytest.Fault) {
			destroys := wantUploadFails(t, denied, cloudinarytest.Read(fault))
			if destroys != 0 {
				t.Errorf("%d destroys, want none: the service has said that it keeps nothing", destroys)
			}
		})
	}
	for _, unknown := range append(append([]trouble{wrongAddress, hangs}, passing...), odd...) {
		unknown.run(t, func(t *testing.T, fault cloudinarytest.Fault) {
			for _, fault := range []cloudinarytest.Fault{cloudinarytest.Read(fault), cloudinarytest.Done(fault)} {
				if unknown.name == "cut" {
					fault = unknown.fault // which does what is asked
				}
				destroys := wantUploadFails(t, unknown, fault)
				if destroys != 1 {
					t.Errorf("%d destroys, want one", destroys)
				}
			}
		})
	}
}

func (e trouble) run(t *testing.T, test func(*testing.T, cloudinarytest.Fault)) {
	t.Run(e.name, func(t *testing.T) {
		t.Parallel()
		test(t, e.fault)
	})
}

// wantUploadFails puts a picture while the service has fault, and returns how many destroys came of it.
func wantUploadFails(t *testing.T, want trouble, fault cloudinarytest.Fault) (destroys int) {
	t.Helper()
	url, server := cloudinarytest.Start(t)
	server.Break(cloudinarytest.Upload, fault)
	s := want.open(t, url)
	_, err := s.Put(t.Context(), image.NewKey(image.PNG), bytes.NewReader(picture(image.PNG)))
	want.check(t, err, cloudinarytest.Upload)
	if strings.Contains(fmt.Sprint(err), server.Secret) {
		t.Errorf("%v holds the secret", err)
	}
	if uploads := server.Calls(cloudinarytest.Upload); uploads != 1 {
		t.Errorf("%d uploads, want one: what has been read cannot be sent again", uploads)
	}
	if ids := server.PublicIDs(); len(ids) != 0 {
		t.Errorf("the service holds %q, want none", ids)
	}
	return server.Calls(cloudinarytest.Destroy)
}

// open returns a store that waits just long enough to see the trouble.
func (e trouble) open(t *testing.T, url string) *cloudinarystore.Store {
	t.Helper()
	if e.name == hangs.name {
		return openWith(t, cloudinarystore.Config{URL: url, Timeout: time.Second})
	}
	return open(t, url)
}

func (e trouble) check(t *testing.T, err error, call string) {
	t.Helper()
	got, ok := errors.AsType[*cloudinarystore.Error](err)
	if !ok || !errors.Is(err, image.ErrStorage) {
		t.Fatalf("error = %v, want ErrStorage and an *Error", err)
	}
	if got.Call != call || got.Class != e.class || got.Status != e.status || !strings.Contains(got.Message, e.words) {
		t.Errorf("error = %+v, want %s of %s, status %d, with %s", got, e.class, call, e.status, e.words)
	}
}

// A big picture is still on its way when the service has made up its mind. Whether the answer or the broken connection
// is seen first is a matter of luck.
func TestUploadFailsEarly(t *testing.T) {
	t.Parallel()
	for _, early := range append(append(append([]trouble{}, passing...), odd...), refusals...) {
		early.run(t, func(t *testing.T, fault cloudinarytest.Fault) {
			url, server := cloudinarytest.Start(t)
			server.Drop()
			server.Break(cloudinarytest.Upload, fault)
			s := open(t, url)
			_, err := s.Put(t.Context(), image.NewKey(image.PNG), &countingReader{head: picture(image.PNG), left: 8 << 20})
			if !errors.Is(err, image.ErrStorage) {
				t.Errorf("Put = %v, want ErrStorage", err)
			}
		})
	}
}

// An answer, however good, that comes before the picture has gone out is no answer to it.
func TestUploadAnsweredTooEarly(t *testing.T) {
	t.Parallel()
	url, server := cloudinarytest.Start(t)
	s := open(t, url)
	key := image.NewKey(image.PNG)
	good := fmt.Sprintf(`{"secure_url":"%s/demo/image/upload/v1/assets/originals/%s","bytes":0}`, server.Address, key)
	answered := make(chan struct{})
	server.Break(cloudinarytest.Upload, func(w http.ResponseWriter, r *http.Request, whole http.Handler) {
		cloudinarytest.Answer(200, "application/json", good)(w, r, whole)
		if err := http.NewResponseController(w).Flush(); err != nil {
			t.Error(err)
		}
		close(answered)
	})
	nothingYet := readFunc(func([]byte) (int, error) {
		<-answered
		return 0, nil
	})
	_, err := s.Put(t.Context(), key, nothingYet)
	if want := "answered before the picture was sent"; classOf(err) != cloudinarystore.Malformed || !strings.Contains(err.Error(), want) {
		t.Errorf("Put = %v, want %s", err, want)
	}
}

// What the account's presets make of a picture is not the picture.
func TestUploadIsChanged(t *testing.T) {
	t.Parallel()
	url, server := cloudinarytest.Start(t)
	s := open(t, url)
	key := image.NewKey(image.JPEG)
	for _, data := range [][]byte{picture(image.PNG), picture(image.GIF)} { // the service looks at what it gets
		_, err := s.Put(t.Context(), key, bytes.NewReader(data))
		if classOf(err) != cloudinarystore.Malformed {
			t.Errorf("a picture of another type than its key's = %v, want a malformed answer", err)
		}
	}
	if _, err := s.Put(t.Context(), key, strings.NewReader("no picture")); classOf(err) != cloudinarystore.Refused {
		t.Errorf("no picture = %v, want refused", err)
	}
	if _, err := s.Put(t.Context(), key, strings.NewReader("")); classOf(err) != cloudinarystore.Refused {
		t.Errorf("nothing = %v, want refused", err)
	}
	server.Break(cloudinarytest.Upload, func(w http.ResponseWriter, r *http.Request, whole http.Handler) {
		io.Copy(io.Discard, r.Body)
		cloudinarytest.Answer(200, "application/json", fmt.Sprintf(
			`{"secure_url":"%s/demo/image/upload/v1/assets/originals/%s","bytes":3}`, server.Address, key))(w, r, whole)
	})
	_, err := s.Put(t.Context(), key, bytes.NewReader(picture(image.JPEG)))
	if want := "12 bytes were sent and 3 are kept"; classOf(err) != cloudinarystore.Malformed || !strings.Contains(err.Error(), want) {
		t.Errorf("Put = %v, want %s", err, want)
	}
	if ids := server.PublicIDs(); len(ids) != 0 {
		t.Errorf("the service holds %q, want none", ids)
	}
}

func TestDestroyFailsToo(t *testing.T) {
	t.Parallel()
	url, server := cloudinarytest.Start(t)
	server.Break(cloudinarytest.Upload, cloudinarytest.Done(cloudinarytest.HTML(502)))
	server.Break(cloudinarytest.Destroy, cloudinarytest.Refuse(429, "Too many"))
	_, err := open(t, url).Put(t.Context(), image.NewKey(image.PNG), bytes.NewReader(picture(image.PNG)))
	for _, want := range []string{"cloudinary upload: unavailable: answered 502", "the picture may be kept: cloudinary destroy: rate limited: answered 429"} {
		if !strings.Contains(fmt.Sprint(err), want) {
			t.Errorf("Put = %v, want %s", err, want)
		}
	}
}

func TestDeleteFails(t *testing.T) {
	t.Parallel()
	run := func(want trouble, calls int) {
		want.run(t, func(t *testing.T, fault cloudinarytest.Fault) {
			url, server := cloudinarytest.Start(t)
			server.Break(cloudinarytest.Destroy, fault)
			s := want.open(t, url)
			want.check(t, s.Delete(t.Context(), image.NewKey(image.PNG)), cloudinarytest.Destroy)
			if got := server.Calls(cloudinarytest.Destroy); got != calls {
				t.Errorf("%d calls, want %d", got, calls)
			}
		})
	}
	for _, want := range passing {
		run(want, 3)
	}
	for _, want := range append(append([]trouble{hangs}, odd...), refusals...) {
		run(want, 1)
	}
}

func TestOpenFails(t *testing.T) {
	t.Parallel()
	run := func(want trouble, calls int) {
		want.run(t, func(t *testing.T, fault cloudinarytest.Fault) {
			url, server := cloudinarytest.Start(t)
			s := want.open(t, url)
			key := image.NewKey(image.PNG)
			put(t, s, key, picture(image.PNG))
			s.Close() // on a connection that was used before, net/http would ask once more by itself
			server.Break(cloudinarytest.Fetch, fault)
			_, err := read(t, s, key)
			want.check(t, err, cloudinarytest.Fetch)
			if got := server.Calls(cloudinarytest.Fetch); got != calls {
				t.Errorf("%d calls, want %d", got, calls)
			}
		})
	}
	restricted := func(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
		w.Header().Set("X-Cld-Error", "deny or ACL failure")
		w.WriteHeader(http.StatusUnauthorized)
	}
	closes := func(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
		w.Header().Set("Content-Type", "image/png")
		w.Header().Set("Transfer-Encoding", "identity") // only the end of the connection ends the picture
		w.Write(picture(image.PNG))
	}
	run(trouble{"restricted", restricted, cloudinarystore.Credentials, 401, `"deny or ACL failure"; the account restricts the delivery`}, 1)
	run(trouble{"420", cloudinarytest.Answer(420, "", ""), cloudinarystore.RateLimited, 420, "answered 420"}, 1)
	run(trouble{"400", cloudinarytest.HTML(400), cloudinarystore.Refused, 400, "answered 400"}, 1)
	run(trouble{"page", cloudinarytest.HTML(200), cloudinarystore.Malformed, 200, `answered with "text/html`}, 1)
	run(trouble{"no type", cloudinarytest.Answer(200, "", "x"), cloudinarystore.Malformed, 200, "instead of a picture"}, 1)
	run(trouble{"redirect", cloudinarytest.Redirect(), cloudinarystore.Malformed, 307, "redirects are not followed"}, 1)
	run(trouble{"no length", closes, cloudinarystore.Malformed, 200, "answered without a length"}, 1)
	run(trouble{"cut", cloudinarytest.Cut(), cloudinarystore.Unavailable, 0, "picture cut short: unexpected EOF"}, 1)
	run(hangs, 1)
	for _, want := range passing {
		if want.name != "cut" && want.name != "423" && want.name != "500" { // they have words of the API
			run(want, 3)
		}
	}
}

// What passes within the retries is nobody's trouble.
func TestRetriesHelp(t *testing.T) {
	t.Parallel()
	for _, passing := range passing {
		passing.run(t, func(t *testing.T, fault cloudinarytest.Fault) {
			url, server := cloudinarytest.Start(t)
			s := open(t, url)
			key := image.NewKey(image.PNG)
			put(t, s, key, picture(image.PNG))
			if passing.name != "cut" { // which is seen when it is too late to ask again
				server.Break(cloudinarytest.Fetch, cloudinarytest.First(2, fault))
			}
			if got, err := read(t, s, key); err != nil || !bytes.Equal(got, picture(image.PNG)) {
				t.Errorf("read = %q, %v", got, err)
			}
			server.Break(cloudinarytest.Destroy, cloudinarytest.First(2, fault))
			if err := s.Delete(t.Context(), key); err != nil {
				t.Errorf("Delete = %v", err)
			}
			if ids := server.PublicIDs(); len(ids) != 0 {
				t.Errorf("the service holds %q, want none", ids)
			}
		})
	}
}

// As long as nothing of the picture has been read, an upload can begin anew.
func TestUploadBeginsAnew(t *testing.T) {
	t.Parallel()
	url, server := cloudinarytest.Start(t)
	s := open(t, url)
	s.FailDials(2)
	key := image.NewKey(image.PNG)
	put(t, s, key, picture(image.PNG))
	if got := server.Calls(cloudinarytest.Upload); got != 1 {
		t.Errorf("%d uploads, want one", got)
	}

	s = open(t, url)
	s.FailDials(3)
	r := bytes.NewReader(picture(image.PNG))
	_, err := s.Put(t.Context(), key, r)
	if classOf(err) != cloudinarystore.Unavailable || !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("Put = %v, want unavailable: connection refused", err)
	}
	if r.Len() != int(r.Size()) {
		t.Errorf("%d of %d bytes are unread, want all", r.Len(), r.Size())
	}
}

func TestWrongCredentials(t *testing.T) {
	t.Parallel()
	url, server := cloudinarytest.Start(t)
	for _, change := range []struct{ from, to, want string }{
		{server.Secret, "another", "Invalid Signature"},
		{server.Key, "1", "unknown api_key"},
		{"@demo", "@other", "Invalid cloud_name other"},
	} {
		s := open(t, strings.Replace(url, change.from, change.to, 1))
		_, putErr := s.Put(t.Context(), image.NewKey(image.PNG), bytes.NewReader(picture(image.PNG)))
		deleteErr := s.Delete(t.Context(), image.NewKey(image.PNG)) // finds it out at the start of a program
		for _, err := range []error{putErr, deleteErr} {
			if classOf(err) != cloudinarystore.Credentials || !strings.Contains(err.Error(), change.want) {
				t.Errorf("error = %v, want %s and %s", err, cloudinarystore.Credentials, change.want)
			}
		}
	}
}

func FuzzAnswers(f *testing.F) {
	const key = "0123456789abcdef0123456789abcdef.jpg"
	for _, seed := range []string{
		"", "null", "{}", "[]", `"`, "<html>", `{"secure_url":"https://res.cloudinary.com/cloud/image/upload/v1/assets/originals/` + key + `","bytes":5}`,
		`{"secure_url":"http://x","bytes":-1}`, `{"error":{"message":"\u0000\ud800"}}`, `{"error":"x"}`, `{"result":"ok"}`, `{"result":"not found"}`,
	} {
		f.Add(200, []byte(seed), "words")
		f.Add(503, []byte(seed), "")
	}
	s := open(f, "cloudinary://key:secret@cloud")
	f.Fuzz(func(t *testing.T, status int, answer []byte, words string) {
		const size = 5
		url, err := s.CheckUpload(answer, key, size)
		if got, ok := s.KeyOf(url); (err == nil) != ok || ok && got != key {
			t.Errorf("CheckUpload(%q) = %q, %v", answer, url, err)
		}
		header := http.Header{"X-Cld-Error": {words}, "Location": {words}, "Content-Type": {words}}
		for _, err := range []error{err, cloudinarystore.CheckDestroy(answer), cloudinarystore.Refusal("upload", status, header, answer)} {
			if err != nil && (classOf(err) == "" || !errors.Is(err, image.ErrStorage) || len(err.Error()) > 5000 || strings.ContainsAny(err.Error(), "\n\x00")) {
				t.Errorf("status %d, answer %q: %q", status, answer, err)
			}
		}
	})
}
