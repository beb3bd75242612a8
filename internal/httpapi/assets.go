package httpapi

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"loupe/internal/asset"
	"loupe/internal/auth"
)

// assetJSON is an asset as the contract shows it. Absent parts are left out.
type assetJSON struct {
	ID        string         `json:"id"`
	UserID    string         `json:"userId"`
	Category  string         `json:"category"`
	Status    asset.Status   `json:"status"`
	Images    imagesJSON     `json:"images"`
	Analysis  *analysisJSON  `json:"aiMetadata,omitempty"`
	Details   *asset.Details `json:"details,omitempty"`
	Duplicate string         `json:"duplicateOf,omitempty"`
	JobID     string         `json:"jobId"`
	Run       int            `json:"run"`
	CreatedAt isoTime        `json:"createdAt"`
	UpdatedAt isoTime        `json:"updatedAt"`
}

type imagesJSON struct {
	Original  imageJSON  `json:"original"`
	Processed *imageJSON `json:"processed,omitempty"`
}

type imageJSON struct {
	URL      string `json:"url"`
	Width    int    `json:"width,omitempty"`
	Height   int    `json:"height,omitempty"`
	Bytes    int64  `json:"bytes,omitempty"`
	MIMEType string `json:"mimeType,omitempty"`
}

type analysisJSON struct {
	Brand       *asset.Field `json:"brand,omitempty"`
	Model       *asset.Field `json:"model,omitempty"`
	Colorway    *asset.Field `json:"colorway,omitempty"`
	ProcessedAt isoTime      `json:"processedAt,omitzero"`
	Error       string       `json:"error,omitempty"`
	FailedAt    isoTime      `json:"failedAt,omitzero"`
}

// isoTime is an instant as ISO 8601 in UTC with milliseconds.
type isoTime time.Time

// MarshalJSON implements json.Marshaler.
func (t isoTime) MarshalJSON() ([]byte, error) {
	return []byte(time.Time(t).UTC().Format(`"2006-01-02T15:04:05.000Z"`)), nil
}

// IsZero is for omitzero.
func (t isoTime) IsZero() bool { return time.Time(t).IsZero() }

func showAsset(a asset.Asset) assetJSON {
	shown := assetJSON{
		ID: a.ID, UserID: a.Owner, Category: a.Category, Status: a.Status,
		Images:  imagesJSON{Original: showImage(a.Original)},
		Details: a.Details, Duplicate: a.DuplicateOf, JobID: a.JobID, Run: a.Run,
		CreatedAt: isoTime(a.CreatedAt), UpdatedAt: isoTime(a.UpdatedAt),
	}
	if a.Processed != nil {
		processed := showImage(*a.Processed)
		shown.Images.Processed = &processed
	}
	if an := a.Analysis; an != nil {
		shown.Analysis = &analysisJSON{
			Brand: an.Brand, Model: an.Model, Colorway: an.Colorway,
			ProcessedAt: isoTime(an.ProcessedAt), Error: an.Error, FailedAt: isoTime(an.FailedAt),
		}
	}
	return shown
}

func showImage(i asset.Image) imageJSON {
	return imageJSON{URL: i.URL, Width: i.Width, Height: i.Height, Bytes: i.Bytes, MIMEType: i.MIMEType}
}

// Pages of assets.
const (
	defaultLimit = 20
	maxLimit     = 100
)

func (a *api) listAssets(w http.ResponseWriter, r *http.Request, u auth.User) error {
	query := r.URL.Query()
	limit, err := pageLimit(query)
	if err != nil {
		return err
	}
	q := asset.Query{
		Owner: u.ID, Limit: limit, Cursor: query.Get("cursor"),
		Status: asset.Status(query.Get("status")), Category: query.Get("category"),
	}
	if q.Status != "" && !q.Status.Valid() {
		return invalid("Invalid status", "status", "Must be one of: "+joinStatuses(asset.Statuses))
	}
	if q.Category != "" && !a.Pipeline.ValidCategory(q.Category) {
		return a.badCategory()
	}
	if since := query.Get("updatedAfter"); since != "" {
		if q.UpdatedAfter, err = time.Parse(time.RFC3339, since); err != nil {
			return invalid("Invalid updatedAfter", "updatedAfter", "Must be an ISO 8601 time, such as 2025-12-28T10:30:00.000Z")
		}
	}
	page, err := a.Assets.List(r.Context(), q)
	if err != nil {
		return unavailable(err)
	}
	items := make([]assetJSON, len(page.Items))
	for i, item := range page.Items {
		items[i] = showAsset(item)
	}
	writePage(w, items, page.Next)
	return nil
}

// writePage answers with one page of a list.
func writePage[T any](w http.ResponseWriter, items []T, next string) {
	cursor := &next
	if next == "" {
		cursor = nil
	}
	writeJSON(w, http.StatusOK, struct {
		Items      []T     `json:"items"`
		NextCursor *string `json:"nextCursor"`
	}{items, cursor})
}

