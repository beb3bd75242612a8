package interop

import (
	"strings"
	"testing"
)

// A photo's owner is told, by either transport, in the words of the schema. Nobody else is.
func TestOfficialClientIsToldOfItsOwnAssetsOnly(t *testing.T) {
	t.Parallel()
	s := serve(t, t.TempDir())
	for _, transport := range []string{"websocket", "polling"} {
		t.Run(transport, func(t *testing.T) {
			t.Parallel()
			owner := open(t, s, transport, token(t, "owner-by-"+transport, ""), "")
			other := open(t, s, transport, token(t, "other-by-"+transport, ""), "")
			owner.connected(t, transport)
			other.connected(t, transport)

			asset := owner.upload(t, "sneaker")
			told := owner.processed(t)
			if told.AssetID != asset || told.Status != "active" && told.Status != "partial" {
				t.Errorf("told %s, want asset %s active or partial", told.raw, asset)
			}

			// A socket's events come in order: had the other user been told of that asset, it would have been before this.
			own := other.upload(t, "lego")
			if told := other.processed(t); told.AssetID != own {
				t.Errorf("the other user is told %s, want their own asset %s", told.raw, own)
			}
			if strings.Contains(other.Output(), asset) {
				t.Errorf("the other user has heard of asset %s:\n%s", asset, other.Output())
			}
		})
	}
}

func TestOfficialClientIsRefusedWithoutAToken(t *testing.T) {
	t.Parallel()
	s := serve(t, t.TempDir())
	for _, c := range []struct{ name, token, message, code string }{
		{"none", "", "Authentication required", "UNAUTHORIZED"},
		{"forged", token(t, "somebody", "")[:40] + "AAAA", "Invalid token", "INVALID_TOKEN"},
	} {
		for _, transport := range []string{"websocket", "polling"} {
			t.Run(c.name+" by "+transport, func(t *testing.T) {
				t.Parallel()
				refused := open(t, s, transport, c.token, "").next(t, `{"refused"`).Refused
				if refused.Message != c.message || refused.Data.Code != c.code {
					t.Errorf("refused with %+v, want %q, %s", *refused, c.message, c.code)
				}
			})
		}
	}
}
