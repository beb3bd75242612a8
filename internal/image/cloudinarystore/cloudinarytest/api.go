package cloudinarytest

import (
	"bytes"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"net/url"
	"sort"
	"strconv"
	"strings"
	"time"
)

const (
	maxPicture = 100 << 20 // bytes, as Cloudinary's limit for one request
	maxField   = 4 << 10
)

// formats are the types of file that are pictures here, as net/http tells them.
var formats = map[string]string{"image/jpeg": "jpg", "image/png": "png", "image/webp": "webp", "image/gif": "gif"}

// upload takes a file in as it comes. The order of its checks is Cloudinary's as far as one can see it: whose call, then
// what file.
func (s *Server) upload(w http.ResponseWriter, r *http.Request) {
	parts, err := r.MultipartReader()
	if err != nil {
		refuse(w, http.StatusBadRequest, "Missing required parameter - file")
		return
	}
	form, f, err := s.readForm(parts)
	switch {
	case errors.Is(err, errLarge):
		refuse(w, http.StatusBadRequest, fmt.Sprintf("File size too large. Got %d. Maximum is %d.", f.size, maxPicture))
		return
	case err != nil: // the sender is gone, or never was a sender of forms
		refuse(w, http.StatusBadRequest, "Invalid form")
		return
	}
	if !s.authentic(w, r, form) {
		return
	}
	format := formats[http.DetectContentType(f.head)]
	switch {
	case f.size < 0:
		refuse(w, http.StatusBadRequest, "Missing required parameter - file")
	case f.size == 0:
		refuse(w, http.StatusBadRequest, "Empty file")
	case format == "":
		refuse(w, http.StatusBadRequest, "Invalid image file")
	case form.Get("public_id") == "":
		refuse(w, http.StatusBadRequest, "This service gives no random names")
	default:
		answer(w, http.StatusOK, s.keep(form, f, format))
	}
}

var errLarge = errors.New("too large")

// A file is what came of one: its first bytes, all of them unless they are dropped, and how many there were.
type file struct {
	head []byte
	data bytes.Buffer
	size int64 // -1: none came
}

func (s *Server) readForm(parts *multipart.Reader) (url.Values, *file, error) {
	form, f := url.Values{}, &file{size: -1}
	for {
		part, err := parts.NextPart()
		if err == io.EOF {
			return form, f, nil
		}
		if err != nil {
			return nil, f, err
		}
		if part.FormName() == "file" {
			if err := s.readFile(part, f); err != nil {
				return nil, f, err
			}
			continue
		}
		value, err := io.ReadAll(io.LimitReader(part, maxField))
		if err != nil {
			return nil, f, err
		}
		form.Add(part.FormName(), string(value))
	}
}

func (s *Server) readFile(part io.Reader, f *file) error {
	const sniffed = 512
	f.head = make([]byte, sniffed)
	n, err := io.ReadFull(part, f.head)
	f.head = f.head[:n]
	if err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
		return err
	}
	s.mu.Lock()
	dropping := s.dropping
	s.mu.Unlock()
	var to io.Writer = &f.data
	if dropping {
		to = io.Discard
	}
	f.size, err = io.Copy(to, io.LimitReader(io.MultiReader(bytes.NewReader(f.head), part), maxPicture+1))
	if err == nil && f.size > maxPicture {
		err = errLarge
	}
	return err
}

