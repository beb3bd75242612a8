// Package auth verifies and mints the tokens by which a user is known: JWTs signed with HMAC-SHA-256 and one shared
// secret (RFC 7519, RFC 8725). The algorithm is ours to choose, never the token's.
package auth

import (
	"errors"
	"fmt"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/golang-jwt/jwt/v5"
)

// Why a token is refused. Nothing more is told to the one who sent it.
var (
	ErrMissing = errors.New("authentication required")
	ErrInvalid = errors.New("invalid token")
	ErrExpired = errors.New("token expired")
)

// MaxTokenBytes bounds a token: a longer one is [ErrInvalid] before anything of it is decoded.
const MaxTokenBytes = 8 << 10

// MaxUserIDRunes bounds a user id.
const MaxUserIDRunes = 128

// User is whom a verified token names.
type User struct {
	ID      string    // 1 to 128 printable characters
	Admin   bool      // claim "role" is "admin"
	Expires time.Time // zero: the token does not expire
}

// Config is what a [Verifier] and [Mint] work with.
type Config struct {
	Secret        []byte // required
	UserClaim     string // claim that holds the user id. Default "sub".
	AllowNoExpiry bool   // accept tokens without "exp". Default false.
}

func (c Config) withDefaults() (Config, error) {
	if len(c.Secret) == 0 {
		return c, errors.New("auth: the secret is empty")
	}
	if c.UserClaim == "" {
		c.UserClaim = "sub"
	}
	return c, nil
}

// Verifier checks tokens. It is safe for concurrent use.
type Verifier struct {
	config Config
	parser *jwt.Parser
}

// NewVerifier returns a Verifier; an empty secret is an error.
func NewVerifier(c Config) (*Verifier, error) {
	c, err := c.withDefaults()
	if err != nil {
		return nil, err
	}
	options := []jwt.ParserOption{jwt.WithValidMethods([]string{jwt.SigningMethodHS256.Alg()}), jwt.WithStrictDecoding()}
	if !c.AllowNoExpiry {
		options = append(options, jwt.WithExpirationRequired())
	}
	return &Verifier{config: c, parser: jwt.NewParser(options...)}, nil
}

// Verify returns the user that a token names, or [ErrMissing], [ErrExpired] or [ErrInvalid].
func (v *Verifier) Verify(token string) (User, error) {
	if token == "" {
		return User{}, ErrMissing
	}
	if len(token) > MaxTokenBytes {
		return User{}, ErrInvalid
	}
	claims := jwt.MapClaims{}
	_, err := v.parser.ParseWithClaims(token, claims, func(*jwt.Token) (any, error) { return v.config.Secret, nil })
	switch {
	case err == nil:
	case errors.Is(err, jwt.ErrTokenExpired):
		return User{}, ErrExpired
	default:
		return User{}, ErrInvalid
	}
	id, ok := claims[v.config.UserClaim].(string)
	if !ok || !ValidUserID(id) {
		return User{}, ErrInvalid
	}
	user := User{ID: id, Admin: claims["role"] == "admin"}
	if exp, err := claims.GetExpirationTime(); err == nil && exp != nil {
		user.Expires = exp.Time
	}
	return user, nil
}

// ValidUserID reports whether id can be a user id: 1 to 128 printable characters.
func ValidUserID(id string) bool {
	if n := utf8.RuneCountInString(id); n < 1 || n > MaxUserIDRunes || !utf8.ValidString(id) {
		return false
	}
	for _, r := range id {
		if !unicode.IsPrint(r) {
			return false
		}
	}
	return true
}

// Mint returns a token for the user. A zero Expires makes a token that never expires, which a Verifier refuses unless
// told otherwise.
func Mint(c Config, u User) (string, error) {
	c, err := c.withDefaults()
	if err != nil {
		return "", err
	}
	if !ValidUserID(u.ID) {
		return "", fmt.Errorf("auth: user id %q: must be 1 to %d printable characters", u.ID, MaxUserIDRunes)
	}
	claims := jwt.MapClaims{c.UserClaim: u.ID, "iat": time.Now().Unix()}
	if u.Admin {
		claims["role"] = "admin"
	}
	if !u.Expires.IsZero() {
		claims["exp"] = u.Expires.Unix()
	}
	return jwt.NewWithClaims(jwt.SigningMethodHS256, claims).SignedString(c.Secret)
}
