package cloudinarystore_test

import (
	"strings"
	"testing"

	"loupe/internal/image"
	"loupe/internal/image/cloudinarystore"
)

func TestURLRefused(t *testing.T) {
	t.Parallel()
	const form = "want cloudinary://<key>:<secret>@<cloud>"
	for url, want := range map[string]string{
		"": "is not set: " + form,
		"CLOUDINARY_URL=cloudinary://key:s3cret@cloud": "does not begin with cloudinary://: " + form,
		"https://key:s3cret@cloud":                     "does not begin with cloudinary://: " + form,
		"cloudinary://":                                "has no key: " + form,
		"cloudinary://cloud":                           "has no key: " + form,
		"cloudinary://:s3cret@cloud":                   "has no key: " + form,
		"cloudinary://key@cloud":                       "has no secret: " + form,
		"cloudinary://key:@cloud":                      "has no secret: " + form,
		"cloudinary://key:s3cret":                      "cannot be read: " + form,
		"cloudinary://key:s3/cret@cloud":               "cannot be read: " + form,
		"cloudinary://key:s3%cret@cloud":               "percent-encoded",
		"cloudinary://<key>:<s3cret>@<cloud>":          "cannot be read: " + form,
		"cloudinary://key:s3cret@":                     "has no name of a cloud",
		"cloudinary://key:s3cret@clo.ud":               "has no name of a cloud",
		"cloudinary://key:s3cret@cloud:80":             "has no name of a cloud",
		"cloudinary://key:s3cret@cloud/images.example": "secure_distribution=<host>",
		"cloudinary://key:s3cret@cloud#x":              "goes on after the cloud's name",

		"cloudinary://key:s3cret@cloud?%zz":                               "cannot be read: want name=value",
		"cloudinary://key:s3cret@cloud?upload_prefx=https://gateway":      "upload_prefx is no parameter of it: want upload_prefix, ",
		"cloudinary://key:a@b?s3cret@cloud":                               "what follows the ? is no parameter of it",
		"cloudinary://key:s3cret@cloud?upload_prefix=":                    "upload_prefix is not an address such as https://api.cloudinary.com",
		"cloudinary://key:s3cret@cloud?upload_prefix=api.cloudinary.com":  "upload_prefix is not an address",
		"cloudinary://key:s3cret@cloud?upload_prefix=ftp://gateway":       "upload_prefix is not an address",
		"cloudinary://key:s3cret@cloud?upload_prefix=https://u:p@gateway": "upload_prefix is not an address",
		"cloudinary://key:s3cret@cloud?upload_prefix=https://gateway?x=1": "upload_prefix is not an address",
		"cloudinary://key:s3cret@cloud?upload_prefix=https://":            "upload_prefix is not an address",
		"cloudinary://key:s3cret@cloud?signature_algorithm=md5":           `signature_algorithm is "md5": want sha1 or sha256`,
		"cloudinary://key:s3cret@cloud?private_cdn=yes":                   `private_cdn is "yes": want true or false`,
		"cloudinary://key:s3cret@cloud?secure_distribution=https://host":  "secure_distribution is \"https://host\": want a host such as",
		"cloudinary://key:s3cret@cloud?secure_distribution=host/path":     "want a host such as",
		"cloudinary://key:s3cret@cloud?secure_distribution=":              "want a host such as",
	} {
		s, err := cloudinarystore.New(cloudinarystore.Config{URL: url})
		switch {
		case err == nil:
			t.Errorf("%q is taken: %+v", url, s)
		case !strings.HasPrefix(err.Error(), "CLOUDINARY_URL: ") || !strings.Contains(err.Error(), want):
			t.Errorf("New(%q) = %v, want %s", url, err, want)
		case strings.Contains(err.Error(), "s3"):
			t.Errorf("New(%q) = %v, which holds the secret", url, err)
		}
	}
}

