package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"mime/multipart"
	"net/http"
	"strings"
	"sync"
	"time"

	"loupe/internal/auth"
	"loupe/internal/sample"
)

// user is somebody with photos and open apps.
type user struct {
	id, token string
	doors     []door
	history   *history
	http      *http.Client

	mu    sync.Mutex
	news  map[string][]chan processed // who waits for the end of a run, by asset
	ended map[string]processed        // the last end of a run that is known, by asset
}

const requestTimeout = 10 * time.Second // after which a client asks again

func newUser(id string, doors []door, h *history, c *http.Client) (*user, error) {
	token, err := auth.Mint(auth.Config{Secret: []byte(jwtSecret)}, auth.User{ID: id, Expires: time.Now().Add(24 * time.Hour)})
	return &user{
		id: id, token: token, doors: doors, history: h, http: c,
		news: map[string][]chan processed{}, ended: map[string]processed{},
	}, err
}

// learn tells those who wait that a run has ended.
func (u *user) learn(p processed) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if !p.Timestamp.After(u.ended[p.AssetID].Timestamp) {
		return
	}
	u.ended[p.AssetID] = p
	for _, c := range u.news[p.AssetID] {
		c <- p // each gets one
	}
	delete(u.news, p.AssetID)
}

// next waits for the end of a run of the asset, after that one.
func (u *user) next(ctx context.Context, asset string, after time.Time) (processed, bool) {
	c := make(chan processed, 1)
	u.mu.Lock()
	if p := u.ended[asset]; p.Timestamp.After(after) {
		u.mu.Unlock()
		return p, true
	}
	u.news[asset] = append(u.news[asset], c)
	u.mu.Unlock()
	select {
	case p := <-c:
		return p, true
	case <-ctx.Done():
		return processed{}, false
	}
}

// ask sends a request and returns its entry in the history; a body that came well is in into.
func (u *user) ask(ctx context.Context, d door, e entry, method, path string, header http.Header, body []byte, into any) entry {
	e.At, e.Kind, e.User, e.Process = time.Now(), called, u.id, d.name
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	err := func() error {
		request, err := http.NewRequestWithContext(ctx, method, d.url+path, bytes.NewReader(body))
		if err != nil {
			return err
		}
		for name, values := range header {
			request.Header[name] = values
		}
		request.Header.Set("Authorization", "Bearer "+u.token)
		answer, err := u.http.Do(request)
		if err != nil {
			return err
		}
		defer answer.Body.Close()
		words, err := io.ReadAll(answer.Body)
		if err != nil {
			return err // half an answer is none
		}
		e.Status, e.Wait = answer.StatusCode, answer.Header.Get("Retry-After")
		if e.Status >= 400 {
			return errors.New(strings.TrimSpace(string(words)))
		}
		if into != nil {
			return json.Unmarshal(words, into)
		}
		return nil
	}()
	e.End = time.Now()
	if err != nil {
		e.Error = err.Error()
	}
	return e
}

// do is ask, noted in the history.
func (u *user) do(ctx context.Context, d door, e entry, method, path string, body []byte, into any) entry {
	var header http.Header
	if body != nil {
		header = http.Header{"Content-Type": {"application/json"}}
	}
	e = u.ask(ctx, d, e, method, path, header, body, into)
	u.history.add(e)
	return e
}

// receipt is the answer to an upload or a retry.
type receipt struct {
	Data struct{ AssetID, JobID string }
}

// upload sends a photo once.
func (u *user) upload(ctx context.Context, d door, photo int, key string, file []byte) entry {
	var form bytes.Buffer
	parts := multipart.NewWriter(&form)
	_ = parts.WriteField("category", "sneaker") // a buffer takes everything
	part, _ := parts.CreateFormFile("image", "photo.jpg")
	_, _ = part.Write(file)
	_ = parts.Close()
	header := http.Header{"Content-Type": {parts.FormDataContentType()}}
	if key != "" {
		header.Set("Idempotency-Key", key)
	}
	var r receipt
	e := u.ask(ctx, d, entry{What: "upload", Photo: photo, Key: key}, http.MethodPost, "/api/assets/analyze-queue", header, form.Bytes(), &r)
	e.Asset, e.Job = r.Data.AssetID, r.Data.JobID
	u.history.add(e)
	return e
}

// list returns the user's assets, newest first. Not ok: a page did not come.
func (u *user) list(ctx context.Context, d door, filter string) (rows []row, ok bool) {
	for cursor := ""; ; {
		var page struct {
			Items      []row
			NextCursor string
		}
		path := "/api/assets?limit=100&" + filter + "&cursor=" + cursor
		if e := u.do(ctx, d, entry{What: "list"}, http.MethodGet, path, nil, &page); e.Status != http.StatusOK || e.Error != "" {
			return nil, false
		}
		rows = append(rows, page.Items...)
		if cursor = page.NextCursor; cursor == "" {
			return rows, true
		}
	}
}

// Photos have sizes of their own, by which their assets are known again: 100 widths from one of two on.
const (
	widths    = 100
	smallSide = 16
	largeSide = 1000
	largeOnes = 50 // one of so many photos is large
)

