package cloudinarystore

import (
	"crypto/sha1"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"net/url"
	"slices"
	"strings"
)

const (
	urlForm      = "cloudinary://<key>:<secret>@<cloud>"
	defaultAPI   = "https://api.cloudinary.com"
	sharedHost   = "https://res.cloudinary.com"
	privateHosts = "-res.cloudinary.com" // after the cloud's name
)

// The parameters of CLOUDINARY_URL that count here. The names are those of Cloudinary's SDKs.
const (
	uploadPrefix       = "upload_prefix"
	signatureAlgorithm = "signature_algorithm"
	privateCDN         = "private_cdn"
	secureDistribution = "secure_distribution"
)

// unconcerned are parameters that Cloudinary's SDKs know, and that change nothing here: how an SDK builds URLs, waits and
// splits files. CLOUDINARY_URL may be shared with programs that use one. Any other name is taken for a slip.
var unconcerned = []string{
	"secure", "analytics", "timeout", "upload_timeout", "chunk_size", "signature_version", "cname", "cdn_subdomain",
	"secure_cdn_subdomain", "sign_url", "long_url_signature", "shorten", "use_root_path", "force_version",
}

// account is what CLOUDINARY_URL says.
type account struct {
	key      string
	sign     signer // holds the secret, so that no printed account shows it
	api      string // of images: the name of a call follows
	delivery string // of images: version, public id and ending follow
}

// parseAccount reads CLOUDINARY_URL. No error quotes it: the secret is in it.
func parseAccount(s string) (account, error) {
	if s == "" {
		return account{}, fmt.Errorf("is not set: want %s", urlForm)
	}
	if !strings.HasPrefix(s, "cloudinary://") {
		return account{}, fmt.Errorf("does not begin with cloudinary://: want %s", urlForm)
	}
	u, err := url.Parse(s)
	if err != nil {
		return account{}, fmt.Errorf("cannot be read: want %s, with special characters of key and secret percent-encoded", urlForm)
	}
	secret, _ := u.User.Password()
	switch {
	case u.User.Username() == "":
		return account{}, fmt.Errorf("has no key: want %s", urlForm)
	case secret == "":
		return account{}, fmt.Errorf("has no secret: want %s", urlForm)
	case !cloudName(u.Host):
		return account{}, fmt.Errorf("has no name of a cloud after the @ (letters, digits, - and _): want %s", urlForm)
	case strings.Trim(u.Path, "/") != "" || u.Fragment != "":
		return account{}, fmt.Errorf("goes on after the cloud's name: want %s; a host of your own is ?%s=<host>", urlForm, secureDistribution)
	}
	options, err := parseOptions(u.RawQuery)
	if err != nil {
		return account{}, err
	}
	return account{
		key:      u.User.Username(),
		sign:     newSigner(secret, options.hash),
		api:      options.api + "/v1_1/" + u.Host + "/image/",
		delivery: options.deliveryHost(u.Host) + "/image/upload/",
	}, nil
}

func cloudName(s string) bool {
	return s != "" && strings.Trim(strings.ToLower(s), "abcdefghijklmnopqrstuvwxyz0123456789-_") == ""
}

type options struct {
	api          string // address, without a slash at its end
	ownHost      bool   // api is no host of Cloudinary's
	hash         func() hash.Hash
	private      bool
	distribution string // host, "" for Cloudinary's
}

func parseOptions(query string) (options, error) {
	o := options{hash: sha1.New}
	values, err := url.ParseQuery(query)
	if err != nil {
		return options{}, errors.New(`has parameters after the "?" that cannot be read: want name=value, joined by &, percent-encoded`)
	}
	for name := range values {
		if err := o.set(name, values.Get(name)); err != nil {
			return options{}, err
		}
	}
	if o.api == "" {
		o.api = defaultAPI
	}
	return o, nil
}

func (o *options) set(name, value string) error {
	switch name {
	case uploadPrefix:
		u, err := url.Parse(value)
		if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || u.User != nil || u.RawQuery+u.Fragment != "" {
			return fmt.Errorf("%s is not an address such as %s", uploadPrefix, defaultAPI)
		}
		o.api = strings.TrimRight(u.String(), "/")
		o.ownHost = !strings.HasSuffix("."+u.Hostname(), ".cloudinary.com")
	case signatureAlgorithm:
		switch value {
		case "sha1":
			o.hash = sha1.New
		case "sha256":
			o.hash = sha256.New
		default:
			return fmt.Errorf("%s is %q: want sha1 or sha256", signatureAlgorithm, value)
		}
	case privateCDN:
		if value != "true" && value != "false" {
			return fmt.Errorf("%s is %q: want true or false", privateCDN, value)
		}
		o.private = value == "true"
	case secureDistribution:
		u, err := url.Parse("https://" + value)
		if err != nil || u.Hostname() == "" || u.Host != value {
			return fmt.Errorf("%s is %q: want a host such as images.example.com", secureDistribution, value)
		}
		o.distribution = value
	default:
		if slices.Contains(unconcerned, name) {
			return nil
		}
		if strings.Trim(name, "abcdefghijklmnopqrstuvwxyz_") != "" {
			name = "what follows the ?" // it may be the rest of a secret that holds an @ and a ?
		}
		return fmt.Errorf("%s is no parameter of it: want %s, %s, %s or %s", name,
			uploadPrefix, secureDistribution, privateCDN, signatureAlgorithm)
	}
	return nil
}

// deliveryHost returns where the cloud's pictures are: a private CDN has the cloud in its host, others in the path.
func (o options) deliveryHost(cloud string) string {
	switch {
	case o.distribution != "" && o.private:
		return "https://" + o.distribution
	case o.distribution != "":
		return "https://" + o.distribution + "/" + cloud
	case o.private:
		return "https://" + cloud + privateHosts
	case o.ownHost:
		return o.api + "/" + cloud
	}
	return sharedHost + "/" + cloud
}
