package cloudinarystore

import (
	"encoding/json"
	"fmt"
)

// What the service says of an upload and of a destroy, as far as it matters here.
type (
	uploaded struct {
		SecureURL string `json:"secure_url"`
		Bytes     int64  `json:"bytes"`
	}
	destroyed struct {
		Result string `json:"result"`
	}
)

// checkUpload reads the answer to the upload of a picture of size bytes under key, and returns its address.
func (a account) checkUpload(answer []byte, key string, size int64) (address string, err error) {
	var u uploaded
	if err := decode(callUpload, answer, &u); err != nil {
		return "", err
	}
	if kept, ok := a.keyOf(u.SecureURL); !ok || kept != key {
		return "", malformed(callUpload, "the picture's address is %.*q, not one below %s that ends in %s; if the account delivers from there, set %s or %s in CLOUDINARY_URL",
			maxWords, u.SecureURL, a.delivery, path(key), secureDistribution, privateCDN)
	}
	if u.Bytes != size {
		return "", malformed(callUpload, "%d bytes were sent and %d are kept; a preset of the account may change pictures", size, u.Bytes)
	}
	return u.SecureURL, nil
}

// checkDestroy reads the answer to a destroy.
func checkDestroy(answer []byte) error {
	var d destroyed
	if err := decode(callDestroy, answer, &d); err != nil {
		return err
	}
	if d.Result != "ok" && d.Result != "not found" {
		return malformed(callDestroy, "the result is %.*q", maxWords, d.Result)
	}
	return nil
}

func decode(call string, answer []byte, into any) error {
	if words := said(nil, answer); words != "" {
		return malformed(call, "answered 200 with an error: %.*q", maxWords, words)
	}
	if err := json.Unmarshal(answer, into); err != nil {
		return malformed(call, "the answer is not Cloudinary's: %w", err)
	}
	return nil
}

func malformed(call, format string, args ...any) *Error {
	err := fmt.Errorf(format, args...)
	return &Error{Call: call, Class: Malformed, Status: 200, Message: err.Error(), Err: err}
}
