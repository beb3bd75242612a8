package cloudinarystore

import (
	"encoding/hex"
	"hash"
	"io"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A signer returns the signature of a call's parameters.
type signer func(url.Values) string

// newSigner returns the signer of https://cloudinary.com/documentation/authentication_signatures: the parameters sorted
// by name and joined like a query, with the secret behind them, hashed. Values are as they are, but for "&": unescaped, it
// would let a value pass for a parameter of its own (CVE-2025-12613).
func newSigner(secret string, newHash func() hash.Hash) signer {
	return func(params url.Values) string {
		var pairs []string
		for _, name := range slices.Sorted(maps.Keys(params)) {
			pairs = append(pairs, name+"="+strings.ReplaceAll(params.Get(name), "&", "%26"))
		}
		h := newHash()
		io.WriteString(h, strings.Join(pairs, "&")+secret) //nolint:errcheck // a hash takes everything
		return hex.EncodeToString(h.Sum(nil))
	}
}

// signed adds to the parameters of a call the time, who calls, and the signature. It holds for an hour.
func (a account) signed(params url.Values) url.Values {
	params.Set("timestamp", strconv.FormatInt(time.Now().Unix(), 10))
	signature := a.sign(params)
	params.Set("api_key", a.key)
	params.Set("signature", signature)
	return params
}
