package builtin

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func TestPublic(t *testing.T) {
	t.Parallel()
	for _, s := range []string{
		"0.0.0.0", "0.1.2.3", "10.0.0.1", "10.255.255.255", "100.64.0.1", "100.127.255.255", "127.0.0.1", "127.255.255.254",
		"169.254.169.254", "172.16.0.1", "172.31.255.255", "192.0.0.8", "192.0.2.1", "192.88.99.1", "192.168.1.1", "198.18.0.1",
		"198.19.255.255", "198.51.100.1", "203.0.113.1", "224.0.0.1", "239.255.255.255", "240.0.0.1", "255.255.255.255",
		"::", "::1", "::127.0.0.1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:0:127.0.0.1", "64:ff9b::7f00:1", "64:ff9b::808:808",
		"64:ff9b:1::1", "100::1", "2001::1", "2001:0:7f00:1::", "2001:db8::1", "2002:7f00:1::1", "3fff::1", "4000::1", "5f00::1",
		"fc00::1", "fd12:3456::1", "fe80::1", "fe80::1%eth0", "fec0::1", "ff02::1",
	} {
		ip := netip.MustParseAddr(s)
		if public(ip.Unmap().WithZone("")) {
			t.Errorf("%s counts as public", s)
		}
	}
	for _, s := range []string{
		"1.1.1.1", "8.8.8.8", "9.255.255.255", "11.0.0.0", "100.63.255.255", "100.128.0.0", "172.15.255.255",
		"172.32.0.0", "192.0.1.0", "192.169.0.0", "198.20.0.0", "223.255.255.255", "2001:200::1", "2606:4700::1111", "2a00::1",
	} {
		if !public(netip.MustParseAddr(s)) {
			t.Errorf("%s does not count as public", s)
		}
	}
}

// imageHost starts a server on loopback and returns a configuration that may reach it, and it only.
func imageHost(t *testing.T, h http.HandlerFunc) (FetchConfig, *url.URL) {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	u, err := url.Parse(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	return FetchConfig{
		Allow: prefixes("127.0.0.1/32"), Ports: []uint16{port(t, u)}, TempDir: t.TempDir(), Timeout: 10 * time.Second,
	}, u
}

func port(t *testing.T, u *url.URL) uint16 {
	t.Helper()
	n, err := strconv.ParseUint(u.Port(), 10, 16)
	if err != nil {
		t.Fatal(err)
	}
	return uint16(n)
}

func TestFetch(t *testing.T) {
	t.Parallel()
	cfg, host := imageHost(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/photo":
			fmt.Fprint(w, "pixels")
		case "/3":
			http.Redirect(w, r, "/2", http.StatusFound)
		case "/2":
			http.Redirect(w, r, "/1", http.StatusFound)
		case "/1":
			http.Redirect(w, r, "/photo", http.StatusFound)
		}
	})
	fetch := NewFetcher(cfg)
	for _, path := range []string{"/photo", "/3"} {
		file, err := fetch(t.Context(), host.String()+path)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(file)
		if err != nil || string(got) != "pixels" {
			t.Errorf("%s: got %q, %v", path, got, err)
		}
		if err := file.Close(); err != nil {
			t.Error(err)
		}
	}
	empty(t, cfg.TempDir)
}

func empty(t *testing.T, dir string) {
	t.Helper()
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("left in the temporary directory: %v, %v", left, err)
	}
}

