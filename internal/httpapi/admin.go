package httpapi

import (
	"context"
	"net/http"
	"net/url"
	"strings"

	"loupe/internal/asset"
	"loupe/internal/auth"
	"loupe/internal/pipeline"
	"loupe/internal/queue"
)

func (a *api) queueStatus(w http.ResponseWriter, r *http.Request, _ auth.User) error {
	counts, err := a.Jobs.Counts(r.Context())
	if err != nil {
		return unavailable(err)
	}
	writeData(w, http.StatusOK, struct {
		Waiting         int   `json:"waiting"`
		Active          int   `json:"active"`
		Completed       int   `json:"completed"`
		Failed          int   `json:"failed"`
		Delayed         int   `json:"delayed"`
		Paused          int   `json:"paused"`
		OldestWaitingMS int64 `json:"oldestWaitingMs"`
	}{
		counts.Waiting, counts.Active, counts.Completed, counts.Failed, counts.Delayed, counts.Paused,
		counts.OldestWaiting.Milliseconds(),
	})
	return nil
}

// deadLetterJSON is a dead letter as the contract shows it: kept whole, with every error.
type deadLetterJSON struct {
	ID            string         `json:"id"`
	AssetID       string         `json:"assetId"`
	UserID        string         `json:"userId"`
	Category      string         `json:"category"`
	ImageURL      string         `json:"imageUrl"`
	Payload       string         `json:"payload"`
	FailureReason string         `json:"failureReason"`
	Errors        []attemptError `json:"errors"`
	AttemptsMade  int            `json:"attemptsMade"`
	MaxAttempts   int            `json:"maxAttempts"`
	CreatedAt     isoTime        `json:"createdAt"`
	ProcessedAt   isoTime        `json:"processedAt,omitzero"`
	FailedAt      isoTime        `json:"failedAt"`
}

type attemptError struct {
	Attempt int     `json:"attempt"`
	At      isoTime `json:"at"`
	Error   string  `json:"error"`
}

func showDeadLetter(letter pipeline.DeadLetter) deadLetterJSON {
	shown := deadLetterJSON{
		ID: letter.ID, AssetID: letter.AssetID, UserID: letter.UserID, Category: letter.Category,
		ImageURL: letter.ImageURL, Payload: payloadText(letter.Data), Errors: make([]attemptError, len(letter.Errors)),
		AttemptsMade: letter.AttemptsMade, MaxAttempts: letter.MaxAttempts,
		CreatedAt: isoTime(letter.CreatedAt), ProcessedAt: isoTime(letter.ProcessedAt), FailedAt: isoTime(letter.FinishedAt),
	}
	for i, e := range letter.Errors {
		shown.Errors[i] = attemptError{e.Attempt, isoTime(e.At), e.Error}
		shown.FailureReason = e.Error
	}
	return shown
}

// maxPayload bounds what is shown of a payload, in bytes: ours are far smaller.
const maxPayload = 16 << 10

// payloadText shows a payload as it is kept: a foreign one need not be JSON, nor small.
func payloadText(data []byte) string {
	return strings.ToValidUTF8(string(data[:min(len(data), maxPayload)]), "\uFFFD")
}

func (a *api) failedJobs(w http.ResponseWriter, r *http.Request, _ auth.User) error {
	query := r.URL.Query()
	limit, err := pageLimit(query)
	if err != nil {
		return err
	}
	f, err := deadLetterFilter(query)
	if err != nil {
		return err
	}
	f.Limit, f.Cursor = limit, query.Get("cursor")
	letters, next, err := a.Pipeline.DeadLetters(r.Context(), f)
	if err != nil {
		return unavailable(err)
	}
	items := make([]deadLetterJSON, len(letters))
	for i, letter := range letters {
		items[i] = showDeadLetter(letter)
	}
	writePage(w, items, next)
	return nil
}

func deadLetterFilter(query url.Values) (queue.Filter, error) {
	f := queue.Filter{AssetID: query.Get("assetId"), UserID: query.Get("userId"), Text: query.Get("q")}
	if f.AssetID != "" && !asset.IsID(f.AssetID) {
		return f, invalid("Invalid assetId", "assetId", "Must be 24 hex digits")
	}
	return f, nil
}

// countFailedJobs says how many dead letters a filter selects, for whoever must confirm what is to happen to all of them.
func (a *api) countFailedJobs(w http.ResponseWriter, r *http.Request, _ auth.User) error {
	f, err := deadLetterFilter(r.URL.Query())
	if err != nil {
		return err
	}
	n, more, err := a.Pipeline.CountDeadLetters(r.Context(), f)
	if err != nil {
		return unavailable(err)
	}
	writeJSON(w, http.StatusOK, map[string]any{"data": map[string]any{"count": n, "more": more}})
	return nil
}

