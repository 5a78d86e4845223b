package rest

import (
	"errors"
	"net/http"
	"strings"

	"github.com/gin-gonic/gin"

	"spotkeeper/api/web"
	"spotkeeper/internal/domain/credentials"
	"spotkeeper/internal/domain/fault"
)

func (d Deps) validateRoutes() []web.Route {
	return []web.Route{
		{
			Method:   http.MethodGet,
			Path:     "/api/client/validate",
			ID:       "validateToken",
			Summary:  "Whether a client token is good, for installers",
			Auth:     web.Anonymous,
			Status:   200,
			Timeout:  web.QuickTimeout,
			Endpoint: web.NewStream[validateRequest, validateAnswer](d.validate),
		},
	}
}

type validateRequest struct{}

type validateAnswer struct {
	Valid    bool   `json:"valid"`
	ClientID string `json:"client_id"`
	Name     string `json:"name"`
	Email    string `json:"email"`
}

// validate checks the token by hand, because its sentences differ from those of
// every other route and because it insists on the scheme.
func (d Deps) validate(c *gin.Context, _ *validateRequest) error {
	token, bearer := strings.CutPrefix(web.Authorization(c.Request)+" ", "Bearer ")
	token = strings.TrimSpace(token)
	switch {
	case !bearer:
		return web.MissingToken.New("Missing or invalid Authorization header").With("valid", false)
	case token == "":
		return web.MissingToken.New("Token is empty").With("valid", false)
	}
	found, err := d.auth.Find(c, web.Route{Auth: web.Anonymous}, token)
	switch {
	case fault.Is(err, web.InvalidToken):
		return web.InvalidToken.New("Invalid token").With("valid", false)
	case fault.Is(err, credentials.Inactive):
		return credentials.Inactive.New("Client account is not active").With("valid", false)
	case err != nil:
		return withValid(err)
	}
	web.WriteJSON(c, http.StatusOK, &validateAnswer{
		Valid:    true,
		ClientID: found.ClientID,
		Name:     found.ClientName,
		Email:    found.Email,
	})
	return nil
}

// withValid adds what installers read of a refusal.
func withValid(err error) error {
	if f, ok := errors.AsType[*fault.Error](err); ok && fault.KindOf(err) == fault.Unauthorized {
		return f.With("valid", false)
	}
	return err
}