func TestFetchFails(t *testing.T) {
	t.Parallel()
	cfg, host := imageHost(t, func(w http.ResponseWriter, r *http.Request) {
		switch path := r.URL.Path; path {
		case "/loop":
			http.Redirect(w, r, "/loop", http.StatusFound)
		case "/file":
			w.Header().Set("Location", "file:///etc/passwd")
			w.WriteHeader(http.StatusFound)
		case "/port":
			http.Redirect(w, r, "http://127.0.0.1:22/", http.StatusFound)
		case "/metadata":
			http.Redirect(w, r, "http://169.254.169.254/latest/meta-data/", http.StatusFound)
		case "/large":
			fmt.Fprint(w, strings.Repeat("x", 2000))
		case "/larger":
			w.WriteHeader(200)
			for range 200 {
				fmt.Fprint(w, strings.Repeat("x", 100))
				w.(http.Flusher).Flush()
			}
		case "/slow":
			fmt.Fprint(w, "x")
			w.(http.Flusher).Flush()
			<-r.Context().Done()
		case "/cut":
			w.Header().Set("Content-Length", "100")
			fmt.Fprint(w, "x")
		default:
			status, _ := strconv.Atoi(path[1:])
			w.WriteHeader(status)
		}
	})
	cfg.MaxBytes = 1000
	fetch := NewFetcher(cfg)
	for path, want := range map[string]error{
		"/404": ErrNotFound, "/410": ErrNotFound, "/403": ErrNotFound, "/loop": ErrRefused, "/port": ErrRefused, "/file": ErrRefused, "/metadata": ErrRefused,
		"/large": ErrTooLarge, "/larger": ErrTooLarge,
		"/500": nil, "/503": nil, "/429": nil, "/204": nil, "/304": nil, "/cut": nil,
	} {
		_, err := fetch(t.Context(), host.String()+path)
		if err == nil || want != nil && !errors.Is(err, want) {
			t.Errorf("%s: got %v, want %v", path, err, want)
		}
		for _, class := range []error{ErrNotFound, ErrRefused, ErrTooLarge} {
			if want == nil && errors.Is(err, class) {
				t.Errorf("%s: got %v, which is no longer worth an attempt", path, err)
			}
		}
	}
	impatient := cfg
	impatient.Timeout = 50 * time.Millisecond
	if _, err := NewFetcher(impatient)(t.Context(), host.String()+"/slow"); err == nil || err.Error() != "image host took longer than 50ms" {
		t.Errorf("got %v", err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	mine := errors.New("enough")
	cancel(mine)
	if _, err := fetch(ctx, host.String()+"/slow"); !errors.Is(err, mine) {
		t.Errorf("got %v, want the cause", err)
	}
	empty(t, cfg.TempDir)

	cfg.TempDir += "/missing"
	if _, err := NewFetcher(cfg)(t.Context(), host.String()+"/200"); !errors.Is(err, ErrUnavailable) {
		t.Errorf("got %v, want %v", err, ErrUnavailable)
	}
}

// Every way to write an address that is not public must end in an error before a connection.
func TestFetchRefusesSpellings(t *testing.T) {
	t.Parallel()
	var asked atomic.Int32
	cfg, host := imageHost(t, func(http.ResponseWriter, *http.Request) { asked.Add(1) })
	cfg.Allow = nil
	cfg.Resolver = fakeDNS(t, func(string) string { return "127.0.0.1" })
	fetch := NewFetcher(cfg)
	for _, name := range []string{
		"127.0.0.1", "127.0.0.2", "0.0.0.0", "10.0.0.1", "169.254.169.254", "100.64.0.1", "224.0.0.1", "255.255.255.255",
		"[::1]", "[::]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[0:0:0:0:0:ffff:7f00:1]", "[64:ff9b::7f00:1]", "[64:ff9b::127.0.0.1]",
		"[fe80::1%25lo]", "[fd00::1]", "[ff02::1]", "[2002:7f00:1::]",
		"localhost", "LOCALHOST", "localhost.", "rebound.test", "127.0.0.1.nip.test", "0x7f.1", "0x7f000001.test",
	} {
		if _, err := fetch(t.Context(), "http://"+name+":"+host.Port()+"/"); !errors.Is(err, ErrRefused) {
			t.Errorf("%s: got %v, want %v", name, err, ErrRefused)
		}
	}
	// Go's own resolver takes none of these for an address; another may, and would meet the same check.
	for _, name := range []string{"2130706433", "0177.0.0.1", "127.1", "0x7f000001", "127.0.0.1.", "①②⑦.⓪.⓪.①", "0"} {
		if _, err := fetch(t.Context(), "http://"+name+":"+host.Port()+"/"); err == nil {
			t.Errorf("%s was fetched", name)
		}
	}
	for _, u := range []string{
		"", "/etc/passwd", "file:///etc/passwd", "ftp://example.com/a", "gopher://127.0.0.1/", "http:///a", "http://:80/",
		"//127.0.0.1/", "http:127.0.0.1", "data:image/png;base64,", "http://[::1", "http://a b/",
	} {
		if _, err := fetch(t.Context(), u); !errors.Is(err, ErrRefused) {
			t.Errorf("%q: got %v, want %v", u, err, ErrRefused)
		}
	}
	if n := asked.Load(); n > 0 {
		t.Errorf("%d requests reached the server", n)
	}
}

// A name that is harmless when it is first looked up and is not when it counts.
func TestFetchRefusesRebinding(t *testing.T) {
	t.Parallel()
	var self string
	cfg, host := imageHost(t, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, self, http.StatusFound) })
	self = "http://changing.test:" + host.Port() + "/"
	var mu sync.Mutex
	answers := []string{"127.0.0.1", "127.0.0.2"}
	cfg.Resolver = fakeDNS(t, func(string) string {
		mu.Lock()
		defer mu.Unlock()
		a := answers[0]
		answers = answers[min(1, len(answers)-1):]
		return a
	})
	_, err := NewFetcher(cfg)(t.Context(), self)
	if !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), "127.0.0.2") {
		t.Errorf("got %v, want 127.0.0.2 refused", err)
	}
}

// fakeDNS returns a resolver that asks a name server of our own, which knows one IPv4 address for every name.
func fakeDNS(t *testing.T, lookup func(name string) string) *net.Resolver {
	t.Helper()
	server, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { server.Close() })
	go func() {
		buf := make([]byte, 512)
		for {
			n, from, err := server.ReadFrom(buf)
			if err != nil {
				return
			}
			// The question follows a header of 12 bytes: labels with their lengths, a zero, type and class.
			end := 12
			var labels []string
			for buf[end] > 0 {
				labels = append(labels, string(buf[end+1:end+1+int(buf[end])]))
				end += 1 + int(buf[end])
			}
			end += 5
			answer := append([]byte{}, buf[:min(n, end)]...)
			answer[2], answer[3] = 0x81, 0x80 // an answer, without error
			copy(answer[6:], make([]byte, 6)) // no records
			if binary.BigEndian.Uint16(buf[end-4:]) == 1 {
				answer[7] = 1
				ip := netip.MustParseAddr(lookup(strings.Join(labels, "."))).As4()
				answer = append(answer, 0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4)
				answer = append(answer, ip[:]...)
			}
			_, _ = server.WriteTo(answer, from)
		}
	}()
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "udp", server.LocalAddr().String())
	}}
}
