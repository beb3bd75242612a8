package cloudinarystore_test

import (
	"crypto/sha1"
	"crypto/sha256"
	"hash"
	"net/url"
	"testing"

	"loupe/internal/image/cloudinarystore"
)

// The first two are those of Cloudinary's documentation; the others are what its SDKs are tested with.
func TestSign(t *testing.T) {
	t.Parallel()
	const sdkSecret = "hdcixPpR2iKERPwqvH6sHdK9cyac"
	for _, test := range []struct {
		secret string
		hash   func() hash.Hash
		params url.Values
		want   string
	}{
		{
			"abcd", sha1.New,
			url.Values{"timestamp": {"1315060510"}, "public_id": {"sample_image"}},
			"b4ad47fb4e25c7bf5f92a20089f9db59bc302313",
		},
		{
			"abcd", sha1.New,
			url.Values{"timestamp": {"1315060510"}, "public_id": {"sample_image"}, "eager": {"w_400,h_300,c_pad|w_260,h_200,c_crop"}},
			"bfd09f95f331f558cbd1320e67aa8d488770583e",
		},
		{
			sdkSecret, sha256.New,
			url.Values{"public_id": {"b8sjhoslj8cq8ovoa0ma"}, "version": {"1555337587"}},
			"80f837513994d089160b01dd3ee04e6b86f127f75fab820dca5c15057deddc48",
		},
		{
			sdkSecret, sha1.New, // an & within a value
			url.Values{"cloud_name": {"dn6ot3ged"}, "timestamp": {"1568810420"}, "notification_url": {"https://fake.com/callback?a=1&tags=hello,world"}},
			"4fdf465dd89451cc1ed8ec5b3e314e8a51695704",
		},
		{
			sdkSecret, sha1.New, // and one between two
			url.Values{"cloud_name": {"dn6ot3ged"}, "timestamp": {"1568810420"}, "notification_url": {"https://fake.com/callback?a=1"}, "tags": {"hello,world"}},
			"7b4e3a539ff1fa6e6700c41b3a2ee77586a025f9",
		},
	} {
		if got := cloudinarystore.Sign(test.secret, test.hash, test.params); got != test.want {
			t.Errorf("signature of %v = %s, want %s", test.params, got, test.want)
		}
	}
}