func (a *api) retryFailedJob(w http.ResponseWriter, r *http.Request, u auth.User) error {
	id := r.PathValue("id")
	if err := a.Pipeline.Replay(r.Context(), id); err != nil {
		return unavailable(err)
	}
	a.audit(r, u, "retry job", "job", id)
	writeRetried(w, 1)
	return nil
}

func writeRetried(w http.ResponseWriter, n int) {
	writeJSON(w, http.StatusAccepted, map[string]any{"data": map[string]any{"retried": n}})
}

// maxIDs bounds the jobs that one request names.
const maxIDs = 1000

func (a *api) retryFailedJobs(w http.ResponseWriter, r *http.Request, u auth.User) error {
	which, n, err := a.forFailedJobs(w, r, a.Pipeline.ReplayEach, a.Pipeline.ReplayAll)
	if err != nil {
		return err
	}
	a.audit(r, u, "retry jobs", "all", which.All, "q", which.Q, "retried", n)
	writeRetried(w, n)
	return nil
}

func (a *api) discardFailedJobs(w http.ResponseWriter, r *http.Request, u auth.User) error {
	which, n, err := a.forFailedJobs(w, r, a.Pipeline.DiscardEach, a.Pipeline.DiscardAll)
	if err != nil {
		return err
	}
	a.audit(r, u, "discard jobs", "all", which.All, "q", which.Q, "discarded", n)
	writeJSON(w, http.StatusOK, map[string]any{"data": map[string]any{"discarded": n}})
	return nil
}

// selection is what a request means by some of the dead letters.
type selection struct {
	IDs []string `json:"ids"`
	All bool     `json:"all"`
	Q   string   `json:"q"`
}

// forFailedJobs does to the dead letters that a request selects what each or all does, and returns how many those were.
func (a *api) forFailedJobs(
	w http.ResponseWriter, r *http.Request,
	each func(context.Context, []string) (int, error), all func(context.Context, queue.Filter) (int, error),
) (which selection, n int, err error) {
	if err := readJSON(w, r, &which); err != nil {
		return which, 0, err
	}
	switch {
	case which.All && which.IDs == nil:
		n, err = all(r.Context(), queue.Filter{Text: which.Q})
	case !which.All && len(which.IDs) > 0 && len(which.IDs) <= maxIDs:
		n, err = each(r.Context(), which.IDs)
	default:
		return which, 0, invalid("Invalid body", "ids", `Must be {"ids": [1 to 1000 job ids]} or {"all": true} with an optional "q"`)
	}
	if err != nil {
		return which, n, unavailable(err)
	}
	return which, n, nil
}

func (a *api) discardFailedJob(w http.ResponseWriter, r *http.Request, u auth.User) error {
	id := r.PathValue("id")
	if err := a.Pipeline.Discard(r.Context(), id); err != nil {
		return unavailable(err)
	}
	a.audit(r, u, "discard job", "job", id)
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func (a *api) pauseQueue(w http.ResponseWriter, r *http.Request, u auth.User) error {
	if err := a.Jobs.Pause(r.Context()); err != nil {
		return unavailable(err)
	}
	a.audit(r, u, "pause queue")
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func (a *api) resumeQueue(w http.ResponseWriter, r *http.Request, u auth.User) error {
	if err := a.Jobs.Resume(r.Context()); err != nil {
		return unavailable(err)
	}
	a.audit(r, u, "resume queue")
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// audit logs who did what to the queue.
func (a *api) audit(r *http.Request, u auth.User, did string, args ...any) {
	a.Log.InfoContext(r.Context(), "admin: "+did, append(args, "by", u.ID, "requestId", requestID(r))...)
}

// localSession signs in whoever uses this machine: POST /api/session, only without a JWT secret.
func (a *api) localSession(w http.ResponseWriter, r *http.Request) {
	if origin := r.Header.Get("Origin"); origin != "" && !sameOrigin(origin, r.Host) {
		a.fail(w, r, &apiError{code: codeForbidden, message: "Only the server's own pages may sign in"})
		return
	}
	token, user, err := a.LocalToken()
	if err != nil {
		a.fail(w, r, err)
		return
	}
	writeJSON(w, http.StatusOK, map[string]any{
		"token": token, "userId": user.ID, "admin": user.Admin, "expiresAt": isoTime(user.Expires),
	})
}
