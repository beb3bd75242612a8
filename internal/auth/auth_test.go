package auth_test

import (
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"loupe/internal/auth"
)

var secret = []byte("a secret that is long enough for HMAC")

func verifier(t *testing.T, c auth.Config) *auth.Verifier {
	t.Helper()
	c.Secret = secret
	v, err := auth.NewVerifier(c)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func sign(t *testing.T, method jwt.SigningMethod, key any, claims jwt.MapClaims) string {
	t.Helper()
	token, err := jwt.NewWithClaims(method, claims).SignedString(key)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func TestVerifyRefuses(t *testing.T) {
	t.Parallel()
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	hour := time.Now().Add(time.Hour).Unix()
	good := sign(t, jwt.SigningMethodHS256, secret, jwt.MapClaims{"sub": "u1", "exp": hour})
	parts := strings.Split(good, ".")
	for name, c := range map[string]struct {
		token string
		want  error
	}{
		"none at all":       {"", auth.ErrMissing},
		"not a token":       {"rubbish", auth.ErrInvalid},
		"expired":           {sign(t, jwt.SigningMethodHS256, secret, jwt.MapClaims{"sub": "u1", "exp": time.Now().Add(-time.Minute).Unix()}), auth.ErrExpired},
		"not yet valid":     {sign(t, jwt.SigningMethodHS256, secret, jwt.MapClaims{"sub": "u1", "exp": hour, "nbf": hour}), auth.ErrInvalid},
		"another secret":    {sign(t, jwt.SigningMethodHS256, []byte("another secret"), jwt.MapClaims{"sub": "u1", "exp": hour}), auth.ErrInvalid},
		"expired, forged":   {sign(t, jwt.SigningMethodHS256, []byte("another secret"), jwt.MapClaims{"sub": "u1", "exp": 1}), auth.ErrInvalid},
		"alg none":          {sign(t, jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, jwt.MapClaims{"sub": "u1", "exp": hour}), auth.ErrInvalid},
		"RS256 header":      {sign(t, jwt.SigningMethodRS256, rsaKey, jwt.MapClaims{"sub": "u1", "exp": hour}), auth.ErrInvalid},
		"RS256, our secret": {swapHeader(`{"alg":"RS256","typ":"JWT"}`, good), auth.ErrInvalid},
		"HS512":             {sign(t, jwt.SigningMethodHS512, secret, jwt.MapClaims{"sub": "u1", "exp": hour}), auth.ErrInvalid},
		"no signature":      {parts[0] + "." + parts[1] + ".", auth.ErrInvalid},
		"no expiry":         {sign(t, jwt.SigningMethodHS256, secret, jwt.MapClaims{"sub": "u1"}), auth.ErrInvalid},
		"no user":           {sign(t, jwt.SigningMethodHS256, secret, jwt.MapClaims{"exp": hour}), auth.ErrInvalid},
		"user is a number":  {sign(t, jwt.SigningMethodHS256, secret, jwt.MapClaims{"sub": 7, "exp": hour}), auth.ErrInvalid},
		"user is empty":     {sign(t, jwt.SigningMethodHS256, secret, jwt.MapClaims{"sub": "", "exp": hour}), auth.ErrInvalid},
		"control character": {sign(t, jwt.SigningMethodHS256, secret, jwt.MapClaims{"sub": "u\n1", "exp": hour}), auth.ErrInvalid},
		"user too long":     {sign(t, jwt.SigningMethodHS256, secret, jwt.MapClaims{"sub": strings.Repeat("u", 129), "exp": hour}), auth.ErrInvalid},
		"huge":              {good + strings.Repeat("A", 1<<20), auth.ErrInvalid},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if _, err := verifier(t, auth.Config{}).Verify(c.token); !errors.Is(err, c.want) {
				t.Errorf("got %v, want %v", err, c.want)
			}
		})
	}
}

func swapHeader(header, token string) string {
	_, rest, _ := strings.Cut(token, ".")
	return base64.RawURLEncoding.EncodeToString([]byte(header)) + "." + rest
}

func TestVerifyAcceptsWhatMintMakes(t *testing.T) {
	t.Parallel()
	expires := time.Now().Add(time.Hour).Truncate(time.Second)
	for _, want := range []auth.User{
		{ID: "507f1f77bcf86cd799439012", Expires: expires},
		{ID: "Ngọc 🦊", Admin: true, Expires: expires},
	} {
		token, err := auth.Mint(auth.Config{Secret: secret}, want)
		if err != nil {
			t.Fatal(err)
		}
		got, err := verifier(t, auth.Config{}).Verify(token)
		if err != nil || got.ID != want.ID || got.Admin != want.Admin || !got.Expires.Equal(want.Expires) {
			t.Errorf("got %+v, %v; want %+v", got, err, want)
		}
	}
}

func TestConfiguredClaims(t *testing.T) {
	t.Parallel()
	token := sign(t, jwt.SigningMethodHS256, secret, jwt.MapClaims{"userId": "u1", "sub": "other"})
	v := verifier(t, auth.Config{UserClaim: "userId", AllowNoExpiry: true})
	if got, err := v.Verify(token); err != nil || got.ID != "u1" || !got.Expires.IsZero() {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestMintRefuses(t *testing.T) {
	t.Parallel()
	if _, err := auth.Mint(auth.Config{Secret: secret}, auth.User{ID: "a\x00b"}); err == nil {
		t.Error("minted a token for an unprintable user")
	}
	if _, err := auth.Mint(auth.Config{}, auth.User{ID: "u1"}); err == nil {
		t.Error("minted a token without a secret")
	}
}

func ExampleMint() {
	config := auth.Config{Secret: []byte("shared with the issuer")}
	token, _ := auth.Mint(config, auth.User{ID: "507f1f77bcf86cd799439012", Expires: time.Now().Add(time.Hour)})
	verifier, _ := auth.NewVerifier(config)
	user, err := verifier.Verify(token)
	fmt.Println(user.ID, user.Admin, err)
	// Output: 507f1f77bcf86cd799439012 false <nil>
}