// Where pictures are delivered, for each form of account.
func TestKeyOf(t *testing.T) {
	t.Parallel()
	key := image.NewKey(image.JPEG)
	processed := image.ProcessedKey(key, image.PNG)
	for query, below := range map[string]string{
		"":                                 "https://res.cloudinary.com/My-cloud_1",
		"?secure=true&analytics=false":     "https://res.cloudinary.com/My-cloud_1",
		"?private_cdn=false":               "https://res.cloudinary.com/My-cloud_1",
		"?private_cdn=true":                "https://My-cloud_1-res.cloudinary.com",
		"?secure_distribution=img.example": "https://img.example/My-cloud_1",
		"?secure_distribution=img.example&private_cdn=true":                     "https://img.example",
		"?upload_prefix=https://api.cloudinary.com/":                            "https://res.cloudinary.com/My-cloud_1",
		"?upload_prefix=https://api-eu.cloudinary.com":                          "https://res.cloudinary.com/My-cloud_1",
		"?upload_prefix=https://notcloudinary.com":                              "https://notcloudinary.com/My-cloud_1",
		"?upload_prefix=http://127.0.0.1:8080/gateway/":                         "http://127.0.0.1:8080/gateway/My-cloud_1",
		"?upload_prefix=https://gateway&secure_distribution=img.example":        "https://img.example/My-cloud_1",
		"?upload_prefix=https://gateway&secure_distribution=res.cloudinary.com": "https://res.cloudinary.com/My-cloud_1",
	} {
		s := open(t, "cloudinary://key:secret@My-cloud_1"+query)
		for path, want := range map[string]string{
			"/image/upload/assets/originals/" + key:                   key,
			"/image/upload/v1/assets/originals/" + key:                key,
			"/image/upload/v1700000000/assets/originals/" + key:       key,
			"/image/upload/v1700000000/assets/processed/" + processed: processed,
			"/image/upload/v1/assets/processed/" + key:                "",
			"/image/upload/v1/assets/originals/" + processed:          "",
			"/image/upload/v1/v1/assets/originals/" + key:             "",
			"/image/upload/v/assets/originals/" + key:                 "",
			"/image/upload/vx/assets/originals/" + key:                "",
			"/image/upload/v-1/assets/originals/" + key:               "",
			"/image/upload//assets/originals/" + key:                  "",
			"/image/upload/c_fill,w_10/v1/assets/originals/" + key:    "",
			"/image/upload/v1/assets/originals/../originals/" + key:   "",
			"/image/upload/v1/assets/originals/" + key + "?_a=x":      "",
			"/image/upload/v1/assets/originals/" + key[:32]:           "",
			"/image/upload/v1/assets/originals/photo.jpg":             "",
			"/image/upload/v1/assets/originals/":                      "",
			"/image/upload/v1/" + key:                                 "",
			"/image/upload/" + key:                                    "",
			"/image/private/v1/assets/originals/" + key:               "",
			"/video/upload/v1/assets/originals/" + key:                "",
			"-other/image/upload/v1/assets/originals/" + key:          "",
			"": "",
		} {
			if got, ok := s.KeyOf(below + path); got != want || ok != (want != "") {
				t.Errorf("%s: KeyOf(%q) = %q, %v, want %q", query, below+path, got, ok, want)
			}
		}
		for _, foreign := range []string{
			"https://res.cloudinary.com/other/image/upload/v1/assets/originals/" + key,
			"ftp" + strings.TrimPrefix(strings.TrimPrefix(below, "https"), "http") + "/image/upload/v1/assets/originals/" + key,
			"https://evil.example/" + below + "/image/upload/v1/assets/originals/" + key,
		} {
			if got, ok := s.KeyOf(foreign); ok || got != "" {
				t.Errorf("%s: KeyOf(%q) = %q, %v, want none", query, foreign, got, ok)
			}
		}
	}
}

func FuzzURL(f *testing.F) {
	for _, seed := range []string{
		"", "cloudinary://", "cloudinary://key:s3cret@cloud", "cloudinary://key:s3cret@cloud?upload_prefix=http://127.0.0.1:1&private_cdn=true",
		"cloudinary://key:s3cret@cloud?secure_distribution=[::1]:80&signature_algorithm=sha256", "cloudinary://k:s%20x@c?a=b&a=c;d", "cloudinary://a:b@c@d/e#f",
	} {
		f.Add(seed)
	}
	key := image.NewKey(image.PNG)
	f.Fuzz(func(t *testing.T, url string) {
		s, err := cloudinarystore.New(cloudinarystore.Config{URL: url})
		if err != nil {
			if !strings.HasPrefix(err.Error(), "CLOUDINARY_URL: ") || len(err.Error()) > 1000+2*len(url) {
				t.Errorf("New(%q) = %v", url, err)
			}
			return
		}
		if got, ok := s.KeyOf(url + "/image/upload/v1/assets/originals/" + key); ok {
			t.Errorf("New(%q) knows its own URL as that of %q", url, got)
		}
	})
}

func FuzzKeyOf(f *testing.F) {
	const below = "https://res.cloudinary.com/cloud/image/upload/"
	key := strings.Repeat("0123456789abcdef", 2) + ".jpg"
	for _, seed := range []string{
		"", below, below + "v1/assets/originals/" + key, below + "assets/originals/" + key, below + "v1/assets/processed/" + key[:32] + ".processed.png",
		below + "v1/../" + key, below + "v99999999999999999999999999/assets/originals/" + key, strings.ToUpper(below) + key,
	} {
		f.Add(seed)
	}
	s := open(f, "cloudinary://key:secret@cloud")
	f.Fuzz(func(t *testing.T, url string) {
		key, ok := s.KeyOf(url)
		if !ok {
			if key != "" {
				t.Errorf("KeyOf(%q) = %q, false", url, key)
			}
			return
		}
		if !image.ValidKey(key) || !strings.HasPrefix(url, below) || !strings.HasSuffix(url, "/"+key) || strings.ContainsAny(url, "?#%\\ ") || strings.Contains(url, "..") {
			t.Errorf("KeyOf(%q) = %q", url, key)
		}
	})
}
