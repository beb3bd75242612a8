package cloudinarystore

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/url"
	"testing"
	"testing/synctest"
	"time"
)

type sleepyReader struct {
	reads int
	sleep time.Duration
}

func (r *sleepyReader) Read(p []byte) (int, error) {
	if r.reads == 0 {
		return 0, io.EOF
	}
	r.reads--
	time.Sleep(r.sleep) //nolint:forbidigo // in a synctest bubble it takes no time
	return copy(p, "piece"), nil
}

func testStore() *Store { return &Store{cfg: Config{}.withDefaults()} }

// A sender may take its time, as long as the service takes each piece in time.
func TestSlowSender(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		_, x := testStore().begin(t.Context(), callUpload)
		defer x.end()
		p := &picture{r: &sleepyReader{reads: 10, sleep: time.Hour}}
		f := newForm(url.Values{}, "file", p, x)
		if _, err := io.Copy(io.Discard, f); err != nil || !p.sent || p.size != 50 {
			t.Errorf("copy = %v, sent %v, size %d, want 50", err, p.sent, p.size)
		}
		if err := x.over(); err != nil {
			t.Errorf("after ten hours of waiting for the sender: %v", err)
		}
		time.Sleep(59 * time.Second) //nolint:forbidigo // see above
		synctest.Wait()
		if err := x.over(); err != nil {
			t.Errorf("a second before the time is up: %v", err)
		}
		time.Sleep(2 * time.Second) //nolint:forbidigo // see above
		synctest.Wait()
		if cause := x.over(); !errors.Is(cause, errTimeout) {
			t.Errorf("a second after the time is up: %v", cause)
		}
	})
}

// A service that takes no more pieces is given up, even if it took some.
func TestSlowService(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		_, x := testStore().begin(t.Context(), callUpload)
		defer x.end()
		f := newForm(url.Values{}, "file", &picture{r: &sleepyReader{reads: 1000, sleep: time.Minute}}, x)
		for range 100 {
			if _, err := f.Read(make([]byte, 100)); err != nil {
				t.Fatal(err)
			}
			time.Sleep(50 * time.Second) //nolint:forbidigo // see above
		}
		time.Sleep(11 * time.Second) //nolint:forbidigo // see above
		synctest.Wait()
		if _, err := f.Read(make([]byte, 100)); err == nil {
			t.Error("the form can be read after the time is up")
		}
		var trouble *Error
		if err := x.failure(errors.New("broken")); !errors.As(err, &trouble) || trouble.Class != Unavailable || trouble.again || !errors.Is(err, errTimeout) {
			t.Errorf("failure = %+v, want a timeout that is not tried again", err)
		}
	})
}

// A reader of a picture may take its time, too.
func TestSlowReader(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := testStore()
		_, x := s.begin(t.Context(), callFetch)
		x.pause()
		d := &download{exchange: x, body: io.NopCloser(bytes.NewReader(make([]byte, 100))), left: s.cfg.MaxBytes}
		defer d.Close()
		for range 100 {
			time.Sleep(time.Hour) //nolint:forbidigo // see above
			if _, err := d.Read(make([]byte, 1)); err != nil {
				t.Fatal(err)
			}
		}
		if err := x.over(); err != nil {
			t.Errorf("after a hundred hours: %v", err)
		}
	})
}

// Retries wait, but not after the caller has lost patience.
func TestRetryWaits(t *testing.T) {
	t.Parallel()
	passing := &Error{Class: Unavailable, again: true}
	synctest.Test(t, func(t *testing.T) {
		s, tries, begin := testStore(), 0, time.Now()
		err := s.retry(t.Context(), func() error {
			tries++
			return passing
		})
		if waited := time.Since(begin); !errors.Is(err, passing) || tries != 3 || waited < 300*time.Millisecond || waited > 900*time.Millisecond {
			t.Errorf("retry = %v after %d tries and %v, want three tries and about 600 ms", err, tries, waited)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		s, tries := testStore(), 0
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		err := s.retry(ctx, func() error {
			tries++
			return passing
		})
		if !errors.Is(err, context.DeadlineExceeded) || tries != 1 {
			t.Errorf("retry = %v after %d tries, want the end of ctx after one", err, tries)
		}
	})
}
