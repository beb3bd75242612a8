package analyze_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptrace"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"

	"loupe/internal/analyze"
)

func discardLog() *log.Logger { return log.New(io.Discard, "", 0) }

func roundTrip(ctx context.Context, t *testing.T, h http.HandlerFunc) (*http.Response, error) {
	t.Helper()
	req, err := http.NewRequestWithContext(ctx, "POST", "http://ai/a%2Fb?c=d", strings.NewReader("question"))
	if err != nil {
		t.Fatal(err)
	}
	return analyze.HandlerTransport(h).RoundTrip(req)
}

func TestHandlerTransport(t *testing.T) {
	t.Parallel()
	resp, err := roundTrip(t.Context(), t, func(w http.ResponseWriter, r *http.Request) {
		question, err := io.ReadAll(r.Body)
		if err != nil || string(question) != "question" || r.RequestURI != "/a%2Fb?c=d" || r.URL.Host != "" || r.Host != "ai" {
			t.Errorf("got %q, %v; %s on %s", question, err, r.RequestURI, r.Host)
		}
		w.Header().Set("X-A", "b")
		w.WriteHeader(103)
		w.WriteHeader(422)
		w.Header().Set("X-Late", "c")
		w.WriteHeader(200)
		fmt.Fprint(w, "an")
		fmt.Fprint(w, "swer")
	})
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil || string(body) != "answer" || resp.StatusCode != 422 || resp.Header.Get("X-A") != "b" || resp.Header.Get("X-Late") != "" {
		t.Errorf("got %d %q %v %v", resp.StatusCode, body, resp.Header, err)
	}
}

func TestHandlerTransportStreams(t *testing.T) {
	t.Parallel()
	read := make(chan struct{})
	resp, err := roundTrip(t.Context(), t, func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, "1")
		<-read
		fmt.Fprint(w, "2")
	})
	if err != nil {
		t.Fatal(err)
	}
	var b [1]byte
	if _, err := io.ReadFull(resp.Body, b[:]); err != nil || b[0] != '1' {
		t.Fatalf("got %q, %v", b, err)
	}
	close(read)
	if rest, err := io.ReadAll(resp.Body); err != nil || string(rest) != "2" {
		t.Fatalf("got %q, %v", rest, err)
	}
}

func TestHandlerTransportBroken(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		handler http.HandlerFunc
		err     string
	}{
		"panic":           {func(http.ResponseWriter, *http.Request) { panic("oops") }, "handler panicked: oops"},
		"panic in mid":    {func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "1"); panic("oops") }, "handler panicked: oops"},
		"bad status":      {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(0) }, "invalid status 0"},
		"goroutine ended": {func(http.ResponseWriter, *http.Request) { runtime.Goexit() }, "handler ended its goroutine"},
		"less than declared": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "2")
			fmt.Fprint(w, "1")
		}, "unexpected EOF"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			resp, err := roundTrip(t.Context(), t, tt.handler)
			if err == nil {
				_, err = io.ReadAll(resp.Body)
			}
			if err == nil || !strings.Contains(err.Error(), tt.err) {
				t.Errorf("got %v, want %s", err, tt.err)
			}
			c := client(t, analyze.Config{URL: "http://ai", Transport: analyze.HandlerTransport(tt.handler)})
			_, err = c.Analyze(t.Context(), analyze.Request{})
			if e := failed(t, err); e.Class != analyze.Transient || !strings.Contains(e.Message, tt.err) {
				t.Errorf("got %s %q, want transient …%s", e.Class, e.Message, tt.err)
			}
		})
	}
}

func TestHandlerTransportBodyRules(t *testing.T) {
	t.Parallel()
	resp, err := roundTrip(t.Context(), t, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(204)
		if _, err := io.WriteString(w, "1"); !errors.Is(err, http.ErrBodyNotAllowed) {
			t.Errorf("got %v, want %v", err, http.ErrBodyNotAllowed)
		}
	})
	if err != nil || resp.StatusCode != 204 || resp.ContentLength != 0 {
		t.Errorf("got %+v, %v", resp, err)
	}
	resp, err = roundTrip(t.Context(), t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "1")
		if _, err := io.WriteString(w, "12"); !errors.Is(err, http.ErrContentLength) {
			t.Errorf("got %v, want %v", err, http.ErrContentLength)
		}
		fmt.Fprint(w, "1")
	})
	if err != nil {
		t.Fatal(err)
	}
	if body, err := io.ReadAll(resp.Body); err != nil || string(body) != "1" || resp.ContentLength != 1 {
		t.Errorf("got %q, %v", body, err)
	}
}

// A handler that does not watch its context must not hold up its caller, and is told in all ways there are.
func TestHandlerTransportCancel(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		mine := errors.New("enough")
		ctx, cancel := context.WithCancelCause(t.Context())
		release, ended := make(chan struct{}), make(chan error)
		go func() {
			synctest.Wait()
			cancel(mine)
		}()
		_, err := roundTrip(ctx, t, func(w http.ResponseWriter, r *http.Request) {
			<-release
			_, err := io.WriteString(w, "late")
			ended <- errors.Join(r.Context().Err(), err)
		})
		if !errors.Is(err, mine) {
			t.Errorf("got %v, want the cause", err)
		}
		close(release)
		if err := <-ended; !errors.Is(err, context.Canceled) || !errors.Is(err, io.ErrClosedPipe) {
			t.Errorf("the handler got %v, want its context cancelled and the write refused", err)
		}
	})
}

func TestHandlerTransportClosedBody(t *testing.T) {
	t.Parallel()
	ended := make(chan error)
	resp, err := roundTrip(t.Context(), t, func(w http.ResponseWriter, r *http.Request) {
		w.(http.Flusher).Flush()
		<-r.Context().Done()
		_, err := io.WriteString(w, "late")
		ended <- err
	})
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if err := <-ended; !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("the handler's write got %v, want %v", err, io.ErrClosedPipe)
	}
}

// The connection trace of the asking side would take the handler's own requests for its own.
func TestHandlerTransportHidesValues(t *testing.T) {
	t.Parallel()
	ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{})
	_, err := roundTrip(ctx, t, func(_ http.ResponseWriter, r *http.Request) {
		if httptrace.ContextClientTrace(r.Context()) != nil {
			t.Error("the handler sees the caller's trace")
		}
	})
	if err != nil {
		t.Fatal(err)
	}
}