func pageLimit(query url.Values) (int, error) {
	text := query.Get("limit")
	if text == "" {
		return defaultLimit, nil
	}
	limit, err := strconv.Atoi(text)
	if err != nil || limit < 1 || limit > maxLimit {
		return 0, invalid("Invalid limit", "limit", "Must be a whole number from 1 to "+strconv.Itoa(maxLimit))
	}
	return limit, nil
}

func joinStatuses(statuses []asset.Status) string {
	names := make([]string, len(statuses))
	for i, s := range statuses {
		names[i] = string(s)
	}
	return strings.Join(names, ", ")
}

// owned returns the asset of the path if it is the user's own: another's is as absent as none.
func (a *api) owned(r *http.Request, u auth.User) (asset.Asset, error) {
	id := r.PathValue("id")
	if !asset.IsID(id) {
		return asset.Asset{}, asset.ErrNotFound
	}
	found, err := a.Assets.Get(r.Context(), id)
	if err != nil {
		return asset.Asset{}, unavailable(err)
	}
	if found.Owner != u.ID {
		return asset.Asset{}, asset.ErrNotFound
	}
	return found, nil
}

func (a *api) getAsset(w http.ResponseWriter, r *http.Request, u auth.User) error {
	found, err := a.owned(r, u)
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, showAsset(found))
	return nil
}

// maxDetail bounds one of the owner's own values, in characters.
const maxDetail = 200

func (a *api) patchAsset(w http.ResponseWriter, r *http.Request, u auth.User) error {
	var body struct {
		Category *string `json:"category"`
		Details  *struct {
			Brand    *string `json:"brand"`
			Model    *string `json:"model"`
			Colorway *string `json:"colorway"`
		} `json:"details"`
		Status *asset.Status `json:"status"`
	}
	if err := readJSON(w, r, &body); err != nil {
		return err
	}
	patch := asset.Patch{At: asset.Now(), Category: body.Category, Status: body.Status}
	if body.Category != nil && !a.Pipeline.ValidCategory(*body.Category) {
		return a.badCategory()
	}
	if body.Status != nil && *body.Status != asset.Active && *body.Status != asset.Archived {
		return invalid("Invalid status", "status", "Must be one of: active, archived")
	}
	if d := body.Details; d != nil {
		patch.Brand, patch.Model, patch.Colorway = d.Brand, d.Model, d.Colorway
		for name, value := range map[string]*string{"brand": d.Brand, "model": d.Model, "colorway": d.Colorway} {
			if value == nil {
				continue
			}
			if *value = strings.TrimSpace(*value); utf8.RuneCountInString(*value) > maxDetail {
				return invalid("Invalid details", "details."+name, "Must be at most "+strconv.Itoa(maxDetail)+" characters")
			}
		}
	}
	if _, err := a.owned(r, u); err != nil {
		return err
	}
	updated, err := a.Assets.Update(r.Context(), r.PathValue("id"), u.ID, patch)
	if err != nil {
		return unavailable(err)
	}
	writeJSON(w, http.StatusOK, showAsset(updated))
	return nil
}

func (a *api) deleteAsset(w http.ResponseWriter, r *http.Request, u auth.User) error {
	if !asset.IsID(r.PathValue("id")) {
		return asset.ErrNotFound
	}
	if err := a.Pipeline.Delete(r.Context(), u.ID, r.PathValue("id")); err != nil {
		return unavailable(err)
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func (a *api) retryAsset(w http.ResponseWriter, r *http.Request, u auth.User) error {
	if !asset.IsID(r.PathValue("id")) {
		return asset.ErrNotFound
	}
	receipt, err := a.Pipeline.Retry(r.Context(), u.ID, r.PathValue("id"))
	if err != nil {
		return unavailable(err)
	}
	writeReceipt(w, receipt)
	return nil
}

func (a *api) assetEvents(w http.ResponseWriter, r *http.Request, u auth.User) error {
	found, err := a.owned(r, u)
	if err != nil {
		return err
	}
	entries, err := a.Assets.Timeline(r.Context(), asset.TimelineQuery{AssetID: found.ID})
	if err != nil {
		return unavailable(err)
	}
	type entryJSON struct {
		At         isoTime `json:"at"`
		Event      string  `json:"event"`
		Attempt    int     `json:"attempt,omitempty"`
		Error      string  `json:"error,omitempty"`
		DurationMS int64   `json:"durationMs,omitempty"`
	}
	items := make([]entryJSON, len(entries))
	for i, e := range entries {
		items[i] = entryJSON{isoTime(e.At), e.Event, e.Attempt, e.Error, e.Duration.Milliseconds()}
	}
	writeJSON(w, http.StatusOK, map[string]any{"items": items})
	return nil
}
