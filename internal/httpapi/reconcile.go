package httpapi

import (
	"net/http"

	"loupe/internal/auth"
)

// reconcile looks for lost work now rather than at its next turn, and answers when all is mended.
func (a *api) reconcile(w http.ResponseWriter, r *http.Request, u auth.User) error {
	a.audit(r, u, "reconcile")
	if err := a.Pipeline.Reconcile(r.Context(), a.Pipeline.Grace); err != nil {
		return unavailable(err)
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}
