package builtin

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"slices"
	"syscall"
	"time"
)

const (
	maxRedirects   = 3
	maxHeaderBytes = 64 << 10 // of an image host's answer
)

// FetchConfig says what [NewFetcher] may load, and from where.
type FetchConfig struct {
	MaxBytes int64         // of a picture's file. Default 32 MiB.
	Timeout  time.Duration // for one picture, redirects and the last byte included. Default 30 s.
	Ports    []uint16      // that may be asked. Default 80 and 443.

	// Allow has addresses that may be reached although they are not public. Default none.
	Allow []netip.Prefix

	// TempDir is where a picture is kept until it is closed. Default [os.TempDir].
	TempDir string

	// Resolver looks up names. Default [net.DefaultResolver].
	Resolver *net.Resolver
}

func (c FetchConfig) withDefaults() FetchConfig {
	c.MaxBytes = cmp.Or(c.MaxBytes, 32<<20)
	c.Timeout = cmp.Or(c.Timeout, 30*time.Second)
	if c.Ports == nil {
		c.Ports = []uint16{80, 443}
	}
	return c
}

// NewFetcher returns a function for [Config].Open that loads pictures from hosts that strangers name. It speaks http and https to
// public addresses only: the check is on the address that is dialled, so that no name, redirect, spelling or second answer
// of a resolver leads around it. It knows no proxy and follows at most three redirects.
//
// A picture is there as a whole, in a temporary file, before the function returns: a slow host must not hold the memory for
// decoding. Errors are [ErrRefused], [ErrNotFound] (any 4xx that another attempt would not change), [ErrTooLarge], the
// cause of ctx, or what went wrong on the way.
func NewFetcher(cfg FetchConfig) func(ctx context.Context, imageURL string) (io.ReadCloser, error) {
	f := fetcher{cfg: cfg.withDefaults()}
	dialer := &net.Dialer{Control: f.control, Resolver: f.cfg.Resolver}
	f.client = &http.Client{
		Transport: &http.Transport{
			DialContext:            dialer.DialContext,
			DisableKeepAlives:      true,
			DisableCompression:     true,
			MaxResponseHeaderBytes: maxHeaderBytes,
		},
		CheckRedirect: func(req *http.Request, via []*http.Request) error {
			if len(via) > maxRedirects {
				return fmt.Errorf("%w: more than %d redirects", ErrRefused, maxRedirects)
			}
			return checkURL(req.URL)
		},
	}
	return f.fetch
}

type fetcher struct {
	cfg    FetchConfig
	client *http.Client
}

// control is asked before each connection, with the address that the name has turned out to be.
func (f *fetcher) control(_, address string, _ syscall.RawConn) error {
	at, err := netip.ParseAddrPort(address)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrRefused, err)
	}
	ip := at.Addr().Unmap().WithZone("")
	allowed := public(ip) || slices.ContainsFunc(f.cfg.Allow, func(p netip.Prefix) bool { return p.Contains(ip) })
	if !allowed || !slices.Contains(f.cfg.Ports, at.Port()) {
		return fmt.Errorf("%w: %s", ErrRefused, at)
	}
	return nil
}

func checkURL(u *url.URL) error {
	if (u.Scheme != "http" && u.Scheme != "https") || u.Hostname() == "" {
		return fmt.Errorf("%w: not an absolute http or https URL", ErrRefused)
	}
	return nil
}

func (f *fetcher) fetch(ctx context.Context, imageURL string) (io.ReadCloser, error) {
	ctx, stop := context.WithTimeoutCause(ctx, f.cfg.Timeout, fmt.Errorf("image host took longer than %v", f.cfg.Timeout))
	defer stop()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, imageURL, nil)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrRefused, err)
	}
	if err := checkURL(req.URL); err != nil {
		return nil, err
	}
	req.Header.Set("User-Agent", "loupe")
	req.Header.Set("Accept", "image/*")
	resp, err := f.client.Do(req)
	if err != nil {
		return nil, becauseOf(ctx, err)
	}
	defer resp.Body.Close()
	switch status := resp.StatusCode; {
	case status == http.StatusOK:
	case status == http.StatusRequestTimeout, status == http.StatusTooEarly, status == http.StatusTooManyRequests,
		status < 400, status > 499:
		return nil, fmt.Errorf("image host answered %d", status)
	default:
		return nil, fmt.Errorf("%w: its host answered %d", ErrNotFound, status)
	}
	if resp.ContentLength > f.cfg.MaxBytes {
		return nil, ErrTooLarge
	}
	file, err := f.spool(resp.Body)
	if err != nil {
		return nil, becauseOf(ctx, err)
	}
	return file, nil
}

// spool copies r to a temporary file that is gone when it is closed.
func (f *fetcher) spool(r io.Reader) (_ io.ReadCloser, err error) {
	file, err := os.CreateTemp(f.cfg.TempDir, "loupe-*")
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	spooled := tempFile{file}
	defer func() {
		if err != nil {
			spooled.Close()
		}
	}()
	n, err := io.Copy(file, io.LimitReader(r, f.cfg.MaxBytes+1))
	if err != nil {
		return nil, err
	}
	if n > f.cfg.MaxBytes {
		return nil, ErrTooLarge
	}
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	return spooled, nil
}

type tempFile struct{ *os.File }

func (t tempFile) Close() error { return errors.Join(t.File.Close(), os.Remove(t.Name())) }

// becauseOf returns why ctx ended, if it did.
func becauseOf(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}