// keep stores the file and returns what Cloudinary says of it.
func (s *Server) keep(form url.Values, f *file, format string) map[string]any {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.version++
	id := form.Get("public_id")
	_, overwritten := s.pictures[id]
	if !s.dropping {
		s.pictures[id] = Picture{Data: f.data.Bytes(), Format: format, Version: s.version, Form: form}
	}
	if form.Get("invalidate") == "true" {
		s.invalidate(id)
	}
	address := fmt.Sprintf("%s/%s/image/upload/v%d/%s.%s", s.Address, Cloud, s.version, id, format)
	said := map[string]any{
		"asset_id": "b5e6d2b39ba3e0869d67141ba7dba6cf", "public_id": id, "asset_folder": form.Get("asset_folder"),
		"display_name": id[strings.LastIndexByte(id, '/')+1:], "version": s.version, "version_id": "98f52566f43d8e516a486958a45c1eb9",
		"signature": "abcdef", "width": 1, "height": 1, "format": format, "resource_type": "image",
		"created_at": time.Now().UTC().Format(time.RFC3339), "tags": []string{}, "bytes": f.size, "type": "upload",
		"etag": "eb0d5b4d3a6a8b1f", "placeholder": false, "url": address, "secure_url": address,
		"original_filename": "file", "api_key": s.Key,
	}
	if overwritten {
		said["overwritten"] = true
	}
	return said
}

func (s *Server) destroy(w http.ResponseWriter, r *http.Request) {
	if err := r.ParseForm(); err != nil {
		refuse(w, http.StatusBadRequest, "Invalid form")
		return
	}
	if !s.authentic(w, r, r.PostForm) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	id := r.PostForm.Get("public_id")
	if _, ok := s.pictures[id]; !ok {
		answer(w, http.StatusOK, map[string]string{"result": "not found"})
		return
	}
	delete(s.pictures, id)
	if r.PostForm.Get("invalidate") == "true" {
		s.invalidate(id)
	}
	answer(w, http.StatusOK, map[string]string{"result": "ok"})
}

// authentic reports whether a call comes from who has the secret, and was signed within the last hour; else it has
// answered.
func (s *Server) authentic(w http.ResponseWriter, r *http.Request, form url.Values) bool {
	timestamp := form.Get("timestamp")
	for _, name := range []string{"timestamp", "api_key", "signature"} {
		if form.Get(name) == "" {
			refuse(w, http.StatusBadRequest, "Missing required parameter - "+name)
			return false
		}
	}
	seconds, err := strconv.ParseInt(timestamp, 10, 64)
	toSign := stringToSign(form)
	sha1Sum, sha256Sum := sha1.Sum([]byte(toSign+s.Secret)), sha256.Sum256([]byte(toSign+s.Secret))
	signature := form.Get("signature")
	switch age := time.Since(time.Unix(seconds, 0)); {
	case r.PathValue("cloud") != Cloud:
		refuse(w, http.StatusUnauthorized, "Invalid cloud_name "+r.PathValue("cloud"))
	case form.Get("api_key") != s.Key:
		refuse(w, http.StatusUnauthorized, "unknown api_key")
	case signature != hex.EncodeToString(sha1Sum[:]) && signature != hex.EncodeToString(sha256Sum[:]):
		refuse(w, http.StatusUnauthorized, fmt.Sprintf("Invalid Signature %s. String to sign - '%s'.", signature, toSign))
	case err != nil || age > time.Hour || age < -time.Hour:
		refuse(w, http.StatusBadRequest, fmt.Sprintf("Stale request - reported time is %s which is more than 1 hour ago", timestamp))
	default:
		return true
	}
	return false
}

// stringToSign is what a signature is made of, before the secret: every parameter but four, sorted.
func stringToSign(form url.Values) string {
	var pairs []string
	for name, values := range form {
		switch name {
		case "file", "api_key", "cloud_name", "resource_type", "signature":
		default:
			pairs = append(pairs, name+"="+strings.ReplaceAll(values[0], "&", "%26"))
		}
	}
	sort.Strings(pairs)
	return strings.Join(pairs, "&")
}

func answer(w http.ResponseWriter, status int, body any) {
	data, err := json.Marshal(body)
	if err != nil {
		panic(err)
	}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	w.Write(data)
}

func refuse(w http.ResponseWriter, status int, message string) {
	answer(w, status, map[string]any{"error": map[string]string{"message": message}})
}