// draw draws a photo, from 1 on, that no other is like.
func draw(photo int) []byte {
	side := smallSide
	if photo%largeOnes == 0 {
		side = largeSide
	}
	return sample.NoiseJPEG(uint64(photo), side+photo%widths, side+photo/widths)
}

// drawn is which photo has that size, 0 if none has.
func drawn(width, height int) int {
	side := smallSide
	if width >= largeSide {
		side = largeSide
	}
	if width < side || height < side {
		return 0
	}
	return width - side + (height-side)*widths
}

// maxPhotos is how many photos differ.
const maxPhotos = widths * (largeSide - smallSide - 1)

// session is what a user does with one photo, until ctx ends; nothing new once busy has ended.
func (u *user) session(ctx, busy context.Context, photo int, others []*user, random *rand.Rand) {
	file := draw(photo)
	id, clean := "", false
	switch dice := random.IntN(100); {
	case dice < 25:
		e := u.upload(ctx, u.anyDoor(random), photo, "", file)
		id, clean = e.Asset, true
	case dice < 30:
		id = u.uploadAtOnce(ctx, photo, file, random)
	default:
		id, clean = u.uploadUntilTaken(ctx, photo, file, random)
	}
	if id == "" {
		return
	}
	e := entry{Asset: id, Photo: photo}
	var last time.Time
	for runs := 0; ; runs++ {
		switch dice := random.IntN(100); {
		case dice < 5 && clean:
			pause(busy, time.Duration(random.Int64N(int64(3*time.Second))))
			u.delete(ctx, e, random)
			return
		case dice < 15:
			u.edit(ctx, e, random)
		case dice < 25 && len(others) > 0:
			e.What = "stranger"
			others[random.IntN(len(others))].do(ctx, u.anyDoor(random), e, http.MethodGet, "/api/assets/"+id, nil, nil)
		case dice < 40:
			u.read(ctx, e, random)
		}
		p, ok := u.next(busy, id, last)
		last = p.Timestamp
		if !ok || p.Status == "active" || runs == 3 || random.IntN(2) == 0 {
			return
		}
		pause(busy, time.Duration(random.Int64N(int64(time.Second))))
		e.What = "retry"
		u.do(ctx, u.anyDoor(random), e, http.MethodPost, "/api/assets/"+id+"/retry", nil, nil)
	}
}

func (u *user) anyDoor(random *rand.Rand) door { return u.doors[random.IntN(len(u.doors))] }

// again reports whether a request that ended so should be sent again: nothing was said, or that it may be.
func again(e entry) bool { return e.Status == 0 || e.Status >= 500 || e.Error != "" && e.Status < 400 }

// uploadUntilTaken sends a photo with a key until it is taken, or refused for good. It is clean if the first answer was
// that: else an earlier sending may still be on its way, and come after a deletion.
func (u *user) uploadUntilTaken(ctx context.Context, photo int, file []byte, random *rand.Rand) (id string, clean bool) {
	key := fmt.Sprintf("photo %d", photo)
	for n := 0; ctx.Err() == nil; n++ {
		e := u.upload(ctx, u.anyDoor(random), photo, key, file)
		if !again(e) {
			return e.Asset, n == 0
		}
		pause(ctx, backoff(n, random))
	}
	return "", false
}

// backoff is how long to wait after n requests before that were refused: a crowd that asks at once would keep itself out.
func backoff(n int, random *rand.Rand) time.Duration {
	return 100*time.Millisecond + time.Duration(random.Int64N(int64(min(time.Second<<min(n, 10), 10*time.Second))))
}

// sameAtOnce is how many equal uploads are sent at once, now and then: more than are taken in at a time.
const sameAtOnce = maxInflight + 4

// uploadAtOnce sends equal uploads side by side, and those again that were not taken.
func (u *user) uploadAtOnce(ctx context.Context, photo int, file []byte, random *rand.Rand) (id string) {
	var all sync.WaitGroup
	ids := make([]string, sameAtOnce)
	for i := range ids {
		mine := rand.New(rand.NewPCG(random.Uint64(), uint64(i)))
		all.Go(func() { ids[i], _ = u.uploadUntilTaken(ctx, photo, file, mine) })
	}
	all.Wait()
	return cmp.Or(ids...)
}

// edit sets a value of the owner's own.
func (u *user) edit(ctx context.Context, e entry, random *rand.Rand) {
	e.What = "edit"
	e.Key = fmt.Sprintf("mine %d", random.IntN(1000))
	body := fmt.Sprintf(`{"details":{"brand":%q}}`, e.Key)
	u.do(ctx, u.anyDoor(random), e, http.MethodPatch, "/api/assets/"+e.Asset, []byte(body), nil)
}

func (u *user) read(ctx context.Context, e entry, random *rand.Rand) {
	e.What, e.Row = "read", &row{}
	u.do(ctx, u.anyDoor(random), e, http.MethodGet, "/api/assets/"+e.Asset, nil, e.Row)
}

// delete deletes until that is certain.
func (u *user) delete(ctx context.Context, e entry, random *rand.Rand) {
	e.What = "delete"
	for n := 0; ctx.Err() == nil; n++ {
		if !again(u.do(ctx, u.anyDoor(random), e, http.MethodDelete, "/api/assets/"+e.Asset, nil, nil)) {
			return
		}
		pause(ctx, backoff(n, random))
	}
}
